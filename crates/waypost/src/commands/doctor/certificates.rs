//! Certificates: names, authority, expiry, and renewal.
//!
//! RFC 8314 s.5.4, RFC 8555. Invariant: reports what Gmail's "Send mail as" would refuse.

use anyhow::Result;
use control_api::api::{CertificateView, CertificatesView, OrderView};

use super::DoctorContext;
use control_api::api::{HealthFinding as Finding, Severity};

const CHECK: &str = "certificate";
const DAY_MS: i64 = 86_400_000;

pub(super) async fn check(context: &mut DoctorContext) -> Result<Vec<Finding>> {
    let all: CertificatesView = context.api()?.get("/api/v1/certificates").await?;
    let host = context.config.settings.hostname.as_str().to_owned();
    let mut findings: Vec<Finding> = all.certificates.iter().map(|c| judge_certificate(c, all.now_ms)).collect();
    let is_shown = |c: &&CertificateView| c.names.iter().any(|name| name.eq_ignore_ascii_case(&host)) || c.shown_for.contains(&host);
    if !all.certificates.iter().any(|c| is_shown(&c)) {
        let fix = "enabled = true under [acme], or name the files of a certificate for it under [tls]; then: waypost reload";
        findings.push(
            Finding::bad(Severity::Error, CHECK, host.clone(), "no certificate has this name", fix)
                .because("clients check the name that they connect to; Gmail says \"the certificate doesn't match the host\""),
        );
    }
    let is_gone = |name: &str| name != host && !context.domains.iter().any(|domain| domain.as_str() == name);
    findings.retain(|finding| !all.certificates.iter().any(|c| c.name.as_deref().is_some_and(&is_gone) && about(c) == finding.about));
    let (gone, wanted): (Vec<&OrderView>, Vec<&OrderView>) = all.orders.iter().partition(|order| is_gone(&order.name));
    findings.extend(wanted.iter().filter_map(|order| judge_order(order, &all)));
    findings.extend(gone.iter().map(|order| {
        let fix = format!(
            "none needed; to remove it: rm -r {}",
            context.config.certificate_directories().certificates.join(&order.name).display()
        );
        Finding::bad(Severity::Notice, CHECK, order.name.clone(), "belongs to a domain that is no longer hosted, and is not renewed", fix)
    }));
    Ok(findings)
}

fn about(c: &CertificateView) -> String {
    c.names.first().cloned().unwrap_or_else(|| c.file.clone())
}

fn judge_certificate(c: &CertificateView, now_ms: i64) -> Finding {
    let about = about(c);
    let days = (c.not_after_ms - now_ms).div_euclid(DAY_MS);
    let renew = "waypost cert renew, or install a new one";
    let is_in_use = c.is_fallback || !c.shown_for.is_empty();
    match () {
        () if !is_in_use => Finding::good(CHECK, about, "not in use: another certificate covers its names"),
        () if days < 0 => Finding::bad(Severity::Error, CHECK, about, format!("expired {} days ago", -days), renew),
        () if c.is_self_signed => {
            let fix = "enabled = true under [acme], or name the files of one under [tls]; then: waypost reload";
            Finding::bad(Severity::Warning, CHECK, about, "is self-signed", fix)
                .because("other servers accept it when they deliver mail; Gmail's \"Send mail as\" and most clients refuse it")
        }
        () if days < 14 => Finding::bad(Severity::Warning, CHECK, about, format!("expires in {days} days"), renew),
        () => Finding::good(CHECK, about, format!("issued by {}, valid for {days} days", c.issuer)),
    }
}

fn judge_order(order: &OrderView, all: &CertificatesView) -> Option<Finding> {
    let error = order.last_error.as_ref()?;
    let old = all.certificates.iter().find(|c| c.name.as_ref() == Some(&order.name));
    let left = old.map_or("there is no older one".to_owned(), |c| {
        format!("the present one is valid for {} days", (c.not_after_ms - all.now_ms).div_euclid(DAY_MS).max(0))
    });
    let found = format!("the authority refused the order ({} times): {error}; {left}", order.failures);
    let fix = "make sure that its names lead here and port 80 (or 443) is open from outside, then: waypost cert renew";
    let severity = if old.is_some() { Severity::Warning } else { Severity::Error };
    Some(Finding::bad(severity, CHECK, order.name.clone(), found, fix))
}
