//! Idempotency-Key: a repeated POST gets the answer of the first, and changes nothing.
//!
//! draft-ietf-httpapi-idempotency-key-header. Invariants: an answer is repeated only to the actor that got it, for the same request; memory is bounded; a
//! request runs to its end although its client disconnects, so that the repetition finds its answer.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use net::Clock;
use parking_lot::Mutex;

use crate::actor::Actor;
use crate::error::ApiError;
use crate::server::BODY_MAX_BYTES;

/// The field of the request.
const FIELD: &str = "idempotency-key";

/// Maximum length of a key, in octets.
const KEY_MAX_BYTES: usize = 200;

/// How long an answer is kept, in milliseconds.
const KEPT_MS: i64 = 24 * 3_600_000;

/// Maximum number of answers.
const ANSWERS_MAX: usize = 10_000;

/// Maximum size of all answers, in octets.
const ALL_MAX_BYTES: usize = 8 * 1024 * 1024;

/// The actor's name and the key.
type AnswerKey = (String, String);

/// What is known of a key.
#[derive(Clone)]
struct KeptAnswer {
    /// The SHA-256 of the request.
    request: [u8; 32],
    at_ms: i64,
    /// `None` until the request has ended.
    answer: Option<(StatusCode, Option<HeaderValue>, Bytes)>,
}

/// The answers. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<AnswersState>>);

#[derive(Default)]
struct AnswersState {
    known: HashMap<AnswerKey, KeptAnswer>,
    /// The keys, the oldest first.
    order: VecDeque<AnswerKey>,
    size_bytes: usize,
}

impl AnswersState {
    fn remove(&mut self, key: &AnswerKey) {
        if let Some(gone) = self.known.remove(key) {
            self.size_bytes -= gone.answer.map_or(0, |(_, _, body)| body.len());
        }
    }

    /// Removes what has ended, and the oldest beyond the maxima.
    fn trim(&mut self, now_ms: i64) {
        while let Some(oldest) = self.order.front() {
            let has_ended = self.known.get(oldest).is_none_or(|kept| now_ms - kept.at_ms >= KEPT_MS);
            if !has_ended && self.order.len() <= ANSWERS_MAX && self.size_bytes <= ALL_MAX_BYTES {
                return;
            }
            if let Some(oldest) = self.order.pop_front() {
                self.remove(&oldest);
            }
        }
    }
}

impl Answers {
    /// Begins a request; returns what is known if it is a repetition.
    fn begin(&self, key: &AnswerKey, request: [u8; 32], now_ms: i64) -> Option<KeptAnswer> {
        let mut state = self.0.lock();
        state.trim(now_ms);
        if let Some(kept) = state.known.get(key) {
            return Some(kept.clone());
        }
        state.known.insert(key.clone(), KeptAnswer { request, at_ms: now_ms, answer: None });
        state.order.push_back(key.clone());
        None
    }

    /// Keeps the answer of a request; forgets the key if the server failed, so that the client can try again.
    fn end(&self, key: &AnswerKey, answer: Option<(StatusCode, Option<HeaderValue>, Bytes)>, now_ms: i64) {
        let mut state = self.0.lock();
        match answer {
            Some(answer) => {
                let size = answer.2.len();
                if let Some(kept) = state.known.get_mut(key) {
                    kept.answer = Some(answer);
                    state.size_bytes += size;
                }
            }
            None => {
                state.remove(key);
                state.order.retain(|other| other != key);
            }
        }
        state.trim(now_ms);
    }
}

/// The answers and the time: an extension of each request.
#[derive(Clone)]
pub(crate) struct Idempotency {
    pub answers: Answers,
    pub clock: Clock,
}

