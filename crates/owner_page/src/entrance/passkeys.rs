//! Passkeys: the forms of the login, the second step and the visitor's own login, which a script fills with what the authenticator answers.
//!
//! W3C Web Authentication Level 2 s.7.1, s.7.2. Invariant: without a script the forms stay hidden, and everything else works.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use door::{Guest, NewPasskey, Passkey, PasskeyAnswer, PasskeyPurpose, PasskeyRefused, PasskeySite};
use mail::Mailbox;
use maud::{Markup, html};
use mta::LoginRefused;
use serde::Deserialize;

use super::code::waiting;
use super::login::refusal;
use super::second_step::{login_of, recovery_card};
use super::{Admitted, Entrance, error, page, unavailable};
use crate::api::Problem;
use crate::assets::PASSKEY;
use crate::catalogue::Text;
use crate::components::{Column, action, card, cut, hidden, table};
use crate::layout::Item;
use crate::moment::relative;
use crate::outcome::Done;
use crate::screen::{Frame, Screen};

#[derive(Deserialize)]
pub(super) struct PasskeyAnswerForm {
    id: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
    #[serde(default)]
    pub next: String,
}

impl PasskeyAnswerForm {
    /// The answer of the authenticator.
    pub fn answer(&self) -> PasskeyAnswer<'_> {
        let Self { id, client_data, authenticator_data, signature, .. } = self;
        PasskeyAnswer { id, client_data, authenticator_data, signature }
    }
}

#[derive(Deserialize)]
pub(super) struct NewPasskeyForm {
    name: String,
    client_data: String,
    authenticator_data: String,
    public_key: String,
    algorithm: i32,
}

#[derive(Deserialize)]
pub(super) struct RemovePasskeyForm {
    id: String,
}

/// Returns the site of a request; `None` for an address, which can have no passkeys.
pub(super) fn site(headers: &HeaderMap) -> Option<PasskeySite> {
    let named = headers.get(header::HOST)?.to_str().ok()?.to_ascii_lowercase();
    let host = named.rsplit_once(':').map_or(named.as_str(), |(host, _)| host);
    let is_address = named.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let named = named.strip_suffix(":443").unwrap_or(&named);
    (!is_address && !host.is_empty()).then(|| PasskeySite { id: host.to_owned(), origin: format!("https://{named}") })
}

fn encoded(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

fn ids(passkeys: &[Passkey]) -> String {
    passkeys.iter().map(|passkey| encoded(&passkey.id)).collect::<Vec<_>>().join(" ")
}

/// What the script says when the authenticator does not answer.
fn no_answer(text: Text) -> Markup {
    html! { p.hint hidden role="alert" data-passkey-fault { (text.say("passkey-no-answer")) } script src=(PASSKEY.path()) defer {} }
}

/// What a passkey is asked for.
#[derive(Clone, Copy)]
pub(super) enum PasskeyStep<'a> {
    /// The login, alone, with whatever passkey there is.
    Login,
    /// The second step of a login, with one of these.
    Second(&'a Mailbox, &'a [Passkey]),
    /// The confirmation of who the visitor is, with one of these.
    Confirm(&'a Screen, &'a Mailbox, &'a [Passkey]),
}

/// Returns the form that asks for a passkey.
pub(super) fn get_form(frame: &Frame, entrance: &Entrance, site: &PasskeySite, step: PasskeyStep<'_>, next: &str) -> Markup {
    let text = frame.text;
    let (to, purpose, known, verification, words) = match step {
        PasskeyStep::Login => ("/login/passkey", PasskeyPurpose::Login, String::new(), "required", "passkey-log-in"),
        PasskeyStep::Second(login, known) => {
            ("/login/code/passkey", PasskeyPurpose::Second(login), ids(known), "preferred", "passkey-log-in")
        }
        PasskeyStep::Confirm(_, login, known) => {
            ("/account/confirm/passkey", PasskeyPurpose::Second(login), ids(known), "preferred", "confirm-passkey")
        }
    };
    html! {
        form.card.entrance hidden method="post" action=(to) data-passkey="get" data-challenge=(entrance.door.passkey_challenge(purpose)) data-site=(site.id)
            data-known=(known) data-verification=(verification) {
            @if let PasskeyStep::Confirm(screen, ..) = step { (screen.token()) }
            @for name in ["id", "client_data", "authenticator_data", "signature"] { (hidden(name, "")) }
            (hidden("next", next))
            button type="submit" { (text.say(words)) }
            (no_answer(text))
        }
    }
}

pub(super) async fn log_in(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(sent): Form<PasskeyAnswerForm>,
) -> Result<Response, Problem> {
    let again = |refused| Ok(refusal(&frame, refused, |key| back(&frame, "/login", key)));
    // Until the account is known: a name of the client's own, so that no stranger uses up what others are allowed.
    let unknown = format!("passkey from {}", client.ip());
    if let Err(refused) = entrance.logins.count_guess(client.ip(), &unknown) {
        return again(refused);
    }
    let Some(site) = site(&headers) else { return again(LoginRefused::Wrong) };
    let passkey = match entrance.door.use_passkey(PasskeyPurpose::Login, &site, sent.answer()).await {
        Ok(passkey) => passkey,
        Err(refused) => return refuse(&frame, &entrance, TriedPasskey { client: client.ip(), login: &unknown, back: "/login" }, refused),
    };
    entrance.logins.excuse(client.ip(), &unknown);
    let found = entrance.logins.by_passkey(client.ip(), &passkey.login, &passkey.name);
    let admitted = Admitted { login: found.login, password: None, how: "passkey", network: found.network, next: sent.next };
    entrance.admit(admitted, client.ip(), &headers).await
}

pub(super) async fn second(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(sent): Form<PasskeyAnswerForm>,
) -> Result<Response, Problem> {
    let (Some((token, admitted)), Some(site)) = (waiting(&entrance, &frame, &headers), site(&headers)) else {
        return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, "/login")]).into_response());
    };
    let login = Mailbox::parse(&admitted.login).map_err(unavailable)?;
    if let Err(refused) = entrance.logins.count_guess(client.ip(), &admitted.login) {
        return Ok(refusal(&frame, refused, |key| back(&frame, "/login/code", key)));
    }
    if let Err(refused) = entrance.door.use_passkey(PasskeyPurpose::Second(&login), &site, sent.answer()).await {
        return refuse(&frame, &entrance, TriedPasskey { client: client.ip(), login: &admitted.login, back: "/login/code" }, refused);
    }
    entrance.logins.excuse(client.ip(), &admitted.login);
    entrance.pending.remove(&token);
    let how = if admitted.how == "password" { "password and passkey" } else { "link and passkey" };
    entrance.admit(Admitted { how, ..admitted }, client.ip(), &headers).await
}

