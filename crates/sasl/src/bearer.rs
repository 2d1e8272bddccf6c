//! OAUTHBEARER and XOAUTH2: an access token instead of a password.
//!
//! RFC 7628 s.3, and Google's description of XOAUTH2. Invariant: a refusal is preceded by a challenge with the reason
//! and the client's response to it, as both formats require; a message that names a user logs in no other user.

use crate::exchange::MechanismState;
use crate::name;
use crate::secret::Secret;
use crate::step::{Proven, Step, Token};

/// Maximum length of a token, in octets.
const MAX_TOKEN_BYTES: usize = 8192;

/// The separator of both formats.
const SEPARATOR: char = '\x01';

/// The state of either mechanism.
pub(crate) struct Bearer {
    is_google: bool,
    user: Option<String>,
    is_refused: bool,
}

impl Bearer {
    pub(crate) fn oauthbearer() -> Self {
        Self { is_google: false, user: None, is_refused: false }
    }

    pub(crate) fn xoauth2() -> Self {
        Self { is_google: true, ..Self::oauthbearer() }
    }
}

impl MechanismState for Bearer {
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        if self.is_refused {
            return None;
        }
        let message = std::str::from_utf8(response).ok()?;
        let token = if self.is_google { xoauth2(message)? } else { oauthbearer(message)? };
        self.user = token.user.clone();
        Some(Step::Token(token))
    }

    fn token_checked(&mut self, login: Option<String>) -> Option<Step> {
        let is_own = |login: &String| name::is_own(self.user.as_deref().unwrap_or_default(), login);
        if let Some(name) = login.filter(is_own) {
            return Some(Step::Proven(Proven { name, password: 0 }));
        }
        self.is_refused = true;
        let why = if self.is_google { r#"{"status":"401","schemes":"bearer"}"# } else { r#"{"status":"invalid_token"}"# };
        Some(Step::Challenge(why.as_bytes().to_vec()))
    }
}

/// `gs2-header ^A *(key "=" value ^A) ^A`
fn oauthbearer(message: &str) -> Option<Token> {
    let (header, pairs) = message.split_once(SEPARATOR)?;
    let mut parts = header.split(',');
    let (flag, authzid, end) = (parts.next()?, parts.next()?, parts.next()?);
    // Channel binding is not defined for it.
    if !matches!(flag, "n" | "y") || !end.is_empty() || parts.next().is_some() {
        return None;
    }
    let user = match authzid.strip_prefix("a=") {
        Some(authzid) => Some(name::prepared(&name::unescaped(authzid)?)?),
        None => authzid.is_empty().then_some(None)?,
    };
    Some(Token { user, token: token(value(pairs, "auth")?)? })
}

/// `user=` name `^Aauth=Bearer` token `^A^A`
fn xoauth2(message: &str) -> Option<Token> {
    let (user, pairs) = message.strip_prefix("user=")?.split_once(SEPARATOR)?;
    Some(Token { user: Some(name::prepared(user)?), token: token(value(pairs, "auth")?)? })
}

/// The value of a key. The list must be terminated properly and have the key once.
fn value<'a>(pairs: &'a str, key: &str) -> Option<&'a str> {
    let pairs = pairs.strip_suffix(SEPARATOR)?.strip_suffix(SEPARATOR)?;
    let mut found = None;
    for pair in pairs.split(SEPARATOR) {
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case(key) && found.replace(value).is_some() {
            return None;
        }
    }
    found
}

/// Parses `Bearer` and a token with the characters of RFC 6750 s.2.1.
fn token(auth: &str) -> Option<Secret> {
    let (scheme, token) = auth.split_once(' ')?;
    let token = token.trim_matches(' ');
    let is_sound = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= MAX_TOKEN_BYTES;
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    (is_sound && token.bytes().all(is_allowed)).then(|| Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::exchange;
    use crate::mechanism::Mechanism;

    const TOKEN: &str = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==";

    fn step(user: Option<&str>) -> Step {
        Step::Token(Token { user: user.map(str::to_owned), token: Secret::new(TOKEN) })
    }

    /// RFC 7628 s.4.1, and s.4.3 for the refusal.
    #[test]
    fn the_example_of_rfc_7628_is_parsed() {
        let message = format!("n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer {TOKEN}\x01\x01");
        let mut talk = exchange(Mechanism::OauthBearer);
        assert_eq!(talk.start(Some(message.as_bytes())), step(Some("user@example.com")));
        let proven = Step::Proven(Proven { name: "User@example.com".into(), password: 0 });
        assert_eq!(talk.token_checked(Some("User@example.com".into())), proven);
        let mut talk = exchange(Mechanism::OauthBearer);
        assert_eq!(talk.start(None), Step::Challenge(Vec::new()));
        talk.respond(message.as_bytes());
        assert_eq!(talk.token_checked(None), Step::Challenge(br#"{"status":"invalid_token"}"#.to_vec()));
        assert_eq!(talk.respond(b"\x01"), Step::Refused);
        let mut talk = exchange(Mechanism::OauthBearer);
        talk.start(Some(message.as_bytes()));
        assert!(matches!(talk.token_checked(Some("tom".into())), Step::Challenge(_)), "another's token");
        assert_eq!(talk.token_checked(Some("user@example.com".into())), Step::Refused, "asked once only");
        let anonymous = format!("n,,\x01auth=bearer {TOKEN}\x01\x01");
        let mut talk = exchange(Mechanism::OauthBearer);
        assert_eq!(talk.start(Some(anonymous.as_bytes())), step(None));
        assert_eq!(talk.token_checked(Some("tim".into())), Step::Proven(Proven { name: "tim".into(), password: 0 }));
    }

    #[test]
    fn xoauth2_is_parsed() {
        let message = format!("user=someuser@example.com\x01auth=Bearer {TOKEN}\x01\x01");
        let mut talk = exchange(Mechanism::Xoauth2);
        assert_eq!(talk.start(Some(message.as_bytes())), step(Some("someuser@example.com")));
        assert_eq!(talk.token_checked(None), Step::Challenge(br#"{"status":"401","schemes":"bearer"}"#.to_vec()));
        assert_eq!(talk.respond(b""), Step::Refused);
        for end in 0..message.len() {
            assert_eq!(exchange(Mechanism::Xoauth2).start(Some(&message.as_bytes()[..end])), Step::Refused, "{end}");
        }
    }

    #[test]
    fn messages_without_a_token_are_refused() {
        let good = format!("n,a=u=2Cx,\x01host=h\x01auth=Bearer {TOKEN}\x01\x01");
        let start = |message: &str| exchange(Mechanism::OauthBearer).start(Some(message.as_bytes()));
        assert_eq!(start(&good), step(Some("u,x")));
        for end in 0..good.len() {
            assert_eq!(start(good.get(..end).unwrap()), Step::Refused, "{end}");
        }
        for (old, new) in [
            ("n,", "p=tls-exporter,"),
            ("n,", "x,"),
            ("n,a", "n,b"),
            ("=2C", "=2D"),
            ("Bearer", "Basic"),
            ("Bearer ", "Bearer"),
            (TOKEN, ""),
            (TOKEN, "a b"),
            (TOKEN, "a\u{e9}"),
            ("host=h", "auth=Bearer x"),
            ("host=h", "host"),
            ("\x01\x01", "\x01\x01x"),
        ] {
            assert_eq!(start(&good.replace(old, new)), Step::Refused, "{old} {new}");
        }
        assert_eq!(start(&format!("n,,\x01auth=Bearer {}\x01\x01", "a".repeat(MAX_TOKEN_BYTES + 1))), Step::Refused);
    }
}
