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
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, about, "no errors"));
    }
    findings
}
