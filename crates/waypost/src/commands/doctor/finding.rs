//! What a check has found.
//!
//! Invariant: whatever is not as it should be says what to do.

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing.
    Notice,
    /// It will hurt some day, or some mail already.
    Warning,
    /// Mail is lost on others, refused, or does not arrive.
    Error,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check, by a short name.
    pub check: &'static str,
    /// What it is about: an address, a domain, a file.
    pub about: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub found: String,
    /// What follows from it, where that is not plain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn good(check: &'static str, about: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check, about: about.into(), severity: Severity::Good, found: found.into(), why: None, fix: None }
    }

    /// Not as it should be.
    pub fn bad(
        severity: Severity,
        check: &'static str,
        about: impl Into<String>,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { severity, fix: Some(fix.into()), ..Self::good(check, about, found) }
    }

    /// With what follows from it.
    pub fn because(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }
}
