//! The tables, and the migrations of older databases.
//!
//! Invariant: `user_version` is the number of migrations that have run; a released migration is never edited.

use rusqlite::Connection;

use crate::error::StoreError;

const MIGRATIONS: &[&str] = &[
    "
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
",
    "
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
",
    "
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
",
    "ALTER TABLE message ADD COLUMN requiretls INTEGER NOT NULL DEFAULT 0",
    "
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
",
    "
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
",
    "
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
",
    "
CREATE TABLE total (                     -- how much there is, kept by the triggers below: counting a million rows takes a second
    id INTEGER PRIMARY KEY CHECK (id = 1),
    messages INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    set_aside INTEGER NOT NULL,
    held INTEGER NOT NULL,
    held_bytes INTEGER NOT NULL          -- a content counts once, however many held recipients share it
);
INSERT INTO total SELECT 1,
    (SELECT count(*) FROM message),
    (SELECT count(*) FROM recipient),
    (SELECT count(*) FROM recipient WHERE state = 2),
    (SELECT count(*) FROM recipient WHERE state = 3),
    (SELECT coalesce(sum(c.size_bytes), 0) FROM content c WHERE c.id IN
        (SELECT m.content_id FROM message m JOIN recipient r ON r.message_id = m.id WHERE r.state = 3));
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    UPDATE total SET messages = messages + 1;
END;
CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    UPDATE total SET messages = messages - 1;
END;
CREATE TRIGGER recipient_added AFTER INSERT ON recipient BEGIN
    UPDATE total SET recipients = recipients + 1, set_aside = set_aside + (NEW.state = 2), held = held + (NEW.state = 3);
END;
CREATE TRIGGER recipient_removed AFTER DELETE ON recipient BEGIN
    UPDATE total SET recipients = recipients - 1, set_aside = set_aside - (OLD.state = 2), held = held - (OLD.state = 3);
END;
CREATE TRIGGER recipient_moved AFTER UPDATE OF state ON recipient WHEN OLD.state <> NEW.state AND (OLD.state > 1 OR NEW.state > 1) BEGIN
    UPDATE total SET set_aside = set_aside + (NEW.state = 2) - (OLD.state = 2), held = held + (NEW.state = 3) - (OLD.state = 3);
END;
CREATE TRIGGER held_added AFTER INSERT ON recipient WHEN NEW.state = 3 BEGIN
    UPDATE total SET held_bytes = held_bytes + (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = NEW.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = NEW.message_id AND r.n = NEW.n)));
END;
CREATE TRIGGER held_removed AFTER DELETE ON recipient WHEN OLD.state = 3 BEGIN
    UPDATE total SET held_bytes = held_bytes - (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = OLD.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = OLD.message_id AND r.n = OLD.n)));
END;
CREATE TRIGGER held_released AFTER UPDATE OF state ON recipient WHEN OLD.state = 3 AND NEW.state <> 3 BEGIN
    UPDATE total SET held_bytes = held_bytes - (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = OLD.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = OLD.message_id AND r.n = OLD.n)));
END;
-- What is held has the end of its time in next_attempt_ms.
UPDATE recipient SET next_attempt_ms = (SELECT m.expires_ms FROM message m WHERE m.id = message_id)
    WHERE state = 3 AND message_id IN (SELECT id FROM message);
CREATE INDEX recipient_held_until ON recipient (next_attempt_ms) WHERE state = 3;
",
    "ALTER TABLE content ADD COLUMN crc32 INTEGER",   // of the whole content; NULL: committed before this column
    "CREATE INDEX srs_sender_made ON srs_sender (made_ms)",
    "CREATE INDEX recipient_set_aside ON recipient (lane) WHERE state = 2",
    "
CREATE TABLE alias_options (
    source TEXT PRIMARY KEY,             -- an alias, in the database or in the virtual file
    options TEXT NOT NULL                -- JSON
) WITHOUT ROWID;
INSERT INTO alias_options SELECT source, json_object('strict_domain', setting) FROM strict_domain;
DROP TABLE strict_domain;
",
    "
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
",
    "
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
",
    "
