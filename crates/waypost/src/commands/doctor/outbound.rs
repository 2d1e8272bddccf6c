//! Outgoing connections: port 25, or the smarthost instead.
//!
//! RFC 5321 s.5. Invariant: names a hoster that is known to block port 25, with the remedy.

use std::net::SocketAddr;
use std::path::Path;

use mail::Domain;
use mta::settings::Route;
use net::Resolver;
use nix::unistd::AccessFlags;
use policy::MaildirPlace;
use smtp::client::Protocol;

use super::DoctorContext;
use crate::config::Config;
use crate::conversation::{Conversation, connect};
use control_api::api::{HealthFinding as Finding, Severity};

/// A domain whose port 25 is always open.
pub(super) const AFAR: &str = "gmail.com";

/// Hosters that block outgoing port 25: the vendor in the machine's firmware, and the hoster's rule.
const BLOCKERS: [(&str, &str); 8] = [
    ("DigitalOcean", "DigitalOcean blocks outgoing port 25 without exceptions"),
    ("Hetzner", "Hetzner opens outgoing port 25 on request, a month after the first invoice"),
    ("Vultr", "Vultr opens outgoing port 25 on request (ticket)"),
    ("Linode", "Linode (Akamai) opens outgoing port 25 on request (ticket)"),
    ("Google", "Google Cloud never opens outgoing port 25"),
    ("Amazon", "AWS opens outgoing port 25 on request (form \"Request to remove email sending limitations\")"),
    ("Microsoft", "Azure opens outgoing port 25 for some subscriptions only"),
    ("OracleCloud", "Oracle Cloud opens outgoing port 25 on request only"),
];

pub(super) async fn check(context: &DoctorContext) -> Vec<Finding> {
    let routes = &context.config.settings.delivery.routes;
    let mut findings = Vec::new();
    for route in routes {
        findings.push(check_smarthost(context, route).await);
    }
    if needs_port_25(&context.config) {
        findings.push(check_outgoing_port(&context.config, &context.resolver).await);
    }
    findings
}

/// Whether any mail leaves through port 25: none does if a route takes everything.
fn needs_port_25(config: &Config) -> bool {
    let routes = &config.settings.delivery.routes;
    !routes.iter().any(|route| route.domains.is_empty() && route.flows.is_empty() && !route.is_last_resort)
}

/// Whether outgoing port 25 is open, in words; `None` if no mail leaves through it.
pub async fn port_25(config: &Config, resolver: &Resolver) -> Option<Result<String, String>> {
    if !needs_port_25(config) {
        return None;
    }
    let finding = check_outgoing_port(config, resolver).await;
    let why = finding.why.map(|why| format!("; {why}")).unwrap_or_default();
    let text = format!("{}: {}{why}", finding.about, finding.found);
    Some(if finding.severity == Severity::Good { Ok(text) } else { Err(text) })
}

async fn check_outgoing_port(config: &Config, resolver: &Resolver) -> Finding {
    let port = config.settings.delivery.port;
    let about = format!("outgoing port {port}");
    let Ok(afar) = Domain::parse(AFAR) else { return Finding::good("outbound", about, "not tested") };
    let lookup = |error: String| {
        Finding::bad(
            Severity::Warning,
            "outbound",
            about.clone(),
            format!("{AFAR} cannot be found in DNS: {error}"),
            "see the finding about the resolver",
        )
    };
    let mut hosts = match resolver.mx(&afar).await {
        Ok(hosts) => hosts,
        Err(error) => return lookup(error.to_string()),
    };
    hosts.sort_by_key(|host| host.preference);
    let mut last = "it has no MX host".to_owned();
    for host in hosts.into_iter().filter_map(|record| record.host).take(2) {
        let addresses = match resolver.addresses(&host, config.settings.delivery.ipv6).await {
            Ok(addresses) => addresses,
            Err(error) => {
                last = format!("{host}: {error}");
                continue;
            }
        };
        for address in addresses.into_iter().take(2) {
            match read_greeting(SocketAddr::new(address, port)).await {
                Ok(()) => return Finding::good("outbound", about, format!("{host} answers")),
                Err(error) => last = format!("{host} [{address}]: {error}"),
            }
        }
    }
    blocked_port(about, &last)
}

