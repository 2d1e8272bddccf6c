//! Passkeys: added by an account that is logged in; a second step after a password, or the only step where the authenticator has verified its user.
//!
//! W3C Web Authentication Level 2 s.7.1, s.7.2. Invariants: only what the passkey of an account has signed, for this site, in answer to a challenge that
//! was not used before, logs in; a passkey whose counter goes back does not, and its owner is told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mail::{Mailbox, one_line_at_most};
use net::SignatureKey;
use store::{DoorChange, Passkey, StoreError};

use crate::Door;
use crate::webauthn::{AuthenticatorData, Ceremony, PasskeySite, challenge_of, is_signed};

/// Maximum passkeys of an account.
const PASSKEYS_MAX: usize = 20;

/// Maximum characters of the name of a passkey.
const NAME_MAX_CHARS: usize = 60;

/// Maximum octets of the authenticator's name of a passkey (s.5.1.3), and of a public key.
const ID_MAX_BYTES: usize = 1023;
const KEY_MAX_BYTES: usize = 2048;

/// What a challenge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasskeyPurpose<'a> {
    /// To add a passkey to an account.
    Add(&'a Mailbox),
    /// The second step of an account whose password was right.
    Second(&'a Mailbox),
    /// The only step, of whatever account the passkey belongs to.
    Login,
}

impl PasskeyPurpose<'_> {
    fn words(self) -> String {
        match self {
            Self::Add(login) => format!("add {}", login.key()),
            Self::Second(login) => format!("second {}", login.key()),
            Self::Login => "login".to_owned(),
        }
    }
}

/// A new passkey, as the browser sends it: each octet string in base64url.
#[derive(Debug, Clone, Copy)]
pub struct NewPasskey<'a> {
    /// What its owner calls it.
    pub name: &'a str,
    /// The client data.
    pub client_data: &'a str,
    /// The authenticator data.
    pub authenticator_data: &'a str,
    /// The public key, a SubjectPublicKeyInfo.
    pub public_key: &'a str,
    /// Its algorithm, as COSE numbers it.
    pub algorithm: i32,
}

/// The use of a passkey, as the browser sends it: each octet string in base64url.
#[derive(Debug, Clone, Copy)]
pub struct PasskeyAnswer<'a> {
    /// The authenticator's name of the passkey.
    pub id: &'a str,
    /// The client data.
    pub client_data: &'a str,
    /// The authenticator data.
    pub authenticator_data: &'a str,
    /// The signature.
    pub signature: &'a str,
}

/// Why a passkey was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PasskeyRefused {
    /// The challenge has ended, was used before, or was never made.
    #[error("this page was open for too long, or was used before; try again")]
    Late,
    /// It does not belong here, or does not verify; the text is for the log.
    #[error("the passkey was not accepted: {0}")]
    Wrong(&'static str),
    /// Its counter went back: two devices may have it.
    #[error("the counter of this passkey went back: it may have been copied")]
    Copied,
    /// The account has too many, or this one already.
    #[error("this passkey is known already, or the account has too many")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn octets(text: &str) -> Result<Vec<u8>, PasskeyRefused> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| PasskeyRefused::Wrong("it is not base64url"))
}

