//! A paused mailbox is shown in all commands, with the way to resume it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use it::{MX_PORT, OutboundScene, Sink, Talk};
use mail::Reply;

#[test]
fn a_paused_mailbox_is_listed_and_can_be_resumed() {
    let far = OutboundScene::new(&[("narrow", 11)], "[mta_sts]\nmode = \"none\"\n[forward]\nunauthenticated = \"accept\"\n");
    let is_full = Arc::new(AtomicBool::new(true));
    let full = is_full.clone();
    let host = Sink::deciding(far.lab.address(11), MX_PORT, move |_| {
        full.load(Ordering::SeqCst).then(|| Reply::new(452, (4, 2, 2), "over quota"))
    });
    far.waypost.ok(&["alias", "add", "full@example.test", "secret@narrow.test"]);
    assert!(far.waypost.ok(&["queue", "paused"]).contains("nothing is paused"));
    let reply = Talk::greeted(far.waypost.address, MX_PORT).message("her@nobody.test", "full@example.test", "Subject: one\r\n\r\n");
    assert!(reply.starts_with("450 4.2.2 "), "{reply}");

    let resume = "waypost queue resume secret@narrow.test";
    for command in [&["alias", "test", "full@example.test"][..], &["status"], &["queue", "paused"]] {
        let shown = far.waypost.ok(command);
        assert!(shown.contains("secret@narrow.test, for 59m") && shown.contains(resume), "{command:?}: {shown}");
        assert!(shown.contains("full"), "{command:?} says why: {shown}");
    }
    let output = far.waypost.command(&["doctor", "--quiet", "--time-server", ""]);
    let doctor = String::from_utf8_lossy(&output.stdout);
    assert!(doctor.contains("paused") && doctor.contains(resume) && doctor.contains("(450)"), "{doctor}");
    assert!(far.waypost.refused(&["queue", "resume", "other@narrow.test"]).contains("queue paused"));

    is_full.store(false, Ordering::SeqCst);
    far.waypost.ok(&["queue", "resume", "secret@narrow.test"]);
    assert!(far.waypost.ok(&["queue", "paused"]).contains("nothing is paused"));
    let reply = Talk::greeted(far.waypost.address, MX_PORT).message("her@nobody.test", "full@example.test", "Subject: two\r\n\r\n");
    assert!(reply.starts_with("250 "), "{reply}");
    host.wait_for("Subject: two");
    far.waypost.assert_no_bugs();
}

#[test]
fn a_mailbox_refused_as_full_is_not_called_invalid() {
    let far = OutboundScene::new(&[("far", 11)], "");
    let _host = Sink::deciding(far.lab.address(11), MX_PORT, |_| Some(Reply::new(552, (5, 2, 2), "mailbox full")));
    for n in 0..3 {
        far.send("full@far.test", "too much");
        it::wait_for("the refusal", || (far.waypost.log().matches(" id=").count() > n).then_some(()));
    }
    assert!(!far.waypost.log().contains("is invalid repeatedly"), "{}", far.waypost.log());
    far.waypost.assert_no_bugs();
}
