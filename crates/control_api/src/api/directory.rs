//! Domains and aliases, as values of the API.
//!
//! Invariant: addresses are text, as operators write them.

use directory::AliasOptions;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{AliasPatch, PauseView};

/// A hosted domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DomainView {
    /// Its name.
    pub name: String,
    /// Whether it accepts mail.
    pub enabled: bool,
    /// The number of its aliases.
    pub aliases: usize,
}

/// A domain to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Its name.
    pub name: String,
}

/// How a domain is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveDomain {
    /// Whether to remove its aliases too.
    pub with_aliases: bool,
    /// Whether to remove its accounts, DKIM keys and certificate too.
    pub everything: bool,
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasView {
    /// Its address, or `@example.com` for a catch-all.
    pub source: String,
    /// Its targets.
    pub targets: Vec<String>,
    /// Whether it accepts mail.
    pub enabled: bool,
    /// `database`, or `file` for the virtual file.
    pub origin: String,
    /// Its options, as members of their own names.
    #[serde(flatten)]
    #[schema(value_type = AliasPatch)]
    pub options: AliasOptions,
}

/// An alias to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAlias {
    /// Its address, or `@example.com` for a catch-all.
    pub source: String,
    /// Its targets.
    pub targets: Vec<String>,
    /// Whether to replace an existing alias.
    #[serde(default)]
    pub replace: bool,
}

/// A throw-away address to make.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewRandomAlias {
    /// Its domain; default: that of the account.
    pub domain: Option<String>,
    /// What it is for.
    pub note: Option<String>,
    /// Its targets; default: the account.
    pub targets: Vec<String>,
}

/// Selects the aliases to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct AliasFilter {
    /// Maximum aliases, 1 to 1000; default 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// The `next_cursor` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// Only aliases with this text in their address, a target or an option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub q: Option<String>,
    /// Only aliases of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// One page of aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasPage {
    /// The aliases, at most `limit`.
    pub items: Vec<AliasView>,
    /// The value of `cursor` for the next page; null on the last page.
    pub next_cursor: Option<String>,
    /// The number of all aliases that the query selects; null on later pages of a query that selects some of them.
    pub total: Option<usize>,
}

/// Disables or enables something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// Whether it is enabled.
    pub enabled: bool,
}

/// Senders to add to the lists of an alias, or to remove: each an address, or `@` and a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendersChange {
    /// Refuse their mail.
    pub block: Vec<String>,
    /// No longer refuse it.
    pub unblock: Vec<String>,
    /// Never hold their mail.
    pub allow: Vec<String>,
    /// Hold it if it is doubtful.
    pub disallow: Vec<String>,
}

/// Selects the address to test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct TestQuery {
    /// The address.
    pub address: String,
}

/// The result of a test of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AliasTest {
    /// The address.
    pub address: String,
    /// Whether its domain is hosted here and enabled.
    pub hosted: bool,
    /// The final targets; empty if mail is refused.
    pub targets: Vec<String>,
    /// Targets that lead nowhere, and why.
    pub failed: Vec<FailedTarget>,
    /// The steps of the expansion, in order.
    pub steps: Vec<TestStep>,
    /// Targets that are paused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PauseView>,
    /// Problems of the targets in DNS.
    #[serde(default)]
    pub doubts: Vec<String>,
}

/// Selects the targets to look up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::IntoParams, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct TargetsQuery {
    /// Addresses with spaces between them; all targets of aliases if missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<String>,
}

/// A problem of a target's domain in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetLook {
    /// The domain.
    pub domain: String,
    /// A target in it.
    pub target: String,
    /// Whether mail to it cannot arrive, or may reach a stranger; otherwise the lookup failed.
    pub is_wrong: bool,
    /// The problem.
    pub found: String,
    /// The domain that was probably intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
}

impl std::fmt::Display for TargetLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.target, self.found)?;
        self.meant.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean {meant}?"))
    }
}

/// The check of all domains of targets in DNS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TargetLooks {
    /// Number of domains looked up.
    pub looked: usize,
    /// Number of domains beyond the maximum, which were not.
    pub left_out: usize,
    /// Domains with problems.
    pub doubts: Vec<TargetLook>,
}

/// An address that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FailedTarget {
    /// The address.
    pub address: String,
    /// The reason.
    pub reason: String,
}

/// One step of an expansion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TestStep {
    /// The address that was expanded.
    pub address: String,
    /// The alias that matched it.
    pub key: String,
    /// The result.
    pub results: Vec<String>,
    /// The depth of aliases.
    pub depth: usize,
}

/// The parts of the virtual file that are not in effect.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VirtualFileView {
    /// The file, if one is configured.
    pub path: Option<String>,
    /// Why the whole file is not in effect, if so.
    pub unread: Option<String>,
    /// The lines that are not in effect.
    pub faults: Vec<ImportLine>,
}

/// A file of aliases to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Its text, in the format of Postfix's virtual(5).
    pub text: String,
    /// The domain that is added to names without one (Postfix: myorigin).
    #[serde(default)]
    pub origin: Option<String>,
    /// Whether to replace existing aliases.
    #[serde(default)]
    pub replace: bool,
    /// Whether to check everything and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// The result of an import, or of a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Domains that were added.
    pub domains: Vec<String>,
    /// Aliases that were added or replaced.
    pub added: Vec<ImportLine>,
    /// Aliases that stay as they are.
    pub skipped: Vec<ImportLine>,
    /// Lines that could not be imported.
    #[serde(default)]
    pub left_out: Vec<ImportLine>,
    /// Lines that were imported with a warning.
    pub warnings: Vec<ImportLine>,
}

/// One line of an import's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportLine {
    /// The line in the file, from 1; 0 for the whole file.
    pub line: usize,
    /// The text.
    pub text: String,
}

/// A file of aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Export {
    /// Its text, in the format of Postfix's virtual(5).
    pub text: String,
}
