//! A finding of `waypost doctor`.
//!
//! Invariant: a finding that is not good has a fix.

use serde::Serialize;

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The short name of the check.
    pub check: &'static str,
    /// What it is about: an address, a domain, a file.
    pub about: String,
    /// How serious it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// The consequence, if it is not obvious.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// A finding without a problem.
    pub fn good(check: &'static str, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, about: about.into(), severity: Severity::Good, found: found.into(), why: None, fix: None }
    }

    /// A problem with its fix.
    pub fn bad(
        severity: Severity,
        check: &'static str,
        about: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { severity, fix: Some(fix.into()), ..Self::good(check, about, found) }
    }

    /// Adds the consequence.
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}
