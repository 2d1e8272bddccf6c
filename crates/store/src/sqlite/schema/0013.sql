ALTER TABLE account ADD COLUMN owner INTEGER NOT NULL DEFAULT 0;
CREATE TABLE page_session (
    id BLOB PRIMARY KEY,                 -- SHA-256 of the cookie
    login TEXT NOT NULL,                 -- '': the operator, before there is an account
    verifiers BLOB NOT NULL,             -- SHA-256 of each password verifier that the account must still have
    begun_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    client TEXT NOT NULL,
    browser TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE one_time_link (
    token BLOB PRIMARY KEY,              -- SHA-256 of the token
    login TEXT NOT NULL,
    purpose TEXT NOT NULL,               -- login, invitation
    until_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE second_step (
    login TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,                -- the secret, by a key that is not in the database
    recovery BLOB NOT NULL,              -- SHA-256 of each recovery code that is left
    last_step INTEGER NOT NULL,          -- of the last code that was used
    made_ms INTEGER NOT NULL
) WITHOUT ROWID;
