//! Expansion: from a recipient to the foreign mailboxes of its targets.
//!
//! RFC 5321 s.3.9.1, Postfix virtual(5). Lookup order `user+ext@domain`, `user@domain`, `@domain`; an extension that no
//! key matched is added to the results. Invariant: it ends for any aliases, and never returns a mailbox in a hosted domain,
//! since this server has no mailboxes.

use std::collections::{HashMap, HashSet};

use mail::{Domain, Mailbox};

use crate::alias::{Alias, Target, catch_all_key};
use crate::extension::{split, with_extension};
use crate::snapshot::Directory;

/// Maximum aliases that lead to one another. Postfix allows 1000; three are usual.
pub const MAX_DEPTH: usize = 20;

/// Maximum mailboxes that one recipient expands to, and maximum lookups for it. As Postfix's virtual_alias_expansion_limit.
pub const MAX_TARGETS: usize = 1000;

/// The expansion of a recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expansion {
    /// The targets: foreign, without duplicates, in the order of the aliases; never empty.
    pub targets: Vec<Mailbox>,
    /// The addresses that lead nowhere, and why.
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
    /// Its results.
    pub results: Vec<Mailbox>,
    /// Number of aliases that led to it: 0 for the recipient itself.
    pub depth: usize,
}

/// Why an address has no expansion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// Its hosted domain has no alias for it.
    #[error("no alias has this address")]
    Unknown,
    /// Its alias has no target, since its line in the virtual file is not usable.
    #[error("its line in the virtual file is not usable")]
    NoTarget,
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
    /// With its extension the target is longer than the maximum of an address.
    #[error("with its extension the target is too long")]
    TooLong,
}

impl Directory {
    /// Expands a recipient. A mailbox in a foreign domain is its own expansion. If some targets fail the expansion has the
    /// others and the failures; if all fail the first failure is the error.
    pub fn expand(&self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        View { directory: self, added: None }.expand(recipient)
    }

    /// Returns only the targets of [`Directory::expand`], without recording steps: it runs for each recipient of each message.
    pub fn targets(&self, recipient: &Mailbox) -> Result<Vec<Mailbox>, ExpandError> {
        let view = View { directory: self, added: None };
        reached(view.walk(recipient, false)?).map(|expansion| expansion.targets)
    }

    /// As [`Directory::expand`], but returns steps and failures also if no target is reached, for `explain`.
    pub fn explain(&self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        View { directory: self, added: None }.expand_all(recipient)
    }
}

/// A directory with one more alias.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) directory: &'a Directory,
    pub(crate) added: Option<&'a Alias>,
}

/// The alias that an address matched, and its unmatched extension.
struct Match<'a> {
    key: String,
    alias: &'a Alias,
    extension: String,
}

impl<'a> View<'a> {
    pub(crate) fn expand(self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        reached(self.expand_all(recipient)?)
    }

    /// As `expand`, but returns the failures also if there is no target.
    pub(crate) fn expand_all(self, recipient: &Mailbox) -> Result<Expansion, ExpandError> {
        self.walk(recipient, true)
    }

