//! The cookies of the entrance.
//!
//! RFC 6265. Invariant: a cookie of these names can only have been set by this host over TLS.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use cookie::Cookie;

/// The cookie of a session.
pub(super) const SESSION: &str = "__Host-waypost";

/// The cookie of a login that waits for its second step.
pub(super) const CODE: &str = "__Host-waypost-code";

/// Returns the value of a cookie.
pub(super) fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(COOKIE).into_iter().filter_map(|field| field.to_str().ok());
    let mut cookies = fields.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find_map(|cookie| (cookie.name() == name).then(|| cookie.value().to_owned()))
}
