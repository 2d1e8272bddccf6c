//! Stage: mail of programs on this machine, by `waypost sendmail`, while the server runs and while it does not.
//!
//! RFC 6409 s.4.2, s.6 and s.8, RFC 5321 s.4.5.1 (postmaster). Invariant: nobody sends as somebody else (`policy::LocalUser`), a message is taken for
//! all its recipients or for none, and it is on disk when it is said to be taken.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use directory::{Account, Directory};
use mail::{Body, Fields, ForwardPath, MailParameters, Mailbox, Notify, QueueId, Recipient, Reply, Ret, ReversePath};
use net::{Clock, random_u32};
use policy::{AcceptedRecipient, Client, LocalRules, LocalUser, Rules, Treatment};
use spam_filter::{Answer, Verdict};
use store::{Content, Store, StoreError};

use crate::accept::decide::{Accepted, from_addresses};
use crate::accept::filter::filter;
use crate::accept::local_fixup::{Completed, complete};
use crate::accept::message_auth::{Authenticated, Proof};
use crate::accept::pipeline::reply_to_store_error;
use crate::accept::prepare::prepare;
use crate::accept::received::{Received, SessionFacts};
use crate::accept::send_limit::Said;
use crate::accept::sign::sign;
use crate::queue::enqueue::enqueue;
use crate::receive::session::Reception;
use crate::settings::{LiveSettings, Settings};
use crate::support::directory_cache::LiveDirectory;
use crate::support::dkim_signers::Signing;
use crate::support::large_contents::{LargeContents, Whose, header};

/// The most recipients of one message.
const RECIPIENTS_MAX: usize = 1000;

/// Whether this is the name of a user of this machine.
pub type LocalNames = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// What a program hands over.
#[derive(Debug)]
pub struct Submission {
    /// The user that runs it.
    pub user: LocalUser,
    /// The user's name, for people.
    pub full_name: String,
    /// The envelope's sender, where one was named; empty for the null reverse-path.
    pub sender: Option<String>,
    /// The recipients that were named.
    pub recipients: Vec<String>,
    /// Whether those of the header section are meant too.
    pub recipients_in_header: bool,
    /// When the sender wants a report.
    pub notify: Notify,
    /// How much of the message a report returns.
    pub ret: Option<Ret>,
    /// The sender's own name for the message.
    pub envid: Option<String>,
    /// The message.
    pub content: Vec<u8>,
}

/// A message that was taken.
#[derive(Debug, Clone, Copy)]
pub struct Submitted {
    /// Its queue id.
    pub id: QueueId,
    /// How many recipients it has.
    pub recipients: usize,
}

/// Takes mail of programs on this machine.
pub struct Submitter {
    settings: LiveSettings,
    store: Store,
    live: Arc<LiveDirectory>,
    clock: Clock,
    names: LocalNames,
    signing: Signing,
    large: LargeContents,
    /// The running server, if one runs.
    reception: Option<Arc<Reception>>,
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").finish_non_exhaustive()
    }
}

impl Submitter {
    /// While no server runs: what is taken goes out when one starts.
    pub fn offline(settings: LiveSettings, store: Store, live: Arc<LiveDirectory>, clock: Clock, names: LocalNames) -> Self {
        Self { settings, store, live, clock, names, signing: Signing::default(), large: LargeContents::default(), reception: None }
    }

    pub(crate) fn online(reception: Arc<Reception>, names: LocalNames) -> Self {
        let Reception { settings, store, live, clock, .. } = &*reception;
        let (settings, store, live, clock) = (settings.clone(), store.clone(), live.clone(), clock.clone());
        Self { reception: Some(reception), ..Self::offline(settings, store, live, clock, names) }
    }

