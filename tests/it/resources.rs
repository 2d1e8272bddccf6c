//! Full disks, exhausted descriptors and corrupt records: threats 98 to 100.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use it::{Dns, InboundScene, Lab, MX_PORT, Mount, Process, Script, Sink, Talk, Waypost, obedient, wait_for, zone};

fn content(number: usize, size: usize) -> String {
    format!("From: her@foreign.test\r\nSubject: number {number}.\r\n\r\n{}", "0123456789abcdef\r\n".repeat(size / 18))
}

/// A small message, and one with a file of its own.
const SIZES: [usize; 2] = [2_000, 200_000];

fn offer(waypost: &Waypost, number: usize, size: usize) -> String {
    Talk::greeted(waypost.address, MX_PORT).message("her@foreign.test", "me@example.test", &content(number, size))
}

/// Requires that exactly the acknowledged messages arrived, once each.
fn assert_arrived(inbox: &Sink, waypost: &Waypost, acknowledged: &[usize]) {
    for number in acknowledged {
        inbox.wait_for(&format!("Subject: number {number}.\r\n"));
    }
    waypost.wait_for_empty_queue();
    assert_eq!(inbox.messages().len(), acknowledged.len(), "{acknowledged:?}");
    waypost.assert_no_bugs();
}

#[test]
fn threat_98_a_full_disk() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    // A delivered message leaves room again, and a quick inbox can keep up with the test.
    let inbox = Sink::paused(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "");
    let mount = Mount::small(&waypost.data);
    waypost.start_hosting("foo@inbox.test");
    let filler = mount.fill_but(200);
    let mut acknowledged = Vec::new();
    let mut refused = [0; 2];
    for number in 0..400 {
        if refused.iter().all(|r| *r >= 3) {
            break;
        }
        let kind = number % 2;
        let reply = offer(&waypost, number, SIZES[kind]);
        if reply.starts_with("250") {
            acknowledged.push(number);
        } else {
            assert!(reply.starts_with("452 4.3.1"), "{reply}");
            refused[kind] += 1;
        }
    }
    assert!(refused.iter().all(|r| *r >= 3), "{refused:?}: the disk never was full");
    fs::remove_file(filler).unwrap();
    inbox.resume();
    for (number, size) in [(1000, SIZES[0]), (1001, SIZES[1])] {
        let reply = offer(&waypost, number, size);
        assert!(reply.starts_with("250"), "{reply}");
        acknowledged.push(number);
    }
    assert_arrived(&inbox, &waypost, &acknowledged);
    waypost.stop();
}

/// Makes the server's system calls fail until it is dropped.
struct Fault(Process);

impl Fault {
    fn inject(lab_path: &Path, waypost: &Waypost, what: &str) -> Self {
        let log = lab_path.join("strace.log");
        let said = File::create(&log).unwrap();
        let mut command = Command::new("strace");
        command.args(["-f", "-o", "/dev/null", "-p", &waypost.id().to_string(), "-e", &format!("inject={what}")]);
        let process = Process::start(command.stdout(Stdio::null()).stderr(said));
        wait_for("strace to attach", || fs::read_to_string(&log).unwrap_or_default().contains("attached").then_some(()));
        Self(process)
    }

    fn end(mut self) {
        self.0.stop();
    }
}

