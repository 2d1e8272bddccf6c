//! Stage: accepts mail from local programs (`waypost sendmail`), with and without a running server.
//!
//! RFC 6409 s.4.2, s.6 and s.8, RFC 5321 s.4.5.1 (postmaster). Invariant: no user sends as another (`policy::LocalUser`); a message is accepted for
//! all its recipients or for none, and is on disk before it is accepted.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use directory::{Account, Directory};
use futures_util::future::BoxFuture;
use mail::{Body, Fields, ForwardPath, MailParameters, Mailbox, Notify, QueueId, Recipient, Reply, Ret, ReversePath};
use net::{Clock, blocking, random_u32};
use policy::{AcceptedRecipient, Client, LocalRules, LocalUser, Rules};
use store::Store;

use crate::accept::decide::from_addresses;
use crate::accept::decision_log;
use crate::accept::local_fixup::{Completed, complete};
use crate::accept::over_limit::SendLimits;
use crate::accept::pipeline::{Origin, Outlet, Pipeline};
use crate::accept::received::{Received, SessionFacts};
use crate::accept::send_limit::LimitVerdict;
use crate::context::{Shared, Snapshot};
use crate::queue::not_taken::reply_to_store_error;
use crate::settings::{LiveSettings, Settings};
use crate::support::directory_cache::LiveDirectory;
use crate::support::shutdown::Closing;

/// Maximum recipients of one message.
const RECIPIENTS_MAX: usize = 1000;

/// Returns whether a name is that of a local user.
pub type LocalNames = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// A submission from a program.
#[derive(Debug)]
pub struct Submission {
    /// The user that runs the program.
    pub user: LocalUser,
    /// The user's full name.
    pub full_name: String,
    /// The reverse-path, if given; empty for the null one.
    pub sender: Option<String>,
    /// The recipients given.
    pub recipients: Vec<String>,
    /// Whether to add the recipients of the header section.
    pub recipients_in_header: bool,
    /// When the sender wants a DSN.
    pub notify: Notify,
    /// How much of the message a DSN returns.
    pub ret: Option<Ret>,
    /// The sender's envelope ID.
    pub envid: Option<String>,
    /// The message.
    pub content: Vec<u8>,
}

/// An accepted message.
#[derive(Debug, Clone, Copy)]
pub struct Submitted {
    /// Its queue ID.
    pub id: QueueId,
    /// Number of recipients.
    pub recipients: usize,
}

/// Accepts mail from local programs.
pub struct Submitter {
    pipeline: Arc<Pipeline>,
    /// Counts what users send, if a server runs.
    send_limits: Option<Arc<SendLimits>>,
    names: LocalNames,
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").finish_non_exhaustive()
    }
}

impl Submitter {
    /// Creates a submitter without a running server: the next start sends the accepted mail.
    pub fn offline(settings: LiveSettings, store: Store, directory: Arc<LiveDirectory>, clock: Clock, names: LocalNames) -> Self {
        let shared = Shared { settings, store, clock, directory, events: events::Events::default() };
        Self { pipeline: Arc::new(Pipeline::new(shared, Outlet::Store, Closing::default())), send_limits: None, names }
    }

    pub(crate) fn online(pipeline: Arc<Pipeline>, send_limits: Arc<SendLimits>, names: LocalNames) -> Self {
        Self { pipeline, send_limits: Some(send_limits), names }
    }

