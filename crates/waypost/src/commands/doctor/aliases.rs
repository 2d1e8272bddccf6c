//! Aliases: invalid lines of the virtual file, and targets whose domains accept no mail.
//!
//! Postfix virtual(5), RFC 5321 s.5.1, RFC 7505. Invariant: names each such line and domain; an unanswered DNS query is a notice.

use anyhow::Result;
use control_api::api::{TargetLooks, VirtualFileView};

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

const CHECK: &str = "aliases";

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let file: VirtualFileView = context.api()?.get("/api/v1/aliases/virtual-file").await?;
    let looks: TargetLooks = context.api()?.get("/api/v1/aliases/targets").await?;
    let mut findings = judge_virtual_file(&file);
    findings.extend(judge_targets(&looks));
    Ok(findings)
}

fn judge_targets(looks: &TargetLooks) -> Vec<Finding> {
    let fix = |target: &str, meant: &Option<String>| match meant {
        Some(meant) => {
            format!("did you mean {meant}? waypost alias list shows the aliases to {target}; change them with waypost alias add --replace")
        }
        None => format!("waypost alias list shows the aliases to {target}; change them with waypost alias add --replace"),
    };
    let mut findings: Vec<Finding> = looks
        .doubts
        .iter()
        .map(|look| {
            let severity = if look.is_wrong { Severity::Error } else { Severity::Notice };
            Finding::bad(severity, CHECK, look.target.clone(), look.found.clone(), fix(&look.target, &look.meant))
        })
        .collect();
    if looks.left_out > 0 {
        let found = format!("{} more target domains were not looked up", looks.left_out);
        findings.push(Finding::bad(Severity::Notice, CHECK, "targets", found, "waypost alias test ADDRESS checks a single alias"));
    }
    if findings.is_empty() && looks.looked > 0 {
        findings.push(Finding::good(CHECK, "targets", format!("all target domains accept mail ({})", looks.looked)));
    }
    findings
}

fn judge_virtual_file(file: &VirtualFileView) -> Vec<Finding> {
    const FIX: &str = "correct the file; the server rereads it when it changes (waypost config check lists all invalid lines)";
    let Some(path) = &file.path else { return Vec::new() };
    let bad = |about: String, found: &str| Finding::bad(Severity::Error, CHECK, about, found, FIX);
    let whole = file.unread.iter().map(|why| bad(path.clone(), why));
    let lines = file.faults.iter().map(|fault| bad(format!("{path}:{}", fault.line), &fault.text));
    let findings: Vec<Finding> = whole.chain(lines).collect();
    if findings.is_empty() { vec![Finding::good(CHECK, path.clone(), "all lines are valid")] } else { findings }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::api::{ImportLine, TargetLook};

    #[test]
    fn a_wrong_target_is_an_error_and_an_unanswered_query_a_notice() {
        let look = |is_wrong, meant: Option<&str>| TargetLook {
            domain: "gmial.com".into(),
            target: "foo@gmial.com".into(),
            is_wrong,
            found: "it does not exist".into(),
            meant: meant.map(ToOwned::to_owned),
        };
        let findings =
            judge_targets(&TargetLooks { looked: 2, left_out: 0, doubts: vec![look(true, Some("gmail.com")), look(false, None)] });
        assert_eq!(findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Error, Severity::Notice]);
        assert!(findings[0].fix.as_ref().unwrap().contains("did you mean gmail.com?"));
        assert_eq!(judge_targets(&TargetLooks { looked: 2, ..TargetLooks::default() })[0].severity, Severity::Good);
        assert!(judge_targets(&TargetLooks::default()).is_empty());
    }

    #[test]
    fn each_invalid_line_is_a_finding() {
        let mut file = VirtualFileView::default();
        assert!(judge_virtual_file(&file).is_empty());
        file.path = Some("/etc/virtual".into());
        assert_eq!(judge_virtual_file(&file).len(), 1);
        file.faults = [2, 7].map(|line| ImportLine { line, text: "it has no value".into() }).into();
        let findings = judge_virtual_file(&file);
        assert_eq!(findings.iter().map(|finding| finding.about.as_str()).collect::<Vec<_>>(), ["/etc/virtual:2", "/etc/virtual:7"]);
        assert!(findings.iter().all(|finding| finding.severity == Severity::Error));
    }
}
