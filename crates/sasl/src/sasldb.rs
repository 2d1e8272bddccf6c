//! Reads the users of a Cyrus sasldb2, a Berkeley DB hash table, for import.
//!
//! The layout is that of Berkeley DB's db_page.h, versions 8 to 10 of its hash. Invariant: for any input this
//! terminates, takes little memory and does not panic: each page is visited once, and chains yield at most the size of the file.

use std::cell::Cell;
use std::fmt;

use zeroize::Zeroizing;

use crate::secret::Secret;

const MAGIC: u32 = 0x0006_1561;
const VERSIONS: std::ops::RangeInclusive<u32> = 8..=10;

/// The size of a page's header.
const HEADER_BYTES: usize = 26;

const PAGE_HASH_UNSORTED: u8 = 2;
const PAGE_OVERFLOW: u8 = 7;
const PAGE_HASH_META: u8 = 8;
const PAGE_HASH: u8 = 13;

const ITEM_DATA: u8 = 1;
const ITEM_ELSEWHERE: u8 = 3;

/// Maximum length of a key or password, in octets; Cyrus SASL has none longer.
const MAX_ITEM_BYTES: usize = 16_384;

/// Maximum size of a file, in octets.
const MAX_FILE_BYTES: usize = 256 << 20;

/// The property of a password.
const PROPERTY: &[u8] = b"userPassword";

/// A user with a password.
#[derive(Clone, PartialEq, Eq)]
pub struct SasldbEntry {
    /// The name without the realm.
    pub user: String,
    /// The realm: a domain, or the name of the host.
    pub realm: String,
    /// The password, which Cyrus SASL keeps in plaintext.
    pub password: Secret,
}

impl fmt::Debug for SasldbEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.realm)
    }
}

/// Why a file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SasldbError {
    /// Not a database, or one of another kind.
    #[error("not a Berkeley DB hash table; sasldb2 may also be LMDB or GDBM: convert it with cyrusbdb2current or create it again")]
    NotBerkeleyHash,
    /// An unknown version.
    #[error("unknown version {0} of a Berkeley DB hash table; db_upgrade may help")]
    Version(u32),
    /// Encrypted or with checksums, which Cyrus SASL does not use.
    #[error("the database is encrypted or has checksums")]
    Encrypted,
    /// Truncated, or its pages are inconsistent.
    #[error("the database is damaged on page {0}; db_verify shows details")]
    Damaged(u32),
    /// Larger than any sasldb2.
    #[error("the database is larger than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
}

/// Reads all users with a password, sorted by realm and name. Names and passwords that are not UTF-8 are read as Latin-1.
pub fn read(bytes: &[u8]) -> Result<Vec<SasldbEntry>, SasldbError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(SasldbError::TooLarge);
    }
    let file = File::open(bytes)?;
    let mut entries = Vec::new();
    for number in 1..=file.last {
        let page = file.page(number)?;
        if [PAGE_HASH, PAGE_HASH_UNSORTED].contains(&page.kind) {
            file.read_page(&page, &mut entries).ok_or(SasldbError::Damaged(number))?;
        }
    }
    entries.sort_by(|a, b| (&a.realm, &a.user).cmp(&(&b.realm, &b.user)));
    entries.dedup_by(|a, b| a.realm == b.realm && a.user == b.user);
    Ok(entries)
}

struct File<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    page_bytes: usize,
    last: u32,
    /// Octets that overflow pages may still yield: each page belongs to one item, unless the file is malicious.
    left: Cell<usize>,
}

