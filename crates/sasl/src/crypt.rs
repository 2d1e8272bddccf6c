//! Verifiers of other programs: those of crypt(3), and those of Dovecot and LDAP with a scheme in braces.
//!
//! crypt(5); RFC 2307 s.5.3 for `{SSHA}` and similar schemes. Invariant: the cost of a verifier is checked before any work is
//! done, and every comparison takes constant time.

use aws_lc_rs::digest;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::engine::{DecodePaddingMode, Engine};
use data_encoding::HEXLOWER_PERMISSIVE;
use md5::{Digest, Md5};
use sha_crypt::{PasswordVerifier, ShaCrypt};
use subtle::ConstantTimeEq;
use yescrypt::Yescrypt;

use crate::password::MAX_MEMORY_KIB;
use crate::scram_keys::{ScramHash, scram_keys};
use crate::secret::Secret;

/// Maximum rounds of SHA-crypt; passlib uses 656 000.
pub const MAX_SHA_CRYPT_ROUNDS: u32 = 1_000_000;

/// Maximum cost of bcrypt; each step doubles the work.
pub const MAX_BCRYPT_COST: u32 = 14;

/// Maximum length of a verifier, in octets.
const MAX_VERIFIER_BYTES: usize = 1024;

/// Maximum length of a password in crypt(3), in octets.
const MAX_CRYPT_PASSWORD_BYTES: usize = 512;

