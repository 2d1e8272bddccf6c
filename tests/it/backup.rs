//! Backup, restore and verification of the queue: under load, beside a running server, and after damage.

use std::collections::HashSet;
use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use it::{Delivered, Dns, Lab, MX_PORT, Sink, Talk, Waypost, wait_for, zone};

/// Content of this size has a file of its own.
const LARGE_BYTES: usize = 200_000;

fn letter(number: u64) -> String {
    let size = if number.is_multiple_of(3) { LARGE_BYTES } else { 2_000 };
    format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n{}", "0123456789abcdef\r\n".repeat(size / 18))
}

fn offer(address: Ipv4Addr, number: u64) -> String {
    Talk::greeted(address, MX_PORT).message("her@foreign.test", "me@example.test", &letter(number))
}

/// A server whose mail stays in the queue: nothing answers at the target.
fn started(lab: &Lab) -> Waypost {
    Waypost::started(lab, "foo@inbox.test", "[limits]\nsessions_per_client = 10000\n")
}

fn numbers(sink: &Sink) -> HashSet<u64> {
    let number = |message: &Delivered| {
        let text = message.text();
        let line = text.lines().find_map(|line| line.strip_prefix("Subject: number "))?;
        assert!(text.ends_with("0123456789abcdef\r\n") && text.len() > 1_900, "damaged: {text:.200}");
        line.trim_end().trim_end_matches('.').parse().ok()
    };
    sink.messages().iter().filter_map(number).collect()
}

/// Accepts mail under load, backs up twice, kills the server, and restores into another directory: every message that was accepted before the last backup began
/// is delivered from there, and every other one from the old directory.
#[test]
fn a_backup_under_load_accounts_for_every_message() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = started(&lab);
    let (address, next, over) = (waypost.address, AtomicU64::new(1), AtomicBool::new(false));
    let accepted = Mutex::new(Vec::new());
    let directory = lab.path().join("backup");
    let shown = directory.to_str().unwrap();
    let mut before_last = Vec::new();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if offer(address, number).starts_with("250") {
                        accepted.lock().unwrap().push(number);
                    }
                }
            });
        }
        wait_for("mail", || (accepted.lock().unwrap().len() >= 20).then_some(()));
        let first = waypost.json(&["backup", shown]);
        assert!(first["linked"].as_u64().unwrap() > 0 && first["kept"] == 0, "{first}");
        let so_far = accepted.lock().unwrap().len();
        wait_for("more mail", || (accepted.lock().unwrap().len() >= so_far + 20).then_some(()));
        before_last = accepted.lock().unwrap().clone();
        let second = waypost.json(&["backup", shown, "--all"]);
        assert!(second["kept"].as_u64() >= first["linked"].as_u64() && second["linked"].as_u64().unwrap() > 0, "{second}");
        assert_eq!(second["missing"].as_array().unwrap().len(), 0);
        over.store(true, Ordering::SeqCst);
    });
    waypost.kill();
    assert_eq!(fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    let old = waypost.data.with_file_name("data.old");
    fs::rename(&waypost.data, &old).unwrap();
    let restored = waypost.json(&["restore", shown]);
    assert!(restored["messages"].as_u64().unwrap() as usize >= before_last.len(), "{restored}");
    waypost.ok(&["queue", "verify"]);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.start();
    waypost.ok(&["queue", "retry", "--all"]);
    waypost.wait_for_empty_queue();
    let from_backup = numbers(&inbox);
    let lost: Vec<_> = before_last.iter().filter(|number| !from_backup.contains(number)).collect();
    assert!(lost.is_empty(), "accepted before the backup, and not in it: {lost:?}");
    waypost.stop();
    // The rest is in the old directory, which the server was killed on.
    fs::rename(&waypost.data, lab.path().join("data.restored")).unwrap();
    fs::rename(&old, &waypost.data).unwrap();
    waypost.start();
    waypost.ok(&["queue", "retry", "--all"]);
    waypost.wait_for_empty_queue();
    let all = numbers(&inbox);
    let lost: Vec<u64> = accepted.into_inner().unwrap().into_iter().filter(|number| !all.contains(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    waypost.assert_no_bugs();
}

#[test]
fn a_restore_is_verified_and_needs_an_empty_directory() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = started(&lab);
    for number in 1..=3 {
        assert!(offer(waypost.address, number).starts_with("250"));
    }
    let directory = lab.path().join("backup");
    let shown = directory.to_str().unwrap();
    waypost.ok(&["backup", shown, "--all"]);
    waypost.stop();
    // Also without a server.
    let again = waypost.json(&["backup", shown, "--all"]);
    assert_eq!((&again["messages"], &again["kept"], &again["linked"]), (&3.into(), &1.into(), &0.into()), "{again}");
    // What a run does not add stays from before.
    let less = waypost.json(&["backup", shown]);
    assert_eq!((&less["other_files"], &less["removed"]), (&again["other_files"], &1.into()), "{less}");
    let told = waypost.refused(&["restore", shown]);
    assert!(told.contains("is not empty") && told.contains("mv "), "{told}");
    let inside = waypost.data.join("backup");
    assert!(waypost.refused(&["backup", inside.to_str().unwrap()]).contains("in the data directory"));
    let foreign = lab.path().to_str().unwrap();
    assert!(waypost.refused(&["backup", foreign]).contains("no backup of Waypost is in it"));

    let target = lab.path().join("restored");
    let to = ["restore", shown, "--data-dir", target.to_str().unwrap()];
    // One octet of each kind of file.
    let content = fs::read_dir(directory.join("content")).unwrap().next().unwrap().unwrap().path();
    for path in [content, directory.join("keys/data/srs.secrets")] {
        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 2] ^= 1;
        // The hard link is the server's own file: replace it instead of writing to it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bad).unwrap();
        let told = waypost.refused(&to);
        assert!(told.contains("SHA-256") && told.contains("nothing was restored") && !target.exists(), "{told}");
        fs::write(&path, &good).unwrap();
    }
    let manifest = directory.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let schema = serde_json::from_str::<serde_json::Value>(&text).unwrap()["schema"].as_u64().unwrap();
    fs::write(&manifest, text.replace(&format!("\"schema\": {schema}"), "\"schema\": 999")).unwrap();
    assert!(waypost.refused(&to).contains("cannot open"));
    fs::write(&manifest, &text).unwrap();
    waypost.ok(&to);
    for name in ["srs.secrets", "passwords.key"] {
        assert_eq!(fs::read(target.join(name)).unwrap(), fs::read(waypost.data.join(name)).unwrap(), "{name}");
    }
    assert!(target.join("history.db").exists() && directory.join("config/waypost.toml").exists());
}

