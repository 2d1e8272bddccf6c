//! `/people/LOGIN`: passwords by client with last use and network, senders, state.
//!
//! Invariant: a visitor who is not an owner gets only the own account from the API, and only what concerns passwords here.

use axum::extract::Path;
use axum::response::Response;
use control_api::api::{AccountDetail, CredentialView};
use maud::{Markup, html};

use super::{is_active, state};
use crate::api::{Problem, segment, with_query};
use crate::components::{Column, Field, address, card, cut, empty, facts, field, hidden, table};
use crate::layout::Item;
use crate::moment::{date, relative};
use crate::screen::Screen;

/// Networks shown of each password.
const USES_SHOWN: usize = 3;

pub(super) async fn show(screen: Screen, Path(login): Path<String>) -> Result<Response, Problem> {
    let text = screen.text;
    let account: AccountDetail = screen.api.get(&format!("/accounts/{}", segment(&login))).await?;
    let place = format!("/people/{}", segment(&account.account.login));
    let content = html! {
        (sentence(&screen, &account))
        section.card {
            h2 { (text.say("people-passwords")) }
            (passwords(&screen, &account, &place))
        }
        (new_password(&screen, &account, &place))
        @if screen.visitor.is_owner {
            (card(text.say("people-senders"), senders(&screen, &account, &place)))
            (powers(&screen, &account, &place))
        } @else {
            (card(text.say("people-senders"), addresses(&screen, &account)))
        }
    };
    Ok(screen.page(Item::People, &account.account.login, content))
}

fn sentence(screen: &Screen, account: &AccountDetail) -> Markup {
    let text = screen.text;
    let view = &account.account;
    html! {
        p.lead-sentence {
            @match (&view.suspended, view.enabled, view.last_login_ms) {
                (Some(why), ..) => (text.rich("people-sentence-why", [("why", cut(why, 200))], [])),
                (None, false, _) => (text.say("people-sentence-disabled")),
                (None, true, Some(at_ms)) => (text.rich("people-sentence-last", [("when", relative(text, at_ms, screen.now_ms))], [])),
                (None, true, None) => (text.say("people-sentence-never")),
            }
        }
        div.row { (state(screen, view)) @if view.owner { span.quiet { (text.say("people-owner")) } } }
    }
}

fn passwords(screen: &Screen, account: &AccountDetail, place: &str) -> Markup {
    let text = screen.text;
    if account.credentials.is_empty() {
        return empty(text.say("people-no-password"), html! {});
    }
    let columns = [
        Column::new(text.say("people-client"), "lead"),
        Column::new(text.say("people-created"), "tight"),
        Column::new(text.say("people-used"), ""),
        Column::new(text.say("people-remove"), "act"),
    ];
    let row = |credential: &CredentialView| {
        vec![
            html! { strong { (cut(&credential.name, 60)) } @if credential.kind != "password" { div.quiet.small-text { (kind(screen, &credential.kind)) } } },
            html! { (date(text, credential.made_ms)) },
            uses(screen, credential),
            remove_form(screen, credential, place),
        ]
    };
    table(&text.say("people-passwords"), &columns, account.credentials.iter().map(row))
}

fn kind(screen: &Screen, kind: &str) -> String {
    match kind {
        "certificate" => screen.text.say("people-certificate").into_owned(),
        "imported password" => screen.text.say("people-imported").into_owned(),
        other => other.to_owned(),
    }
}

fn uses(screen: &Screen, credential: &CredentialView) -> Markup {
    let text = screen.text;
    html! {
        @if credential.uses.is_empty() { span.quiet { (text.say("people-unused")) } }
        @for used in credential.uses.iter().take(USES_SHOWN) {
            div { (relative(text, used.last_ms, screen.now_ms)) " " span.quiet { (text.say("people-from")) " " } (address(&used.address)) }
        }
    }
}

/// Returns the button that removes a password, after it has said what goes with it.
fn remove_form(screen: &Screen, credential: &CredentialView, place: &str) -> Markup {
    let text = screen.text;
    if credential.kind == "certificate" && !screen.visitor.is_owner {
        return html! {};
    }
    html! {
        details.inline {
            summary { (text.say("aliases-remove")) }
            p.small-text { (text.say("people-remove-words")) }
            form.action method="post" action={ (place) "/passwords/remove" } {
                (screen.token())
                (hidden("name", &credential.name))
                (hidden("kind", &credential.kind))
                button.danger.small type="submit" { (text.say("people-remove-password")) }
            }
        }
    }
}

