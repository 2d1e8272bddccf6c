//! Limits of two servers over one PostgreSQL: each has its part, and one has all when the other is drained or dead.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use it::{Dns, Lab, SUBMISSION_PORT, Talk, Waypost, base64, wait_within, zone};
use pg_lab::PgServer;

/// A heartbeat, and some time to notice it.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

const LIMITS: &str = "[submission]\nrecipients_per_hour = 4\n[limits]\nfailed_logins_per_client = 4\n";

/// Sends to one more recipient in a session; true if it is taken.
fn sends(talk: &mut Talk, number: u32) -> bool {
    let reply = talk.say(&format!("RCPT TO:<r{number}@foreign.test>"));
    assert!(reply.starts_with("250") || reply.contains("recipients an hour"), "{reply}");
    reply.starts_with("250")
}

/// A session of the account, after MAIL.
fn session(node: &Waypost, password: &str) -> Talk {
    let mut talk = node.logged_in("me@example.test", password);
    talk.expect("MAIL FROM:<me@example.test>", "250");
    talk
}

/// Tries a password, each client for a user of its own; true if it is looked at.
fn guesses(node: &Waypost, client: u8) -> bool {
    // The same password again is no guess.
    static GUESSES: AtomicU32 = AtomicU32::new(0);
    let guess = GUESSES.fetch_add(1, Ordering::Relaxed);
    let mut talk = Talk::connect_from(Ipv4Addr::new(127, 77, 0, client), node.address, SUBMISSION_PORT);
    talk.reply();
    talk.expect("EHLO client.foreign.test", "250");
    talk.start_tls(&node.certificate());
    talk.expect("EHLO client.foreign.test", "250");
    let reply = talk.say(&format!("AUTH PLAIN {}", base64(&format!("\0user{client}@example.test\0guess {guess}"))));
    assert!(reply.starts_with("535") || reply.contains("too many failed logins"), "{reply}");
    reply.starts_with("535")
}

/// Guesses of a client before it is refused.
fn guesses_in_all(node: &Waypost, client: u8) -> usize {
    (0..9).take_while(|_| guesses(node, client)).count()
}

#[test]
fn two_servers_have_half_of_a_limit_each_and_one_has_all_without_the_other() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    let node = |name, host| Waypost::node(&lab, (name, host), &database.url(), LIMITS);
    let (mut a, mut b) = (node("a", 11), node("b", 12));
    a.start_hosting("foo@inbox.test");
    let password = a.account("me@example.test");
    b.start();
    // Each of these clients gets its part anew.
    let mut clients = 1..=250;
    let mut halves = |node: &Waypost, others: &Waypost| {
        let client = wait_within(NOTICED_WITHIN, "each node to have its half", || {
            let client = clients.next()?;
            (guesses_in_all(node, client) == 2).then_some(client)
        });
        assert_eq!(guesses_in_all(others, client), 2, "in sum as one server");
        client
    };
    halves(&a, &b);
    let (mut over_a, mut over_b) = (session(&a, &password), session(&b, &password));
    for talk in [&mut over_a, &mut over_b] {
        let taken = (0..5).take_while(|number| sends(talk, *number)).count();
        assert_eq!(taken, 2, "half of 4");
    }

    b.kill();
    database.sql("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'b'");
    wait_within(NOTICED_WITHIN, "a to have the part of b", || sends(&mut over_a, 10).then_some(()));
    let taken = (11..15).take_while(|number| sends(&mut over_a, *number)).count();
    assert_eq!(taken, 1, "4 in all");

    b.start();
    let client = halves(&a, &b);
    assert!(!guesses(&a, client));
    a.ok(&["node", "drain", "b"]);
    wait_within(NOTICED_WITHIN, "a to have the part of b", || guesses(&a, client).then_some(()));
    a.assert_no_bugs();
    b.assert_no_bugs();
}
