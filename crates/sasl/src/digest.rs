//! DIGEST-MD5: a hash of the password, the challenge and the service.
//!
//! RFC 2831 s.2.1, made historic by RFC 6331. Invariant: quality of protection is `auth`, a nonce is used once, and an
//! unknown user costs as much as a wrong response.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use crate::cram::unhex;
use crate::directives::{Directives, quoted};
use crate::exchange::{Context, MechanismState};
use crate::name;
use crate::step::{Found, Lookup, Need, Proven, Step};

/// The only service accepted in `digest-uri`.
const SERVICE: &str = "smtp/";

/// The state of DIGEST-MD5.
pub(crate) struct DigestMd5 {
    hostname: String,
    nonce: String,
    state: DigestState,
}

enum DigestState {
    Response,
    Lookup(String, DigestResponse),
    Acknowledgement(Proven),
    Ended,
}

/// The client's response, undecoded.
struct DigestResponse {
    username: Vec<u8>,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    cnonce: Vec<u8>,
    uri: Vec<u8>,
    authzid: Option<Vec<u8>>,
    is_utf8: bool,
    response: [u8; 16],
}

impl DigestMd5 {
    pub(crate) fn new(context: &Context) -> Self {
        Self { hostname: context.hostname.clone(), nonce: STANDARD.encode(context.nonce), state: DigestState::Response }
    }

    fn accept(&self, message: &[u8]) -> Option<(String, DigestResponse)> {
        let response = DigestResponse::read(message)?;
        let realm = text(&response.realm, response.is_utf8)?;
        let is_realm_ours = realm.is_empty() || realm.eq_ignore_ascii_case(&self.hostname);
        let is_uri_ours = response.uri.get(..SERVICE.len()).is_some_and(|s| s.eq_ignore_ascii_case(SERVICE.as_bytes()));
        // Clients may use an alias of the host name, so any host is accepted.
        let has_host = response.uri.len() > SERVICE.len();
        let name = name::prepared(&text(&response.username, response.is_utf8)?)?;
        let is_own = match &response.authzid {
            Some(authzid) => name::is_own(std::str::from_utf8(authzid).ok()?, &name),
            None => true,
        };
        let is_sound = is_realm_ours && is_uri_ours && has_host && is_own && response.nonce == self.nonce.as_bytes();
        is_sound.then_some((name, response))
    }
}

impl MechanismState for DigestMd5 {
    fn opening(&mut self) -> Vec<u8> {
        let (realm, nonce) = (quoted(&self.hostname), quoted(&self.nonce));
        format!("realm={realm},nonce={nonce},qop=\"auth\",charset=utf-8,algorithm=md5-sess").into_bytes()
    }

    fn speaks_first(&self) -> bool {
        true
    }

    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        match std::mem::replace(&mut self.state, DigestState::Ended) {
            DigestState::Response => {
                let (name, response) = self.accept(response)?;
                let lookup = Lookup { name: name.clone(), need: Need::Secrets };
                self.state = DigestState::Lookup(name, response);
                Some(Step::Lookup(lookup))
            }
            DigestState::Acknowledgement(proven) => response.is_empty().then_some(Step::Proven(proven)),
            DigestState::Lookup(..) | DigestState::Ended => None,
        }
    }

    fn found(&mut self, found: Found) -> Option<Step> {
        let DigestState::Lookup(name, response) = std::mem::replace(&mut self.state, DigestState::Ended) else { return None };
        let password = found.matching(|secret| response.digest(secret, "AUTHENTICATE:").ct_eq(&response.response))?;
        let Found::Secrets(secrets) = found else { return None };
        let rspauth = response.digest(secrets.get(password)?.expose(), ":");
        self.state = DigestState::Acknowledgement(Proven { name, password });
        Some(Step::Challenge(format!("rspauth={}", HEXLOWER.encode(&rspauth)).into_bytes()))
    }
}

