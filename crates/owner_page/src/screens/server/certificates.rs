//! The certificates in use, and what became of their orders.
//!
//! RFC 8555. Invariant: a renewal that takes long goes on; its result is shown when it is there.

use axum::Form;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use control_api::api::{CertificateView, CertificatesView, OrderView, Renewal, RenewalDone};
use maud::{Markup, html};
use serde::Deserialize;

use crate::api::Problem;
use crate::components::{Column, Mark, action, address, badge, cut, empty, notice, table};
use crate::moment::{date, relative};
use crate::outcome::Done;
use crate::screen::{Owner, Screen};

const DAY_MS: i64 = 86_400_000;

pub(super) fn show(screen: &Screen, all: &CertificatesView) -> Markup {
    let text = screen.text;
    if all.certificates.is_empty() && all.orders.is_empty() {
        return empty(text.say("server-no-certificate"), text.say("server-no-certificate-next"));
    }
    let columns = [
        Column::new(text.say("server-certificate-names"), "lead"),
        Column::new(text.say("server-certificate-issuer"), ""),
        Column::new(text.say("server-certificate-until"), "tight"),
        Column::new(text.say("aliases-state"), "tight"),
        Column::new(text.say("server-renew"), "tight"),
    ];
    let row = |certificate: &CertificateView| {
        vec![
            html! { @for name in certificate.names.iter().take(6) { div { (address(name)) } } },
            html! { (cut(&certificate.issuer, 60)) },
            html! { (date(text, certificate.not_after_ms)) },
            state(screen, certificate, all.now_ms),
            html! { @if let Some(name) = &certificate.name { (action(screen, "/server/renew", &text.say("server-renew"), "small", &[("name", name)])) } },
        ]
    };
    html! {
        (table(&text.say("server-certificates"), &columns, all.certificates.iter().map(row)))
        @for order in all.orders.iter().filter(|order| order.last_error.is_some() || !order.left_out.is_empty()) { (trouble(screen, order)) }
    }
}

fn state(screen: &Screen, certificate: &CertificateView, now_ms: i64) -> Markup {
    let text = screen.text;
    let days = (certificate.not_after_ms - now_ms).div_euclid(DAY_MS);
    match days {
        ..0 => badge(Mark::Bad, text.say("server-expired")),
        _ if certificate.is_self_signed => badge(Mark::Wait, text.say("server-self-signed")),
        0..14 => badge(Mark::Wait, text.with("server-days-left", [("n", days.into())])),
        _ => badge(Mark::Good, text.with("server-days-left", [("n", days.into())])),
    }
}

/// Says why an order failed, or which names it leaves out.
fn trouble(screen: &Screen, order: &OrderView) -> Markup {
    let text = screen.text;
    html! {
        @if let Some(error) = &order.last_error {
            (notice(Mark::Bad, html! {
                p { (text.rich("server-order-failed", [("name", address(&order.name))], [])) }
                p { (cut(error, 300)) }
                @if let Some(at_ms) = order.next_attempt_ms { p.hint { (text.rich("server-order-next", [("when", relative(text, at_ms, screen.now_ms))], [])) } }
            }))
        }
        @if !order.left_out.is_empty() {
            details {
                summary { (text.with("server-left-out", [("n", order.left_out.len().into())])) }
                ul { @for left in &order.left_out { li { (address(&left.name)) ": " (cut(&left.why, 200)) } } }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct RenewForm {
    name: String,
}

pub(super) async fn renew(Owner(screen): Owner, Form(form): Form<RenewForm>) -> Result<Response, Problem> {
    let wanted = Renewal { name: Some(form.name), force: true };
    let done: RenewalDone = screen.api.send(Method::POST, "/certificates/renew", &wanted).await?;
    let words = match done.is_over {
        true => done.outcomes.into_iter().map(|outcome| outcome.text).collect::<Vec<_>>().join(" "),
        false => screen.text.say("server-renewing").into_owned(),
    };
    Ok(Done::new("/server#certificates", words).into_response())
}