fn disk_faults(what: &str) {
    let stage = InboundScene::new("");
    let fault = Fault::inject(stage.lab.path(), &stage.waypost, what);
    for (number, size) in SIZES.into_iter().enumerate() {
        let reply = offer(&stage.waypost, number, size);
        assert!(reply.starts_with("451 4.3.0"), "{reply}");
    }
    fault.end();
    for (number, size) in [(10, SIZES[0]), (11, SIZES[1])] {
        let reply = offer(&stage.waypost, number, size);
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert_arrived(&stage.inbox, &stage.waypost, &[10, 11]);
    stage.waypost.wait_for_no_file("content");
}

#[test]
fn threat_98_a_disk_that_does_not_sync() {
    disk_faults("fsync,fdatasync:error=EIO");
}

#[test]
fn threat_98_a_disk_that_has_become_read_only() {
    // A file system with open files cannot be remounted, so the calls that would fail on it are made to.
    disk_faults("openat,pwrite64:error=EROFS");
}

#[test]
fn threat_98_an_outcome_that_cannot_be_written_down_is_not_forgotten() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let (confirm, confirmed) = mpsc::channel::<()>();
    let (confirmed, taken) = (Mutex::new(confirmed), Arc::new(AtomicUsize::new(0)));
    let count = taken.clone();
    let _inbox = Script::answering(lab.address(2), MX_PORT, move |_, command| {
        if command == "." {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = confirmed.lock().unwrap().recv();
        }
        obedient(command)
    });
    let waypost = Waypost::started(&lab, "foo@inbox.test", "");
    assert!(offer(&waypost, 1, SIZES[0]).starts_with("250"));
    wait_for("the content to be sent", || (taken.load(Ordering::SeqCst) == 1).then_some(()));
    let fault = Fault::inject(lab.path(), &waypost, "fsync,fdatasync:error=EIO");
    confirm.send(()).unwrap();
    waypost.wait_for_log("cannot store the outcome of a delivery; retrying");
    fault.end();
    waypost.wait_for_empty_queue();
    assert_eq!(taken.load(Ordering::SeqCst), 1, "delivered once");
    waypost.assert_no_bugs();
}

fn processor_ticks(id: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn threat_99_no_descriptors_left() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    waypost.ok(&["alias", "add", "me@example.test", "foo@inbox.test"]);
    waypost.start_by(|binary| {
        let mut command = Command::new("prlimit");
        command.arg("--nofile=64:64").arg(binary);
        command
    });
    let crowd: Vec<Talk> = (0..120).map(|_| Talk::connect(waypost.address, MX_PORT)).collect();
    let failures = || waypost.log().matches("cannot accept a connection").count();
    wait_for("accept to fail", || (failures() > 0).then_some(()));
    let (failed_before, ticks_before) = (failures(), processor_ticks(waypost.id()));
    // Five pauses of the listener: a second in which it must be nearly idle.
    wait_for("accept to fail again", || (failures() >= failed_before + 5).then_some(()));
    let ticks = processor_ticks(waypost.id()) - ticks_before;
    assert!(ticks < 50, "{ticks} ticks of processor time while there was nothing to do");
    drop(crowd);
    wait_for("the crowd to be gone", || offer(&waypost, 1, SIZES[1]).starts_with("250").then_some(()));
    assert_arrived(&inbox, &waypost, &[1]);
}

#[test]
fn threat_99_too_many_sessions() {
    // Unknown clients get half of all sessions.
    for (limit, want) in [("sessions = 6", "421 4.3.2"), ("sessions_per_client = 3", "421 4.7.0")] {
        let stage = InboundScene::new(&format!("[limits]\n{limit}\n"));
        let greeted = || Talk::greeted(stage.waypost.address, MX_PORT);
        wait_for("no session", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
        let crowd = [greeted(), greeted(), greeted()];
        let mut one_more = Talk::connect(stage.waypost.address, MX_PORT);
        let reply = one_more.reply();
        assert!(reply.starts_with(want), "{reply}");
        assert!(one_more.is_closed());
        drop(crowd);
        wait_for("no session", || (stage.waypost.json(&["status"])["sessions"] == 0).then_some(()));
        greeted().taken("her@foreign.test", "me@example.test", &content(1, 10));
        assert_arrived(&stage.inbox, &stage.waypost, &[1]);
    }
}

#[test]
fn threat_100_records_that_cannot_be_read() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::started(&lab, "foo@inbox.test", "[retry]\nwaits_s = [3600]\n");
    // Nothing listens at the mailbox yet.
    for (number, size) in [(0, 10), (1, 10), (2, 10), (3, 10), (4, 10), (5, 200_000), (6, 10), (7, 200_000)] {
        assert!(offer(&waypost, number, size).starts_with("250"));
    }
    let attempted = |m: &serde_json::Value| m["recipients"][0]["state"] == "waiting" && m["recipients"][0]["attempts"] == 1;
    wait_for("all to be deferred", || waypost.json(&["queue", "list"])["items"].as_array().unwrap().iter().all(attempted).then_some(()));
    waypost.stop();
    let db = rusqlite::Connection::open(waypost.data.join("waypost.db")).unwrap();
    let ids: Vec<i64> =
        db.prepare("SELECT id FROM message ORDER BY id").unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for (place, damage) in [
        (0, "UPDATE recipient SET mailbox = 'no address' WHERE message_id = ?"),
        (1, "UPDATE recipient SET mailbox = CAST(X'FF40' AS TEXT) WHERE message_id = ?"),
        (2, "UPDATE message SET flow = 'odd' WHERE id = ?"),
        (3, "UPDATE content SET data = X'00' WHERE id = ?"),
        (4, "UPDATE recipient SET lane = CAST(X'FF' AS TEXT) WHERE message_id = ?"),
        (5, "DELETE FROM content WHERE id = ?"),
    ] {
        assert_eq!(db.execute(damage, [ids[place]]).unwrap(), 1, "{damage}");
    }
    db.execute("UPDATE recipient SET next_attempt_ms = 0", []).unwrap();
    drop(db);
    let inbox = Sink::start(lab.address(2), MX_PORT);
    waypost.start();
    for number in [6, 7] {
        inbox.wait_for(&format!("Subject: number {number}.\r\n"));
    }
    let list = wait_for("the rest to be set aside", || {
        let list = waypost.json(&["queue", "list"]);
        let messages = list["items"].as_array().unwrap();
        (messages.len() == 6 && messages.iter().all(|m| m["recipients"][0]["state"] == "set aside")).then_some(list)
    });
    assert!(list["items"].as_array().unwrap().iter().all(|m| m["recipients"][0]["reason"].is_string()), "{list}");
    assert_eq!(waypost.ok(&["queue", "list"]).matches("set aside").count(), 6);
    assert!(waypost.log().matches("was set aside").count() >= 6, "{}", waypost.log());
    assert_eq!(inbox.messages().len(), 2);
    waypost.assert_no_bugs();
}

