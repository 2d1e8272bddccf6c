CREATE TABLE api_token (
    name TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,           -- SHA-256 of the token
    scopes TEXT NOT NULL,                -- one a line
    domains TEXT NOT NULL,               -- one a line; '': all
    login TEXT,                          -- the account that it is for
    made_ms INTEGER NOT NULL,
    until_ms INTEGER,
    used_ms INTEGER
) WITHOUT ROWID;
