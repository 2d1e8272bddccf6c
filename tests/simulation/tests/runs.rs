//! A seed repeats its run, and broken promises are noticed.

use std::process::Command;

fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_simulation")).args(arguments).output().expect("the simulation runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn digest(text: &str) -> &str {
    text.split("digest ").nth(1).and_then(|rest| rest.get(..16)).unwrap_or_else(|| panic!("no digest in: {text}"))
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in ["1", "2", "3", "4", "5", "6"] {
        let ((_, first), (_, second)) = (run(&["--seed", seed]), run(&["--seed", seed]));
        assert_eq!(digest(&first), digest(&second), "seed {seed}");
    }
    assert_ne!(digest(&run(&["--seed", "1"]).1), digest(&run(&["--seed", "2"]).1));
}

#[test]
fn an_old_queue_is_noticed() {
    let noticed = (1..=12).filter(|seed| {
        let (fine, text) = run(&["--seed", &seed.to_string(), "--old-queue"]);
        !fine && text.contains("BROKEN")
    });
    assert!(noticed.count() >= 6, "a process that starts with the queue of its predecessor's start loses and repeats mail");
}