#[test]
fn verification_finds_each_kind_of_damage_and_nothing_else() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = started(&lab);
    for number in 1..=9 {
        assert!(offer(waypost.address, number).starts_with("250"));
    }
    let good = waypost.json(&["queue", "verify"]);
    assert_eq!((&good["messages"], good["damage"].as_array().unwrap().len()), (&9.into(), 0), "{good}");
    assert_eq!((&good["contents_in_files"], &good["contents_in_rows"]), (&3.into(), &6.into()));
    waypost.stop();
    let mut files: Vec<_> = fs::read_dir(waypost.data.join("content")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let flip = |path: &Path| {
        let mut octets = fs::read(path).unwrap();
        octets[100_000] ^= 1;
        fs::write(path, octets).unwrap();
    };
    flip(&files[0]);
    fs::remove_file(&files[1]).unwrap();
    fs::File::options().write(true).open(&files[2]).unwrap().set_len(1000).unwrap();
    fs::write(waypost.data.join("content").join(mail::QueueId(7).to_string()), b"of nobody").unwrap();
    let db = rusqlite::Connection::open(waypost.data.join("waypost.db")).unwrap();
    db.execute(
        "UPDATE content SET data = CAST(x'00' || substr(data, 2) AS BLOB) WHERE id = (SELECT min(id) FROM content WHERE data IS NOT NULL)",
        [],
    )
    .unwrap();
    db.execute("DELETE FROM content WHERE id = (SELECT max(id) FROM content WHERE data IS NOT NULL)", []).unwrap();
    db.execute("UPDATE total SET messages = messages + 1", []).unwrap();
    drop(db);
    let output = waypost.command(&["--json", "queue", "verify"]);
    assert!(!output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let texts: Vec<String> = found["damage"].as_array().unwrap().iter().map(|one| one["what"].as_str().unwrap().to_owned()).collect();
    for expected in ["totals say 10 messages", "file is missing", "has 1000 octets", "the message has no content"] {
        assert_eq!(texts.iter().filter(|text| text.contains(expected)).count(), 1, "{expected}: {texts:?}");
    }
    assert_eq!(texts.iter().filter(|text| text.contains("CRC-32")).count(), 2, "{texts:?}");
    assert_eq!((texts.len(), found["files_without_rows"].as_array().unwrap().len()), (6, 1), "{found}");
}

#[test]
fn a_newer_schema_is_refused_and_the_way_back_is_told() {
    let lab = Lab::new();
    let waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let db = rusqlite::Connection::open(waypost.data.join("waypost.db")).unwrap();
    db.pragma_update(None, "user_version", 999).unwrap();
    drop(db);
    let before = fs::metadata(waypost.data.join("waypost.db")).unwrap().mtime();
    for command in [&["serve"][..], &["queue", "list"], &["queue", "verify"]] {
        let told = waypost.refused(command);
        assert!(told.contains("newer Waypost (schema 999)") && told.contains("docs/upgrade.md"), "{told}");
    }
    assert_eq!(fs::metadata(waypost.data.join("waypost.db")).unwrap().mtime(), before);
}
