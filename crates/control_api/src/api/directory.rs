//! Domains and aliases, as values of the API.
//!
//! Invariant: addresses are text here, in the form that people write.

use directory::AliasOptions;
use serde::{Deserialize, Serialize};

use super::PauseView;

/// A hosted domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainView {
    /// Its name.
    pub name: String,
    /// Whether it takes mail.
    pub enabled: bool,
    /// How many aliases it has.
    pub aliases: usize,
}

/// A domain to host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Its name.
    pub name: String,
}

/// How a domain is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoveDomain {
    /// Whether its aliases go too.
    pub with_aliases: bool,
    /// Whether its accounts, DKIM keys and certificate go too.
    pub everything: bool,
}

/// An alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasView {
    /// What it answers to: `me@example.com` or `@example.com`.
    pub source: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
    /// Whether it takes mail.
    pub enabled: bool,
    /// `database`, or `file` for one from the virtual file.
    pub origin: String,
    /// Its options, as members of their own names.
    #[serde(flatten)]
    pub options: AliasOptions,
}

/// An alias to add.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAlias {
    /// What it answers to.
    pub source: String,
    /// Where its mail goes.
    pub targets: Vec<String>,
    /// Whether one that is there is replaced.
    #[serde(default)]
    pub replace: bool,
}

/// Which aliases to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AliasFilter {
    /// Only those of this domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
}

/// Disables or enables something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enable {
    /// Whether it is in use.
    pub enabled: bool,
}

/// Which address to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestQuery {
    /// The address.
    pub address: String,
}

/// Where mail to an address goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTest {
    /// The address that was asked about.
    pub address: String,
    /// Whether its domain is hosted here and enabled.
    pub hosted: bool,
    /// Where the mail goes in the end; empty where it is refused.
    pub targets: Vec<String>,
    /// What leads nowhere, and why.
    pub failed: Vec<FailedTarget>,
    /// How the targets were found, in order.
    pub steps: Vec<TestStep>,
    /// Targets that get nothing for now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paused: Vec<PauseView>,
    /// What DNS says against the targets.
    #[serde(default)]
    pub doubts: Vec<String>,
}

/// What DNS says of a domain that aliases lead to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLook {
    /// The domain.
    pub domain: String,
    /// A target in it.
    pub target: String,
    /// Whether mail for it cannot arrive, or may arrive at somebody else's; otherwise it could not be looked up.
    pub is_wrong: bool,
    /// What was found.
    pub found: String,
    /// The domain that was probably meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
}

impl std::fmt::Display for TargetLook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.target, self.found)?;
        self.meant.as_ref().map_or(Ok(()), |meant| write!(f, "; did you mean {meant}?"))
    }
}

/// What DNS says of all domains that aliases lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetLooks {
    /// Domains that were looked up.
    pub looked: usize,
    /// Domains that were not, since there are too many.
    pub left_out: usize,
    /// Those that something is to be said about.
    pub doubts: Vec<TargetLook>,
}

/// An address that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTarget {
    /// The address.
    pub address: String,
    /// Why.
    pub reason: String,
}

/// One alias that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestStep {
    /// The address that was looked up.
    pub address: String,
    /// The alias that matched it.
    pub key: String,
    /// What it became.
    pub results: Vec<String>,
    /// How many aliases led here.
    pub depth: usize,
}

/// The virtual file, as far as it is not in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualFileView {
    /// The file; none where none is configured.
    pub path: Option<String>,
    /// Why the file as it is now is not in force at all.
    pub unread: Option<String>,
    /// The lines that are not in force as they are written.
    pub faults: Vec<ImportLine>,
}

/// A file of aliases to import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Its text, in the form of Postfix's virtual(5).
    pub text: String,
    /// The domain of names without one, as Postfix's myorigin.
    #[serde(default)]
    pub origin: Option<String>,
    /// Whether aliases that are there are replaced.
    #[serde(default)]
    pub replace: bool,
    /// Whether everything is checked and nothing changed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Domains that are now hosted.
    pub domains: Vec<String>,
    /// Aliases that were added or replaced.
    pub added: Vec<ImportLine>,
    /// Aliases that were left as they are.
    pub skipped: Vec<ImportLine>,
    /// What could not be imported.
    #[serde(default)]
    pub left_out: Vec<ImportLine>,
    /// What was imported and should be looked at.
    pub warnings: Vec<ImportLine>,
}

/// One line of an import's report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportLine {
    /// The line in the file, from 1; 0 where it concerns the whole.
    pub line: usize,
    /// What.
    pub text: String,
}

/// A file of aliases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// Its text, in the form of Postfix's virtual(5).
    pub text: String,
}
