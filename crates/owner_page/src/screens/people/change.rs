//! What can be done to an account: passwords, invitation, senders, suspension, removal.
//!
//! Invariant: an answer with a password or a one-time link is the page itself, not a redirection, and is not stored by the browser.

use axum::Form;
use axum::extract::Path;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{AccountPatch, Changed, Login, NewAccount, NewPassword};
use maud::html;
use serde::Deserialize;
use serde_json::json;

use super::{render, shown_once};
use crate::api::{Problem, segment};
use crate::components::{Mark, copyable, notice};
use crate::layout::Item;
use crate::moment::relative;
use crate::outcome::Done;
use crate::screen::{Owner, Screen};
use crate::screens::aliases::addresses;

fn place(login: &str) -> String {
    format!("/people/{}", segment(login))
}

fn account(login: &str) -> String {
    format!("/accounts/{}", segment(login))
}

#[derive(Debug, Deserialize)]
pub(super) struct NewPersonForm {
    login: String,
    /// `invite` or `password`.
    #[serde(default)]
    how: String,
}

pub(super) async fn add(Owner(screen): Owner, Form(form): Form<NewPersonForm>) -> Result<Response, Problem> {
    let new = NewAccount { login: form.login.trim().to_owned(), password: None, name: None, may_send_as: Vec::new(), owner: false };
    let made: Result<Login, Problem> = screen.api.send(Method::POST, "/accounts", &new).await;
    let made = match made {
        Err(problem) if problem.is_of_request() => return render(&screen, &form.login, Some(&problem)).await,
        made => made?,
    };
    if form.how == "invite" {
        return invitation(&screen, &made.login).await;
    }
    Ok(password_page(&screen, &made))
}

/// Shows login and password, once.
fn password_page(screen: &Screen, made: &Login) -> Response {
    let content = html! {
        (shown_once(screen, made))
        a.button href=(place(&made.login)) { (screen.text.say("people-done")) }
    };
    screen.page(Item::People, &made.login, content)
}

/// A one-time link for a person.
#[derive(Debug, Deserialize)]
struct Invitation {
    link: String,
    expires_ms: i64,
}

/// Makes a one-time link, and shows it once.
async fn invitation(screen: &Screen, login: &str) -> Result<Response, Problem> {
    let text = screen.text;
    let made: Invitation = screen.api.send(Method::POST, &format!("{}/invitations", account(login)), &json!({})).await?;
    let content = html! {
        (notice(Mark::Good, html! {
            p { (text.with("people-link-made", [("login", login.to_owned().into())])) }
            p { (copyable(screen, &made.link)) }
            p.hint { (text.rich("people-link-until", [("when", relative(text, made.expires_ms, screen.now_ms))], [])) }
        }))
        a.button href=(place(login)) { (text.say("people-done")) }
    };
    Ok(screen.page(Item::People, login, content))
}

pub(super) async fn invite(Owner(screen): Owner, Path(login): Path<String>) -> Result<Response, Problem> {
    invitation(&screen, &login).await
}

#[derive(Debug, Deserialize)]
pub(super) struct PasswordForm {
    name: String,
    #[serde(default)]
    kind: String,
}

/// Makes a password for a client and shows it once.
pub(super) async fn set_password(screen: Screen, Path(login): Path<String>, Form(form): Form<PasswordForm>) -> Result<Response, Problem> {
    let new = NewPassword { password: None, name: Some(form.name.trim().to_owned()) };
    let made: Login = screen.api.send(Method::POST, &format!("{}/passwords", account(&login)), &new).await?;
    Ok(password_page(&screen, &made))
}

pub(super) async fn remove_password(
    screen: Screen,
    Path(login): Path<String>,
    Form(form): Form<PasswordForm>,
) -> Result<Response, Problem> {
    let part = if form.kind == "certificate" { "certificates" } else { "passwords" };
    let changed: Changed = screen.api.delete(&format!("{}/{part}/{}", account(&login), segment(&form.name))).await?;
    let words = screen.text.with("people-password-removed", [("name", form.name.into())]);
    Ok(Done::new(place(&login), std::iter::once(words).chain(changed.warnings).collect::<Vec<_>>().join(" ")).into_response())
}

async fn patch(screen: &Screen, login: &str, patch: &AccountPatch) -> Result<Changed, Problem> {
    screen.api.send(Method::PATCH, &account(login), patch).await
}

#[derive(Debug, Deserialize)]
pub(super) struct SuspendForm {
    why: String,
}

pub(super) async fn suspend(Owner(screen): Owner, Path(login): Path<String>, Form(form): Form<SuspendForm>) -> Result<Response, Problem> {
    patch(&screen, &login, &AccountPatch { suspended: Some(form.why.trim().to_owned()), ..AccountPatch::default() }).await?;
    let words = screen.text.with("people-is-suspended", [("login", login.clone().into())]);
    Ok(Done::new(place(&login), words).undo(screen.text, format!("{}/resume", place(&login)), &[]).into_response())
}

pub(super) async fn resume(Owner(screen): Owner, Path(login): Path<String>) -> Result<Response, Problem> {
    patch(&screen, &login, &AccountPatch { suspended: Some(String::new()), enabled: Some(true), ..AccountPatch::default() }).await?;
    Ok(Done::new(place(&login), screen.text.with("people-is-active", [("login", login.clone().into())])).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct MaySendForm {
    #[serde(default)]
    senders: String,
}

pub(super) async fn senders(Owner(screen): Owner, Path(login): Path<String>, Form(form): Form<MaySendForm>) -> Result<Response, Problem> {
    patch(&screen, &login, &AccountPatch { may_send_as: Some(addresses(&form.senders)), ..AccountPatch::default() }).await?;
    Ok(Done::new(place(&login), screen.text.say("saved")).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct OwnerForm {
    owner: bool,
}

/// Makes the account an owner, or takes that away.
pub(super) async fn owner(Owner(screen): Owner, Path(login): Path<String>, Form(form): Form<OwnerForm>) -> Result<Response, Problem> {
    patch(&screen, &login, &AccountPatch { owner: Some(form.owner), ..AccountPatch::default() }).await?;
    let key = if form.owner { "people-is-owner" } else { "people-is-no-owner" };
    Ok(Done::new(place(&login), screen.text.with(key, [("login", login.clone().into())])).into_response())
}

pub(super) async fn remove(Owner(screen): Owner, Path(login): Path<String>) -> Result<Response, Problem> {
    let _: Changed = screen.api.delete(&account(&login)).await?;
    Ok(Done::new("/people", screen.text.with("people-removed", [("login", login.into())])).into_response())
}
