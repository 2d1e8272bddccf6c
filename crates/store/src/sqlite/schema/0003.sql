CREATE TABLE password (
    login TEXT NOT NULL,
    name TEXT NOT NULL,                  -- which client it is for
    verifier TEXT NOT NULL,
    scram_sha256 BLOB,
    scram_sha1 BLOB,
    sealed BLOB,                         -- the password itself, by a key that is not in the database
    made_ms INTEGER NOT NULL,
    PRIMARY KEY (login, name)
) WITHOUT ROWID;
CREATE TABLE client_certificate (
    login TEXT NOT NULL,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    made_ms INTEGER NOT NULL,
    PRIMARY KEY (login, name)
) WITHOUT ROWID;
INSERT INTO password (login, name, verifier, made_ms) SELECT login, 'first', password_hash, 0 FROM account;
ALTER TABLE account DROP COLUMN password_hash;
ALTER TABLE account ADD COLUMN salt BLOB NOT NULL DEFAULT x'';
UPDATE account SET salt = randomblob(16);
ALTER TABLE account ADD COLUMN legacy_mechanisms TEXT NOT NULL DEFAULT '';   -- one a line
ALTER TABLE account ADD COLUMN suspended TEXT;
ALTER TABLE account ADD COLUMN recipients_per_hour INTEGER;
ALTER TABLE account ADD COLUMN new_recipients_per_day INTEGER;
ALTER TABLE account ADD COLUMN imap_host TEXT;
CREATE TABLE login (                     -- where each password was used last
    login TEXT NOT NULL,
    password TEXT NOT NULL,
    network TEXT NOT NULL,
    address TEXT NOT NULL,
    mechanism TEXT NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (login, password, network)
) WITHOUT ROWID;
CREATE TABLE known_recipient (
    login TEXT NOT NULL,
    recipient INTEGER NOT NULL,          -- 64 bits of a hash: who wrote to whom is not to be read here
    first_ms INTEGER NOT NULL,
    PRIMARY KEY (login, recipient)
) WITHOUT ROWID;
