//! PLAIN and LOGIN: the password itself is sent.
//!
//! RFC 4616 s.2, draft-murchison-sasl-login. Invariant: credentials have no NUL and no empty name or password, and
//! authzid, if there is one, is the login.

use crate::exchange::MechanismState;
use crate::name;
use crate::secret::Secret;
use crate::step::{Credentials, Step};

/// Maximum length of a password, in octets, which bounds the cost of hashing.
const MAX_PASSWORD_BYTES: usize = 1024;

/// The state of PLAIN.
pub(crate) struct Plain;

impl MechanismState for Plain {
    /// `[authzid] NUL authcid NUL passwd`
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        let mut parts = response.split(|b| *b == 0);
        let (authzid, authcid, passwd) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let authcid = name::plain(authcid)?;
        let authzid = if authzid.is_empty() { String::new() } else { name::plain(authzid)? };
        // Acting as another user is not supported.
        if !name::is_own(&authzid, &authcid) {
            return None;
        }
        Some(Step::Credentials(Credentials { authzid, authcid, password: password(passwd)? }))
    }
}

/// The state of LOGIN.
#[derive(Default)]
pub(crate) struct Login {
    name: Option<String>,
}

impl MechanismState for Login {
    fn opening(&mut self) -> Vec<u8> {
        b"Username:".to_vec()
    }

    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        let Some(authcid) = self.name.take() else {
            self.name = Some(name::plain(response)?);
            return Some(Step::Challenge(b"Password:".to_vec()));
        };
        Some(Step::Credentials(Credentials { authzid: String::new(), authcid, password: password(response)? }))
    }
}

fn password(bytes: &[u8]) -> Option<Secret> {
    name::text(bytes, MAX_PASSWORD_BYTES).map(Secret::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::exchange;
    use crate::mechanism::Mechanism;

    fn credentials(authzid: &str, authcid: &str, password: &str) -> Step {
        Step::Credentials(Credentials { authzid: authzid.into(), authcid: authcid.into(), password: Secret::new(password) })
    }

    fn plain(message: &[u8]) -> Step {
        exchange(Mechanism::Plain).start(Some(message))
    }

    /// RFC 4616 s.4.
    #[test]
    fn the_examples_of_rfc_4616_are_parsed() {
        let mut exchange = exchange(Mechanism::Plain);
        assert_eq!(exchange.start(None), Step::Challenge(Vec::new()));
        assert_eq!(exchange.respond(b"\0tim\0tanstaaftanstaaf"), credentials("", "tim", "tanstaaftanstaaf"));
        assert_eq!(plain(b"Ursel\0Kurt\0xipj3plmq"), Step::Refused, "acting as another user");
        assert_eq!(plain(b"tim\0tim\0tanstaaf"), credentials("tim", "tim", "tanstaaf"));
        assert_eq!(plain("\0grüße@example.com\0pässwörd".as_bytes()), credentials("", "grüße@example.com", "pässwörd"));
        assert_eq!(plain(b"\0 tim \0 tanstaaf "), credentials("", "tim", " tanstaaf "), "names are trimmed, passwords are not");
    }

    #[test]
    fn malformed_credentials_are_refused() {
        let long_name = [b"\0".as_slice(), &[b'a'; 256], b"\0p"].concat();
        let long_password = [b"\0u\0".as_slice(), &[b'p'; 1025]].concat();
        let messages: [&[u8]; 13] = [
            b"",
            b"\0",
            b"tim",
            b"tim\0tanstaaf",
            b"\0\0",
            b"\0tim\0",
            b"\0\0tanstaaf",
            b"\0 \0tanstaaf",
            b"\0tim\0tan\0staaf",
            b"\0tim\xff\0tanstaaf",
            b"\0tim\r\nX\0tanstaaf",
            &long_name,
            &long_password,
        ];
        for message in messages {
            assert_eq!(plain(message), Step::Refused, "{message:?}");
        }
        assert!(matches!(plain(&[b"\0".as_slice(), &[b'a'; 255], b"\0", &[b'p'; 1024]].concat()), Step::Credentials(_)));
    }

    #[test]
    fn login_asks_for_name_and_password() {
        let mut talk = exchange(Mechanism::Login);
        assert_eq!(talk.start(None), Step::Challenge(b"Username:".to_vec()));
        assert_eq!(talk.respond(b"tim"), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(talk.respond(b"tanstaaf"), credentials("", "tim", "tanstaaf"));
        assert_eq!(talk.respond(b"tanstaaf"), Step::Refused);
        let mut talk = exchange(Mechanism::Login);
        assert_eq!(talk.start(Some(b"tim")), Step::Challenge(b"Password:".to_vec()));
        assert_eq!(talk.respond(b"tanstaaf"), credentials("", "tim", "tanstaaf"));
    }

    #[test]
    fn nothing_follows_a_refusal() {
        let mut talk = exchange(Mechanism::Login);
        assert_eq!(talk.start(Some(b"t\0im")), Step::Refused);
        assert_eq!(talk.respond(b"tim"), Step::Refused);
        let mut talk = exchange(Mechanism::Login);
        talk.start(Some(b"tim"));
        assert_eq!(talk.respond(b""), Step::Refused);
    }
}
