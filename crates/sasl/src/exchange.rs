//! One exchange of any mechanism, without the base64 encoding.
//!
//! RFC 4422 s.3 and s.4. Invariant: every mechanism is driven from here, and no step follows a refusal or the end.

use std::fmt;

use crate::bearer::Bearer;
use crate::cram::CramMd5;
use crate::digest::DigestMd5;
use crate::external::External;
use crate::mechanism::Mechanism;
use crate::ntlm::Ntlm;
use crate::plain::{Login, Plain};
use crate::scram::Scram;
use crate::scram_keys::ScramHash;
use crate::step::{Found, Step};

/// Maximum length of a response, in octets: access tokens are long.
const MAX_RESPONSE_BYTES: usize = 12_288;

/// The input of an exchange at its start.
#[derive(Clone)]
pub struct Context {
    /// The host name of this server.
    pub hostname: String,
    /// A random nonce, new for each exchange.
    pub nonce: [u8; 24],
    /// The channel bindings; empty without TLS.
    pub bindings: Vec<Binding>,
    /// The secret key that derives the salts of unknown users; it does not change.
    pub pepper: [u8; 32],
    /// Whether a -PLUS mechanism was offered. A client that supports one and did not see the offer is the victim of a
    /// man in the middle (RFC 5802 s.6).
    pub offers_plus: bool,
}

/// A channel binding.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// The type.
    pub kind: BindingKind,
    /// The value.
    pub data: Vec<u8>,
}

/// The types of channel bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingKind {
    /// `tls-exporter` (RFC 9266).
    Exporter,
    /// `tls-server-end-point` (RFC 5929 s.4).
    ServerEndPoint,
}

impl BindingKind {
    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exporter => "tls-exporter",
            Self::ServerEndPoint => "tls-server-end-point",
        }
    }
}

/// The state of a mechanism. `None` refuses.
pub(crate) trait MechanismState: Send + Sync {
    /// The first challenge, if the client sent no initial response.
    fn opening(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Whether the server sends first, so that an initial response is an error.
    fn speaks_first(&self) -> bool {
        false
    }

    fn respond(&mut self, response: &[u8]) -> Option<Step>;

    fn found(&mut self, _found: Found) -> Option<Step> {
        None
    }

    fn token_checked(&mut self, _login: Option<String>) -> Option<Step> {
        None
    }
}

/// One exchange.
pub struct Exchange {
    mechanism: Mechanism,
    /// `None` after the end of the exchange.
    state: Option<Box<dyn MechanismState>>,
    /// The expected input; any other input is refused.
    awaits: Awaits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Start,
    Response,
    Lookup,
    Token,
}

impl Exchange {
    /// Creates an exchange.
    pub fn new(mechanism: Mechanism, context: Context) -> Self {
        let state: Box<dyn MechanismState> = match mechanism {
            Mechanism::ScramSha256Plus => Box::new(Scram::new(ScramHash::Sha256, true, context)),
            Mechanism::ScramSha256 => Box::new(Scram::new(ScramHash::Sha256, false, context)),
            Mechanism::ScramSha1Plus => Box::new(Scram::new(ScramHash::Sha1, true, context)),
            Mechanism::ScramSha1 => Box::new(Scram::new(ScramHash::Sha1, false, context)),
            Mechanism::OauthBearer => Box::new(Bearer::oauthbearer()),
            Mechanism::Xoauth2 => Box::new(Bearer::xoauth2()),
            Mechanism::External => Box::new(External),
            Mechanism::DigestMd5 => Box::new(DigestMd5::new(&context)),
            Mechanism::CramMd5 => Box::new(CramMd5::new(&context)),
            Mechanism::Ntlm => Box::new(Ntlm::new(&context)),
            Mechanism::Plain => Box::new(Plain),
            Mechanism::Login => Box::new(Login::default()),
        };
        Self { mechanism, state: Some(state), awaits: Awaits::Start }
    }

    /// Begins, with the client's initial response if there is one.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Step {
        self.go(Awaits::Start, |state| match initial {
            Some(_) if state.speaks_first() => None,
            Some(initial) => respond(state, initial),
            None => Some(Step::Challenge(state.opening())),
        })
    }

