//! When a certificate is ordered, and what comes of it.
//!
//! RFC 9773 s.4.2 (the authority says when), RFC 8555 s.7.4. Invariant: a failure changes nothing but the state, and is followed by a wait that
//! doubles.

use std::time::Duration;

use instant_acme::{Account, CertificateIdentifier};
use rcgen::{CertificateParams, DistinguishedName};
use rustls::pki_types::CertificateDer;

use super::account::Refusal;
use super::files::{Place, private_directory};
use super::keys::{Chosen, choose, choose_announced, prepare_next};
use super::names::{Want, leading_here, wants};
use super::order::{Prover, order};
use super::state::State;
use super::{Outcome, Parts, account};
use crate::leaf::Leaf;
use crate::random::random_u32;
use crate::tls::{PairFiles, check_pair, read_chain};

/// Whether the names lead here is asked again after this time.
const NAMES_EVERY_MS: i64 = 3_600_000;

/// After a failure: the first wait, which doubles, and the longest.
const WAIT_MS: i64 = 3_600_000;
const WAIT_MAX_MS: i64 = 24 * WAIT_MS;

/// The authority is asked when to renew after this time, at the least and at the most.
const ASK_MIN_MS: i64 = 3_600_000;
const ASK_MAX_MS: i64 = 24 * 3_600_000;

/// It is asked for the first time, or again where it did not say when, after this time.
const ASK_USUAL_MS: i64 = 6 * 3_600_000;

/// Without its word: this much of the lifetime may pass, and jitter takes up to so much of it away.
const LIFETIME_PERCENT: i64 = 66;
const JITTER_PERCENT: i64 = 4;

/// An order that ends since the authority liked none of several nonces is made again at once, so many times in all.
const NONCE_TRIES: u32 = 3;

/// An attempt takes no longer.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(900);

/// Looks at all certificates and orders what is due. `asked` is a request: for one certificate, or for all.
pub(super) async fn pass(parts: &Parts, asked: Option<Option<String>>, force: bool) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut session = Session { parts, account: None };
    let all = wants(&parts.hostname, &(parts.hosted)());
    if let Some(Some(name)) = &asked
        && !all.iter().any(|want| want.name == *name)
    {
        let known: Vec<&str> = all.iter().map(|want| want.name.as_str()).collect();
        let text = format!("there is no certificate of this name; there are: {}", known.join(", "));
        return vec![Outcome { name: name.clone(), result: Err(text) }];
    }
    for want in all {
        let is_asked = asked.as_ref().is_some_and(|name| name.as_ref().is_none_or(|name| *name == want.name));
        if let Some(result) = session.look_after(&want, is_asked, is_asked && force).await {
            outcomes.push(Outcome { name: want.name, result });
        } else if is_asked {
            outcomes.push(Outcome { name: want.name, result: Ok("is not due".into()) });
        }
    }
    outcomes
}

/// One pass; the account is opened once, when it is needed.
struct Session<'a> {
    parts: &'a Parts,
    account: Option<Account>,
}

