CREATE TABLE received_report (           -- what other servers report about us
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,                  -- dmarc, tls
    submitter TEXT NOT NULL,             -- the domain that sent it, which SPF or DKIM vouched for
    organisation TEXT NOT NULL,
    report_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    policy TEXT NOT NULL,                -- p=, as the sender found it
    begin_s INTEGER NOT NULL,
    end_s INTEGER NOT NULL,
    received_ms INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    rows_left_out INTEGER NOT NULL,
    messages_left_out INTEGER NOT NULL
);
CREATE UNIQUE INDEX received_report_once ON received_report (kind, submitter, organisation, report_id, domain);
CREATE INDEX received_report_end ON received_report (end_s);
CREATE TABLE received_dmarc_row (
    report_n INTEGER NOT NULL,
    k INTEGER NOT NULL,
    source TEXT NOT NULL,
    count INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    dkim_aligned INTEGER NOT NULL,
    spf_aligned INTEGER NOT NULL,
    header_from TEXT NOT NULL,
    envelope_from TEXT NOT NULL,
    envelope_to TEXT NOT NULL,
    details TEXT NOT NULL,               -- dkim, spf and reason, one a line
    PRIMARY KEY (report_n, k)
) WITHOUT ROWID;
CREATE TABLE received_tls_policy (
    report_n INTEGER NOT NULL,
    k INTEGER NOT NULL,
    kind TEXT NOT NULL,
    domain TEXT NOT NULL,
    successful INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (report_n, k)
) WITHOUT ROWID;
CREATE TABLE received_tls_failure (
    report_n INTEGER NOT NULL,
    k INTEGER NOT NULL,                  -- the policy
    place INTEGER NOT NULL,
    result TEXT NOT NULL,
    sending_ip TEXT NOT NULL,
    mx_host TEXT NOT NULL,
    receiving_ip TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (report_n, k, place)
) WITHOUT ROWID;
