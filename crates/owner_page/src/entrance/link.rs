//! `/login/link/TOKEN`: a one-time link to log in.
//!
//! Invariant: opening the link only shows a button; the button uses it up.

use std::net::SocketAddr;

use axum::Extension;
use axum::extract::{ConnectInfo, Path};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use door::LinkPurpose;
use maud::html;
use mta::LoginNetwork;

use super::login::proceed;
use super::{Admitted, Entrance, error, page, unavailable};
use crate::api::Problem;
use crate::components::address;
use crate::screen::Frame;

pub(super) async fn show(frame: Frame, Extension(entrance): Extension<Entrance>, Path(token): Path<String>) -> Result<Response, Problem> {
    let Some(link) = entrance.door.link(&token, LinkPurpose::Login).await.map_err(unavailable)? else { return Ok(ended(&frame)) };
    let text = frame.text;
    let who = if link.login.is_empty() {
        html! { (text.say("link-operator")) }
    } else {
        address(&link.login)
    };
    let content = html! {
        form.card.entrance method="post" action={ "/login/link/" (token) } {
            p { (text.rich("link-who", [("login", who)], [])) }
            button.primary type="submit" autofocus { (text.say("link-open")) }
        }
    };
    Ok(page(&frame, StatusCode::OK, "link-title", content))
}

/// Answers for a link that does not work.
pub(super) fn ended(frame: &Frame) -> Response {
    let content = html! {
        (error(frame, "link-ended"))
        p { (frame.text.rich("link-new", [("command", html! { code { "waypost web login-link" } })], [])) }
        p { a href="/login" { (frame.text.say("login-submit")) } }
    };
    page(frame, StatusCode::NOT_FOUND, "link-title", content)
}

pub(super) async fn open(
    frame: Frame,
    Extension(entrance): Extension<Entrance>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(link) = entrance.door.take_link(&token, LinkPurpose::Login).await.map_err(unavailable)? else { return Ok(ended(&frame)) };
    let network = match link.login.as_str() {
        "" => LoginNetwork::Known,
        login => entrance.logins.by_link(client.ip(), login).network,
    };
    let admitted = Admitted { login: link.login, password: None, how: "one-time link", network, next: "/".into() };
    proceed(&entrance, &frame, admitted, client, &headers).await
}