impl DigestResponse {
    fn read(message: &[u8]) -> Option<Self> {
        let mut directives = Directives::read(message)?;
        let is = |value: Option<Vec<u8>>, expected: &str| value.is_none_or(|v| v.eq_ignore_ascii_case(expected.as_bytes()));
        let charset = directives.take("charset");
        let is_utf8 = charset.is_some();
        let is_sound = is(charset, "utf-8")
            && is(directives.take("qop"), "auth")
            && is(directives.take("algorithm"), "md5-sess")
            && directives.take("nc")? == b"00000001";
        let response = unhex(std::str::from_utf8(&directives.take("response")?).ok()?)?;
        let this = Self {
            username: directives.take("username")?,
            realm: directives.take("realm").unwrap_or_default(),
            nonce: directives.take("nonce")?,
            cnonce: directives.take("cnonce").filter(|cnonce| !cnonce.is_empty())?,
            uri: directives.take("digest-uri")?,
            authzid: directives.take("authzid").filter(|authzid| !authzid.is_empty()),
            is_utf8,
            response,
        };
        is_sound.then_some(this)
    }

    /// `response-value` of RFC 2831 s.2.1.2.1, or `rspauth` with another `verb`.
    fn digest(&self, password: &str, verb: &str) -> [u8; 16] {
        let user = [&self.latin(&self.username), b":".as_slice(), &self.latin(&self.realm), b":", &latin(password)].concat();
        let mut a1 = [md5(&user).as_slice(), b":", &self.nonce, b":", &self.cnonce].concat();
        if let Some(authzid) = &self.authzid {
            a1.push(b':');
            a1.extend(authzid);
        }
        let a2 = [verb.as_bytes(), &self.uri].concat();
        let (a1, a2) = (HEXLOWER.encode(&md5(&a1)), HEXLOWER.encode(&md5(&a2)));
        let all = [a1.as_bytes(), b":", &self.nonce, b":00000001:", &self.cnonce, b":auth:", a2.as_bytes()].concat();
        md5(&all)
    }

    fn latin(&self, value: &[u8]) -> Vec<u8> {
        match std::str::from_utf8(value) {
            Ok(text) if self.is_utf8 => latin(text),
            _ => value.to_vec(),
        }
    }
}

/// Converts to Latin-1, as RFC 2831 hashes text, if it has all the characters.
fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>().unwrap_or_else(|| text.as_bytes().to_vec())
}

fn text(value: &[u8], is_utf8: bool) -> Option<String> {
    if is_utf8 { std::str::from_utf8(value).ok().map(str::to_owned) } else { Some(value.iter().copied().map(char::from).collect()) }
}

