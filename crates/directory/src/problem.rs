//! Problems of a directory, found when it is changed instead of when mail arrives.
//!
//! Postfix virtual(5). Invariant: an alias whose own address cannot be expanded is always found. Mail is safe without this
//! check: expansion always ends.

use std::cell::OnceCell;
use std::collections::HashSet;

use mail::{Domain, Mailbox};

use crate::alias::{Alias, AliasSource, Target};
use crate::expansion::{ExpandError, View};
use crate::extension::local_part;
use crate::snapshot::Directory;

/// A problem of an alias.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The aliases form a loop; a catch-all to its own domain is one.
    #[error("{alias} leads back to itself through {through}")]
    Cycle {
        /// The alias that leads into the loop.
        alias: AliasSource,
        /// An address of the loop.
        through: Mailbox,
    },
    /// A target is in a hosted domain that has no alias for it.
    #[error("{alias} leads to {target}, which no alias has")]
    Dangling {
        /// The alias.
        alias: AliasSource,
        /// The address without an alias.
        target: Mailbox,
    },
    /// A target is a disabled alias, or in a disabled domain.
    #[error("{alias} leads to {target}, which is disabled")]
    DisabledTarget {
        /// The alias.
        alias: AliasSource,
        /// The address that is disabled.
        target: Mailbox,
    },
    /// More than [`crate::MAX_DEPTH`] aliases follow one another.
    #[error("{alias} leads through too many aliases")]
    TooDeep {
        /// The first of them.
        alias: AliasSource,
    },
    /// It expands to more than [`crate::MAX_TARGETS`] mailboxes.
    #[error("{alias} leads to too many addresses")]
    TooMany {
        /// The alias.
        alias: AliasSource,
    },
    /// It has no target.
    #[error("{alias} has no target")]
    NoTarget {
        /// The alias.
        alias: AliasSource,
    },
    /// An `@domain` target that is not the first one, where it has no meaning.
    #[error("{alias}: the target @{target} works only as the first one")]
    MisplacedDomain {
        /// The alias.
        alias: AliasSource,
        /// The target's domain.
        target: Domain,
    },
    /// Its domain is not hosted, so it accepts no mail.
    #[error("{alias}: {domain} is not a domain of this server", domain = alias.domain())]
    NotHosted {
        /// The alias.
        alias: AliasSource,
    },
    /// An alias before it has the same source, so it accepts no mail.
    #[error("{alias} is defined twice; the first one counts")]
    Duplicate {
        /// The source that both have.
        alias: AliasSource,
    },
}

impl Directory {
    /// Returns the problems of the enabled aliases, in order.
    pub fn problems(&self) -> Vec<Problem> {
        let mut seen = HashSet::new();
        self.find_problems(|alias| if seen.insert(alias.source.key()) { AliasCheck::Full } else { AliasCheck::IsDuplicate })
    }

    /// Returns the problems of these aliases, and of those that lead to other aliases: a change can cause or solve only these. The rest, whose targets are
    /// all foreign, is not checked.
    pub fn problems_around(&self, changed: &[AliasSource]) -> Vec<Problem> {
        let changed: HashSet<&AliasSource> = changed.iter().collect();
        let leads_here = |alias: &Alias| alias.targets.iter().any(|target| self.hosted(target.domain()).is_some());
        self.find_problems(|alias| if leads_here(alias) || changed.contains(&alias.source) { AliasCheck::Full } else { AliasCheck::Skip })
    }

    fn find_problems(&self, mut check: impl FnMut(&Alias) -> AliasCheck) -> Vec<Problem> {
        let view = View { directory: self, added: None };
        let probe = Probe::new(self);
        let mut problems = Vec::new();
        for alias in &self.contents().aliases {
            match check(alias) {
                AliasCheck::IsDuplicate => problems.push(Problem::Duplicate { alias: alias.source.clone() }),
                AliasCheck::Full if alias.enabled => {
                    check_shape(self, alias, &mut problems);
                    check_expansion(view, alias, &probe, &mut problems);
                }
                AliasCheck::Full | AliasCheck::Skip => {}
            }
        }
        problems
    }

    /// Checks an alias before it is added, or replaces one with the same source. Returns the first problem. A disabled target
    /// does not count, since it is often meant to be so for a while.
    pub fn check_added(&self, alias: &Alias) -> Result<(), Problem> {
        let view = View { directory: self, added: Some(alias) };
        let probe = Probe::new(self);
        let mut problems = Vec::new();
        check_shape(self, alias, &mut problems);
        if alias.enabled {
            check_expansion(view, alias, &probe, &mut problems);
            self.check_loops_into(view, alias, &probe, &mut problems);
        }
        let refused = problems.into_iter().find(|problem| !matches!(problem, Problem::DisabledTarget { .. }));
        refused.map_or(Ok(()), Err)
    }

