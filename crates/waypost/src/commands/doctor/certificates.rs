//! Certificates: names, authority, time, and whether the next one will come.
//!
//! RFC 8314 s.5.4, RFC 8555. Invariant: what Gmail's "Send mail as" would refuse is said.

use admin::api::{CertificateView, CertificatesView, OrderView};
use anyhow::Result;

use super::Patient;
use super::finding::{Finding, Severity};

const CHECK: &str = "certificate";
const DAY_MS: i64 = 86_400_000;

pub(super) async fn check(patient: &mut Patient) -> Result<Vec<Finding>> {
    let all: CertificatesView = patient.api()?.get("/v1/certificates").await?;
    let host = patient.config.settings.hostname.as_str().to_owned();
    let mut findings: Vec<Finding> = all.certificates.iter().map(|c| one(c, all.now_ms)).collect();
    let is_shown = |c: &&CertificateView| c.names.iter().any(|name| name.eq_ignore_ascii_case(&host)) || c.shown_for.contains(&host);
    if !all.certificates.iter().any(|c| is_shown(&c)) {
        let fix = "enabled = true under [acme], or name the files of a certificate for it under [tls]; then: waypost reload";
        findings.push(
            Finding::bad(Severity::Error, CHECK, host.clone(), "no certificate is for this name", fix)
                .because("clients check the name that they were told; Gmail says \"the certificate doesn't match the host\""),
        );
    }
    let is_gone = |name: &str| name != host && !patient.domains.iter().any(|domain| domain.as_str() == name);
    findings.retain(|finding| !all.certificates.iter().any(|c| c.name.as_deref().is_some_and(&is_gone) && about(c) == finding.about));
    let (gone, wanted): (Vec<&OrderView>, Vec<&OrderView>) = all.orders.iter().partition(|order| is_gone(&order.name));
    findings.extend(wanted.iter().filter_map(|order| failing(order, &all)));
    findings.extend(gone.iter().map(|order| {
        let fix = format!(
            "nothing; to take it away: rm -r {}",
            patient.config.certificate_directories().certificates.join(&order.name).display()
        );
        Finding::bad(Severity::Notice, CHECK, order.name.clone(), "is of a domain that is no longer hosted, and is not renewed", fix)
    }));
    Ok(findings)
}

fn about(c: &CertificateView) -> String {
    c.names.first().cloned().unwrap_or_else(|| c.file.clone())
}

fn one(c: &CertificateView, now_ms: i64) -> Finding {
    let about = about(c);
    let days = (c.not_after_ms - now_ms).div_euclid(DAY_MS);
    let renew = "waypost cert renew, or put a new one in its place";
    let is_in_use = c.is_fallback || !c.shown_for.is_empty();
    match () {
        () if !is_in_use => Finding::good(CHECK, about, "not shown to anybody: another one is better for its names"),
        () if days < 0 => Finding::bad(Severity::Error, CHECK, about, format!("expired {} days ago", -days), renew),
        () if c.is_self_signed => {
            let fix = "enabled = true under [acme], or name the files of one under [tls]; then: waypost reload";
            Finding::bad(Severity::Warning, CHECK, about, "is self-signed", fix)
                .because("other servers take it for mail to you; Gmail's \"Send mail as\" and most clients refuse it")
        }
        () if days < 14 => Finding::bad(Severity::Warning, CHECK, about, format!("ends in {days} days"), renew),
        () => Finding::good(CHECK, about, format!("by {}, {days} days more", c.issuer)),
    }
}

fn failing(order: &OrderView, all: &CertificatesView) -> Option<Finding> {
    let error = order.last_error.as_ref()?;
    let old = all.certificates.iter().find(|c| c.name.as_ref() == Some(&order.name));
    let left = old.map_or("there is none to go on with".to_owned(), |c| {
        format!("the one before is good for {} days more", (c.not_after_ms - all.now_ms).div_euclid(DAY_MS).max(0))
    });
    let found = format!("the authority gave none ({} times): {error}; {left}", order.failures);
    let fix = "see that port 80 (or 443) reaches this server from outside and the names lead here, then: waypost cert renew";
    let severity = if old.is_some() { Severity::Warning } else { Severity::Error };
    Some(Finding::bad(severity, CHECK, order.name.clone(), found, fix))
}
