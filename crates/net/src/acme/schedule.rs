//! When a certificate is due, and how long to wait after a failure.
//!
//! RFC 9773 s.4.2 (the authority suggests a window). Invariant: pure; jitter is an argument.

use std::ops::Range;

use super::state::CertificateState;
use crate::leaf::Leaf;

/// The wait after the first failure; it doubles up to the maximum.
const WAIT_MS: i64 = 3_600_000;
const WAIT_MAX_MS: i64 = 24 * WAIT_MS;

/// Minimum and maximum interval between two questions to the authority when to renew.
pub(super) const ASK_MIN_MS: i64 = 3_600_000;
pub(super) const ASK_MAX_MS: i64 = 24 * 3_600_000;

/// The interval until the authority has named one.
pub(super) const ASK_DEFAULT_MS: i64 = 6 * 3_600_000;

/// Without the authority's window: renewed after this share of the lifetime, less a random part of the jitter.
const LIFETIME_PERCENT: i64 = 66;
const JITTER_PERCENT: i64 = 4;

/// Whether to order: no certificate, another authority, a name that it lacks, or its time has come.
pub(super) fn is_due(directory: &str, state: &CertificateState, leaf: Option<&Leaf>, now_ms: i64) -> bool {
    let Some(leaf) = leaf else { return true };
    let is_by_another = state.directory != directory;
    is_by_another || state.names.iter().any(|name| !leaf.is_for(name)) || state.renew_at_ms.is_some_and(|at| at <= now_ms)
}

/// The time of renewal without a window, Unix milliseconds.
pub(super) fn by_lifetime(leaf: &Leaf, random: u32) -> i64 {
    let lifetime_ms = (leaf.not_after_s - leaf.not_before_s).max(0) * 1000;
    leaf.not_before_s * 1000 + lifetime_ms * LIFETIME_PERCENT / 100 - share(lifetime_ms * JITTER_PERCENT / 100, random)
}

/// A random time in the authority's window.
pub(super) fn within(window: &Range<i64>, random: u32) -> i64 {
    window.start + share((window.end - window.start).max(0), random)
}

/// A random part of a duration.
fn share(span_ms: i64, random: u32) -> i64 {
    i64::try_from(i128::from(span_ms) * i128::from(random) / (i128::from(u32::MAX) + 1)).unwrap_or(0)
}

/// The wait after this many failures in a row: doubles from an hour to a day, plus up to a tenth.
pub(super) fn wait_after(failures: u32, random: u32) -> i64 {
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
    fn renewal_is_before_two_thirds_of_the_lifetime_or_in_the_window() {
        let day = 86_400_000;
        let (early, late) = (by_lifetime(&leaf(&[]), u32::MAX), by_lifetime(&leaf(&[]), 0));
        assert!(early > 55 * day && early < late && late < 60 * day, "{early} {late}");
        assert_eq!(within(&(10..20), 0), 10);
        assert!((10..20).contains(&within(&(10..20), u32::MAX)));
        assert_eq!(within(&std::ops::Range { start: 20, end: 10 }, 7), 20);
    }

    #[test]
    fn a_new_name_or_another_authority_makes_a_certificate_due() {
        let state = CertificateState {
            directory: "a".into(),
            names: vec!["mx.test".into()],
            renew_at_ms: Some(100),
            ..CertificateState::default()
        };
        let now = |state: &CertificateState, leaf: Option<&Leaf>| is_due("a", state, leaf, 50);
        assert!(now(&state, None) && !now(&state, Some(&leaf(&["mx.test"]))) && now(&state, Some(&leaf(&["other.test"]))));
        assert!(now(&CertificateState { directory: "b".into(), ..state.clone() }, Some(&leaf(&["mx.test"]))));
        assert!(now(&CertificateState { renew_at_ms: Some(50), ..state }, Some(&leaf(&["mx.test"]))));
    }
}
