//! The history: mail that was forwarded, refused, held, deferred and failed is found by every clue, and told in words.

use std::fs::{self, File};
use std::process::Command;

use it::{Dns, Lab, MX_PORT, Process, Sink, Talk, Waypost, binary, forwarding_zone, wait_for};
use mail::Reply;
use serde_json::Value;

struct Scene {
    waypost: Waypost,
    inbox: Sink,
    _dns: Dns,
    lab: Lab,
}

/// me@, full@ and gone@example.test lead to mailboxes that accept, are full, and do not exist.
fn scene(options: &str) -> Scene {
    let lab = Lab::new();
    let options = format!("[forward]\ndomain = \"fwd.example.test\"\nmode = \"queue\"\n{options}");
    let mut waypost = Waypost::configured(&lab, &options);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let keys = waypost.keys("fwd.example.test");
    let more = "_dmarc.lax TXT \"v=DMARC1; p=quarantine\"\nlist TXT \"v=spf1 ip4:127.0.0.0/8 -all\"\n";
    let dns = Dns::start(&lab, &(forwarding_zone(&lab) + more + &keys));
    let inbox = Sink::deciding(lab.address(2), MX_PORT, |to| match to {
        "<full@inbox.test>" => Some(Reply::new(452, (4, 2, 2), "over quota today")),
        "<gone@inbox.test>" => Some(Reply::new(550, (5, 1, 1), "no such mailbox")),
        _ => None,
    });
    for (alias, target) in [("me", "foo"), ("full", "full"), ("gone", "gone")] {
        waypost.ok(&["alias", "add", &format!("{alias}@example.test"), &format!("{target}@inbox.test")]);
    }
    waypost.start();
    Scene { waypost, inbox, _dns: dns, lab }
}

impl Scene {
    /// Sends a message; returns the last reply.
    fn send(&self, author: &str, to: &str, subject: &str) -> String {
        let content = format!("From: {author}\r\nSubject: {subject}\r\nMessage-ID: <{subject}.1@list.test>\r\n\r\nthe body\r\n");
        Talk::greeted(self.waypost.address, MX_PORT).message("someone@list.test", to, &content)
    }

    /// Sends a message that is accepted; returns its queue ID.
    fn queued(&self, author: &str, to: &str, subject: &str) -> String {
        let reply = self.send(author, to, subject);
        reply.strip_prefix("250 2.0.0 queued as ").unwrap_or_else(|| panic!("{reply}")).trim().to_owned()
    }

    /// Waits until the only message that a clue finds has this result; returns the whole answer.
    fn result(&self, clue: &str, result: &str) -> Value {
        wait_for(&format!("{clue} to be {result}; the log: {}", self.waypost.log()), || {
            let traced = self.waypost.json(&["trace", clue]);
            let messages = traced["messages"].as_array()?;
            (messages.len() == 1 && messages[0]["result"] == result).then_some(traced)
        })
    }
}

#[test]
fn a_forwarded_message_is_found_by_every_clue_and_told_in_words() {
    let scene = scene("");
    let id = scene.queued("someone@list.test", "me@example.test", "good-news");
    scene.inbox.wait_for("Subject: good-news");
    let traced = scene.result(&id, "delivered");
    assert_eq!(traced["messages"][0]["from"], "someone@list.test");
    assert!(!traced.to_string().contains("good-news\""), "subjects are not kept by default: {traced}");

    let host = scene.lab.address(2).to_string();
    for clue in [
        "good-news.1@list.test",
        "SOMEONE@list.test",
        "me@example.test",
        "foo@inbox.test",
        "mx.inbox.test",
        "inbox.test",
        "list.test",
        &host,
        "127.0.0.0/8",
        "me",
    ] {
        assert_eq!(scene.result(clue, "delivered")["messages"][0]["queue_id"], id.as_str(), "{clue}");
    }
    let told = scene.waypost.ok(&["trace", &id]);
    for part in [
        &format!("{id}  delivered\n"),
        "  from        someone@list.test\n  to          me@example.test\n  leads to    foo@inbox.test\n",
        "SPF pass for list.test; DKIM none; DMARC ",
        "accepted: stored in the queue, and the sender got 250\n",
        "delivered to foo@inbox.test (for me@example.test) at ",
        "\"250 2.0.0 taken\"\n",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "no colours in a pipe: {told}");
    let unknown = scene.waypost.command(&["trace", "nobody@nowhere.test"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stdout).contains("nothing found for nobody@nowhere.test"));
    assert!(scene.waypost.refused(&["trace", "me", "--since", "soon"]).contains("is not a time"));
    scene.waypost.assert_no_bugs();
}