/// Who has tried a passkey, and the page to try again.
pub(super) struct TriedPasskey<'a> {
    pub client: IpAddr,
    pub login: &'a str,
    pub back: &'static str,
}

/// Answers a refused passkey. What was only late is no guess.
pub(super) fn refuse(frame: &Frame, entrance: &Entrance, tried: TriedPasskey<'_>, refused: PasskeyRefused) -> Result<Response, Problem> {
    let TriedPasskey { client, login, back: to } = tried;
    let key = match refused {
        PasskeyRefused::Store(error) => return Err(unavailable(error)),
        PasskeyRefused::Late => {
            entrance.logins.excuse(client, login);
            "passkey-late"
        }
        PasskeyRefused::Copied => "passkey-copied",
        PasskeyRefused::TooMany | PasskeyRefused::Wrong(_) => "passkey-wrong",
    };
    tracing::info!(%client, login, reason = %refused, "passkey refused");
    if key != "passkey-late" {
        entrance.logins.log_wrong_code(client, login);
    }
    Ok(page(frame, StatusCode::FORBIDDEN, "login-title", back(frame, to, key)))
}

fn back(frame: &Frame, to: &str, key: &str) -> Markup {
    html! { (error(frame, key)) p { a.button href=(to) { (frame.text.say("passkey-again")) } } }
}

/// Returns the card of the visitor's passkeys; `is_fresh`: whether one may be added at once. Otherwise the authenticator would make one in vain.
pub(super) fn own_card(
    screen: &Screen,
    entrance: &Entrance,
    login: &Mailbox,
    site: Option<&PasskeySite>,
    passkeys: &[Passkey],
    is_fresh: bool,
) -> Markup {
    let text = screen.text;
    let columns = [
        Column::new(text.say("passkey-name"), "lead"),
        Column::new(text.say("passkey-made"), ""),
        Column::new(text.say("account-used"), ""),
        Column::new(text.say("passkey-remove"), "act"),
    ];
    let rows = passkeys.iter().map(|passkey| {
        let used = passkey.used_ms.map_or_else(|| html! { (text.say("passkey-unused")) }, |at| relative(text, at, screen.now_ms));
        let remove = action(screen, "/account/passkeys/remove", &text.say("passkey-remove"), "small", &[("id", &encoded(&passkey.id))]);
        vec![cut(&passkey.name, 60), relative(text, passkey.made_ms, screen.now_ms), used, remove]
    });
    html! {
        p { (text.say("passkey-hint")) }
        @if !passkeys.is_empty() { (table(&text.say("passkey-title"), &columns, rows)) }
        @match site {
            Some(_) if !is_fresh => a.button href="/account/confirm?next=/account" { (text.say("passkey-add")) },
            Some(site) => {
                (add_form(screen, entrance, login, site, passkeys))
                noscript { p.quiet { (text.say("passkey-needs-script")) } }
            }
            None => p.quiet { (text.with("passkey-needs-name", [("host", screen.frame.hostname.to_string().into())])) },
        }
    }
}

