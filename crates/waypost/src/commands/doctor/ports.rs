//! The server's ports on each address: whether they answer, under which name, and whether they are an open relay.
//!
//! RFC 5321 s.4.1.1.1 and s.7.9. Invariant: the relay test ends before any content.

use std::net::{IpAddr, SocketAddr};

use mta::settings::ListenerKind;

use super::DoctorContext;
use crate::conversation::{Conversation, connect_to_own};
use control_api::api::{HealthFinding as Finding, Severity};

pub(super) async fn check(context: &DoctorContext) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for listener in context.config.listeners() {
        let port = listener.address.port();
        if seen.contains(&(listener.kind, port)) {
            continue;
        }
        seen.push((listener.kind, port));
        for address in &context.addresses {
            findings.extend(check_port(context, listener.kind, SocketAddr::new(*address, port)).await);
        }
    }
    findings
}

async fn check_port(context: &DoctorContext, kind: ListenerKind, at: SocketAddr) -> Vec<Finding> {
    let about = format!("{at} ({})", kind.as_str());
    let host = context.config.settings.hostname.as_str();
    let closed = |error: String| {
        let v6 = if at.is_ipv6() { "; or remove the AAAA record until it does" } else { "" };
        let fix = format!("open port {} in the firewalls of the machine and of the hoster, and check that [listen] has it{v6}", at.port());
        Finding::bad(Severity::Error, "port", about.clone(), format!("does not answer: {error}"), fix)
    };
    let tcp = match connect_to_own(at, &context.config.proxies()).await {
        Ok(tcp) => tcp,
        Err(error) => return vec![closed(error)],
    };
    if matches!(kind, ListenerKind::Submissions | ListenerKind::ByCertificate) {
        return vec![Finding::good("port", about, "answers")];
    }
    let mut conversation = Conversation::plain(tcp);
    let banner = match conversation.reply().await {
        Ok(banner) if banner.code == 220 => banner,
        Ok(busy) if busy.code == 421 => {
            let fix = "waypost node list shows whether the server is drained; otherwise look at its sessions: waypost status";
            return vec![Finding::bad(Severity::Warning, "port", about, format!("takes no sessions now: {}", busy.text()), fix)];
        }
        Ok(other) => return vec![closed(format!("it replies {}", other.text()))],
        Err(error) => return vec![closed(error)],
    };
    let mut findings = Vec::new();
    let is_ours = banner.lines.first().and_then(|line| line.split_whitespace().next()).is_some_and(|name| name.eq_ignore_ascii_case(host));
    findings.push(match is_ours {
        true => Finding::good("port", about.clone(), format!("answers as {host}")),
        false => {
            let fix = format!("find the program that has port {} there (ss -ltnp), and check where {host} leads in DNS", at.port());
            Finding::bad(Severity::Error, "port", about.clone(), format!("another server answers: {}", banner.text()), fix)
        }
    });
    if kind == ListenerKind::Mx && is_ours && !is_self(at.ip()) {
        findings.push(check_relay(&mut conversation, &about, &context.hello).await);
    }
    findings
}

/// An unspecified address leads to loopback, where the test would prove nothing.
fn is_self(address: IpAddr) -> bool {
    address.is_unspecified()
}

/// Whether an unauthenticated client can relay.
async fn check_relay(conversation: &mut Conversation, about: &str, hello: &str) -> Finding {
    let test = async {
        conversation.say(&format!("EHLO {hello}")).await?;
        let mail = conversation.say("MAIL FROM:<relay-trial@example.org>").await?;
        if mail.code >= 400 {
            return Ok(mail);
        }
        let rcpt = conversation.say("RCPT TO:<relay-trial@example.net>").await?;
        conversation.say("QUIT").await?;
        Ok::<_, String>(rcpt)
    };
    match test.await {
        Ok(reply) if reply.code >= 500 => Finding::good("relay", about, "not an open relay"),
        Ok(reply) if reply.code >= 400 => {
            Finding::bad(Severity::Notice, "relay", about, format!("deferred: {}", reply.text()), "try again in a minute")
        }
        Ok(reply) => Finding::bad(
            Severity::Error,
            "relay",
            about,
            format!("open relay: it accepts mail from anywhere to anywhere: {}", reply.text()),
            "check whether another program has the port; if it is waypost, stop it and report this bug",
        ),
        Err(error) => {
            Finding::bad(Severity::Warning, "relay", about, format!("could not be tested: {error}"), "run doctor again, then read the log")
        }
    }
}
