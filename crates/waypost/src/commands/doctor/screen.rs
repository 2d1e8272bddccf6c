//! Prints findings one by one as they are found, then a summary.
//!
//! Invariant: control characters from other servers are replaced by spaces.

use mail::one_line;

use crate::output::{BAD, BOLD, DIM, GOOD, WARN, styled};
use control_api::api::{HealthFinding as Finding, Severity};

/// A finding with its consequence and its fix.
pub(super) fn line(finding: &Finding) -> String {
    let (style, word) = match finding.severity {
        Severity::Good => (GOOD, "ok"),
        Severity::Notice => (DIM, "note"),
        Severity::Warning => (WARN, "warning"),
        Severity::Error => (BAD, "error"),
    };
    let pad = " ".repeat(7usize.saturating_sub(word.len()));
    let found = one_line(&finding.found);
    let mut text = format!("{}{pad}  {:<13} {}: {found}", styled(style, word), finding.check, one_line(&finding.about));
    let indent = " ".repeat(23);
    if let Some(why) = &finding.why {
        text.push_str(&format!("\n{indent}{}", styled(DIM, one_line(why))));
    }
    if let Some(fix) = &finding.fix {
        for (n, line) in fix.lines().enumerate() {
            let head = if n == 0 { "fix: " } else { "     " };
            text.push_str(&format!("\n{indent}{head}{}", one_line(line)));
        }
    }
    text
}

/// The last line.
pub(super) fn summary(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings, good) = (of(Severity::Error), of(Severity::Warning), of(Severity::Good));
    let verdict = match (errors, warnings) {
        (0, 0) => styled(GOOD, "everything works"),
        (0, _) => styled(WARN, "works, with warnings"),
        _ => styled(BAD, "problems found"),
    };
    let counted = |n: usize, word: &str| if n == 1 { format!("1 {word}") } else { format!("{n} {word}s") };
    format!("\n{} {verdict}: {good} ok, {}, {}", styled(BOLD, "=>"), counted(warnings, "warning"), counted(errors, "error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_printed_with_consequence_and_fix() {
        let finding =
            Finding::bad(Severity::Error, "ptr", "192.0.2.1", "no \u{1b}name", "ask the hoster\nfor a PTR record").because("others refuse");
        let shown = anstream::adapter::strip_str(&line(&finding)).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "error    ptr           192.0.2.1: no  name");
        assert_eq!((lines[1].trim(), lines[2].trim(), lines[3].trim()), ("others refuse", "fix: ask the hoster", "for a PTR record"));
        assert!(summary(&[finding]).contains("0 warnings, 1 error"));
    }
}
