//! Servers that share a PostgreSQL: one takes over what another had claimed, and none acknowledges what the database does not have.

use std::time::{Duration, Instant};

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, wait_for, wait_within, zone};
use pg_lab::PgServer;

/// The lease of a node, and some time to notice its end.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(45);

/// The nodes of a test, their database, and the host of the mailbox that the alias leads to.
struct Cluster {
    inbox: Option<Sink>,
    nodes: Vec<Waypost>,
    database: PgServer,
    _dns: Dns,
    lab: Lab,
}

impl Cluster {
    /// Starts nodes; the first one hosts example.test with the alias `me@`.
    fn start(names: &[&str]) -> Self {
        let mut cluster = Self::without_inbox(names);
        cluster.open_inbox();
        cluster
    }

    /// The same while the host of the mailbox is down.
    fn without_inbox(names: &[&str]) -> Self {
        let (lab, database) = (Lab::new(), PgServer::default());
        let dns = Dns::start(&lab, &zone(&lab));
        let mut cluster = Self { inbox: None, nodes: Vec::new(), database, _dns: dns, lab };
        for (host, name) in (11..).zip(names) {
            let mut node = Waypost::node(&cluster.lab, (name, host), &cluster.database.url(), "");
            if cluster.nodes.is_empty() {
                node.start_hosting("foo@inbox.test")
            } else {
                node.start()
            }
            cluster.nodes.push(node);
        }
        cluster
    }

    /// Starts the host of the mailbox.
    fn open_inbox(&mut self) {
        self.inbox = Some(Sink::start(self.lab.address(2), MX_PORT));
    }

    fn inbox(&self) -> &Sink {
        self.inbox.as_ref().expect("it is open")
    }

    /// A session with a node after EHLO.
    fn greeted(&self, node: usize) -> Talk {
        Talk::greeted(self.nodes[node].address, MX_PORT)
    }

    /// The number that a query of the database returns.
    fn number(&self, sql: &str) -> u64 {
        self.database.sql(sql).parse().unwrap()
    }
}

fn content(subject: &str) -> String {
    format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\nhello\r\n")
}

/// What would be left if the content of a message were lost on the way: its octets and size.
fn large(subject: &str) -> String {
    format!("From: her@foreign.test\r\nSubject: {subject}\r\n\r\n{}", "0123456789abcdef0123456789abcdef\r\n".repeat(30_000))
}

#[test]
fn a_node_forwards_small_and_large_mail_over_its_database() {
    let cluster = Cluster::start(&["a"]);
    let mut talk = cluster.greeted(0);
    talk.taken("her@foreign.test", "me@example.test", &content("small one"));
    talk.taken("her@foreign.test", "me@example.test", &large("large one"));
    cluster.inbox().wait_for("small one");
    let text = cluster.inbox().wait_for("large one").text();
    assert_eq!(text.matches("0123456789abcdef0123456789abcdef\r\n").count(), 30_000);
    cluster.nodes[0].wait_for_empty_queue();
    let left = "SELECT (SELECT count(*) FROM message) + (SELECT count(*) FROM content) + (SELECT count(*) FROM content_piece)";
    assert_eq!(cluster.number(left), 0);
    cluster.nodes[0].wait_for_no_file("copies");
    cluster.nodes[0].assert_no_bugs();
}

#[test]
fn large_mail_that_waits_is_read_back_by_another_node() {
    let mut cluster = Cluster::without_inbox(&["a", "b"]);
    cluster.greeted(0).taken("her@foreign.test", "me@example.test", &large("deferred one"));
    wait_for("a deferral", || (cluster.number("SELECT count(*) FROM recipient WHERE state = 0 AND status IS NOT NULL") == 1).then_some(()));
    cluster.nodes[0].kill();
    cluster.open_inbox();
    cluster.nodes[1].ok(&["queue", "retry", "--all"]);
    let text = cluster.inbox().wait_for("deferred one").text();
    assert_eq!(text.matches("0123456789abcdef0123456789abcdef\r\n").count(), 30_000);
    cluster.nodes[1].wait_for_empty_queue();
}

#[test]
fn what_a_killed_node_held_is_delivered_by_another_within_its_lease() {
    let mut cluster = Cluster::without_inbox(&["a", "b"]);
    // The host takes the connection, and never says a word.
    let silent = std::net::TcpListener::bind((cluster.lab.address(2), MX_PORT)).unwrap();
    cluster.greeted(0).taken("her@foreign.test", "me@example.test", &content("of a dead node"));
    assert_eq!(cluster.number("SELECT count(*) FROM recipient WHERE state = 1"), 1, "a has claimed it");
    cluster.nodes[0].kill();
    drop(silent);
    cluster.open_inbox();
    let begin = Instant::now();
    wait_within(TAKEN_OVER_WITHIN, "b to take over", || {
        cluster.inbox().messages().iter().any(|message| message.text().contains("of a dead node")).then_some(())
    });
    assert!(begin.elapsed() > Duration::from_secs(10), "not before the lease has ended: {:?}", begin.elapsed());
    cluster.nodes[1].wait_for_empty_queue();
    assert_eq!(cluster.inbox().messages().len(), 1);
    cluster.nodes[1].assert_no_bugs();
}

