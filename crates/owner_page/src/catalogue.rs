//! The texts of the page in every language: Fluent messages, one file a screen in assets/text.
//!
//! Invariants, by the tests: every language has the same keys, every key in the code exists, every key is used.

use std::borrow::Cow;
use std::fmt;
use std::sync::OnceLock;

pub(crate) use fluent_bundle::FluentValue as Value;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use maud::{Markup, PreEscaped, Render};

use crate::components::visible;
use crate::language::Language;

/// Lists the files of texts: each in every language.
macro_rules! texts {
    ($($name:literal),+ $(,)?) => {
        const ENGLISH: &[&str] = &[$(include_str!(concat!("../assets/text/en/", $name, ".ftl"))),+];
        const CHINESE: &[&str] = &[$(include_str!(concat!("../assets/text/zh-CN/", $name, ".ftl"))),+];
    };
}

texts! {
    "entrance",
    "frame",
    "events",
    "mail",
    "message",
    "today",
    "held",
    "queue",
    "aliases",
    "checks",
    "people",
    "reports",
    "server",
    "setup",
    "welcome",
}

/// Maximum length of a string among the values of a text, in characters.
const STRING_CHARS: usize = 400;

/// Around the number of a part of [`Text::rich`].
const PART: (char, char) = ('\u{e000}', '\u{e001}');

type Bundle = FluentBundle<FluentResource>;

/// The texts in one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text(pub Language);

impl Text {
    /// Returns a text. An unknown key is returned as it is.
    pub(crate) fn say(self, key: &str) -> Cow<'static, str> {
        self.format(key, None)
    }

    /// Whether there is a text of this key.
    pub(crate) fn has(self, key: &str) -> bool {
        bundle(self.0).has_message(key)
    }

    /// Returns a text with values: numbers are grouped; strings are cut, cleaned and isolated (UAX #9 s.2.4), since they may come from mail.
    pub(crate) fn with<const N: usize>(self, key: &str, values: [(&'static str, Value<'_>); N]) -> String {
        self.plain(key, values.map(|(name, value)| (name, isolated(value))))
    }

    /// Returns a text with values of our own, such as a span of time.
    pub(crate) fn plain<const N: usize>(self, key: &str, values: [(&'static str, Value<'_>); N]) -> String {
        let args: FluentArgs<'_> = values.into_iter().collect();
        self.format(key, Some(&args)).into_owned()
    }

    /// Returns a text with elements, such as links and addresses, in the place of some of its values.
    pub(crate) fn rich<const N: usize, const M: usize>(
        self,
        key: &str,
        parts: [(&'static str, Markup); N],
        values: [(&'static str, Value<'_>); M],
    ) -> Markup {
        let mut args: FluentArgs<'_> = values.map(|(name, value)| (name, isolated(value))).into_iter().collect();
        for (n, (name, _)) in parts.iter().enumerate() {
            args.set(*name, format!("{}{n}{}", PART.0, PART.1));
        }
        let text = self.format(key, Some(&args));
        let mut out = String::new();
        for (n, piece) in text.split(PART.0).enumerate() {
            let (number, rest) = if n == 0 { ("", piece) } else { piece.split_once(PART.1).unwrap_or(("", piece)) };
            if let Some((_, part)) = number.parse().ok().and_then(|n: usize| parts.get(n)) {
                part.render_to(&mut out);
            }
            rest.render_to(&mut out);
        }
        PreEscaped(out)
    }

    fn format(self, key: &str, args: Option<&FluentArgs<'_>>) -> Cow<'static, str> {
        let bundle = bundle(self.0);
        let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
            return Cow::Owned(key.to_owned());
        };
        let mut errors = Vec::new();
        let text = bundle.format_pattern(pattern, args, &mut errors);
        if !errors.is_empty() {
            tracing::warn!(key, ?errors, "a text of the page lacks a value");
        }
        Cow::Owned(text.into_owned())
    }
}

/// Between the marks of an isolate: first strong isolate, pop directional isolate.
fn isolated(value: Value<'_>) -> Value<'static> {
    match value {
        Value::String(text) => Value::from(format!("\u{2068}{}\u{2069}", visible(&text, STRING_CHARS))),
        other => other.into_owned(),
    }
}

fn bundle(language: Language) -> &'static Bundle {
    static BUNDLES: OnceLock<[Bundle; 2]> = OnceLock::new();
    let [english, chinese] = BUNDLES.get_or_init(|| [read(Language::English, ENGLISH), read(Language::Chinese, CHINESE)]);
    match language {
        Language::English => english,
        Language::Chinese => chinese,
    }
}

fn read(language: Language, files: &[&str]) -> Bundle {
    let mut bundle = Bundle::new_concurrent(language.tag().parse().into_iter().collect());
    bundle.set_use_isolating(false);
    bundle.set_formatter(Some(|value, _| match value {
        Value::Number(number) if number.value.fract() == 0.0 && number.value.abs() < 1e15 => Some(grouped(number.value as i64)),
        _ => None,
    }));
    for file in files {
        // A file with an error still gives its other messages; the tests refuse it.
        let resource = FluentResource::try_new((*file).to_owned()).unwrap_or_else(|(resource, errors)| {
            tracing::error!(?errors, "a text of the page cannot be read");
            resource
        });
        if let Err(errors) = bundle.add_resource(resource) {
            tracing::error!(?errors, "a text of the page occurs twice");
        }
    }
    bundle
}

/// Returns a number with a comma between groups of three digits, as both languages write it.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.tag())
    }
}

#[cfg(test)]
#[path = "catalogue_tests.rs"]
mod tests;