const BCRYPT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A verifier that can be compared with a password.
pub(crate) enum Verifier<'a> {
    /// Argon2, whose costs are checked in password.rs.
    Argon2(&'a str),
    ShaCrypt(&'a str),
    Yescrypt(&'a str),
    Bcrypt {
        cost: u32,
        salt: [u8; 16],
        hash: Vec<u8>,
    },
    Md5Crypt {
        salt: &'a str,
        hash: &'a str,
    },
    Digest {
        hash: Hash,
        digest: Vec<u8>,
        salt: Vec<u8>,
    },
    Scram {
        hash: ScramHash,
        iterations: u32,
        salt: Vec<u8>,
        stored_key: Vec<u8>,
    },
    Plain(&'a str),
}

/// A hash of a single pass.
#[derive(Clone, Copy)]
pub(crate) enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl<'a> Verifier<'a> {
    /// Parses a verifier; `None` if it is unknown, damaged or too expensive.
    pub(crate) fn read(verifier: &'a str) -> Option<Self> {
        if verifier.len() > MAX_VERIFIER_BYTES {
            return None;
        }
        let Some((scheme, value)) = verifier.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return crypt(verifier);
        };
        let scheme = scheme.to_ascii_uppercase();
        let (scheme, encoding) = scheme.split_once('.').unwrap_or((&scheme, ""));
        match scheme {
            "CRYPT" | "SHA512-CRYPT" | "SHA256-CRYPT" | "BLF-CRYPT" | "MD5-CRYPT" | "MD5" | "ARGON2ID" | "ARGON2I" => {
                crypt(value).or_else(|| (scheme == "MD5").then(|| Hash::Md5.read(value, encoding, false))?)
            }
            "PLAIN" | "CLEAR" | "CLEARTEXT" => (!value.is_empty() && encoding.is_empty()).then_some(Self::Plain(value)),
            "PLAIN-MD5" | "LDAP-MD5" => Hash::Md5.read(value, encoding, false),
            "SHA" | "SHA1" => Hash::Sha1.read(value, encoding, false),
            "SHA256" => Hash::Sha256.read(value, encoding, false),
            "SHA512" => Hash::Sha512.read(value, encoding, false),
            "SMD5" => Hash::Md5.read(value, encoding, true),
            "SSHA" => Hash::Sha1.read(value, encoding, true),
            "SSHA256" => Hash::Sha256.read(value, encoding, true),
            "SSHA512" => Hash::Sha512.read(value, encoding, true),
            "SCRAM-SHA-1" => scram(ScramHash::Sha1, value),
            "SCRAM-SHA-256" => scram(ScramHash::Sha256, value),
            _ => None,
        }
    }

    /// Whether the password matches. Argon2 is handled in password.rs.
    pub(crate) fn verify(&self, password: &str) -> bool {
        let bytes = password.as_bytes();
        let is_short = bytes.len() <= MAX_CRYPT_PASSWORD_BYTES;
        match self {
            Self::Argon2(_) => false,
            Self::ShaCrypt(crypt) => is_short && ShaCrypt::default().verify_password(bytes, *crypt).is_ok(),
            Self::Yescrypt(crypt) => is_short && Yescrypt::default().verify_password(bytes, *crypt).is_ok(),
            Self::Bcrypt { cost, salt, hash } => {
                // bcrypt includes the NUL of a C string, and ignores what follows 72 octets.
                let key: Vec<u8> = bytes.iter().copied().chain([0]).take(72).collect();
                bcrypt::bcrypt(*cost, *salt, &key).iter().copied().take(23).collect::<Vec<u8>>().ct_eq(hash).into()
            }
            Self::Md5Crypt { salt, hash } => is_short && md5_crypt(bytes, salt).as_bytes().ct_eq(hash.as_bytes()).into(),
            Self::Digest { hash, digest, salt } => hash.digest(&[bytes, salt].concat()).ct_eq(digest).into(),
            Self::Scram { hash, iterations, salt, stored_key } => {
                scram_keys(*hash, password, salt, *iterations).is_some_and(|keys| keys.stored_key.ct_eq(stored_key).into())
            }
            Self::Plain(plain) => Secret::new(plain) == Secret::new(password),
        }
    }
}

impl Hash {
    fn len(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Md5 => return Md5::digest(message).to_vec(),
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }

    /// The digest, followed by the salt.
    fn read<'a>(self, value: &str, encoding: &str, is_salted: bool) -> Option<Verifier<'a>> {
        // Without a salt the length decides, as in Dovecot.
        let is_hex = encoding == "HEX" || encoding.is_empty() && !is_salted && value.len() == 2 * self.len();
        let bytes = match encoding {
            _ if is_hex => HEXLOWER_PERMISSIVE.decode(value.as_bytes()).ok()?,
            "" | "B64" | "BASE64" => STANDARD.decode(value).ok()?,
            _ => return None,
        };
        let (digest, salt) = bytes.split_at_checked(self.len())?;
        (salt.is_empty() != is_salted).then(|| Verifier::Digest { hash: self, digest: digest.to_vec(), salt: salt.to_vec() })
    }
}

/// `$id$...`
fn crypt(verifier: &str) -> Option<Verifier<'_>> {
    let mut fields = verifier.strip_prefix('$')?.split('$');
    match fields.next()? {
        "argon2id" | "argon2i" => crate::password::is_affordable(verifier).then_some(Verifier::Argon2(verifier)),
        "6" => is_sha_crypt(fields, 86).then_some(Verifier::ShaCrypt(verifier)),
        "5" => is_sha_crypt(fields, 43).then_some(Verifier::ShaCrypt(verifier)),
        "y" => is_yescrypt(fields).then_some(Verifier::Yescrypt(verifier)),
        "2a" | "2b" | "2y" => bcrypt(fields),
        "1" => {
            let (salt, hash) = (fields.next()?, fields.next()?);
            let is_sound = salt.len() <= 8 && hash.len() == 22 && is_crypt_base64(hash) && fields.next().is_none();
            is_sound.then_some(Verifier::Md5Crypt { salt, hash })
        }
        _ => None,
    }
}

/// `[rounds=n$]salt$hash`
fn is_sha_crypt<'a>(mut fields: impl Iterator<Item = &'a str>, hash_chars: usize) -> bool {
    let mut salt = fields.next();
    if let Some(rounds) = salt.and_then(|field| field.strip_prefix("rounds=")) {
        if !rounds.parse().is_ok_and(|rounds| (1000..=MAX_SHA_CRYPT_ROUNDS).contains(&rounds)) {
            return false;
        }
        salt = fields.next();
    }
    let is_salt = salt.is_some_and(|salt| !salt.is_empty() && salt.len() <= 16 && is_crypt_base64(salt));
    let is_hash = fields.next().is_some_and(|hash| hash.len() == hash_chars && is_crypt_base64(hash));
    is_salt && is_hash && fields.next().is_none()
}

