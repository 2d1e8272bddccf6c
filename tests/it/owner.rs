//! Maintenance by root while the server is down: root acts as the data directory's owner, and doctor survives failures.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use it::{Dns, Lab, Waypost, zone};
use serde_json::Value;

/// A user id without an entry in passwd that owns the data directory.
const OWNER: u32 = 65_534;

/// Changes the owner of everything in a directory to the user.
fn give(path: &Path) {
    chown(path, Some(OWNER), Some(OWNER)).unwrap();
    if path.is_dir() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path()));
    }
}

/// Files that the user does not own.
fn foreign(path: &Path) -> Vec<String> {
    let mut found: Vec<String> =
        if fs::symlink_metadata(path).unwrap().uid() == OWNER { Vec::new() } else { vec![path.display().to_string()] };
    if path.is_dir() {
        found.extend(fs::read_dir(path).unwrap().flat_map(|entry| foreign(&entry.unwrap().path())));
    }
    found
}

fn handed_over() -> (Lab, Dns, Waypost) {
    let lab = Lab::new();
    let dns = Dns::start(&lab, &zone(&lab));
    let waypost = Waypost::configured(&lab, "[mta_sts]\nmode = \"none\"\n");
    fs::set_permissions(lab.path(), fs::Permissions::from_mode(0o755)).unwrap();
    give(&waypost.data);
    (lab, dns, waypost)
}

fn doctor(waypost: &Waypost) -> (Vec<Value>, bool) {
    let output = waypost.command(&["--json", "doctor", "--time-server", ""]);
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (said["findings"].as_array().unwrap().clone(), output.status.success())
}

fn has(findings: &[Value], check: &str, severity: &str, found: &str) -> bool {
    let is_it = |f: &Value| f["check"] == check && f["severity"] == severity && f["found"].as_str().unwrap().contains(found);
    findings.iter().any(is_it)
}

#[test]
fn root_acts_as_the_data_directorys_owner() {
    assert!(nix::unistd::geteuid().is_root(), "this test needs root, as CI has it");
    let (lab, _dns, mut waypost) = handed_over();
    waypost.ok(&["domain", "add", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.account("me@example.test");
    for command in [&["queue", "list"][..], &["held", "list"], &["alias", "test", "me@example.test"], &["dns", "show"], &["key", "list"]] {
        waypost.ok(command);
    }
    let refused = waypost.refused(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    assert!(refused.contains("the alias already exists") && refused.contains("--replace"), "{refused}");
    let (findings, _) = doctor(&waypost);
    assert!(has(&findings, "server", "error", "no server runs") && has(&findings, "queue", "good", "0 recipients"), "{findings:#?}");
    waypost.ok(&["setup", "example.test", "--forward", "you=foo@inbox.test", "--no-preflight", "--no-service"]);
    assert_eq!(foreign(&waypost.data), Vec::<String>::new());
    // So does a server that root starts; it needs what it names to be readable for the owner.
    let refused = waypost.refused(&["serve"]);
    assert!(refused.contains("key.pem"), "{refused}");
    ["cert.pem", "key.pem"].iter().for_each(|name| give(&lab.path().join(name)));
    waypost.start();
    waypost.stop();
    assert_eq!(foreign(&waypost.data), Vec::<String>::new());
    // The store is not locked any more.
    waypost.ok(&["queue", "list"]);
}

#[test]
fn status_fails_without_a_server() {
    let (_lab, _dns, waypost) = handed_over();
    let output = waypost.command(&["status"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        !output.status.success() && said.starts_with("not running: no server answers on ") && said.contains("systemctl start"),
        "{said}"
    );
    let output = waypost.command(&["--json", "status"]);
    assert_eq!((output.status.success(), String::from_utf8_lossy(&output.stdout).contains("\"running\": false")), (false, true));
}

#[test]
fn doctor_reports_every_failure_and_continues() {
    let (lab, dns, waypost) = handed_over();
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    fs::write(waypost.data.join("waypost.db"), "this is no database, and longer than the head of one would be: ".repeat(64)).unwrap();
    for beside in ["waypost.db-wal", "waypost.db-shm"] {
        let _ = fs::remove_file(waypost.data.join(beside));
    }
    let (findings, is_well) = doctor(&waypost);
    assert!(!is_well && has(&findings, "data", "error", ""), "{findings:#?}");
    assert!(has(&findings, "disk", "good", "free") || has(&findings, "disk", "warning", "free"), "{findings:#?}");
    assert!(has(&findings, "doctor", "notice", "skipped without the data directory") && has(&findings, "address", "good", ""));
    drop(dns);
    let (findings, _) = doctor(&waypost);
    assert!(has(&findings, "resolver", "error", "does not answer"), "{findings:#?}");
    assert!(has(&findings, "doctor", "notice", "skipped without DNS") && !findings.iter().any(|f| f["check"] == "address"));
    lab.write("waypost.toml", "hostname = 7\n");
    let (findings, is_well) = doctor(&waypost);
    assert!(!is_well && findings.len() == 1 && findings[0]["about"].as_str().unwrap().ends_with("waypost.toml:1:12"), "{findings:#?}");
}
