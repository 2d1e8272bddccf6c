//! `waypost explain-reply`: explains a remote reply, from the table that the server uses itself.
//!
//! RFC 5321 s.4.2. Invariant: needs only the reply: no server, no configuration, no network.

use std::io::Read;

use anyhow::{Context, Result, bail};
use mail::{Domain, Reply};
use policy::{Meaning, Severity, classify_reply, parse_pasted_host, parse_pasted_reply};
use serde::Serialize;

use crate::cli::ExplainReplyArgs;
use crate::output::{BAD, BOLD, DIM, GOOD, Output, WARN, styled};

/// Maximum length of a reply, in octets.
const REPLY_MAX: u64 = 64 * 1024;

/// The explanation.
#[derive(Debug, Serialize)]
struct Explained {
    reply: String,
    provider: Option<&'static str>,
    row: &'static str,
    severity: &'static str,
    own_severity: &'static str,
    cause: &'static str,
    waypost: String,
    waits: bool,
    about: Vec<String>,
    next_step: &'static str,
    link: Option<&'static str>,
}

/// Explains one reply.
pub fn explain_reply(args: &ExplainReplyArgs, out: Output) -> Result<()> {
    let text = if args.reply == "-" { from_stdin()? } else { args.reply.clone() };
    let Some((said_by, reply)) = reply_within(&text) else {
        bail!("this is not an SMTP reply: it has no three-digit code\n  hint: waypost explain-reply '550 5.1.1 no such user'");
    };
    let named = args.host.as_deref().map(|h| Domain::parse(h).with_context(|| format!("{h} is not a host name"))).transpose()?;
    Ok(out.show(&explained(&reply, classify_reply(named.or(said_by).as_ref(), &reply)), shown)?)
}

/// Finds the reply in the text, and the host if named: as sent by a server, or as in `queue show` and the log (`mx.example.com said: 452 ...`).
fn reply_within(text: &str) -> Option<(Option<Domain>, Reply)> {
    if let Some((before, after)) = text.split_once(" said: ") {
        let line = after.lines().next().unwrap_or_default().trim_end();
        let line = if before.contains('(') { line.strip_suffix(')').unwrap_or(line) } else { line };
        return Some((parse_pasted_host(text), parse_pasted_reply(line)?));
    }
    if let Some(reply) = parse_pasted_reply(text) {
        return Some((None, reply));
    }
    let starts = text.char_indices().filter(|(at, c)| {
        ('2'..='5').contains(c) && (*at == 0 || text.get(..*at).is_some_and(|t| t.ends_with([' ', '"', '\n', '\t', '('])))
    });
    starts.filter_map(|(at, _)| text.get(at..)).find_map(parse_pasted_reply).map(|reply| (None, reply))
}

fn from_stdin() -> Result<String> {
    let mut octets = Vec::new();
    std::io::stdin().take(REPLY_MAX).read_to_end(&mut octets).context("the reply cannot be read from standard input")?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

fn explained(reply: &Reply, meaning: Meaning) -> Explained {
    Explained {
        reply: reply.to_string(),
        provider: meaning.provider,
        row: meaning.row,
        severity: meaning.severity.as_str(),
        own_severity: meaning.own_severity.as_str(),
        cause: meaning.cause,
        waypost: meaning.action(),
        waits: meaning.waits,
        about: meaning.scopes.iter().map(ToString::to_string).collect(),
        next_step: meaning.next_step,
        link: meaning.link,
    }
}

fn shown(explained: &Explained) -> String {
    let mut lines = vec![styled(BOLD, &explained.reply)];
    let mut field = |name: &str, value: &str| lines.push(format!("  {name:<10} {value}"));
    field("provider", explained.provider.unwrap_or("unknown"));
    field("severity", &severity(explained));
    field("cause", explained.cause);
    field("message", if explained.waits { "deferred and retried" } else { "not delivered" });
    field("Waypost", &explained.waypost);
    if !explained.about.is_empty() {
        field("about", &explained.about.join(", "));
    }
    field("next step", explained.next_step);
    if let Some(link) = explained.link {
        field("more", link);
    }
    field("row", &styled(DIM, explained.row));
    lines.join("\n")
}

fn severity(explained: &Explained) -> String {
    let styled = |name: &str| {
        let style = if name == Severity::Critical.as_str() {
            BAD
        } else if name == Severity::Warning.as_str() {
            WARN
        } else {
            GOOD
        };
        styled(style, name)
    };
    let forward = styled(explained.severity);
    if explained.own_severity == explained.severity {
        return forward;
    }
    format!("{forward} for a forward, {} for own mail", styled(explained.own_severity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_found_in_the_output_of_the_queue_and_the_log() {
        let found =
            |text: &str| reply_within(text).map(|(host, reply)| format!("{} {reply}", host.map_or("-".into(), |host| host.to_string())));
        let shown = "The mailbox is full. Make room in it. (mx.far.test said: 452 4.2.2 over quota)";
        assert_eq!(found(shown).as_deref(), Some("mx.far.test 452 4.2.2 over quota"));
        let whole =
            format!("01jz8k3m5p7q9\n  from     me@example.com\n  to 0     a@far.test\n           in 59m, 1 attempts\n           {shown}\n");
        assert_eq!(found(&whole).as_deref(), Some("mx.far.test 452 4.2.2 over quota"));
        assert_eq!(found("550 5.1.1 no such user").as_deref(), Some("- 550 5.1.1 no such user"));
        assert_eq!(found("reason=\"550 5.7.1 go away\"").as_deref().map(|text| text.starts_with("- 550 5.7.1")), Some(true));
        assert_eq!(found("nothing of the kind"), None);
    }
}
