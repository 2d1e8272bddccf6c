//! NTLM: three messages around a challenge of eight octets.
//!
//! Microsoft's MS-NLMP s.2.2.1 and s.3.3. Invariant: the LM response, which a table can reverse, never authenticates; an
//! unknown user costs as much as a wrong response. No session key is derived, so the integrity code is not checked.

use des::Des;
use des::cipher::{BlockCipherEncrypt, KeyInit};
use md4::Md4;
use md5::{Digest, Md5};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::cram::hmac_md5;
use crate::exchange::{Context, MechanismState};
use crate::name;
use crate::step::{Found, Lookup, Need, Proven, Step};

const SIGNATURE: &[u8] = b"NTLMSSP\0";

const NEGOTIATE_UNICODE: u32 = 0x0000_0001;
const NEGOTIATE_OEM: u32 = 0x0000_0002;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NEGOTIATE_NTLM: u32 = 0x0000_0200;
const NEGOTIATE_ALWAYS_SIGN: u32 = 0x0000_8000;
const TARGET_TYPE_SERVER: u32 = 0x0002_0000;
const NEGOTIATE_EXTENDED_SESSIONSECURITY: u32 = 0x0008_0000;
const NEGOTIATE_TARGET_INFO: u32 = 0x0080_0000;

/// The client's flags that the server accepts.
const AGREED: u32 = NEGOTIATE_UNICODE | REQUEST_TARGET | NEGOTIATE_ALWAYS_SIGN | NEGOTIATE_EXTENDED_SESSIONSECURITY;

/// Maximum length of a message, in octets.
const MAX_MESSAGE_BYTES: usize = 4096;

/// The offset of the payload in a challenge, which has no version field.
const CHALLENGE_HEADER_BYTES: u32 = 48;

/// The state of NTLM.
pub(crate) struct Ntlm {
    hostname: String,
    challenge: [u8; 8],
    state: NtlmState,
}

enum NtlmState {
    Negotiate,
    /// Waits for the response; whether names are in UTF-16.
    Authenticate(bool),
    Lookup(String, NtlmResponse),
    Ended,
}

/// The client's response.
struct NtlmResponse {
    user: String,
    domain: String,
    lm: Vec<u8>,
    nt: Vec<u8>,
}

impl Ntlm {
    pub(crate) fn new(context: &Context) -> Self {
        let challenge = context.nonce.first_chunk().copied().unwrap_or_default();
        Self { hostname: context.hostname.clone(), challenge, state: NtlmState::Negotiate }
    }

    /// The first label in upper case, as in the name of a Windows computer. Without a dot it cannot be taken for a mail domain.
    fn target(&self) -> String {
        let label = self.hostname.split('.').next().unwrap_or_default();
        label.chars().filter(char::is_ascii).take(15).collect::<String>().to_ascii_uppercase()
    }

    /// CHALLENGE_MESSAGE, MS-NLMP s.2.2.1.2.
    fn challenge(&self, offered: u32) -> Vec<u8> {
        let is_unicode = offered & NEGOTIATE_UNICODE != 0;
        let charset = if is_unicode { 0 } else { NEGOTIATE_OEM };
        let flags = offered & AGREED | charset | NEGOTIATE_NTLM | TARGET_TYPE_SERVER | NEGOTIATE_TARGET_INFO;
        let target = if is_unicode { utf16(&self.target()) } else { self.target().into_bytes() };
        let info =
            [pair(2, &utf16(&self.target())), pair(1, &utf16(&self.target())), pair(3, &utf16(&self.hostname)), pair(0, &[])].concat();
        let target_bytes = u32::try_from(target.len()).unwrap_or_default();
        [
            SIGNATURE,
            &2u32.to_le_bytes(),
            &field(&target, CHALLENGE_HEADER_BYTES),
            &flags.to_le_bytes(),
            &self.challenge,
            &[0; 8],
            &field(&info, CHALLENGE_HEADER_BYTES + target_bytes),
            &target,
            &info,
        ]
        .concat()
    }

    /// Rejoins a mail address, which libntlm splits into a user and a domain.
    fn login(&self, response: &NtlmResponse) -> String {
        let NtlmResponse { user, domain, .. } = response;
        let is_address = user.contains('@') || !domain.contains('.') || domain.eq_ignore_ascii_case(&self.target());
        if is_address { user.clone() } else { format!("{user}@{domain}") }
    }

    fn is_right(&self, response: &NtlmResponse, password: &str) -> Choice {
        let Some(hash) = nt_hash(password) else { return Choice::from(0) };
        let NtlmResponse { user, domain, lm, nt } = response;
        if nt.len() == 24 {
            let plain = desl(&hash, &self.challenge).ct_eq(nt);
            let (client, rest) = lm.split_at_checked(8).unwrap_or_default();
            let seed: [u8; 16] = Md5::new().chain_update(self.challenge).chain_update(client).finalize().into();
            let seed = seed.first_chunk().copied().unwrap_or_default();
            let session = desl(&hash, &seed).ct_eq(nt) & Choice::from(u8::from(rest == [0; 16]));
            return plain | session;
        }
        let Some((proof, blob)) = nt.split_at_checked(16) else { return Choice::from(0) };
        let key = hmac_md5(hash.as_slice(), &[&utf16(&uppercase(user)), &utf16(domain)]);
        let computed = key.and_then(|key| hmac_md5(&key, &[&self.challenge, blob]));
        computed.map_or(Choice::from(0), |computed| computed.as_slice().ct_eq(proof))
    }
}

