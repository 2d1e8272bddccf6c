//! Extractors for requests, whose rejections are errors of the API ([`ApiError`]).

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use directory::invisible_in;
use serde::de::DeserializeOwned;
use std::str::FromStr;

use crate::error::ApiError;

/// A JSON body.
pub(crate) struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let read: Result<Json<T>, JsonRejection> = Json::from_request(request, state).await;
        read.map(|Json(value)| Self(value)).map_err(|e| ApiError::new(e.status(), e.body_text()))
    }
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
