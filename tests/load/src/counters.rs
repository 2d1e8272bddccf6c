//! What a server spends: processor time, memory, syncs, and octets written to disk.
//!
//! Processor time is that of the server's control group (version 1 or 2; all its processes, ended ones too, and the kernel's work for them). Without one it
//! is the sum over the processes of the network namespace that are not ours, which misses processes that have ended; [`Group::kind`] says which.
//! Syncs are the calls of fsync and fdatasync that perf counts in the group, and the flushes that reach the device. Octets are those that the device of
//! the server's own file system was given, a final sync included.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

const CLOCK_TICKS_PER_S: f64 = 100.0;
const SECTOR_BYTES: u64 = 512;

/// The control group of a server.
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    /// The file with its processor time; `None` without control groups.
    cpu: Option<PathBuf>,
    /// Where a process enters.
    entries: Vec<PathBuf>,
}

impl Group {
    /// Makes the group of this name.
    pub fn new(name: &str) -> Self {
        // Another measurement on this machine may run a server of the same name.
        let here = fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
        let name = format!("waypost-load-{here}-{name}");
        let root = Path::new("/sys/fs/cgroup");
        let make = |dir: PathBuf| fs::create_dir_all(&dir).is_ok().then_some(dir);
        let v1 = root.join("cpuacct").is_dir().then(|| make(root.join("cpuacct").join(&name))).flatten();
        // perf counts by a group of version 2, which may be mounted beside version 1.
        let v2_root = if root.join("cgroup.procs").is_file() { root.to_owned() } else { root.join("unified") };
        let v2 = v2_root.is_dir().then(|| make(v2_root.join(&name))).flatten();
        let cpu = v1.as_ref().map(|dir| dir.join("cpuacct.usage")).or_else(|| v2.as_ref().map(|dir| dir.join("cpu.stat")));
        let entries = v1.iter().chain(&v2).map(|dir| dir.join("cgroup.procs")).collect();
        Self { name, cpu: cpu.filter(|file| file.is_file()), entries }
    }

    /// How processor time is counted: `cgroup` or `proc`.
    pub fn kind(&self) -> &'static str {
        if self.cpu.is_some() { "cgroup" } else { "proc" }
    }

    /// The name that perf knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that lists its processes; a server's script may end those.
    pub fn processes_file(&self) -> PathBuf {
        self.entries.first().cloned().unwrap_or_else(|| PathBuf::from("/dev/null"))
    }

    /// A shell command that enters the group and then becomes the words after it.
    pub fn entering(&self) -> String {
        let enter: String = self.entries.iter().map(|file| format!("echo $$ > {}; ", file.display())).collect();
        format!("{enter}exec \"$@\"")
    }

    /// Its processes.
    pub fn processes(&self) -> Vec<u32> {
        let Some(file) = self.entries.first() else { return others_in_namespace() };
        fs::read_to_string(file).unwrap_or_default().lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Processor time so far, in seconds.
    pub fn cpu_s(&self) -> f64 {
        let Some(file) = &self.cpu else { return self.processes().iter().filter_map(|pid| cpu_of(*pid)).sum() };
        let text = fs::read_to_string(file).unwrap_or_default();
        match text.strip_prefix("usage_usec ") {
            Some(rest) => rest.lines().next().and_then(|us| us.parse::<f64>().ok()).unwrap_or_default() / 1e6,
            None => text.trim().parse::<f64>().unwrap_or_default() / 1e9,
        }
    }

    /// Its memory in MiB: the proportional set size of all its processes.
    pub fn memory_mib(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().ok()
        };
        (self.processes().iter().filter_map(of).sum::<f64>() + 0.0) / 1024.0
    }

    /// The most memory that each of its processes has had, in MiB, summed: pages that they share count for each.
    pub fn peak_mib(&self) -> f64 {
        let of = |pid: &u32| -> Option<f64> {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
        };
        (self.processes().iter().filter_map(of).sum::<f64>() + 0.0) / 1024.0
    }

    /// Ends its processes, at first politely.
    pub fn end(&self) {
        for signal in ["-TERM", "-KILL"] {
            for _ in 0..40 {
                let processes: Vec<String> = self.processes().iter().map(ToString::to_string).collect();
                if processes.is_empty() {
                    return;
                }
                let _ = Command::new("kill").arg(signal).args(&processes).stderr(Stdio::null()).status();
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for dir in self.entries.iter().filter_map(|file| file.parent()) {
            let _ = fs::remove_dir(dir);
        }
    }
}

/// Processor time of a process and its reaped children, in seconds.
pub fn cpu_of(pid: u32) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: Option<Vec<f64>> = fields.get(11..15)?.iter().map(|field| field.parse().ok()).collect();
    Some(ticks?.iter().sum::<f64>() / CLOCK_TICKS_PER_S)
}

/// The processes of our network namespace except ourselves and our children that are no servers.
fn others_in_namespace() -> Vec<u32> {
    let own = fs::read_link("/proc/self/ns/net").ok();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let tools = ["load", "knotd", "perf", "strace", "sh"];
    let is_server = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        !tools.contains(&name.trim()) && fs::read_link(format!("/proc/{pid}/ns/net")).ok() == own
    };
    pids.filter(is_server).collect()
}

/// Processor time of the whole machine that was spent, in seconds.
pub fn machine_cpu_s() -> f64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let values: Vec<f64> = text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|v| v.parse().ok()).collect();
    let idle: f64 = values.get(3..5).unwrap_or_default().iter().sum();
    (values.get(..8).unwrap_or_default().iter().sum::<f64>() - idle) / CLOCK_TICKS_PER_S
}

/// Counts of a block device.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceCounts {
    /// Octets written.
    pub bytes: u64,
    /// Flushes of its cache.
    pub flushes: u64,
}

impl DeviceCounts {
    /// Reads the counts of a device such as `loop0`.
    pub fn of(device: &str) -> Result<Self> {
        let text = fs::read_to_string(format!("/sys/block/{device}/stat")).with_context(|| format!("no counts for {device}"))?;
        let fields: Vec<u64> = text.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let at = |n: usize| fields.get(n).copied().unwrap_or_default();
        Ok(Self { bytes: at(6) * SECTOR_BYTES, flushes: at(15) })
    }
}

/// perf counting the syncs of a group.
pub struct SyncCount(Option<(Child, PathBuf)>);

impl SyncCount {
    /// Starts to count; without perf or its events it counts nothing.
    pub fn start(group: &Group, dir: &Path) -> Self {
        let events = "syscalls:sys_enter_fsync,syscalls:sys_enter_fdatasync";
        let file = dir.join("perf");
        let _ = fs::remove_file(&file);
        let mut command = Command::new("perf");
        command.args(["stat", "-a", "-x,", "-e", events, "-G", &format!("{0},{0}", group.name()), "-o"]).arg(&file);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        std::thread::sleep(Duration::from_millis(300));
        Self(child.ok().map(|child| (child, file)))
    }

    /// The syncs counted; `None` where perf cannot count.
    pub fn end(self) -> Option<u64> {
        let (mut child, file) = self.0?;
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        let _ = child.wait();
        let text = fs::read_to_string(file).ok()?;
        let counts: Vec<u64> =
            text.lines().filter(|line| line.contains("sys_enter")).filter_map(|line| line.split(',').next()?.parse().ok()).collect();
        (!counts.is_empty()).then(|| counts.iter().sum())
    }
}
