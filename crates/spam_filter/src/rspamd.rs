//! rspamd: the message in an HTTP request, the verdict in JSON.
//!
//! RFC 9112 (HTTP/1.1). One connection for each request. Invariant: the answer is bounded, and only an action or a score leads to a verdict.

use std::collections::BTreeMap;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::facts::Facts;
use crate::message::Message;
use crate::verdict::{Answer, Thresholds, Verdict, one_line};
use crate::{Address, FilterError};

/// Maximum answer, in octets.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// Maximum recipients sent to rspamd; it does not use more.
const RECIPIENTS_MAX: usize = 1000;

/// Maximum symbols in a reason.
const SYMBOLS_SHOWN: usize = 5;

/// Asks rspamd.
pub(crate) async fn check(address: &Address, thresholds: Thresholds, facts: &Facts<'_>, message: Message) -> Result<Answer, FilterError> {
    let (mut sender, connection) = handshake(TokioIo::new(address.connect().await?)).await?;
    // The connection ends with this function.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let response = sender.send_request(request(facts, message)).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_MAX_BYTES).collect().await;
    let body = body.map_err(|error| FilterError::Answer(one_line(&error.to_string())))?.to_bytes();
    read(status, &body, thresholds)
}

/// Checks that rspamd answers.
pub(crate) async fn probe(address: &Address) -> Result<(), FilterError> {
    let (mut sender, connection) = handshake(TokioIo::new(address.connect().await?)).await?;
    let mut task = JoinSet::new();
    task.spawn(connection);
    let mut request = Request::new(Empty::<bytes::Bytes>::new());
    *request.uri_mut() = hyper::Uri::from_static("/ping");
    request.headers_mut().insert(HOST, HeaderValue::from_static("rspamd"));
    let status = sender.send_request(request).await?.status();
    if status == StatusCode::OK { Ok(()) } else { Err(FilterError::Answer(status.to_string())) }
}

fn request(facts: &Facts<'_>, message: Message) -> Request<Message> {
    let mut request = Request::new(message);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = hyper::Uri::from_static("/checkv2");
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static("rspamd"));
    let mut add = |name, value: &str| add_header(headers, HeaderName::from_static(name), value);
    add("ip", &facts.client.to_string());
    add("helo", facts.hello);
    add("from", &facts.reverse_path.to_string());
    for recipient in facts.recipients.iter().take(RECIPIENTS_MAX) {
        add("rcpt", recipient);
    }
    add("queue-id", &facts.id.to_string());
    add("mta-name", facts.hostname.as_str());
    if let Some(name) = facts.client_name {
        add("hostname", name);
    }
    if let Some(login) = facts.login {
        add("user", login);
    }
    request
}

/// Adds a header field. A value that HTTP cannot carry is left out, which rspamd takes as "unknown".
fn add_header(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.append(name, value);
    }
}

/// The part of rspamd's answer that is used.
#[derive(Debug, Deserialize)]
struct RspamdReply {
    action: String,
    score: Option<f64>,
    #[serde(default)]
    symbols: BTreeMap<String, Symbol>,
    #[serde(default)]
    messages: Value,
}

#[derive(Debug, Deserialize)]
struct Symbol {
    #[serde(default)]
    score: f64,
}

/// Reads the answer.
fn read(status: StatusCode, body: &[u8], thresholds: Thresholds) -> Result<Answer, FilterError> {
    if status != StatusCode::OK {
        return Err(FilterError::Answer(format!("{status}: {}", one_line(&String::from_utf8_lossy(body)))));
    }
    let reply: RspamdReply = serde_json::from_slice(body).map_err(|error| FilterError::Answer(one_line(&error.to_string())))?;
    let score = reply.score.map(|score| (score * 100.0).round() / 100.0);
    Ok(Answer { verdict: verdict(&reply, score.unwrap_or_default(), thresholds), score })
}

