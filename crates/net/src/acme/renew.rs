//! One renewal pass: orders the certificates that are due, and installs them.
//!
//! RFC 9773 s.4.2, RFC 8555 s.7.4. Invariant: a failure changes nothing but the state, and is followed by a wait that doubles.

use std::time::Duration;

use events::{Event, EventKind, Fact};
use instant_acme::{Account, CertificateIdentifier};
use mail::one_line;
use rcgen::{CertificateParams, DistinguishedName};
use rustls::pki_types::CertificateDer;

use super::account::AcmeFailure;
use super::files::{CertificateDir, private_directory};
use super::keys::{OrderKey, choose_announced, choose_off_runtime, prepare_next};
use super::names::{WantedCertificate, resolving_here, wanted_certificates};
use super::order::{Prover, order};
use super::schedule::{ASK_DEFAULT_MS, ASK_MAX_MS, ASK_MIN_MS, by_lifetime, is_due, wait_after, within};
use super::state::CertificateState;
use super::{RenewalParts, RenewalResult, account};
use crate::blocking::blocking;
use crate::leaf::Leaf;
use crate::random::random_u32;
use crate::tls::{PairFiles, check_pair, read_chain};

/// Interval between two lookups of the names.
const NAMES_INTERVAL_MS: i64 = 3_600_000;

/// A day, in seconds.
const DAY_S: i64 = 86_400;

/// Maximum orders in one attempt, if the authority refuses our nonces.
const NONCE_TRIES: u32 = 3;

/// Time limit for one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(900);

/// Checks all certificates and orders those that are due. `asked` is a request for one certificate, or for all.
pub(super) async fn pass(parts: &RenewalParts, asked: Option<Option<String>>, force: bool) -> Vec<RenewalResult> {
    let mut results = Vec::new();
    let mut renewal = RenewalPass { parts, account: None };
    let hosted = parts.hosted.clone();
    let all = wanted_certificates(&parts.hostname, &blocking(move || hosted()).await);
    if let Some(Some(name)) = &asked
        && !all.iter().any(|want| want.name == *name)
    {
        let known: Vec<&str> = all.iter().map(|want| want.name.as_str()).collect();
        let text = format!("no certificate has this name; the names are: {}", known.join(", "));
        return vec![RenewalResult { name: name.clone(), result: Err(text) }];
    }
    for want in all {
        let is_asked = asked.as_ref().is_some_and(|name| name.as_ref().is_none_or(|name| *name == want.name));
        // Asked for each one: an attempt may take as long as half of the time for which this server has the duty.
        if let Err(why) = parts.peers.may_order(&want.name).await {
            if is_asked {
                results.push(RenewalResult { name: want.name, result: Err(why) });
            }
            continue;
        }
        let checked = renewal.check_one(&want, is_asked, is_asked && force).await;
        parts.peers.changed(&want.name).await;
        if let Some(result) = checked {
            results.push(RenewalResult { name: want.name, result });
        } else if is_asked {
            results.push(RenewalResult { name: want.name, result: Ok("is not due".into()) });
        }
    }
    results
}

/// One pass; the account is opened once, when it is needed.
struct RenewalPass<'a> {
    parts: &'a RenewalParts,
    account: Option<Account>,
}

