//! The exchanges of PLAIN and LOGIN, after base64 was taken off.
//!
//! RFC 4422 s.3 and s.4, RFC 4616 s.2, draft-murchison-sasl-login. Invariant: credentials hold no NUL, and no
//! empty name or password; what breaks that is `Malformed`, and nothing follows it.

use crate::secret::Secret;

/// The longest name taken, in octets (RFC 4616 allows 255).
const MAX_NAME_BYTES: usize = 255;

/// The longest password taken, in octets; more would only make its hashing dear.
const MAX_PASSWORD_BYTES: usize = 1024;

/// Who the client says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whom to act as; empty where that is `authcid`.
    pub authzid: String,
    /// Whose password this is.
    pub authcid: String,
    /// The password.
    pub password: Secret,
}

/// What comes next in an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this, which may be empty, and wait for a response.
    Challenge(Vec<u8>),
    /// The client has said all: check it.
    Credentials(Credentials),
    /// What the client sent cannot be credentials: authentication failed (535 5.7.8).
    Malformed,
}

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login: old, and all that some clients know.
    Login,
}

impl Mechanism {
    /// The names of all, in the order of preference.
    pub const ALL: &'static [&'static str] = &["PLAIN", "LOGIN"];

    /// The mechanism of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Plain, Self::Login].into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// One exchange under way.
#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Whatever PLAIN needs, or the user name of LOGIN.
    First,
    /// The password of LOGIN.
    Password {
        name: String,
    },
    Ended,
}

impl Exchange {
    /// An exchange that has not begun.
    pub fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, state: State::First }
    }

    /// Begins, with the initial response if the client sent one.
    pub fn start(&mut self, initial: Option<&[u8]>) -> Step {
        match (initial, self.mechanism) {
            (Some(initial), _) => self.respond(initial),
            (None, Mechanism::Plain) => Step::Challenge(Vec::new()),
            (None, Mechanism::Login) => Step::Challenge(b"Username:".to_vec()),
        }
    }

    /// Goes on with the client's response.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let step = match (state, self.mechanism) {
            (State::First, Mechanism::Plain) => plain(response).map(Step::Credentials),
            (State::First, Mechanism::Login) => name(response).map(|name| {
                self.state = State::Password { name };
                Step::Challenge(b"Password:".to_vec())
            }),
            (State::Password { name }, _) => {
                password(response).map(|password| Step::Credentials(Credentials { authzid: String::new(), authcid: name, password }))
            }
            (State::Ended, _) => None,
        };
        step.unwrap_or(Step::Malformed)
    }
}

/// `[authzid] NUL authcid NUL passwd`
fn plain(message: &[u8]) -> Option<Credentials> {
    let mut parts = message.split(|b| *b == 0);
    let (authzid, authcid, passwd) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let authcid = name(authcid)?;
    let authzid = if authzid.is_empty() { String::new() } else { name(authzid)? };
    // To act as another needs a right that nobody has here.
    if !authzid.is_empty() && authzid != authcid {
        return None;
    }
    Some(Credentials { authzid, authcid, password: password(passwd)? })
}

fn name(bytes: &[u8]) -> Option<String> {
    text(bytes, MAX_NAME_BYTES).map(str::to_owned)
}

fn password(bytes: &[u8]) -> Option<Secret> {
    text(bytes, MAX_PASSWORD_BYTES).map(Secret::new)
}

fn text(bytes: &[u8], max: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= max && !text.contains('\0')).then_some(text)
}
