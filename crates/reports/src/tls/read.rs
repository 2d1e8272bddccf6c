//! Reads TLS reports of others.
//!
//! RFC 8460 s.4.4. Invariant: memory is bounded: a report by [`REPORT_MAX_BYTES`], and lists and texts in it are truncated. A member that is missing or of
//! another type is empty; only a document that is not a report is refused.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{PolicyResult, TlsReport};

/// Maximum size of an unpacked report, in octets.
pub const REPORT_MAX_BYTES: usize = 8 << 20;

/// Maximum elements of a list that are kept.
const LIST_MAX: usize = 1000;

/// Maximum characters of a text that are kept.
const TEXT_MAX: usize = 1000;

/// Why a document is not a TLS report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsReadError {
    /// Too large.
    #[error("the report has {0} octets; the maximum is {REPORT_MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON, or not a report.
    #[error("not a TLS report: {0}")]
    Json(String),
    /// Invalid date.
    #[error("invalid date-range {0:?}")]
    Date(String),
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "organization-name", default, deserialize_with = "text")]
    organization: String,
    #[serde(rename = "date-range")]
    range: Range,
    #[serde(rename = "contact-info", default, deserialize_with = "text")]
    contact: String,
    #[serde(rename = "report-id", default, deserialize_with = "text")]
    id: String,
    #[serde(deserialize_with = "bounded")]
    policies: Vec<PolicyResult>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "start-datetime", deserialize_with = "text")]
    begin: String,
    #[serde(rename = "end-datetime", deserialize_with = "text")]
    end: String,
}

/// Reads a report.
pub fn from_json(bytes: &[u8]) -> Result<TlsReport, TlsReadError> {
    if bytes.len() > REPORT_MAX_BYTES {
        return Err(TlsReadError::TooLarge(bytes.len()));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let document: Document = serde_json::from_slice(bytes).map_err(|error| TlsReadError::Json(error.to_string()))?;
    Ok(TlsReport {
        organization: document.organization,
        begin_unix_s: unix_s(&document.range.begin)?,
        end_unix_s: unix_s(&document.range.end)?,
        contact: document.contact,
        id: document.id,
        policies: document.policies,
    })
}

fn unix_s(text: &str) -> Result<i64, TlsReadError> {
    // Some reporters leave the offset out; it is UTC then.
    let date = OffsetDateTime::parse(text, &Rfc3339).or_else(|_| OffsetDateTime::parse(&format!("{text}Z"), &Rfc3339));
    date.map(OffsetDateTime::unix_timestamp).map_err(|_| TlsReadError::Date(text.to_owned()))
}

/// A text, truncated; empty for any other type.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    deserializer.deserialize_any(Tolerant).map(|found| found.texts.into_iter().next().unwrap_or_default())
}

/// A list of texts; a single text is a list of one.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(Tolerant).map(|found| found.texts)
}

/// A number, also as a string; 0 for any other type.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(Tolerant).map(|found| found.number.unwrap_or(0))
}

/// A list, truncated to [`LIST_MAX`].
pub(super) fn bounded<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct First<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for First<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_unit<E>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() < LIST_MAX {
                let Some(one) = list.next_element()? else { return Ok(kept) };
                kept.push(one);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_any(First(PhantomData))
}

/// Any JSON value: its texts, or its number.
#[derive(Default)]
struct Anything {
    texts: Vec<String>,
    number: Option<u64>,
}

#[derive(Clone, Copy)]
struct Tolerant;

impl<'de> DeserializeSeed<'de> for Tolerant {
    type Value = Anything;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Anything, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tolerant {
    type Value = Anything;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<Anything, E> {
        Ok(Anything { texts: vec![text.chars().take(TEXT_MAX).collect()], number: text.trim().parse().ok() })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Anything, E> {
        Ok(Anything { texts: vec![number.to_string()], number: Some(number) })
    }

    fn visit_i64<E>(self, _: i64) -> Result<Anything, E> {
        Ok(Anything::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Anything, E> {
        Ok(Anything::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Anything, E> {
        Ok(Anything::default())
    }

    fn visit_unit<E>(self) -> Result<Anything, E> {
        Ok(Anything::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Anything, A::Error> {
        let mut texts = Vec::new();
        while texts.len() < LIST_MAX {
            let Some(one) = list.next_element_seed(Tolerant)? else { return Ok(Anything { texts, number: None }) };
            texts.extend(one.texts.into_iter().next());
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Anything { texts, number: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Anything, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Err(A::Error::custom("an object where a text or number should be"))
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
