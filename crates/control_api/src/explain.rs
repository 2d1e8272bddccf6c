//! `/explain`: what would happen to a message. The body is the message, or empty.
//!
//! Invariant: nothing is sent or stored; memory for messages and time are limited.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use futures_util::StreamExt;
use mail::{ForwardPath, Mailbox, ReversePath};
use mta::{ExplainRequest, ExplainedDecision, ExplainedDelivery, ExplainedHost, ExplainedStep, Explanation, LiveDirectory};

use crate::api::{ExplainDeliveryView, ExplainHostView, ExplainQuery, ExplainSignatureView, ExplainStepView, ExplanationView};
use crate::control::{Control, ControlError};
use crate::error::ApiError;
use crate::extract::{Params, parsed};
use crate::message_room::MessageRoom;

/// Maximum time for an explanation: DNS may be slow, and commands wait for a minute.
const DEADLINE: Duration = Duration::from_secs(55);

/// Maximum octets that are read of a message that is too large.
const DISCARDED_MAX_BYTES: usize = 128 << 20;

/// All explanations together count as one user, whose ID no user has.
const EXPLAINING: u32 = u32::MAX;

/// Maximum length of a name in HELO, in octets.
const HELO_MAX_BYTES: usize = 255;

pub(crate) async fn explain(
    State(control): State<Arc<dyn Control>>,
    State(live): State<Arc<LiveDirectory>>,
    State(room): State<MessageRoom>,
    Params(query): Params<ExplainQuery>,
    request: Request,
) -> Result<Json<ExplanationView>, ApiError> {
    let length = match length(&request, control.message_max_bytes()) {
        Ok(length) => length,
        Err(error) => {
            // A client that still sends would not read the answer.
            let _ = tokio::time::timeout(DEADLINE, discard(request)).await;
            return Err(error);
        }
    };
    // The message, and the copy with what is added to it.
    let _place = room.take(EXPLAINING, length.saturating_mul(2)).await;
    let explained = tokio::time::timeout(DEADLINE, async {
        let message = to_bytes(request.into_body(), usize::try_from(length).unwrap_or(usize::MAX)).await;
        let message = message.map_err(|error| ApiError::bad(format!("the message cannot be read: {error}")))?;
        let request = read(query, Some(message).filter(|message| !message.is_empty()))?;
        if let Some(login) = request.login.as_deref().filter(|login| live.current().account(login).is_none()) {
            return Err(ApiError::missing(format!("there is no account {login}")).hint("waypost account list shows all"));
        }
        control.explain(request).await.map_err(|error| match error {
            ControlError::NotRunning => ApiError::conflict("this needs a running server").hint("start it: waypost serve"),
            ControlError::Failed(why) => ApiError::conflict(why),
        })
    });
    let explained = explained.await.map_err(|_| {
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, format!("there is no explanation within {} s", DEADLINE.as_secs()))
            .hint("DNS does not answer: waypost doctor checks it")
    })??;
    Ok(Json(view(explained)))
}

/// Reads a body up to [`DISCARDED_MAX_BYTES`], and keeps nothing.
async fn discard(request: Request) {
    let (mut body, mut read) = (request.into_body().into_data_stream(), 0);
    while let Some(Ok(piece)) = body.next().await {
        read += piece.len();
        if read > DISCARDED_MAX_BYTES {
            return;
        }
    }
}

fn length(request: &Request, max_bytes: u64) -> Result<u64, ApiError> {
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = length.ok_or_else(|| ApiError::new(StatusCode::LENGTH_REQUIRED, "the request has no Content-Length"))?;
    if length > max_bytes {
        let text = format!("the message is larger than {max_bytes} octets: a client that sends it gets 552 5.3.4");
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text).hint("limits.message_bytes in the configuration is the maximum"));
    }
    Ok(length)
}

