//! Logs the decision about a message, and records it as an event: one of each for a message, whatever the decision.
//!
//! RFC 8601 s.2.7 (the words of results). Invariant: log line and event take their words from one [`EventKind`]; what the event quotes from a message
//! is one line of bounded length.

use std::net::IpAddr;

use events::{Event, EventKind, Fact};
use mail::evidence::{ArcResult, ChainResult, DmarcResult, Evidence};
use mail::{AddressList, Fields, QueueId, Reply, header_len, one_line_at_most};
use msgauth::is_chain_field;
use store::NewMessage;

use crate::accept::message_auth::{Authenticated, Proof};
use crate::accept::prepare::Prepared;
use crate::accept::received::Received;
use crate::accept::responsibility::Responsibility;
use crate::context::Shared;
use crate::queue::not_taken::{NotTaken, reply_to_store_error};
use crate::settings::{ListenerKind, Settings};
use crate::support::headline::Headline;
use crate::support::vouched::vouched;

/// Maximum recipients named in a log line.
const NAMED_MAX: usize = 5;

/// Maximum recipients named in an event; the number of all is a fact of it.
const RECORDED_MAX: usize = 100;

/// Maximum characters of a value from a message.
const VALUE_MAX_CHARS: usize = 250;

/// Maximum signatures named.
const SIGNATURES_MAX: usize = 5;

/// The words for a refused message of a local program.
const LOCAL_REFUSED: &str = "message of a local user refused";

/// Who sent what to whom, before the stages consume the message.
pub(super) struct Described {
    id: QueueId,
    from: String,
    to: Vec<String>,
    client: IpAddr,
    hello: Option<String>,
    tls: Option<String>,
    listener: Option<ListenerKind>,
    login: Option<String>,
    recipients: usize,
    size_bytes: u64,
    received_in_ms: i64,
    /// When the stages began, by the monotonic clock.
    begun_ms: i64,
}

/// What the stages find out.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The spam filter's score.
    pub score: Option<f64>,
    /// The reason if it is held.
    pub held: Option<String>,
    message_id: Option<String>,
    facts: Vec<(Fact, String)>,
}

impl Findings {
    /// Collects what the event says about the message itself, if anything takes events.
    pub fn examine(&mut self, shared: &Shared, settings: &Settings, authenticated: &Authenticated) {
        if !shared.events.is_on() {
            return;
        }
        let Authenticated { received, proof, header } = authenticated;
        if let Proof::Evidence(evidence) = proof {
            self.facts.reserve(12);
            self.evidence(evidence);
        }
        let mut from = None;
        for field in Fields::new(header) {
            if field.is("Message-ID") && self.message_id.is_none() {
                let text = field.unfolded();
                self.message_id = Some(quoted(text.trim().trim_start_matches('<').trim_end_matches('>')));
            } else if field.is("From") && from.is_none() {
                from = Some(field.unfolded());
            }
        }
        if self.message_id.is_none() && proof.is_submitted() {
            // The one that is added to it.
            self.message_id = Some(format!("{}@{}", received.id, settings.hostname));
        }
        if let Some(from) = from {
            let author = AddressList::parse(&from).ok().and_then(|list| list.mailboxes.into_iter().next());
            self.facts.push((Fact::FromField, author.map_or_else(|| quoted(from.trim()), |author| author.to_string())));
        }
        if settings.history_subjects {
            self.facts.push((Fact::Subject, Headline::of(header).subject));
        }
    }

    fn evidence(&mut self, evidence: &Evidence) {
        let spf = if evidence.mail_from.domain.is_empty() { &evidence.helo } else { &evidence.mail_from };
        self.facts.push((Fact::Spf, quoted(&format!("{} {}", spf.result.word(), spf.domain))));
        let mut dkim = String::new();
        for check in evidence.dkim.iter().take(SIGNATURES_MAX) {
            let comma = if dkim.is_empty() { "" } else { ", " };
            dkim.push_str(&format!("{comma}{} {} {}", check.result.word(), check.domain, check.selector));
        }
        self.facts.push((Fact::Dkim, if dkim.is_empty() { "none".into() } else { quoted(&dkim) }));
        let chain = &evidence.dkim2;
        if chain.result != ChainResult::None {
            let domains = || chain.hops.iter().map(|hop| hop.domain.as_str()).collect::<Vec<_>>().join(" ");
            let about = chain.reason.clone().unwrap_or_else(domains);
            self.facts.push((Fact::Dkim2, quoted(&format!("{} {about}", chain.result.word()))));
        }
        let dmarc = &evidence.dmarc;
        self.facts.push((
            Fact::Dmarc,
            match dmarc.result {
                DmarcResult::None => "none".into(),
                result => format!("{} p={}", result.word(), dmarc.policy.word()),
            },
        ));
        if evidence.arc != ArcResult::None {
            self.facts.push((Fact::Arc, evidence.arc.word().into()));
        }
        if let Some(name) = &evidence.client_name {
            self.facts.push((Fact::Iprev, quoted(name)));
        }
    }

    /// Notes the messages that leave: the first has the queue ID of the received one.
    pub fn leaving(&mut self, messages: &[NewMessage]) {
        let Some((first, copies)) = messages.split_first() else { return };
        self.facts.push((Fact::Flow, first.message.flow.as_str().into()));
        if !copies.is_empty() {
            let ids: Vec<String> = copies.iter().take(RECORDED_MAX).map(|copy| copy.message.id.to_string()).collect();
            self.facts.push((Fact::Copies, ids.join(" ")));
        }
    }

