//! CRAM-MD5: a keyed hash of the server's challenge.
//!
//! RFC 2195 s.2. Invariant: a challenge accepts one response, and an unknown user costs as much as a wrong response.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use subtle::{Choice, ConstantTimeEq};

use crate::exchange::{Context, MechanismState};
use crate::name;
use crate::step::{Found, Lookup, Need, Proven, Step};

/// The state of CRAM-MD5.
pub(crate) struct CramMd5 {
    challenge: Vec<u8>,
    answer: Option<Answer>,
}

struct Answer {
    name: String,
    digest: [u8; 16],
}

impl CramMd5 {
    pub(crate) fn new(context: &Context) -> Self {
        let challenge = format!("<{}@{}>", HEXLOWER.encode(&context.nonce), context.hostname);
        Self { challenge: challenge.into_bytes(), answer: None }
    }
}

impl MechanismState for CramMd5 {
    fn opening(&mut self) -> Vec<u8> {
        self.challenge.clone()
    }

    fn speaks_first(&self) -> bool {
        true
    }

    /// Parses `user SP digest`; the name may have spaces.
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        let (user, digest) = std::str::from_utf8(response).ok()?.rsplit_once(' ')?;
        let answer = Answer { name: name::prepared(user)?, digest: unhex(digest)? };
        let lookup = Lookup { name: answer.name.clone(), need: Need::Secrets };
        self.answer = Some(answer);
        Some(Step::Lookup(lookup))
    }

    fn found(&mut self, found: Found) -> Option<Step> {
        let answer = self.answer.take()?;
        let is_right = |secret: &str| match hmac_md5(secret.as_bytes(), &[&self.challenge]) {
            Some(digest) => digest.ct_eq(&answer.digest),
            None => Choice::from(0),
        };
        let password = found.matching(is_right)?;
        Some(Step::Proven(Proven { name: answer.name, password }))
    }
}

/// HMAC with MD5.
pub(crate) fn hmac_md5(key: &[u8], message: &[&[u8]]) -> Option<[u8; 16]> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).ok()?;
    message.iter().for_each(|part| mac.update(part));
    Some(mac.finalize().into_bytes().into())
}

/// Parses hexadecimal digits of either case.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Exchange;
    use crate::exchange::tests::exchange;
    use crate::mechanism::Mechanism;
    use crate::secret::Secret;

    fn secrets(passwords: &[&str]) -> Found {
        Found::Secrets(passwords.iter().copied().map(Secret::new).collect())
    }

    fn begun() -> (Exchange, Vec<u8>) {
        let mut exchange = exchange(Mechanism::CramMd5);
        match exchange.start(None) {
            Step::Challenge(challenge) => (exchange, challenge),
            other => panic!("{other:?}"),
        }
    }

    fn response(user: &str, password: &str, challenge: &[u8]) -> String {
        format!("{user} {}", HEXLOWER.encode(&hmac_md5(password.as_bytes(), &[challenge]).unwrap()))
    }

    /// RFC 2195 s.2.
    #[test]
    fn the_example_of_rfc_2195_authenticates() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>".to_vec();
        let mut talk = CramMd5 { challenge, answer: None };
        let lookup = talk.respond(b"tim b913a602c7eda7a495b4e6e7334d3890");
        assert_eq!(lookup, Some(Step::Lookup(Lookup { name: "tim".into(), need: Need::Secrets })));
        let proven = Step::Proven(Proven { name: "tim".into(), password: 1 });
        assert_eq!(talk.found(secrets(&["x", "tanstaaftanstaaf"])), Some(proven));
    }

    #[test]
    fn only_the_right_response_authenticates() {
        let (mut talk, challenge) = begun();
        assert_eq!(challenge, b"<303132333435363738396162636465666768696a6b6c6d6e@mail.x.test>");
        let message = response(" tim b@x.test", "tanstaaf", &challenge).to_uppercase();
        assert_eq!(talk.respond(message.as_bytes()), Step::Lookup(Lookup { name: "TIM B@X.TEST".into(), need: Need::Secrets }));
        assert!(matches!(talk.found(secrets(&["tanstaaf"])), Step::Proven(_)));
        let scram = Found::Scram { salt: Vec::new(), iterations: 1, keys: Vec::new() };
        for found in [secrets(&["Tanstaaf", ""]), secrets(&[]), Found::NoSuchUser, scram] {
            let (mut talk, challenge) = begun();
            talk.respond(response("tim", "tanstaaf", &challenge).as_bytes());
            assert_eq!(talk.found(found), Step::Refused);
        }
        let (mut talk, challenge) = begun();
        talk.respond(response("tim", "nobody", &challenge).as_bytes());
        assert_eq!(talk.found(Found::NoSuchUser), Step::Refused, "the dummy secret does not authenticate");
    }

    #[test]
    fn malformed_responses_are_refused() {
        let good = response("tim", "tanstaaf", &begun().1);
        for end in 0..good.len() {
            assert_eq!(begun().0.respond(&good.as_bytes()[..end]), Step::Refused, "{end}");
        }
        for bad in [good.replace(' ', ""), good.replace("tim", ""), good.clone() + "0", good.clone() + " ", good.replace("tim", "t\0")] {
            assert_eq!(begun().0.respond(bad.as_bytes()), Step::Refused, "{bad}");
        }
        assert_eq!(exchange(Mechanism::CramMd5).start(Some(good.as_bytes())), Step::Refused, "the challenge comes first");
    }
}
