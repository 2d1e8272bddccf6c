//! DSNs about forwarded mail are returned to its sender, and nothing else is. Threat 41.

use it::{Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, forwarding_zone, wait_for};
use mail::srs::{Hash, Secret, Srs};
use mail::{Domain, Mailbox, Reply};

/// The secret of this lab's return addresses.
const SECRET: &str = "the secret of this laboratory";

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    /// The mailbox of her@foreign.test.
    hers: Sink,
    _dns: Dns,
    lab: Lab,
}

fn scene(forward: &str) -> Scene {
    scene_with(forward, |_| None)
}

fn scene_with(forward: &str, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Scene {
    scene_of(&format!("{SECRET}\npostsrsd:old secret\n"), forward, judge)
}

fn scene_of(secrets: &str, forward: &str, judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static) -> Scene {
    let lab = Lab::new();
    let forward = format!("[forward]\ndomain = \"fwd.example.test\"\nunauthenticated = \"accept\"\n{forward}");
    let mut waypost = Waypost::configured(&lab, &forward);
    let secrets = lab.write("data/srs.secrets", secrets);
    std::fs::set_permissions(secrets, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + &waypost.keys("fwd.example.test")));
    let inbox = Sink::judging(lab.address(2), MX_PORT, |_| None, judge);
    let hers = Sink::start(lab.address(3), MX_PORT);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start();
    Scene { waypost, inbox, hers, _dns: dns, lab }
}

fn srs(hash: Hash, secret: &str) -> Srs {
    let secrets = vec![Secret { hash, key: secret.as_bytes().to_vec() }];
    Srs { domain: Domain::parse("fwd.example.test").unwrap(), secrets, mac: net::srs_mac }
}

fn now_unix_s() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// A return address for her, made some days ago.
fn return_address(srs: &Srs, sender: &str, days_ago: i64) -> String {
    srs.rewrite(&Mailbox::parse(sender).unwrap(), now_unix_s() - days_ago * 86_400).unwrap().address.to_string()
}

impl Scene {
    fn talk(&self) -> Talk {
        Talk::greeted(self.waypost.address, MX_PORT)
    }

    fn send(&self, from: &str, to: &str, subject: &str) -> String {
        let author = if from.is_empty() { "mailer-daemon@inbox.test" } else { from };
        self.talk().message(from, to, &format!("From: <{author}>\r\nSubject: {subject}\r\n\r\nbody\r\n"))
    }

    fn rcpt(&self, from: &str, to: &str) -> String {
        let mut talk = self.talk();
        talk.expect(&format!("MAIL FROM:<{from}>"), "250");
        talk.say(&format!("RCPT TO:<{to}>"))
    }
}

#[test]
fn a_dsn_of_the_target_goes_back_to_the_sender() {
    let scene = scene("");
    let longest = format!("{}@foreign.test", "x".repeat(60));
    for (n, sender) in
        ["her@foreign.test", "her+tag.x=y@foreign.test", "\"her odd\"@foreign.test", longest.as_str()].into_iter().enumerate()
    {
        let taken = scene.send(sender, "me@example.test", &format!("letter{n}"));
        assert!(taken.starts_with("250 "), "{taken}");
        let path = scene.inbox.wait_for(&format!("Subject: letter{n}\r\n")).from.trim_matches(['<', '>']).to_owned();
        assert!(path.ends_with("@fwd.example.test") && path.rsplit_once('@').unwrap().0.len() <= 66, "{path}");
        // A relay may have changed the case.
        for (again, path) in [path.clone(), path.to_lowercase()].iter().enumerate() {
            let subject = format!("failed{n}-{again}");
            let back = scene.send("", path, &subject);
            assert!(back.starts_with("250 "), "{path}: {back}");
            let report = scene.hers.wait_for(&format!("Subject: {subject}\r\n"));
            assert_eq!((report.from.as_str(), report.to.as_slice()), ("<>", [format!("<{sender}>")].as_slice()));
        }
    }
    scene.waypost.wait_for_empty_queue();
    scene.waypost.assert_no_bugs();
}

