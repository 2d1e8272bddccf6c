//! A seed repeats its run.
#![allow(clippy::expect_used, clippy::panic)]

use std::process::Command;

fn digest(seed: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_node_simulation")).args(["--seed", seed]).output().expect("the simulation runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let digest = text.split("digest ").nth(1).and_then(|rest| rest.get(..16));
    digest.unwrap_or_else(|| panic!("no digest in: {text}")).to_owned()
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in ["5", "8"] {
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
    assert_ne!(digest("5"), digest("8"));
}
