//! Messages to the postmaster about lines of the virtual file that are not in force.
//!
//! Invariant: each fault is reported once, also across restarts; one that was fixed and returns is new.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use crate::notify::postmaster::{Postmaster, not_notified};
use serde_json::Value;

use crate::notify::outbox::Outbox;
use crate::support::panic_edge::caught;
use crate::support::state_file::StateFile;
use crate::support::virtual_source::VirtualFaults;

/// Polling interval. The faults must be the same at two polls, since an editor may be writing the file.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Maximum number of faults in a message.
const LISTED_MAX: usize = 100;

/// Opens the file of the faults that were reported.
pub(crate) fn open(data: &Path) -> (StateFile, Value) {
    StateFile::open(data.join("virtual-told.json"))
}

/// Runs until shutdown.
pub(crate) async fn run(outbox: Outbox, file: StateFile, state: Value) {
    let mut reported: BTreeSet<String> = serde_json::from_value(state).unwrap_or_default();
    let mut last = BTreeSet::new();
    loop {
        tokio::time::sleep(POLL_EVERY).await;
        let directory = &outbox.shared.directory;
        drop(directory.refreshed().await);
        let Some(faults) = directory.virtual_faults() else { continue };
        let now = keys(&faults);
        if now == last && now != reported {
            let is_new = !now.is_subset(&reported);
            let sent = !is_new || caught(notify(&outbox, &faults)).await.is_some_and(|sent| sent);
            if sent {
                reported.clone_from(&now);
                file.write(|| serde_json::json!(reported).to_string()).await;
            }
        }
        last = now;
    }
}

/// Faults by their text: inserted lines above must not make a fault new.
fn keys(faults: &VirtualFaults) -> BTreeSet<String> {
    faults.whole.iter().cloned().chain(faults.lines.iter().map(|(_, why)| why.clone())).collect()
}

async fn notify(outbox: &Outbox, faults: &VirtualFaults) -> bool {
    // Where nodes share a database, the file is still each node's own.
    let node = outbox.shared.store.node_name().map(|node| format!("node {node}: ")).unwrap_or_default();
    match Postmaster(outbox.clone()).notify(&format!("{node}{}", subject(faults)), &text(faults)).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("the virtual file has faults, and no postmaster is configured to be notified"),
        Err(error) => {
            not_notified(&outbox.shared, "the virtual file", &error);
            return false;
        }
    }
    true
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn subject(faults: &VirtualFaults) -> String {
    match (&faults.whole, faults.lines.len()) {
        (Some(_), _) => format!("the virtual file {} cannot be read", name(&faults.path)),
        (None, 1) => format!("1 line of the virtual file {} is not in force", name(&faults.path)),
        (None, lines) => format!("{lines} lines of the virtual file {} are not in force", name(&faults.path)),
    }
}

fn text(faults: &VirtualFaults) -> String {
    let texts = faults.texts();
    let rest = texts.len().saturating_sub(LISTED_MAX);
    let mut text: String = texts.iter().take(LISTED_MAX).map(|line| format!("{line}\n")).collect();
    if rest > 0 {
        text.push_str(&format!("and {rest} more: waypost config check\n"));
    }
    let meaning = match faults.whole {
        Some(_) => "The aliases that were read before stay in force until the server is restarted.",
        None => {
            "All other lines are in force. Mail to an address without a usable target is deferred (451) until the line is fixed; after some \
             days the sending server bounces it."
        }
    };
    format!("{text}\n{meaning}\nThe file is read again when it changes. To check it:\n\n  waypost config check\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_lists_all_faulty_lines() {
        let lines = vec![(2, "the key `a` has no value".to_owned()), (7, "b@x.test: there is no target".to_owned())];
        let faults = VirtualFaults { path: "/etc/postfix/virtual".into(), whole: None, lines };
        assert_eq!(subject(&faults), "2 lines of the virtual file virtual are not in force");
        let text = text(&faults);
        assert!(text.contains("/etc/postfix/virtual:2: the key") && text.contains("/etc/postfix/virtual:7: b@x.test"), "{text}");
        let moved = VirtualFaults {
            lines: vec![(3, "the key `a` has no value".into()), (8, "b@x.test: there is no target".into())],
            ..faults.clone()
        };
        assert_eq!(keys(&moved), keys(&faults));
    }
}
