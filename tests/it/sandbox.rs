//! The restrictions of the server's process: what it may not do, what still works, and what a reload says about a directory that it may not open.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use it::{Dns, Lab, MX_PORT, Sink, Talk, Waypost, run, run_ok, zone};

/// An ordinary user of every Debian.
const USER: (&str, u32, u32) = ("daemon", 1, 1);

const LETTER: &str = "From: her@foreign.test\r\nSubject: letter\r\n\r\ntext\r\n";

fn status(id: u32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {status}")).trim().to_owned()
}

/// Gives the lab to the user, as `setup` does with the data directory; the server is started as root and changes to it.
fn give_to_user(lab: &Lab, waypost: &Waypost) {
    for path in [lab.path(), &waypost.data, &waypost.config, &lab.path().join("cert.pem"), &lab.path().join("key.pem")] {
        chown(path, Some(USER.1), Some(USER.2)).unwrap();
    }
}

#[test]
fn the_selftest_shows_what_is_refused() {
    let lab = Lab::new();
    let waypost = Waypost::configured(&lab, "");
    let report = waypost.json(&["selftest", "sandbox"]);
    let attempts = report["attempts"].as_array().unwrap();
    let outcome = |name: &str| attempts.iter().find(|one| one["attempt"].as_str().unwrap().contains(name)).unwrap();
    for refused in ["execute", "read a file of another", "write a file of another", "create a directory", "remove a file", "netlink"] {
        let one = outcome(refused);
        assert_eq!((&one["allowed"], &one["ok"]), (&false.into(), &true.into()), "{report}");
    }
    assert!(attempts.iter().filter(|one| one["allowed"] == true).count() >= 4 && report["ok"] == true, "{report}");
    assert!(waypost.ok(&["selftest", "sandbox"]).contains("Landlock version"));
}

#[test]
fn a_server_started_as_root_runs_as_the_owner_of_its_data_and_is_restricted() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "");
    give_to_user(&lab, &waypost);
    // A port below 1024 needs the one capability that is kept.
    let low = format!("{}:587", waypost.address);
    waypost.configure(|config| config.set("listen.submission", vec![low]));
    chown(&waypost.config, Some(USER.1), Some(USER.2)).unwrap();
    waypost.start_hosting("foo@inbox.test");
    let id = waypost.id();
    assert_eq!(status(id, "Uid"), "1\t1\t1\t1");
    assert_eq!(status(id, "Gid"), "1\t1\t1\t1");
    assert_eq!((status(id, "CapEff"), status(id, "CapPrm")), ("0000000000000400".into(), "0000000000000400".into()));
    assert_eq!((status(id, "NoNewPrivs"), status(id, "Seccomp")), ("1".into(), "2".into()));
    // A thread may end meanwhile.
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap().map(|task| task.unwrap().path().join("status"));
    let threads: Vec<String> = threads.filter_map(|status| fs::read_to_string(status).ok()).collect();
    assert!(!threads.is_empty());
    for status in threads {
        assert!(status.contains("Seccomp:\t2"), "a thread is not restricted:\n{status}");
    }
    Talk::greeted(waypost.address, 587).expect("EHLO client.foreign.test", "250");
    let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", LETTER);
    assert!(reply.starts_with("250"), "{reply}");
    inbox.wait_for("Subject: letter");
    // What root's commands and the server leave there is the user's.
    // A file that is written anew has another name meanwhile.
    let files = fs::read_dir(&waypost.data).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = files.filter_map(|file| Some((fs::symlink_metadata(&file).ok()?.uid(), file))).collect();
    assert!(!files.is_empty() && files.iter().all(|(owner, _)| *owner == USER.1), "{files:?}");
    waypost.ok(&["reload"]);
    waypost.assert_no_bugs();
    waypost.stop();
    assert!(waypost.log().contains("the process is restricted"), "{}", waypost.log());
}

#[test]
fn a_reload_that_needs_another_directory_asks_for_a_restart() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "");
    let elsewhere = tempfile::tempdir().unwrap();
    let map = elsewhere.path().join("lists/virtual");
    fs::create_dir(map.parent().unwrap()).unwrap();
    fs::write(&map, "more@example.test foo@inbox.test\n").unwrap();
    waypost.configure(|config| config.set("virtual_file", map.to_str().unwrap()).set("hostname", "other.example.test"));
    let told = waypost.refused(&["reload"]);
    assert!(told.contains("may not use") && told.contains(map.parent().unwrap().to_str().unwrap()) && told.contains("restart"), "{told}");
    Talk::greeted(waypost.address, MX_PORT).expect("EHLO client.foreign.test", "250-mx.example.test");
    waypost.stop();
    waypost.start();
    let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "more@example.test", LETTER);
    assert!(reply.starts_with("250"), "{reply}");
    inbox.wait_for("Subject: letter");
    // An editor replaces the file.
    fs::write(map.with_extension("new"), "other@example.test foo@inbox.test\n").unwrap();
    fs::rename(map.with_extension("new"), &map).unwrap();
    waypost.ok(&["reload"]);
    it::wait_for("the new alias", || {
        let reply = Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "other@example.test", LETTER);
        reply.starts_with("250").then_some(())
    });
    waypost.assert_no_bugs();
}

#[test]
fn the_unit_exposes_at_most_1_6() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/waypost.service");
    let arguments = ["security", "--offline=true", "--no-pager", "--threshold=16", unit.to_str().unwrap()];
    let out = run_ok("systemd-analyze", &arguments);
    assert!(out.contains("Overall exposure level for waypost.service"), "{out}");
    // The threshold is real: one directive less is refused.
    let lab = Lab::new();
    let weak = fs::read_to_string(&unit).unwrap().replace("CapabilityBoundingSet=CAP_NET_BIND_SERVICE\n", "");
    let weak = lab.write("waypost.service", &weak);
    let output = run("systemd-analyze", &["security", "--offline=true", "--no-pager", "--threshold=16", weak.to_str().unwrap()]);
    assert!(!output.status.success());
}

#[test]
fn a_hook_can_still_be_executed_and_a_server_without_one_cannot() {
    let lab = Lab::new();
    let hook = lab.write("hook", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let options = "[acme]\nenabled = true\nchallenge = \"dns-01\"\ndns_hook = \"hook\"\ndirectory = \"https://127.0.0.1:1/dir\"\n";
    let waypost = Waypost::configured(&lab, options);
    let report = waypost.json(&["selftest", "sandbox"]);
    let attempts = report["attempts"].as_array().unwrap();
    let execute = attempts.iter().find(|one| one["attempt"].as_str().unwrap().contains("execute")).unwrap();
    assert_eq!((&execute["allowed"], &execute["outcome"]), (&true.into(), &"works".into()), "{report}");
    assert!(attempts.iter().all(|one| one["ok"] == true), "{report}");
}
