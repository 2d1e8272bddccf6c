//! Circuit breakers over simulated time: single cases, and thousands of random steps.
//!
//! Invariant of the model: the test itself counts who is on trial and how long a pause has lasted.

use mail::Domain;
use proptest::prelude::*;

use super::*;
use crate::{classify_reply, parse_pasted_reply};

const GMAIL: &str = "gmail-smtp-in.l.google.com";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn means(host: &str, said: &str) -> Meaning {
    classify_reply(Some(&domain(host)), &parse_pasted_reply(said).unwrap())
}

fn keys(host: &str) -> BreakerKeys {
    BreakerKeys::of_host(&domain(host), "192.0.2.10", &domain("fwd.example.com"), Some(&domain("fwd.example.com")), false)
}

fn own_keys(host: &str) -> BreakerKeys {
    BreakerKeys::of_host(&domain(host), "192.0.2.10", &domain("example.com"), Some(&domain("example.com")), true)
}

fn pass(breakers: &mut Breakers, keys: BreakerKeys, now_ms: i64) -> Pass {
    match breakers.check(keys, now_ms) {
        Admission::Open(pass) | Admission::Probe(pass) => pass,
        Admission::Wait { until_ms, why } => panic!("waits until {until_ms}: {why}"),
    }
}

fn waits(breakers: &mut Breakers, keys: BreakerKeys, now_ms: i64) -> bool {
    matches!(breakers.check(keys, now_ms), Admission::Wait { .. })
}

#[test]
fn a_full_mailbox_pauses_only_itself() {
    let mut breakers = Breakers::default();
    let first = pass(&mut breakers, BreakerKeys::of_target("a@gmail.com"), 0);
    let change = breakers.on_reply(first, &means(GMAIL, "452 4.2.2 out of storage"), 1);
    assert_eq!(change.until_ms, Some(3_600_001));
    assert!(waits(&mut breakers, BreakerKeys::of_target("A@gmail.com"), 3_600_000));
    assert!(!waits(&mut breakers, BreakerKeys::of_target("b@gmail.com"), 2));
    assert!(!waits(&mut breakers, keys(GMAIL), 2));
    assert!(matches!(breakers.check(BreakerKeys::of_target("a@gmail.com"), 3_600_001), Admission::Probe(_)));
    assert!(waits(&mut breakers, BreakerKeys::of_target("a@gmail.com"), 3_600_002));
}

#[test]
fn refusals_of_forwards_do_not_pause_own_mail() {
    let mut breakers = Breakers::default();
    let slow = means(GMAIL, "421 4.7.28 unusual rate of mail from your IP address - gsmtp");
    let forward = pass(&mut breakers, keys(GMAIL), 0);
    let until_ms = breakers.on_reply(forward, &slow, 0).until_ms.unwrap();
    assert!(waits(&mut breakers, keys(GMAIL), 1));
    let own = pass(&mut breakers, own_keys(GMAIL), 1);
    // Refused itself, it waits too, and each has a probe of its own.
    breakers.on_reply(own, &slow, 1);
    assert!(waits(&mut breakers, own_keys(GMAIL), 2));
    for of in [keys, own_keys] {
        assert!(matches!(breakers.check(of(GMAIL), until_ms + 1), Admission::Probe(_)));
        assert!(waits(&mut breakers, of(GMAIL), until_ms + 2));
    }
}

#[test]
fn a_clock_step_keeps_the_length_of_a_pause() {
    let mut breakers = Breakers::default();
    let first = pass(&mut breakers, BreakerKeys::of_target("a@gmail.com"), 0);
    breakers.on_reply(first, &means(GMAIL, "452 4.2.2 out of storage"), 0);
    for by_ms in [-86_400_000, 31_536_000_000] {
        breakers.step_clock(by_ms);
        let until_ms = breakers.closed_for(&BreakerKeys::of_target("a@gmail.com"), by_ms).unwrap().0;
        assert_eq!(until_ms, by_ms + 3_600_000);
        breakers.step_clock(-by_ms);
    }
}

