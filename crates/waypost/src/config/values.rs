//! The kinds of values that options take.
//!
//! Invariant: an invalid value is refused by the parser, so that the error has its line.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use mail::{Domain, Mailbox};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A kind of value: its name, and how a value is written.
pub trait OptionKind {
    /// Returns the name of the kind, for the reference.
    fn kind() -> String;
    /// Returns the value as TOML; `None` if it is not set.
    fn text(&self) -> Option<String>;
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A type that an option takes as text.
pub trait TextOption: FromStr<Err: Display> + Display {
    /// Its name, with the article.
    const WHAT: &'static str;
    /// An example.
    const EXAMPLE: &'static str;
}

impl TextOption for Domain {
    const WHAT: &'static str = "a domain";
    const EXAMPLE: &'static str = "mx.example.com";
}

impl TextOption for Mailbox {
    const WHAT: &'static str = "an address";
    const EXAMPLE: &'static str = "me@example.com";
}

impl TextOption for SocketAddr {
    const WHAT: &'static str = "an address and port";
    const EXAMPLE: &'static str = "0.0.0.0:25 or [::]:25";
}

impl TextOption for IpAddr {
    const WHAT: &'static str = "an IP address";
    const EXAMPLE: &'static str = "192.0.2.1 or 2001:db8::1";
}

impl TextOption for net::IpRange {
    const WHAT: &'static str = "an IP address or a network";
    const EXAMPLE: &'static str = "10.0.0.1 or 10.1.0.0/16";
}

impl TextOption for spam_filter::Address {
    const WHAT: &'static str = "a filter's address";
    const EXAMPLE: &'static str = "127.0.0.1:11333 or unix:/run/milter.sock";
}

impl TextOption for policy::MaildirPlace {
    const WHAT: &'static str = "a path of maildirs";
    const EXAMPLE: &'static str = "/var/mail/{domain}/{user}";
}

impl TextOption for net::KeyPin {
    const WHAT: &'static str = "the SHA-256 of a public key";
    const EXAMPLE: &'static str = "8d02536c887482bc34ff54e41d2ba659bf85b341a0a20afadb5813dcfbcf286d";
}

impl TextOption for net::PostUrl {
    const WHAT: &'static str = "a URL";
    const EXAMPLE: &'static str = "https://ntfy.sh/a-name-that-no-one-guesses";
}

impl TextOption for policy::LocalRule {
    const WHAT: &'static str = "a user and a sender";
    const EXAMPLE: &'static str = "www-data=noreply@example.com";
}

/// A text that is parsed as a `T`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<'de, T: TextOption> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|e| D::Error::custom(format!("{text:?} is not {} such as {}: {e}", T::WHAT, T::EXAMPLE)))
    }
}

impl<T: TextOption> OptionKind for Text<T> {
    fn kind() -> String {
        T::WHAT.trim_start_matches("an ").trim_start_matches("a ").to_owned()
    }
    fn text(&self) -> Option<String> {
        Some(quoted(&self.0.to_string()))
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Int<const MIN: u64, const MAX: u64>(pub u64);

fn bounded<E: Error>(n: i64, min: u64, max: u64) -> Result<u64, E> {
    let refused = || E::custom(format!("{n} is not between {min} and {max}"));
    u64::try_from(n).ok().filter(|n| (min..=max).contains(n)).ok_or_else(refused)
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Int<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bounded(i64::deserialize(deserializer)?, MIN, MAX).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> OptionKind for Int<MIN, MAX> {
    fn kind() -> String {
        format!("number, {MIN} to {MAX}")
    }
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// A spam score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score(pub f64);

/// Maximum score.
const SCORE_MAX: f64 = 100_000.0;

struct ScoreVisitor;

impl Visitor<'_> for ScoreVisitor {
    type Value = f64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a score such as 6 or 7.5")
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<f64, E> {
        i32::try_from(n).map(f64::from).map_err(|_| E::custom(format!("{n} is not a score")))
    }
    fn visit_f64<E: Error>(self, n: f64) -> Result<f64, E> {
        Ok(n)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = deserializer.deserialize_any(ScoreVisitor)?;
        let refused = || D::Error::custom(format!("{n} is not a score greater than 0 and at most {SCORE_MAX}"));
        (n > 0.0 && n <= SCORE_MAX).then_some(Self(n)).ok_or_else(refused)
    }
}

impl OptionKind for Score {
    fn kind() -> String {
        "score".into()
    }
    fn text(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}

/// The units of a number.
struct WithUnit {
    units: &'static [(&'static str, u64)],
    what: &'static str,
}

impl WithUnit {
    fn parse(&self, text: &str) -> Option<u64> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at_checked(end)?;
        let unit = unit.trim();
        let factor = self.units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor)?;
        number.parse::<u64>().ok()?.checked_mul(factor)
    }
}