    fn walk(self, recipient: &Mailbox, keeps_steps: bool) -> Result<Expansion, ExpandError> {
        let out = Expansion::default();
        let mut walk = Walk { view: self, out, steps: 0, keeps_steps, path: Vec::new(), done: HashMap::new(), seen: HashSet::new() };
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

/// Returns the first failure if there is no target.
fn reached(expansion: Expansion) -> Result<Expansion, ExpandError> {
    match expansion.failed.first() {
        Some((_, error)) if expansion.targets.is_empty() => Err(error.clone()),
        None if expansion.targets.is_empty() => Err(ExpandError::Unknown),
        _ => Ok(expansion),
    }
}

fn enabled(found: Match<'_>) -> Result<Match<'_>, ExpandError> {
    if found.alias.enabled { Ok(found) } else { Err(ExpandError::Disabled) }
}

/// One expansion under way, depth first.
struct Walk<'a> {
    view: View<'a>,
    out: Expansion,
    /// Number of aliases looked up so far.
    steps: usize,
    /// Whether they are recorded.
    keeps_steps: bool,
    /// The addresses that led here.
    path: Vec<Mailbox>,
    /// The depth at which each address was expanded: at this depth or deeper its results are known.
    done: HashMap<String, usize>,
    /// Keys of `out.targets` and `out.failed`.
    seen: HashSet<String>,
}

impl Walk<'_> {
    /// Expands one address. Returns whether all below it was visited, which the depth limit may prevent. An error ends the
    /// whole expansion.
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
        if self.done.get(&key).is_some_and(|depth| *depth <= self.path.len()) {
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
        if self.steps > MAX_TARGETS {
            return Err(ExpandError::TooMany);
        }
        self.out.failed.retain(|(failed, error)| failed != address || *error != ExpandError::TooDeep);
        self.path.push(address.clone());
        let mut whole = true;
        for result in &results {
            whole &= self.visit(result)?;
        }
        self.path.pop();
        // Addresses cut off by the depth limit may be reached by a shorter path.
        self.done.insert(key, if whole { 0 } else { self.path.len() });
        Ok(whole)
    }

    /// Looks up one address and records the step.
    fn step(&mut self, address: &Mailbox) -> Result<Vec<Mailbox>, ExpandError> {
        let found = self.view.find(address)?;
        if found.alias.targets.is_empty() {
            return Err(ExpandError::NoTarget);
        }
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
        self.steps += 1;
        if self.keeps_steps {
            let step = Step { address: address.clone(), key: found.key, results: results.clone(), depth: self.path.len() };
            self.out.steps.push(step);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contents, HostedDomain, virtual_file};

    /// The domains x.test and y.test are hosted, off.test is disabled.
    fn directory(text: &str) -> Directory {
        let aliases = virtual_file::parse(text, None).aliases.into_iter().map(|(alias, _)| alias).collect();
        let hosted = |name: &str, enabled| HostedDomain { name: name.parse().unwrap(), enabled };
        let domains = vec![hosted("x.test", true), hosted("y.test", true), hosted("off.test", false)];
        Directory::new(Contents { domains, aliases, ..Contents::default() })
    }

    fn expand(text: &str, recipient: &str) -> Result<(String, String), ExpandError> {
        let expansion = directory(text).expand(&recipient.parse().unwrap())?;
        let targets: Vec<_> = expansion.targets.iter().map(Mailbox::to_string).collect();
        let failed: Vec<_> = expansion.failed.iter().map(|(mailbox, _)| mailbox.to_string()).collect();
        Ok((targets.join(" "), failed.join(" ")))
    }

    fn targets(text: &str, recipient: &str) -> String {
        expand(text, recipient).unwrap().0
    }

    fn error(text: &str, recipient: &str) -> ExpandError {
        expand(text, recipient).unwrap_err()
    }

    /// Each line is the result of Postfix 3.7 for the same table.
    #[test]
    fn results_are_those_of_postfix() {
        let table = "me@x.test foo@gmail.com\n@y.test foo@gmail.com\nfull+x@x.test exact@g.test\ndom@x.test @other.test\n\
            tgt@x.test foo+bar@g.test\nq@x.test \"two words\"@g.test\n\"two words\"@x.test tw@g.test\n\
            nest@x.test me+nested@x.test, me@x.test\n";
        for (recipient, want) in [
            ("me@x.test", "foo@gmail.com"),
            ("ME+shop@X.test", "foo+shop@gmail.com"),
            ("me+@x.test", "foo+@gmail.com"),
            ("any+x@y.test", "foo@gmail.com"),
            ("full+x@x.test", "exact@g.test"),
            ("dom@x.test", "dom@other.test"),
            ("dom+e@x.test", "dom+e@other.test"),
            ("tgt+shop@x.test", "foo+bar+shop@g.test"),
            ("q+a@x.test", "\"two words+a\"@g.test"),
            ("\"two words+z\"@x.test", "tw+z@g.test"),
            ("nest@x.test", "foo+nested@gmail.com foo@gmail.com"),
        ] {
            assert_eq!(targets(table, recipient), want, "{recipient}");
        }
    }

    #[test]
    fn a_catch_all_to_another_domain_keeps_the_user() {
        assert_eq!(targets("@x.test @other.test", "me+shop@x.test"), "me+shop@other.test");
        assert_eq!(targets("@x.test @y.test\n@y.test a@g.test", "me@x.test"), "a@g.test");
    }

    #[test]
    fn an_address_without_alias_is_unknown() {
        assert_eq!(error("me@x.test a@g.test", "you@x.test"), ExpandError::Unknown);
        assert_eq!(error("me@x.test you@x.test", "me@x.test"), ExpandError::Unknown);
        assert_eq!(expand("", "a@g.test"), Ok(("a@g.test".into(), String::new())));
    }

    #[test]
    fn a_disabled_alias_hides_the_catch_all() {
        let table = "# disabled: me@x.test a@g.test\n# disabled: you+spam@x.test a@g.test\nyou@x.test b@g.test\n@x.test all@g.test";
        assert_eq!(error(table, "me@x.test"), ExpandError::Disabled);
        assert_eq!(error(table, "me+shop@x.test"), ExpandError::Disabled);
        assert_eq!(error(table, "you+spam@x.test"), ExpandError::Disabled);
        assert_eq!(targets(table, "you+shop@x.test"), "b+shop@g.test");
        assert_eq!(targets(table, "other@x.test"), "all@g.test");
        assert_eq!(error("# disabled: @x.test all@g.test", "me@x.test"), ExpandError::Unknown);
        assert_eq!(error("me@off.test a@g.test", "me@off.test"), ExpandError::Disabled);
    }

    #[test]
    fn good_targets_are_kept_beside_bad_ones() {
        let table = "me@x.test you@x.test, a@g.test, A@g.test, back@x.test, n@off.test\nback@x.test me@x.test\n";
        assert_eq!(expand(table, "me@x.test"), Ok(("a@g.test".into(), "you@x.test me@x.test n@off.test".into())));
        let long = format!("me@x.test {}@g.test, a@g.test", "b".repeat(252));
        assert_eq!(expand(&long, "me+shop@x.test").unwrap().0, "a+shop@g.test");
    }

    #[test]
    fn loops_and_long_chains_are_refused() {
        let cycle = |text: &str| Err(ExpandError::Cycle(text.parse().unwrap()));
        assert_eq!(expand("a@x.test b@x.test\nb@x.test A@x.test", "a@x.test"), cycle("a@x.test"));
        assert_eq!(error("@x.test @x.test", "a@x.test"), ExpandError::NoTarget);
        assert_eq!(expand("@x.test all@x.test", "a@x.test"), cycle("all@x.test"));
        assert_eq!(expand("@x.test @y.test\n@y.test @x.test", "a+b@x.test"), cycle("a+b@x.test"));
        assert_eq!(error("a@x.test a+b@x.test", "a@x.test"), ExpandError::TooDeep);
        let chain = |n: usize| (0..n).map(|i| format!("u{i}@x.test u{}@x.test\n", i + 1)).collect::<String>();
        let ends = |n: usize| format!("{}u{n}@x.test a@g.test", chain(n));
        assert_eq!(targets(&ends(MAX_DEPTH - 1), "u0@x.test"), "a@g.test");
        assert_eq!(error(&ends(MAX_DEPTH), "u0@x.test"), ExpandError::TooDeep);
    }

    #[test]
    fn wide_tables_are_bounded() {
        let wide = |n: usize| format!("a@x.test {}", (0..n).map(|i| format!("t{i}@g.test ")).collect::<String>());
        assert_eq!(directory(&wide(MAX_TARGETS)).expand(&"a@x.test".parse().unwrap()).unwrap().targets.len(), MAX_TARGETS);
        assert_eq!(error(&wide(MAX_TARGETS + 1), "a@x.test"), ExpandError::TooMany);
        let diamonds: String = (0..MAX_DEPTH).map(|i| format!("u{i}@x.test u{n}@x.test u{n}@x.test a@g.test\n", n = i + 1)).collect();
        assert_eq!(expand(&diamonds, "u0@x.test"), Ok(("a@g.test".into(), format!("u{MAX_DEPTH}@x.test"))));
        let shortcut = format!("{diamonds}u{MAX_DEPTH}@x.test b@g.test\ns@x.test u0@x.test u5@x.test");
        assert_eq!(expand(&shortcut, "s@x.test"), Ok(("a@g.test b@g.test".into(), String::new())));
    }

    #[test]
    fn steps_are_recorded_in_order() {
        let expansion = directory("me@x.test you@y.test\n@y.test a@g.test").expand(&"me+s@x.test".parse().unwrap()).unwrap();
        let steps: Vec<_> = expansion.steps.iter().map(|s| format!("{} {} {} {:?}", s.depth, s.address, s.key, s.results)).collect();
        assert_eq!(steps, ["0 me+s@x.test me@x.test [you+s@y.test]", "1 you+s@y.test @y.test [a@g.test]"]);
    }
}
