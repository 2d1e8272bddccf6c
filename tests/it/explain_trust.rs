//! `waypost explain-trust` with files that are no message, or a hostile one: plain words, and an end within bounds.

use std::process::Output;

use it::{Dns, Lab, Waypost};
use serde_json::Value;

struct Desk {
    lab: Lab,
    _dns: Dns,
    waypost: Waypost,
}

impl Desk {
    fn new() -> Self {
        let lab = Lab::new();
        let dns = Dns::start(&lab, "");
        let waypost = Waypost::configured(&lab, "");
        Self { lab, _dns: dns, waypost }
    }

    fn run(&self, name: &str, content: &str, options: &[&str]) -> Output {
        let file = self.lab.write(name, content);
        self.waypost.command(&[&["explain-trust", file.to_str().unwrap()], options].concat())
    }

    fn said(&self, content: &str, options: &[&str]) -> String {
        String::from_utf8(self.run("mail.eml", content, options).stdout).unwrap()
    }

    /// What is said in place of a result, which is on standard error.
    fn refused(&self, content: &str, options: &[&str]) -> String {
        let output = self.run("mail.eml", content, options);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

const PLAIN: &str = "From: her@foreign.test\nSubject: x\n\nbody\n";

#[test]
fn what_is_no_message_is_said() {
    let desk = Desk::new();
    for (content, words) in
        [("", "is empty"), ("only a text\nwithout fields\n", "is not a message"), ("\0\u{1}\u{2}: \n", "is not a message")]
    {
        let said = desk.refused(content, &[]);
        assert!(said.contains(words) && said.contains("save the message with its header section"), "{said}");
    }
    let missing = desk.waypost.command(&["--json", "explain-trust", "/no/such.eml"]);
    let said: Value = serde_json::from_slice(&missing.stdout).or_else(|_| serde_json::from_slice(&missing.stderr)).unwrap();
    assert!(said["error"].as_str().unwrap().starts_with("/no/such.eml cannot be read"), "{said}");
    for given in [["--from", "not an address"], ["--to", "nobody"]] {
        let said = desk.refused(PLAIN, &given);
        assert!(said.contains(given[0]) && said.contains(given[1]) && said.contains("hint: write an address as in"), "{said}");
    }
}

#[test]
fn what_a_message_does_not_say_is_assumed_aloud() {
    let desk = Desk::new();
    let said = desk.said(PLAIN, &[]);
    assert!(said.contains("the sender is <>: the message names none, and --from is not given"), "{said}");
    assert!(said.contains("SPF is not checked without the client's address"), "{said}");
    let mbox = desk.said(&format!("From her@foreign.test Sun Nov 29 01:02:03 2026\nReturn-Path: <her@foreign.test>\n{PLAIN}"), &[]);
    assert!(mbox.contains("that of an mbox file") && mbox.contains("the sender is <her@foreign.test>: Return-Path says so"), "{mbox}");
    let nobody = desk.said("Subject: x\n\nbody\n", &["--from", "<>"]);
    assert!(nobody.contains("DMARC: the From field names no valid address"), "{nobody}");
}

#[test]
fn a_thousand_hops_are_not_looked_up() {
    let desk = Desk::new();
    let hop = |i| format!("DKIM2-Signature: i={i}; m=1; t=1; d=a{i}.test; mf=PD4=; rt=PGFAYi50ZXN0Pg==; s=s1:ed25519-sha256:YQ==;\n");
    let hops: String = (1..=1000).map(hop).collect();
    let output = desk.run("mail.eml", &format!("{hops}{PLAIN}"), &["--json"]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["dkim2"], &said["hops"]), (&"permerror".into(), &serde_json::json!([])), "{said}");
    assert!(said["lines"].to_string().contains("DKIM2: the chain is invalid: the chain has more than 20 hops"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