/// "greylist" is only a score: to defer a message, rspamd says "soft reject". "add header" and "rewrite subject" are scores too, and subject to
/// `hold_score`.
fn verdict(reply: &RspamdReply, score: f64, thresholds: Thresholds) -> Verdict {
    let text = reply.messages.get("smtp_message").and_then(Value::as_str);
    match reply.action.as_str() {
        "reject" => Verdict::rejected(text),
        "soft reject" => Verdict::deferred(text),
        _ if score >= thresholds.reject => Verdict::rejected(None),
        "quarantine" | "discard" => Verdict::Hold(format!("rspamd says {}, spam score {score}{}", reply.action, symbols(reply))),
        _ if score >= thresholds.hold => Verdict::Hold(format!("spam score {score}{}", symbols(reply))),
        _ => Verdict::Pass,
    }
}

/// The symbols with the highest scores.
fn symbols(reply: &RspamdReply) -> String {
    let mut bad: Vec<_> = reply.symbols.iter().filter(|(_, symbol)| symbol.score > 0.0).collect();
    bad.sort_by(|(_, a), (_, b)| b.score.total_cmp(&a.score));
    let names: Vec<String> = bad.into_iter().take(SYMBOLS_SHOWN).map(|(name, _)| one_line(name)).collect();
    if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::sample;
    use mail::{Domain, ReversePath};

    const THRESHOLDS: Thresholds = Thresholds { reject: 15.0, hold: 6.0 };

    fn outcome(action: &str, score: &str) -> String {
        let body = format!(
            r#"{{"is_skipped": false, "score": {score}, "required_score": 15.0, "action": "{action}",
                "symbols": {{"LESS": {{"name": "LESS", "score": 1.5}}, "GOOD": {{"score": -3.0}}, "MORE": {{"score": 4}}}},
                "messages": {{"smtp_message": "No\r\nthank you"}}, "message-id": "x@y"}}"#
        );
        match read(StatusCode::OK, body.as_bytes(), THRESHOLDS).map(|answer| answer.verdict) {
            Ok(Verdict::Reject(reply) | Verdict::Defer(reply)) => reply.to_string(),
            Ok(Verdict::Hold(reason)) => reason,
            Ok(Verdict::Pass) => "pass".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn actions_and_scores_lead_to_verdicts() {
        assert_eq!(outcome("no action", "-1.2"), "pass");
        assert_eq!(outcome("greylist", "4.5"), "pass");
        assert_eq!(outcome("add header", "5.99"), "pass");
        assert_eq!(outcome("add header", "8.199999"), "spam score 8.2 (MORE, LESS)");
        assert_eq!(outcome("no action", "6"), "spam score 6 (MORE, LESS)");
        assert_eq!(outcome("no action", "15"), "550 5.7.1 the message looks like spam");
        assert_eq!(outcome("quarantine", "null"), "rspamd says quarantine, spam score 0 (MORE, LESS)");
        assert_eq!(outcome("reject", "2"), "550 5.7.1 No??thank you");
        assert_eq!(outcome("soft reject", "20"), "451 4.7.1 No??thank you");
    }

    #[test]
    fn an_invalid_answer_is_an_error() {
        for body in ["", "{}", "[]", "null", "{\"action\": 7}", "<html>", "{\"action\": \"reject\", \"symbols\": []}"] {
            assert!(read(StatusCode::OK, body.as_bytes(), THRESHOLDS).is_err(), "{body}");
        }
        let error = read(StatusCode::INTERNAL_SERVER_ERROR, b"{\"error\": \"no\x1b\"}", THRESHOLDS).unwrap_err().to_string();
        assert!(error.contains("500 Internal Server Error: {\"error\": \"no?\"}"), "{error}");
    }

    #[test]
    fn the_request_has_envelope_and_session() {
        let (hostname, null) = (Domain::parse("mx.example.test").unwrap(), ReversePath::Null);
        let mut facts = sample(&hostname, &null);
        facts.hello = "odd\nhello";
        facts.login = Some("me@example.test");
        let request = request(&facts, Message::whole(bytes::Bytes::from_static(b"x")));
        let all = |name: &str| request.headers().get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
        assert_eq!(all("rcpt"), ["<me@example.test>", "<you@example.test>"]);
        assert_eq!((all("from"), all("ip"), all("user")), (vec!["<>"], vec!["192.0.2.1"], vec!["me@example.test"]));
        assert!(all("helo").is_empty() && all("hostname").is_empty());
    }
}
