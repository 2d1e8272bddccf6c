//! Properties of the directory under random aliases: expansion ends, and the text form reads back.

// Clippy exempts only #[test] functions, and the strategies are outside them.
#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)]

use directory::{Alias, AliasSource, Contents, Directory, HostedDomain, MAX_TARGETS, Origin, Target, virtual_file};
use mail::Mailbox;
use proptest::prelude::*;

const HOSTED: [&str; 3] = ["a.test", "b.test", "c.test"];

fn domain() -> impl Strategy<Value = mail::Domain> {
    prop::sample::select(vec!["a.test", "b.test", "c.test", "foreign.test"]).prop_map(|d| d.parse().unwrap())
}

/// Few users in few domains, so that aliases meet.
fn mailbox() -> impl Strategy<Value = Mailbox> {
    let local = prop::sample::select(vec!["u", "v", "w", "u+x", "v+y", "w+", "u+x+y", "\"two words\"", "+z", "owner-u"]);
    (local, domain()).prop_map(|(local, domain)| format!("{local}@{domain}").parse().unwrap())
}

/// Any local part that can be written and seen, in either form.
fn odd_mailbox() -> impl Strategy<Value = Mailbox> {
    let plain = prop::string::string_regex("[ -~é中]{1,12}").unwrap();
    (plain, domain()).prop_map(|(plain, domain)| {
        let escaped = plain.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{escaped}\"@{domain}").parse().unwrap()
    })
}

fn alias(mailbox: impl Strategy<Value = Mailbox> + Clone) -> impl Strategy<Value = Alias> {
    let source = prop_oneof![4 => mailbox.clone().prop_map(AliasSource::Address), 1 => domain().prop_map(AliasSource::CatchAll)];
    let first = prop_oneof![3 => mailbox.clone().prop_map(Target::Address), 1 => domain().prop_map(Target::Domain)];
    let others = prop::collection::vec(mailbox.prop_map(Target::Address), 0..4);
    (source, first, others, prop::bool::weighted(0.9)).prop_map(|(source, first, others, enabled)| {
        let targets = std::iter::once(first).chain(others).collect();
        Alias { source, targets, enabled, origin: Origin::File }
    })
}

fn directory(aliases: Vec<Alias>, delimiters: &str) -> Directory {
    let domains = HOSTED.iter().map(|name| HostedDomain { name: name.parse().unwrap(), enabled: true }).collect();
    Directory::new(Contents {
        domains,
        aliases: aliases.into(),
        delimiters: delimiters.into(),
        incomplete: false,
        accounts: Vec::new(),
        keys: Vec::new(),
        alias_options: Default::default(),
    })
}

proptest! {
    #[test]
    fn expansion_ends_and_returns_foreign_mailboxes(
        aliases in prop::collection::vec(alias(mailbox().boxed()), 0..30),
        recipients in prop::collection::vec(mailbox(), 1..10),
        delimiters in prop::sample::select(vec!["", "+", "+-", "u"]),
    ) {
        let directory = directory(aliases, delimiters);
        for recipient in recipients {
            if let Ok(expansion) = directory.expand(&recipient) {
                prop_assert!(!expansion.targets.is_empty());
                prop_assert!(expansion.targets.len() <= MAX_TARGETS);
                for (place, target) in expansion.targets.iter().enumerate() {
                    prop_assert!(!directory.hosts(&target.domain));
                    prop_assert!(!expansion.targets[..place].contains(target));
                }
            }
        }
    }

    #[test]
    fn aliases_without_a_problem_expand_whole(aliases in prop::collection::vec(alias(mailbox().boxed()), 0..12)) {
        let mut kept: Vec<Alias> = Vec::new();
        for alias in aliases {
            if directory(kept.clone(), "+").check_added(&alias).is_ok() {
                kept.retain(|old| old.source != alias.source);
                kept.push(alias);
            }
        }
        let directory = directory(kept, "+");
        for alias in directory.contents().aliases.iter().filter(|alias| alias.enabled) {
            if let AliasSource::Address(mailbox) = &alias.source {
                let looped = |e: &directory::ExpandError| matches!(e, directory::ExpandError::Cycle(_));
                match directory.expand(mailbox) {
                    Ok(expansion) => prop_assert!(!expansion.failed.iter().any(|(_, e)| looped(e)), "{mailbox}"),
                    Err(error) => prop_assert!(!looped(&error), "{mailbox}"),
                }
            }
        }
    }

    #[test]
    fn a_written_file_is_read_back(aliases in prop::collection::vec(alias(odd_mailbox().boxed()), 0..12)) {
        let mut keys = std::collections::HashSet::new();
        let leads_to_itself = |alias: &Alias| alias.targets.iter().any(|target| target.to_string().to_lowercase() == alias.source.key());
        let aliases: Vec<Alias> = aliases.into_iter().filter(|alias| keys.insert(alias.source.key()) && !leads_to_itself(alias)).collect();
        let domains: Vec<mail::Domain> = HOSTED.iter().map(|d| d.parse().unwrap()).collect();
        let text = virtual_file::write(&domains, &aliases, &Default::default());
        let file = virtual_file::parse(&text, None);
        prop_assert_eq!(file.domains, domains);
        prop_assert_eq!(file.aliases.into_iter().map(|(alias, _)| alias).collect::<Vec<_>>(), aliases);
        prop_assert_eq!(file.faults, vec![]);
        // Only a first @domain target with others beside it is worth a warning, and a user called `*`.
        prop_assert!(file.warnings.iter().all(|(_, text)| text.contains("Postfix would misread") || text.contains("user called `*`")));
    }

    #[test]
    fn parsing_never_panics(text in "[a-c@., \t\r\n#\"\\\\<>+-]{0,80}") {
        let _ = virtual_file::parse(&text, None);
    }
}
