//! The wall clock is set while mail is queued: no message expires early, and none is delayed until the clock catches up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use it::{MX_PORT, OutboundScene, Sink, set_clock, under_clock, wait_for};
use mail::Reply;

struct Scene {
    far: OutboundScene,
    sink: Sink,
    is_open: Arc<AtomicBool>,
    stamp: PathBuf,
}

/// A message waits because its host defers it until `is_open`.
fn waiting(waits: &str) -> Scene {
    let mut far = OutboundScene::new(&[("far", 11)], &format!("[retry]\nwaits_s = {waits}\nlifetime = \"5d\"\n"));
    let is_open = Arc::new(AtomicBool::new(false));
    let open = is_open.clone();
    let sink = Sink::deciding(far.lab.address(11), MX_PORT, move |_| {
        (!open.load(Ordering::SeqCst)).then(|| Reply::new(450, (4, 2, 0), "not now"))
    });
    far.waypost.stop();
    let stamp = far.lab.write("clock", "+0");
    far.waypost.start_by(under_clock(&stamp));
    far.send("you@far.test", "through time.");
    far.fate("deferred", "you@far.test");
    Scene { far, sink, is_open, stamp }
}

impl Scene {
    fn set(&self, clock: &str) {
        set_clock(&self.stamp, clock);
        self.far.waypost.wait_for_log("the clock was set");
    }

    fn deferrals(&self) -> usize {
        self.far.waypost.log().matches(": deferred id=").count()
    }

    fn tried_again(&self) {
        let before = self.deferrals();
        wait_for("one more attempt", || (self.deferrals() > before).then_some(()));
    }

    fn arrives(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        self.sink.wait_for("through time.");
        self.far.waypost.wait_for_empty_queue();
        assert!(!self.far.waypost.log().contains(": failed id="), "{}", self.far.waypost.log());
        assert_eq!(self.sink.messages().len(), 1);
        self.far.waypost.assert_no_bugs();
    }
}

#[test]
fn a_clock_set_forward_expires_no_mail() {
    let scene = waiting("[2]");
    scene.set("+365d");
    scene.tried_again();
    scene.tried_again();
    scene.arrives();
}

#[test]
fn a_clock_set_back_delays_no_mail() {
    let scene = waiting("[2]");
    scene.set("-1d");
    scene.tried_again();
    scene.arrives();
}

#[test]
fn a_clock_corrected_while_the_server_is_down_expires_no_mail() {
    for wrong in ["-365d", "+365d"] {
        let mut scene = waiting("[2]");
        scene.set(wrong);
        scene.tried_again();
        // A kill, so the server writes nothing at its end.
        scene.far.waypost.kill();
        std::fs::write(&scene.stamp, "+0").unwrap();
        scene.far.waypost.start_by(under_clock(&scene.stamp));
        scene.tried_again();
        scene.arrives();
    }
}
