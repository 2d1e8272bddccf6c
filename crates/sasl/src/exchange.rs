//! The exchanges of PLAIN and LOGIN, after base64 was taken off.
//!
//! RFC 4422 s.3 and s.4, RFC 4616 s.2, draft-murchison-sasl-login. Invariant: credentials hold no NUL, no empty
//! name or password, and name nobody but the one whose password it is; what breaks that is `Malformed`, and nothing
//! follows it.

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
    if !authzid.is_empty() && !authzid.eq_ignore_ascii_case(&authcid) {
        return None;
    }
    Some(Credentials { authzid, authcid, password: password(passwd)? })
}

/// A name, which will stand in a log and so holds no control character.
fn name(bytes: &[u8]) -> Option<String> {
    text(bytes, MAX_NAME_BYTES).filter(|name| !name.contains(char::is_control)).map(str::to_owned)
}

fn password(bytes: &[u8]) -> Option<Secret> {
    text(bytes, MAX_PASSWORD_BYTES).map(Secret::new)
}

fn text(bytes: &[u8], max: usize) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.is_empty() && text.len() <= max && !text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(authzid: &str, authcid: &str, password: &str) -> Step {
        Step::Credentials(Credentials { authzid: authzid.into(), authcid: authcid.into(), password: Secret::new(password) })
    }

    fn plain(message: &[u8]) -> Step {
        Exchange::new(Mechanism::Plain).start(Some(message))
    }

    /// RFC 4616 s.4.
    #[test]
    fn plain_reads_the_examples_of_its_rfc() {
        let mut exchange = Exchange::new(Mechanism::Plain);
        assert_eq!(exchange.start(None), Step::Challenge(Vec::new()));
        assert_eq!(exchange.respond(b"\0tim\0tanstaaftanstaaf"), credentials("", "tim", "tanstaaftanstaaf"));
        assert_eq!(plain(b"Ursel\0Kurt\0xipj3plmq"), Step::Malformed, "nobody may act as another");
        assert_eq!(plain(b"tim\0tim\0tanstaaf"), credentials("tim", "tim", "tanstaaf"));
        assert_eq!(plain("\0grüße@example.com\0pässwörd".as_bytes()), credentials("", "grüße@example.com", "pässwörd"));
    }

    #[test]
    fn what_cannot_be_credentials_is_malformed() {
        let long_name = [b"\0".as_slice(), &[b'a'; 256], b"\0p"].concat();
        let long_password = [b"\0u\0".as_slice(), &[b'p'; 1025]].concat();
        let messages: [&[u8]; 12] = [
            b"",
            b"\0",
            b"tim",
            b"tim\0tanstaaf",
            b"\0\0",
            b"\0tim\0",
            b"\0\0tanstaaf",
            b"\0tim\0tan\0staaf",
            b"\0tim\xff\0tanstaaf",
            b"\0tim\r\nX\0tanstaaf",
            &long_name,
            &long_password,
        ];
        for message in messages {
            assert_eq!(plain(message), Step::Malformed, "{message:?}");
        }
        assert!(matches!(plain(&[b"\0".as_slice(), &[b'a'; 255], b"\0", &[b'p'; 1024]].concat()), Step::Credentials(_)));
    }

    #[test]
    fn login_asks_twice() {
        let mut exchange = Exchange::new(Mechanism::Login);
        assert_eq!(exchange.start(None), Step::Challenge(b"Username:".to_vec()));
        assert_eq!(exchange.respond(b"tim"), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(exchange.respond(b"tanstaaf"), credentials("", "tim", "tanstaaf"));
        assert_eq!(exchange.respond(b"tanstaaf"), Step::Malformed);
        let mut exchange = Exchange::new(Mechanism::Login);
        assert_eq!(exchange.start(Some(b"tim")), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(exchange.respond(b"tanstaaf"), credentials("", "tim", "tanstaaf"));
    }

    #[test]
    fn nothing_follows_a_malformed_step() {
        let mut exchange = Exchange::new(Mechanism::Login);
        assert_eq!(exchange.start(Some(b"t\0im")), Step::Malformed);
        assert_eq!(exchange.respond(b"tim"), Step::Malformed);
        let mut exchange = Exchange::new(Mechanism::Login);
        exchange.start(Some(b"tim"));
        assert_eq!(exchange.respond(b""), Step::Malformed);
    }

    #[test]
    fn mechanisms_have_names() {
        for name in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(&name.to_lowercase()).unwrap().name(), *name);
        }
        assert_eq!(Mechanism::from_name("CRAM-MD5"), None);
    }
}
