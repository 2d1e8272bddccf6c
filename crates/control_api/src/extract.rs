//! Extractors for requests, whose rejections are errors of the API ([`ApiError`]).

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use directory::invisible_in;
use serde::de::DeserializeOwned;
use std::str::FromStr;

use crate::error::ApiError;

/// Maximum nesting of a JSON body; serde_json reads no more, but may find another fault first.
const DEPTH_MAX: usize = 128;

/// A JSON body.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
        let bytes = bytes.map_err(|e| ApiError::new(e.status(), e.body_text()))?;
        if depth(&bytes) > DEPTH_MAX {
            return Err(ApiError::bad(format!("the body is nested deeper than {DEPTH_MAX} levels")));
        }
        let request = Request::from_parts(parts, bytes.into());
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(value)| Self(value)).map_err(|e| ApiError::new(e.status(), e.body_text()))
    }
}

/// Returns the depth of brackets in a JSON text, whatever is in them.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The query of the URL.
pub(crate) struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value)).map_err(|e| ApiError::new(e.status(), e.body_text()))
    }
}

/// Parses a name that will be stored. Refuses invisible characters, since such a name could not be found again.
pub(crate) fn parsed_name<T: FromStr>(what: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    match invisible_in(text.trim()) {
        Some(c) => Err(ApiError::bad(unseen(text, c)).hint("type it instead of pasting it")),
        None => parsed(what, text),
    }
}

/// Describes the invisible character in a name.
pub(crate) fn unseen(text: &str, c: char) -> String {
    format!("`{}` contains an invisible character: U+{:04X}", text.escape_debug(), u32::from(c))
}

/// Parses a text that an operator has typed.
pub(crate) fn parsed<T: FromStr>(what: &str, text: &str) -> Result<T, ApiError>
where
    T::Err: std::fmt::Display,
{
    text.trim().parse().map_err(|e| ApiError::bad(format!("`{text}` is not {what}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_are_no_depth() {
        for (json, wanted) in [("{}", 1), (r#"{"a":[1,[2]],"b":{}}"#, 3), (r#"{"a":"[[[\"[{"}"#, 1), ("]]][", 1)] {
            assert_eq!(depth(json.as_bytes()), wanted, "{json}");
        }
    }
}