    /// Continues with the client's response to a [`Step::Challenge`].
    pub fn respond(&mut self, response: &[u8]) -> Step {
        self.go(Awaits::Response, |state| respond(state, response))
    }

    /// Continues with the result of a [`Step::Lookup`].
    pub fn found(&mut self, found: Found) -> Step {
        self.go(Awaits::Lookup, |state| state.found(found))
    }

    /// Continues with the result of a [`Step::Token`]: the login of the token, or `None` if it is not valid.
    pub fn token_checked(&mut self, login: Option<String>) -> Step {
        self.go(Awaits::Token, |state| state.token_checked(login))
    }

    fn go(&mut self, awaited: Awaits, next: impl FnOnce(&mut dyn MechanismState) -> Option<Step>) -> Step {
        let state = self.state.take().filter(|_| self.awaits == awaited);
        let Some(mut state) = state else { return Step::Refused };
        let step = next(state.as_mut()).unwrap_or(Step::Refused);
        let awaits = match &step {
            Step::Challenge(_) => Some(Awaits::Response),
            Step::Lookup(_) => Some(Awaits::Lookup),
            Step::Token(_) => Some(Awaits::Token),
            Step::Credentials(_) | Step::External { .. } | Step::Proven(_) | Step::Refused => None,
        };
        if let Some(awaits) = awaits {
            self.awaits = awaits;
            self.state = Some(state);
        }
        step
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).field("awaits", &self.awaits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("hostname", &self.hostname).field("offers_plus", &self.offers_plus).finish_non_exhaustive()
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())
    }
}

fn respond(state: &mut dyn MechanismState, response: &[u8]) -> Option<Step> {
    (response.len() <= MAX_RESPONSE_BYTES).then(|| state.respond(response))?
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn context() -> Context {
        Context {
            hostname: "mail.x.test".into(),
            nonce: *b"0123456789abcdefghijklmn",
            bindings: vec![
                Binding { kind: BindingKind::Exporter, data: vec![1; 32] },
                Binding { kind: BindingKind::ServerEndPoint, data: vec![2; 32] },
            ],
            pepper: [9; 32],
            offers_plus: true,
        }
    }

    pub(crate) fn exchange(mechanism: Mechanism) -> Exchange {
        Exchange::new(mechanism, context())
    }

    #[test]
    fn input_out_of_sequence_is_refused() {
        for mechanism in Mechanism::ALL {
            assert_eq!(exchange(mechanism).respond(b"\0tim\0tanstaaf"), Step::Refused, "{mechanism:?}");
            assert_eq!(exchange(mechanism).found(Found::NoSuchUser), Step::Refused, "{mechanism:?}");
            let mut early = exchange(mechanism);
            assert_eq!(early.token_checked(Some("tim".into())), Step::Refused, "{mechanism:?}");
            assert_eq!(early.start(None), Step::Refused, "nothing follows a refusal");
            let mut twice = exchange(mechanism);
            assert!(matches!(twice.start(None), Step::Challenge(_)), "{mechanism:?}");
            assert_eq!(twice.start(None), Step::Refused, "{mechanism:?}");
        }
    }

    #[test]
    fn random_input_never_authenticates() {
        let mut seed = 1u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        for round in 0..20_000 {
            let mechanism = Mechanism::ALL[round % 12];
            let noise: Vec<u8> = (0..random() % 90).map(|_| b"\0\x01\"=,n y:abNTLMSSP"[usize::try_from(random() % 18).unwrap()]).collect();
            let mut exchange = exchange(mechanism);
            let step = if round % 5 == 0 { exchange.start(Some(&noise)) } else { exchange.start(None) };
            assert!(!matches!(step, Step::Proven(_)));
            assert!(!matches!(exchange.respond(&noise), Step::Proven(_)));
        }
        assert_eq!(exchange(Mechanism::Plain).start(Some(&vec![b'a'; MAX_RESPONSE_BYTES + 1])), Step::Refused);
    }
}
