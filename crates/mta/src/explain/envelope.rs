//! Connection, MAIL and RCPT, in words.
//!
//! RFC 5321 s.3.3, RFC 7208 s.2.4 (which name SPF checks). Invariant: the decision is that of the session; the details only show how it came about.

use directory::{Directory, Expansion};
use mail::{ForwardPath, Mailbox, ReversePath};
use msgauth::Input;
use policy::{AcceptedRecipient, Client};

use crate::context::Snapshot;
use crate::deliver::outbound::Connector;
use crate::explain::explainer::Explainer;
use crate::explain::explanation::{ExplainStage, Explanation};
use crate::explain::question::Question;
use crate::explain::words;
use crate::receive::rcpt::{accepted_as, check_open};
use crate::receive::sender::check_sender;
use crate::settings::Settings;

/// Maximum lines about an alias.
const STEPS_MAX: usize = 100;

/// Explains the envelope; `None` if it is refused.
pub(super) async fn explain(
    explainer: &Explainer,
    connector: &Connector,
    snapshot: &Snapshot,
    question: &Question,
    explanation: &mut Explanation,
) -> Option<AcceptedRecipient> {
    connection(explainer, &snapshot.settings, question, explanation).await?;
    sender(explainer, snapshot, question, explanation).await?;
    recipient(explainer, connector, snapshot, question, explanation).await
}

async fn connection(explainer: &Explainer, settings: &Settings, question: &Question, explanation: &mut Explanation) -> Option<()> {
    let client = question.client;
    let mut details = Vec::new();
    if question.login.is_none() {
        let (result, name) = explainer.resolver.authenticator().confirmed_name(client).await;
        details.push(words::iprev(client, result, name.as_deref()));
    }
    let refusal = explainer.parts().and_then(|parts| {
        let who = parts.inbound.known.claimant(client, question.listener(), explainer.shared.clock.now_ms());
        if who.rank.is_unknown() && question.login.is_none() {
            details
                .push("no mail was accepted from its network before, or not long enough ago: it has the smaller share of sessions".into());
        }
        parts.inbound.node.refusal().or_else(|| parts.sessions.refusal(who, &settings.limits))
    });
    if let Some(reply) = refusal {
        explanation.refuse(ExplainStage::Connection, format!("the connection of {client} is refused"), details, reply);
        return None;
    }
    let what = match &question.login {
        Some(login) => format!("{login} has logged in, over TLS"),
        None => format!("{client} may connect, as {}", question.hello),
    };
    explanation.pass(ExplainStage::Connection, what, details);
    Some(())
}

async fn sender(
    explainer: &Explainer,
    Snapshot { directory, .. }: &Snapshot,
    question: &Question,
    explanation: &mut Explanation,
) -> Option<()> {
    let Question { from, client, hello, login, .. } = question;
    let mut details = Vec::new();
    if login.is_none() {
        let path = from.mailbox().map(ToString::to_string);
        let input = Input { client: *client, hello, reverse_path: path.as_deref(), recipients: &[], message: b"" };
        let (local_part, domain) = path.as_deref().and_then(|path| path.rsplit_once('@')).unwrap_or(("", hello.trim_end_matches('.')));
        let (check, terms) = explainer.resolver.authenticator().explain_spf(&input, local_part, domain).await;
        details.push(words::spf(&check, *client, &terms));
    }
    match check_sender(directory, login.as_deref(), from) {
        Ok(()) => {
            let what = match login {
                Some(login) => format!("{login} may send as {}", shown(from)),
                None => format!("the sender {} is accepted; whether it is authentic is decided at the content", shown(from)),
            };
            explanation.pass(ExplainStage::Sender, what, details);
            Some(())
        }
        Err(reply) => {
            explanation.refuse(ExplainStage::Sender, format!("the sender {} is refused", shown(from)), details, reply);
            None
        }
    }
}

/// A reverse-path for people.
fn shown(path: &ReversePath) -> String {
    path.mailbox().map_or_else(|| "<> (a DSN or an automatic reply)".to_owned(), ToString::to_string)
}

