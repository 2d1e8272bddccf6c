//! Expansion: from a recipient to the foreign mailboxes that its mail goes to.
//!
//! RFC 5321 s.3.9.1, Postfix virtual(5). Lookup order `user+ext@domain`, `user@domain`, `@domain`; an extension
//! that no key matched is put on the results. Invariant: it ends, whatever the aliases say, and never answers
//! with a mailbox in a hosted domain, since nothing is delivered here.

use std::collections::HashSet;

use mail::{Domain, Mailbox};

use crate::alias::{Alias, Target, catch_all_key};
use crate::extension::{split, with_extension};
use crate::snapshot::Directory;

/// How many aliases may lead to one another. Postfix allows 1000; people use three.
pub const MAX_DEPTH: usize = 20;

/// How many mailboxes one recipient may expand to, and how many addresses may be looked up for it. As Postfix's
/// virtual_alias_expansion_limit.
pub const MAX_TARGETS: usize = 1000;

/// What a recipient expands to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// Where the mail goes: foreign, without duplicates, in the order of the aliases; never empty.
    pub targets: Vec<Mailbox>,
    /// What failed beside them: the address that goes nowhere, and why.
    pub failed: Vec<(Mailbox, ExpandError)>,
    /// How the targets were found, in order.
    pub steps: Vec<Step>,
}

/// One alias that took part in an expansion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The address that was looked up.
    pub address: Mailbox,
    /// The key that matched it.
    pub key: String,
    /// What it became.
    pub results: Vec<Mailbox>,
    /// How many aliases led here: 0 for the recipient itself.
    pub depth: usize,
}

/// Why an address expands to nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A hosted domain has no alias for it.
    #[error("no alias has this address")]
    Unknown,
    /// Its alias or its domain is disabled.
    #[error("the address is disabled")]
    Disabled,
    /// It leads back to itself through this address.
    #[error("the aliases lead back to {0}")]
    Cycle(Mailbox),
    /// More than [`MAX_DEPTH`] aliases lead to one another.
    #[error("more than {MAX_DEPTH} aliases lead to one another")]
    TooDeep,
    /// More than [`MAX_TARGETS`] mailboxes or lookups.
    #[error("the address expands to more than {MAX_TARGETS} others")]
    TooMany,
    /// With its extension the target is longer than an address may be.
    #[error("with its extension the target is too long")]
    TooLong,
}

impl Directory {
    /// The mailboxes that mail to `recipient` goes to. A mailbox in a foreign domain is its own expansion.
    /// Where some targets fail the others are answered, and what failed stands beside them; where all fail the
    /// first reason is the error.
    pub fn expand(&self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        View { directory: self, added: None }.expand(recipient)
    }
}

/// A directory as it would be with one alias more.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) added: Option<&'a Alias>,
}

/// The alias that an address matched, and the extension that it did not match.
struct Match<'a> {
    key: String,
    alias: &'a Alias,
    extension: String,
}

impl<'a> View<'a> {
    pub(crate) fn expand(self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        let expansion = self.expand_all(recipient)?;
        match expansion.failed.first() {
            Some((_, error)) if expansion.targets.is_empty() => Err(error.clone()),
            None if expansion.targets.is_empty() => Err(ExpandError::Unknown),
            _ => Ok(expansion),
        }
    }

    /// As `expand`, but also where nothing but failures came out.
    pub(crate) fn expand_all(self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        let mut walk = Walk { view: self, out: Expansion::default(), path: Vec::new(), done: HashSet::new(), seen: HashSet::new() };
        walk.visit(recipient)?;
        Ok(walk.out)
    }