    /// Finds loops of a catch-all, which arise only for users that an alias sends to its domain.
    fn check_loops_into(&self, view: View<'_>, added: &Alias, probe: &Probe<'_>, problems: &mut Vec<Problem>) {
        let AliasSource::CatchAll(domain) = &added.source else { return };
        let mut found = Vec::new();
        for alias in self.contents().aliases.iter().filter(|alias| alias.enabled) {
            if alias.targets.iter().any(|target| target.domain() == domain) {
                check_expansion(view, alias, probe, &mut found);
            }
        }
        problems.extend(found.into_iter().filter(|problem| matches!(problem, Problem::Cycle { .. } | Problem::TooDeep { .. })));
    }
}

/// How an alias is checked.
enum AliasCheck {
    Full,
    IsDuplicate,
    Skip,
}

/// A user without an alias, as an example of those that only a catch-all matches; found on demand.
struct Probe<'a> {
    directory: &'a Directory,
    user: OnceCell<String>,
}

impl<'a> Probe<'a> {
    fn new(directory: &'a Directory) -> Self {
        Self { directory, user: OnceCell::new() }
    }

    fn user(&self) -> &str {
        self.user.get_or_init(|| {
            let locals = self.directory.contents().aliases.iter().filter_map(|alias| match &alias.source {
                AliasSource::Address(mailbox) => Some(mailbox.local.as_str().to_lowercase()),
                AliasSource::CatchAll(_) => None,
            });
            let named: HashSet<String> = locals.collect();
            (0..=named.len()).map(|n| format!("anyone{n}")).find(|user| !named.contains(user)).unwrap_or_default()
        })
    }
}

fn check_shape(directory: &Directory, alias: &Alias, problems: &mut Vec<Problem>) {
    let source = || alias.source.clone();
    if directory.hosted(alias.source.domain()).is_none() {
        problems.push(Problem::NotHosted { alias: source() });
    }
    if alias.targets.is_empty() {
        problems.push(Problem::NoTarget { alias: source() });
    }
    for target in alias.targets.iter().skip(1) {
        if let Target::Domain(domain) = target {
            problems.push(Problem::MisplacedDomain { alias: source(), target: domain.clone() });
        }
    }
}

fn check_expansion(view: View<'_>, alias: &Alias, probe: &Probe<'_>, problems: &mut Vec<Problem>) {
    let start = match &alias.source {
        AliasSource::Address(mailbox) => mailbox.clone(),
        AliasSource::CatchAll(domain) => match local_part(probe.user()) {
            Some(local) => Mailbox { local, domain: domain.clone() },
            None => return,
        },
    };
    // A domain that is disabled or not hosted has its own problem, or none.
    if !view.directory.hosts(&start.domain) {
        return;
    }
    let source = || alias.source.clone();
    let is_probe = |target: &Mailbox| matches!(alias.source, AliasSource::CatchAll(_)) && target.local == start.local;
    match view.expand_all(&start) {
        Ok(expansion) => problems.extend(expansion.failed.into_iter().filter_map(|(target, error)| match error {
            // From domain to domain the probe is unknown, but the users of the other domain are not.
            ExpandError::Unknown if is_probe(&target) && view.names_users_of(&target.domain) => None,
            ExpandError::Unknown => Some(Problem::Dangling { alias: source(), target }),
            // The alias of that line has its own problem.
            ExpandError::NoTarget => None,
            ExpandError::Disabled => Some(Problem::DisabledTarget { alias: source(), target }),
            ExpandError::Cycle(through) => Some(Problem::Cycle { alias: source(), through }),
            ExpandError::TooDeep | ExpandError::TooLong => Some(Problem::TooDeep { alias: source() }),
            ExpandError::TooMany => Some(Problem::TooMany { alias: source() }),
        })),
        Err(_) => problems.push(Problem::TooMany { alias: source() }),
    }
}

