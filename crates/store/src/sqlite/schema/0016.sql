CREATE TABLE passkey (
    id BLOB PRIMARY KEY,                 -- the authenticator's name of it
    login TEXT NOT NULL,
    name TEXT NOT NULL,
    algorithm INTEGER NOT NULL,          -- as COSE numbers it
    public_key BLOB NOT NULL,            -- SubjectPublicKeyInfo
    counter INTEGER NOT NULL,            -- of signatures; 0: it does not count
    made_ms INTEGER NOT NULL,
    used_ms INTEGER
) WITHOUT ROWID;
CREATE INDEX passkey_login ON passkey (login);