fn read(query: ExplainQuery, message: Option<Bytes>) -> Result<ExplainRequest, ApiError> {
    let ExplainQuery { from, to, ip, helo, login } = query;
    let bare = |text: &str| text.trim().trim_start_matches('<').trim_end_matches('>').to_owned();
    let from = match bare(&from).as_str() {
        "" => ReversePath::Null,
        from => ReversePath::Mailbox(parsed::<Mailbox>("an address", from)?),
    };
    let to = match bare(&to).as_str() {
        to if to.eq_ignore_ascii_case("postmaster") => ForwardPath::Postmaster,
        to => ForwardPath::Mailbox(parsed::<Mailbox>("an address", to)?),
    };
    let client = ip.map(|ip| parsed::<IpAddr>("an IP address", &ip)).transpose()?;
    if let Some(helo) = &helo
        && (helo.is_empty() || helo.len() > HELO_MAX_BYTES || !helo.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(ApiError::bad(format!("`{}` is not a name that a client can send in HELO", helo.escape_debug())));
    }
    Ok(ExplainRequest { from, to, client, hello: helo, login, message })
}

fn view(explanation: Explanation) -> ExplanationView {
    let Explanation { assumptions, steps, decision, deliveries } = explanation;
    let (decision, reply, reason) = match decision {
        ExplainedDecision::Accepted => ("accepted", None, None),
        ExplainedDecision::Held(why) => ("held", None, Some(why)),
        ExplainedDecision::Refused(reply) => ("refused", Some(reply.to_string()), None),
        ExplainedDecision::ReportRead => ("report", None, None),
        ExplainedDecision::AutoReplyDropped => ("dropped", None, None),
    };
    ExplanationView {
        decision: decision.to_owned(),
        reply,
        reason,
        steps: steps.into_iter().map(step).collect(),
        deliveries: deliveries.into_iter().map(delivery).collect(),
        assumptions,
    }
}

fn step(step: ExplainedStep) -> ExplainStepView {
    let ExplainedStep { stage, passed, words, details } = step;
    ExplainStepView { stage: stage.as_str().to_owned(), passed, outcome: words, details }
}

fn delivery(delivery: ExplainedDelivery) -> ExplainDeliveryView {
    let ExplainedDelivery { target, alias, flow, sender, fields, signatures, route, prediction, is_likely } = delivery;
    let signature = |signature: mta::AddedSignature| ExplainSignatureView { domain: signature.domain, selector: signature.selector };
    ExplainDeliveryView {
        target: target.to_string(),
        alias: alias.map(|alias| alias.to_string()),
        flow: flow.as_str().to_owned(),
        sender: sender.mailbox().map(ToString::to_string).unwrap_or_default(),
        fields,
        signatures: signatures.into_iter().map(signature).collect(),
        via: route.via,
        hosts: route.hosts.into_iter().map(host).collect(),
        paused: route.paused,
        trouble: route.trouble,
        prediction,
        likely: is_likely,
    }
}

fn host(host: ExplainedHost) -> ExplainHostView {
    let ExplainedHost { name, port, addresses, tls } = host;
    ExplainHostView { name: name.to_string(), port, addresses: addresses.iter().map(ToString::to_string).collect(), tls }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(from: &str, to: &str) -> ExplainQuery {
        ExplainQuery { from: from.into(), to: to.into(), ..ExplainQuery::default() }
    }

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        let request = read(query("<>", "Postmaster"), None).unwrap();
        assert_eq!((request.from, request.to), (ReversePath::Null, ForwardPath::Postmaster));
        let request = read(query("<her@foreign.test>", " me@example.test "), None).unwrap();
        assert_eq!(request.from.mailbox().unwrap().to_string(), "her@foreign.test");
    }

    #[test]
    fn invalid_input_is_refused_with_its_reason() {
        for (query, want) in [
            (query("her", "me@example.test"), "`her` is not an address"),
            (query("her@foreign.test", ""), "is not an address"),
            (ExplainQuery { ip: Some("300.1.1.1".into()), ..query("", "me@example.test") }, "`300.1.1.1` is not an IP address"),
            (ExplainQuery { helo: Some("a\r\nb".into()), ..query("", "me@example.test") }, "is not a name that a client can send"),
        ] {
            let error = read(query, None).unwrap_err();
            assert!(error.status == StatusCode::BAD_REQUEST && error.error.contains(want), "{error:?}");
        }
    }
}