fn add_form(screen: &Screen, entrance: &Entrance, login: &Mailbox, site: &PasskeySite, passkeys: &[Passkey]) -> Markup {
    let text = screen.text;
    // The same for each passkey of an account, and without the address.
    let user = encoded(&net::sha256(&[b"user of passkeys\0", login.key().as_bytes()]));
    html! {
        form hidden method="post" action="/account/passkeys" data-passkey="create" data-challenge=(entrance.door.passkey_challenge(PasskeyPurpose::Add(login)))
            data-site=(site.id) data-user=(user) data-login=(login.to_string()) data-known=(ids(passkeys)) {
            (screen.token())
            @for name in ["client_data", "authenticator_data", "public_key", "algorithm"] { (hidden(name, "")) }
            div.field {
                label for="passkey-name" { (text.say("passkey-name")) }
                input id="passkey-name" name="name" type="text" required maxlength="60" autocomplete="off" aria-describedby="passkey-name-hint";
                p.hint id="passkey-name-hint" { (text.say("passkey-name-hint")) }
            }
            button type="submit" { (text.say("passkey-add")) }
            (no_answer(text))
        }
    }
}

pub(super) async fn add(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    headers: HeaderMap,
    Form(sent): Form<NewPasskeyForm>,
) -> Result<Response, Problem> {
    let (login, text) = (login_of(&screen, &guest)?, screen.text);
    let site = site(&headers).ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, text.say("passkey-wrong")))?;
    let NewPasskeyForm { name, client_data, authenticator_data, public_key, algorithm } = &sent;
    let new = NewPasskey { name, client_data, authenticator_data, public_key, algorithm: *algorithm };
    let codes = match entrance.door.add_passkey(&login, &site, new).await {
        Ok(codes) => codes,
        Err(PasskeyRefused::Store(error)) => return Err(unavailable(error)),
        Err(refused) => {
            tracing::info!(%login, reason = %refused, "passkey refused");
            let key = match refused {
                PasskeyRefused::Late => "passkey-late",
                PasskeyRefused::TooMany => "passkey-too-many",
                _ => "passkey-wrong",
            };
            return Err(Problem::new(StatusCode::BAD_REQUEST, text.say(key)));
        }
    };
    let Some(codes) = codes else { return Ok(Done::new("/account", text.say("passkey-added")).into_response()) };
    // Sessions that began without the second step end.
    entrance.door.end(Some(&guest.login), None, Some(guest.session)).await;
    let content = card(text.say("second-step-recovery"), recovery_card(&screen, &codes));
    Ok(screen.page(Item::None, &text.say("passkey-added"), content))
}

pub(super) async fn remove(
    screen: Screen,
    Extension(entrance): Extension<Entrance>,
    Extension(guest): Extension<Guest>,
    Form(sent): Form<RemovePasskeyForm>,
) -> Result<Response, Problem> {
    let (login, text) = (login_of(&screen, &guest)?, screen.text);
    if !entrance.door.remove_passkey(&login, &sent.id).await.map_err(unavailable)? {
        return Err(Problem::new(StatusCode::NOT_FOUND, text.say("entrance-not-there")));
    }
    // What it has opened elsewhere ends.
    entrance.door.end(Some(&guest.login), None, Some(guest.session)).await;
    Ok(Done::new("/account", text.say("passkey-removed")).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_site_is_the_requested_host_and_never_an_address() {
        let of = |host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            site(&headers).map(|site| (site.id, site.origin))
        };
        for (host, id, origin) in [
            ("MX.example.test", "mx.example.test", "https://mx.example.test"),
            ("mx.example.test:443", "mx.example.test", "https://mx.example.test"),
            ("localhost:8443", "localhost", "https://localhost:8443"),
        ] {
            assert_eq!(of(host), Some((id.to_owned(), origin.to_owned())));
        }
        for host in ["192.0.2.1", "192.0.2.1:8443", "[2001:db8::1]:8443", ":8443", ""] {
            assert_eq!(of(host), None, "{host}");
        }
    }
}
