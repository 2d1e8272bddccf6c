CREATE TABLE tls_result (                -- how sessions with a domain's hosts went, until it is reported
    begin_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,                -- JSON
    failure TEXT NOT NULL,               -- JSON; '' is success
    reason TEXT NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (begin_s, end_s, domain, policy, failure)
) WITHOUT ROWID;
CREATE TABLE tls_report (                -- what is to be sent, and when
    begin_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    domain TEXT NOT NULL,
    target TEXT NOT NULL,                -- '': nobody has asked yet where to
    next_ms INTEGER NOT NULL,
    give_up_ms INTEGER NOT NULL,
    PRIMARY KEY (begin_s, end_s, domain, target)
) WITHOUT ROWID;
CREATE INDEX tls_report_due ON tls_report (next_ms);
