CREATE TABLE daily_result (              -- what is to be told other domains, until it is told
    kind TEXT NOT NULL,                  -- tls, dmarc
    begin_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,                -- JSON
    detail TEXT NOT NULL,                -- JSON; for TLS '' is success
    reason TEXT NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (kind, begin_s, end_s, domain, policy, detail)
) WITHOUT ROWID;
CREATE TABLE daily_report (              -- what is to be sent, and when
    kind TEXT NOT NULL,
    begin_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    domain TEXT NOT NULL,
    target TEXT NOT NULL,                -- '': nobody has asked yet where to
    next_ms INTEGER NOT NULL,
    give_up_ms INTEGER NOT NULL,
    PRIMARY KEY (kind, begin_s, end_s, domain, target)
) WITHOUT ROWID;
CREATE INDEX daily_report_due ON daily_report (kind, next_ms);
INSERT INTO daily_result SELECT 'tls', begin_s, end_s, domain, policy, failure, reason, times FROM tls_result;
INSERT INTO daily_report SELECT 'tls', begin_s, end_s, domain, target, next_ms, give_up_ms FROM tls_report;
DROP TABLE tls_result;
DROP TABLE tls_report;
