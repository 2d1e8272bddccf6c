//! Files that come from other programs: Postfix's virtual(5), sasldb2, passwd files.

use std::collections::BTreeMap;

use directory::virtual_file::{parse, write};
use directory::{Alias, Aliases, Contents, Directory, HostedDomain};
use mail::Domain;

use crate::addresses::check_mailbox;
use crate::checks::text;

/// What is read is written as the same aliases; expansion of every alias ends, with targets that are addresses.
pub fn virtual_files(data: &[u8]) {
    let text = text(data);
    let _ = parse(&text, Some(&Domain::parse("origin.test").expect("a domain")));
    let file = parse(&text, None);
    let aliases: Vec<Alias> = file.aliases.iter().map(|(alias, _)| alias.clone()).collect();
    let options: BTreeMap<_, _> = file.alias_options.iter().map(|(source, options)| (source.key(), options.clone())).collect();
    let written = write(&file.domains, &aliases, &options);
    let again = parse(&written, None);
    assert_eq!(again.faults, [], "of the written file:\n{written}");
    assert_eq!(again.domains, file.domains, "of the written file:\n{written}");
    let with_targets = |aliases: Vec<Alias>| aliases.into_iter().filter(|alias| !alias.targets.is_empty()).collect::<Vec<_>>();
    assert_eq!(with_targets(again.aliases.into_iter().map(|(alias, _)| alias).collect()), with_targets(aliases.clone()), "{written}");
    expand(&file.domains, aliases, options);
}

fn expand(domains: &[Domain], aliases: Vec<Alias>, alias_options: BTreeMap<String, directory::AliasOptions>) {
    let domains = domains.iter().map(|name| HostedDomain { name: name.clone(), enabled: true }).collect();
    let mut all = Aliases::default();
    aliases.iter().cloned().for_each(|alias| all.push(alias));
    let directory = Directory::new(Contents { domains, aliases: all, alias_options, ..Contents::default() });
    for alias in aliases.iter().take(50) {
        if let directory::AliasSource::Address(mailbox) = &alias.source {
            check_mailbox(mailbox);
            if let Ok(targets) = directory.targets(mailbox) {
                targets.iter().for_each(check_mailbox);
            }
        }
    }
    let _ = directory.problems();
}

/// The entries are sorted and unique, and no larger than the file.
pub fn sasldb(data: &[u8]) {
    let Ok(entries) = sasl::sasldb::read(data) else { return };
    let names: Vec<_> = entries.iter().map(|entry| (&entry.realm, &entry.user)).collect();
    assert!(names.is_sorted() && names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    let octets: usize = entries.iter().map(|entry| entry.user.len() + entry.realm.len() + entry.password.expose().len()).sum();
    // Latin-1 becomes at most twice as long in UTF-8.
    assert!(octets <= 2 * data.len(), "{octets} octets of {}", data.len());
}

/// Every line is an account, a fault, or nothing.
pub fn passwd_files(data: &[u8]) {
    let text = text(data);
    let file = sasl::passwd_file::read(&text, 20_785);
    let lines = text.lines().count();
    assert!(file.entries.len() + file.faults.len() <= lines);
    for entry in &file.entries {
        assert!((1..=lines).contains(&entry.line) && !entry.user.contains(':'), "{entry:?}");
        let _ = (sasl::password::is_known(&entry.verifier), sasl::password::needs_rehash(&entry.verifier));
    }
}
