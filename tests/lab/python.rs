//! Other programs in Python: dkimpy and pysrs, from target/python (cargo xtask prepare).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::Lab;
use crate::dns::DNS_PORT;

/// A signature, judged by dkimpy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The signing domain.
    pub domain: String,
    /// The selector.
    pub selector: String,
    /// Whether it verifies.
    pub holds: bool,
    /// The reason for a failure, if dkimpy gives one.
    pub reason: String,
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the checkout").to_owned()
}

/// Runs Python with the packages of the tests and `input` as standard input. Returns its output.
pub fn python(arguments: &[&str], input: &str) -> String {
    fed("python3", arguments, input)
}

/// Runs a program at the top of the checkout with this standard input. Returns its output.
pub fn fed(program: &str, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.current_dir(top()).args(arguments).env("PYTHONPATH", top().join("target/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{program}: {e}"));
    let (mut stdin, input) = (child.stdin.take().expect("its input"), input.to_owned());
    // In a thread of its own, since a program that writes before it has read everything would block us both.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(output.status.success(), "{program} {}: {}", arguments.join(" "), output.status);
    writer.join().expect("the writer").unwrap_or_else(|e| panic!("{program} does not read: {e}"));
    String::from_utf8(output.stdout).expect("text")
}

/// Sends a request to tests/lab/judge.py.
pub fn dkimpy(request: &Value) -> Value {
    serde_json::from_str(&python(&["tests/lab/judge.py"], &request.to_string())).expect("JSON")
}

/// The signatures of each message from the top, verified by dkimpy with the keys in the lab's DNS.
pub fn signatures(lab: &Lab, messages: &[&[u8]]) -> Vec<Vec<Signature>> {
    let messages: Vec<String> = messages.iter().map(|message| STANDARD.encode(message)).collect();
    let answer = dkimpy(&json!({"do": "verify", "server": lab.address(53), "port": DNS_PORT, "messages": messages}));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let signature = |s: &Value| Signature {
        domain: text(&s["d"]),
        selector: text(&s["s"]),
        holds: s["holds"].as_bool().unwrap_or_default(),
        reason: text(&s["reason"]),
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    list(&answer).iter().map(|message| list(message).iter().map(signature).collect()).collect()
}

/// The signing domains; fails if a signature does not verify.
pub fn signers(lab: &Lab, message: &[u8]) -> Vec<String> {
    let found = signatures(lab, &[message]).remove(0);
    assert!(found.iter().all(|s| s.holds), "{found:?} in:\n{}", String::from_utf8_lossy(message));
    let mut domains: Vec<String> = found.into_iter().map(|s| s.domain).collect();
    domains.sort();
    domains.dedup();
    domains
}