#[test]
fn refused_held_deferred_and_failed_mail_is_found_with_its_reason() {
    let mut scene = scene("");
    let refused = scene.send("someone@list.test", "nobody@example.test", "to-nobody");
    assert!(refused.starts_with("550 5.1.1 "), "{refused}");
    let held = scene.queued("boss@lax.test", "me@example.test", "held");
    let deferred = scene.queued("someone@list.test", "full@example.test", "deferred");
    let failed = scene.queued("someone@list.test", "gone@example.test", "failed");

    let refused = scene.result("nobody@example.test", "recipient-refused");
    assert!(refused["messages"][0]["reply"].as_str().is_some_and(|reply| reply.starts_with("550 5.1.1 ")), "{refused}");
    scene.result(&held, "message-held");
    let waits = scene.result("over quota", "deferred");
    assert_eq!(waits["messages"][0]["queue_id"], deferred.as_str());
    let told = scene.waypost.ok(&["trace", &deferred]);
    assert!(
        told.contains("\"452 4.2.2 over quota today\"") && told.contains("what to do: ") && told.contains("next attempt in "),
        "{told}"
    );
    let lost = scene.result("no such mailbox", "failed");
    assert_eq!(lost["messages"][0]["queue_id"], failed.as_str());

    let list = scene.waypost.ok(&["trace", "someone@list.test"]);
    assert!(list.starts_with("time (UTC)") && list.contains("  deferred\n") && list.contains("452 4.2.2 over quota today"), "{list}");
    let log = scene.waypost.ok(&["log", "--kind", "failed"]);
    let line = log.lines().find(|line| line.contains(&failed)).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("gone@inbox.test") && line.contains("550 5.1.1 no such mailbox"), "{log}");
    assert!(scene.waypost.refused(&["log", "--kind", "exploded"]).contains("not a kind of event"));

    scene.waypost.stop();
    let offline = scene.waypost.ok(&["trace", &held]);
    assert!(offline.contains("  held\n"), "it works without a server: {offline}");
    assert!(scene.waypost.refused(&["log", "--follow"]).contains("no server is running"));
}

#[test]
fn a_follower_sees_events_as_they_happen() {
    let scene = scene("");
    let shown = scene.lab.path().join("followed");
    let mut command = Command::new(binary());
    command.arg("--config").arg(&scene.waypost.config).args(["log", "--follow", "--kind", "delivered", "--json"]);
    let _follower = Process::start(command.stdout(File::create(&shown).unwrap()));
    let mut sent = Vec::new();
    // The follower may start after the first message: it then begins with what was before.
    for n in 0..3 {
        sent.push(scene.queued("someone@list.test", "me@example.test", &format!("news-{n}")));
        wait_for("the follower to say so", || {
            let lines = fs::read_to_string(&shown).unwrap();
            let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
            let ids: Vec<&str> = events.iter().filter_map(|event| event["queue_id"].as_str()).collect();
            (ids == sent).then_some(())
        });
    }
    scene.waypost.assert_no_bugs();
}

#[test]
fn a_damaged_history_stops_nothing() {
    let mut scene = scene("");
    scene.waypost.stop();
    let file = scene.waypost.data.join("history.db");
    let octets = vec![0xA5; 100_000];
    fs::write(&file, &octets).unwrap();
    scene.waypost.start();
    scene.waypost.wait_for_log("the history cannot be read and was moved aside");
    let id = scene.queued("someone@list.test", "me@example.test", "still-flows");
    scene.inbox.wait_for("Subject: still-flows");
    scene.result(&id, "delivered");
    let log = scene.waypost.ok(&["log", "--kind", "history-damaged"]);
    let aside = log.split("history.db.damaged-").nth(1).unwrap_or_else(|| panic!("{log}"));
    let aside = format!("history.db.damaged-{}", aside.chars().take_while(char::is_ascii_digit).collect::<String>());
    assert_eq!(fs::read(scene.waypost.data.join(aside)).unwrap(), octets, "nothing was written to it");
    scene.waypost.assert_no_bugs();
}

#[test]
fn subjects_are_kept_only_where_a_setting_says_so() {
    let scene = scene("[history]\nsubjects = true\n");
    let id = scene.queued("someone@list.test", "me@example.test", "good-news");
    assert_eq!(scene.result("good-news", "delivered")["messages"][0]["queue_id"], id.as_str());
    assert!(scene.waypost.ok(&["trace", &id]).contains("Subject: good-news"));
}

#[test]
fn without_a_history_commands_say_so() {
    let scene = scene("[history]\nenabled = false\n");
    scene.queued("someone@list.test", "me@example.test", "flows");
    scene.inbox.wait_for("Subject: flows");
    assert!(scene.waypost.refused(&["trace", "me@example.test"]).contains("the history is off\n  hint: "));
    assert!(!scene.waypost.data.join("history.db").exists());
}
