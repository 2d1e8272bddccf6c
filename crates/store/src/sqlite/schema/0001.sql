CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    data BLOB                            -- NULL: in the file content/<id>
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    content_id INTEGER NOT NULL,
    flow TEXT NOT NULL,
    reverse_path TEXT NOT NULL,          -- '' is the null reverse-path
    body_8bit INTEGER NOT NULL,
    smtputf8 INTEGER NOT NULL,
    ret TEXT,
    envid TEXT,
    arrived_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    delay_reported INTEGER NOT NULL DEFAULT 0,
    prefix BLOB NOT NULL
);
CREATE INDEX message_content ON message (content_id);
CREATE TABLE recipient (
    message_id INTEGER NOT NULL,
    n INTEGER NOT NULL,
    lane TEXT NOT NULL,                  -- the recipient's domain
    mailbox TEXT NOT NULL,
    known_as TEXT,
    notify TEXT,
    orcpt TEXT,
    state INTEGER NOT NULL DEFAULT 0,    -- 0 waiting, 1 claimed, 2 set aside, 3 held
    next_attempt_ms INTEGER NOT NULL,    -- while claimed: when the lease ends
    attempts INTEGER NOT NULL DEFAULT 0,
    status TEXT,
    reason TEXT,
    PRIMARY KEY (message_id, n)
) WITHOUT ROWID;
CREATE INDEX recipient_lane ON recipient (lane, next_attempt_ms) WHERE state < 2;
CREATE INDEX recipient_claimed ON recipient (state) WHERE state = 1;
CREATE TABLE domain (
    name TEXT PRIMARY KEY,
    enabled INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE alias (
    source TEXT PRIMARY KEY,
    targets TEXT NOT NULL,               -- one a line
    enabled INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE TABLE account (
    login TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    may_send_as TEXT NOT NULL,           -- one a line
    enabled INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