impl Session<'_> {
    async fn account(&mut self) -> Result<&Account, Refusal> {
        if self.account.is_none() {
            self.account = Some(account::open(&self.parts.settings, &self.parts.directories).await?);
        }
        self.account.as_ref().ok_or_else(|| "there is no account".into())
    }

    /// Orders a certificate where it is due; `None` where it is not.
    async fn look_after(&mut self, want: &Want, is_asked: bool, force: bool) -> Option<Result<String, String>> {
        let parts = self.parts;
        let place = Place(parts.directories.certificates.join(&want.name));
        let pair = PairFiles { certificate: place.certificate(), key: place.key() };
        let leaf = check_pair(&pair).ok();
        let before = State::load(&place);
        let mut state = before.clone();
        let now_ms = parts.clock.now_ms();
        if is_asked || state.names_checked_ms.is_none_or(|at| now_ms - at >= NAMES_EVERY_MS) {
            let certified = leaf.as_ref().map(|leaf| leaf.names.as_slice()).unwrap_or_default();
            (state.names, state.left_out) = leading_here(&parts.resolver, &parts.hostname, &want.hosts, certified).await;
            state.names_checked_ms = Some(now_ms);
        }
        if leaf.is_some() && self.is_announced(&place) {
            prepare_next(&place);
        }
        if let Some(leaf) = &leaf {
            self.plan(&mut state, leaf, &pair, (now_ms, is_asked)).await;
        }
        let is_due = !state.names.is_empty() && (force || why_due(&parts.settings.directory, &state, leaf.as_ref(), now_ms));
        let may_try = is_asked || state.next_attempt_ms.is_none_or(|at| at <= now_ms);
        let result = if is_due && may_try { Some(self.attempt(&place, &mut state, leaf.as_ref(), now_ms).await) } else { None };
        if state != before
            && let Err(error) = private_directory(&place.0).and_then(|()| state.save(&place))
        {
            tracing::error!(%error, certificate = want.name, "the state of a certificate cannot be kept");
        }
        result
    }

    /// Finds out when to renew: what the authority says, else two thirds of the lifetime.
    async fn plan(&mut self, state: &mut State, leaf: &Leaf, pair: &PairFiles, (now_ms, is_asked): (i64, bool)) {
        if state.renew_at_ms.is_none() {
            state.renew_at_ms = Some(by_lifetime(leaf, random_u32()));
            state.renew_by = Some("two thirds of its lifetime".into());
        }
        if !is_asked && state.ask_again_ms.is_some_and(|at| now_ms < at) {
            return;
        }
        state.ask_again_ms = Some(now_ms + ASK_USUAL_MS);
        let Ok(chain) = read_chain(&pair.certificate) else { return };
        let Some(Ok(identifier)) = chain.first().map(CertificateIdentifier::try_from) else { return };
        let Ok(account) = self.account().await else { return };
        if let Ok((info, retry_after)) = account.renewal_info(&identifier).await {
            let window = (info.suggested_window.start.unix_timestamp() * 1000, info.suggested_window.end.unix_timestamp() * 1000);
            let wait_ms = i64::try_from(retry_after.as_millis()).unwrap_or(ASK_MAX_MS);
            state.ask_again_ms = Some(now_ms + wait_ms.clamp(ASK_MIN_MS, ASK_MAX_MS));
            let is_within = state.renew_at_ms.is_some_and(|at| (window.0..window.1).contains(&at));
            if !is_within || state.renew_by.as_deref() != Some("the authority") {
                state.renew_at_ms = Some(within(window, random_u32()));
                state.renew_by = Some("the authority".into());
            }
        }
    }

    async fn attempt(&mut self, place: &Place, state: &mut State, leaf: Option<&Leaf>, now_ms: i64) -> Result<String, String> {
        let name = place.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
        state.last_attempt_ms = Some(now_ms);
        let done = tokio::time::timeout(ATTEMPT_WITHIN, self.issue(place, &state.names)).await;
        match done.unwrap_or_else(|_| Err(format!("the authority was not done within {} s", ATTEMPT_WITHIN.as_secs()))) {
            Ok(new) => {
                let names = state.names.clone();
                *state = State {
                    directory: self.parts.settings.directory.clone(),
                    names,
                    left_out: std::mem::take(&mut state.left_out),
                    names_checked_ms: state.names_checked_ms,
                    last_attempt_ms: state.last_attempt_ms,
                    renew_at_ms: Some(by_lifetime(&new, random_u32())),
                    renew_by: Some("two thirds of its lifetime".into()),
                    // An authority that wants everything renewed at once is not asked in a circle.
                    ask_again_ms: Some(now_ms + ASK_USUAL_MS),
                    ..State::default()
                };
                self.parts.tls.reload();
                let until = mail::rfc5322_date(new.not_after_s);
                tracing::info!(certificate = name, names = state.names.join(" "), until, "a certificate was issued and is in use");
                Ok(format!("issued for {}, valid until {until}", state.names.join(", ")))
            }
            Err(error) => {
                // Challenges of an attempt that was cut off.
                self.parts.challenges.clear();
                state.failures = state.failures.saturating_add(1);
                let wait_ms = wait_after(state.failures, random_u32());
                state.next_attempt_ms = Some(now_ms + wait_ms);
                state.last_error = Some(error.clone());
                let in_use = leaf.map_or("none".to_owned(), |leaf| format!("valid until {}", mail::rfc5322_date(leaf.not_after_s)));
                tracing::warn!(
                    certificate = name,
                    error,
                    failures = state.failures,
                    again_in_s = wait_ms / 1000,
                    in_use,
                    "no certificate was issued"
                );
                Err(error)
            }
        }
    }

    /// Whether TLSA records name the keys of this certificate: they do for the mail host's.
    fn is_announced(&self, place: &Place) -> bool {
        self.parts.settings.announce && place.0.file_name().is_some_and(|name| name.to_string_lossy() == self.parts.hostname.as_str())
    }

    async fn key(&self, place: &Place) -> Result<Chosen, String> {
        let (parts, keep) = (self.parts, self.parts.settings.keep_key);
        match self.is_announced(place) {
            true => choose_announced(place, keep, &parts.hostname, &parts.resolver).await,
            false => choose(place, keep),
        }
    }

    /// Orders, checks and puts in place.
    async fn issue(&mut self, place: &Place, names: &[String]) -> Result<Leaf, String> {
        private_directory(&place.0).map_err(|e| format!("{} cannot be made: {e}", place.0.display()))?;
        let Chosen { key, file } = self.key(place).await?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|e| e.to_string())?;
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(|e| e.to_string())?;
        let old: Option<CertificateDer<'static>> = read_chain(&place.certificate()).ok().and_then(|chain| chain.into_iter().next());
        let replaces = old.as_ref().and_then(|old| CertificateIdentifier::try_from(old).ok());
        let mut tries = NONCE_TRIES;
        let chain = loop {
            match self.ordered(names, replaces.clone(), csr.der()).await {
                Err(refusal) if refusal.is_of_nonce && tries > 1 => tries -= 1,
                done => break done.map_err(|refusal| refusal.text)?,
            }
        };
        let leaf = place.install(&chain, &file)?;
        if self.is_announced(place) {
            prepare_next(place);
        }
        match names.iter().find(|name| !leaf.is_for(name)) {
            Some(missing) => Err(format!("the certificate that was issued is not for {missing}")),
            None => Ok(leaf),
        }
    }

    async fn ordered(&mut self, names: &[String], replaces: Option<CertificateIdentifier<'_>>, csr: &[u8]) -> Result<String, Refusal> {
        let parts = self.parts;
        let mut prover = Prover { challenge: &parts.settings.challenge, challenges: &parts.challenges, records: Vec::new() };
        order(self.account().await?, names, replaces, csr, &mut prover).await
    }
}

