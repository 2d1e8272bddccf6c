//! An event of the history in words: its result for a list, its sentence and its details for a timeline.
//!
//! Invariant: every kind of event has words; what a host or a sender wrote is quoted, never part of our sentence.

use events::{Event, EventKind, Fact, Group};
use maud::{Markup, html};

use crate::catalogue::Text;
use crate::components::{Mark, address, badge, cut, mono, whole};
use crate::moment;
use crate::said::said;

/// The result that a list shows for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A target has it.
    Delivered,
    /// This server has it.
    Accepted,
    /// It will be tried again.
    Waiting,
    /// It waits for the owner.
    Held,
    /// Its sender keeps it.
    Refused,
    /// It will not be tried again.
    Failed,
    /// An owner released it.
    Released,
    /// It was removed, or ended here.
    Dropped,
    /// Something else that the history has.
    Other,
}

impl Ending {
    /// Returns the result that an event stands for.
    pub fn of(kind: EventKind) -> Self {
        match kind.name() {
            "delivered" | "delivered-late" | "message-handed-over" | "duplicate" => Self::Delivered,
            "message-accepted" | "report-stored" | "gmail-confirmation" => Self::Accepted,
            "deferred" | "held-back" | "under-way" | "in-doubt" | "rewritten" => Self::Waiting,
            "message-held" => Self::Held,
            "connection-refused" | "sender-refused" | "recipient-refused" | "content-deferred" | "content-not-stored"
            | "message-refused" | "message-not-stored" | "signature-broken" | "login-refused" | "tls-failed" | "not-taken" => Self::Refused,
            "failed" | "set-aside" => Self::Failed,
            "released" => Self::Released,
            "dropped" | "auto-reply-dropped" | "held-expired" => Self::Dropped,
            _ => Self::Other,
        }
    }

    /// Returns its mark.
    pub fn mark(self) -> Mark {
        match self {
            Self::Delivered => Mark::Good,
            Self::Waiting | Self::Held => Mark::Wait,
            Self::Refused | Self::Dropped | Self::Accepted | Self::Released | Self::Other => Mark::Plain,
            Self::Failed => Mark::Bad,
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Delivered => "ending-delivered",
            Self::Accepted => "ending-accepted",
            Self::Waiting => "ending-waiting",
            Self::Held => "ending-held",
            Self::Refused => "ending-refused",
            Self::Failed => "ending-failed",
            Self::Released => "ending-released",
            Self::Dropped => "ending-dropped",
            Self::Other => "ending-other",
        }
    }

    /// Returns it as a word with its mark.
    pub fn badge(self, text: Text) -> Markup {
        badge(self.mark(), text.say(self.key()))
    }
}

/// The kinds of events that the list of mail has: of messages, deliveries and refused senders and recipients.
pub(crate) fn mail_kinds() -> impl Iterator<Item = EventKind> {
    EventKind::ALL.iter().copied().filter(|kind| match kind.group() {
        Group::Message | Group::Delivery => !["host-paused", "host-resumed", "mailbox-paused", "mailbox-resumed"].contains(&kind.name()),
        Group::Session => ["sender-refused", "recipient-refused", "content-deferred", "content-not-stored"].contains(&kind.name()),
        _ => ["released", "dropped", "signature-broken"].contains(&kind.name()),
    })
}

/// Returns the sentence of an event.
pub(crate) fn sentence(text: Text, event: &Event) -> Markup {
    let key = format!("kind-{}", event.kind.name());
    if !text.has(&key) {
        return html! { (event.kind.words()) };
    }
    let or = |value: Option<&str>, key: &str| match value.filter(|value| !value.is_empty()) {
        Some(value) => address(value),
        None => html! { (text.say(key)) },
    };
    let target = event.target.as_deref().or(event.to.first().map(String::as_str));
    text.rich(
        &key,
        [
            ("host", or(event.host.as_deref(), "the-host")),
            ("target", or(target, "the-target")),
            ("login", or(event.login.as_deref(), "the-operator")),
        ],
        [],
    )
}