CREATE TABLE journal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    salt INTEGER NOT NULL                -- batches with another salt are void: these tables have what they say
);
INSERT INTO journal VALUES (1, random());
",
    "
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
",
    "
CREATE TABLE shared (                    -- small values that every node of a cluster needs
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    changed_ms INTEGER NOT NULL
) WITHOUT ROWID;
",
];

/// Returns the newest schema that this version knows.
pub(crate) fn newest_schema() -> u64 {
    MIGRATIONS.len() as u64
}

/// Returns the schema of a database.
///
/// # Errors
/// A newer version has written it.
pub(crate) fn refuse_newer(db: &Connection) -> Result<usize, StoreError> {
    let done: usize = db.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).map(|v| usize::try_from(v).unwrap_or(0))?;
    match done > MIGRATIONS.len() {
        true => Err(StoreError::Newer { found: done, known: MIGRATIONS.len() }),
        false => Ok(done),
    }
}

/// Runs the pending migrations.
pub(crate) fn migrate(db: &Connection) -> Result<(), StoreError> {
    let done = refuse_newer(db)?;
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        db.execute_batch(&format!("BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {}; COMMIT;", number + 1))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_of_every_version_migrate() {
        let dropped = MIGRATIONS.iter().position(|sql| sql.contains("DROP TABLE strict_domain")).unwrap();
        for version in 0..=MIGRATIONS.len() {
            let db = Connection::open_in_memory().unwrap();
            for sql in MIGRATIONS.iter().take(version) {
                db.execute_batch(sql).unwrap();
            }
            db.pragma_update(None, "user_version", i64::try_from(version).unwrap()).unwrap();
            if version > 0 {
                let columns = "id, content_id, flow, reverse_path, body_8bit, smtputf8, arrived_ms, expires_ms, prefix";
                db.execute(&format!("INSERT INTO message ({columns}) VALUES (1, 1, 'own', 'a@b.test', 0, 0, 0, 0, '')"), []).unwrap();
            }
            if (1..=2).contains(&version) {
                db.execute("INSERT INTO account (login, password_hash, may_send_as) VALUES ('me@b.test', '$argon2id$', '')", []).unwrap();
            }
            if (2..=dropped).contains(&version) {
                db.execute("INSERT INTO strict_domain VALUES ('me@b.test', 'hold')", []).unwrap();
            }
            if version == 5 {
                db.execute("INSERT INTO tls_result VALUES (0, 1, 'far.test', '{}', '', '', 7)", []).unwrap();
            }
            migrate(&db).unwrap();
            migrate(&db).unwrap();
            if (2..=dropped).contains(&version) {
                let options = "SELECT options FROM alias_options WHERE source = 'me@b.test'";
                assert_eq!(db.query_row(options, [], |row| row.get::<_, String>(0)).unwrap(), r#"{"strict_domain":"hold"}"#);
            }
            if version == 5 {
                let moved = "SELECT times FROM daily_result WHERE kind = 'tls' AND domain = 'far.test'";
                assert_eq!(db.query_row(moved, [], |row| row.get::<_, i64>(0)).unwrap(), 7);
            }
            if version > 0 {
                let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
                assert_eq!(count("SELECT messages FROM total"), 1, "existing rows are counted");
                db.execute("DELETE FROM message WHERE id = 2", []).unwrap();
                assert_eq!(count("SELECT messages FROM total"), 1);
            }
            let reported: i64 = db.query_row("SELECT coalesce(min(may_report), 1) FROM message", [], |row| row.get(0)).unwrap();
            assert_eq!(reported, 1, "mail queued before gets DSNs as before");
            if (1..=2).contains(&version) {
                let moved = "SELECT verifier || name || length(salt) FROM password JOIN account USING (login)";
                assert_eq!(db.query_row(moved, [], |row| row.get::<_, String>(0)).unwrap(), "$argon2id$first16");
            }
        }
    }
}
