//! What the database may do to a node: it is full, read-only or slow, refuses logins, or shows a certificate. A client hears 4xx and never 250 for what is
//! not committed, the log says why, and mail flows again without a restart.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;

use it::{Dns, Lab, MX_PORT, Mount, Sink, Talk, Waypost, run_ok, wait_within, zone};
use pg_lab::PgServer;

/// Time for an outcome: a commit is given up after 25 seconds.
const SOON: Duration = Duration::from_secs(90);

/// Who may log in, by this server's file: the role `mail` with its password, all others as they are.
const WITH_PASSWORD: &str = "local all mail scram-sha-256\nlocal all all trust\nlocal replication all trust\n";

/// A node over a database, and the host of the mailbox behind its alias.
struct Scene {
    node: Waypost,
    inbox: Sink,
    database: PgServer,
    _dns: Dns,
    lab: Lab,
}

fn content(subject: &str) -> String {
    format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\nhello\r\n")
}

impl Scene {
    /// Starts a node that reaches its database by the address that `url` returns.
    fn start(lab: Lab, database: PgServer, url: &str) -> Self {
        let dns = Dns::start(&lab, &zone(&lab));
        let inbox = Sink::start(lab.address(2), MX_PORT);
        let mut node = Waypost::node(&lab, ("a", 11), url, "");
        // What is accepted is in the database before anything is delivered.
        node.configure(|config| config.set("forward.mode", "queue"));
        node.start_hosting("foo@inbox.test");
        Self { node, inbox, database, _dns: dns, lab }
    }

    /// The same with a role that is not the database's superuser.
    fn with_role(lab: Lab, database: PgServer) -> Self {
        database.sql("CREATE ROLE mail LOGIN PASSWORD 'first'");
        database.sql("GRANT ALL ON SCHEMA public TO mail");
        let url = database.url_of("mail:first", "waypost");
        Self::start(lab, database, &url)
    }

    /// Sends a message; returns the reply.
    fn send(&self, subject: &str) -> String {
        Talk::greeted(self.node.address, MX_PORT).message("her@foreign.test", "me@example.test", &content(subject))
    }

    /// Breaks the connections of the node.
    fn break_connections(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'waypost %'";
        self.database.sql_in("postgres", sql);
    }

    /// Mail is refused, and the log says why.
    fn assert_refused(&self, why: &str) {
        let mut subjects = 0;
        wait_within(SOON, "a refusal", || {
            subjects += 1;
            let reply = self.send(&format!("refused {subjects}"));
            reply.starts_with('4').then_some(())
        });
        for n in 0..3 {
            let reply = self.send(&format!("refused too {n}"));
            assert!(reply.starts_with('4'), "{reply}");
        }
        wait_within(SOON, why, || self.node.log().contains(why).then_some(()));
    }

    /// Mail is taken again, and arrives; what was refused at the end has not been kept.
    fn assert_back(&self) {
        wait_within(SOON, "mail to be taken again", || {
            let reply = self.send("after");
            assert!(reply.starts_with('4') || reply.starts_with("250"), "{reply}");
            reply.starts_with("250").then_some(())
        });
        self.inbox.wait_for("after");
        self.node.wait_for_empty_queue();
        let kept = self.inbox.messages().iter().filter(|message| message.text().contains("refused too")).count();
        assert_eq!(kept, 0, "what was refused was not kept");
        self.node.assert_no_bugs();
    }
}

#[test]
fn a_database_that_becomes_read_only() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let url = database.url();
    let scene = Scene::start(lab, database, &url);
    scene.database.sql("ALTER DATABASE waypost SET default_transaction_read_only = on");
    scene.break_connections();
    scene.assert_refused("the database is read-only");
    scene.database.sql_in("postgres", "ALTER DATABASE waypost RESET default_transaction_read_only");
    scene.assert_back();
}

#[test]
fn a_database_that_refuses_the_login() {
    let scene = Scene::with_role(Lab::new(), PgServer::default());
    scene.database.sql("ALTER ROLE mail NOLOGIN");
    scene.break_connections();
    scene.assert_refused("the database refuses the login");
    scene.database.sql("ALTER ROLE mail LOGIN");
    scene.assert_back();
}

/// A database that asks the role `mail` for its password.
fn with_passwords(lab: &Lab) -> PgServer {
    let hba = lab.path().join("hba.conf");
    fs::write(&hba, WITH_PASSWORD).unwrap();
    open_to_all(&hba);
    PgServer::start(&format!("fsync = off\nhba_file = '{}'\n", hba.display()))
}

