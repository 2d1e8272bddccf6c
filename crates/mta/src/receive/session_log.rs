//! Logs what is refused before there is a message, and records it as events.
//!
//! Invariant: log line and event take their words from one [`EventKind`]; a client that is refused over and over makes one event each time, so that
//! their readers bound them. A check of our own is logged and makes none.

use std::net::IpAddr;

use events::{Event, EventKind, Fact};
use mail::{Reply, ReversePath, one_line_at_most};
use net::ProxyError;

use crate::context::Shared;
use crate::receive::content_quota::NotKept;
use crate::settings::ListenerKind;

/// Maximum characters of a client's HELO name in an event.
const HELLO_MAX_CHARS: usize = 250;

/// A client, and what it has said so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Party<'a> {
    pub client: IpAddr,
    pub kind: ListenerKind,
    pub hello: Option<&'a str>,
    pub login: Option<&'a str>,
    pub reverse_path: Option<&'a ReversePath>,
    /// Whether it is a check of this server's own ([`crate::receive::own_checks`]).
    pub is_own_check: bool,
}

impl Party<'_> {
    /// A client that has said nothing.
    pub fn unknown(client: IpAddr, kind: ListenerKind) -> Self {
        Self { client, kind, hello: None, login: None, reverse_path: None, is_own_check: false }
    }

    /// Records what a stranger was refused, but not what a check of our own was.
    fn record(&self, shared: &Shared, make: impl FnOnce() -> Event) {
        if !self.is_own_check {
            shared.events.record_with(make);
        }
    }

    fn event(&self, shared: &Shared, kind: EventKind) -> Event {
        let event = Event::new(kind, shared.clock.now_ms()).client(self.client).login(self.login).fact(Fact::Listener, self.kind.as_str());
        Event {
            host: self.hello.map(|hello| one_line_at_most(hello, HELLO_MAX_CHARS)),
            from: self.reverse_path.map(ReversePath::to_bare),
            ..event
        }
    }
}

/// Records a client that was refused before its first command. The log does not name it.
pub(super) fn connection_refused(shared: &Shared, party: Party<'_>, reply: &Reply) {
    shared.events.record_with(|| party.event(shared, EventKind::ConnectionRefused).reply(reply));
}

/// Logs a load balancer that sent no valid PROXY header. Some check a port by opening and closing it, which is no event.
pub(super) fn proxy_refused(shared: &Shared, party: Party<'_>, error: &ProxyError) {
    if matches!(error, ProxyError::Closed) {
        return;
    }
    let kind = EventKind::ProxyRefused;
    tracing::warn!(proxy = %party.client, listener = party.kind.as_str(), %error, "{}", kind.words());
    shared.events.record_with(|| party.event(shared, kind).reason(Some(error.to_string())));
}

/// Logs a TLS handshake that failed.
pub(super) fn tls_failed(shared: &Shared, party: Party<'_>, error: &dyn std::error::Error) {
    let kind = EventKind::TlsFailed;
    tracing::info!(client = %party.client, %error, "{}", kind.words());
    party.record(shared, || party.event(shared, kind).reason(Some(one_line_at_most(&error.to_string(), HELLO_MAX_CHARS))));
}

/// Logs a refused MAIL.
pub(super) fn sender_refused(shared: &Shared, party: Party<'_>, reply: &Reply) {
    let about = party.reverse_path.map(ToString::to_string).unwrap_or_default();
    refused(shared, EventKind::SenderRefused, party, &about, reply);
}

/// Logs a refused RCPT; `to` is its address without brackets.
pub(super) fn recipient_refused(shared: &Shared, party: Party<'_>, to: &str, reply: &Reply) {
    let kind = EventKind::RecipientRefused;
    log_refused(kind, party, &format!("<{to}>"), reply);
    party.record(shared, || party.event(shared, kind).to(to).reply(reply));
}

/// Logs a DATA or BDAT that was refused for now.
pub(super) fn content_refused(shared: &Shared, party: Party<'_>, reply: &Reply) {
    refused(shared, EventKind::ContentDeferred, party, "", reply);
}

/// Logs content that could not be kept.
pub(super) fn content_not_kept(shared: &Shared, party: Party<'_>, error: &NotKept, reply: &Reply) {
    let kind = match error {
        NotKept::NoRoom => {
            tracing::warn!(client = %party.client, %error, "{}", EventKind::ContentDeferred.words());
            EventKind::ContentDeferred
        }
        NotKept::Store(error) => {
            tracing::error!(client = %party.client, %error, "{}", EventKind::ContentNotStored.words());
            EventKind::ContentNotStored
        }
    };
    shared.events.record_with(|| party.event(shared, kind).reason(Some(error.to_string())).reply(reply));
}

/// Logs content that could not be completed on disk.
pub(super) fn content_not_stored(shared: &Shared, party: Party<'_>, id: mail::QueueId, error: &store::StoreError, reply: &Reply) {
    let kind = EventKind::ContentNotStored;
    tracing::error!(%id, %error, "{}", kind.words());
    shared.events.record_with(|| party.event(shared, kind).of_message(id).reason(Some(error.to_string())).reply(reply));
}

fn refused(shared: &Shared, kind: EventKind, party: Party<'_>, about: &str, reply: &Reply) {
    log_refused(kind, party, about, reply);
    party.record(shared, || party.event(shared, kind).reply(reply));
}

fn log_refused(kind: EventKind, party: Party<'_>, about: &str, reply: &Reply) {
    tracing::info!(client = %party.client, login = party.login, about, reply = %reply, "{}", kind.words());
}