#[test]
fn a_refused_probe_doubles_the_pause_up_to_four_hours() {
    let mut breakers = Breakers::default();
    let slow = means(GMAIL, "421 4.7.28 your IP address");
    let (mut now_ms, mut lasts) = (0, Vec::new());
    for _ in 0..8 {
        let pass = pass(&mut breakers, keys(GMAIL), now_ms);
        let until_ms = breakers.on_reply(pass, &slow, now_ms).until_ms.unwrap();
        lasts.push((until_ms - now_ms) / 60_000);
        now_ms = until_ms;
    }
    assert_eq!(lasts, [10, 20, 40, 80, 160, 240, 240, 240]);
}

#[test]
fn a_burst_of_refusals_counts_once() {
    let mut breakers = Breakers::default();
    let slow = means(GMAIL, "421 4.7.28 your IP address");
    let passes: Vec<Pass> = (0..20).map(|_| pass(&mut breakers, keys(GMAIL), 0)).collect();
    let until: Vec<i64> = passes.into_iter().map(|pass| breakers.on_reply(pass, &slow, 5).until_ms.unwrap()).collect();
    assert_eq!(until, [600_005; 20]);
}

#[test]
fn a_successful_probe_raises_the_limit_step_by_step() {
    let mut breakers = Breakers::default();
    let first = pass(&mut breakers, keys(GMAIL), 0);
    let change = breakers.on_reply(first, &means(GMAIL, "421 4.7.28 your IP address"), 0);
    assert_eq!(change.opened.iter().map(|(scope, _)| *scope).collect::<Vec<_>>(), [ReplyScope::Ip], "it was closed before");
    let trial = pass(&mut breakers, keys(GMAIL), 600_000);
    assert_eq!(breakers.on_success(trial, 600_001), change.opened, "the first success ends the pause");
    let mut limits = Vec::new();
    while !breakers.is_empty() {
        let mut passes = Vec::new();
        while breakers.closed_for(&keys(GMAIL), 600_002).is_none() {
            passes.push(pass(&mut breakers, keys(GMAIL), 600_002));
        }
        limits.push(passes.len());
        breakers.on_success(passes.pop().unwrap(), 600_003);
        passes.into_iter().for_each(|pass| breakers.on_nothing(pass, 600_003));
    }
    assert_eq!(limits, [1, 2, 4, 8, 16]);
}

#[test]
fn a_host_cannot_pause_another() {
    let mut breakers = Breakers::default();
    let rude = means("mx.rude.example", "421-4.7.28 your IP address\n421 4.7.28 x - gsmtp");
    assert_eq!(rude.row, "gmail-rate-ip");
    let first = pass(&mut breakers, keys("mx.rude.example"), 0);
    assert!(breakers.on_reply(first, &rude, 0).until_ms.is_some());
    assert!(waits(&mut breakers, keys("mx.rude.example"), 1));
    assert!(!waits(&mut breakers, keys(GMAIL), 1));
    breakers.learn_way(&domain("mx.rude.example"), &means(GMAIL, "421 4.7.29 TLS"), 0);
    assert!(breakers.is_tls_only(&domain("mx.rude.example"), 1) && !breakers.is_tls_only(&domain(GMAIL), 1));
}

#[test]
fn a_provider_counts_over_all_its_hosts() {
    let mut breakers = Breakers::default();
    let first = pass(&mut breakers, keys(GMAIL), 0);
    breakers.on_reply(first, &means(GMAIL, "421 4.7.28 your SPF domain"), 0);
    assert!(waits(&mut breakers, keys("alt4.aspmx.l.google.com"), 1));
    assert!(!waits(&mut breakers, keys("mx01.mail.icloud.com"), 1));
    breakers.lift();
    assert!(!waits(&mut breakers, keys(GMAIL), 1));
}

