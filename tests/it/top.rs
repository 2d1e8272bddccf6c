//! `waypost top` on a real terminal: what it shows, its keys, and the terminal afterwards.

use it::{InboundScene, Terminal, binary, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const MESSAGE: &str = "From: her@foreign.test\r\nSubject: hello\r\n\r\nthe body\r\n";

fn top(scene: &InboundScene, columns: u16, rows: u16, arguments: &str) -> Terminal {
    let command = format!("{} --config {} top --every 1 {arguments}", binary().display(), scene.waypost.config.display());
    Terminal::start(&scene.lab, columns, rows, &command)
}

/// Sends a message that is delivered.
fn mail(scene: &InboundScene) {
    scene.greeted().taken("her@foreign.test", "me@example.test", MESSAGE);
    wait_for("the delivery", || (!scene.inbox.messages().is_empty()).then_some(()));
    scene.waypost.wait_for_empty_queue();
}

/// The command has ended with success, and the terminal is as before: its text is back, and it echoes lines.
fn assert_restored(terminal: &Terminal) {
    // The last line of `stty -a`.
    let screen = terminal.wait_for("echoctl");
    assert!(screen.contains("status=0"), "{screen}");
    assert!(screen.contains("before"), "{screen}");
    assert!(screen.contains(" icanon") && screen.contains(" echo ") && !screen.contains("-icanon"), "{screen}");
}

#[test]
fn a_frame_has_flow_lanes_sessions_and_replies() {
    let scene = InboundScene::new("");
    mail(&scene);
    let terminal = top(&scene, 80, 24, "");
    let screen = terminal.wait_for("q quit   p pause   / filter   ? help");
    for part in ["waypost 0.", " on mx.example.test", "running", "sessions 0", "nothing waits", "last replies"] {
        assert!(screen.contains(part), "{part:?} is not in:\n{screen}");
    }
    let row = |name: &str| screen.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{screen}")).to_owned();
    for name in ["accepted", "delivered"] {
        assert!(row(name).split_whitespace().nth(3) == Some("1"), "{screen}");
    }
    let _talk = scene.greeted();
    terminal.wait_for("sessions 1 (mx 1)");
    terminal.keys(&["?"]);
    assert!(terminal.wait_for("q        quit").contains("close this help"));
    terminal.keys(&["?", "/", "n", "o", "n", "e", "Enter"]);
    terminal.wait_for("no lane has this text");
    terminal.keys(&["p"]);
    terminal.wait_for("paused");
    terminal.resize(50, 12);
    let small = wait_for("a smaller frame", || {
        Some(terminal.screen()).filter(|screen| screen.lines().last().is_some_and(|l| l.contains("q quit")))
    });
    assert!(small.lines().count() <= 12, "{small}");
    terminal.resize(80, 40);
    terminal.keys(&["q"]);
    assert_restored(&terminal);
}

#[test]
fn signals_restore_the_terminal() {
    let scene = InboundScene::new("");
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let terminal = top(&scene, 80, 40, "");
        terminal.wait_for("last replies");
        kill(Pid::from_raw(terminal.process_of(binary())), signal).unwrap();
        assert_restored(&terminal);
    }
}

#[test]
fn it_says_that_no_server_runs_and_waits_for_one_that_stopped() {
    let mut scene = InboundScene::new("");
    let terminal = top(&scene, 100, 40, "");
    terminal.wait_for("running");
    scene.waypost.stop();
    terminal.wait_for("the server does not run; waiting for it");
    scene.waypost.start();
    wait_for("top to see the new server", || (!terminal.screen().contains("waiting for it")).then_some(()));
    terminal.keys(&["q"]);
    terminal.wait_for("status=0");
    scene.waypost.stop();
    let output = scene.waypost.command(&["top"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.starts_with("not running: no server answers on ") && said.contains("systemctl start"),
        "{said}"
    );
}

#[test]
fn one_frame_is_printed_as_text_or_json() {
    let scene = InboundScene::new("");
    mail(&scene);
    let text = scene.waypost.ok(&["top", "--once"]);
    assert!(
        text.starts_with("waypost ") && text.contains("nothing waits") && !text.contains('\u{1b}') && !text.contains("q quit"),
        "{text}"
    );
    let json = scene.waypost.json(&["top", "--once"]);
    assert_eq!(json["server"]["last_hour"]["delivered"].as_array().unwrap().iter().filter_map(serde_json::Value::as_u64).sum::<u64>(), 1);
    let refused = scene.waypost.refused(&["top"]);
    assert!(refused.contains("standard output is not a terminal") && refused.contains("--once"), "{refused}");
}