#[test]
fn a_password_that_is_wrong_or_changed() {
    let lab = Lab::new();
    let database = with_passwords(&lab);
    let scene = Scene::with_role(lab, database);
    let stranger = Waypost::node(&scene.lab, ("b", 12), &scene.database.url_of("mail:wrong", "waypost"), "");
    let refused = stranger.refused(&["domain", "add", "--bare", "other.test"]);
    assert!(refused.contains("the database refuses the login"), "{refused}");
    scene.database.sql("ALTER ROLE mail PASSWORD 'second'");
    scene.break_connections();
    scene.assert_refused("the database refuses the login");
    scene.database.sql("ALTER ROLE mail PASSWORD 'first'");
    scene.assert_back();
}

#[test]
fn a_new_password_in_its_file_counts_without_a_restart() {
    let lab = Lab::new();
    let database = with_passwords(&lab);
    database.sql("CREATE ROLE mail LOGIN PASSWORD 'first'; GRANT ALL ON SCHEMA public TO mail");
    let file = lab.path().join("store.password");
    fs::write(&file, "first\n").unwrap();
    let dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut node = Waypost::node(&lab, ("a", 11), &database.url_of("mail", "waypost"), "");
    node.configure(|config| config.set("forward.mode", "queue").set("store.password_file", file.display().to_string()));
    node.start_hosting("foo@inbox.test");
    let scene = Scene { node, inbox, database, _dns: dns, lab };
    scene.database.sql("ALTER ROLE mail PASSWORD 'second'");
    scene.break_connections();
    scene.assert_refused("the database refuses the login");
    // As `install` does.
    let new = file.with_extension("new");
    fs::write(&new, "second\n").unwrap();
    fs::rename(&new, &file).unwrap();
    scene.assert_back();
}

#[test]
fn a_database_whose_tables_are_full() {
    let lab = Lab::new();
    let small = lab.path().join("small");
    fs::create_dir(&small).unwrap();
    open_to_all(&small);
    let mount = Mount::of(&small, 24);
    let space = small.join("tables");
    fs::create_dir(&space).unwrap();
    chown(&space, Some(owner_of_servers()), None).unwrap();
    let database = PgServer::default();
    database.sql(&format!("CREATE TABLESPACE small LOCATION '{}'", space.display()));
    database.sql("ALTER DATABASE waypost SET default_tablespace = small");
    let url = database.url();
    let scene = Scene::start(lab, database, &url);
    let filler = mount.fill_but(0);
    // What is in the tables has some room left.
    let mut n = 0;
    wait_within(SOON, "a refusal", || {
        n += 1;
        let text = format!("From: her@foreign.test\r\nSubject: filler {n}\r\n\r\n{}", "0123456789abcdef\r\n".repeat(6_000));
        let reply = Talk::greeted(scene.node.address, MX_PORT).message("her@foreign.test", "me@example.test", &text);
        reply.starts_with('4').then_some(())
    });
    fs::remove_file(&filler).unwrap();
    scene.assert_back();
}

/// PostgreSQL panics where its log cannot grow, and ends if it cannot recover.
#[test]
fn a_database_whose_log_is_full() {
    let lab = Lab::new();
    let small = lab.path().join("small");
    fs::create_dir(&small).unwrap();
    open_to_all(&small);
    let mount = Mount::of(&small, 160);
    let mut database = PgServer::start("fsync = off\nmax_wal_size = 48MB\nmin_wal_size = 32MB\n");
    database.stop();
    database.move_log(&small);
    database.resume();
    let url = database.url();
    let mut scene = Scene::start(lab, database, &url);
    let filler = mount.fill_but(0);
    // What has a segment already is used up first: one of 16 MiB, and those that were made in advance.
    let mut n = 0;
    wait_within(SOON, "a refusal", || {
        n += 1;
        let text = format!("From: her@foreign.test\r\nSubject: filler {n}\r\n\r\n{}", "0123456789abcdef\r\n".repeat(60_000));
        let reply = Talk::greeted(scene.node.address, MX_PORT).message("her@foreign.test", "me@example.test", &text);
        reply.starts_with('4').then_some(())
    });
    for n in 0..3 {
        let reply = scene.send(&format!("refused too {n}"));
        assert!(reply.starts_with('4'), "{reply}");
    }
    fs::remove_file(&filler).unwrap();
    scene.database.recover();
    scene.assert_back();
}

