//! The envelope: sender and recipients of a message, and their SMTP parameters.
//!
//! RFC 5321 s.2.3.1, RFC 3461 s.4 (DSN), RFC 6152 (8BITMIME), RFC 6531 s.3.4 (SMTPUTF8), RFC 1870 (SIZE).

use crate::path::ForwardPath;

/// The declared encoding of the content (RFC 6152, RFC 3030).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Body {
    /// Not specified, or `BODY=7BIT`.
    #[default]
    SevenBit,
    /// `BODY=8BITMIME`.
    EightBit,
}

/// How much of the message a DSN returns (RFC 3461 s.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ret {
    /// All of it.
    Full,
    /// Its header section.
    Headers,
}

/// When the sender wants a DSN about a recipient (RFC 3461 s.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// `NOTIFY=NEVER`.
    pub never: bool,
    /// `SUCCESS` is listed.
    pub success: bool,
    /// `FAILURE` is listed.
    pub failure: bool,
    /// `DELAY` is listed.
    pub delay: bool,
}

impl Notify {
    /// Reads the value of NOTIFY: `NEVER`, or a list of `SUCCESS`, `FAILURE`, `DELAY`.
    pub fn parse(value: &str) -> Option<Self> {
        let mut notify = Self::default();
        if value.eq_ignore_ascii_case("NEVER") {
            notify.never = true;
            return Some(notify);
        }
        for word in value.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }

    /// The value on the wire; `None` if not specified.
    pub fn to_parameter(self) -> Option<String> {
        if self.never {
            return Some("NEVER".into());
        }
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let named: Vec<&str> = words.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
        (!named.is_empty()).then(|| named.join(","))
    }

    /// Whether a failure is reported. Default: yes (RFC 3461 s.5.2.1).
    pub fn wants_failure(self) -> bool {
        !self.never && (self.failure || !(self.success || self.delay))
    }

    /// Whether a delay is reported; if not specified, `default`.
    pub fn wants_delay(self, default: bool) -> bool {
        !self.never && (self.delay || (default && !self.success && !self.failure))
    }
}

/// ORCPT: the original recipient, decoded (RFC 3461 s.4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginalRecipient {
    /// `rfc822` or `utf-8`, lower case.
    pub kind: String,
    /// The address, decoded from xtext.
    pub address: String,
}

/// The parameters of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// `SIZE=`: the size that the client declares, in octets.
    pub size_bytes: Option<u64>,
    /// `BODY=`.
    pub body: Body,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `RET=`.
    pub ret: Option<Ret>,
    /// `ENVID=`, decoded.
    pub envid: Option<String>,
    /// `REQUIRETLS` (RFC 8689): the message is sent over verified TLS only.
    pub requiretls: bool,
}

/// One recipient of an envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path.
    pub forward_path: ForwardPath,
    /// `NOTIFY=`.
    pub notify: Notify,
    /// `ORCPT=`.
    pub orcpt: Option<OriginalRecipient>,
}

impl Recipient {
    /// A recipient without parameters.
    pub fn new(forward_path: ForwardPath) -> Self {
        Self { forward_path, notify: Notify::default(), orcpt: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_selects_the_dsns() {
        assert!(Notify::default().wants_failure());
        assert!(!Notify::parse("NEVER").unwrap().wants_failure());
        assert!(!Notify::parse("SUCCESS").unwrap().wants_failure());
        assert!(Notify::parse("success,FAILURE").unwrap().wants_failure());
        assert!(Notify::parse("DELAY").unwrap().wants_delay(false));
        assert!(Notify::default().wants_delay(true));
        assert_eq!(Notify::parse("NEVER,SUCCESS"), None);
        assert_eq!(Notify::parse(""), None);
        assert_eq!(Notify::parse("delay,success").unwrap().to_parameter().as_deref(), Some("SUCCESS,DELAY"));
    }
}