struct Page<'a> {
    bytes: &'a [u8],
    kind: u8,
    next: u32,
    entries: u16,
    /// The offset of the first item; on an overflow page, its number of octets.
    offset: u16,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, SasldbError> {
        let magic = bytes.get(12..).and_then(|b| b.first_chunk()).ok_or(SasldbError::NotBerkeleyHash)?;
        let is_big_endian = u32::from_be_bytes(*magic) == MAGIC;
        if !is_big_endian && u32::from_le_bytes(*magic) != MAGIC {
            return Err(SasldbError::NotBerkeleyHash);
        }
        let mut file = Self { bytes, is_big_endian, page_bytes: 0, last: 0, left: Cell::new(bytes.len()) };
        let damaged = SasldbError::Damaged(0);
        let version = file.u32_at(bytes, 16).ok_or_else(|| damaged.clone())?;
        if !VERSIONS.contains(&version) {
            return Err(SasldbError::Version(version));
        }
        let page_bytes = file.u32_at(bytes, 20).filter(|size| size.is_power_of_two() && (512..=65_536).contains(size));
        file.page_bytes = page_bytes.and_then(|size| usize::try_from(size).ok()).ok_or_else(|| damaged.clone())?;
        match bytes.get(24..27) {
            Some([0, PAGE_HASH_META, flags]) if flags & 1 == 0 => {}
            Some([_, PAGE_HASH_META, _]) => return Err(SasldbError::Encrypted),
            _ => return Err(SasldbError::NotBerkeleyHash),
        }
        file.last = file.u32_at(bytes, 32).ok_or(damaged)?;
        // A truncated file is an error at once, not after half of its users.
        file.page(file.last)?;
        Ok(file)
    }

    fn page(&self, number: u32) -> Result<Page<'a>, SasldbError> {
        self.find_page(number).ok_or(SasldbError::Damaged(number))
    }

    fn find_page(&self, number: u32) -> Option<Page<'a>> {
        let start = usize::try_from(number).ok()?.checked_mul(self.page_bytes)?;
        let bytes = self.bytes.get(start..start.checked_add(self.page_bytes)?)?;
        Some(Page {
            bytes,
            next: self.u32_at(bytes, 16)?,
            entries: self.u16_at(bytes, 20)?,
            offset: self.u16_at(bytes, 22)?,
            kind: *bytes.get(25)?,
        })
    }

    /// Keys and values alternate on a page, stored from its end towards its start.
    fn read_page(&self, page: &Page<'a>, entries: &mut Vec<SasldbEntry>) -> Option<()> {
        let mut end = self.page_bytes;
        let mut key: Option<Option<Zeroizing<Vec<u8>>>> = None;
        for place in 0..usize::from(page.entries) {
            let start = usize::from(self.u16_at(page.bytes, HEADER_BYTES + 2 * place)?);
            let floor = HEADER_BYTES + 2 * usize::from(page.entries);
            let item = page.bytes.get(start..end).filter(|item| !item.is_empty() && start >= floor)?;
            end = start;
            let value = self.item(item)?;
            match key.take() {
                None => key = Some(value),
                Some(key) => entries.extend(key.zip(value).and_then(|(key, value)| entry(&key, &value))),
            }
        }
        key.is_none().then_some(())
    }

    /// The octets of an item. The inner `None` is a duplicate, which Cyrus SASL does not write; the outer `None` is damage.
    fn item(&self, item: &[u8]) -> Option<Option<Zeroizing<Vec<u8>>>> {
        let (kind, data) = item.split_first()?;
        match *kind {
            ITEM_DATA => Some(Some(Zeroizing::new(data.to_vec()))),
            ITEM_ELSEWHERE => {
                let (page, length) = (self.u32_at(item, 4)?, self.u32_at(item, 8)?);
                self.elsewhere(page, usize::try_from(length).ok()?).map(Some)
            }
            _ => Some(None),
        }
    }

    /// Collects `length` octets from a chain of overflow pages.
    fn elsewhere(&self, mut number: u32, length: usize) -> Option<Zeroizing<Vec<u8>>> {
        self.left.set(Some(length).filter(|l| *l <= MAX_ITEM_BYTES).and_then(|l| self.left.get().checked_sub(l))?);
        let mut data = Zeroizing::new(Vec::new());
        while data.len() < length {
            let page = self.find_page(number).filter(|page| number != 0 && page.kind == PAGE_OVERFLOW)?;
            // All pages but the last are full; a ring of empty ones would never end.
            let full = self.page_bytes.checked_sub(HEADER_BYTES)?.min(length - data.len());
            let held = Some(usize::from(page.offset)).filter(|held| *held == full)?;
            data.extend_from_slice(page.bytes.get(HEADER_BYTES..HEADER_BYTES.checked_add(held)?)?);
            number = page.next;
        }
        Some(data).filter(|data| data.len() == length)
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) })
    }

    fn u16_at(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..)?.first_chunk()?;
        Some(if self.is_big_endian { u16::from_be_bytes(*bytes) } else { u16::from_le_bytes(*bytes) })
    }
}

/// `user NUL realm NUL property`
fn entry(key: &[u8], value: &[u8]) -> Option<SasldbEntry> {
    let mut parts = key.split(|b| *b == 0);
    let (user, realm, property) = (parts.next()?, parts.next()?, parts.next()?);
    if property != PROPERTY || parts.next().is_some() || user.is_empty() || value.is_empty() {
        return None;
    }
    Some(SasldbEntry { user: text(user).to_string(), realm: text(realm).to_string(), password: Secret::new(&text(value)) })
}