fn new_password(screen: &Screen, account: &AccountDetail, place: &str) -> Markup {
    let text = screen.text;
    let (label, hint) = (text.say("people-client"), text.say("people-client-hint"));
    html! {
        details.card open[account.credentials.is_empty()] {
            summary { (text.say("people-new-password")) }
            form method="post" action={ (place) "/passwords" } {
                (screen.token())
                (field(&Field { hint: Some(&hint), required: true, ..Field::text("name", &label) }))
                button.primary type="submit" { (text.say("people-make-password")) }
            }
        }
    }
}

/// Returns the addresses that the account may send as.
fn addresses(screen: &Screen, account: &AccountDetail) -> Markup {
    let text = screen.text;
    let own: Vec<&String> = std::iter::once(&account.account.login).chain(&account.aliases).collect();
    html! {
        (facts(&[
            (html! { (text.say("people-own-addresses")) }, html! { @for own in own.iter().take(20) { div { (address(own)) } } }),
            (html! { (text.say("people-more-addresses")) }, html! {
                @if account.account.may_send_as.is_empty() { span.quiet { (text.say("people-none-more")) } }
                @for rule in &account.account.may_send_as { div { (address(rule)) } }
            }),
        ]))
    }
}

fn senders(screen: &Screen, account: &AccountDetail, place: &str) -> Markup {
    let text = screen.text;
    let (label, hint) = (text.say("people-more-addresses"), text.say("people-senders-hint"));
    let present = account.account.may_send_as.join(" ");
    html! {
        (addresses(screen, account))
        details {
            summary { (text.say("people-change-senders")) }
            form method="post" action={ (place) "/senders" } {
                (screen.token())
                (field(&Field { value: &present, hint: Some(&hint), ..Field::text("senders", &label) }))
                button type="submit" { (text.say("save")) }
            }
        }
    }
}

/// Returns what an owner may do to the account.
fn powers(screen: &Screen, account: &AccountDetail, place: &str) -> Markup {
    let text = screen.text;
    let view = &account.account;
    let is_self = view.login == screen.visitor.login;
    html! {
        section.card {
            h2 { (text.say("people-account")) }
            div.actions {
                (button(screen, place, "invitation", &text.say("people-new-link")))
                a.button href=(with_query("/mail", &[("q", Some(&view.login))])) { (text.say("people-mail")) }
                @if !is_active(view) { (button(screen, place, "resume", &text.say("people-resume"))) }
            }
            p.hint { (text.say("people-link-words")) }
        }
        @if is_active(view) && !is_self {
            details.card {
                summary { (text.say("people-suspend")) }
                p { (text.say("people-suspend-words")) }
                form method="post" action={ (place) "/suspend" } {
                    (screen.token())
                    @let (label, hint) = (text.say("people-suspend-why"), text.say("people-suspend-hint"));
                    (field(&Field { hint: Some(&hint), required: true, ..Field::text("why", &label) }))
                    button.danger type="submit" { (text.say("people-suspend-button")) }
                }
            }
        }
        @if !is_self {
            details.card {
                @let (title, words, value) = if view.owner { ("people-owner-end", "people-owner-end-words", "false") } else { ("people-owner-make", "people-owner-words", "true") };
                summary { (text.say(title)) }
                p { (text.say(words)) }
                form.action method="post" action={ (place) "/owner" } {
                    (screen.token())
                    (hidden("owner", value))
                    button type="submit" { (text.say(title)) }
                }
            }
            details.card {
                summary { (text.say("people-remove")) }
                p { (text.rich("people-remove-account-words", [("login", address(&view.login))], [])) }
                form.action method="post" action={ (place) "/remove" } {
                    (screen.token())
                    button.danger type="submit" { (text.say("people-remove-button")) }
                }
            }
        }
    }
}

fn button(screen: &Screen, place: &str, what: &str, label: &str) -> Markup {
    crate::components::action(screen, &format!("{place}/{what}"), label, "", &[])
}