    /// Accepts the message for all its recipients, or returns the reply that refuses it.
    pub fn submit(&self, submission: Submission) -> BoxFuture<'_, Result<Submitted, Reply>> {
        Box::pin(self.submitted(submission))
    }

    async fn submitted(&self, submission: Submission) -> Result<Submitted, Reply> {
        let user = submission.user.name.clone();
        let Shared { settings, directory, .. } = &self.pipeline.shared;
        let snapshot = Snapshot { settings: settings.load_full(), directory: directory.refreshed().await };
        let received = self.received(submission, &snapshot).await;
        let received = received.inspect_err(|reply| decision_log::local_refused(&self.pipeline.shared, &user, reply))?;
        let submitted = Submitted { id: received.id, recipients: received.recipients.len() };
        self.pipeline.run(Origin::Program, &snapshot, received, ()).await.map(|_| submitted)
    }

    /// Checks the submission and stores its content.
    async fn received(&self, submission: Submission, snapshot: &Snapshot) -> Result<Received, Reply> {
        let Shared { store, clock, .. } = &self.pipeline.shared;
        let Snapshot { settings, directory } = snapshot;
        let Submission { user, full_name, sender, recipients, recipients_in_header, notify, ret, envid, content } = submission;
        let names = self.names.clone();
        let checks =
            LocalChecks { settings: settings.clone(), directory: directory.clone(), user: user.clone(), names, clock: clock.clone() };
        let itself = format!("{}@{}", user.name, settings.hostname);
        let itself = Mailbox::parse(&itself)
            .map_err(|e| Reply::new(550, (5, 1, 7), format!("the user name is not a valid local part: {itself}: {e}")))?;
        let reverse_path = checks.reverse_path(sender.as_deref(), &itself)?;
        let from = reverse_path.mailbox().unwrap_or(&itself);
        let Completed { content, recipients: named } = complete(&content, from, &full_name, &settings.hostname)?;
        if content.len() as u64 > settings.limits.message_bytes {
            let most = settings.limits.message_bytes;
            return Err(Reply::new(552, (5, 3, 4), format!("the message is larger than {most} octets (limits.message_bytes)")));
        }
        checks.check_from(&content)?;
        let mut all = recipients;
        all.extend(if recipients_in_header { named } else { Vec::new() });
        let is_utf8 = !all.iter().chain([&reverse_path.to_bare()]).all(|address| address.is_ascii());
        let path = reverse_path.clone();
        // Looking up users may block: their names come from a file or a directory service.
        let recipients = blocking(move || checks.recipients(&all, notify, &path)).await?;
        self.count(&user, &itself, &recipients, settings).await?;
        let body = if content.is_ascii() { Body::SevenBit } else { Body::EightBit };
        let parameters = MailParameters { size_bytes: None, body, smtputf8: is_utf8, ret, envid, requiretls: false };
        let id = QueueId::next(clock.now_ms(), random_u32());
        let content = store.put(id, &content).await.map_err(|error| reply_to_store_error(&error))?;
        let facts = SessionFacts {
            listener: None,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hello: "local".into(),
            extended: true,
            tls: None,
            login: Some(user.name),
            local: true,
        };
        Ok(Received { id, at_ms: clock.now_ms(), facts, reverse_path, parameters, recipients, content })
    }

    /// Applies the rate limits of an account to a local user, in case one of its programs is compromised.
    async fn count(
        &self,
        user: &LocalUser,
        itself: &Mailbox,
        recipients: &[(Recipient, AcceptedRecipient)],
        settings: &Settings,
    ) -> Result<(), Reply> {
        let Some(limits) = self.send_limits.as_ref().filter(|_| !user.privileged) else { return Ok(()) };
        let account = Account::new(itself.clone(), [0; 16]);
        for (recipient, _) in recipients {
            let ForwardPath::Mailbox(mailbox) = &recipient.forward_path else { continue };
            let now_ms = self.pipeline.shared.clock.now_ms();
            let said = limits.counts.one_more(&account, mailbox, settings.submission, now_ms).await;
            let most = match said.map_err(|error| reply_to_store_error(&error))? {
                LimitVerdict::Fine => continue,
                LimitVerdict::TooMany(most) => format!("{most} recipients an hour"),
                LimitVerdict::TooManyNew { most, .. } | LimitVerdict::Runaway(most) => {
                    format!("{most} new recipients a day")
                }
            };
            return Err(Reply::new(
                451,
                (4, 7, 1),
                format!("the user {} may send to {most}; see [submission] in the configuration", user.name),
            ));
        }
        Ok(())
    }
}

/// What one message is checked against.
struct LocalChecks {
    settings: Arc<Settings>,
    directory: Arc<Directory>,
    user: LocalUser,
    names: LocalNames,
    clock: Clock,
}

