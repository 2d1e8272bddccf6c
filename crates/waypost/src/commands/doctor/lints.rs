//! Warnings about valid but unwise settings.
//!
//! Invariant: a file with errors never gets here; loading refuses it.

use policy::Unauthenticated;

use crate::config::Config;
use control_api::api::{HealthFinding as Finding, Severity};

const CHECK: &str = "configuration";

pub(super) fn check(config: &Config) -> Vec<Finding> {
    let about = config.path.display().to_string();
    let settings = &config.settings;
    let warn = |found: &str, fix: &str| Finding::bad(Severity::Warning, CHECK, about.clone(), found, fix);
    let mut findings = Vec::new();
    if settings.postmaster.is_none() {
        let fix = "postmaster = \"you@example.com\" at the top of the file";
        findings.push(warn("no postmaster is set: notices about held mail, failures and suspended accounts go nowhere", fix));
    }
    if settings.forward.unauthenticated == Unauthenticated::Accept && !config.settings.delivery.loopback {
        let found =
            "unauthenticated mail is forwarded (forward.unauthenticated = \"accept\"), which harms this server's reputation at Gmail";
        findings.push(warn(found, "unauthenticated = \"reject\" or \"hold\" under [forward]"));
    }
    if settings.forward.srs.domain == settings.hostname {
        let found = "forwarded mail leaves under the host name (forward.domain is not set)";
        let fix = format!(
            "domain = \"fwd.example.com\" under [forward], and its records: waypost key add fwd.example.com, and see {}",
            "waypost setup"
        );
        findings.push(Finding::bad(Severity::Notice, CHECK, about.clone(), found, fix));
    }
    if !settings.hostname.is_fully_qualified() {
        let found = format!("hostname {} is not fully qualified", settings.hostname);
        findings.push(Finding::bad(
            Severity::Error,
            CHECK,
            about.clone(),
            found,
            "hostname = \"mx.example.com\": the name that the address has in DNS",
        ));
    }
    findings.extend(judge_sandbox(config));
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, about, "no errors"));
    }
    findings
}

/// What restricts the server's process on this kernel.
fn judge_sandbox(config: &Config) -> Option<Finding> {
    let fix = "use a kernel with Landlock (5.13 or later, enabled at boot) and seccomp; waypost selftest sandbox shows the effect";
    let found = match (config.file.sandbox.enabled, sandbox::landlock_version(), sandbox::has_seccomp()) {
        (false, ..) => {
            return Some(Finding::bad(Severity::Notice, "sandbox", "waypost", "turned off (sandbox.enabled)", "remove the option"));
        }
        (_, 1.., true) => return None,
        (_, 0, true) => "this kernel has no Landlock: the server's process can open every file that its user can",
        (_, _, false) => "this kernel has no seccomp: the server's process can make every system call",
    };
    let severity = if config.file.sandbox.required { Severity::Error } else { Severity::Notice };
    Some(Finding::bad(severity, "sandbox", "waypost", found, fix))
}
