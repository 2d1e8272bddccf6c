//! Stored forms of passwords, and the check against them.
//!
//! RFC 9106 s.4, RFC 5802 s.3, RFC 7677. Invariant: the password itself is kept only if a mechanism of the account needs it, sealed with a key
//! that is not in the database; refusing an unknown user costs as much as refusing a wrong password.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use directory::{Account, Password};
use mail::Mailbox;
use sasl::password::{self, HashError};
use sasl::{ITERATIONS, ScramHash, Secret, Vault, prepared_password, scram_keys};

/// Maximum number of passwords of an account: one for each client.
pub const PASSWORDS_MAX: usize = 20;

/// The verifier of a sealed password that waits to be hashed: hashing the thousands of an import takes minutes.
pub const SEALED: &str = "{SEALED}";

/// The key that seals passwords, from a file of its own.
pub struct PasswordKey {
    vault: Vault,
    pepper: [u8; 32],
}

impl PasswordKey {
    /// Makes it from the file's 32 octets.
    pub fn new(key: [u8; 32]) -> Self {
        Self { pepper: net::sha256(&[b"salts of users who do not exist", &key]), vault: Vault::new(key) }
    }

    /// The key that derives salts for unknown users.
    pub(crate) fn pepper(&self) -> [u8; 32] {
        self.pepper
    }

    /// Seals a secret of an account that is no password.
    pub fn seal_other(&self, login: &Mailbox, what: &str, secret: &Secret) -> Vec<u8> {
        self.vault.seal(&about_other(login, what), secret, net::random_bytes())
    }

    /// Opens what [`Self::seal_other`] has sealed. `None` if it was sealed for another account, for something else, or with a different key.
    pub fn open_other(&self, login: &Mailbox, what: &str, sealed: &[u8]) -> Option<Secret> {
        self.vault.open(&about_other(login, what), sealed)
    }

    /// Opens a sealed password. `None` if it is not stored or was sealed with a different key.
    pub(crate) fn open(&self, account: &Account, password: &Password) -> Option<Secret> {
        self.vault.open(&about(account, &password.name), password.sealed.as_deref()?)
    }
}

impl fmt::Debug for PasswordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordKey")
    }
}

/// The account and the name that a password is sealed for: it cannot be opened for others.
fn about(account: &Account, name: &str) -> String {
    format!("{}\0{name}", account.login.key())
}

/// As [`about`], for what is no password: no name of a password begins with a NUL.
fn about_other(login: &Mailbox, what: &str) -> String {
    format!("{}\0\0{what}", login.key())
}

/// Makes the stored form of a password. Takes about 50 ms.
pub fn make(account: &Account, name: &str, secret: &Secret, key: &PasswordKey, made_ms: i64) -> Result<Password, HashError> {
    let scram = |hash| scram_keys(hash, secret.expose(), &account.salt, ITERATIONS).map(|keys| keys.to_bytes());
    let seal = || key.vault.seal(&about(account, name), secret, net::random_bytes());
    Ok(Password {
        name: name.to_owned(),
        verifier: password::hash(prepared(secret).expose(), account.salt)?,
        scram_sha256: scram(ScramHash::Sha256),
        scram_sha1: scram(ScramHash::Sha1),
        sealed: (!account.legacy_mechanisms.is_empty()).then(seal),
        made_ms,
    })
}

/// Seals a password, to be hashed later or at its first use.
pub fn sealed(account: &Account, name: &str, secret: &Secret, key: &PasswordKey, made_ms: i64) -> Password {
    let sealed = Some(key.vault.seal(&about(account, name), secret, net::random_bytes()));
    Password { name: name.to_owned(), verifier: SEALED.into(), scram_sha256: None, scram_sha1: None, sealed, made_ms }
}

/// Returns whether the stored form lacks something that can be made from the password.
pub(crate) fn is_incomplete(account: &Account, stored: &Password) -> bool {
    let lacks_secret = stored.sealed.is_none() && !account.legacy_mechanisms.is_empty();
    // Some passwords have no SCRAM keys (RFC 4013 forbids their characters): a form that we made ourselves is never made again.
    let is_ours = stored.verifier.contains(&format!("${}$", BASE64.encode(account.salt)));
    password::needs_rehash(&stored.verifier) || !is_ours || lacks_secret
}

/// Finds a password among the account's, and returns its index. Clients send a password prepared or as typed, so it is tried prepared
/// (RFC 4616 s.2) and then, if that differs, as sent: verifiers made earlier or elsewhere may be of that form.
pub fn find_password(account: Option<&Account>, password: &Secret, key: &PasswordKey) -> Option<usize> {
    let prepared = prepared(password);
    let as_typed = || (prepared != *password).then(|| find_exact(account, password, key)).flatten();
    find_exact(account, &prepared, key).or_else(as_typed)
}

/// The password after SASLprep, or unchanged if SASLprep does not allow it.
fn prepared(password: &Secret) -> Secret {
    prepared_password(password.expose()).map_or_else(|| password.clone(), |prepared| Secret::new(&prepared))
}

