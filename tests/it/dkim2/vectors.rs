//! The vectors that come with mail-auth, signed by other implementations (Python of the working group, Go, by hand), read by `waypost explain-trust` at the
//! time that each of them names (libfaketime).

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use it::{Dns, Lab, Waypost, binary, fake_clock_library, run_ok, txt};
use serde_json::Value;

/// The folder of mail-auth's vectors, in Cargo's registry.
fn folder() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    // Without the packages of other systems, which nobody has downloaded.
    let system = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let flags = ["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", &system, "--manifest-path", manifest];
    let metadata = run_ok(&cargo, &flags);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "mail-auth").unwrap();
    PathBuf::from(package["manifest_path"].as_str().unwrap()).with_file_name("resources").join("dkim2")
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap()
}

/// Each domain's zone: its name and its lines.
fn zones(dns: &Value) -> Vec<(String, String)> {
    let zone = |(domain, keys): (&String, &Value)| {
        let lines = keys.as_object().unwrap().iter().map(|(name, records)| txt(name, records[0][1].as_str().unwrap()));
        (domain.clone(), lines.collect())
    };
    dns.as_object().unwrap().iter().map(zone).collect()
}

fn bare(path: &Value) -> String {
    path.as_str().unwrap().trim_matches(['<', '>']).to_owned()
}

#[test]
fn the_vectors_have_the_expected_results() {
    let folder = folder();
    let lab = Lab::new();
    let zones = zones(&json(folder.join("dns.json")));
    let zones: Vec<(&str, &str)> = zones.iter().map(|(domain, lines)| (domain.as_str(), lines.as_str())).collect();
    let _dns = Dns::with_zones(&lab, "", &zones);
    let waypost = Waypost::configured(&lab, "");
    let (mut counted, mut wrong) = (0, Vec::new());
    for case in json(folder.join("cases.json")).as_array().unwrap() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut command = Command::new(binary());
        command.arg("--config").arg(&waypost.config).args(["--json", "explain-trust"]);
        command.arg(folder.join("expected").join(case["file"].as_str().unwrap())).args(["--from", &bare(&case["mail_from"])]);
        for to in case["rcpt_to"].as_array().unwrap() {
            command.args(["--to", &bare(to)]);
        }
        command.env("LD_PRELOAD", fake_clock_library()).env("FAKETIME", format!("-{}", now - case["now"].as_u64().unwrap()));
        command.env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        counted += 1;
        if told["dkim2"] != case["expected"] {
            wrong.push(format!("{}: {}, not {}: {}", case["name"], told["dkim2"], case["expected"], told["lines"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {counted} agree; these do not:\n{}", counted - wrong.len(), wrong.join("\n"));
    assert_eq!(counted, 61);
}
