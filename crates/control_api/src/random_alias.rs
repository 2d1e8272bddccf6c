//! `/api/v1/aliases/random`: throw-away addresses, which also password managers make ([`crate::managers`]).
//!
//! Invariant: the new alias leads to the account of the actor unless the request names targets; an actor that is limited to its account stays in its domain.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use directory::{Alias, AliasOptions, AliasSource, Directory, NOTE_MAX, Origin, Target};
use mail::{Domain, Mailbox, one_line};
use mta::LiveDirectory;
use store::DirectoryChange;

use crate::actor::Actor;
use crate::aliases::{targets, view};
use crate::api::{AliasView, NewRandomAlias};
use crate::changes::{DirectoryEditor, check_alias};
use crate::error::ApiError;
use crate::extract::{Body, parsed, parsed_name};

/// Consonants and vowels that are not confused with each other or with a digit.
const CONSONANTS: &[u8; 14] = b"bdfghjkmnprstv";
const VOWELS: &[u8; 3] = b"aeu";

/// Digits that are not confused with letters.
const DIGITS: &[u8; 8] = b"23456789";

/// Syllables and digits of an address: 1.6 * 10^9 addresses.
const SYLLABLES: usize = 4;
const DIGITS_COUNT: usize = 3;

/// Maximum attempts to find an address that is free.
const ATTEMPTS: usize = 20;

pub(crate) async fn add(
    actor: Actor,
    State(editor): State<DirectoryEditor>,
    State(live): State<Arc<LiveDirectory>>,
    Body(new): Body<NewRandomAlias>,
) -> Result<Json<AliasView>, ApiError> {
    let source = make(&actor, &editor, new).await?;
    let directory = live.current();
    let alias = directory.lookup(&source).ok_or_else(|| ApiError::internal(format!("the new alias {source} is not in effect")))?;
    Ok(Json(view(&directory, alias)))
}

/// Makes a random alias. Returns its address.
pub(crate) async fn make(actor: &Actor, editor: &DirectoryEditor, new: NewRandomAlias) -> Result<String, ApiError> {
    let edit = editor.begin(actor).await;
    let directory = edit.directory();
    let domain = domain_of(actor, &directory, new.domain.as_deref())?;
    let goes_to = targets_of(actor, new.targets)?;
    let free = |_| free_address(&directory, &domain);
    let address = (0..ATTEMPTS).find_map(free).ok_or_else(|| ApiError::internal("no free address was found"))?;
    let source = AliasSource::Address(address);
    let alias = Alias { source: source.clone(), targets: goes_to, enabled: true, origin: Origin::Database };
    check_alias(&directory, &alias)?;
    let said = format!("{source} → {}", targets(&alias));
    let mut changes = vec![DirectoryChange::AddAlias { alias, replace: false }];
    if let Some(note) = new.note.as_deref().map(cut_note).filter(|note| !note.is_empty()) {
        changes.push(DirectoryChange::SetAliasOptions(source.clone(), AliasOptions { note: Some(note), ..AliasOptions::default() }));
    }
    edit.commit(said, changes).await?;
    Ok(source.to_string())
}

/// Returns a note on one line, within its maximum.
fn cut_note(note: &str) -> String {
    one_line(note).trim().chars().take(NOTE_MAX).collect()
}

fn domain_of(actor: &Actor, directory: &Directory, asked: Option<&str>) -> Result<Domain, ApiError> {
    let domain: Domain = match (asked.map(str::trim).filter(|name| !name.is_empty()), &actor.login, &actor.domains) {
        (Some(name), _, _) => parsed("a domain", name.trim_start_matches('@'))?,
        (None, Some(login), _) => login.domain.clone(),
        (None, None, Some(domains)) if domains.len() == 1 => domains.iter().next().cloned().ok_or_else(|| ApiError::bad("no domain"))?,
        (None, ..) => return Err(ApiError::bad("the request names no domain").hint("send one: \"domain\": \"example.com\"")),
    };
    actor.check_domain(&domain)?;
    if actor.limited_to().is_some_and(|login| login.domain != domain) {
        return Err(ApiError::missing(format!("{domain} is not hosted here, or {} may not use it", actor.name)));
    }
    match directory.hosts(&domain) {
        true => Ok(domain),
        false => Err(ApiError::missing(format!("{domain} is not hosted here")).hint("waypost domain list shows the hosted domains")),
    }
}

fn targets_of(actor: &Actor, asked: Vec<String>) -> Result<Vec<Target>, ApiError> {
    match (asked.is_empty(), &actor.login) {
        (true, Some(login)) => Ok(vec![Target::Address(login.clone())]),
        (true, None) => Err(ApiError::bad("there is no account that the alias could lead to")
            .hint("name targets, or use a token with an account: waypost token add NAME --scope aliases --account me@example.com")),
        (false, _) if actor.limited_to().is_some() => {
            Err(ApiError::new(axum::http::StatusCode::FORBIDDEN, format!("{} may not choose the target", actor.name))
                .hint("leave out targets; the alias leads to the account"))
        }
        (false, _) => asked.iter().map(|target| parsed_name("an address", target)).collect(),
    }
}

/// Returns a random address of the domain, unless an alias or account has it.
fn free_address(directory: &Directory, domain: &Domain) -> Option<Mailbox> {
    let local = local_part(&net::random_bytes::<{ 2 * SYLLABLES + DIGITS_COUNT }>());
    let address = Mailbox::parse(&format!("{local}@{domain}")).ok()?;
    let is_taken = directory.lookup(&address.to_string()).is_some() || directory.account(&address.to_string()).is_some();
    (!is_taken).then_some(address)
}

/// Returns syllables and digits: `kadunave482`.
fn local_part(random: &[u8]) -> String {
    let pick = |letters: &[u8], byte: &u8| letters.get(usize::from(*byte) % letters.len()).copied().map(char::from);
    let kinds = (0..SYLLABLES).flat_map(|_| [&CONSONANTS[..], &VOWELS[..]]).chain((0..DIGITS_COUNT).map(|_| &DIGITS[..]));
    kinds.zip(random).filter_map(|(letters, byte)| pick(letters, byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_parts_can_be_read_aloud() {
        assert_eq!(local_part(&[0; 11]), "babababa222");
        assert_eq!(local_part(&[255; 11]).len(), 11);
        assert!((0..=255u8).all(|n| local_part(&[n; 11]).bytes().all(|b| !b"0o1lic".contains(&b))));
    }

    #[test]
    fn notes_stay_on_one_line() {
        assert_eq!(cut_note(" Website: shop.test\r\nX-Evil: 1 ").lines().count(), 1);
        assert_eq!(cut_note(&"x".repeat(500)).len(), NOTE_MAX);
    }
}