/// Compares all verifiers with the account's salt by one hash.
fn find_exact(account: Option<&Account>, password: &Secret, key: &PasswordKey) -> Option<usize> {
    let Some(account) = account.filter(|account| !account.passwords.is_empty()) else {
        password::verify_dummy(password.expose());
        return None;
    };
    let hashed = Secret::new(&password::hash(password.expose(), account.salt).ok()?);
    // All are compared, each in constant time.
    let own = account.passwords.iter().map(|stored| Secret::new(&stored.verifier) == hashed);
    let found = own.enumerate().filter(|(_, is_right)| *is_right).map(|(n, _)| n).fold(None, |first: Option<usize>, n| first.or(Some(n)));
    found.or_else(|| {
        let foreign = |stored: &Password| match stored.verifier.as_str() {
            SEALED => key.open(account, stored).is_some_and(|sealed| password::is_same(&sealed, password)),
            verifier => !has_salt_of(hashed.expose(), verifier) && password::verify(password.expose(), verifier),
        };
        account.passwords.iter().position(foreign)
    })
}

/// Returns whether two PHC strings agree in everything but the hash.
fn has_salt_of(one: &str, other: &str) -> bool {
    let head = |phc: &str| phc.rsplit_once('$').map(|(head, _)| head.to_owned());
    head(one) == head(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account::new("me@example.test".parse().unwrap(), [3; 16])
    }

    #[test]
    fn each_password_of_an_account_is_found() {
        let key = PasswordKey::new([1; 32]);
        let mut account = account();
        assert_eq!(find_password(Some(&account), &Secret::new("one"), &key), None);
        for name in ["one", "two"] {
            account.passwords.push(make(&account, name, &Secret::new(name), &key, 0).unwrap());
        }
        let elsewhere = password::hash("three", [9; 16]).unwrap();
        account.passwords.push(Password { verifier: elsewhere, name: "three".into(), ..account.passwords[0].clone() });
        for (n, text) in ["one", "two", "three"].into_iter().enumerate() {
            assert_eq!(find_password(Some(&account), &Secret::new(text), &key), Some(n));
        }
        assert_eq!(find_password(Some(&account), &Secret::new("four"), &key), None);
        assert_eq!(find_password(None, &Secret::new("one"), &key), None);
        assert!(!is_incomplete(&account, &account.passwords[0]) && is_incomplete(&account, &account.passwords[2]));
        let odd = make(&account, "odd", &Secret::new("\u{1F600} emoji"), &key, 0).unwrap();
        assert!(odd.scram_sha256.is_none() && !is_incomplete(&account, &odd));
    }

    #[test]
    fn passwords_match_in_every_unicode_normalisation_form() {
        let (key, mut account) = (PasswordKey::new([1; 32]), account());
        account.passwords.push(make(&account, "new", &Secret::new("p\u{e4}ss w\u{f6}rd"), &key, 0).unwrap());
        for typed in ["p\u{e4}ss w\u{f6}rd", "pa\u{308}ss wo\u{308}rd", "p\u{e4}ss\u{a0}w\u{f6}rd", "p\u{e4}\u{ad}ss w\u{f6}rd"] {
            assert_eq!(find_password(Some(&account), &Secret::new(typed), &key), Some(0), "{typed:?}");
        }
        assert_eq!(find_password(Some(&account), &Secret::new("pass word"), &key), None);
        let before = |typed: &str| Password { verifier: password::hash(typed, account.salt).unwrap(), ..account.passwords[0].clone() };
        let old = Account { passwords: vec![before("pa\u{308}ss"), before("\u{1F600} \u{a0}")], ..account.clone() };
        assert_eq!(find_password(Some(&old), &Secret::new("pa\u{308}ss"), &key), Some(0), "set before passwords were prepared");
        assert_eq!(find_password(Some(&old), &Secret::new("\u{1F600} \u{a0}"), &key), Some(1), "nothing that SASLprep allows");
    }

    #[test]
    fn passwords_are_sealed_only_for_mechanisms_that_need_them() {
        let (key, secret) = (PasswordKey::new([1; 32]), Secret::new("one"));
        let mut account = account();
        let stored = make(&account, "phone", &secret, &key, 0).unwrap();
        assert!(stored.sealed.is_none());
        account.legacy_mechanisms.push("CRAM-MD5".into());
        assert!(is_incomplete(&account, &stored));
        let stored = make(&account, "phone", &secret, &key, 0).unwrap();
        assert_eq!(key.open(&account, &stored), Some(secret));
        assert_eq!(key.open(&account, &Password { name: "tablet".into(), ..stored.clone() }), None);
        assert_eq!(PasswordKey::new([2; 32]).open(&account, &stored), None);
    }

    #[test]
    fn a_sealed_password_is_accepted_before_it_is_hashed() {
        let key = PasswordKey::new([1; 32]);
        let mut account = account();
        account.passwords.push(sealed(&account, "first", &Secret::new("gr\u{fc}n"), &key, 0));
        assert_eq!(find_password(Some(&account), &Secret::new("gr\u{fc}n"), &key), Some(0));
        assert_eq!(find_password(Some(&account), &Secret::new("gru\u{308}n"), &key), Some(0), "as SASLprep has it");
        assert_eq!(find_password(Some(&account), &Secret::new("grun"), &key), None);
        assert_eq!(find_password(Some(&account), &Secret::new("gr\u{fc}n"), &PasswordKey::new([2; 32])), None);
        assert_eq!(find_password(Some(&account), &Secret::new(SEALED), &key), None);
        assert!(is_incomplete(&account, &account.passwords[0]));
    }
}
