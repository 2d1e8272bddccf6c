//! Who looks at the page.
//!
//! Invariant: only the layer in front of the routes makes a visitor, after it has checked the session.

use crate::language::Language;

/// The visitor of a request: an extension that the layer in front of the routes sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The login of the account.
    pub login: String,
    /// Whether the account is an owner: sees and changes everything. Others see their own aliases and passwords.
    pub is_owner: bool,
    /// The language that the visitor chose; `None` follows the browser.
    pub language: Option<Language>,
    /// The token of the session, which every form carries.
    pub csrf: String,
}
