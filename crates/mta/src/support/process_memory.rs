//! The memory of this process.

/// Octets of this process that are in memory; `None` if the system does not say.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_uses_some_memory() {
        assert!(super::resident_bytes().is_some_and(|used| (1 << 20..1 << 40).contains(&used)));
    }
}
