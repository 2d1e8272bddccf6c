//! The second step of a login: codes of an authenticator app, recovery codes, and whether there are passkeys.
//!
//! RFC 6238 s.4, s.5.2, RFC 4226 s.7.3 (limits on wrong codes). Invariants: the secret leaves the server only when it is set up; a code counts once; a
//! recovery code counts once; wrong codes are limited for each account, wherever they come from.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use data_encoding::BASE32_NOPAD;
use mail::Mailbox;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sasl::Secret;
use store::{DoorChange, Passkey, SecondStep, StoreError, TokenHash};
use totp_rs::{Builder, Totp};

use crate::Door;

/// Length of a secret, in octets (RFC 4226 s.4, R6).
const SECRET_BYTES: usize = 20;

/// Number of recovery codes.
const RECOVERY_CODES: usize = 10;

/// Maximum wrong codes of an account within ten minutes.
const WRONG_MAX: u32 = 10;

/// Time in which wrong codes are counted, in milliseconds.
const WRONG_WINDOW_MS: i64 = 600_000;

/// What the secret is sealed for.
const SEALED_FOR: &str = "second step";

/// What a secret is sealed for until its first code.
const SEALED_FOR_SETUP: &str = "second step to set up";

/// Wrong codes by login: how many, since when.
#[derive(Debug, Default)]
pub(crate) struct WrongCodes(Mutex<HashMap<String, (u32, i64)>>);

impl WrongCodes {
    /// Counts a code as wrong until [`Self::forget`]; false if there were too many.
    fn count(&self, login: &str, now_ms: i64) -> bool {
        let mut all = self.0.lock();
        let (wrong, since_ms) = all.entry(login.to_owned()).or_insert((0, now_ms));
        if now_ms - *since_ms >= WRONG_WINDOW_MS {
            (*wrong, *since_ms) = (0, now_ms);
        }
        *wrong += 1;
        *wrong <= WRONG_MAX
    }

    fn forget(&self, login: &str) {
        self.0.lock().remove(login);
    }
}

/// A second step to set up.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// The secret as the owner may type it: groups of four letters.
    pub secret: String,
    /// The URL that an authenticator app reads as a QR code.
    pub url: String,
    /// The secret, sealed, to be returned with the first code.
    pub sealed: String,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrolment")
    }
}

/// The second step of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondStepView {
    /// Whether codes of an authenticator app work.
    pub has_app: bool,
    /// Recovery codes that are left.
    pub recovery: usize,
    /// The passkeys, the oldest first.
    pub passkeys: Vec<Passkey>,
}