    fn alias(self, key: &str) -> Option<&'a Alias> {
        self.added.filter(|alias| alias.source.key() == key).or_else(|| self.directory.alias(key))
    }

    fn find(self, address: &Mailbox) -> Result<Match<'a>, ExpandError> {
        let delimiters = &self.directory.contents().delimiters;
        let key = address.key();
        if let Some(alias) = self.alias(&key) {
            return enabled(Match { key, alias, extension: String::new() });
        }
        if let Some((bare, extension)) = split(address, delimiters) {
            let key = bare.key();
            if let Some(alias) = self.alias(&key) {
                return enabled(Match { key, alias, extension: extension.to_owned() });
            }
        }
        let key = catch_all_key(&address.domain);
        match self.alias(&key) {
            Some(alias) if alias.enabled => Ok(Match { key, alias, extension: String::new() }),
            _ => Err(ExpandError::Unknown),
        }
    }

    fn takes_mail(self, domain: &Domain) -> Option<bool> {
        self.directory.hosted(domain).map(|hosted| hosted.enabled)
    }
}

fn enabled(found: Match<'_>) -> Result<Match<'_>, ExpandError> {
    if found.alias.enabled { Ok(found) } else { Err(ExpandError::Disabled) }
}

/// One expansion under way, depth first.
struct Walk<'a> {
    view: View<'a>,
    out: Expansion,
    /// The addresses that led here.
    path: Vec<Mailbox>,
    /// Addresses whose results are already out.
    done: HashSet<String>,
    /// Keys of what is in `out.targets` and `out.failed`.
    seen: HashSet<String>,
}

impl Walk<'_> {
    /// Expands one address; says whether all below it was looked at, which the depth limit may prevent. The
    /// error ends the whole expansion.
    fn visit(&mut self, address: &Mailbox) -> Result<bool, ExpandError> {
        let key = address.key();
        match self.view.takes_mail(&address.domain) {
            None => return self.deliver(address, key),
            Some(false) => return Ok(self.fail(address, ExpandError::Disabled)),
            Some(true) => {}
        }
        if self.path.contains(address) {
            return Ok(self.fail(address, ExpandError::Cycle(address.clone())));
        }
        if self.done.contains(&key) {
            return Ok(true);
        }
        if self.path.len() >= MAX_DEPTH {
            self.fail(address, ExpandError::TooDeep);
            return Ok(false);
        }
        let results = match self.step(address) {
            Ok(results) => results,
            Err(error) => return Ok(self.fail(address, error)),
        };
        if self.out.steps.len() > MAX_TARGETS {
            return Err(ExpandError::TooMany);
        }
        self.path.push(address.clone());
        let mut whole = true;
        for result in &results {
            whole &= self.visit(result)?;
        }
        self.path.pop();
        // An address cut off by the depth limit may be reached again by a shorter way.
        if whole {
            self.done.insert(key);
        }
        Ok(whole)
    }

    /// Looks one address up and writes the step down.
    fn step(&mut self, address: &Mailbox) -> Result<Vec<Mailbox>, ExpandError> {
        let found = self.view.find(address)?;
        let mut results = Vec::with_capacity(found.alias.targets.len());
        for (place, target) in found.alias.targets.iter().enumerate() {
            match target {
                Target::Domain(domain) if place == 0 => {
                    results.push(Mailbox { local: address.local.clone(), domain: domain.clone() });
                }
                Target::Domain(_) => {}
                Target::Address(mailbox) => match with_extension(mailbox, &found.extension) {
                    Some(result) => results.push(result),
                    None => {
                        self.fail(mailbox, ExpandError::TooLong);
                    }
                },
            }
        }
        let step = Step { address: address.clone(), key: found.key, results: results.clone(), depth: self.path.len() };
        self.out.steps.push(step);
        Ok(results)
    }

    fn deliver(&mut self, address: &Mailbox, key: String) -> Result<bool, ExpandError> {
        if self.seen.insert(key) {
            self.out.targets.push(address.clone());
        }
        if self.out.targets.len() > MAX_TARGETS { Err(ExpandError::TooMany) } else { Ok(true) }
    }

    fn fail(&mut self, address: &Mailbox, error: ExpandError) -> bool {
        if self.seen.insert(address.key()) {
            self.out.failed.push((address.clone(), error));
        }
        true
    }
}
