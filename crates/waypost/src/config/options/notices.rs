//! Options about notices to the owner.

use std::path::PathBuf;

use mail::Domain;
use net::PostUrl;
use serde::Deserialize;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::{OptionKind, Secs, Text};
use super::section;

section!("[notices]", "Notices to the postmaster about what needs a person: certificates, DNS, pauses, a full disk, suspended accounts. A change needs a restart.", NoticesOptions, [], {
    /// Whether they are sent by mail to the postmaster.
    mail: bool = true;
    /// The host of the [[route]] that takes them, past the queue: a notice then arrives also if port 25 is blocked, the queue stands still or the disk is
    /// full. Default: they are queued like other mail.
    route: Option<Text<Domain>> = None;
    /// A URL that gets each notice as JSON, signed (Standard Webhooks): "https://hooks.example.com/waypost".
    webhook: Option<Text<PostUrl>> = None;
    /// A file with the key of the webhook, whsec_ and base64, readable by the server only.
    webhook_secret_file: Option<PathBuf> = None;
    /// A topic of ntfy, which shows notices on a phone: "https://ntfy.sh/a-name-that-no-one-guesses".
    ntfy: Option<Text<PostUrl>> = None;
    /// A file with the access token for that topic, readable by the server only.
    ntfy_token_file: Option<PathBuf> = None;
    /// Whether webhook and ntfy may be at addresses of this machine and of private networks, and without TLS.
    private_addresses: bool = false;
    /// Whether the first mail to an address is reported, with its sender.
    new_senders: bool = false;
    /// How often the notices that are not urgent are sent, as one.
    digest_every: Secs = Secs(86_400);
    /// How long a mailbox or a host is paused before it is reported.
    paused_for: Secs = Secs(3600);
    /// How long the oldest message waits before it is reported.
    queue_age: Secs = Secs(14_400);
});
