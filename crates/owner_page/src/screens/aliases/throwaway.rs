//! A throw-away address in one click: a name that can be read aloud, leading to where the visitor's own mail goes.
//!
//! Invariant: the name says nothing about the visitor, and cannot be guessed from another one.

use axum::Form;
use axum::Json;
use axum::http::{HeaderMap, Method, header};
use axum::response::{IntoResponse, Redirect, Response};
use control_api::api::{AliasPage, AliasTest, Changed, NewAlias};
use serde::Deserialize;
use serde_json::json;

use crate::api::{Problem, with_query};
use crate::screen::{Owner, Screen};

/// Attempts to find a name that is free.
const ATTEMPTS: usize = 4;

#[derive(Debug, Deserialize)]
pub(super) struct ThrowawayForm {
    domain: String,
}

/// Makes the address. A script gets it as JSON and copies it; otherwise the list shows it with a button.
pub(super) async fn make(Owner(screen): Owner, headers: HeaderMap, Form(form): Form<ThrowawayForm>) -> Result<Response, Problem> {
    let targets = vec![target(&screen).await?];
    let mut source = String::new();
    for attempt in 1..=ATTEMPTS {
        source = format!("{}@{}", name(net::random_bytes()), form.domain.trim());
        let new = NewAlias { source: source.clone(), targets: targets.clone(), replace: false };
        let added: Result<Changed, Problem> = screen.api.send(Method::POST, "/aliases", &new).await;
        match added {
            Ok(_) => break,
            Err(problem) if problem.status == 409 && attempt < ATTEMPTS => continue,
            Err(problem) => return Err(problem),
        }
    }
    let place = with_query("/aliases", &[("new", Some(&source))]);
    if headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json") {
        return Ok(Json(json!({ "address": source, "place": place })).into_response());
    }
    Ok(Redirect::to(&place).into_response())
}

/// Where its mail goes: to the visitor's own address if that leads somewhere, otherwise where the first alias leads.
async fn target(screen: &Screen) -> Result<String, Problem> {
    let login = &screen.visitor.login;
    let own: Result<AliasTest, Problem> = screen.api.get(&with_query("/aliases/test", &[("address", Some(login))])).await;
    if own.is_ok_and(|own| !own.targets.is_empty()) {
        return Ok(login.clone());
    }
    let first: AliasPage = screen.api.get("/aliases?limit=1").await?;
    let target = first.items.into_iter().flat_map(|alias| alias.targets).next();
    target.ok_or_else(|| Problem {
        hint: Some(screen.text.say("aliases-throwaway-hint").into_owned()),
        ..Problem::new(axum::http::StatusCode::CONFLICT, screen.text.say("aliases-throwaway-nowhere"))
    })
}

/// Makes a name of three syllables and four digits: one of 3,430,000,000.
fn name(random: [u8; 8]) -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let pick = |letters: &[u8], n: u8| letters.get(usize::from(n) % letters.len()).map_or('a', |letter| char::from(*letter));
    let [a, b, c, d, e, f, g, h] = random;
    let digits = u16::from_be_bytes([g, h]) % 10_000;
    let syllables = [(CONSONANTS, a), (VOWELS, b), (CONSONANTS, c), (VOWELS, d), (CONSONANTS, e), (VOWELS, f)];
    format!("{}{digits:04}", syllables.into_iter().map(|(letters, n)| pick(letters, n)).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_read_aloud() {
        assert_eq!(name([0; 8]), "bababa0000");
        assert_eq!(name([13, 4, 13, 4, 13, 4, 39, 15]), "zuzuzu9999");
        assert!(name([255; 8]).len() == 10);
    }
}