impl Door {
    /// Returns the passkeys of an account, the oldest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn passkeys(&self, login: &Mailbox) -> Result<Vec<Passkey>, StoreError> {
        self.parts().store.passkeys(login.key()).await
    }

    /// Makes a challenge.
    pub fn passkey_challenge(&self, purpose: PasskeyPurpose<'_>) -> String {
        self.0.challenges.make(&purpose.words(), self.now_ms())
    }

    /// Adds a passkey. Returns the recovery codes, if it is the first second step of the account.
    ///
    /// # Errors
    /// It was refused.
    pub async fn add_passkey(
        &self,
        login: &Mailbox,
        site: &PasskeySite,
        new: NewPasskey<'_>,
    ) -> Result<Option<Vec<String>>, PasskeyRefused> {
        let (client_data, data) = (octets(new.client_data)?, octets(new.authenticator_data)?);
        let sent = challenge_of(&client_data, Ceremony::Create, site).map_err(PasskeyRefused::Wrong)?;
        let challenges = &self.0.challenges;
        let challenge = challenges.check(&PasskeyPurpose::Add(login).words(), &sent, self.now_ms()).ok_or(PasskeyRefused::Late)?;
        let data = AuthenticatorData::parse(&data, site).map_err(PasskeyRefused::Wrong)?;
        let id = data.credential.filter(|id| (1..=ID_MAX_BYTES).contains(&id.len())).ok_or(PasskeyRefused::Wrong("it has no name"))?;
        let public_key = octets(new.public_key)?;
        let is_key = public_key.len() <= KEY_MAX_BYTES && SignatureKey::parse(new.algorithm, &public_key).is_some();
        if !is_key {
            return Err(PasskeyRefused::Wrong("its key is not of a kind that was asked for"));
        }
        if self.passkeys(login).await?.len() >= PASSKEYS_MAX {
            return Err(PasskeyRefused::TooMany);
        }
        if !challenges.use_up(challenge, self.now_ms()) {
            return Err(PasskeyRefused::Late);
        }
        let name = one_line_at_most(new.name.trim(), NAME_MAX_CHARS);
        let name = if name.is_empty() { "passkey".to_owned() } else { name };
        let (login_key, made_ms) = (login.key(), self.now_ms());
        let passkey =
            Passkey { id, login: login_key, name, algorithm: new.algorithm, public_key, counter: data.counter, made_ms, used_ms: None };
        let words = format!("added the passkey {} of {login}", passkey.name);
        match self.parts().store.change_door(DoorChange::PutPasskey(passkey)).await {
            Ok(()) => {}
            Err(StoreError::Conflict(_)) => return Err(PasskeyRefused::TooMany),
            Err(error) => return Err(error.into()),
        }
        self.record_change(&login.to_string(), "login", &words);
        Ok(self.first_recovery_codes(login).await?)
    }

    /// Checks the answer of a passkey. Returns it, with the login of its account.
    ///
    /// # Errors
    /// It was refused; what may have been copied is recorded.
    pub async fn use_passkey(
        &self,
        purpose: PasskeyPurpose<'_>,
        site: &PasskeySite,
        answer: PasskeyAnswer<'_>,
    ) -> Result<Passkey, PasskeyRefused> {
        let (client_data, octets_of_data) = (octets(answer.client_data)?, octets(answer.authenticator_data)?);
        let sent = challenge_of(&client_data, Ceremony::Get, site).map_err(PasskeyRefused::Wrong)?;
        let challenge = self.0.challenges.check(&purpose.words(), &sent, self.now_ms()).ok_or(PasskeyRefused::Late)?;
        let data = AuthenticatorData::parse(&octets_of_data, site).map_err(PasskeyRefused::Wrong)?;
        let known = self.parts().store.passkey(octets(answer.id)?).await?;
        let is_wanted = |passkey: &Passkey| match purpose {
            PasskeyPurpose::Second(login) | PasskeyPurpose::Add(login) => passkey.login == login.key(),
            PasskeyPurpose::Login => self.account(&passkey.login).is_some(),
        };
        let passkey = known.filter(is_wanted).ok_or(PasskeyRefused::Wrong("it is not known here"))?;
        let key = SignatureKey::parse(passkey.algorithm, &passkey.public_key).ok_or(PasskeyRefused::Wrong("its key cannot be read"))?;
        if !is_signed(&key, &octets_of_data, &client_data, &octets(answer.signature)?) {
            return Err(PasskeyRefused::Wrong("its signature is wrong"));
        }
        // Without a password, a found device must not be enough.
        if purpose == PasskeyPurpose::Login && !data.has_verified_user {
            return Err(PasskeyRefused::Wrong("the authenticator has not verified its user"));
        }
        if !self.0.challenges.use_up(challenge, self.now_ms()) {
            return Err(PasskeyRefused::Late);
        }
        let used = DoorChange::UsePasskey { id: passkey.id.clone(), counter: data.counter, used_ms: self.now_ms() };
        match self.parts().store.change_door(used).await {
            Ok(()) => Ok(passkey),
            Err(StoreError::Conflict(_)) => {
                let words =
                    format!("refused the passkey {} of {}: its counter went back, so it may have been copied", passkey.name, passkey.login);
                self.record_change(&passkey.login, "login", &words);
                Err(PasskeyRefused::Copied)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a passkey of an account, by the authenticator's name of it in base64url. Returns whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_passkey(&self, login: &Mailbox, id: &str) -> Result<bool, StoreError> {
        let Ok(id) = URL_SAFE_NO_PAD.decode(id) else { return Ok(false) };
        let Some(passkey) = self.passkeys(login).await?.into_iter().find(|passkey| passkey.id == id) else { return Ok(false) };
        self.parts().store.change_door(DoorChange::RemovePasskey { login: login.key(), id }).await?;
        self.record_change(&login.to_string(), "login", &format!("removed the passkey {} of {login}", passkey.name));
        self.forget_unused_codes(login).await?;
        Ok(true)
    }
}

#[cfg(test)]
#[path = "passkeys_tests.rs"]
mod tests;
