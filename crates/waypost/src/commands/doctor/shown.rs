//! What other servers see of TLS: the certificate on port 25 beside its TLSA records, and the MTA-STS policy where senders fetch it.
//!
//! RFC 7672 s.8.1, RFC 8461 s.3.3. Invariant: it is asked from outside, over the network, as a sender would; what the server believes of itself is no answer.

use std::net::SocketAddr;
use std::sync::Arc;

use mail::Domain;
use mta::settings::ListenerKind;
use net::{ClientTls, Dane, Reach, Trial, TrialError, TrialVersion, fetch_policy};
use policy::StsMode;

use super::Patient;
use super::finding::{Finding, Severity};
use crate::conversation::{connect, secured, up_to_start_tls};

pub(super) async fn check(patient: &Patient) -> Vec<Finding> {
    let authorities = patient.config.file.tls.extra_authorities.as_deref();
    let (tls, trial) = match (ClientTls::new(authorities), Trial::new(authorities)) {
        (Ok(tls), Ok(trial)) => (tls, trial),
        (Err(error), _) | (_, Err(error)) => {
            let fix = "see extra_authorities under [tls], and that ca-certificates is installed";
            return vec![Finding::bad(Severity::Error, "tls", "trusted authorities", error.to_string(), fix)];
        }
    };
    let mut findings = Vec::new();
    let mut ports: Vec<u16> = Vec::new();
    for listener in patient.config.listeners().iter().filter(|listener| listener.kind == ListenerKind::Mx) {
        let port = listener.address.port();
        if ports.contains(&port) {
            continue;
        }
        ports.push(port);
        for address in &patient.addresses {
            let at = SocketAddr::new(*address, port);
            findings.extend(certificate(patient, &trial, at).await);
            findings.extend(tlsa(patient, &tls, at).await);
        }
    }
    if patient.config.sts_policy().mode != StsMode::None {
        for domain in &patient.domains {
            findings.push(policy(patient, &tls, domain).await);
        }
    }
    findings
}

/// The certificate as senders with MTA-STS see it. A port that does not answer is told of elsewhere.
async fn certificate(patient: &Patient, trial: &Trial, at: SocketAddr) -> Option<Finding> {
    let host = &patient.config.settings.hostname;
    let about = format!("{at}, STARTTLS");
    let mut tcp = connect(at).await.ok()?;
    let wrong = |found: String, fix: &str| Some(Finding::bad(Severity::Warning, "tls", about.clone(), found, fix));
    match up_to_start_tls(&mut tcp).await {
        Ok((_, answer)) if answer.code == 220 => {}
        Ok((_, answer)) => {
            return wrong(format!("is refused: {}", answer.text()), "see that the server has a certificate: waypost cert status");
        }
        // Another server may have the port: that is told of elsewhere.
        Err(_) => return None,
    }
    match secured(trial, TrialVersion::V13, host, tcp).await {
        Ok(_) => Some(Finding::good("tls", about, format!("a certificate for {host} that others believe"))),
        Err(TrialError::Issuer) => {
            let fix = "enabled = true under [acme]; or put the chain of the authority behind the certificate in its file (fullchain.pem)";
            wrong("nobody whom senders trust has issued the certificate, or its chain is incomplete".into(), fix)
        }
        Err(error) => {
            wrong(error.to_string(), "waypost cert status shows which certificate is shown for which name; waypost cert renew orders one")
        }
    }
}

/// The certificate as senders with DANE see it.
async fn tlsa(patient: &Patient, tls: &ClientTls, at: SocketAddr) -> Option<Finding> {
    let host = &patient.config.settings.hostname;
    let about = format!("_{}._tcp.{host} at {at}", at.port());
    let records = patient.resolver.tlsa(host, at.port()).await.ok()?.records;
    if records.is_empty() {
        return None;
    }
    let count = records.len();
    let fix = "publish the record of the key in use: dns.tlsa = true, then waypost dns show";
    let bad = |found: String| Finding::bad(Severity::Error, "tlsa", about.clone(), found, fix);
    let why = "servers that check DANE send nothing here until record and certificate agree";
    let Some(dane) = Dane::new(records, host.clone(), host) else {
        return Some(bad("none of the TLSA records is one that SMTP has a use for (3 1 1 is)".into()).because(why));
    };
    let mut tcp = connect(at).await.ok()?;
    up_to_start_tls(&mut tcp).await.ok().filter(|(_, answer)| answer.code == 220)?;
    Some(match tls.connect_as(&Arc::new(dane), tcp).await {
        Ok(_) => Finding::good("tlsa", about, format!("{count} records, and the certificate agrees with one")),
        Err(error) => bad(error.to_string()).because(why),
    })
}

/// The policy of a domain, fetched as senders fetch it.
async fn policy(patient: &Patient, tls: &ClientTls, domain: &Domain) -> Finding {
    let delivery = &patient.config.settings.delivery;
    let ours = patient.config.sts_policy();
    let about = format!("https://mta-sts.{domain}/");
    let at = Reach { port: delivery.policy_port, ipv6: delivery.ipv6, loopback: delivery.loopback };
    match fetch_policy(&patient.resolver, tls, domain, at).await {
        Ok(text) if text.split_whitespace().eq(ours.text().split_whitespace()) => {
            Finding::good("mta-sts", about, "the policy is there, as it should be")
        }
        Ok(_) => {
            let fix = "see that mta-sts leads to this server and to no other; after a change of [mta_sts]: waypost reload";
            Finding::bad(Severity::Warning, "mta-sts", about, "serves another policy than this server's", fix)
                .because("senders keep to the policy that they fetch")
        }
        Err(error) => {
            let fix = format!(
                "publish mta-sts.{domain} (waypost dns show), open port 443, and let the certificate have that name ([acme]); or mode = \"none\" under [mta_sts]"
            );
            Finding::bad(Severity::Warning, "mta-sts", about, error.to_string(), fix)
                .because("senders find no policy, and encrypt as they like")
        }
    }
}
