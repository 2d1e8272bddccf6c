//! What becomes of a message as far as a filter is concerned.
//!
//! RFC 3463 s.3.8 (X.7.1). Invariant: a filter's words reach a client or a log as one line of printable ASCII, and not a long one.

use mail::Reply;

/// A filter's words are cut after so many characters.
const TEXT_MAX: usize = 160;

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// A person decides, for this reason. What a filter would throw away without a word is held too: nothing is lost that was acknowledged.
    Hold(String),
    /// It is refused for good.
    Reject(Reply),
    /// It is refused for now.
    Defer(Reply),
}

/// What a filter answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What becomes of the message.
    pub verdict: Verdict,
    /// The score, where the filter has one.
    pub score: Option<f64>,
}

/// The scores from which on something is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// From here on it is refused.
    pub reject: f64,
    /// From here on it is held.
    pub hold: f64,
}

impl Verdict {
    /// Refused for good; the filter's words, where it has any.
    pub(crate) fn rejected(words: Option<&str>) -> Self {
        Self::Reject(Reply::new(
            550,
            (5, 7, 1),
            words.map(one_line).filter(|w| !w.is_empty()).unwrap_or_else(|| "the message looks like spam".into()),
        ))
    }

    /// Refused for now; the filter's words, where it has any.
    pub(crate) fn deferred(words: Option<&str>) -> Self {
        let text = words.map(one_line).filter(|w| !w.is_empty());
        Self::Defer(Reply::new(451, (4, 7, 1), text.unwrap_or_else(|| "the message is put off by the spam filter; try again later".into())))
    }

    /// A reply that the filter chose, `550 5.7.1 text`: its class counts, and its words. `None` where it is no refusal.
    pub(crate) fn chosen(reply: &str) -> Option<Self> {
        let (code, text) = reply.split_at_checked(3)?;
        let code: u16 = code.parse().ok().filter(|_| code.bytes().all(|b| b.is_ascii_digit()))?;
        // The lines of a long reply repeat the code; the first says enough.
        let first = text.strip_prefix([' ', '-']).unwrap_or(text).lines().next().unwrap_or_default();
        let words = Reply::from_wire(code, first).text().to_owned();
        match code / 100 {
            4 => Some(Self::deferred(Some(&words))),
            5 => Some(Self::rejected(Some(&words))),
            _ => None,
        }
    }
}

/// One line of printable ASCII, not a long one.
pub(crate) fn one_line(text: &str) -> String {
    text.trim().chars().take(TEXT_MAX).map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_filter_are_one_short_line() {
        assert_eq!(one_line(" no\r\n250 ok \u{e9}\x1b[2J "), "no??250 ok ??[2J");
        assert_eq!(one_line(&"x".repeat(5000)).len(), TEXT_MAX);
        let Verdict::Reject(reply) = Verdict::rejected(Some("\r\n")) else { panic!() };
        assert_eq!(reply.to_string(), "550 5.7.1 the message looks like spam");
    }

    #[test]
    fn a_chosen_reply_keeps_its_class_and_its_words() {
        let shown = |reply: &str| match Verdict::chosen(reply) {
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
