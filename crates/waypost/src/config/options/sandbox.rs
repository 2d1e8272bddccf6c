//! Options about what the process of the server may do.

use std::path::PathBuf;

use serde::Deserialize;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::OptionKind;
use super::section;

section!("[sandbox]", "Restrictions of the server's process: files and ports (Landlock), system calls (seccomp). A change needs a restart.", SandboxOptions, [], {
    /// Whether the process is restricted, as far as the kernel can: it reads and writes only what its configuration names, binds only the ports of
    /// `[listen]`, and executes no program unless acme.dns_hook is set. `waypost selftest sandbox` shows it.
    enabled: bool = true;
    /// Whether the server refuses to start on a kernel that cannot restrict it. Otherwise the log and `waypost doctor` say what is missing.
    required: bool = false;
    /// Further files and directories that the server and acme.dns_hook may read.
    readable: Vec<PathBuf> = Vec::new();
    /// Further files and directories that the server and acme.dns_hook may write.
    writable: Vec<PathBuf> = Vec::new();
});