#[test]
fn commits_that_take_a_second_delay_mail_and_refuse_none() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let url = database.url();
    let scene = Scene::start(lab, database, &url);
    scene.database.sql("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1); RETURN NULL; END'");
    scene
        .database
        .sql("CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON content DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()");
    for n in 0..4 {
        let reply = scene.send(&format!("slow {n}"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    (0..4).for_each(|n| drop(scene.inbox.wait_for(&format!("slow {n}"))));
    scene.node.wait_for_empty_queue();
    scene.node.assert_no_bugs();
}

#[test]
fn a_synchronous_standby_that_is_down_holds_every_commit() {
    let (lab, database) = (Lab::new(), PgServer::start("fsync = on\n"));
    let mut standby = database.synchronous_standby();
    let url = database.url();
    let scene = Scene::start(lab, database, &url);
    standby.stop();
    // A commit is given up after 25 seconds, and another one may be before it.
    let refused = crate::cluster_faults::send(scene.node.address, 1).unwrap_err();
    assert!(refused.to_string().starts_with('4'), "{refused}");
    wait_within(SOON, "the reason", || scene.node.log().contains("the database did not answer within").then_some(()));
    standby.resume();
    scene.assert_back();
}

#[test]
fn a_certificate_of_the_database_is_verified() {
    let lab = Lab::new();
    let keys = lab.path().join("keys");
    fs::create_dir(&keys).unwrap();
    open_to_all(&keys);
    let address = lab.address(30);
    let of = |name: &str| keys.join(name).display().to_string();
    let authority = |name: &str| {
        let (key, certificate) = (of(&format!("{name}.key")), of(&format!("{name}.pem")));
        let subject = format!("/CN={name}");
        run_ok(
            "openssl",
            &["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", &subject, "-keyout", &key, "-out", &certificate],
        );
    };
    authority("right");
    authority("wrong");
    let name = format!("subjectAltName=IP:{address}");
    let request = ["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", "/CN=database", "-addext", &name];
    let (key, certificate, ca, ca_key) = (of("server.key"), of("server.pem"), of("right.pem"), of("right.key"));
    let signed = ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", &ca, "-CAkey", &ca_key, "-keyout", &key, "-out", &certificate];
    run_ok("openssl", &request.iter().chain(&signed).copied().collect::<Vec<_>>());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&key, Some(owner_of_servers()), None).unwrap();
    let hba = of("hba.conf");
    fs::write(&hba, "local all all trust\nhostssl all all 127.0.0.0/8 trust\n").unwrap();
    for file in [&hba, &certificate] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let database = PgServer::start(&format!(
        "fsync = off\nlisten_addresses = '{address}'\nssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\nhba_file = '{hba}'\n"
    ));
    let url = |parameters: &str| format!("postgres://waypost@{address}/waypost?{parameters}");
    let refused = |parameters: &str| {
        let node = Waypost::node(&lab, ("b", 12), &url(parameters), "");
        node.refused(&["domain", "add", "--bare", "other.test"])
    };
    let (right, wrong) = (format!("sslrootcert={}", of("right.pem")), format!("sslrootcert={}", of("wrong.pem")));
    for mode in ["verify-full", "verify-ca", "require"] {
        let text = refused(&format!("sslmode={mode}&{wrong}"));
        assert!(text.to_lowercase().contains("certificate"), "{mode}: {text}");
    }
    let text = refused("sslmode=disable");
    assert!(text.contains("no encryption") || text.contains("SSL off") || text.contains("refuses the login"), "{text}");
    let scene = Scene::start(lab, database, &url(&format!("sslmode=verify-full&{right}")));
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name LIKE 'waypost a %'";
    assert_eq!(scene.database.sql(encrypted), "t");
    scene.assert_back();
}

/// Lets the user of the servers read a file, and enter the folders above it.
fn open_to_all(path: &Path) {
    for part in path.ancestors().take_while(|part| *part != Path::new("/") && *part != std::env::temp_dir()) {
        let mode = if part.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(part, fs::Permissions::from_mode(mode)).unwrap();
    }
}

/// The user of the servers, since PostgreSQL refuses to run as root.
fn owner_of_servers() -> u32 {
    nix::unistd::User::from_name("nobody").unwrap().unwrap().uid.as_raw()
}