#[test]
fn threat_41_only_our_own_fresh_addresses_are_reversed() {
    let scene = scene("dsns_per_sender = 1000\n");
    let ours = srs(Hash::Sha256, SECRET);
    let fresh = return_address(&ours, "her@foreign.test", 0);
    let reply = scene.rcpt("", &fresh);
    assert!(reply.starts_with("250 "), "{reply}");
    let (hash, rest) = (fresh[5..21].to_owned(), &fresh[21..]);
    let flipped = format!("SRS0={}{}{rest}", if hash.starts_with('A') { 'B' } else { 'A' }, &hash[1..]);
    let refused = [
        (flipped, "a wrong hash"),
        (fresh.replace("=her@", "=him@"), "another local part"),
        (fresh.replace("=foreign.test=", "=victim.test="), "another domain"),
        (fresh.replace("=foreign.test=her@", "=foreign.tes=ther@"), "the sign between domain and local part moved"),
        (format!("SRS0={}{rest}", &hash[..7]), "a short hash"),
        (format!("SRS0={rest}"), "no hash"),
        ("SRS0=@fwd.example.test".into(), "nothing"),
        ("SRS1=AAAA=other.test==AAAA=AA=x.test=y@fwd.example.test".into(), "another forwarder's, unsigned"),
        (return_address(&ours, "her@foreign.test", 23), "expired"),
        (return_address(&ours, "her@foreign.test", -3), "of the future"),
        (return_address(&srs(Hash::Sha256, "a secret of somebody else"), "her@foreign.test", 0), "another secret"),
        (return_address(&srs(Hash::Classic, "somebody else"), "her@foreign.test", 0), "another classic secret"),
        (return_address(&srs(Hash::Classic, SECRET), "her@foreign.test", 0), "our secret, hashed in another way"),
    ];
    for (address, why) in refused {
        let reply = scene.rcpt("", &address);
        assert!(reply.starts_with("550 5.7.1 "), "{why}: {address}: {reply}");
    }
    let old = return_address(&srs(Hash::Classic, "old secret"), "her@foreign.test", 3);
    let reply = scene.rcpt("", &old);
    assert!(reply.starts_with("250 "), "an address from before the move: {reply}");
    assert!(scene.hers.messages().is_empty());
    scene.waypost.assert_no_bugs();
}

#[test]
fn return_addresses_do_not_relay() {
    let scene = scene("");
    let fresh = return_address(&srs(Hash::Sha256, SECRET), "her@foreign.test", 0);
    for from in ["spammer@foreign.test", "me@example.test", fresh.as_str()] {
        let reply = scene.rcpt(from, &fresh);
        assert!(reply.starts_with("550 5.7.1 "), "{from}: {reply}");
    }
    // The return-address domain has no other addresses, and return addresses of other domains are not ours.
    for to in ["someone@fwd.example.test", "SRS0=AAAA=AA=foreign.test=her@elsewhere.test", "her%foreign.test@fwd.example.test"] {
        let reply = scene.rcpt("", to);
        assert!(reply.starts_with("550 5.7.1 ") || reply.starts_with("550 5.1.1 "), "{to}: {reply}");
    }
    // Not for accounts either.
    let password = scene.waypost.account("me@example.test");
    let mut talk = scene.waypost.logged_in("me@example.test", &password);
    talk.expect("MAIL FROM:<me@example.test>", "250");
    talk.expect(&format!("RCPT TO:<{fresh}>"), "550 5.7.1 ");
    scene.waypost.wait_for_empty_queue();
    assert!(scene.hers.messages().is_empty() && scene.inbox.messages().is_empty());
}

#[test]
fn excess_dsns_to_a_return_address_are_deferred() {
    let scene = scene("dsns_per_sender = 3\n");
    let (hers, his) = (
        return_address(&srs(Hash::Sha256, SECRET), "her@foreign.test", 0),
        return_address(&srs(Hash::Sha256, SECRET), "him@foreign.test", 0),
    );
    for n in 0..3 {
        let reply = scene.send("", &hers, &format!("report {n}"));
        assert!(reply.starts_with("250 "), "{reply}");
    }
    for again in [hers.clone(), hers.to_lowercase()] {
        let reply = scene.rcpt("", &again);
        assert!(reply.starts_with("450 "), "{reply}");
    }
    let reply = scene.rcpt("", &his);
    assert!(reply.starts_with("250 "), "{reply}");
}

