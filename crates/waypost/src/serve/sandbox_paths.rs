//! The files of the system that the server reads, and the directories that are never opened as a whole.

/// What the C library, the resolver, TLS and the metrics read. None of it is secret: other processes in /proc are closed by the kernel's own rules.
pub(super) const SYSTEM: &[&str] = &[
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/NetworkManager",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/passwd",
    "/etc/group",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/lib",
    "/lib64",
    "/var/lib/sss/mc",
    "/run/nscd",
    "/proc",
    "/sys/fs/cgroup",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
    "/dev/urandom",
    "/dev/random",
];

/// Where a hook and the programs that it calls are.
pub(super) const SYSTEM_PROGRAMS: &[&str] =
    &["/usr/bin", "/usr/sbin", "/usr/local", "/usr/lib", "/usr/lib64", "/usr/libexec", "/usr/share", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/etc"];

/// Directories that many programs use: of a configured file in one of them, only the file can be read.
pub(super) const BROAD: &[&str] = &[
    "/", "/etc", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/usr/local", "/usr/local/etc", "/var", "/var/lib", "/var/log",
    "/var/mail", "/var/run", "/var/spool", "/var/tmp",
];
