//! The periodic checks behind notices: certificates that end, mailboxes and hosts that stay paused, mail that waits for long.
//!
//! Invariant: they read only, and say the same once per episode.

use std::collections::HashMap;

use mta::Pauses;
use net::{CertificateInUse, CertificateOrigin};
use store::{ListFilter, Store};

use super::notice::{DAY_MS, Notice, NoticeKind};

/// Days left at which a certificate is worth a notice; the last two are urgent.
const DAYS_LEFT: [(i64, bool); 4] = [(1, true), (3, true), (7, false), (14, false)];

/// A pause that ends for a shorter time than this is the same pause, in milliseconds: a probe in between was refused.
const GAP_MS: i64 = 600_000;

/// Since when, and when last, each thing was paused, Unix milliseconds.
#[derive(Debug, Default)]
pub struct PauseWatch(HashMap<String, (i64, i64)>);

impl PauseWatch {
    /// Returns notices about what has been paused for this long.
    pub fn look(&mut self, pauses: &Pauses, paused_for_s: u32, now_ms: i64) -> Vec<Notice> {
        let mut notices = Vec::new();
        for pause in pauses.list() {
            let key = format!("{} {}", pause.scope, pause.about);
            let (since_ms, last_ms) = self.0.entry(key.clone()).or_insert((now_ms, now_ms));
            *last_ms = now_ms;
            if now_ms - *since_ms >= i64::from(paused_for_s) * 1000 {
                let text = format!(
                    "{}\n\nIts mail waits, and is tried again by itself. To see all pauses, and to end one:\n\n  waypost queue paused\n  waypost queue resume {}\n",
                    pause.why,
                    pause.about.split(' ').next().unwrap_or_default()
                );
                notices.push(Notice::urgent(NoticeKind::Paused, &key, &format!("{} is paused: {}", pause.scope, pause.about), &text));
            }
        }
        self.0.retain(|_, (_, last_ms)| now_ms - *last_ms < GAP_MS);
        notices
    }
}

/// Returns notices about certificates that end soon.
pub fn certificates(in_use: &[CertificateInUse], now_s: i64) -> Vec<Notice> {
    in_use.iter().filter_map(|certificate| ending(certificate, now_s)).collect()
}

fn ending(certificate: &CertificateInUse, now_s: i64) -> Option<Notice> {
    let leaf = &certificate.leaf;
    let left_s = leaf.not_after_s - now_s;
    // A short-lived certificate always has few days left.
    if left_s > (leaf.not_after_s - leaf.not_before_s) / 3 {
        return None;
    }
    let days = left_s.div_euclid(86_400);
    let (limit, is_urgent) = DAYS_LEFT.into_iter().find(|(limit, _)| days < *limit)?;
    let name = leaf.names.first().map_or("without a name", String::as_str);
    let subject = match days {
        ..0 => format!("the certificate {name} has expired"),
        0 => format!("the certificate {name} expires today"),
        1 => format!("the certificate {name} expires in 1 day"),
        days => format!("the certificate {name} expires in {days} days"),
    };
    let text = format!("It is valid until {}.\n\n  waypost cert show\n", mail::rfc5322_date(leaf.not_after_s));
    let notice = Notice::urgent(NoticeKind::Certificate, &format!("{name} {} {limit}", leaf.serial), &subject, &text);
    let quiet_ms = if days < 0 { DAY_MS } else { 30 * DAY_MS };
    // The nodes share what an authority issues. The other files are each node's own.
    let is_of_node = certificate.origin != CertificateOrigin::Issued;
    Some(Notice { is_urgent, quiet_ms, is_of_node, ..notice })
}

/// Returns a notice if the oldest message that is not held waits for longer than this.
pub async fn queue(store: &Store, queue_age_s: u32, now_ms: i64) -> Option<Notice> {
    let filter = ListFilter { limit: 1, held: Some(false), ..ListFilter::default() };
    let oldest = store.list(filter).await.ok()?.pop()?;
    let age_ms = now_ms - oldest.message.arrived_ms;
    if age_ms < i64::from(queue_age_s) * 1000 {
        return None;
    }
    let waiting = oldest.recipients.first();
    let to = waiting.map(|r| r.known_as.clone().unwrap_or_else(|| r.mailbox.clone())).unwrap_or_default();
    let why = waiting.and_then(|r| r.reason.clone()).unwrap_or_else(|| "it was not tried yet".into());
    let id = oldest.message.id;
    let text = format!(
        "The oldest message ({id}) from {} for {to} has waited for {} hours:\n{why}\n\n  waypost queue list\n  waypost queue show {id}\n",
        oldest.message.reverse_path,
        age_ms / 3_600_000
    );
    Some(Notice::urgent(NoticeKind::QueueOld, "", "mail waits in the queue for long", &text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use net::{Leaf, PairFiles};

    fn certificate(lifetime_days: i64, left_s: i64) -> CertificateInUse {
        let leaf = Leaf {
            names: vec!["mx.example.test".into()],
            issuer: String::new(),
            is_self_issued: false,
            not_before_s: left_s - lifetime_days * 86_400,
            not_after_s: left_s,
            serial: "01".into(),
            key_type: String::new(),
            spki_sha256: String::new(),
        };
        let files = PairFiles { certificate: "c".into(), key: "k".into() };
        CertificateInUse { origin: CertificateOrigin::Default, files, leaf, shown_for: Vec::new(), is_fallback: true }
    }

    #[test]
    fn certificates_are_noticed_as_they_end() {
        let of = |lifetime, left_s| certificates(&[certificate(lifetime, left_s)], 0).pop().map(|n| (n.is_urgent, n.key, n.subject));
        let day = 86_400;
        assert_eq!(of(90, 20 * day), None);
        let (urgent, first, subject) = of(90, 13 * day + 5).unwrap();
        assert_eq!((urgent, subject.as_str()), (false, "the certificate mx.example.test expires in 13 days"));
        assert_eq!(of(90, 8 * day).unwrap().1, first, "the same threshold is told once");
        assert_ne!(of(90, 6 * day).unwrap().1, first);
        assert!(of(90, 2 * day).unwrap().0);
        assert_eq!(of(90, day - 1).unwrap().2, "the certificate mx.example.test expires today");
        assert_eq!(of(90, -1).unwrap().2, "the certificate mx.example.test has expired");
        assert_eq!(of(6, 3 * day), None, "a short-lived certificate");
        assert!(of(6, day).is_some());
    }
}
