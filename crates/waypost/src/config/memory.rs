//! The memory that the server may use, if the configuration does not say.

use std::fs;
use std::path::Path;

/// Used if the system says nothing, in octets.
const UNKNOWN: u64 = 2 << 30;

/// Returns three quarters of the memory of this machine, or of this process's control group if that is less, in octets.
pub(super) fn default_budget() -> u64 {
    let least = [of_machine(), of_group()].into_iter().flatten().min().unwrap_or(UNKNOWN);
    least / 4 * 3
}

fn of_machine() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The least limit of the group and those above it (version 2 of control groups).
fn of_group() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = group.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |path: &Path| fs::read_to_string(path.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    Path::new("/sys/fs/cgroup").join(path).ancestors().take_while(|path| path.starts_with("/sys/fs/cgroup")).filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_less_than_the_machine_has() {
        let machine = of_machine().unwrap();
        assert!((machine / 1000..machine).contains(&default_budget()));
    }
}
