//! The Sender Rewriting Scheme: a reverse-path of ours that leads DSNs back to the original sender.
//!
//! `SRS0=hash=day=domain=local@ours` for an original address, `SRS1=hash=host==rest@ours` for one that another forwarder has already
//! rewritten: these are never nested (libsrs2, postsrsd and Mail::SRS write the same forms). RFC 5321 s.4.5.3.1.1 for
//! the 64 octets of a local part. Invariant: an address is reversed only if its hash was made with a secret of
//! ours and it has not expired; the comparison takes the same time for every wrong hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use subtle::ConstantTimeEq as _;

use crate::address::Mailbox;
use crate::domain::Domain;

/// Validity of an address, in days.
pub const VALID_DAYS: i64 = 21;

/// Days repeat after this number: two base32 characters.
const DAYS: i64 = 1024;

/// Maximum local part that every server must accept, in octets.
const LOCAL_MAX: usize = 64;

/// Characters of the hash: 80 bits if the local part has room, otherwise 40 bits.
const HASH_LENGTHS: [usize; 2] = [16, 8];

/// Characters of the hash in addresses of postsrsd and Mail::SRS.
const CLASSIC_HASH_LENGTH: usize = 4;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The hash of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// HMAC-SHA256 in base32, 8 to 16 characters, fields separated.
    Sha256,
    /// HMAC-SHA1 in base64, 4 characters, as in postsrsd and Mail::SRS: their addresses can be reversed.
    Classic,
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// Its hash.
    pub hash: Hash,
    /// Its octets.
    pub key: Vec<u8>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?})", self.hash)
    }
}

/// The message authentication code of some data with a secret. This crate has no cryptography of its own.
pub type Mac = fn(&Secret, &[u8]) -> Vec<u8>;

/// Rewrites and reverses addresses of one domain.
#[derive(Debug, Clone)]
pub struct Srs {
    /// The domain of the rewritten addresses.
    pub domain: Domain,
    /// The secrets: the first signs, all verify.
    pub secrets: Vec<Secret>,
    /// The message authentication code.
    pub mac: Mac,
}

/// A rewritten reverse-path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The address.
    pub address: Mailbox,
    /// If the original is too long for a local part: the token for it, which must be stored.
    pub token: Option<String>,
}

/// What a rewritten address leads back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reversed {
    /// The sender, or the forwarder before us.
    Address(Mailbox),
    /// The sender stored under this token.
    Token(String),
}

/// Why an address is not reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrsError {
    /// It does not have a form that we make.
    Malformed,
    /// The hash is not ours.
    Forged,
    /// It is too old.
    Expired,
}

impl fmt::Display for SrsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is not a return address of this server",
            Self::Forged => "this return address was not made by this server",
            Self::Expired => "this return address has expired",
        })
    }
}

impl std::error::Error for SrsError {}

/// The tag's number and what follows its separator: `0` and `hash=day=domain=local`.
fn tagged(local: &str) -> Option<(u8, &str)> {
    let tag = local.get(..4)?;
    let number = if tag.eq_ignore_ascii_case("SRS0") {
        0
    } else if tag.eq_ignore_ascii_case("SRS1") {
        1
    } else {
        return None;
    };
    let rest = local.get(4..)?;
    rest.starts_with(['=', '+', '-']).then(|| (number, rest.get(1..).unwrap_or_default()))
}

fn base32(value: i64) -> char {
    let index = usize::try_from(value.rem_euclid(32)).unwrap_or(0);
    char::from(BASE32.get(index).copied().unwrap_or(b'A'))
}

fn day_of(unix_s: i64) -> i64 {
    unix_s.div_euclid(86_400).rem_euclid(DAYS)
}

fn write_day(unix_s: i64) -> String {
    let day = day_of(unix_s);
    [base32(day / 32), base32(day)].into_iter().collect()
}

fn read_day(text: &str) -> Option<i64> {
    let digit = |b: u8| BASE32.iter().position(|d| *d == b.to_ascii_uppercase()).and_then(|n| i64::try_from(n).ok());
    match text.as_bytes() {
        [high, low] => Some(digit(*high)? * 32 + digit(*low)?),
        _ => None,
    }
}

impl Srs {
    /// Whether this address is, or claims to be, one of ours.
    pub fn owns(&self, address: &Mailbox) -> bool {
        address.domain == self.domain && tagged(address.local.as_str()).is_some()
    }

    /// Rewrites a reverse-path. `None` without a secret.
    pub fn rewrite(&self, sender: &Mailbox, now_unix_s: i64) -> Option<Rewritten> {
        let secret = self.secrets.first()?;
        let local = sender.local.as_str();
        let (tag, parts) = match Self::by_other_forwarder(sender) {
            Some([host, rest]) => ("SRS1", vec![host, rest]),
            None => ("SRS0", vec![write_day(now_unix_s), sender.domain.to_string(), local.to_owned()]),
        };
        for length in lengths(secret.hash) {
            let hash = self.hash(secret, tag, &parts, *length);
            let local = format!("{tag}={hash}={}", parts.join("="));
            if local.len() <= LOCAL_MAX {
                return Some(Rewritten { address: self.address(&local)?, token: None });
            }
        }
        let token = token(&(self.mac)(secret, data(secret.hash, "token", &[sender.to_string()]).as_bytes()));
        let parts = [write_day(now_unix_s), String::new(), token];
        let hash = self.hash(secret, "SRS0", &parts, *lengths(secret.hash).first()?);
        let [.., token] = parts.clone();
        let address = self.address(&format!("SRS0={hash}={}", parts.join("=")))?;
        Some(Rewritten { address, token: Some(token) })
    }