impl LocalChecks {
    fn rules(&self) -> LocalRules<'_> {
        LocalRules { directory: &self.directory, hostname: &self.settings.hostname, rules: &self.settings.local_users }
    }

    /// Returns the reverse-path: as given, or the user's address.
    fn reverse_path(&self, named: Option<&str>, itself: &Mailbox) -> Result<ReversePath, Reply> {
        let Some(named) = named.map(bare) else { return Ok(ReversePath::Mailbox(itself.clone())) };
        if named.is_empty() {
            return Ok(ReversePath::Null);
        }
        let mailbox = self.mailbox(named).map_err(|e| Reply::new(553, (5, 1, 7), format!("invalid sender address {named:?}: {e}")))?;
        self.user.check(&mailbox, self.rules())?;
        Ok(ReversePath::Mailbox(mailbox))
    }

    fn mailbox(&self, text: &str) -> Result<Mailbox, mail::AddressError> {
        if text.contains('@') { Mailbox::parse(text) } else { Mailbox::parse(&format!("{text}@{}", self.settings.hostname)) }
    }

    fn check_from(&self, content: &[u8]) -> Result<(), Reply> {
        if Fields::new(content).filter(|field| field.is("From")).count() > 1 {
            return Err(Reply::new(550, (5, 6, 0), "the message has more than one From field"));
        }
        let from = from_addresses(content)?;
        if from.is_empty() {
            return Err(Reply::new(550, (5, 6, 0), "the From field has no address"));
        }
        from.iter().try_for_each(|mailbox| self.user.check(mailbox, self.rules()))
    }

    fn recipients(&self, all: &[String], notify: Notify, reverse_path: &ReversePath) -> Result<Vec<(Recipient, AcceptedRecipient)>, Reply> {
        match all.len() {
            0 => {
                return Err(Reply::new(554, (5, 5, 1), "the message has no recipients: neither on the command line nor in To, Cc and Bcc"));
            }
            n if n > RECIPIENTS_MAX => {
                return Err(Reply::new(554, (5, 5, 3), format!("the message has {n} recipients; maximum {RECIPIENTS_MAX}")));
            }
            _ => {}
        }
        let one = |text: &String| {
            let path = self.forward_path(bare(text))?;
            let accepted = self.accepted(reverse_path, &path).map_err(|reply| about(&path, &reply))?;
            Ok((Recipient { notify, ..Recipient::new(path) }, accepted))
        };
        all.iter().map(one).collect()
    }

    /// A bare name is an address of this host; if the hostname is not a hosted domain, mail for its users goes to the postmaster.
    fn forward_path(&self, text: &str) -> Result<ForwardPath, Reply> {
        let refused = |e: &dyn std::fmt::Display| Reply::new(553, (5, 1, 3), format!("invalid address {text:?}: {e}"));
        let mailbox = self.mailbox(text).map_err(|e| refused(&e))?;
        if mailbox.domain != self.settings.hostname || self.directory.hosts(&mailbox.domain) {
            return Ok(ForwardPath::Mailbox(mailbox));
        }
        let name = self.directory.without_extension(&mailbox).local;
        if Directory::is_role_name(&name) || (self.names)(name.as_str()) {
            return Ok(ForwardPath::Postmaster);
        }
        Err(Reply::new(550, (5, 1, 1), format!("{text}: no such user on this host")))
    }

    fn accepted(&self, reverse_path: &ReversePath, path: &ForwardPath) -> Result<AcceptedRecipient, Reply> {
        let rules = Rules {
            directory: &self.directory,
            postmaster: self.settings.postmaster.as_ref(),
            srs: &self.settings.forward.srs,
            now_unix_s: self.clock.now_s(),
        };
        let client = Client { login: Some(&self.user.name) };
        match policy::decide_recipient(rules, client, reverse_path, path)? {
            AcceptedRecipient::Sender { .. } | AcceptedRecipient::Token { .. } => {
                Err(Reply::new(550, (5, 7, 1), "a return address accepts DSNs from other servers only"))
            }
            AcceptedRecipient::Reports(address) => Err(Reply::new(
                550,
                (5, 7, 1),
                format!("{address} accepts reports from other servers only; add an alias of that name to receive its mail"),
            )),
            accepted => Ok(accepted),
        }
    }
}

/// Strips angle brackets.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// Prefixes a reply with its recipient.
fn about(path: &ForwardPath, reply: &Reply) -> Reply {
    let code = reply.enhanced.map_or((5, 0, 0), |code| (code.0, code.1, code.2));
    Reply::new(reply.code, code, format!("{path}: {}", reply.text()))
}