/// Answers a repeated POST with the first answer.
pub(crate) async fn replay(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match replayed(parts, body, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn replayed(parts: Parts, body: Body, next: Next) -> Result<Response, ApiError> {
    let (actor, memory) = (parts.extensions.get::<Actor>(), parts.extensions.get::<Idempotency>().cloned());
    let (Some(field), Some(actor), Some(memory)) = (parts.headers.get(FIELD), actor, memory) else {
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let text = field.to_str().ok().filter(|text| (1..=KEY_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()));
    let text = text.ok_or_else(|| ApiError::bad(format!("Idempotency-Key must have 1 to {KEY_MAX_BYTES} visible characters")))?;
    let key = (actor.name.clone(), text.to_owned());
    let body = to_bytes(body, BODY_MAX_BYTES).await.map_err(|_| ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"))?;
    let digest = net::sha256(&[parts.uri.to_string().as_bytes(), &body]);
    match memory.answers.begin(&key, digest, memory.clock.now_ms()) {
        Some(kept) if kept.request != digest => {
            Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "this Idempotency-Key was used for another request").hint("use a new key"))
        }
        Some(KeptAnswer { answer: Some((status, kind, body)), .. }) => Ok(response(status, kind, body)),
        Some(_) => Err(ApiError::conflict("the first request with this Idempotency-Key is in progress").hint("try again in a moment")),
        None => {
            let request = Request::from_parts(parts, Body::from(body));
            // A task of its own: it does not end with the connection.
            let task = tokio::spawn(async move { run(request, next, memory, key).await });
            task.await.map_err(|_| ApiError::internal("the request failed because of a bug; please report it"))?
        }
    }
}

async fn run(request: Request, next: Next, memory: Idempotency, key: AnswerKey) -> Result<Response, ApiError> {
    let unfinished = Unfinished(Some((memory.clone(), key.clone())));
    let (head, body) = next.run(request).await.into_parts();
    let body = to_bytes(body, BODY_MAX_BYTES).await.map_err(|_| ApiError::internal("the answer is too large"))?;
    let kind = head.headers.get(CONTENT_TYPE).cloned();
    let answer = (!head.status.is_server_error()).then(|| (head.status, kind, body.clone()));
    unfinished.finish();
    memory.answers.end(&key, answer, memory.clock.now_ms());
    Ok(Response::from_parts(head, Body::from(body)))
}

/// Forgets the key of a request that panics.
struct Unfinished(Option<(Idempotency, AnswerKey)>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some((memory, key)) = self.0.take() {
            memory.answers.end(&key, None, memory.clock.now_ms());
        }
    }
}

fn response(status: StatusCode, kind: Option<HeaderValue>, body: Bytes) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    kind.and_then(|kind| headers.insert(CONTENT_TYPE, kind));
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> AnswerKey {
        ("operator".into(), n.to_string())
    }

    fn answer(size: usize) -> Option<(StatusCode, Option<HeaderValue>, Bytes)> {
        Some((StatusCode::OK, None, vec![0; size].into()))
    }

    #[test]
    fn memory_is_bounded_by_number_size_and_time() {
        let answers = Answers::default();
        for n in 0..ANSWERS_MAX + 5 {
            assert!(answers.begin(&key(n), [0; 32], 0).is_none());
            answers.end(&key(n), answer(10), 0);
        }
        let counts = |answers: &Answers| {
            let state = answers.0.lock();
            (state.known.len(), state.order.len(), state.size_bytes)
        };
        assert_eq!(counts(&answers), (ANSWERS_MAX, ANSWERS_MAX, ANSWERS_MAX * 10));
        assert!(answers.begin(&key(0), [0; 32], KEPT_MS - 1).is_none() && answers.begin(&key(9), [0; 32], KEPT_MS - 1).is_some());
        assert!(answers.begin(&key(9), [0; 32], KEPT_MS).is_none(), "it has ended");
        let large = Answers::default();
        for n in 0..10 {
            large.begin(&key(n), [0; 32], 0);
            large.end(&key(n), answer(ALL_MAX_BYTES / 4), 0);
        }
        assert_eq!(counts(&large), (4, 4, ALL_MAX_BYTES));
    }

    #[test]
    fn a_failure_of_the_server_is_not_kept() {
        let answers = Answers::default();
        answers.begin(&key(1), [0; 32], 0);
        assert!(answers.begin(&key(1), [0; 32], 0).is_some(), "in progress");
        answers.end(&key(1), None, 0);
        assert!(answers.begin(&key(1), [0; 32], 0).is_none());
    }
}