/// Returns why, short, for a list.
pub(crate) fn reason(text: Text, event: &Event, chars: usize) -> Markup {
    let why = event.get(Fact::Cause).or(event.reason.as_deref()).or_else(|| {
        let is_refusal = matches!(Ending::of(event.kind), Ending::Refused | Ending::Failed | Ending::Waiting);
        event.reply.as_deref().filter(|_| is_refusal)
    });
    html! { @if let Some(why) = why { (cut(&said(text, why), chars)) } }
}

/// Returns the details of an event below its sentence.
pub(crate) fn details(text: Text, event: &Event) -> Markup {
    html! {
        @if let Some(reason) = &event.reason { p { (whole(reason)) } }
        @if let Some(reply) = &event.reply {
            p.quiet.small-text { (text.say(if is_of_host(event.kind) { "said-host" } else { "said-we" })) }
            blockquote { (whole(reply)) }
        }
        @if let Some(cause) = event.get(Fact::Cause) {
            p { strong { (text.say("means")) } " " (whole(&said(text, cause))) @if let Some(next) = event.get(Fact::NextStep) { " " (whole(&said(text, next))) } }
        }
        (authentication(text, event))
        @for line in vouched(text, event) { p { (line) } }
        @let facts = small_facts(text, event);
        @if !facts.is_empty() {
            p.quiet.small-text { @for (n, fact) in facts.iter().enumerate() { @if n > 0 { " · " } (fact) } }
        }
    }
}

/// Whether the reply of an event is the remote host's own.
fn is_of_host(kind: EventKind) -> bool {
    kind.group() == Group::Delivery
}

/// Returns the results of SPF, DKIM, DMARC and ARC, each with its mark.
pub(crate) fn authentication(text: Text, event: &Event) -> Markup {
    let results = [("SPF", Fact::Spf), ("DKIM", Fact::Dkim), ("DKIM2", Fact::Dkim2), ("DMARC", Fact::Dmarc), ("ARC", Fact::Arc)];
    let found: Vec<(&str, &str)> = results.into_iter().filter_map(|(name, fact)| Some((name, event.get(fact)?))).collect();
    html! {
        @if !found.is_empty() {
            ul.results aria-label=(text.say("authentication")) {
                @for (name, value) in found {
                    @let (word, rest) = value.split_once(' ').unwrap_or((value, ""));
                    li { (badge(result_mark(word), html! { (name) " " (cut(word, 20)) })) @if !rest.is_empty() { " " (address(rest)) } }
                }
            }
        }
    }
}

/// Returns what we added to the chains of trust of what leaves: our hops of its DKIM2 chain, our ARC set.
fn vouched(text: Text, event: &Event) -> Vec<Markup> {
    let hop = |hop: &str| {
        let mut words = hop.splitn(3, ' ');
        let [number, domain, algorithm] = [(); 3].map(|()| words.next().unwrap_or_default());
        let key = if number == "1" { "hop-first" } else { "hop-next" };
        text.rich(key, [("domain", address(domain))], [("n", number.into()), ("algorithm", algorithm.into())])
    };
    let set = |set: &str| {
        let (number, domain) = set.split_once(' ').unwrap_or((set, ""));
        text.rich("arc-set", [("domain", address(domain))], [("n", number.into())])
    };
    let each = |fact: Fact| event.get(fact).into_iter().flat_map(|value| value.split(", "));
    each(Fact::Dkim2Hop).map(hop).chain(each(Fact::ArcSet).map(set)).collect()
}

/// Returns the mark of a result word of RFC 8601 s.2.7.
fn result_mark(word: &str) -> Mark {
    match word {
        "pass" => Mark::Good,
        "fail" | "permerror" | "policy" => Mark::Bad,
        "softfail" | "temperror" => Mark::Wait,
        _ => Mark::Plain,
    }
}