impl MechanismState for Ntlm {
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        match std::mem::replace(&mut self.state, NtlmState::Ended) {
            NtlmState::Negotiate => {
                let message = body(response, 1)?;
                let offered = u32_at(message, 12)?;
                self.state = NtlmState::Authenticate(offered & NEGOTIATE_UNICODE != 0);
                Some(Step::Challenge(self.challenge(offered)))
            }
            NtlmState::Authenticate(is_unicode) => {
                let response = NtlmResponse::read(body(response, 3)?, is_unicode)?;
                let name = name::prepared(&self.login(&response))?;
                let lookup = Lookup { name: name.clone(), need: Need::Secrets };
                self.state = NtlmState::Lookup(name, response);
                Some(Step::Lookup(lookup))
            }
            NtlmState::Lookup(..) | NtlmState::Ended => None,
        }
    }

    fn found(&mut self, found: Found) -> Option<Step> {
        let NtlmState::Lookup(name, response) = std::mem::replace(&mut self.state, NtlmState::Ended) else { return None };
        let password = found.matching(|secret| self.is_right(&response, secret))?;
        Some(Step::Proven(Proven { name, password }))
    }
}

impl NtlmResponse {
    /// AUTHENTICATE_MESSAGE, MS-NLMP s.2.2.1.3.
    fn read(message: &[u8], is_unicode: bool) -> Option<Self> {
        let (lm, nt) = (payload(message, 12)?, payload(message, 20)?);
        let (domain, user) = (payload(message, 28)?, payload(message, 36)?);
        payload(message, 44)?;
        // Old clients send no flags; their payload begins at that offset.
        let start = [12, 20, 28, 36, 44].into_iter().filter_map(|at| u32_at(message, at + 4)).min()?;
        let is_unicode = if start >= 64 { u32_at(message, 60)? & NEGOTIATE_UNICODE != 0 } else { is_unicode };
        let read = |bytes: &[u8]| if is_unicode { from_utf16(bytes) } else { Some(from_oem(bytes)) };
        Some(Self { user: read(user)?, domain: read(domain)?, lm: lm.to_vec(), nt: nt.to_vec() }).filter(|r| r.nt.len() >= 24)
    }
}

/// Parses the head of a message of this type.
fn body(message: &[u8], kind: u32) -> Option<&[u8]> {
    let is_sound = message.starts_with(SIGNATURE) && u32_at(message, 8) == Some(kind) && message.len() <= MAX_MESSAGE_BYTES;
    is_sound.then_some(message)
}

/// The field whose length and offset are at `at`.
fn payload(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16::from_le_bytes(*message.get(at..)?.first_chunk()?));
    let offset = usize::try_from(u32_at(message, at + 4)?).ok()?;
    // The offset of an empty field is meaningless.
    if length == 0 { Some(&[]) } else { message.get(offset..offset.checked_add(length)?) }
}

fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    message.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// A length, twice, and an offset.
fn field(payload: &[u8], offset: u32) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or_default().to_le_bytes();
    [length.as_slice(), &length, &offset.to_le_bytes()].concat()
}

/// AV_PAIR, MS-NLMP s.2.2.2.1.
fn pair(id: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or_default();
    [&id.to_le_bytes(), &length.to_le_bytes(), value].concat()
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn from_utf16(bytes: &[u8]) -> Option<String> {
    let (units, rest) = bytes.as_chunks::<2>();
    let units = units.iter().map(|unit| u16::from_le_bytes(*unit));
    char::decode_utf16(units).collect::<Result<String, _>>().ok().filter(|_| rest.is_empty())
}

/// Decodes an OEM name, whose character set is unknown.
fn from_oem(bytes: &[u8]) -> String {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
}

/// Upper case as in Windows: a character without a single capital stays.
fn uppercase(text: &str) -> String {
    let capital = |c: char| Some(c.to_uppercase()).filter(|upper| upper.len() == 1).and_then(|mut upper| upper.next());
    text.chars().map(|c| capital(c).unwrap_or(c)).collect()
}

/// NTOWFv1, MS-NLMP s.3.3.1.
fn nt_hash(password: &str) -> Option<Zeroizing<[u8; 16]>> {
    (!password.is_empty()).then(|| Zeroizing::new(Md4::digest(&*Zeroizing::new(utf16(password))).into()))
}

/// DESL, MS-NLMP s.6: the key in three parts, of which the last has two octets.
fn desl(key: &[u8; 16], block: &[u8; 8]) -> [u8; 24] {
    let mut out = [0; 24];
    let mut padded = [0; 21];
    padded.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    for (to, part) in out.as_chunks_mut::<8>().0.iter_mut().zip(padded.as_chunks::<7>().0) {
        let mut block = (*block).into();
        Des::new(&with_parity(part).into()).encrypt_block(&mut block);
        *to = block.into();
    }
    out
}

/// Expands seven octets to eight with seven bits each; DES ignores the eighth bit.
fn with_parity(part: &[u8; 7]) -> [u8; 8] {
    let bits = part.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
    std::array::from_fn(|place| u8::try_from(bits >> (49 - 7 * place) & 0x7f).unwrap_or_default() << 1)
}

#[cfg(test)]
mod tests;
