//! The aliases: lines of the virtual file that are not in force.
//!
//! Postfix virtual(5). Invariant: each line is named.

use admin::api::VirtualFileView;
use anyhow::Result;

use super::Patient;
use super::finding::{Finding, Severity};

const CHECK: &str = "aliases";

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let file: VirtualFileView = patient.api()?.get("/v1/aliases/virtual-file").await?;
    Ok(of_file(&file))
}

fn of_file(file: &VirtualFileView) -> Vec<Finding> {
    const FIX: &str = "correct the file; it is read again when it changes (waypost config check names all lines)";
    let Some(path) = &file.path else { return Vec::new() };
    let bad = |about: String, found: &str| Finding::bad(Severity::Error, CHECK, about, found, FIX);
    let whole = file.unread.iter().map(|why| bad(path.clone(), why));
    let lines = file.faults.iter().map(|fault| bad(format!("{path}:{}", fault.line), &fault.text));
    let findings: Vec<Finding> = whole.chain(lines).collect();
    if findings.is_empty() { vec![Finding::good(CHECK, path.clone(), "each line is in force")] } else { findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::api::ImportLine;

    #[test]
    fn each_bad_line_is_a_finding() {
        let mut file = VirtualFileView::default();
        assert!(of_file(&file).is_empty());
        file.path = Some("/etc/virtual".into());
        assert_eq!(of_file(&file).len(), 1);
        file.faults = [2, 7].map(|line| ImportLine { line, text: "it has no value".into() }).into();
        let findings = of_file(&file);
        assert_eq!(findings.iter().map(|finding| finding.about.as_str()).collect::<Vec<_>>(), ["/etc/virtual:2", "/etc/virtual:7"]);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    }
}
