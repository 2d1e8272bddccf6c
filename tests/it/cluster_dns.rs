//! The DNS watch of several nodes: one compares, another takes over, and no loss is reported twice or by none.

use std::time::Duration;

use it::{Dns, Lab, MX_PORT, Sink, Waypost, wait_for, wait_within, zone};
use pg_lab::PgServer;

/// Some turns of the check, and some time for the letter.
const REPORTED_WITHIN: Duration = Duration::from_secs(40);

fn looks(of: &Waypost) -> usize {
    of.log().matches("DNS compared").count()
}

#[test]
fn another_node_compares_dns_after_the_end_of_the_first_and_repeats_no_letter() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let dns = Dns::start_for_updates(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let options = "postmaster = \"boss@inbox.test\"\n[dns]\ncheck_every = 1\naddresses = [\"192.0.2.10\"]\n";
    let node = |name, host| Waypost::node(&lab, (name, host), &database.url(), options);
    let (mut a, mut b) = (node("a", 11), node("b", 12));
    a.start_hosting("foo@inbox.test");
    let seen = || database.sql("SELECT convert_from(value, 'UTF8') FROM shared WHERE name = 'seen/dns-seen.json'");
    wait_for("a first look", || seen().contains("example.test. MX").then_some(()));
    b.start();
    dns.update("test.", "del example.test. MX\nadd example.test. 60 MX 10 mx.parking.test.");
    let about = |what: &str| inbox.messages().iter().filter(|letter| letter.text().contains(what)).count();
    let lost = "Subject: Waypost: mail for example.test goes to another server";
    wait_within(REPORTED_WITHIN, "a letter about the MX record", || (about(lost) == 1).then_some(()));
    let before = looks(&a);
    wait_within(REPORTED_WITHIN, "two further looks of a", || (looks(&a) >= before + 2).then_some(()));
    assert_eq!((looks(&b), about(lost)), (0, 1), "b leaves it to a");

    // The record is mended and lost again: the first is seen by a, the second by b.
    dns.update("test.", "del example.test. MX\nadd example.test. 60 MX 10 mx.example.test.");
    wait_within(REPORTED_WITHIN, "a to see the record", || seen().contains("example.test. MX 10 mx.example.test.").then_some(()));
    a.kill();
    database.sql("UPDATE node SET lease_until = clock_timestamp() WHERE name = 'a'");
    wait_within(REPORTED_WITHIN, "two looks of b", || (looks(&b) >= 2).then_some(()));
    assert_eq!(about(lost), 1, "b knows what was reported");
    dns.update("test.", "del example.test. MX\nadd example.test. 60 MX 10 mx.parking.test.");
    wait_within(REPORTED_WITHIN, "a letter from b", || (about(lost) == 2).then_some(()));
    // a comes back, and leaves it to b.
    let before = (looks(&a), looks(&b));
    a.start();
    wait_within(REPORTED_WITHIN, "three further looks of b", || (looks(&b) >= before.1 + 3).then_some(()));
    assert_eq!((looks(&a), about(lost)), (before.0, 2));
    a.assert_no_bugs();
    b.assert_no_bugs();
}