fn why_due(directory: &str, state: &State, leaf: Option<&Leaf>, now_ms: i64) -> bool {
    let Some(leaf) = leaf else { return true };
    let is_of_another = state.directory != directory;
    is_of_another || state.names.iter().any(|name| !leaf.is_for(name)) || state.renew_at_ms.is_some_and(|at| at <= now_ms)
}

fn by_lifetime(leaf: &Leaf, random: u32) -> i64 {
    let lifetime_ms = (leaf.not_after_s - leaf.not_before_s).max(0) * 1000;
    leaf.not_before_s * 1000 + lifetime_ms * LIFETIME_PERCENT / 100 - share(lifetime_ms * JITTER_PERCENT / 100, random)
}

fn within((start, end): (i64, i64), random: u32) -> i64 {
    start + share((end - start).max(0), random)
}

/// A random part of a span.
fn share(span_ms: i64, random: u32) -> i64 {
    i64::try_from(i128::from(span_ms) * i128::from(random) / (i128::from(u32::MAX) + 1)).unwrap_or(0)
}

/// Doubles from an hour to a day, and varies by a tenth.
fn wait_after(failures: u32, random: u32) -> i64 {
    let doubled = WAIT_MS.checked_shl(failures.saturating_sub(1)).filter(|ms| *ms > 0).unwrap_or(WAIT_MAX_MS).min(WAIT_MAX_MS);
    doubled + share(doubled / 10, random)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(names: &[&str]) -> Leaf {
        Leaf {
            names: names.iter().map(ToString::to_string).collect(),
            issuer: "CN=ca".into(),
            is_self_issued: false,
            not_before_s: 0,
            not_after_s: 90 * 86_400,
            serial: "01".into(),
            key_type: "ECDSA P-256".into(),
            spki_sha256: String::new(),
        }
    }

    #[test]
    fn waits_double_up_to_a_day() {
        let hours: Vec<i64> = [1, 2, 3, 4, 5, 6, 40, u32::MAX].iter().map(|n| wait_after(*n, 0) / WAIT_MS).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24, 24]);
        assert!(wait_after(1, u32::MAX) < WAIT_MS * 11 / 10);
    }

    #[test]
    fn a_renewal_falls_before_two_thirds_or_into_the_window() {
        let day = 86_400_000;
        let (early, late) = (by_lifetime(&leaf(&[]), u32::MAX), by_lifetime(&leaf(&[]), 0));
        assert!(early > 55 * day && early < late && late < 60 * day, "{early} {late}");
        assert_eq!(within((10, 20), 0), 10);
        assert!((10..20).contains(&within((10, 20), u32::MAX)));
        assert_eq!(within((20, 10), 7), 20);
    }

    #[test]
    fn a_new_name_or_another_authority_makes_it_due() {
        let state = State { directory: "a".into(), names: vec!["mx.test".into()], renew_at_ms: Some(100), ..State::default() };
        let now = |state: &State, leaf: Option<&Leaf>| why_due("a", state, leaf, 50);
        assert!(now(&state, None) && !now(&state, Some(&leaf(&["mx.test"]))) && now(&state, Some(&leaf(&["other.test"]))));
        assert!(now(&State { directory: "b".into(), ..state.clone() }, Some(&leaf(&["mx.test"]))));
        assert!(now(&State { renew_at_ms: Some(50), ..state }, Some(&leaf(&["mx.test"]))));
    }
}