impl Visitor<'_> for WithUnit {
    type Value = u64;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
    fn visit_i64<E: Error>(self, n: i64) -> Result<u64, E> {
        u64::try_from(n).map_err(|_| E::custom(format!("{n} is negative")))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        self.parse(text).ok_or_else(|| E::custom(format!("{text:?} is not {}", self.what)))
    }
}

const SIZES: WithUnit = WithUnit {
    units: &[
        ("", 1),
        ("B", 1),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ],
    what: "a size such as \"50 MiB\" or a number of octets",
};

const SPANS: WithUnit = WithUnit {
    units: &[("", 1), ("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400), ("w", 604_800)],
    what: "a time such as \"5d\", \"4h\", \"30m\" or a number of seconds",
};

/// A size in octets: a number, or a text such as `50 MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

/// Minimum size limit, in octets (RFC 5321 s.4.5.3.1.7).
const MESSAGE_MIN_BYTES: u64 = 64 * 1024;

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = deserializer.deserialize_any(SIZES)?;
        let limit = 64 << 30;
        let refused = || D::Error::custom(format!("{n} octets is not between 64 KiB and 64 GiB"));
        (MESSAGE_MIN_BYTES..=limit).contains(&n).then_some(Self(n)).ok_or_else(refused)
    }
}

impl OptionKind for Size {
    fn kind() -> String {
        "size".into()
    }
    fn text(&self) -> Option<String> {
        const MIB: u64 = 1 << 20;
        Some(if self.0.is_multiple_of(MIB) { quoted(&format!("{} MiB", self.0 / MIB)) } else { self.0.to_string() })
    }
}

/// A time in seconds: a number, or a text such as `5d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Secs(pub u32);

impl<'de> Deserialize<'de> for Secs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let n = deserializer.deserialize_any(SPANS)?;
        u32::try_from(n).map(Self).map_err(|_| D::Error::custom(format!("{n} seconds is too long")))
    }
}

impl OptionKind for Secs {
    fn kind() -> String {
        "time".into()
    }
    fn text(&self) -> Option<String> {
        Some(match self.0 {
            n if n > 0 && n.is_multiple_of(86_400) => quoted(&format!("{}d", n / 86_400)),
            n if n > 0 && n.is_multiple_of(3600) => quoted(&format!("{}h", n / 3600)),
            n => n.to_string(),
        })
    }
}

impl OptionKind for bool {
    fn kind() -> String {
        "true or false".into()
    }
    fn text(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl OptionKind for String {
    fn kind() -> String {
        "text".into()
    }
    fn text(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl OptionKind for PathBuf {
    fn kind() -> String {
        "path".into()
    }
    fn text(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

impl<T: OptionKind> OptionKind for Option<T> {
    fn kind() -> String {
        T::kind()
    }
    fn text(&self) -> Option<String> {
        self.as_ref().and_then(OptionKind::text)
    }
}

impl<T: OptionKind> OptionKind for Spanned<T> {
    fn kind() -> String {
        T::kind()
    }
    fn text(&self) -> Option<String> {
        self.get_ref().text()
    }
}

impl<T: OptionKind> OptionKind for Vec<T> {
    fn kind() -> String {
        format!("list of: {}", T::kind())
    }
    fn text(&self) -> Option<String> {
        let items: Vec<String> = self.iter().filter_map(OptionKind::text).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_units() {
        for (text, want) in
            [("50 MiB", Some(52_428_800)), ("50MiB", Some(52_428_800)), ("100000", Some(100_000)), ("1 GB", Some(1_000_000_000))]
        {
            assert_eq!(SIZES.parse(text), want, "{text}");
        }
        for text in ["", "MiB", "-1", "5 x", "99999999999999999999", "18446744073709551615 GiB"] {
            assert_eq!(SIZES.parse(text), None, "{text}");
        }
        assert_eq!(SPANS.parse("5d"), Some(432_000));
        assert_eq!(SPANS.parse("90 min"), Some(5400));
        assert_eq!(Secs(432_000).text().as_deref(), Some("\"5d\""));
    }
}
