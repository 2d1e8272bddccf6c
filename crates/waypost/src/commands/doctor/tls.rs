//! TLS as other servers see it: the certificate on port 25, its TLSA records, and the MTA-STS policy.
//!
//! RFC 7672 s.8.1, RFC 8461 s.3.3. Invariant: checked over the network, as a sender does; the server's own state does not count.

use std::net::SocketAddr;
use std::sync::Arc;

use mail::Domain;
use mta::settings::ListenerKind;
use net::{ClientTls, Dane, HttpsOptions, TlsProbe, TlsProbeError, TlsVersion, fetch_mta_sts_policy};
use policy::StsMode;

use super::DoctorContext;
use crate::conversation::{connect, secured, up_to_start_tls};
use control_api::api::{HealthFinding as Finding, Severity};

pub(super) async fn check(context: &DoctorContext) -> Vec<Finding> {
    let authorities = context.config.file.tls.extra_authorities.as_deref();
    let (tls, probe) = match (ClientTls::new(authorities), TlsProbe::new(authorities)) {
        (Ok(tls), Ok(probe)) => (tls, probe),
        (Err(error), _) | (_, Err(error)) => {
            let fix = "check extra_authorities under [tls], and that ca-certificates is installed";
            return vec![Finding::bad(Severity::Error, "tls", "trusted authorities", error.to_string(), fix)];
        }
    };
    let mut findings = Vec::new();
    let mut ports: Vec<u16> = Vec::new();
    for listener in context.config.listeners().iter().filter(|listener| listener.kind == ListenerKind::Mx) {
        let port = listener.address.port();
        if ports.contains(&port) {
            continue;
        }
        ports.push(port);
        for address in &context.addresses {
            let at = SocketAddr::new(*address, port);
            findings.extend(check_certificate(context, &probe, at).await);
            findings.extend(check_tlsa(context, &tls, at).await);
        }
    }
    if context.config.sts_policy(&[]).mode != StsMode::None {
        for domain in &context.domains {
            findings.push(check_policy(context, &tls, domain).await);
        }
    }
    findings
}

/// The certificate as senders with MTA-STS see it. The port check reports a port that does not answer.
async fn check_certificate(context: &DoctorContext, probe: &TlsProbe, at: SocketAddr) -> Option<Finding> {
    let host = &context.config.settings.hostname;
    let about = format!("{at}, STARTTLS");
    let mut tcp = connect(at).await.ok()?;
    let wrong = |found: String, fix: &str| Some(Finding::bad(Severity::Warning, "tls", about.clone(), found, fix));
    match up_to_start_tls(&mut tcp, &context.hello).await {
        Ok((_, answer)) if answer.code == 220 => {}
        Ok((_, answer)) => {
            return wrong(format!("refused: {}", answer.text()), "check that the server has a certificate: waypost cert status");
        }
        // Another server may have the port, which the port check reports.
        Err(_) => return None,
    }
    match secured(probe, TlsVersion::V13, host, tcp).await {
        Ok(_) => Some(Finding::good("tls", about, format!("the certificate for {host} is trusted"))),
        Err(TlsProbeError::Issuer) => {
            let fix = "enabled = true under [acme]; or append the authority's chain to the certificate file (fullchain.pem)";
            wrong("the certificate's issuer is not trusted, or its chain is incomplete".into(), fix)
        }
        Err(error) => wrong(error.to_string(), "waypost cert status shows the certificate of each name; waypost cert renew orders one"),
    }
}

/// The certificate as senders with DANE see it.
async fn check_tlsa(context: &DoctorContext, tls: &ClientTls, at: SocketAddr) -> Option<Finding> {
    let host = &context.config.settings.hostname;
    let about = format!("_{}._tcp.{host} at {at}", at.port());
    let records = context.resolver.tlsa(host, at.port()).await.ok()?.records;
    if records.is_empty() {
        return None;
    }
    let count = records.len();
    let fix = "publish the record of the present key: tlsa = true under [dns], then waypost dns show";
    let bad = |found: String| Finding::bad(Severity::Error, "tlsa", about.clone(), found, fix);
    let why = "servers that check DANE deliver nothing here until record and certificate match";
    let Some(dane) = Dane::new(records, host.clone(), host) else {
        return Some(bad("no TLSA record is usable for SMTP (3 1 1 is)".into()).because(why));
    };
    let mut tcp = connect(at).await.ok()?;
    up_to_start_tls(&mut tcp, &context.hello).await.ok().filter(|(_, answer)| answer.code == 220)?;
    Some(match tls.connect_as(&Arc::new(dane), tcp).await {
        Ok(_) => Finding::good("tlsa", about, format!("the certificate matches one of {count} records")),
        Err(error) => bad(error.to_string()).because(why),
    })
}

/// The MTA-STS policy of a domain, fetched as senders do.
async fn check_policy(context: &DoctorContext, tls: &ClientTls, domain: &Domain) -> Finding {
    let delivery = &context.config.settings.delivery;
    let ours = context.config.sts_policy(&context.other_hosts);
    let about = format!("https://mta-sts.{domain}/");
    let at = HttpsOptions { port: delivery.policy_port, ipv6: delivery.ipv6, loopback: delivery.loopback };
    match fetch_mta_sts_policy(&context.resolver, tls, domain, at).await {
        Ok(text) if text.split_whitespace().eq(ours.text().split_whitespace()) => {
            Finding::good("mta-sts", about, "the policy is published and right")
        }
        Ok(_) => {
            let fix = "check that the mta-sts name leads only to this server, or to those that share its mail; after a change of [mta_sts]: waypost reload";
            Finding::bad(Severity::Warning, "mta-sts", about, "the published policy differs from this server's", fix)
                .because("senders follow the published policy")
        }
        Err(error) => {
            let fix = format!(
                "publish mta-sts.{domain} (waypost dns show), open port 443, and get a certificate for that name ([acme]); or mode = \"none\" under [mta_sts]"
            );
            Finding::bad(Severity::Warning, "mta-sts", about, error.to_string(), fix)
                .because("without the policy, senders do not require TLS")
        }
    }
}
