//! `waypost explain`: what would happen to a message.
//!
//! Invariant: text of the message and of DNS is shown on one line each.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use control_api::api::{ExplainDeliveryView, ExplanationView};
use mail::one_line;

use crate::cli::ExplainArgs;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, size, styled};
use crate::transport::{Transport, with_query};

/// Maximum size of a file, in octets; the server's maximum for a message is usually lower.
const FILE_MAX_BYTES: u64 = 64 << 20;

pub(super) async fn run(api: &mut Transport, args: ExplainArgs, out: Output) -> Result<ExitCode> {
    let ExplainArgs { from, to, ip, helo, message, login } = args;
    let content = message.as_deref().map(read).transpose()?.unwrap_or_default();
    let query =
        [("from", Some(from.clone())), ("to", Some(to.clone())), ("ip", ip.map(|ip| ip.to_string())), ("helo", helo), ("login", login)];
    let explanation: ExplanationView = api.post_message(&with_query("/api/v1/explain", &query), content).await?;
    out.show(&explanation, |explanation| shown(&from, &to, explanation))?;
    Ok(if explanation.decision == "refused" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What to do about a file without a message.
pub(super) const SAVE_WHOLE: &str = "save the message with its header section, for example by \"Download original\" in Gmail";

/// Reads a message.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    let name = file.display();
    let mut content = Vec::new();
    let reader: Box<dyn Read> = match file.as_os_str().as_encoded_bytes() {
        b"-" => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(file).with_context(|| format!("{name} cannot be read"))?),
    };
    reader.take(FILE_MAX_BYTES + 1).read_to_end(&mut content).with_context(|| format!("{name} cannot be read"))?;
    if content.len() as u64 > FILE_MAX_BYTES {
        bail!("{name} is larger than {}, and no server takes such a message", size(FILE_MAX_BYTES));
    }
    if content.is_empty() {
        bail!("{name} is empty\n  hint: {SAVE_WHOLE}");
    }
    Ok(content)
}

fn shown(from: &str, to: &str, explanation: &ExplanationView) -> String {
    let mut lines = vec![styled(BOLD, format!("{} -> {}", one_line(from), one_line(to)))];
    for step in &explanation.steps {
        let outcome = one_line(&step.outcome);
        let outcome = if step.passed { outcome } else { styled(BAD, outcome) };
        lines.push(field(&step.stage, &outcome));
        // Its indentation shows aliases of aliases.
        lines.extend(step.details.iter().map(|detail| field("", &styled(DIM, detail))));
    }
    lines.push(field("decision", &decision(explanation)));
    for delivery in &explanation.deliveries {
        lines.push(String::new());
        lines.extend(delivered(delivery));
    }
    if !explanation.assumptions.is_empty() {
        lines.push(String::new());
        let mut name = "assumed";
        for assumption in &explanation.assumptions {
            lines.push(field(std::mem::take(&mut name), assumption));
        }
    }
    lines.push(styled(DIM, "Nothing was sent."));
    lines.join("\n")
}

fn field(name: &str, text: &str) -> String {
    format!("  {name:<11} {text}")
}

fn decision(explanation: &ExplanationView) -> String {
    let refused = || explanation.reply.as_deref().map(one_line).unwrap_or_default();
    match explanation.decision.as_str() {
        "refused" => format!("{} {}", styled(BAD, "refused:"), refused()),
        "held" => format!("{} {}", styled(WARN, "held:"), explanation.reason.as_deref().map(one_line).unwrap_or_default()),
        "report" => styled(GOOD, "read as a report"),
        "dropped" => styled(WARN, "dropped: an automatic reply to a return address"),
        other => styled(GOOD, other),
    }
}

fn delivered(delivery: &ExplainDeliveryView) -> Vec<String> {
    let mut lines = vec![styled(BOLD, format!("to {}", delivery.target))];
    let sender = if delivery.sender.is_empty() { "<>" } else { &delivery.sender };
    lines.push(field("sender", sender));
    let mut many = |name: &str, texts: &[String]| {
        let mut name = name;
        for text in texts {
            lines.push(field(std::mem::take(&mut name), text));
        }
    };
    let signed = |domain: &str, selector: &str| format!("{domain} (selector {selector})");
    let mut signatures: Vec<String> = delivery.signatures.iter().map(|s| signed(&s.domain, &s.selector)).collect();
    if signatures.is_empty() {
        signatures.push("no domain: it gets no signature".to_owned());
    }
    many("signed as", &signatures);
    many("adds", &delivery.fields.iter().map(|field| one_line(field)).collect::<Vec<_>>());
    let host = |host: &control_api::api::ExplainHostView| {
        format!("{}:{}  {}  {}", host.name, host.port, host.addresses.join(" "), styled(DIM, &host.tls))
    };
    let hosts = delivery.hosts.iter().map(host);
    many("next hop", &std::iter::once(delivery.via.clone()).filter(|via| !via.is_empty()).chain(hosts).collect::<Vec<_>>());
    delivery.trouble.iter().for_each(|trouble| lines.push(field("next hop", &styled(BAD, one_line(trouble)))));
    delivery.paused.iter().for_each(|paused| lines.push(field("paused", &styled(WARN, one_line(paused)))));
    let style = if delivery.likely { GOOD } else { BAD };
    lines.push(field("there", &styled(style, one_line(&delivery.prediction))));
    lines
}
