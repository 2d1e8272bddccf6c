//! SCRAM: mutual proof of knowing the password, without sending it.
//!
//! RFC 5802 s.5 to s.7, RFC 7677, RFC 9266, RFC 5929. Invariant: an unknown user is refused at the same message as a
//! wrong proof, and the client's channel binding is that of this session.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::exchange::{Context, MechanismState};
use crate::name;
use crate::scram_keys::{ITERATIONS, SALT_BYTES, ScramHash, proven};
use crate::step::{Found, Lookup, Proven, ScramKeys, Step};

/// Maximum length of a message, in octets.
const MAX_MESSAGE_BYTES: usize = 2048;

/// Maximum length of a client's nonce, in octets.
const MAX_NONCE_BYTES: usize = 256;

/// The state of SCRAM.
pub(crate) struct Scram {
    hash: ScramHash,
    plus: bool,
    context: Context,
    state: ScramState,
}

enum ScramState {
    First,
    Lookup(First),
    Final { first: First, keys: Vec<ScramKeys>, is_known: bool, nonce: String, server_first: String },
    Acknowledgement(Proven),
    Ended,
}

/// The client's first message.
struct First {
    name: String,
    nonce: String,
    bare: String,
    /// The expected channel binding in the final message: the header as received, and the value of the binding.
    bound: Vec<u8>,
}

impl Scram {
    pub(crate) fn new(hash: ScramHash, plus: bool, context: Context) -> Self {
        Self { hash, plus, context, state: ScramState::First }
    }

    fn first(&self, message: &str) -> Option<First> {
        // gs2-cbind-flag "," [ authzid ] "," client-first-message-bare
        let (flag, rest) = message.split_once(',')?;
        let (authzid, bare) = rest.split_once(',')?;
        let header = message.strip_suffix(bare)?;
        let bound = [header.as_bytes(), self.binding(flag)?].concat();
        // A mandatory extension would come first, as "m="; none is supported.
        let (user, rest) = bare.strip_prefix("n=")?.split_once(',')?;
        let mut attributes = rest.split(',');
        let nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        if !attributes.all(is_extension) {
            return None;
        }
        let user = name::unescaped(user)?;
        let name = name::prepared(&user)?;
        if !authzid.is_empty() {
            let authzid = name::unescaped(authzid.strip_prefix("a=")?)?;
            if authzid.is_empty() || !name::is_own(&name::prepared(&authzid)?, &name) {
                return None;
            }
        }
        Some(First { name, nonce: nonce.to_owned(), bare: bare.to_owned(), bound })
    }

    /// The value of the channel binding that the flag names.
    fn binding(&self, flag: &str) -> Option<&[u8]> {
        match flag {
            "n" if !self.plus => Some(&[]),
            // "The client supports it, the server does not": our offer of -PLUS mechanisms was removed on the way.
            "y" if !self.plus && !self.context.offers_plus => Some(&[]),
            _ if self.plus => {
                let name = flag.strip_prefix("p=")?;
                let binding = self.context.bindings.iter().find(|binding| binding.kind.name() == name)?;
                Some(binding.data.as_slice()).filter(|data| !data.is_empty())
            }
            _ => None,
        }
    }

    fn server_first(&mut self, first: First, found: Found) -> Step {
        let (salt, iterations, keys) = match found {
            Found::Scram { salt, iterations, keys } if !keys.is_empty() && !salt.is_empty() => (salt, iterations, keys),
            Found::NoSuchUser | Found::Scram { .. } | Found::Secrets(_) => (self.salt_of_unknown(&first.name), ITERATIONS, Vec::new()),
        };
        let nonce = format!("{}{}", first.nonce, STANDARD.encode(self.context.nonce));
        let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let challenge = server_first.clone().into_bytes();
        let is_known = !keys.is_empty();
        // An unknown user costs the same work.
        let keys = if is_known { keys } else { vec![self.dummy_keys()] };
        self.state = ScramState::Final { first, keys, is_known, nonce, server_first };
        Step::Challenge(challenge)
    }

    /// The salt of an unknown user: constant for a name, like a real one.
    fn salt_of_unknown(&self, name: &str) -> Vec<u8> {
        let tag = ScramHash::Sha256.hmac(&self.context.pepper, name.to_lowercase().as_bytes());
        tag.as_ref().iter().copied().take(SALT_BYTES).collect()
    }

    fn dummy_keys(&self) -> ScramKeys {
        let key: Vec<u8> = self.context.pepper.iter().copied().take(self.hash.len()).collect();
        ScramKeys { stored_key: key.clone(), server_key: key }
    }
}

impl MechanismState for Scram {
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        match std::mem::replace(&mut self.state, ScramState::Ended) {
            ScramState::First => {
                let first = self.first(text(response)?)?;
                let lookup = Lookup { name: first.name.clone(), need: self.hash.need() };
                self.state = ScramState::Lookup(first);
                Some(Step::Lookup(lookup))
            }
            ScramState::Final { first, keys, is_known, nonce, server_first } => {
                let (without_proof, proof) = client_final(text(response)?, &first.bound, &nonce)?;
                let auth_message = format!("{},{server_first},{without_proof}", first.bare);
                let password = proven(self.hash, &keys, auth_message.as_bytes(), &proof);
                let password = password.filter(|_| is_known)?;
                let signature = self.hash.hmac(&keys.get(password)?.server_key, auth_message.as_bytes());
                self.state = ScramState::Acknowledgement(Proven { name: first.name, password });
                // Success carries no data in SMTP (RFC 4954 s.4), so the server's proof is one more challenge.
                Some(Step::Challenge(format!("v={}", STANDARD.encode(signature)).into_bytes()))
            }
            ScramState::Acknowledgement(proven) => response.is_empty().then_some(Step::Proven(proven)),
            ScramState::Lookup(_) | ScramState::Ended => None,
        }
    }

    fn found(&mut self, found: Found) -> Option<Step> {
        match std::mem::replace(&mut self.state, ScramState::Ended) {
            ScramState::Lookup(first) => Some(self.server_first(first, found)),
            _ => None,
        }
    }
}

/// Parses the final message: the expected `c=` and `r=`, extensions, and the proof at the end.
fn client_final<'a>(message: &'a str, bound: &[u8], nonce: &str) -> Option<(&'a str, Vec<u8>)> {
    let (without_proof, proof) = message.rsplit_once(",p=")?;
    let mut attributes = without_proof.split(',');
    let bound_to = STANDARD.decode(attributes.next()?.strip_prefix("c=")?).ok()?;
    let is_ours = attributes.next()?.strip_prefix("r=")? == nonce;
    let is_sound = bound_to == bound && is_ours && attributes.all(is_extension);
    Some((without_proof, STANDARD.decode(proof).ok()?)).filter(|_| is_sound)
}

fn text(message: &[u8]) -> Option<&str> {
    name::text(message, MAX_MESSAGE_BYTES)
}

/// Parses `r=`: printable ASCII without commas.
fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.len() <= MAX_NONCE_BYTES && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

/// Whether this is an optional extension: a letter without a meaning here, and a value.
fn is_extension(attribute: &str) -> bool {
    match attribute.split_once('=') {
        Some((letter, value)) => {
            let is_letter = letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_alphabetic());
            is_letter && !"anmrcspvie".contains(letter) && !value.is_empty()
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;
