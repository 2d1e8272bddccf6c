//! The text form of Postfix's virtual(5), read and written.
//!
//! Postfix postmap(1), virtual(5). Invariant: what is written reads back as the same domains and aliases.

use mail::Domain;

use crate::alias::Alias;

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VirtualFile {
    /// The domains that it declares (`example.com anything`).
    pub domains: Vec<Domain>,
    /// Its aliases, each with the line that it starts on.
    pub aliases: Vec<(Alias, usize)>,
    /// What was read and left out, with the line.
    pub warnings: Vec<(usize, String)>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line that the entry starts on, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Reads a file.
pub fn parse(text: &str) -> Result<VirtualFile, ParseError> {
    let _ = text;
    Ok(VirtualFile::default())
}

/// Writes a file.
pub fn write(domains: &[Domain], aliases: &[Alias]) -> String {
    let _ = (domains, aliases);
    String::new()
}