impl View<'_> {
    fn names_users_of(self, domain: &Domain) -> bool {
        let mut aliases = self.directory.contents().aliases.iter().chain(self.added);
        aliases.any(|alias| matches!(&alias.source, AliasSource::Address(mailbox) if mailbox.domain == *domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Contents, HostedDomain, virtual_file};

    fn directory(text: &str) -> Directory {
        let aliases = virtual_file::parse(text, None).aliases.into_iter().map(|(alias, _)| alias).collect();
        let hosted = |name: &str| HostedDomain { name: name.parse().unwrap(), enabled: true };
        Directory::new(Contents { domains: vec![hosted("x.test"), hosted("y.test")], aliases, ..Contents::default() })
    }

    fn problems(text: &str) -> Vec<String> {
        directory(text).problems().iter().map(Problem::to_string).collect()
    }

    fn added(text: &str, alias: &str) -> Result<(), String> {
        let alias = virtual_file::parse(alias, None).aliases.remove(0).0;
        directory(text).check_added(&alias).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_sound_directory_has_none() {
        assert!(problems("me@x.test a@g.test\n@y.test @x.test").is_empty());
        assert_eq!(added("me@x.test a@g.test", "@y.test @x.test"), Ok(()));
        assert_eq!(problems("@y.test @x.test"), ["@y.test leads to anyone0@x.test, which no alias has"]);
        assert!(problems("me@x.test a@g.test\n@x.test me@x.test\n@y.test @x.test\n# disabled: old@x.test old@x.test").is_empty());
    }

    #[test]
    fn each_problem_names_its_alias() {
        assert_eq!(problems("@x.test @x.test"), ["@x.test has no target"]);
        assert_eq!(problems("a@x.test b@x.test, c@g.test"), ["a@x.test leads to b@x.test, which no alias has"]);
        assert_eq!(problems("a@other.test b@g.test"), ["a@other.test: other.test is not a domain of this server"]);
        assert_eq!(problems("# disabled: b@x.test c@g.test\na@x.test b@x.test"), ["a@x.test leads to b@x.test, which is disabled"]);
        assert_eq!(problems("a@x.test a+b@x.test"), ["a@x.test leads through too many aliases"]);
        let circle = problems("a@x.test b@x.test\nb@x.test a@x.test");
        assert_eq!(circle.len(), 2, "{circle:?}");
    }

    #[test]
    fn problems_that_no_file_has_are_found() {
        let alias = |targets: &[&str]| Alias {
            source: "a@x.test".parse().unwrap(),
            targets: targets.iter().map(|t| t.parse().unwrap()).collect(),
            enabled: true,
            origin: crate::Origin::Database,
        };
        let mut contents = directory("").contents().clone();
        contents.aliases = vec![alias(&["b@g.test", "@g.test"]), alias(&[])].into();
        let problems: Vec<String> = Directory::new(contents).problems().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            ["a@x.test: the target @g.test works only as the first one", "a@x.test is defined twice; the first one counts"]
        );
        assert!(matches!(directory("").check_added(&alias(&[])), Err(Problem::NoTarget { .. })));
    }

    #[test]
    fn an_alias_that_would_break_others_is_refused() {
        assert_eq!(added("b@x.test a@g.test", "a@x.test b@x.test"), Ok(()));
        assert!(added("b@x.test a@x.test\n", "a@x.test b@x.test").is_err());
        assert!(added("", "a@x.test b@x.test").is_err());
        assert!(added("", "a@other.test b@g.test").is_err());
        assert_eq!(added("# disabled: b@x.test c@g.test", "a@x.test b@x.test"), Ok(()));
        assert_eq!(added("a@x.test a@y.test\n@y.test all@g.test", "a@x.test b@g.test"), Ok(()), "it replaces the old one");
        assert!(added("a@y.test a@x.test\n", "@x.test @y.test").is_err(), "only this user would loop");
    }

    #[test]
    fn problems_around_a_change_are_those_of_a_full_check() {
        for (text, changed, want) in [
            ("a@x.test b@x.test\nz@x.test z@g.test", "b@x.test", vec!["a@x.test leads to b@x.test, which no alias has"]),
            ("a@x.test b@x.test\n# disabled: b@x.test c@g.test", "b@x.test", vec!["a@x.test leads to b@x.test, which is disabled"]),
            ("a@other.test b@g.test\nz@x.test z@g.test", "a@other.test", vec!["a@other.test: other.test is not a domain of this server"]),
            ("a@other.test b@g.test\nz@x.test z@g.test", "z@x.test", vec![]),
        ] {
            let found: Vec<String> = directory(text).problems_around(&[changed.parse().unwrap()]).iter().map(Problem::to_string).collect();
            assert_eq!(found, want, "{text:?}");
        }
    }
}