/// Returns the facts of one line: attempt, next attempt, encryption, durations.
fn small_facts(text: Text, event: &Event) -> Vec<Markup> {
    let number = |fact: Fact| event.get(fact).and_then(|value| value.parse::<i64>().ok());
    let mut facts = Vec::new();
    if let Some(client) = event.client {
        facts.push(html! { (text.say(if is_of_host(event.kind) { "fact-host" } else { "fact-client" })) " " (mono(&client.to_string())) });
    }
    if let Some(n) = number(Fact::Attempt) {
        facts.push(html! { (text.plain("fact-attempt", [("n", n.into())])) });
    }
    if let Some(s) = number(Fact::RetryInS) {
        facts.push(html! { (text.plain("fact-again", [("span", moment::span(text, s).into())])) });
    }
    if let Some(tls) = event.get(Fact::Tls) {
        facts.push(html! { (cut(tls, 60)) });
    }
    if let Some(why) = event.get(Fact::Plaintext) {
        facts.push(html! { (text.say("fact-plaintext")) " " (cut(&said(text, why), 120)) });
    }
    if let Some(how) = event.get(Fact::Verified) {
        facts.push(html! { (text.say("fact-verified")) " " (cut(how, 30)) });
    }
    if let Some(score) = event.get(Fact::Score) {
        facts.push(html! { (text.say("fact-score")) " " (cut(score, 20)) });
    }
    if let Some(ms) = number(Fact::TookMs) {
        facts.push(html! { (text.plain("fact-took", [("span", moment::step(text, ms).into())])) });
    }
    if let Some(ms) = number(Fact::AgeMs) {
        facts.push(html! { (text.plain("fact-age", [("span", moment::step(text, ms).into())])) });
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn every_kind_of_event_has_words_in_every_language() {
        for kind in EventKind::ALL {
            for language in Language::ALL {
                assert!(Text(language).has(&format!("kind-{}", kind.name())), "kind-{} in {language:?}", kind.name());
            }
        }
    }

    #[test]
    fn what_others_wrote_is_quoted_and_escaped() {
        let event = Event::new(EventKind::Failed, 0)
            .host("<b>mx")
            .target("\u{202e}x@y.test")
            .reply("550 <script>alert(1)</script> http://evil.test/");
        let text = Text(Language::English);
        let shown = format!("{}{}", sentence(text, &event).0, details(text, &event).0);
        assert!(!shown.contains("<script>") && !shown.contains("<b>") && !shown.contains("<a") && !shown.contains('\u{202e}'), "{shown}");
        assert!(shown.contains("&lt;script&gt;"), "{shown}");
    }

    #[test]
    fn our_hop_and_our_arc_set_are_told() {
        let event = Event::new(EventKind::MessageAccepted, 0)
            .fact(Fact::Dkim2Hop, "2 second.test ed25519, 3 <b>fwd.example.test rsa")
            .fact(Fact::ArcSet, "1 fwd.example.test");
        let told = |event: &Event| vouched(Text(Language::English), event).into_iter().map(|line| line.0).collect::<Vec<_>>();
        let lines = told(&event);
        assert!(
            lines.len() == 3 && lines[0].starts_with("Continued the DKIM2 chain as hop") && lines[0].contains("second.test"),
            "{lines:?}"
        );
        assert!(lines[1].contains("rsa") && lines[1].contains("&lt;b&gt;fwd") && lines[2].starts_with("Added ARC set"), "{lines:?}");
        let first = told(&Event::new(EventKind::MessageAccepted, 0).fact(Fact::Dkim2Hop, "1 example.test ed25519"));
        assert!(first[0].starts_with("Began a DKIM2 chain"), "{first:?}");
    }

    #[test]
    fn a_cause_stands_before_the_words_of_a_host() {
        let event = Event::new(EventKind::Deferred, 0).reply("452 4.2.2 over quota").fact(Fact::Cause, "The mailbox is full.");
        assert!(reason(Text(crate::language::Language::English), &event, 80).0.contains("The mailbox is full."));
    }
}