    /// Reverses an address.
    pub fn reverse(&self, address: &Mailbox, now_unix_s: i64) -> Result<Reversed, SrsError> {
        let (number, rest) = tagged(address.local.as_str()).ok_or(SrsError::Malformed)?;
        let (hash, rest) = rest.split_once('=').ok_or(SrsError::Malformed)?;
        if number == 1 {
            let (host, rest) = rest.split_once('=').ok_or(SrsError::Malformed)?;
            self.verify(hash, "SRS1", &[host, rest])?;
            return first_forwarder(host, rest).map(Reversed::Address).ok_or(SrsError::Malformed);
        }
        let mut fields = rest.splitn(3, '=');
        let (Some(day), Some(domain), Some(local)) = (fields.next(), fields.next(), fields.next()) else {
            return Err(SrsError::Malformed);
        };
        self.verify(hash, "SRS0", &[day, domain, local])?;
        let age = (day_of(now_unix_s) - read_day(day).ok_or(SrsError::Malformed)?).rem_euclid(DAYS);
        // Another node's clock may already be past midnight.
        if age > VALID_DAYS && age != DAYS - 1 {
            return Err(SrsError::Expired);
        }
        if domain.is_empty() {
            // Hosts on the way may change its case. Tokens are in upper case; those of a `postsrsd:` secret were once base64, so the store ignores
            // case.
            return Ok(Reversed::Token(local.to_ascii_uppercase()));
        }
        Mailbox::parse(&format!("{}@{domain}", quoted(local))).map(Reversed::Address).map_err(|_| SrsError::Malformed)
    }

    /// The first forwarder's host, and the rest of its local part, if another forwarder has rewritten the sender in a form that leads back to it.
    fn by_other_forwarder(sender: &Mailbox) -> Option<[String; 2]> {
        let local = sender.local.as_str();
        let (host, rest) = match tagged(local)? {
            // The separator after the tag is the other forwarder's and is kept: hence two separators in a row.
            (0, _) => (sender.domain.as_str(), local.get(4..)?),
            (_, rest) => rest.split_once('=')?.1.split_once('=')?,
        };
        first_forwarder(host, rest).map(|_| [host.to_owned(), rest.to_owned()])
    }

    fn address(&self, local: &str) -> Option<Mailbox> {
        Mailbox::parse(&format!("{}@{}", quoted(local), self.domain)).ok()
    }

    fn hash(&self, secret: &Secret, tag: &str, parts: &[String], length: usize) -> String {
        let mut hash = encode(secret, &(self.mac)(secret, data(secret.hash, tag, parts).as_bytes()));
        hash.truncate(length);
        hash
    }

    fn verify(&self, hash: &str, tag: &str, parts: &[&str]) -> Result<(), SrsError> {
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let mut is_ours = false;
        for secret in &self.secrets {
            let shortest = lengths(secret.hash).last().copied().unwrap_or(usize::MAX);
            let longest = encode(secret, &(self.mac)(secret, data(secret.hash, tag, &parts).as_bytes()));
            let Some(expected) = longest.get(..hash.len()).filter(|_| hash.len() >= shortest) else { continue };
            // Relays change the case of local parts.
            is_ours |= bool::from(expected.to_ascii_lowercase().as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()));
        }
        if is_ours { Ok(()) } else { Err(SrsError::Forged) }
    }
}

/// The address of the first forwarder.
fn first_forwarder(host: &str, rest: &str) -> Option<Mailbox> {
    let is_whole = rest.starts_with(['=', '+', '-']) && host.contains('.');
    is_whole.then(|| Mailbox::parse(&format!("{}@{host}", quoted(&format!("SRS0{rest}")))).ok()).flatten()
}

fn lengths(hash: Hash) -> &'static [usize] {
    match hash {
        Hash::Sha256 => &HASH_LENGTHS,
        Hash::Classic => &[CLASSIC_HASH_LENGTH],
    }
}

/// What is authenticated. Without a sign between them, the end of one field could become the beginning of the next; without the
/// tag, an address of one form could be made into one of the other.
fn data(hash: Hash, tag: &str, parts: &[String]) -> String {
    match hash {
        Hash::Sha256 => format!("{tag}={}", parts.join("=")),
        Hash::Classic => parts.concat(),
    }
    .to_lowercase()
}

fn encode(secret: &Secret, mac: &[u8]) -> String {
    match secret.hash {
        Hash::Classic => BASE64.encode(mac),
        Hash::Sha256 => token(mac),
    }
}

/// 80 bits in base32, which mean the same in either case: 10 octets, 5 bits a character.
fn token(mac: &[u8]) -> String {
    let bits = mac.iter().take(10).fold(0u128, |bits, octet| bits << 8 | u128::from(*octet));
    (0..16).rev().map(|n| base32(i64::try_from(bits >> (5 * n) & 31).unwrap_or(0))).collect()
}

/// The text as a local part, quoted if necessary.
fn quoted(local: &str) -> String {
    crate::address::LocalPart::from_plain(local).to_string()
}

#[cfg(test)]
mod tests;
