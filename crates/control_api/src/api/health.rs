//! What the checks of `waypost doctor` find, as values of the API.
//!
//! Invariant: a finding that is not good has a fix.

use serde::{Deserialize, Serialize};

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong.
    Good,
    /// Worth knowing.
    Notice,
    /// A problem later, or for some mail now.
    Warning,
    /// Mail is refused, lost at receivers, or does not arrive.
    Error,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthFinding {
    /// The short name of the check.
    pub check: String,
    /// What it is about: an address, a domain, a file.
    pub about: String,
    /// How serious it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// The consequence, if it is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What to check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct CheckQuery {
    /// Addresses of the server, instead of those in DNS, separated by commas.
    pub addresses: Option<String>,
    /// The time server to compare the clock with; empty to skip that check.
    pub time_server: Option<String>,
}

impl HealthFinding {
    /// A finding without a problem.
    pub fn good(check: impl Into<String>, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), about: about.into(), severity: Severity::Good, found: found.into(), why: None, fix: None }
    }

    /// A problem with its fix.
    pub fn bad(
        severity: Severity,
        check: impl Into<String>,
        about: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { severity, fix: Some(fix.into()), ..Self::good(check, about, found) }
    }

    /// Adds the consequence.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}

/// Findings with the same cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthCause {
    /// The short name of the check.
    pub check: String,
    /// How serious it is.
    pub severity: Severity,
    /// The consequence that all of them have, if it is not obvious.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The fix of all of them; `None` if each has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The findings.
    pub findings: Vec<HealthFinding>,
}

/// The result of the last check of the running server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HealthView {
    /// When the check ended; `None` before the first.
    pub checked_ms: Option<i64>,
    /// Whether a check runs now.
    pub is_checking: bool,
    /// The problems, the most serious first.
    pub causes: Vec<HealthCause>,
    /// What is right.
    pub good: Vec<HealthFinding>,
}

/// The name by which the sessions of a check mark themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CheckName {
    /// What the check sends as EHLO for the next minutes; the refusals of such a session are in the log only.
    pub hello: String,
}

impl HealthView {
    /// Groups findings by cause: those of the same check, seriousness and consequence belong together.
    pub fn of(findings: Vec<HealthFinding>, checked_ms: i64) -> Self {
        let mut view = Self { checked_ms: Some(checked_ms), ..Self::default() };
        for finding in findings {
            if finding.severity == Severity::Good {
                view.good.push(finding);
                continue;
            }
            let is_same =
                |cause: &&mut HealthCause| (&cause.check, cause.severity, &cause.why) == (&finding.check, finding.severity, &finding.why);
            match view.causes.iter_mut().find(is_same) {
                Some(cause) => {
                    cause.fix = cause.fix.take().filter(|fix| finding.fix.as_ref() == Some(fix));
                    cause.findings.push(finding);
                }
                None => view.causes.push(HealthCause {
                    check: finding.check.clone(),
                    severity: finding.severity,
                    why: finding.why.clone(),
                    fix: finding.fix.clone(),
                    findings: vec![finding],
                }),
            }
        }
        view.causes.sort_by_key(|cause| std::cmp::Reverse(cause.severity));
        view
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_grouped_by_cause_with_the_most_serious_first() {
        let ptr =
            |address: &str, fix: &str| HealthFinding::bad(Severity::Error, "ptr", address, "has no PTR record", fix).because("refused");
        let view = HealthView::of(
            vec![
                HealthFinding::bad(Severity::Warning, "tls", "port 25", "self-signed", "get one"),
                HealthFinding::good("disk", "/", "free"),
                ptr("192.0.2.1", "ask for 192.0.2.1"),
                ptr("192.0.2.2", "ask for 192.0.2.2"),
            ],
            7,
        );
        let shown: Vec<(&str, usize, Option<&str>)> =
            view.causes.iter().map(|cause| (cause.check.as_str(), cause.findings.len(), cause.fix.as_deref())).collect();
        assert_eq!(shown, [("ptr", 2, None), ("tls", 1, Some("get one"))]);
        assert_eq!((view.good.len(), view.checked_ms), (1, Some(7)));
    }
}