/// `params$salt$hash`; only the parameters of crypt(3) are accepted, since others can be arbitrarily expensive.
fn is_yescrypt<'a>(mut fields: impl Iterator<Item = &'a str>) -> bool {
    let Some(params) = fields.next().filter(|p| p.len() <= 6).and_then(|p| p.parse::<yescrypt::Params>().ok()) else { return false };
    let (n, r) = (params.n(), params.r());
    let is_usual =
        n >= 1024 && (8..=64).contains(&r) && yescrypt::Params::new(yescrypt::Mode::default(), n, r, 1).is_ok_and(|p| p == params);
    let is_affordable = n.checked_mul(128 * u64::from(r)).is_some_and(|bytes| bytes / 1024 <= u64::from(MAX_MEMORY_KIB));
    let is_salt = fields.next().is_some_and(|salt| (4..=86).contains(&salt.len()) && is_crypt_base64(salt));
    let is_hash = fields.next().is_some_and(|hash| hash.len() == 43 && is_crypt_base64(hash));
    is_usual && is_affordable && is_salt && is_hash && fields.next().is_none()
}

/// `cost$` and 22 characters of salt, 31 of hash.
fn bcrypt<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Verifier<'a>> {
    let cost = fields.next().filter(|cost| cost.len() == 2)?.parse().ok().filter(|cost| (4..=MAX_BCRYPT_COST).contains(cost))?;
    let (salt, hash) = fields.next()?.split_at_checked(22)?;
    let salt = BCRYPT_BASE64.decode(salt).ok()?.try_into().ok()?;
    let hash = BCRYPT_BASE64.decode(hash).ok().filter(|hash| hash.len() == 23)?;
    fields.next().is_none().then_some(Verifier::Bcrypt { cost, salt, hash })
}

/// Dovecot's `iterations,salt,StoredKey,ServerKey`.
fn scram<'a>(hash: ScramHash, value: &str) -> Option<Verifier<'a>> {
    let mut fields = value.split(',');
    let iterations = fields.next()?.parse().ok().filter(|i| (1..=crate::scram_keys::MAX_ITERATIONS).contains(i))?;
    let (salt, stored_key) = (STANDARD.decode(fields.next()?).ok()?, STANDARD.decode(fields.next()?).ok()?);
    let server_key = STANDARD.decode(fields.next()?).ok()?;
    let is_whole = fields.next().is_none() && [stored_key.len(), server_key.len()] == [hash.len(); 2];
    is_whole.then_some(Verifier::Scram { hash, iterations, salt, stored_key })
}

fn is_crypt_base64(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
}

/// The hash of `$1$`, by Poul-Henning Kamp; the order of its steps is arbitrary.
fn md5_crypt(password: &[u8], salt: &str) -> String {
    let salt = salt.as_bytes();
    let alternate = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut first = Md5::new().chain_update(password).chain_update(b"$1$").chain_update(salt);
    alternate.iter().cycle().take(password.len()).for_each(|byte| first.update([*byte]));
    let mut bits = password.len();
    while bits > 0 {
        let byte = if bits & 1 == 1 { 0 } else { password.first().copied().unwrap_or_default() };
        first.update([byte]);
        bits >>= 1;
    }
    let mut last = first.finalize();
    for round in 0..1000 {
        let is_odd = round % 2 == 1;
        let mut next = Md5::new();
        next.update(if is_odd { password } else { last.as_slice() });
        next.update(if round % 3 == 0 { &[] } else { salt });
        next.update(if round % 7 == 0 { &[] } else { password });
        next.update(if is_odd { last.as_slice() } else { password });
        last = next.finalize();
    }
    let digest: [u8; 16] = last.into();
    let byte = |place: usize| digest.get(place).copied().map_or(0, u32::from);
    let mut out = String::with_capacity(22);
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push_crypt_base64(&mut out, byte(a) << 16 | byte(b) << 8 | byte(c), 4);
    }
    push_crypt_base64(&mut out, byte(11), 2);
    out
}

fn push_crypt_base64(out: &mut String, mut bits: u32, chars: usize) {
    const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..chars {
        let char = usize::try_from(bits & 63).ok().and_then(|place| ALPHABET.get(place));
        out.extend(char.copied().map(char::from));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests;
