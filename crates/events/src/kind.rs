//! The kinds of events, once: name, group, level, words.
//!
//! docs/events.md is generated from this list. Invariant: a name is never reused for something else; the history of earlier versions has it.

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Connections and commands before there is a message.
    Session,
    /// A message on its way in.
    Message,
    /// A message on its way out.
    Delivery,
    /// Logins.
    Login,
    /// Changes by owners and operators.
    Change,
    /// The server itself.
    Server,
}

impl Group {
    /// All groups, in the order of the documents.
    pub const ALL: &[Self] = &[Self::Session, Self::Message, Self::Delivery, Self::Login, Self::Change, Self::Server];

    /// Returns its name, in queries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Message => "message",
            Self::Delivery => "delivery",
            Self::Login => "login",
            Self::Change => "change",
            Self::Server => "server",
        }
    }

    /// Returns its title.
    pub fn title(self) -> &'static str {
        match self {
            Self::Session => "Sessions",
            Self::Message => "Messages on their way in",
            Self::Delivery => "Messages on their way out",
            Self::Login => "Logins",
            Self::Change => "Changes",
            Self::Server => "The server",
        }
    }

    /// Returns what its events say, in sentences.
    pub fn about(self) -> &'static str {
        match self {
            Self::Session => {
                "What was refused before there was a message. They name the client, its HELO, its login, the sender and the recipient as far as it \
                 has said them, our reply, and the `listener`."
            }
            Self::Message => {
                "The decision about a message at the end of its content: one event for each message. It names everyone concerned, the results of \
                 `spf`, `dkim`, `dmarc` and `arc`, the `score` of the spam filter, its `size_bytes`, how long its content took to arrive \
                 (`received_in_ms`) and the decision to be made (`took_ms`)."
            }
            Self::Delivery => {
                "The outcome of each attempt for each recipient, with the host and its own reply, or the reason if no host replied. `attempt`, \
                 `took_ms` and `age_ms` say how often and how long it was tried; `meaning`, `cause` and `next_step` explain a refusal as \
                 [remote replies](remote-replies.md) lists it."
            }
            Self::Login => {
                "Who logged in, from where, with which password and mechanism. A refused login names the account only if there is one."
            }
            Self::Change => "What an owner or a command changed: `what`, `change`, and the login of who did it.",
            Self::Server => "The state of the server, its certificates, its DNS records and its accounts.",
        }
    }
}

/// How much attention it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Daily business.
    Info,
    /// Worth a look.
    Warning,
    /// Needs a person.
    Error,
}

impl Level {
    /// All levels, from the lowest.
    pub const ALL: &[Self] = &[Self::Info, Self::Warning, Self::Error];

    /// Returns its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Defines the kinds: variant, name, group, level, words of its log line, meaning.
macro_rules! kinds {
    ($($variant:ident $name:literal $group:ident $level:ident $words:literal $meaning:literal;)+) => {
        /// The kind of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum EventKind {
            $(#[doc = $meaning] #[serde(rename = $name)] $variant,)+
        }

        impl EventKind {
            /// All kinds, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Returns its name: in JSON, in the history, as a label of metrics.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the kind with this name.
            pub fn of_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)+ _ => None }
            }

            /// Returns what it is about.
            pub fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)+ }
            }

            /// Returns how much attention it needs.
            pub fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level,)+ }
            }

            /// Returns the words of its log line.
            pub fn words(self) -> &'static str {
                match self { $(Self::$variant => $words,)+ }
            }

            /// Returns its meaning, one sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)+ }
            }
        }
    };
}