async fn recipient(
    explainer: &Explainer,
    connector: &Connector,
    snapshot: &Snapshot,
    question: &Question,
    explanation: &mut Explanation,
) -> Option<AcceptedRecipient> {
    let Snapshot { settings, directory } = snapshot;
    let client = Client { login: question.login.as_deref() };
    let accepted = accepted_as(&explainer.shared, snapshot, client, &question.from, &question.to).await;
    let now_ms = explainer.shared.clock.now_ms();
    let paused = |target: &Mailbox| Some(format!("{target}: {}", connector.breakers.pause_of_target(target, now_ms)?.1));
    let paused: Vec<String> = match &accepted {
        Ok(AcceptedRecipient::Alias { targets, .. }) => targets.iter().filter_map(paused).collect(),
        _ => Vec::new(),
    };
    let accepted = accepted.and_then(|accepted| check_open(&connector.breakers, client, &accepted, now_ms).map(|()| accepted));
    let address = match &question.to {
        ForwardPath::Mailbox(mailbox) => Some(mailbox.clone()),
        ForwardPath::Postmaster => settings.postmaster.clone(),
    };
    let mut details = address.iter().flat_map(|address| path(directory, settings, address)).collect::<Vec<_>>();
    details.extend(paused);
    let to = match &question.to {
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
        ForwardPath::Postmaster => "postmaster".to_owned(),
    };
    match accepted {
        Ok(accepted) => {
            explanation.pass(ExplainStage::Recipient, leads_to(&to, &accepted), details);
            Some(accepted)
        }
        Err(reply) => {
            explanation.refuse(ExplainStage::Recipient, format!("the recipient {to} is refused"), details, reply);
            None
        }
    }
}

fn leads_to(to: &str, accepted: &AcceptedRecipient) -> String {
    match accepted {
        AcceptedRecipient::Alias { targets, .. } => {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            format!("{to} leads to {}", targets.join(", "))
        }
        AcceptedRecipient::Foreign(mailbox) => format!("{mailbox} is not of this server: an account may send there"),
        AcceptedRecipient::Sender { sender, .. } => format!("{to} is a return address of this server: it leads back to {sender}"),
        AcceptedRecipient::Token { .. } => format!("{to} is a return address of this server"),
        AcceptedRecipient::Reports(mailbox) => format!("{mailbox} takes DMARC and TLS reports, which are read here"),
    }
}

/// The aliases on the way from an address to its targets.
fn path(directory: &Directory, settings: &Settings, address: &Mailbox) -> Vec<String> {
    if settings.forward.srs.owns(address) {
        return Vec::new();
    }
    match directory.hosted(&address.domain) {
        None => return vec![format!("{} is not a domain of this server", address.domain)],
        Some(hosted) if !hosted.enabled => return vec![format!("the domain {} is disabled", address.domain)],
        Some(_) => {}
    }
    match directory.explain(address) {
        Ok(expansion) => steps(directory, &expansion),
        Err(error) if directory.is_role(address) && settings.postmaster.is_some() => {
            vec![format!("{address}: {error}; its mail goes to the postmaster")]
        }
        Err(error) => vec![format!("{address}: {error}")],
    }
}

fn steps(directory: &Directory, expansion: &Expansion) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &expansion.steps {
        let results: Vec<String> = step.results.iter().map(ToString::to_string).collect();
        let mut notes = vec![match step.key.starts_with('@') {
            true => format!("catch-all {}", step.key),
            false => format!("alias {}", step.key),
        }];
        let bare = directory.without_extension(&step.address);
        if bare != step.address && bare.key() == step.key {
            notes.push("the extension is kept".into());
        }
        let options = directory.contents().alias_options.get(&step.key);
        notes.extend(options.map(|options| options.in_words()).filter(|words| !words.is_empty()));
        lines.push(format!("{}{} -> {}  ({})", "  ".repeat(step.depth), step.address, results.join(", "), notes.join("; ")));
    }
    lines.extend(expansion.failed.iter().map(|(address, error)| format!("{address} leads nowhere: {error}")));
    lines.truncate(STEPS_MAX);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use directory::{Contents, HostedDomain, virtual_file};

    fn lines(table: &str, address: &str) -> Vec<String> {
        let aliases = virtual_file::parse(table, None).aliases.into_iter().map(|(alias, _)| alias).collect();
        let hosted = |name: &str, enabled| HostedDomain { name: name.parse().unwrap(), enabled };
        let domains = vec![hosted("x.test", true), hosted("off.test", false)];
        let directory = Directory::new(Contents { domains, aliases, delimiters: "+".into(), ..Contents::default() });
        path(&directory, &Settings::plain(), &address.parse().unwrap())
    }

    #[test]
    fn the_path_of_an_alias_is_shown_step_by_step() {
        let table =
            "me@x.test you@x.test\nyou@x.test foo@inbox.test, bar@inbox.test\n@x.test me@x.test\n# disabled: old@x.test foo@inbox.test\n";
        assert_eq!(
            lines(table, "me+shop@x.test"),
            [
                "me+shop@x.test -> you+shop@x.test  (alias me@x.test; the extension is kept)",
                "  you+shop@x.test -> foo+shop@inbox.test, bar+shop@inbox.test  (alias you@x.test; the extension is kept)",
            ]
        );
        assert_eq!(lines(table, "any@x.test").first().unwrap(), "any@x.test -> me@x.test  (catch-all @x.test)");
        assert_eq!(lines(table, "old@x.test"), ["old@x.test leads nowhere: the address is disabled"]);
        assert_eq!(lines(table, "a@off.test"), ["the domain off.test is disabled"]);
        assert_eq!(lines(table, "a@far.test"), ["far.test is not a domain of this server"]);
    }
}