    /// Takes the message for all its recipients, or says why not.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, Reply> {
        let user = submission.user.name.clone();
        let taken = self.take(submission).await;
        match &taken {
            Ok(Submitted { id, recipients }) => tracing::info!(%id, user, recipients, "message of a local user accepted"),
            Err(reply) => tracing::info!(user, reply = %reply, "message of a local user refused"),
        }
        taken
    }

    async fn take(&self, submission: Submission) -> Result<Submitted, Reply> {
        let settings = self.settings.load_full();
        let directory = self.live.current();
        let Submission { user, full_name, sender, recipients, recipients_in_header, notify, ret, envid, content } = submission;
        let desk = Desk { settings: &settings, directory: &directory, user: &user, names: &self.names, clock: &self.clock };
        let itself = format!("{}@{}", user.name, settings.hostname);
        let itself =
            Mailbox::parse(&itself).map_err(|e| Reply::new(550, (5, 1, 7), format!("the user name makes no address: {itself}: {e}")))?;
        let reverse_path = desk.reverse_path(sender.as_deref(), &itself)?;
        let from = reverse_path.mailbox().unwrap_or(&itself);
        let Completed { content, recipients: named } = complete(&content, from, &full_name, &settings.hostname)?;
        if content.len() as u64 > settings.limits.message_bytes {
            let most = settings.limits.message_bytes;
            return Err(Reply::new(552, (5, 3, 4), format!("the message is larger than {most} octets; limits.message_bytes says so")));
        }
        desk.check_from(&content)?;
        let mut all = recipients;
        all.extend(if recipients_in_header { named } else { Vec::new() });
        let recipients = desk.recipients(&all, notify, &reverse_path)?;
        self.count(&user, &itself, &recipients, &settings).await?;
        let is_utf8 = !all.iter().chain([&reverse_path.to_bare()]).all(|address| address.is_ascii());
        let body = if content.is_ascii() { Body::SevenBit } else { Body::EightBit };
        let parameters = MailParameters { size_bytes: None, body, smtputf8: is_utf8, ret, envid, requiretls: false };
        let id = QueueId::next(self.clock.now_ms(), random_u32());
        let kept = self.keep(id, &content).await.map_err(|error| reply_to_store_error(&error))?;
        drop(content);
        let facts = SessionFacts {
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hello: "local".into(),
            extended: true,
            tls: None,
            login: Some(user.name),
            local: true,
        };
        let at_ms = self.clock.now_ms();
        let received = Received { id, at_ms, facts, reverse_path, parameters, recipients, content: kept.clone() };
        let recipients = received.recipients.len();
        match self.stages(received, &settings, &directory).await {
            Ok(()) => Ok(Submitted { id, recipients }),
            Err(reply) => {
                self.store.discard(&kept);
                Err(reply)
            }
        }
    }

    /// The stages of own mail: filter, decide, prepare, seal, enqueue.
    async fn stages(&self, received: Received, settings: &Settings, directory: &Directory) -> Result<(), Reply> {
        let header = header(&received.content).await.map_err(|error| reply_to_store_error(&error))?;
        let proof = Proof::Login(received.facts.login.clone().unwrap_or_default());
        let authenticated = self.filtered(Authenticated { received, proof, header }, settings).await?;
        let Authenticated { received, proof, header } = authenticated;
        let aliases = received.recipients.iter().filter_map(|(_, accepted)| match accepted {
            AcceptedRecipient::Alias { alias, .. } => Some(alias),
            _ => None,
        });
        policy::check_header(&header, aliases)?;
        let lacks = |name| Fields::find_first(&header, name).is_none();
        let (lacks_message_id, lacks_date) = (lacks("Message-ID"), lacks("Date"));
        let author = from_addresses(&header)?.into_iter().next().map(|from| from.domain);
        let treatment = Treatment::AsIs;
        let whole = self.large.load(&received.content, Whose::Account).await.map_err(|error| reply_to_store_error(&error))?;
        let accepted = Accepted { received, proof, whole, treatment, may_report: true, is_ours: false, lacks_message_id, lacks_date };
        let mut prepared = prepare(accepted, settings, &self.clock);
        sign(&self.signing, settings, directory, author.as_ref(), &mut prepared).await;
        let committed = match &self.reception {
            Some(reception) => enqueue(&self.store, &reception.dispatch, &self.clock, prepared.messages).await,
            None => self.store.commit(prepared.messages, 0).await,
        };
        committed.map(|_| ()).map_err(|error| reply_to_store_error(&error))
    }

    /// The spam filter's verdict, where it is asked about own mail; without a server nobody asks it.
    async fn filtered(&self, authenticated: Authenticated, settings: &Settings) -> Result<Authenticated, Reply> {
        let Some(reception) = &self.reception else { return Ok(authenticated) };
        let filtered = filter(authenticated, settings, &reception.downtime, &self.clock).await;
        let Answer { verdict, .. } = filtered.answer;
        match verdict {
            Verdict::Pass => Ok(filtered.authenticated),
            Verdict::Reject(reply) | Verdict::Defer(reply) => Err(reply),
            Verdict::Hold(_) => Err(Reply::new(550, (5, 7, 1), "the message looks like spam")),
        }
    }

    async fn keep(&self, id: QueueId, content: &[u8]) -> Result<Content, StoreError> {
        let mut spool = self.store.spool(id);
        spool.write(content).await?;
        spool.finish().await
    }

    /// A program that was broken into sends no more than an account could.
    async fn count(
        &self,
        user: &LocalUser,
        itself: &Mailbox,
        recipients: &[(Recipient, AcceptedRecipient)],
        settings: &Settings,
    ) -> Result<(), Reply> {
        let Some(reception) = self.reception.as_ref().filter(|_| !user.privileged) else { return Ok(()) };
        let account = Account::new(itself.clone(), [0; 16]);
        for (recipient, _) in recipients {
            let ForwardPath::Mailbox(mailbox) = &recipient.forward_path else { continue };
            let said = reception.allowance.one_more(&account, mailbox, settings.submission, self.clock.now_ms()).await;
            let most = match said.map_err(|error| reply_to_store_error(&error))? {
                Said::Fine => continue,
                Said::TooMany(most) => format!("{most} recipients an hour"),
                Said::TooManyNew { most, .. } | Said::Runaway(most) => format!("{most} recipients a day to whom it has not sent before"),
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

/// What one message is judged by.
struct Desk<'a> {
    settings: &'a Settings,
    directory: &'a Directory,
    user: &'a LocalUser,
    names: &'a LocalNames,
    clock: &'a Clock,
}

impl Desk<'_> {
    fn rules(&self) -> LocalRules<'_> {
        LocalRules { directory: self.directory, hostname: &self.settings.hostname, rules: &self.settings.local_users }
    }

    /// The envelope's sender: as it was named, or the user.
    fn reverse_path(&self, named: Option<&str>, itself: &Mailbox) -> Result<ReversePath, Reply> {
        let Some(named) = named.map(bare) else { return Ok(ReversePath::Mailbox(itself.clone())) };
        if named.is_empty() {
            return Ok(ReversePath::Null);
        }
        let mailbox = self.mailbox(named).map_err(|e| Reply::new(553, (5, 1, 7), format!("the sender {named:?} is no address: {e}")))?;
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
            return Err(Reply::new(550, (5, 6, 0), "the From field names no address"));
        }
        from.iter().try_for_each(|mailbox| self.user.check(mailbox, self.rules()))
    }

    fn recipients(&self, all: &[String], notify: Notify, reverse_path: &ReversePath) -> Result<Vec<(Recipient, AcceptedRecipient)>, Reply> {
        match all.len() {
            0 => {
                return Err(Reply::new(554, (5, 5, 1), "the message has no recipients: neither on the command line nor in To, Cc and Bcc"));
            }
            n if n > RECIPIENTS_MAX => {
                return Err(Reply::new(554, (5, 5, 3), format!("the message has {n} recipients; {RECIPIENTS_MAX} are the most")));
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

    /// A bare name is an address of this machine; where its name is no hosted domain, the postmaster reads the mail of its users.
    fn forward_path(&self, text: &str) -> Result<ForwardPath, Reply> {
        let refused = |e: &dyn std::fmt::Display| Reply::new(553, (5, 1, 3), format!("{text:?} is no address: {e}"));
        let mailbox = self.mailbox(text).map_err(|e| refused(&e))?;
        if mailbox.domain != self.settings.hostname || self.directory.hosts(&mailbox.domain) {
            return Ok(ForwardPath::Mailbox(mailbox));
        }
        let name = self.directory.without_extension(&mailbox).local;
        if Directory::is_role_name(&name) || (self.names)(name.as_str()) {
            return Ok(ForwardPath::Postmaster);
        }
        Err(Reply::new(550, (5, 1, 1), format!("{text}: there is no such user on this machine")))
    }

    fn accepted(&self, reverse_path: &ReversePath, path: &ForwardPath) -> Result<AcceptedRecipient, Reply> {
        let rules = Rules {
            directory: self.directory,
            postmaster: self.settings.postmaster.as_ref(),
            srs: &self.settings.forward.srs,
            now_unix_s: self.clock.now_s(),
        };
        let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), login: Some(&self.user.name) };
        match policy::decide_recipient(rules, client, reverse_path, path)? {
            AcceptedRecipient::Sender { .. } | AcceptedRecipient::Token { .. } => {
                Err(Reply::new(550, (5, 7, 1), "a return address takes reports of other servers only"))
            }
            AcceptedRecipient::Reports(address) => Err(Reply::new(
                550,
                (5, 7, 1),
                format!("{address} takes reports of other servers only; make an alias of that name to have its mail"),
            )),
            accepted => Ok(accepted),
        }
    }
}

/// Without the angle brackets that people put around an address.
fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// The reply with the recipient that it is about.
fn about(path: &ForwardPath, reply: &Reply) -> Reply {
    let code = reply.enhanced.map_or((5, 0, 0), |code| (code.0, code.1, code.2));
    Reply::new(reply.code, code, format!("{path}: {}", reply.text()))
}