#[test]
fn without_its_database_a_node_says_4xx_and_recovers_by_itself() {
    let mut cluster = Cluster::start(&["a"]);
    let mut talk = cluster.greeted(0);
    talk.taken("her@foreign.test", "me@example.test", &content("before"));
    cluster.inbox().wait_for("before");
    cluster.database.stop();
    for n in 0..3 {
        let reply = talk.message("her@foreign.test", "me@example.test", &content(&format!("meanwhile {n}")));
        assert!(reply.starts_with('4'), "{reply}");
    }
    cluster.database.resume();
    wait_for("mail to be taken again", || {
        let reply = cluster.greeted(0).message("her@foreign.test", "me@example.test", &content("after"));
        assert!(reply.starts_with('4') || reply.starts_with("250"), "{reply}");
        reply.starts_with("250").then_some(())
    });
    cluster.inbox().wait_for("after");
    cluster.nodes[0].wait_for_empty_queue();
    let subjects: Vec<String> = cluster.inbox().messages().iter().map(it::Delivered::text).collect();
    assert!(!subjects.iter().any(|text| text.contains("meanwhile")), "what was refused was not kept");
    cluster.nodes[0].assert_no_bugs();
}

#[test]
fn a_change_of_the_directory_counts_on_every_node_within_a_second() {
    let cluster = Cluster::start(&["a", "b"]);
    let is_known = |alias: &str| {
        let mut talk = cluster.greeted(1);
        talk.expect("MAIL FROM:<her@foreign.test>", "250");
        let reply = talk.say(&format!("RCPT TO:<{alias}>"));
        assert!(reply.starts_with("250") || reply.starts_with("550"), "{reply}");
        reply.starts_with("250")
    };
    // Without a notification, node b looks every two seconds. The first change may come just before a look; each later one comes after the look
    // that found the one before. On a busy machine some may take longer.
    let took = (0..4).map(|n| {
        let alias = format!("new{n}@example.test");
        assert!(!is_known(&alias));
        cluster.nodes[0].ok(&["alias", "add", &alias, "foo@inbox.test"]);
        let begin = Instant::now();
        wait_for("the other node to know the alias", || is_known(&alias).then_some(()));
        begin.elapsed()
    });
    let quickest = took.skip(1).min().unwrap();
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
}

#[test]
fn a_database_that_would_lose_mail_is_refused_with_a_hint() {
    let (lab, database) = (Lab::new(), PgServer::start("fsync = on\nsynchronous_commit = off\n"));
    let node = Waypost::node(&lab, ("a", 11), &database.url(), "");
    node.configure(|config| config.remove("store.accept_loss"));
    let refused = node.refused(&["domain", "add", "--bare", "example.test"]);
    assert!(refused.contains("synchronous_commit = off") && refused.contains("store.accept_loss"), "{refused}");
}

#[test]
fn a_backup_of_the_shared_database_is_restored_as_one_server() {
    let mut cluster = Cluster::without_inbox(&["a"]);
    let mut talk = cluster.greeted(0);
    talk.taken("her@foreign.test", "me@example.test", &content("small one"));
    talk.taken("her@foreign.test", "me@example.test", &large("large one"));
    let verified = cluster.nodes[0].ok(&["queue", "verify"]);
    assert!(verified.contains("2 messages") && verified.contains("nothing is damaged"), "{verified}");
    let backup = cluster.lab.path().join("backup");
    for _ in 0..2 {
        cluster.nodes[0].ok(&["backup", backup.to_str().unwrap()]);
    }
    cluster.nodes[0].kill();
    let mut restored = Waypost::configured(&cluster.lab, "");
    restored.ok(&["restore", backup.to_str().unwrap()]);
    restored.start();
    cluster.open_inbox();
    restored.ok(&["queue", "retry", "--all"]);
    cluster.inbox().wait_for("small one");
    assert_eq!(cluster.inbox().wait_for("large one").text().matches("0123456789abcdef0123456789abcdef\r\n").count(), 30_000);
    restored.wait_for_empty_queue();
}

#[test]
fn a_command_without_a_server_leaves_no_lease_behind() {
    let cluster = Cluster::without_inbox(&["a"]);
    let b = Waypost::node(&cluster.lab, ("b", 12), &cluster.database.url(), "");
    for n in 0..5 {
        b.ok(&["alias", "add", &format!("number{n}@example.test"), "foo@inbox.test"]);
        assert_eq!(cluster.database.sql("SELECT name FROM node WHERE lease_until > clock_timestamp()"), "a", "after {n}");
    }
}