#[test]
fn the_third_invalid_reply_in_a_row_is_reported() {
    let mut breakers = Breakers::default();
    let none = means(GMAIL, "550 5.1.1 no such user");
    let times = |breakers: &mut Breakers| {
        let pass = pass(breakers, BreakerKeys::of_target("a@b.example"), 0);
        breakers.on_reply(pass, &none, 0).invalid_times
    };
    assert_eq!([times(&mut breakers), times(&mut breakers), times(&mut breakers)], [None, None, Some(3)]);
    let well = pass(&mut breakers, BreakerKeys::of_target("a@b.example"), 0);
    breakers.on_success(well, 0);
    assert_eq!(times(&mut breakers), None);
}

#[test]
fn breakers_are_bounded() {
    let mut breakers = Breakers::default();
    let full = means(GMAIL, "452 4.2.2 full");
    for n in 0..BREAKERS_MAX + 50 {
        let pass = pass(&mut breakers, BreakerKeys::of_target(&format!("u{n}@b.example")), 0);
        breakers.on_reply(pass, &full, i64::try_from(n).unwrap());
    }
    assert_eq!(breakers.len(), BREAKERS_MAX);
    assert!(!waits(&mut breakers, BreakerKeys::of_target("u0@b.example"), 1));
}

/// The next step of a random history: time passes, a delivery asks, or the delivery with this number ends.
#[derive(Debug, Clone)]
enum Step {
    Pass(i64),
    Ask,
    End(usize, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..1_200_000i64).prop_map(Step::Pass),
        Just(Step::Ask),
        Just(Step::Ask),
        (0..8usize, 0..6u8).prop_map(|(which, how)| Step::End(which, how)),
    ]
}

proptest! {
    #[test]
    fn at_most_one_probe_and_no_pause_too_short(steps in prop::collection::vec(step(), 0..400)) {
        let mut breakers = Breakers::default();
        let slow = means(GMAIL, "421 4.7.28 your IP address");
        let (later, never) = (means(GMAIL, "421 4.3.0 busy"), means(GMAIL, "550 5.1.1 no"));
        let (mut now_ms, mut paused_until_ms) = (0i64, 0i64);
        // Passes under way, and whether they are on trial.
        let mut under_way: Vec<(Pass, bool)> = Vec::new();
        for step in steps {
            match step {
                // Shorter in all than what makes a trial forgotten.
                Step::Pass(ms) => now_ms += if under_way.iter().any(|(_, on_trial)| *on_trial) { ms / 1000 } else { ms },
                Step::Ask => match breakers.check(keys(GMAIL), now_ms) {
                    Admission::Wait { until_ms, .. } => prop_assert!(until_ms > now_ms),
                    Admission::Open(pass) => {
                        prop_assert!(now_ms >= paused_until_ms);
                        under_way.push((pass, false));
                    }
                    Admission::Probe(pass) => {
                        prop_assert!(now_ms >= paused_until_ms);
                        prop_assert!(under_way.iter().all(|(_, on_trial)| !on_trial));
                        under_way.push((pass, true));
                    }
                },
                Step::End(which, how) if which < under_way.len() => {
                    let (pass, _) = under_way.remove(which);
                    match how {
                        0 => {
                            let until_ms = breakers.on_reply(pass, &slow, now_ms).until_ms;
                            prop_assert!(until_ms.is_some_and(|until_ms| until_ms >= now_ms + 600_000));
                            paused_until_ms = now_ms + 600_000;
                        }
                        1 => drop(breakers.on_reply(pass, &later, now_ms)),
                        2 => drop(breakers.on_reply(pass, &never, now_ms)),
                        3 => breakers.on_nothing(pass, now_ms),
                        _ => drop(breakers.on_success(pass, now_ms)),
                    }
                }
                Step::End(..) => {}
            }
        }
        // Whatever happened, it closes again: pauses end, and successes are enough.
        now_ms += PROBE_MAX_MS + PAUSE_MAX_MS;
        for _ in 0..10 {
            if let Admission::Open(pass) | Admission::Probe(pass) = breakers.check(keys(GMAIL), now_ms) {
                breakers.on_success(pass, now_ms);
            }
        }
        prop_assert!(breakers.is_empty());
    }
}