impl RenewalPass<'_> {
    async fn account(&mut self) -> Result<&Account, AcmeFailure> {
        if self.account.is_none() {
            self.account = Some(account::open(&self.parts.settings, &self.parts.directories).await?);
        }
        self.account.as_ref().ok_or_else(|| "there is no account".into())
    }

    /// Orders a certificate if it is due; `None` if it is not.
    async fn check_one(&mut self, want: &WantedCertificate, is_asked: bool, force: bool) -> Option<Result<String, String>> {
        let parts = self.parts;
        let place = CertificateDir(parts.directories.certificates.join(&want.name));
        let pair = PairFiles { certificate: place.certificate(), key: place.key() };
        let (dir, files) = (place.clone(), pair.clone());
        let (leaf, before) = blocking(move || (check_pair(&files).ok(), CertificateState::load(&dir))).await;
        let mut state = before.clone();
        let now_ms = parts.clock.now_ms();
        if is_asked || state.names_checked_ms.is_none_or(|at| now_ms - at >= NAMES_INTERVAL_MS) {
            let certified = leaf.as_ref().map(|leaf| leaf.names.as_slice()).unwrap_or_default();
            (state.names, state.left_out) = resolving_here(&parts.resolver, &parts.hostname, &want.hosts, certified).await;
            state.names_checked_ms = Some(now_ms);
        }
        if leaf.is_some() && self.is_announced(&place) {
            let dir = place.clone();
            blocking(move || prepare_next(&dir)).await;
        }
        if let Some(leaf) = &leaf {
            self.schedule(&mut state, leaf, &pair, now_ms, is_asked).await;
        }
        let is_due = !state.names.is_empty() && (force || is_due(&parts.settings.directory, &state, leaf.as_ref(), now_ms));
        let may_try = is_asked || state.next_attempt_ms.is_none_or(|at| at <= now_ms);
        let result = if is_due && may_try { Some(self.attempt(&place, &mut state, leaf.as_ref(), now_ms).await) } else { None };
        if state != before {
            let saved = blocking(move || private_directory(&place.0).and_then(|()| state.save(&place))).await;
            if let Err(error) = saved {
                tracing::error!(%error, certificate = want.name, "cannot save the state of a certificate");
            }
        }
        result
    }

    /// Sets the time of renewal: in the authority's window, or after two thirds of the lifetime.
    async fn schedule(&mut self, state: &mut CertificateState, leaf: &Leaf, pair: &PairFiles, now_ms: i64, is_asked: bool) {
        if state.renew_at_ms.is_none() {
            state.renew_at_ms = Some(by_lifetime(leaf, random_u32()));
            state.renew_by = Some("two thirds of its lifetime".into());
        }
        if !is_asked && state.ask_again_ms.is_some_and(|at| now_ms < at) {
            return;
        }
        state.ask_again_ms = Some(now_ms + ASK_DEFAULT_MS);
        let certificate = pair.certificate.clone();
        let Ok(chain) = blocking(move || read_chain(&certificate)).await else { return };
        let Some(Ok(identifier)) = chain.first().map(CertificateIdentifier::try_from) else { return };
        let Ok(account) = self.account().await else { return };
        if let Ok((info, retry_after)) = account.renewal_info(&identifier).await {
            let window = info.suggested_window.start.unix_timestamp() * 1000..info.suggested_window.end.unix_timestamp() * 1000;
            let wait_ms = i64::try_from(retry_after.as_millis()).unwrap_or(ASK_MAX_MS);
            state.ask_again_ms = Some(now_ms + wait_ms.clamp(ASK_MIN_MS, ASK_MAX_MS));
            let is_within = state.renew_at_ms.is_some_and(|at| window.contains(&at));
            if !is_within || state.renew_by.as_deref() != Some("the authority") {
                state.renew_at_ms = Some(within(&window, random_u32()));
                state.renew_by = Some("the authority".into());
            }
        }
    }

    async fn attempt(
        &mut self,
        place: &CertificateDir,
        state: &mut CertificateState,
        leaf: Option<&Leaf>,
        now_ms: i64,
    ) -> Result<String, String> {
        let name = place.0.file_name().unwrap_or_default().to_string_lossy().into_owned();
        state.last_attempt_ms = Some(now_ms);
        let done = tokio::time::timeout(ATTEMPT_TIMEOUT, self.issue(place, &state.names)).await;
        match done.unwrap_or_else(|_| Err(format!("the authority did not finish within {} s", ATTEMPT_TIMEOUT.as_secs()))) {
            Ok(new) => {
                let names = state.names.clone();
                *state = CertificateState {
                    directory: self.parts.settings.directory.clone(),
                    names,
                    left_out: std::mem::take(&mut state.left_out),
                    names_checked_ms: state.names_checked_ms,
                    last_attempt_ms: state.last_attempt_ms,
                    renew_at_ms: Some(by_lifetime(&new, random_u32())),
                    renew_by: Some("two thirds of its lifetime".into()),
                    // An authority that wants everything renewed at once is not asked in a loop.
                    ask_again_ms: Some(now_ms + ASK_DEFAULT_MS),
                    ..CertificateState::default()
                };
                let tls = self.parts.tls.clone();
                blocking(move || tls.reload()).await;
                let until = mail::rfc5322_date(new.not_after_s);
                let (kind, names) = (EventKind::CertificateRenewed, state.names.join(" "));
                tracing::info!(certificate = name, names, until, "{}", kind.words());
                let days = new.not_after_s.saturating_sub(now_ms / 1000) / DAY_S;
                self.record(kind, &name, |event| event.fact(Fact::Days, days).fact(Fact::Change, format!("{names}; valid until {until}")));
                Ok(format!("issued for {}, valid until {until}", state.names.join(", ")))
            }
            Err(error) => {
                // Challenges of a cancelled attempt.
                self.parts.challenges.clear();
                self.parts.peers.hide().await;
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
                    "{}",
                    EventKind::CertificateFailed.words()
                );
                self.record(EventKind::CertificateFailed, &name, |event| {
                    let days = leaf.map(|leaf| leaf.not_after_s.saturating_sub(now_ms / 1000) / DAY_S);
                    let event = event.reason(Some(one_line(&error))).fact(Fact::RetryInS, wait_ms / 1000);
                    event.fact(Fact::Times, state.failures).maybe(Fact::Days, days)
                });
                Err(error)
            }
        }
    }

    fn record(&self, kind: EventKind, certificate: &str, with: impl FnOnce(Event) -> Event) {
        let RenewalParts { events, clock, .. } = self.parts;
        events.record_with(|| with(Event::new(kind, clock.now_ms()).fact(Fact::What, certificate)));
    }

    /// Whether TLSA records announce the keys of this certificate: only for the mail host's.
    fn is_announced(&self, place: &CertificateDir) -> bool {
        self.parts.settings.announce && place.0.file_name().is_some_and(|name| name.to_string_lossy() == self.parts.hostname.as_str())
    }

    async fn key(&self, place: &CertificateDir) -> Result<OrderKey, String> {
        let (parts, keep) = (self.parts, self.parts.settings.keep_key);
        match self.is_announced(place) {
            true => choose_announced(place, keep, &parts.hostname, &parts.resolver).await,
            false => choose_off_runtime(place, keep).await,
        }
    }

    /// Orders, checks and installs.
    async fn issue(&mut self, place: &CertificateDir, names: &[String]) -> Result<Leaf, String> {
        let dir = place.0.clone();
        blocking(move || private_directory(&dir)).await.map_err(|e| format!("cannot create {}: {e}", place.0.display()))?;
        let OrderKey { key, file } = self.key(place).await?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|e| e.to_string())?;
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(|e| e.to_string())?;
        let current = place.certificate();
        let old: Option<CertificateDer<'static>> =
            blocking(move || read_chain(&current)).await.ok().and_then(|chain| chain.into_iter().next());
        let replaces = old.as_ref().and_then(|old| CertificateIdentifier::try_from(old).ok());
        let mut tries = NONCE_TRIES;
        let chain = loop {
            match self.ordered(names, replaces.clone(), csr.der()).await {
                Err(failure) if failure.is_bad_nonce && tries > 1 => tries -= 1,
                done => break done.map_err(|failure| failure.text)?,
            }
        };
        let (dir, is_announced) = (place.clone(), self.is_announced(place));
        let leaf = blocking(move || {
            let leaf = dir.install(&chain, &file)?;
            if is_announced {
                prepare_next(&dir);
            }
            Ok::<_, String>(leaf)
        })
        .await?;
        match names.iter().find(|name| !leaf.is_for(name)) {
            Some(missing) => Err(format!("the issued certificate is not for {missing}")),
            None => Ok(leaf),
        }
    }

    async fn ordered(&mut self, names: &[String], replaces: Option<CertificateIdentifier<'_>>, csr: &[u8]) -> Result<String, AcmeFailure> {
        let parts = self.parts;
        let mut prover =
            Prover { challenge: &parts.settings.challenge, challenges: &parts.challenges, peers: &*parts.peers, records: Vec::new() };
        order(self.account().await?, names, replaces, csr, &mut prover).await
    }
}
