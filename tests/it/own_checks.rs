//! The server's checks of itself: their refusals are in the log, and in no history, metric or list of refused mail; those of a stranger stay there.

use it::{Dns, Lab, MX_PORT, Talk, Waypost, forwarding_zone, run, run_ok, wait_for};
use serde_json::Value;

/// The port of the metrics in a lab.
const METRICS_PORT: u16 = 9419;

/// The refusals that owner and metrics see.
fn shown(waypost: &Waypost) -> (usize, String) {
    let events = waypost.ok(&["--json", "log", "--kind", "recipient-refused"]).lines().count();
    let metrics = run_ok("curl", &["-s", &format!("http://{}:{METRICS_PORT}/metrics", waypost.address)]);
    let counted = metrics.lines().filter(|line| line.starts_with("waypost_recipients_refused_total")).collect::<Vec<_>>().join("\n");
    (events, counted)
}

fn api(waypost: &Waypost, method: &str, path: &str) -> Value {
    let socket = waypost.data.join("waypost.sock").display().to_string();
    let output = run("curl", &["-s", "-X", method, "--unix-socket", &socket, &format!("http://waypost/api/v1{path}")]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?} {}", waypost.log()))
}

/// A stranger's relay trial with this name; returns the reply to RCPT.
fn strange_trial(waypost: &Waypost, hello: &str) -> String {
    let mut talk = Talk::greeted(waypost.address, MX_PORT);
    talk.expect(&format!("EHLO {hello}"), "250");
    talk.expect("MAIL FROM:<relay-trial@example.org>", "250");
    talk.expect("RCPT TO:<relay-trial@example.net>", "550 5.7.1")
}

#[test]
fn the_servers_own_relay_trials_are_left_out_and_a_strangers_are_not() {
    let lab = Lab::new();
    let options = format!("[forward]\ndomain = \"fwd.example.test\"\n[listen]\nmetrics = [\"{}:{METRICS_PORT}\"]\n", lab.address(1));
    let mut waypost = Waypost::configured(&lab, &options);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let _dns = Dns::start(&lab, &forwarding_zone(&lab));
    waypost.start();

    // By the command, and by the running server itself.
    let doctor = waypost.command(&["doctor", "--time-server", ""]);
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("not an open relay"), "{doctor:?}");
    api(&waypost, "POST", "/health/check");
    let trials = || waypost.log().matches("<relay-trial@example.net>").count();
    wait_for("the check of the server itself", || (api(&waypost, "GET", "/health")["checked_ms"].is_i64() && trials() == 2).then_some(()));
    let (events, before) = shown(&waypost);
    assert_eq!((events, before.contains('1')), (0, false), "{before}");

    // Neither the sender, nor the form of the name, nor a name of the past hides a stranger.
    for hello in ["trial.invalid", "trial-00000000000000000000000000000000.invalid"] {
        strange_trial(&waypost, hello);
    }
    let name = api(&waypost, "POST", "/health/names")["hello"].as_str().unwrap().to_owned();
    strange_trial(&waypost, &name);
    let events = wait_for("the history to have the trials", || Some(shown(&waypost).0).filter(|events| *events >= 2));
    assert_eq!((events, trials()), (2, 5), "only who has the operator's socket gets a name");
    waypost.assert_no_bugs();
    let old = name;
    waypost.stop();
    waypost.start();
    strange_trial(&waypost, &old);
    wait_for("a name of another process to hide nothing", || (shown(&waypost).0 == 3).then_some(()));
}
