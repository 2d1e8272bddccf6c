//! `waypost explain-trust`: what a receiver finds out about the sender of a message, in words.
//!
//! RFC 8601 s.2.7, draft-ietf-dkim-dkim2-spec-08 s.13. Invariant: needs a resolver, no server; text of the message and of DNS is shown on one line each.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use mail::evidence::{ChainHop, ChainResult, DmarcResult, Evidence, HopSent};
use mail::{Fields, Mailbox, one_line, one_line_at_most};
use msgauth::{Input, chain_hops};
use mta::{with_crlf, words};
use serde::Serialize;

use super::explain::{SAVE_WHOLE, read};
use crate::cli::ExplainTrustArgs;
use crate::config;
use crate::output::{BOLD, DIM, Output, styled};

/// Maximum characters of a line about one hop.
const HOP_MAX_CHARS: usize = 300;

/// What was found out.
#[derive(Debug, Serialize)]
struct ExplainedTrust {
    /// The envelope that the results are about.
    envelope: ExplainedEnvelope,
    /// What was not given and therefore assumed.
    assumptions: Vec<String>,
    /// The words of the results, as in Authentication-Results; no SPF without a client's address.
    spf: Option<&'static str>,
    dkim: Vec<ExplainedSignature>,
    dkim2: &'static str,
    hops: Vec<ExplainedHop>,
    arc: &'static str,
    dmarc: &'static str,
    /// The same in words.
    lines: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ExplainedEnvelope {
    client: Option<IpAddr>,
    helo: String,
    from: String,
    to: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ExplainedSignature {
    result: &'static str,
    domain: String,
    selector: String,
}

#[derive(Debug, Serialize)]
struct ExplainedHop {
    number: u32,
    domain: String,
    revision: u32,
    from: Option<String>,
    to: Vec<String>,
    next_domain: Option<String>,
}

/// Explains one message.
pub async fn explain_trust(config: &Path, args: ExplainTrustArgs, out: Output) -> Result<ExitCode> {
    let mut assumptions = Vec::new();
    let message = with_crlf(&without_mbox_line(read(&args.file)?, &mut assumptions).into(), &mut assumptions);
    check_given(&args, &message)?;
    let resolver = resolver(config, &mut assumptions)?;
    let envelope = envelope(&args, &message, &mut assumptions);
    let client = envelope.client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let sender = Some(envelope.from.as_str()).filter(|from| !from.is_empty());
    let input = Input { client, hello: &envelope.helo, reverse_path: sender, recipients: &envelope.to, message: &message };
    let authenticator = resolver.authenticator();
    let evidence = authenticator.evaluate(input).await;
    let mut lines = Vec::new();
    if let Some(client) = envelope.client {
        let (local_part, domain) = sender.and_then(|sender| sender.rsplit_once('@')).unwrap_or(("", &envelope.helo));
        let (check, terms) = authenticator.explain_spf(&input, local_part, domain).await;
        lines.push(words::spf(&check, client, &terms));
        lines.push(words::iprev(client, evidence.iprev, evidence.client_name.as_deref()));
    }
    lines.extend(words::signatures(&evidence));
    let explained = explained(envelope, assumptions, &evidence, lines);
    out.show(&explained, shown)?;
    let is_bad = evidence.dmarc.result == DmarcResult::Fail || !matches!(evidence.dkim2.result, ChainResult::None | ChainResult::Pass);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The message without the line before it in mbox files, `From her@example.net Sun Nov 29 01:02:03 2026`.
fn without_mbox_line(mut message: Vec<u8>, assumptions: &mut Vec<String>) -> Vec<u8> {
    if let Some(end) = message.iter().position(|b| *b == b'\n').filter(|_| message.starts_with(b"From ")) {
        assumptions.push("its first line is that of an mbox file, and no part of it".into());
        message.drain(..=end);
    }
    message
}

/// Checks that the file has a message, and that the given addresses are addresses.
fn check_given(args: &ExplainTrustArgs, message: &[u8]) -> Result<()> {
    if Fields::new(message).next().is_none() {
        let name = args.file.display();
        bail!("{name} is not a message: its first line is not a header field\n  hint: {SAVE_WHOLE}");
    }
    let from = args.from.as_deref().map(without_brackets).filter(|from| !from.is_empty()).map(|from| ("--from", from));
    for (option, address) in from.into_iter().chain(args.to.iter().map(|to| ("--to", without_brackets(to)))) {
        if let Err(error) = Mailbox::parse(address) {
            let shown = one_line_at_most(address, HOP_MAX_CHARS);
            bail!("{option} {shown:?}: {error}\n  hint: write an address as in her@example.net; --from \"<>\" is a null sender");
        }
    }
    Ok(())
}

/// The resolver of the configuration; without one, that of the system.
fn resolver(path: &Path, assumptions: &mut Vec<String>) -> Result<net::Resolver> {
    match config::load(path) {
        Ok(config) => crate::serve::resolver(&config),
        Err(error) => {
            assumptions.push(format!("DNS is asked through the resolver of this machine: {}", one_line(&error.to_string())));
            Ok(net::Resolver::new(&[], net::Validate::Off, None)?)
        }
    }
}

fn without_brackets(address: &str) -> &str {
    address.trim().trim_start_matches('<').trim_end_matches('>')
}

/// The envelope: as given, or as the message says.
fn envelope(args: &ExplainTrustArgs, message: &[u8], assumptions: &mut Vec<String>) -> ExplainedEnvelope {
    let bare = |text: &str| one_line(without_brackets(text));
    let newest = chain_hops(message).into_iter().max_by_key(|hop| hop.number);
    let sent = newest.and_then(|hop| match hop.sent {
        HopSent::Envelope { from, to } => Some((from, to)),
        HopSent::Domain(_) => None,
    });
    let from = args.from.as_deref().map(bare).unwrap_or_else(|| {
        let (what, from) = match (Fields::find_first(message, "Return-Path"), &sent) {
            (Some(field), _) => ("Return-Path says so", bare(&field.unfolded())),
            (None, Some((from, _))) => ("mf= of the newest DKIM2 signature says so", bare(from)),
            (None, None) => ("the message names none, and --from is not given", String::new()),
        };
        assumptions.push(format!("the sender is <{from}>: {what}"));
        from
    });
    let mut to: Vec<String> = args.to.iter().map(|to| bare(to)).collect();
    if to.is_empty()
        && let Some((_, signed)) = sent
    {
        to = signed.iter().map(|to| bare(to)).collect();
        assumptions.push(
            "the recipients are those of the newest DKIM2 signature: whether the message was meant for another is not checked".into(),
        );
    }
    if args.ip.is_none() {
        assumptions.push("SPF is not checked without the client's address, so DMARC can pass by DKIM only".into());
    }
    let helo = args.helo.clone().unwrap_or_else(|| from.rsplit_once('@').map_or("localhost", |(_, domain)| domain).to_owned());
    ExplainedEnvelope { client: args.ip, helo: one_line(&helo), from, to }
}

fn explained(envelope: ExplainedEnvelope, assumptions: Vec<String>, evidence: &Evidence, lines: Vec<String>) -> ExplainedTrust {
    let signature = |check: &mail::evidence::DkimCheck| ExplainedSignature {
        result: check.result.word(),
        domain: check.domain.clone(),
        selector: check.selector.clone(),
    };
    ExplainedTrust {
        spf: envelope.client.map(|_| evidence.mail_from.result.word()),
        envelope,
        assumptions,
        dkim: evidence.dkim.iter().map(signature).collect(),
        dkim2: evidence.dkim2.result.word(),
        hops: evidence.dkim2.hops.iter().cloned().map(hop).collect(),
        arc: evidence.arc.word(),
        dmarc: evidence.dmarc.result.word(),
        lines,
    }
}

fn hop(hop: ChainHop) -> ExplainedHop {
    let ChainHop { number, domain, revision, sent } = hop;
    let (from, to, next_domain) = match sent {
        HopSent::Envelope { from, to } => (Some(from), to, None),
        HopSent::Domain(next) => (None, Vec::new(), Some(next)),
    };
    ExplainedHop { number, domain, revision, from, to, next_domain }
}

fn shown(explained: &ExplainedTrust) -> String {
    let ExplainedEnvelope { from, to, .. } = &explained.envelope;
    let to = if to.is_empty() { "no recipient given".to_owned() } else { to.join(", ") };
    let mut lines = vec![styled(BOLD, one_line_at_most(&format!("<{from}> -> {to}"), HOP_MAX_CHARS))];
    lines.extend(explained.lines.iter().map(|line| format!("  {}", one_line_at_most(line, HOP_MAX_CHARS))));
    lines.extend(
        explained.assumptions.iter().map(|assumption| styled(DIM, format!("  assumed: {}", one_line_at_most(assumption, HOP_MAX_CHARS)))),
    );
    lines.join("\n")
}