fn text(bytes: &[u8]) -> Zeroizing<String> {
    let text = std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned);
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = include_bytes!("../tests/data/one.sasldb");
    const FIVE: &[u8] = include_bytes!("../tests/data/five.sasldb");
    const MANY: &[u8] = include_bytes!("../tests/data/many.sasldb");
    const LONG: &[u8] = include_bytes!("../tests/data/long.sasldb");

    fn entry(user: &str, realm: &str, password: &str) -> SasldbEntry {
        SasldbEntry { user: user.into(), realm: realm.into(), password: Secret::new(password) }
    }

    #[test]
    fn files_of_saslpasswd2_are_parsed() {
        assert_eq!(read(ONE).unwrap(), [entry("tim", "x.test", "tanstaaf")]);
        let five: Vec<SasldbEntry> = (1..=5).map(|n| entry(&format!("user{n}"), "x.test", &format!("pass {n}"))).collect();
        assert_eq!(read(FIVE).unwrap(), five);
        assert_eq!(read(LONG).unwrap(), [entry("tim", "x.test", &"long-".repeat(400)), entry("tom", "x.test", "short")]);
        let many = read(MANY).unwrap();
        assert_eq!(many.len(), 300);
        for n in 1..=300 {
            let password = format!("secret-{n}-{}", "x".repeat(std::cmp::max(n % 40, 1)));
            assert!(many.contains(&entry(&format!("user{n}"), &format!("mail{}.x.test", n % 3), &password)), "{n}");
        }
        assert!(!format!("{many:?}").contains("secret"));
    }

    /// Made by swapping the byte order of a real file.
    #[test]
    fn the_other_byte_order_is_parsed() {
        let mut file = ONE.to_vec();
        let mut turn = |at: usize, length: usize| file[at..at + length].reverse();
        [12, 16, 20, 32].into_iter().for_each(|at| turn(at, 4));
        for page in [4096, 8192] {
            [8, 12, 16].into_iter().for_each(|at| turn(page + at, 4));
            [20, 22, 26, 28].into_iter().for_each(|at| turn(page + at, 2));
        }
        assert_eq!(read(&file).unwrap(), [entry("tim", "x.test", "tanstaaf")]);
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        for length in 0..LONG.len() {
            assert!(read(&LONG[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn a_damaged_file_neither_panics_nor_loops() {
        for file in [ONE, LONG] {
            for place in 0..file.len() {
                for byte in [0x00, 0x01, 0x7f, 0xff] {
                    let mut changed = file.to_vec();
                    changed[place] = byte;
                    let _ = read(&changed);
                }
            }
        }
        // A ring of overflow pages.
        let mut ring = LONG.to_vec();
        ring[3 * 4096 + 16] = 3;
        ring[3 * 4096 + 22..3 * 4096 + 24].copy_from_slice(&[0, 0]);
        assert_eq!(read(&ring), Err(SasldbError::Damaged(1)));
        // A page full of items that all point to the same pages.
        let mut greedy = LONG[..4 * 4096].to_vec();
        let item: Vec<u8> = LONG[4096 + 0xfdc..4096 + 0xfe8].to_vec();
        let items = 200;
        greedy[4096 + 20] = 200;
        for n in 0..items {
            let start = 4096 - 12 * (n + 1);
            greedy[4096 + start..4096 + start + 12].copy_from_slice(&item);
            greedy[4096 + 26 + 2 * n..4096 + 28 + 2 * n].copy_from_slice(&u16::try_from(start).unwrap().to_le_bytes());
        }
        assert_eq!(read(&greedy), Err(SasldbError::Damaged(1)));
        let mut encrypted = ONE.to_vec();
        encrypted[24] = 1;
        assert_eq!(read(&encrypted), Err(SasldbError::Encrypted));
        let mut newer = ONE.to_vec();
        newer[16] = 11;
        assert_eq!(read(&newer), Err(SasldbError::Version(11)));
        assert_eq!(read(b"SQLite format 3\0"), Err(SasldbError::NotBerkeleyHash));
    }

    #[test]
    fn other_properties_are_ignored() {
        let key = |key: &[u8]| super::entry(key, b"x").is_some();
        assert!(key(b"tim\0x.test\0userPassword") && key(b"tim\0\0userPassword"));
        for other in [b"tim\0x.test\0cmusaslsecretOTP".as_slice(), b"tim\0x.test", b"\0x.test\0userPassword", b"", b"a\0b\0userPassword\0"]
        {
            assert!(!key(other));
        }
        assert_eq!(super::entry(b"t\xefm\0x\0userPassword", b"p\xe4ss").unwrap(), entry("tïm", "x", "päss"));
    }
}