fn blocked_port(about: String, last: &str) -> Finding {
    let maker = ["sys_vendor", "chassis_asset_tag", "product_name"]
        .iter()
        .map(|name| std::fs::read_to_string(format!("/sys/class/dmi/id/{name}")).unwrap_or_default())
        .collect::<String>();
    let hoster = BLOCKERS.iter().find(|(name, _)| maker.contains(name)).map(|(_, text)| *text);
    let fix = "ask your hoster to open outgoing port 25, or send through a smarthost on port 587 or 2525:\n[[route]]\nhost = \"smtp.example.net\"\nuser = \"you\"\npassword_file = \"/etc/waypost/smarthost\"";
    let finding = Finding::bad(Severity::Error, "outbound", about, format!("does not answer ({last}); it is probably blocked"), fix);
    match hoster {
        Some(text) => finding.because(text),
        None => finding.because("many hosters block outgoing port 25 until you ask"),
    }
}

async fn read_greeting(at: SocketAddr) -> Result<(), String> {
    let mut conversation = Conversation::plain(connect(at).await?);
    let banner = conversation.reply().await?;
    let _ = conversation.say("QUIT").await;
    if banner.code == 220 { Ok(()) } else { Err(banner.text()) }
}

async fn check_smarthost(context: &DoctorContext, route: &Route) -> Finding {
    if let Some(place) = &route.maildir {
        return check_maildirs(place);
    }
    if let Some(socket) = &route.socket {
        return check_socket(socket).await;
    }
    let about = format!("smarthost {}:{}", route.host, route.port);
    if route.protocol == Protocol::Lmtp {
        return check_connection(context, route, about).await;
    }
    let own = context.domains.first().map(Domain::as_str);
    let steps = match crate::commands::route::check(&context.config, own, &[route], false).await {
        Ok(tried) => tried.into_iter().flat_map(|tried| tried.steps).collect::<Vec<_>>(),
        Err(_) => return check_connection(context, route, about).await,
    };
    match steps.iter().find(|step| !step.ok) {
        None => Finding::good("outbound", about, "accepts its mail (waypost route check --send also tests a foreign From)"),
        Some(step) => {
            let found = format!("{}: {}", step.what, step.found);
            Finding::bad(Severity::Error, "outbound", about, found, step.fix.clone().unwrap_or_else(|| "waypost route check".into()))
        }
    }
}

/// Whether a next hop answers, where no test message is possible: without a postmaster there is no recipient for it, and a mailbox server accepts none.
async fn check_connection(context: &DoctorContext, route: &Route, about: String) -> Finding {
    let fix = "check host and port of its [[route]], and whether your hoster blocks that port; 2525 is often open";
    let addresses = match context.resolver.addresses(&route.host, context.config.settings.delivery.ipv6).await {
        Ok(addresses) => addresses,
        Err(error) => return Finding::bad(Severity::Error, "outbound", about, format!("has no address: {error}"), fix),
    };
    let mut last = String::new();
    for address in addresses.into_iter().take(4) {
        match connect(SocketAddr::new(address, route.port)).await {
            Ok(_) => return Finding::good("outbound", about, "answers"),
            Err(error) => last = error,
        }
    }
    Finding::bad(Severity::Error, "outbound", about, format!("does not answer: {last}"), fix)
}

/// A mailbox server on this machine.
async fn check_socket(socket: &Path) -> Finding {
    let about = format!("mailboxes at {}", socket.display());
    match tokio::net::UnixStream::connect(socket).await {
        Ok(_) => Finding::good("outbound", about, "answers"),
        Err(error) => {
            let fix = "start the mailbox server (systemctl status dovecot), and make waypost's user own the socket of its LMTP service";
            Finding::bad(Severity::Error, "outbound", about, format!("does not answer: {error}"), fix)
        }
    }
}

/// Mailboxes in files: the fixed part of the path must exist.
fn check_maildirs(place: &MaildirPlace) -> Finding {
    let text = place.to_string();
    let top = Path::new(text.split('{').next().unwrap_or_default());
    let directory = if text.contains("/{") { top } else { top.parent().unwrap_or(top) };
    let about = format!("mailboxes in {text}");
    let fix = format!("mkdir -p {0}, and make waypost's user own it; under systemd, add ReadWritePaths={0}", directory.display());
    let bad = |found: String| Finding::bad(Severity::Error, "outbound", about.clone(), found, fix.clone());
    match nix::unistd::access(directory, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) => Finding::good("outbound", about, "the directory is writable"),
        Err(error) => bad(format!("{} is not writable: {}", directory.display(), error.desc())),
    }
}
