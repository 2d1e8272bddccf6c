//! The store: which one is used, and what the operator may take for it.
//!
//! Invariant: writes nothing, and shows no password.

use std::path::Path;

use control_api::api::{HealthFinding as Finding, Severity};

use serde_json::Value;

use crate::config::Config;

const CHECK: &str = "store";

/// What is said about a PostgreSQL; nothing about SQLite, which is in the data directory.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    if config.file.store.url.is_none() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let own = config.file.data_dir.join("waypost.db");
    if own.exists() {
        let found = "it is not used: the queue, the accounts and the aliases are in the PostgreSQL of store.url";
        let fix = "if its mail is not in the PostgreSQL, waypost store copy copies it into a new database; then move it out of the data directory \
                   (docs/cluster.md, \"An existing server becomes the first node\")";
        findings.push(Finding::bad(Severity::Warning, CHECK, own.display().to_string(), found, fix));
    }
    if let Some(fault) = config.exposed_store_password() {
        findings.push(Finding::bad(Severity::Warning, CHECK, "store.password_file", fault.what, fault.hint));
    }
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, "PostgreSQL", config.store_place()));
    }
    findings
}

/// Whether the key that seals passwords is that of the other nodes, as the running server has found at its start.
pub(super) fn judge_key(status: &Value, key: &Path) -> Option<Finding> {
    if status.get("password_key_differs").and_then(Value::as_bool) != Some(true) {
        return None;
    }
    let found =
        "it is not the key of the other nodes: logins by CRAM-MD5, DIGEST-MD5 and NTLM, and codes of a second step, fail here or there";
    let fix = format!("copy {} from the first node over this one, then: systemctl restart waypost", key.display());
    Some(Finding::bad(Severity::Error, CHECK, key.display().to_string(), found, fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_is_not_used_and_what_others_can_read_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let read = |store: &str| {
            let text = format!("hostname = \"mx.example.test\"\ndata_dir = \".\"\n[store]\n{store}");
            crate::config::parse(&directory.path().join("w.toml"), &text).unwrap()
        };
        fs::write(directory.path().join("waypost.db"), "").unwrap();
        assert!(check(&read("")).is_empty(), "with SQLite it is the store");
        fs::write(directory.path().join("password"), "canary\n").unwrap();
        fs::set_permissions(directory.path().join("password"), fs::Permissions::from_mode(0o644)).unwrap();
        let options = "url = \"postgres://waypost@db.example/waypost\"\npassword_file = \"password\"\n";
        let found = check(&read(options));
        let fixes: Vec<&str> = found.iter().filter_map(|finding| finding.fix.as_deref()).collect();
        assert!(matches!(fixes.as_slice(), [copy, chmod] if copy.contains("store copy") && chmod.contains("chmod 640")), "{found:?}");
        fs::set_permissions(directory.path().join("password"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::remove_file(directory.path().join("waypost.db")).unwrap();
        let found = check(&read(options));
        assert!(matches!(found.as_slice(), [Finding { severity: Severity::Good, .. }]), "{found:?}");
    }
}
