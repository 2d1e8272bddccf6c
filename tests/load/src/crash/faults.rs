//! System calls that fail: strace makes the n-th call of each thread fail while mail arrives, for every n until no such call is made.
//!
//! Invariant: a message whose storing failed is refused, so nothing acknowledged is lost, also if the power goes after the error; and the server takes mail
//! again once the fault is over. What an injected error does to a call that cannot fail so in reality (a write to an eventfd) is shown and not judged.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::client::{self, Security, Sessions, Source};
use crate::crash::endless::Endless;
use crate::crash::server::Setup;
use crate::crash::{Campaigns, Trial};
use crate::sink::Behaviour;
use crate::world::Disk;

/// What each fault is tried with: three of these have a file of their own.
static BURST: [usize; 6] = [900, 5000, 100_000, 150_000, 300_000, 900];
/// What must be taken when the fault is over.
static AFTERWARDS: [usize; 1] = [700];

const DISK_MIB: u64 = 512;

/// Maximum time in which mail is taken again after a fault.
const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

/// The calls of the durable path, and their errors.
const CALLS: [(&str, &[&str]); 8] = [
    ("fsync", &["EIO", "ENOSPC"]),
    ("fdatasync", &["EIO", "ENOSPC"]),
    ("pwrite64", &["EIO", "ENOSPC"]),
    ("write", &["ENOSPC"]),
    ("openat", &["EMFILE", "ENOSPC"]),
    ("rename", &["EIO"]),
    ("unlink", &["EIO"]),
    ("ftruncate", &["EIO"]),
];

/// strace attached to a process.
struct Fault {
    strace: Child,
    record: PathBuf,
}

impl Fault {
    /// Makes calls fail: `when` is `3` for the third of each thread, `3+` for that and all later ones.
    fn start(trial: &Trial, call: &str, error: &str, when: &str) -> Result<Self> {
        let record = trial.campaigns.dir.join("strace");
        let pid = trial.server.id();
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={when}")]);
        command.args(["-e", "signal=none", "-p", &pid.to_string(), "-o"]).arg(&record);
        let strace = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("strace cannot be run")?;
        let is_traced = || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            threads
                .map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default())
                .all(|status| !status.contains("TracerPid:\t0\n"))
        };
        crate::world::wait("strace to attach", Duration::from_secs(10), is_traced)?;
        Ok(Self { strace, record })
    }

    /// Detaches; returns whether a call failed.
    fn end(mut self) -> bool {
        let _ = Command::new("kill").args(["-INT", &self.strace.id().to_string()]).status();
        // It does not detach from a process whose first thread has ended while others stand still.
        let ended = || self.strace.try_wait().is_ok_and(|status| status.is_some());
        if crate::world::wait("strace to detach", Duration::from_secs(5), ended).is_err() {
            let _ = self.strace.kill();
            let _ = self.strace.wait();
        }
        fs::read_to_string(&self.record).unwrap_or_default().contains("(INJECTED)")
    }
}

impl Trial<'_> {
    /// Sends one message of each size, and returns how many were acknowledged.
    fn burst(&self, sizes: &'static [usize]) -> Result<usize> {
        let before = self.acknowledged();
        let source = Endless::burst(self.run, sizes, self.next.clone(), self.ledger.clone());
        let plan = Sessions { parallel: sizes.len(), messages_each: 1, patience: Duration::from_secs(15), pace: None };
        client::run(&self.server.target(&self.campaigns.world, Security::Plain), plan, &(source as Arc<dyn Source>))?;
        Ok(self.acknowledged() - before)
    }

    /// Whether mail is taken again, after a new start if the server has ended.
    fn recovers(&mut self) -> Result<bool> {
        if let Some(status) = self.server.ended()? {
            println!("  {}: the server ended with {status}: {}", self.name, self.server.tail());
            self.server.start()?;
        }
        let began = Instant::now();
        while began.elapsed() < RECOVERY_LIMIT {
            if self.burst(&AFTERWARDS)? > 0 {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(false)
    }
}

/// Each call fails at each index; returns what must not be.
pub fn run(campaigns: &Campaigns) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut failed_syncs = 0;
    for (call, errors) in CALLS {
        for error in errors {
            if campaigns.options.bounded && !(*error == "EIO" && (call.contains("sync") || call == "pwrite64")) {
                continue;
            }
            let name = format!("faults, {call} {error}");
            let mut trial = campaigns.trial(&name, None, Setup::queued(600))?;
            trial.sink.behave(Behaviour::REFUSING);
            trial.server.start()?;
            for index in 1..=campaigns.bounded(campaigns.options.last, 6) {
                let fault = Fault::start(&trial, call, error, &index.to_string())?;
                trial.burst(&BURST)?;
                if !fault.end() {
                    println!("  {name}: no thread makes {index} such calls");
                    break;
                }
                trial.blows += 1;
                if !trial.recovers()? {
                    trial
                        .notes
                        .push(format!("no mail was taken within {} s after the call of index {index} failed", RECOVERY_LIMIT.as_secs()));
                    trial.server.kill();
                    trial.server.start()?;
                }
                if index % 10 == 0 {
                    trial.server.kill();
                    trial.server.start()?;
                }
            }
            failed_syncs += if call.contains("sync") { trial.blows } else { 0 };
            faults.extend(judged(trial, call)?);
        }
    }
    if failed_syncs == 0 {
        faults.push("no sync was made to fail, so the faults prove nothing".to_owned());
    }
    Ok(faults)
}

/// A failed call, and then the power goes; returns what must not be.
pub fn with_cuts(campaigns: &Campaigns) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (kind, call) in
        [("ext4", "fsync"), ("ext4", "fdatasync"), ("xfs", "fdatasync"), ("ext4", "pwrite64"), ("ext4", "write"), ("ext4", "ftruncate")]
    {
        if campaigns.options.bounded && !(kind == "ext4" && call.contains("sync")) {
            continue;
        }
        let disk = Disk::new(kind, &campaigns.dir, DISK_MIB)?;
        let name = format!("fault-cuts, {kind} {call}");
        let mut trial = campaigns.trial(&name, Some(&disk.at.join("data")), Setup::queued(600))?;
        trial.sink.behave(Behaviour::REFUSING);
        trial.server.start()?;
        for index in 1..=campaigns.bounded(campaigns.options.last.min(15), 4) {
            let all_later = if index % 3 == 0 { "+" } else { "" };
            let fault = Fault::start(&trial, call, "EIO", &format!("{index}{all_later}"))?;
            trial.burst(&BURST)?;
            // Half of the cuts come while calls fail, the others after mail was taken again.
            let failed = if index % 2 == 0 {
                disk.cut()?;
                fault.end()
            } else {
                let failed = fault.end();
                trial.burst(&BURST)?;
                disk.cut()?;
                failed
            };
            trial.server.kill();
            disk.unmount()?;
            disk.mount()?;
            trial.server.start()?;
            trial.blows += u32::from(failed);
            if !failed {
                break;
            }
        }
        faults.extend(judged(trial, call)?);
    }
    Ok(faults)
}

/// The faults of a trial. A failed wake-up of the runtime (a write to an eventfd) or of a library stops more than any disk can, so then only mail counts.
fn judged(mut trial: Trial, call: &str) -> Result<Vec<String>> {
    // What such a fault leaves may be a server that no longer delivers, which only a new start ends.
    trial.server.kill();
    trial.server.start()?;
    let report = trial.judge()?;
    if call == "write" || call == "openat" {
        return Ok(report.verdict.faults().into_iter().map(|fault| format!("{}: {fault}", report.campaign)).collect());
    }
    Ok(report.faults())
}
