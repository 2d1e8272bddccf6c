//! A filter's verdict on a message.
//!
//! RFC 3463 s.3.8 (X.7.1). Invariant: a filter's text reaches a client or a log as one short line of printable ASCII.

use mail::Reply;

/// Maximum length of a filter's text, in characters.
const TEXT_MAX: usize = 160;

/// A verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Accept.
    Pass,
    /// Hold for the operator, for this reason. A discard is held too: no acknowledged mail is lost.
    Hold(String),
    /// Refuse permanently.
    Reject(Reply),
    /// Refuse temporarily.
    Defer(Reply),
}

/// A filter's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The score, if the filter gives one.
    pub score: Option<f64>,
}

/// Score thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Refuse from this score.
    pub reject: f64,
    /// Hold from this score.
    pub hold: f64,
}

impl Verdict {
    /// Refuses permanently, with the filter's text if it has any.
    pub(crate) fn rejected(text: Option<&str>) -> Self {
        Self::Reject(Reply::new(
            550,
            (5, 7, 1),
            text.map(one_line).filter(|w| !w.is_empty()).unwrap_or_else(|| "the message looks like spam".into()),
        ))
    }

    /// Refuses temporarily, with the filter's text if it has any.
    pub(crate) fn deferred(text: Option<&str>) -> Self {
        let text = text.map(one_line).filter(|w| !w.is_empty());
        Self::Defer(Reply::new(451, (4, 7, 1), text.unwrap_or_else(|| "the spam filter defers the message; try again later".into())))
    }

    /// Reads a reply chosen by the filter, `550 5.7.1 text`: its class and text count. `None` if it is not a refusal.
    pub(crate) fn from_reply(reply: &str) -> Option<Self> {
        let (code, text) = reply.split_at_checked(3)?;
        let code: u16 = code.parse().ok().filter(|_| code.bytes().all(|b| b.is_ascii_digit()))?;
        // Each line of a multiline reply repeats the code; the first is enough.
        let first = text.strip_prefix([' ', '-']).unwrap_or(text).lines().next().unwrap_or_default();
        let text = Reply::from_wire(code, first).text().to_owned();
        match code / 100 {
            4 => Some(Self::deferred(Some(&text))),
            5 => Some(Self::rejected(Some(&text))),
            _ => None,
        }
    }
}

/// One short line of printable ASCII.
pub(crate) fn one_line(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filter_text_becomes_one_short_line() {
        assert_eq!(one_line(" no\r\n250 ok \u{e9}\x1b[2J "), "no??250 ok ??[2J");
        assert_eq!(one_line(&"x".repeat(5000)).len(), TEXT_MAX);
        let Verdict::Reject(reply) = Verdict::rejected(Some("\r\n")) else { panic!() };
        assert_eq!(reply.to_string(), "550 5.7.1 the message looks like spam");
    }

    #[test]
    fn a_filters_reply_keeps_its_class_and_text() {
        let shown = |reply: &str| match Verdict::from_reply(reply) {
            Some(Verdict::Reject(reply) | Verdict::Defer(reply)) => reply.to_string(),
            other => format!("{other:?}"),
        };
        assert_eq!(shown("554 5.6.0 not so"), "550 5.7.1 not so");
        assert_eq!(shown("421 4.7.0 later\r\n250 ok"), "451 4.7.1 later");
        assert_eq!(shown("550-5.7.1 first\r\n550 5.7.1 second"), "550 5.7.1 first");
        for odd in ["", "55", "250 fine", "5\u{e9}0 x", "+50 x", "999 x"] {
            assert_eq!(shown(odd), "None", "{odd}");
        }
    }
}
