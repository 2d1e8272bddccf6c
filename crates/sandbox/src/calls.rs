//! System calls, by seccomp: those that a mail server never makes fail with EPERM.
//!
//! A list of what is refused and not of what is allowed: a newer C library makes calls that no list foresees, and a mail server that dies of one loses its
//! sessions. Invariant: it applies to every thread of the process.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// Added to a system call's number by programs for the x32 ABI, which the filter would otherwise not recognise.
const X32: c_long = 0x4000_0000;

/// Numbers that only the x32 ABI has: execve, ptrace and their like.
const X32_ONLY: std::ops::RangeInclusive<c_long> = 512..=547;

/// Start of programs. Refused if no program may be executed.
const PROGRAMS: &[c_long] = &[libc::SYS_execve, libc::SYS_execveat];

/// Other processes, the kernel, mounts, users, the clock, and what has often been a way into the kernel.
const NEVER: &[c_long] = &[
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_vhangup,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_mknodat,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// Calls that only this architecture has.
#[cfg(target_arch = "x86_64")]
const NEVER_HERE: &[c_long] = &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_mknod, libc::SYS_modify_ldt];
#[cfg(not(target_arch = "x86_64"))]
const NEVER_HERE: &[c_long] = &[];

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Refuses these calls in all threads, and sets no_new_privs.
pub(crate) fn restrict(no_programs: bool) -> Result<(), String> {
    let program = filter(no_programs).map_err(|error| error.to_string())?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
}

fn filter(no_programs: bool) -> Result<BpfProgram, BackendError> {
    let mut rules = Rules::new();
    let programs = if no_programs { PROGRAMS } else { &[] };
    for call in NEVER.iter().chain(NEVER_HERE).chain(programs) {
        rules.insert(*call, Vec::new());
    }
    rules.insert(libc::SYS_socket, vec![other_families()?]);
    let both = (libc::PROT_WRITE | libc::PROT_EXEC) as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        rules.insert(call, vec![SeccompRule::new(vec![protection(both)?])?]);
    }
    if cfg!(target_arch = "x86_64") {
        let of_x32: Vec<c_long> = rules.keys().copied().chain(X32_ONLY).map(|call| call | X32).collect();
        rules.extend(of_x32.into_iter().map(|call| (call, Vec::new())));
    }
    let architecture = TargetArch::try_from(std::env::consts::ARCH)?;
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(libc::EPERM as u32), architecture)?.try_into()
}

/// Matches sockets of any family but IPv4, IPv6 and Unix.
fn other_families() -> Result<SeccompRule, BackendError> {
    let known = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let is_other =
        |family: &libc::c_int| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(family.unsigned_abs()));
    SeccompRule::new(known.iter().map(is_other).collect::<Result<_, _>>()?)
}

/// Matches memory that can be written and executed.
fn protection(both: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(both), both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_small_enough_for_the_kernel() {
        for no_programs in [true, false] {
            let program = filter(no_programs).unwrap();
            assert!((100..4096).contains(&program.len()), "{}", program.len());
        }
        assert!(filter(true).unwrap().len() > filter(false).unwrap().len());
    }
}
