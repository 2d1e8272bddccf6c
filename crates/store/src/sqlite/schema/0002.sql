ALTER TABLE message ADD COLUMN rewritten_path TEXT;              -- NULL: MAIL says the reverse-path
ALTER TABLE message ADD COLUMN may_report INTEGER NOT NULL DEFAULT 1;
ALTER TABLE message ADD COLUMN mendable INTEGER NOT NULL DEFAULT 0;
CREATE INDEX recipient_held ON recipient (message_id) WHERE state = 3;
CREATE TABLE dkim_key (
    domain TEXT NOT NULL,
    selector TEXT NOT NULL,
    key_type TEXT NOT NULL,
    private BLOB NOT NULL,
    public TEXT NOT NULL,
    state TEXT NOT NULL,                 -- next, active, retired
    since_ms INTEGER NOT NULL,
    PRIMARY KEY (domain, selector)
) WITHOUT ROWID;
CREATE TABLE srs_sender (
    token TEXT PRIMARY KEY,
    sender TEXT NOT NULL,
    made_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE strict_domain (
    source TEXT PRIMARY KEY,             -- an alias, in the database or in the virtual file
    setting TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE notice (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    failed_n INTEGER NOT NULL,           -- up to which failure somebody was told
    held_id INTEGER NOT NULL,            -- up to which held message
    at_ms INTEGER NOT NULL
);
INSERT INTO notice (id, failed_n, held_id, at_ms) VALUES (1, 0, 0, 0);
CREATE TABLE failed (
    n INTEGER PRIMARY KEY,
    message_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,
    known_as TEXT NOT NULL,
    mailbox TEXT NOT NULL,
    status TEXT NOT NULL,
    reason TEXT NOT NULL
);
