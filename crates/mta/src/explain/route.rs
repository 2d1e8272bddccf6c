//! The next hop, in words: the hosts, the TLS that each must offer, and whether mail to it waits.
//!
//! RFC 5321 s.5.1, RFC 7672, RFC 8461. Invariant: DNS and the hosts of MTA-STS policies are asked, mail hosts are not contacted.

use mail::{Domain, Mailbox};
use policy::{NextHop, provider_of};
use smtp::client::{Protocol, TlsMode};
use store::{Message, NewMessage, TlsWish};

use crate::deliver::outbound::Connector;
use crate::deliver::route::{Plan, find_route};
use crate::deliver::tls_policy::{TlsRequirement, find_requirement};
use crate::explain::explainer::Explainer;
use crate::explain::explanation::{ExplainedHost, ExplainedRoute};
use crate::settings::Settings;

/// Maximum hosts that are looked up.
const HOSTS_MAX: usize = 5;

/// The next hop, and what the prediction needs of it.
#[derive(Debug, Default)]
pub(super) struct FoundRoute {
    pub route: ExplainedRoute,
    /// Whether it is a mailbox of this machine, which judges nothing.
    pub is_local: bool,
    /// The large provider that its first host belongs to.
    pub provider: Option<&'static str>,
}

/// Finds the next hop of a message.
pub(super) async fn find(
    explainer: &Explainer,
    connector: &Connector,
    settings: &Settings,
    new: &NewMessage,
    target: &Mailbox,
) -> FoundRoute {
    let message = &new.message;
    let is_relaxed = message.tls == TlsWish::Optional;
    let plan = match find_route(connector, &target.domain, message.flow, is_relaxed).await {
        Ok(plan) => plan,
        Err(trouble) => {
            let fate = if trouble.permanent { "mail to it fails" } else { "mail to it waits" };
            let trouble = Some(format!("{}; {fate}", trouble.text));
            return FoundRoute { route: ExplainedRoute { trouble, ..ExplainedRoute::default() }, ..FoundRoute::default() };
        }
    };
    let mut hosts = Vec::new();
    if plan.socket.is_none() && plan.maildir.is_none() {
        for hop in plan.hops.hosts().iter().take(HOSTS_MAX) {
            hosts.push(host(explainer, connector, settings, &plan, &target.domain, hop).await);
        }
    }
    let paused = pause(explainer, connector, settings, &plan, message, target);
    let route = ExplainedRoute { via: via(&plan, &target.domain), hosts, paused, trouble: None };
    FoundRoute { route, is_local: plan.maildir.is_some() || plan.socket.is_some(), provider: plan.hops.first().and_then(provider_of) }
}

fn via(plan: &Plan, domain: &Domain) -> String {
    let last_resort = plan.last_resort.as_ref().and_then(|plan| plan.hops.first());
    let fallback = last_resort.map(|host| format!("; if none answers, {host}")).unwrap_or_default();
    let protocol = if plan.protocol == Protocol::Lmtp { "LMTP" } else { "SMTP" };
    match (&plan.maildir, &plan.socket, plan.is_fixed) {
        (Some(_), ..) => "a mailbox of this machine (maildir)".to_owned(),
        (_, Some(socket), _) => format!("{protocol} over {}", socket.display()),
        (_, _, true) => format!("{protocol} to the host of a [[route]] for {domain}"),
        _ => format!("the MX hosts of {domain}{fallback}"),
    }
}

async fn host(
    explainer: &Explainer,
    connector: &Connector,
    settings: &Settings,
    plan: &Plan,
    domain: &Domain,
    hop: &NextHop,
) -> ExplainedHost {
    let (name, port) = (hop.host.clone(), hop.port);
    match connector.resolver.host(&hop.host, settings.delivery.ipv6).await {
        Ok(found) => {
            let tls = match find_requirement(connector, plan, domain, hop, &found).await {
                Ok(required) => demand(explainer, plan, &required.requirement, &hop.host),
                Err(trouble) => format!("it gets nothing: {}", trouble.text),
            };
            ExplainedHost { name, port, addresses: found.addresses, tls }
        }
        Err(failure) => ExplainedHost { name, port, addresses: Vec::new(), tls: format!("not known: {failure}") },
    }
}

fn demand(explainer: &Explainer, plan: &Plan, requirement: &TlsRequirement, host: &Domain) -> String {
    let expects = || {
        let now_ms = explainer.shared.clock.now_ms();
        explainer.parts().is_some_and(|parts| {
            let live = &parts.outbound.connector;
            live.tls_history.expects(host, now_ms) || live.breakers.is_tls_only(host, now_ms)
        })
    };
    match (requirement, plan.tls) {
        (TlsRequirement::Dane(_), _) => "TLS with the key of its TLSA record (DANE)",
        (TlsRequirement::Encryption, _) => "TLS (its TLSA records are not usable, so its key is not checked)",
        (TlsRequirement::Certificate { is_testing: false }, _) => "TLS with a certificate for its name (MTA-STS)",
        (TlsRequirement::Certificate { is_testing: true }, _) => "TLS with a certificate for its name is tested (MTA-STS in testing mode)",
        (_, _) if plan.pin.is_some() => "TLS with a pinned key",
        (_, TlsMode::Required | TlsMode::Implicit) => "TLS",
        (_, TlsMode::Never) => "no TLS",
        (_, TlsMode::Opportunistic) if expects() => "TLS, which it has offered before",
        (_, TlsMode::Opportunistic) => "TLS if it offers it",
    }
    .to_owned()
}

/// Until when and why the delivery would wait.
fn pause(
    explainer: &Explainer,
    connector: &Connector,
    settings: &Settings,
    plan: &Plan,
    message: &Message,
    target: &Mailbox,
) -> Option<String> {
    let now_ms = explainer.shared.clock.now_ms();
    let of_host = |host| connector.breakers.pause_of_host(settings, host, message, now_ms);
    let (until_ms, why) = connector.breakers.pause_of_target(target, now_ms).or_else(|| plan.hops.first().and_then(of_host))?;
    let minutes = (until_ms - now_ms).max(0) / 60_000 + 1;
    Some(format!("{why}; for {minutes} more minutes: waypost queue paused"))
}
