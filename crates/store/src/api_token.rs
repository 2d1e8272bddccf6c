//! The tokens of the HTTP API, and the part of the handle for them.
//!
//! Invariant: a token itself is never stored, only its SHA-256.

use crate::door::TokenHash;
use crate::error::StoreError;
use crate::handle::Store;
use crate::operation::Operation;
use crate::tables;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name, which is unique.
    pub name: String,
    /// Its SHA-256.
    pub hash: TokenHash,
    /// The names of its scopes.
    pub scopes: Vec<String>,
    /// The domains that it is limited to; empty: all.
    pub domains: Vec<String>,
    /// The login of the account that it is for.
    pub login: Option<String>,
    /// When it was made, Unix milliseconds.
    pub made_ms: i64,
    /// When it ends, Unix milliseconds.
    pub until_ms: Option<i64>,
    /// When it was used last, Unix milliseconds.
    pub used_ms: Option<i64>,
}

/// A change of the tokens.
#[derive(Debug, Clone)]
pub enum TokenChange {
    /// Adds a token. [`StoreError::Exists`] if there is one of its name.
    Add(Box<ApiToken>),
    /// Removes the token of this name. [`StoreError::NotFound`] if there is none.
    Remove(String),
    /// Sets when a token was used last.
    Touch(String, i64),
}

impl Store {
    /// Changes the tokens.
    ///
    /// # Errors
    /// As the change says, or the store failed.
    pub async fn change_tokens(&self, change: TokenChange) -> Result<(), StoreError> {
        self.write(Operation::Token(change)).await.map(|_| ())
    }

    /// Returns all tokens, by name.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        self.read(tables::api_tokens).await
    }
}