kinds! {
    ConnectionRefused "connection-refused" Session Info "connection refused" "A client was refused before its first command: too many connections, or it talked first.";
    ProxyRefused "proxy-refused" Session Warning "a proxy's connection was closed: no valid PROXY header" "A load balancer that `listen.proxy_from` names sent no valid PROXY header.";
    TlsFailed "tls-failed" Session Info "tls handshake failed" "A TLS handshake with a client failed.";
    SenderRefused "sender-refused" Session Info "sender refused" "MAIL was refused.";
    RecipientRefused "recipient-refused" Session Info "recipient refused" "RCPT was refused.";
    ContentDeferred "content-deferred" Session Warning "content deferred" "DATA or BDAT was refused for now: no room on disk or in memory.";
    ContentNotStored "content-not-stored" Session Error "cannot store the content" "The content could not be written: the sender keeps the message.";
    LoggedIn "logged-in" Login Info "logged in" "A client logged in.";
    LoginRefused "login-refused" Login Warning "login refused" "A login was refused.";
    OwnerLoggedIn "owner-logged-in" Login Info "owner logged in" "An owner opened the page.";
    MessageAccepted "message-accepted" Message Info "message accepted" "A message was stored in the queue, and its sender got 250.";
    MessageHandedOver "message-handed-over" Message Info "message handed over" "Every target accepted a message while its sender waited.";
    MessageHeld "message-held" Message Warning "message held" "A message was accepted, and held for the owner to look at.";
    MessageRefused "message-refused" Message Info "message refused" "A message was refused after its content.";
    MessageNotStored "message-not-stored" Message Error "message not accepted: cannot store it" "A message was refused for now: the store failed.";
    ReportStored "report-stored" Message Info "report stored" "A DMARC or TLS report arrived and was read.";
    AutoReplyDropped "auto-reply-dropped" Message Info "automatic reply to a return address dropped" "An automatic reply to one of our return addresses ended here.";
    GmailConfirmation "gmail-confirmation" Message Info "Gmail asks whether the address is yours" "Gmail's confirmation mail for \"Send mail as\" arrived.";
    Delivered "delivered" Delivery Info "delivered" "A host accepted a message for one recipient.";
    DeliveredLate "delivered-late" Delivery Warning "delivered after its sender got a temporary failure; the next copy will not be forwarded" "The target accepted a message during cut-through, after its sender had been answered.";
    Deferred "deferred" Delivery Info "deferred" "An attempt failed for now.";
    HeldBack "held-back" Delivery Info "held back" "No attempt was made: the host or the mailbox is paused.";
    Failed "failed" Delivery Warning "failed" "A delivery failed permanently.";
    NotTaken "not-taken" Delivery Info "not accepted while the sender waited" "A target refused a message during cut-through.";
    DsnQueued "dsn-queued" Delivery Info "DSN queued" "A delivery status notification to the sender was queued.";
    ReportQueued "report-queued" Delivery Info "report queued" "A DMARC or TLS report to another domain was queued.";
    ReportDelivered "report-delivered" Delivery Info "report delivered" "A TLS report was delivered over HTTPS.";
    ReportGivenUp "report-given-up" Delivery Warning "report given up" "A DMARC or TLS report could not be sent within a day.";
    Duplicate "duplicate" Delivery Info "not sent again: already delivered or queued" "The same message had been delivered or queued before.";
    UnderWay "under-way" Delivery Info "deferred: the same message is already in flight to the target" "Another session is delivering the same message.";
    InDoubt "in-doubt" Delivery Warning "possible duplicate: the connection was lost before the message was confirmed; resending" "The host may have the message already.";
    Rewritten "rewritten" Delivery Warning "the target rejects the From field's domain: resending with our own From" "A message was queued again, with our address in its From field.";
    SetAside "set-aside" Delivery Error "a message is unreadable and was set aside; `waypost queue list` shows it" "The content of a queued message cannot be read.";
    HostPaused "host-paused" Delivery Warning "host paused" "A host failed repeatedly; its mail waits.";
    HostResumed "host-resumed" Delivery Info "host resumed" "A paused host accepts mail again.";
    MailboxPaused "mailbox-paused" Delivery Error "mailbox paused" "A target mailbox is full, so that its mail waits; or it was disabled or invalid several times in a row.";
    MailboxResumed "mailbox-resumed" Delivery Info "mailbox resumed" "A paused mailbox accepts mail again.";
    Released "released" Change Info "held message released" "An owner released a held message.";
    Dropped "dropped" Change Info "message dropped" "An owner dropped a held or queued message.";
    DirectoryChanged "directory-changed" Change Info "directory changed" "An owner changed a domain, alias, account, password or key.";
    ServerChanged "server-changed" Change Info "server changed" "An owner reloaded, paused, resumed, retried or rerouted something, or changed a token or login.";
    HeldExpired "held-expired" Server Info "removed held mail whose retention has ended" "Held mail was removed at the end of its retention.";
    SendLimitReached "send-limit-reached" Server Warning "an account has reached its limit of new recipients per day" "An account has reached its limit of new recipients for a day.";
    AccountSuspended "account-suspended" Server Warning "the account is suspended" "An account was suspended for what it sent.";
    Notified "notified" Server Info "postmaster notified" "A notice was sent to the postmaster.";
    NotNotified "not-notified" Server Error "the postmaster could not be notified" "A notice could not be sent.";
    CertificateRenewed "certificate-renewed" Server Info "the issued certificate is in use" "A certificate was issued or renewed, and is in use.";
    CertificateFailed "certificate-failed" Server Error "ordering a certificate failed" "A certificate could not be renewed.";
    DnsDrift "dns-drift" Server Warning "DNS records differ from the plan" "A DNS record that mail depends on is missing or wrong.";
    FilterDown "filter-down" Server Error "the spam filter does not answer" "The spam filter does not answer.";
    TargetWrong "target-wrong" Server Warning "an alias target accepts no mail" "The domain of an alias target does not exist, or accepts no mail.";
    StoreFailed "store-failed" Server Error "the queue cannot be read or written; retrying" "The database of the queue failed.";
    DiskLow "disk-low" Server Error "the disk is nearly full" "The disk of the data directory is nearly full.";
    HistoryDamaged "history-damaged" Server Error "the history was damaged; a new one begins" "The file of the history could not be read; it was moved aside, and a new one began.";
    EventsLost "events-lost" Server Warning "events are missing from the history" "Events could not be kept: the disk was full, or they came faster than they can be written.";
    Started "started" Server Info "waypost is up" "The server started.";
    Stopped "stopped" Server Info "waypost is down" "The server stopped.";
    BugCaught "bug-caught" Server Error "a bug was caught; please report it with the lines above" "A bug was caught at a task's edge.";
    SignatureBroken "signature-broken" Server Error "a signature that verified would not verify on the forwarded message" "Forwarding would have broken a signature; the message was refused.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_read_back() {
        for (n, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(EventKind::of_name(kind.name()), Some(*kind));
            assert!(EventKind::ALL.iter().skip(n + 1).all(|other| other.name() != kind.name()), "{kind:?}");
        }
    }
}
