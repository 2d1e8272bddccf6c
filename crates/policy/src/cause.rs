//! The cause of a refusal, by its code: one closed list, for metrics, history and page.
//!
//! RFC 5321 s.4.2.1, RFC 3463 s.3, RFC 7372 s.3. Invariant: every reply has a cause, and no cause contains text of a reply.

use mail::{EnhancedCode, Reply};

/// Defines the causes: variant, name, meaning.
macro_rules! causes {
    ($($variant:ident $name:literal $meaning:literal;)+) => {
        /// The cause of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Cause {
            $(#[doc = $meaning] $variant,)+
        }

        impl Cause {
            /// All causes, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The names of all causes, in the same order.
            pub const NAMES: &[&'static str] = &[$($name),+];

            /// Returns its name: a label of metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns its meaning.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

causes! {
    UnknownAddress "unknown-address" "The recipient's address or domain does not exist.";
    AddressDisabled "address-disabled" "The recipient's address is disabled or accepts no mail at the moment.";
    MailboxFull "mailbox-full" "The mailbox is full.";
    Sender "sender" "The sender's address is invalid, or the client may not use it.";
    InvalidAddress "invalid-address" "The recipient's address is not valid, or needs SMTPUTF8.";
    TooLarge "too-large" "The message is too large.";
    NoRoom "no-room" "The server's disk or memory is full.";
    Server "server" "The server is down, is stopping, or has a fault.";
    Network "network" "The network or the route fails: no answer, no connection.";
    Dns "dns" "DNS does not answer.";
    Expired "expired" "The message was not accepted in time.";
    Loop "loop" "The message runs in a loop.";
    TooManyRecipients "too-many-recipients" "The transaction has too many recipients.";
    Protocol "protocol" "The client violates the protocol.";
    Content "content" "The content is not well-formed.";
    NotNow "not-now" "Refused for now by policy: rate limit, greylisting, or a check that could not be made.";
    Login "login" "The login is missing or wrong.";
    Tls "tls" "TLS is required, and is missing or not verified.";
    Authentication "authentication" "SPF, DKIM, DMARC, ARC or the PTR record fails.";
    Policy "policy" "Refused by policy: relaying, spam, or what the host does not accept.";
    Other "other" "None of these.";
}

impl Cause {
    /// Returns the cause of a reply.
    pub fn of(reply: &Reply) -> Self {
        Self::of_codes(reply.code, reply.enhanced)
    }

    /// Returns the cause of a reply as logs write it: `550 5.1.1 no such user`.
    pub fn of_text(text: &str) -> Self {
        let mut words = text.split(' ');
        let code = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        Self::of_codes(code, words.next().and_then(EnhancedCode::parse))
    }

    /// Returns the cause by the codes alone.
    pub fn of_codes(code: u16, enhanced: Option<EnhancedCode>) -> Self {
        let Some(EnhancedCode(class, subject, detail)) = enhanced else { return Self::of_code(code) };
        match (subject, detail) {
            (1, 3..=5) | (6, 7 | 9) => Self::InvalidAddress,
            (1, 7..=9) => Self::Sender,
            (1, _) => Self::UnknownAddress,
            (2, 2) => Self::MailboxFull,
            (2 | 3, 3) | (3, 4) => Self::TooLarge,
            (2, _) => Self::AddressDisabled,
            (3, 1) => Self::NoRoom,
            (3, _) => Self::Server,
            (4, 3) => Self::Dns,
            (4, 6) => Self::Loop,
            (4, 7) => Self::Expired,
            (4, _) => Self::Network,
            (5, 3) => Self::TooManyRecipients,
            (5, _) => Self::Protocol,
            (6, _) => Self::Content,
            (7, 8 | 9 | 13) => Self::Login,
            (7, 10 | 11 | 30) => Self::Tls,
            (7, 20..=29) => Self::Authentication,
            (7, 0) if matches!(code, 530 | 535) => Self::Login,
            (7, _) if class == 4 => Self::NotNow,
            (7, _) => Self::Policy,
            _ => Self::Other,
        }
    }

    /// RFC 5321 s.4.2.3: what the code alone says.
    fn of_code(code: u16) -> Self {
        match code {
            421 => Self::Server,
            452 => Self::NoRoom,
            500..=504 | 555 => Self::Protocol,
            454 | 530 | 534 | 535 | 538 => Self::Login,
            552 => Self::TooLarge,
            553 => Self::InvalidAddress,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_their_causes() {
        for (text, cause) in [
            ("550 5.1.1 no such address here", Cause::UnknownAddress),
            ("550 5.2.1 this address is disabled", Cause::AddressDisabled),
            ("452 4.2.2 over quota", Cause::MailboxFull),
            ("550 5.7.1 relaying denied", Cause::Policy),
            ("550 5.7.26 DMARC", Cause::Authentication),
            ("451 4.7.1 greylisted", Cause::NotNow),
            ("535 5.7.8 authentication failed", Cause::Login),
            ("530 5.7.0 authentication required", Cause::Login),
            ("452 4.3.1 the server's disk is full", Cause::NoRoom),
            ("552 5.3.4 message exceeds the maximum size", Cause::TooLarge),
            ("554 5.4.6 mail loop", Cause::Loop),
            ("553 5.6.7 address requires SMTPUTF8", Cause::InvalidAddress),
            ("421 busy", Cause::Server),
            ("550 no", Cause::Other),
            ("", Cause::Other),
            ("250x 5.1.1", Cause::UnknownAddress),
        ] {
            assert_eq!(Cause::of_text(text), cause, "{text}");
        }
        assert_eq!(Cause::of(&Reply::new(550, (5, 1, 1), "no")), Cause::UnknownAddress);
    }

    #[test]
    fn names_are_unique_and_in_order() {
        for (n, cause) in Cause::ALL.iter().enumerate() {
            assert_eq!(Cause::NAMES[n], cause.name());
            assert!(Cause::ALL[n + 1..].iter().all(|other| other.name() != cause.name()));
            assert!(cause.meaning().ends_with('.'));
        }
    }
}