fn md5(message: &[u8]) -> [u8; 16] {
    Md5::digest(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Exchange;
    use crate::exchange::tests::exchange;
    use crate::mechanism::Mechanism;
    use crate::secret::Secret;

    /// RFC 2831 s.4, for IMAP.
    const EXAMPLE: &str = "charset=utf-8,username=\"chris\",realm=\"elwood.innosoft.com\",nonce=\"OA6MG9tEQGm2hh\",nc=00000001,\
        cnonce=\"OA6MHXh6VqTrRk\",digest-uri=\"imap/elwood.innosoft.com\",response=d388dad90d4bbd760a152321f2143af7,qop=auth";

    fn found(passwords: &[&str]) -> Found {
        Found::Secrets(passwords.iter().copied().map(Secret::new).collect())
    }

    fn begun() -> Exchange {
        let mut exchange = exchange(Mechanism::DigestMd5);
        let challenge = "realm=\"mail.x.test\",nonce=\"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u\",qop=\"auth\",charset=utf-8,algorithm=md5-sess";
        assert_eq!(exchange.start(None), Step::Challenge(challenge.as_bytes().to_vec()));
        exchange
    }

    /// A response of `tim`, with `more` appended and `change` applied before it is hashed.
    fn response(password: &str, more: &str, change: (&str, &str)) -> String {
        let zero = "0".repeat(32);
        let message = format!(
            "charset=utf-8,username=\"tim\",realm=\"mail.x.test\",nonce=\"MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1u\",nc=00000001,cnonce=\"abc\",\
             digest-uri=\"smtp/alias.x.test\",qop=auth,response={zero}{more}"
        );
        let message = message.replace(change.0, change.1);
        match DigestResponse::read(message.as_bytes()) {
            Some(read) => message.replace(&zero, &HEXLOWER.encode(&read.digest(password, "AUTHENTICATE:"))),
            None => message,
        }
    }

    #[test]
    fn the_example_of_rfc_2831_is_computed() {
        let read = DigestResponse::read(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(read.digest("secret", "AUTHENTICATE:"), read.response);
        assert_eq!(HEXLOWER.encode(&read.digest("secret", ":")), "ea40f60335c427b5527b84dbabcdfffd");
    }

    #[test]
    fn client_and_server_authenticate_each_other() {
        let mut talk = begun();
        let message = response("tanstaaf", "", ("x", "x"));
        assert_eq!(talk.respond(message.as_bytes()), Step::Lookup(Lookup { name: "tim".into(), need: Need::Secrets }));
        let rspauth = HEXLOWER.encode(&DigestResponse::read(message.as_bytes()).unwrap().digest("tanstaaf", ":"));
        assert_eq!(talk.found(found(&["x", "tanstaaf"])), Step::Challenge(format!("rspauth={rspauth}").into_bytes()));
        assert_eq!(talk.respond(b""), Step::Proven(Proven { name: "tim".into(), password: 1 }));
        assert_eq!(talk.respond(b""), Step::Refused);
        for wrong in [found(&["Tanstaaf"]), found(&[]), Found::NoSuchUser] {
            let mut talk = begun();
            talk.respond(message.as_bytes());
            assert_eq!(talk.found(wrong), Step::Refused);
        }
    }

    #[test]
    fn names_may_be_quoted_in_latin1_or_utf8() {
        for (change, name) in [
            (("\"tim\"", "\"t\\\"i\\\\m\""), "t\"i\\m"),
            (("\"tim\"", "\"grüße\""), "grüße"),
            (("\"tim\"", "\"日本\""), "日本"),
            (("charset=utf-8,", ", ,\t"), "tim"),
            (("realm=\"mail.x.test\",", ""), "tim"),
            (("qop=auth,", "authzid=\"Tim\","), "tim"),
        ] {
            let mut talk = begun();
            let step = talk.respond(response("pässwörd", "", change).as_bytes());
            assert_eq!(step, Step::Lookup(Lookup { name: name.into(), need: Need::Secrets }), "{change:?}");
            assert!(matches!(talk.found(found(&["pässwörd"])), Step::Challenge(_)), "{change:?}");
            assert!(matches!(talk.respond(b""), Step::Proven(_)));
        }
    }

    #[test]
    fn malformed_responses_are_refused() {
        let good = response("tanstaaf", "", ("x", "x"));
        for end in 0..good.len() {
            assert_eq!(begun().respond(&good.as_bytes()[..end]), Step::Refused, "{end}");
        }
        for change in [
            ("00000001", "00000002"),
            ("qop=auth", "qop=auth-int"),
            ("smtp/alias", "imap/alias"),
            ("smtp/alias.x.test", "smtp/"),
            ("realm=\"mail.x.test\"", "realm=\"other.test\""),
            ("MDEy", "MDEz"),
            ("cnonce=\"abc\",", ""),
            ("cnonce=\"abc\"", "cnonce=\"\""),
            ("utf-8", "koi8-r"),
            ("qop=auth,", "authzid=tom,"),
            ("\"tim\"", "\"\""),
            ("qop=auth,", "qop=auth,qop=auth,"),
            ("qop=auth,", "qop=auth,algorithm=md5,"),
        ] {
            let mut talk = begun();
            assert_eq!(talk.respond(response("tanstaaf", "", change).as_bytes()), Step::Refused, "{change:?}");
        }
        assert_eq!(exchange(Mechanism::DigestMd5).start(Some(good.as_bytes())), Step::Refused, "the challenge comes first");
    }
}