#[test]
fn threat_99_over_the_memory_budget_only_accounts_are_served() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let password = waypost.account("me@example.test");
    waypost.start();
    // The network of a login is known from now on.
    drop(waypost.logged_in("me@example.test", &password));
    waypost.configure(|config| config.set("limits.memory_bytes", "1 MiB"));
    waypost.ok(&["reload"]);
    waypost.wait_for_log("the memory budget is used up");
    let refused = Talk::connect(waypost.address, MX_PORT).reply();
    assert!(refused.starts_with("421 4.3.2 the server is short of memory"), "{refused}");
    let mut account = waypost.logged_in("me@example.test", &password);
    account.expect("NOOP", "250");
    waypost.configure(|config| config.remove("limits.memory_bytes"));
    waypost.ok(&["reload"]);
    waypost.wait_for_log("within the memory budget again");
    Talk::greeted(waypost.address, MX_PORT).expect("EHLO client.foreign.test", "250");
    waypost.assert_no_bugs();
}

/// Stress: three errors end the session of an unknown client, and an account keeps its twenty.
#[test]
fn under_stress_unknown_clients_get_fewer_errors() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = Waypost::configured(&lab, "");
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let password = waypost.account("me@example.test");
    waypost.start();
    let mut account = waypost.logged_in("me@example.test", &password);
    let stranger = |waypost: &Waypost| {
        let mut talk = Talk::connect_from(lab.address(9), waypost.address, MX_PORT);
        assert!(talk.reply().starts_with("220"));
        talk.expect("EHLO client.foreign.test", "250");
        talk
    };
    let mut calm = stranger(&waypost);
    for _ in 0..4 {
        calm.expect("WHAT", "500");
    }
    drop(calm);
    // More than seven eighths of the budget are used, but not all of it: then the server would greet no unknown client.
    wait_for("stress", || {
        let used = waypost.memory_kib();
        waypost.configure(|config| config.set("limits.memory_bytes", format!("{} KiB", used * 110 / 100)));
        waypost.ok(&["reload"]);
        // Memory is measured each second.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        waypost.log().contains("under stress").then_some(())
    });
    let mut tight = stranger(&waypost);
    tight.expect("WHAT", "500");
    tight.expect("WHAT", "500");
    tight.expect("WHAT", "421");
    for _ in 0..4 {
        account.expect("WHAT", "500");
    }
    waypost.assert_no_bugs();
}