    /// Notes what we signed on top of them.
    pub fn signed(&mut self, prepared: &Prepared<'_>) {
        let came = prepared.whole.bytes.get(header_len(&prepared.whole.bytes)..).filter(|_| prepared.is_ours).unwrap_or_default();
        let of_others: Vec<&[u8]> = Fields::new(came).filter(is_chain_field).map(|field| field.raw).collect();
        self.facts.extend(vouched(prepared.messages.iter().map(|new| new.message.prefix.as_ref()), &of_others));
    }
}

/// One line of bounded length.
fn quoted(text: &str) -> String {
    one_line_at_most(text, VALUE_MAX_CHARS)
}

impl Described {
    pub fn of(shared: &Shared, received: &Received) -> Self {
        let facts = &received.facts;
        let is_on = shared.events.is_on();
        let named = if is_on { RECORDED_MAX } else { NAMED_MAX };
        Self {
            id: received.id,
            from: received.reverse_path.to_string(),
            to: received.recipients.iter().take(named).map(|(to, _)| to.forward_path.to_bare()).collect(),
            client: facts.client,
            hello: is_on.then(|| facts.hello.clone()),
            tls: facts.tls.clone().filter(|_| is_on),
            listener: facts.listener,
            login: facts.login.clone(),
            recipients: received.recipients.len(),
            size_bytes: received.content.size_bytes(),
            received_in_ms: (received.at_ms - received.id.made_ms()).max(0),
            begun_ms: shared.clock.steady_ms(),
        }
    }

    /// Logs the decision, and records it.
    pub fn log(self, shared: &Shared, is_local: bool, taken: &Result<Responsibility, NotTaken>, found: Findings) {
        let Self { id, from, to, client, login, recipients, size_bytes, .. } = &self;
        let to = to.iter().take(NAMED_MAX).map(|to| format!("<{to}>")).collect::<Vec<_>>().join(" ");
        let (score, reason) = (found.score, found.held.as_deref());
        let kind = kind_of(taken, reason.is_some());
        let words = match kind {
            EventKind::MessageAccepted if is_local => "message of a local user accepted",
            EventKind::MessageRefused if is_local => LOCAL_REFUSED,
            kind => kind.words(),
        };
        match taken {
            Ok(_) => tracing::info!(%id, from, to, %client, login, recipients, size_bytes, score, reason, "{words}"),
            Err(NotTaken::Refused(reply)) => tracing::info!(%id, from, to, %client, login, score, %reply, "{words}"),
            Err(NotTaken::Store(error)) => tracing::error!(%id, from, to, %client, %error, "{words}"),
        }
        if shared.events.is_on() {
            let (reply, reason) = match taken {
                Ok(_) => (None, found.held.clone()),
                Err(NotTaken::Refused(reply)) => (Some(reply.to_string()), None),
                Err(NotTaken::Store(error)) => (Some(reply_to_store_error(error).to_string()), Some(error.to_string())),
            };
            let event = self.event(kind, shared, found);
            shared.events.record(Event { reply, reason, ..event });
        }
    }

    fn event(self, kind: EventKind, shared: &Shared, found: Findings) -> Event {
        let took_ms = (shared.clock.steady_ms() - self.begun_ms).max(0);
        let Findings { score, message_id, facts, .. } = found;
        let bare = self.from.strip_prefix('<').and_then(|from| from.strip_suffix('>')).unwrap_or(&self.from);
        let event = Event {
            to: self.to,
            facts,
            host: self.hello.map(|hello| quoted(&hello)),
            login: self.login,
            message_id,
            ..Event::new(kind, shared.clock.now_ms()).of_message(self.id).from(bare).client(self.client)
        };
        event
            .fact(Fact::SizeBytes, self.size_bytes)
            .fact(Fact::Recipients, self.recipients)
            .maybe(Fact::Tls, self.tls)
            .maybe(Fact::Listener, self.listener.map(ListenerKind::as_str))
            .maybe(Fact::Score, score)
            .fact(Fact::ReceivedInMs, self.received_in_ms)
            .fact(Fact::TookMs, took_ms)
    }
}

/// Logs a submission by a local program that was refused before it had a queue ID.
pub(super) fn local_refused(shared: &Shared, user: &str, reply: &Reply) {
    tracing::info!(user, %reply, "{LOCAL_REFUSED}");
    shared.events.record_with(|| Event::new(EventKind::MessageRefused, shared.clock.now_ms()).login(Some(user)).reply(reply));
}

/// The kind of the decision.
fn kind_of(taken: &Result<Responsibility, NotTaken>, is_held: bool) -> EventKind {
    match taken {
        Ok(Responsibility::Ours(_)) if is_held => EventKind::MessageHeld,
        Ok(Responsibility::Ours(_)) => EventKind::MessageAccepted,
        Ok(Responsibility::Kept(_)) => EventKind::ReportStored,
        Ok(Responsibility::TakenOver(_)) => EventKind::MessageHandedOver,
        Ok(Responsibility::Dropped(_)) => EventKind::AutoReplyDropped,
        Err(NotTaken::Refused(_)) => EventKind::MessageRefused,
        Err(NotTaken::Store(_)) => EventKind::MessageNotStored,
    }
}