#[test]
fn known_senders_get_a_dsn_and_other_failures_are_listed() {
    let scene = scene_with("mode = \"queue\"\n", |_| Some(Reply::new(550, (5, 7, 1), "no, says foo@inbox.test")));
    for (from, subject) in [("her@foreign.test", "known"), ("nobody@stranger.test", "unknown"), ("someone@foreign.test", "also known")] {
        let reply = scene.send(from, "me@example.test", subject);
        assert!(reply.starts_with("250 "), "{reply}");
    }
    scene.waypost.wait_for_empty_queue();
    wait_for("both reports", || (scene.hers.messages().len() == 2).then_some(()));
    for report in scene.hers.messages() {
        assert!(report.from == "<>" && !report.text().contains("inbox.test") && !report.text().contains("unknown"), "{}", report.text());
    }
    let failed = scene.waypost.json(&["failed"]);
    let failed = failed.as_array().unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(
        (failed[0]["from"].as_str(), failed[0]["to"].as_str()),
        (Some("nobody@stranger.test"), Some("me@example.test")),
        "{failed:?}"
    );
    assert!(scene.waypost.ok(&["failed"]).contains("nobody@stranger.test"));
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_dsn_that_names_the_target_is_rewritten() {
    let scene = scene("");
    scene.send("her@foreign.test", "me@example.test", "lost");
    let forwarded = scene.inbox.wait_for("Subject: lost");
    let hers = forwarded.from.trim_matches(['<', '>']).to_owned();
    let returned = forwarded.text();
    let header = returned.split("\r\n\r\n").next().unwrap();
    let report = format!(
        "From: MAILER-DAEMON@mx.inbox.test\r\nTo: {hers}\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\n<foo@inbox.test>: 550 5.2.1 foo is gone\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.inbox.test\r\n\r\nFinal-Recipient: rfc822; foo@inbox.test\r\n\
         Action: failed\r\nStatus: 5.2.1\r\nDiagnostic-Code: smtp; 550 5.2.1 foo@inbox.test\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{header}\r\n\r\n--b--\r\n"
    );
    let mut talk = scene.talk();
    talk.expect("MAIL FROM:<>", "250");
    talk.expect(&format!("RCPT TO:<{hers}>"), "250");
    talk.expect("RCPT TO:<me@example.test>", "452 4.5.3");
    talk.expect("RSET", "250");
    let reply = talk.message("", &hers, &report);
    assert!(reply.starts_with("250 "), "{reply}");
    let reported = scene.hers.wait_for("Subject: Undelivered mail returned to sender");
    let text = reported.text();
    assert!(text.contains("Final-Recipient: rfc822; me@example.test\r\nAction: failed\r\nStatus: 5.2.1\r\n"), "{text}");
    assert!(text.contains("Subject: lost\r\n"), "{text}");
    for secret in ["foo", "inbox", &scene.lab.address(2).to_string()] {
        assert!(!text.to_lowercase().contains(secret), "{secret} leaks:\n{text}");
    }
    scene.waypost.assert_no_bugs();
}

/// Invalid From fields in DSNs of other servers: dma, RFC 6854's empty group, old and small servers.
const NO_AUTHOR: [&str; 6] = [
    "From: MAILER-DAEMON <>\r\n",
    "From: <>\r\n",
    "From: MAILER-DAEMON\r\n",
    "From: Mail Delivery Subsystem <MAILER-DAEMON>\r\n",
    "From: Mail Delivery System:;\r\n",
    "",
];

#[test]
fn dsns_without_a_from_address_are_wrapped() {
    let scene = scene("dsns_per_sender = 1000\n");
    scene.send("her@foreign.test", "me@example.test", "lost");
    let forwarded = scene.inbox.wait_for("Subject: lost");
    let hers = forwarded.from.trim_matches(['<', '>']).to_owned();
    let returned = forwarded.text();
    let header = returned.split("\r\n\r\n").next().unwrap();
    for (n, from) in NO_AUTHOR.into_iter().enumerate() {
        // The format of dma.
        let report = format!(
            "{from}To: {hers}\r\nSubject: Mail delivery failed\r\nX-Number: {n}.\r\n\r\nThere was an error delivering your mail to <foo@inbox.test>.\r\n\r\n\
             mx.inbox.test [127.0.0.1] said: 550 5.1.1 <foo@inbox.test> unknown\r\n\r\nMessage headers follow.\r\n\r\n{header}\r\n"
        );
        let reply = scene.talk().message("", &hers, &report);
        assert!(reply.starts_with("250 "), "{from}: {reply}");
        wait_for("the report in our words", || (scene.hers.messages().len() == n + 1).then_some(()));
        let reported = scene.hers.messages().pop().unwrap();
        let text = reported.text();
        assert!(reported.from == "<>" && text.contains("From: \"Mail delivery\" <postmaster@mx.example.test>\r\n"), "{text}");
        assert!(text.contains("Final-Recipient: rfc822; me@example.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"), "{text}");
        assert!(text.contains("Subject: lost\r\n") && !text.contains("foo") && !text.contains("inbox"), "{text}");
        // The same to an alias: a DSN on own mail.
        let reply = scene.talk().message("", "me@example.test", &report);
        assert!(reply.starts_with("250 "), "{from}: {reply}");
        let whole = scene.inbox.wait_for(&format!("X-Number: {n}."));
        let text = whole.text();
        let (ours, theirs) = text.split_once("\r\n\r\n").unwrap();
        assert!(ours.contains("From: \"Mail for me@example.test\" <postmaster@fwd.example.test>"), "{text}");
        assert!(whole.from == "<>" && ours.contains("Content-Type: message/rfc822") && theirs.contains("unknown"), "{text}");
    }
    // Without the null reverse-path it is not a DSN.
    let reply = scene.talk().message("her@foreign.test", "me@example.test", "From: MAILER-DAEMON <>\r\nSubject: x\r\n\r\nbody\r\n");
    assert!(reply.starts_with("550 5.6.0 "), "{reply}");
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_vacation_reply_to_a_return_address_is_dropped() {
    let scene = scene("");
    let fresh = return_address(&srs(Hash::Sha256, SECRET), "her@foreign.test", 0);
    // vacation(1) uses its user's reverse-path, and does not mark the message as automatic.
    let reply = scene.send("foo@inbox.test", &fresh, "away from my mail");
    assert!(reply.starts_with("250 2.0.0 automatic reply dropped"), "{reply}");
    scene.waypost.wait_for_line(&["automatic reply to a return address dropped", "foo@inbox.test"]);
    for (from, to) in [("bar@inbox.test", fresh.as_str()), ("foo@inbox.test", "SRS0=AAAAAAAA=AA=foreign.test=her@fwd.example.test")] {
        let reply = scene.rcpt(from, to);
        assert!(reply.starts_with("550 5.7.1 "), "{from} {to}: {reply}");
    }
    scene.waypost.wait_for_empty_queue();
    assert!(scene.hers.messages().is_empty() && scene.inbox.messages().is_empty());
    scene.waypost.assert_no_bugs();
}

#[test]
fn return_addresses_of_long_senders_work_with_a_postsrsd_secret() {
    let scene = scene_of("postsrsd:old secret\n", "", |_| None);
    let longest = format!("{}@foreign.test", "x".repeat(60));
    let taken = scene.send(&longest, "me@example.test", "letter");
    assert!(taken.starts_with("250 "), "{taken}");
    let path = scene.inbox.wait_for("Subject: letter\r\n").from.trim_matches(['<', '>']).to_owned();
    for (n, path) in [path.clone(), path.to_lowercase(), path.to_uppercase()].iter().enumerate() {
        let reply = scene.send("", path, &format!("failed{n}"));
        assert!(reply.starts_with("250 "), "{path}: {reply}");
        assert_eq!(scene.hers.wait_for(&format!("Subject: failed{n}\r\n")).to, [format!("<{longest}>")]);
    }
}

#[test]
fn an_automatic_reply_with_the_null_reverse_path_is_told_without_its_text() {
    let scene = scene("");
    let back = return_address(&srs(Hash::Sha256, SECRET), "her@foreign.test", 0);
    let marked = "Auto-Submitted: auto-replied\r\nIn-Reply-To: <1@foreign.test>\r\n";
    for (n, marks) in [marked, ""].into_iter().enumerate() {
        let content = format!(
            "From: Foo <foo@inbox.test>\r\nSubject: ask bar@inbox.test\r\nMessage-ID: <{n}@inbox.test>\r\n{marks}\r\nI am away; foo@inbox.test\r\n"
        );
        let reply = scene.talk().message("", &back, &content);
        assert!(reply.starts_with("250 "), "{reply}");
        wait_for("the news", || (scene.hers.messages().len() > n).then_some(()));
        let told = scene.hers.messages()[n].clone();
        assert!(
            told.text().contains("Subject: Automatic reply to your message\r\n") && !told.text().contains("inbox.test"),
            "{}",
            told.text()
        );
        assert_eq!(told.text().contains("In-Reply-To: <1@foreign.test>\r\n"), n == 0);
        assert_eq!((told.from.as_str(), told.to[0].as_str()), ("<>", "<her@foreign.test>"));
    }
    scene.waypost.wait_for_empty_queue();
    scene.waypost.assert_no_bugs();
}