/// Why a code was refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CodeRefused {
    /// It is wrong, or was used before.
    #[error("this code is wrong, or was used before; wait for the next one")]
    Wrong,
    /// Too many wrong codes.
    #[error("too many wrong codes; try again in ten minutes")]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Door {
    /// Returns the second step of an account, if it has one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn second_step(&self, login: &Mailbox) -> Result<Option<SecondStepView>, StoreError> {
        let (kept, passkeys) = (self.parts().store.second_step(login.key()).await?, self.passkeys(login).await?);
        if kept.is_none() && passkeys.is_empty() {
            return Ok(None);
        }
        let has_app = kept.as_ref().is_some_and(|step| !step.sealed.is_empty());
        Ok(Some(SecondStepView { has_app, recovery: kept.map_or(0, |step| step.recovery.len()), passkeys }))
    }

    /// Makes recovery codes for an account that has none yet, since a passkey is its first second step.
    pub(crate) async fn first_recovery_codes(&self, login: &Mailbox) -> Result<Option<Vec<String>>, StoreError> {
        if self.parts().store.second_step(login.key()).await?.is_some() {
            return Ok(None);
        }
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let recovery = codes.iter().map(|code| recovery_hash(code)).collect();
        let step = SecondStep { login: login.key(), sealed: Vec::new(), recovery, last_step: 0, made_ms: self.now_ms() };
        self.parts().store.change_door(DoorChange::PutSecondStep(step)).await?;
        Ok(Some(codes))
    }

    /// Removes the recovery codes of an account that has neither an app nor a passkey any more.
    pub(crate) async fn forget_unused_codes(&self, login: &Mailbox) -> Result<(), StoreError> {
        match self.second_step(login).await? {
            Some(left) if !left.has_app && left.passkeys.is_empty() => {
                self.parts().store.change_door(DoorChange::RemoveSecondStep(login.key())).await
            }
            _ => Ok(()),
        }
    }

    /// Makes a secret to set up; nothing is stored yet.
    pub fn begin_second_step(&self, login: &Mailbox, hostname: &str) -> Enrolment {
        let secret = BASE32_NOPAD.encode(&net::random_bytes::<SECRET_BYTES>());
        let sealed = self.parts().key.seal_other(login, SEALED_FOR_SETUP, &Secret::new(&secret));
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let (issuer, account) = (encoded(hostname), encoded(&login.to_string()));
        let letters: Vec<char> = secret.chars().collect();
        Enrolment {
            url: format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}"),
            secret: letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" "),
            sealed: URL_SAFE_NO_PAD.encode(sealed),
        }
    }

    /// Sets up the second step with the secret of [`Self::begin_second_step`], once its first code is right. Returns the recovery codes.
    ///
    /// # Errors
    /// The code is wrong, or the secret was not made for this account.
    pub async fn finish_second_step(&self, login: &Mailbox, sealed: &str, code: &str) -> Result<Vec<String>, CodeRefused> {
        let (key, now_ms) = (&self.parts().key, self.now_ms());
        if !self.0.wrong_codes.count(&login.key(), now_ms) {
            return Err(CodeRefused::TooMany);
        }
        let opened = URL_SAFE_NO_PAD.decode(sealed).ok().and_then(|sealed| key.open_other(login, SEALED_FOR_SETUP, &sealed));
        let secret = opened.ok_or(CodeRefused::Wrong)?;
        let last_step = totp(&secret).and_then(|totp| step_of(&totp, code, now_ms)).ok_or(CodeRefused::Wrong)?;
        self.0.wrong_codes.forget(&login.key());
        let codes: Vec<String> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
        let step = SecondStep {
            login: login.key(),
            sealed: key.seal_other(login, SEALED_FOR, &secret),
            recovery: codes.iter().map(|code| recovery_hash(code)).collect(),
            last_step,
            made_ms: now_ms,
        };
        self.parts().store.change_door(DoorChange::PutSecondStep(step)).await?;
        self.record_change(&login.to_string(), "login", &format!("set up the second step of {login}"));
        Ok(codes)
    }

    /// Checks a code of an account with a second step, and uses it up.
    ///
    /// # Errors
    /// The code is wrong, was used before, or too many were wrong.
    pub async fn check_code(&self, login: &Mailbox, code: &str) -> Result<(), CodeRefused> {
        let Some(step) = self.parts().store.second_step(login.key()).await? else { return Err(CodeRefused::Wrong) };
        if !self.0.wrong_codes.count(&login.key(), self.now_ms()) {
            return Err(CodeRefused::TooMany);
        }
        let used = match self.time_step(login, &step, code) {
            Some(time_step) => DoorChange::UseCode { login: login.key(), step: time_step },
            None => self.use_recovery(login, step, code)?,
        };
        let is_recovery = matches!(used, DoorChange::UseRecovery { .. });
        match self.parts().store.change_door(used).await {
            Ok(()) => {}
            Err(StoreError::Conflict(_)) => return Err(CodeRefused::Wrong),
            Err(error) => return Err(error.into()),
        }
        self.0.wrong_codes.forget(&login.key());
        if is_recovery {
            self.record_change(&login.to_string(), "login", &format!("used a recovery code of {login}"));
        }
        Ok(())
    }

    fn time_step(&self, login: &Mailbox, step: &SecondStep, code: &str) -> Option<i64> {
        if step.sealed.is_empty() {
            return None;
        }
        let Some(secret) = self.parts().key.open_other(login, SEALED_FOR, &step.sealed) else {
            tracing::error!(%login, "a second step cannot be opened, since passwords.key has changed; log in with a recovery code, or remove it: waypost web second-step LOGIN --remove");
            return None;
        };
        step_of(&totp(&secret)?, code, self.now_ms())
    }

    fn use_recovery(&self, login: &Mailbox, step: SecondStep, code: &str) -> Result<DoorChange, CodeRefused> {
        let hash = recovery_hash(code);
        let left: Vec<TokenHash> = step.recovery.iter().filter(|kept| **kept != hash).copied().collect();
        let is_right = left.len() < step.recovery.len();
        is_right.then(|| DoorChange::UseRecovery { login: login.key(), from: step.recovery, left }).ok_or(CodeRefused::Wrong)
    }

    /// Turns off the authenticator app of an account; its passkeys stay.
    ///
    /// # Errors
    /// The store failed.
    pub async fn turn_off_app(&self, login: &Mailbox) -> Result<(), StoreError> {
        let Some(step) = self.parts().store.second_step(login.key()).await? else { return Ok(()) };
        self.parts().store.change_door(DoorChange::PutSecondStep(SecondStep { sealed: Vec::new(), ..step })).await?;
        self.record_change(&login.to_string(), "login", &format!("turned off the authenticator app of {login}"));
        self.forget_unused_codes(login).await
    }

    /// Removes the second step of an account: app, recovery codes and passkeys. Returns whether there was one.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_second_step(&self, by: &str, login: &Mailbox) -> Result<bool, StoreError> {
        if self.second_step(login).await?.is_none() {
            return Ok(false);
        }
        self.parts().store.change_door(DoorChange::RemoveSecondStep(login.key())).await?;
        self.record_change(by, "login", &format!("removed the second step of {login}"));
        Ok(true)
    }
}

fn totp(secret: &Secret) -> Option<Totp> {
    let octets: [u8; SECRET_BYTES] = BASE32_NOPAD.decode(secret.expose().as_bytes()).ok()?.try_into().ok()?;
    Builder::new().with_secret(octets).build().ok()
}

/// Returns the time step of a code; a step before or after now is allowed, for clocks that differ.
fn step_of(totp: &Totp, code: &str, now_ms: i64) -> Option<i64> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let is_code = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
    let step = totp.check(&digits, u64::try_from(now_ms / 1000).ok()?).filter(|_| is_code)?;
    i64::try_from(step).ok()
}

/// Makes a recovery code: 50 random bits.
fn recovery_code() -> String {
    let letters = BASE32_NOPAD.encode(&net::random_bytes::<7>()).to_ascii_lowercase();
    let (first, second): (String, String) = (letters.chars().take(5).collect(), letters.chars().skip(5).take(5).collect());
    format!("{first}-{second}")
}

fn recovery_hash(code: &str) -> TokenHash {
    let letters: String = code.chars().filter(char::is_ascii_alphanumeric).collect();
    net::sha256(&[b"recovery\0", letters.to_ascii_lowercase().as_bytes()])
}

#[cfg(test)]
#[path = "second_step_tests.rs"]
mod tests;
