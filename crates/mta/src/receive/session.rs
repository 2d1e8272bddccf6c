//! Stage: drives one SMTP session and passes complete messages to the pipeline.
//!
//! RFC 5321 s.3 and s.4.5.3.2 (time limits). Invariant: the session decides what the protocol allows, policy what is wanted; this file passes events
//! between them and answers each one.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use directory::Directory;
use mail::{QueueId, Recipient, Reply, ReversePath};
use net::random_u32;
use policy::{AcceptedRecipient, Client};
use sasl::Mechanism;
use smtp::server::{AuthStep, ServerEvent, ServerOptions, ServerSession, Service, TlsInfo};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::accept::pipeline::Origin;
use crate::accept::received::{Received, SessionFacts};
use crate::accept::responsibility::Responsibility;
use crate::context::Snapshot;
use crate::queue::not_taken::reply_to_store_error;
use crate::receive::auth::exchange::{AuthAnswer, AuthExchange};
use crate::receive::content_quota::{ArrivingContent, NotKept};
use crate::receive::inbound::Inbound;
use crate::receive::listen::SessionPlace;
use crate::receive::no_sooner::no_sooner_than;
use crate::receive::rcpt::{PriorRecipients, check_recipient};
use crate::receive::sender::check_sender;
use crate::receive::session_log::{self, Party};
use crate::receive::shares::{Rank, RankedClient};
use crate::receive::timeouts::{ClientTimeouts, LOOK_EVERY, SessionProgress};
use crate::receive::tls_accept::{TlsSession, handshake};
use crate::settings::{ListenerKind, Settings};
use crate::support::stream::Stream;

/// One session: the protocol state, and the content that is being received.
pub(crate) struct SessionDriver {
    session: ServerSession<AcceptedRecipient>,
    stream: Option<Stream>,
    client: IpAddr,
    who: RankedClient,
    /// Its place among the open sessions.
    pub place: Option<SessionPlace>,
    inbound: Arc<Inbound>,
    spool: Option<ArrivingContent>,
    secured: Option<Box<TlsSession>>,
    kind: ListenerKind,
    log_in: AuthExchange,
    output: Vec<u8>,
}

/// The connection is closed; no reply can be sent.
struct ConnectionLost;

impl From<std::io::Error> for ConnectionLost {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

fn session_config(settings: &Settings, directory: &Directory, kind: ListenerKind, tls: bool) -> ServerOptions {
    let offered = |mechanism: &Mechanism| is_offered(*mechanism, settings, directory, kind);
    ServerOptions {
        hostname: settings.hostname.clone(),
        service: if kind == ListenerKind::Mx { Service::Mx } else { Service::Submission },
        starttls: tls,
        mechanisms: Mechanism::ALL.iter().filter(|m| offered(m)).map(|m| m.name()).collect(),
        max_size_bytes: settings.limits.message_bytes,
        max_recipients: settings.limits.recipients,
    }
}

/// Whether a mechanism is offered. It must work for every account: most clients use the strongest one and try no other after a refusal.
fn is_offered(mechanism: Mechanism, settings: &Settings, directory: &Directory, kind: ListenerKind) -> bool {
    match mechanism {
        Mechanism::Plain | Mechanism::Login => true,
        // An imported password has no SCRAM keys until its first use.
        Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus => settings.channel_binding && directory.all_have_scram_keys(),
        Mechanism::ScramSha256 | Mechanism::ScramSha1 => directory.all_have_scram_keys(),
        Mechanism::OauthBearer | Mechanism::Xoauth2 => settings.introspection.is_some(),
        Mechanism::External => kind == ListenerKind::ByCertificate,
        Mechanism::DigestMd5 | Mechanism::CramMd5 | Mechanism::Ntlm => directory.allows_legacy(mechanism.name()),
    }
}

impl SessionDriver {
    pub fn new(stream: Stream, secured: Option<TlsSession>, who: RankedClient, kind: ListenerKind, inbound: Arc<Inbound>) -> Self {
        let Snapshot { settings, directory } = inbound.shared.snapshot();
        let config = session_config(&settings, &directory, kind, inbound.tls.is_some());
        let session =
            ServerSession::new(Arc::new(config), secured.as_ref().map(|secured| TlsInfo { description: secured.description.clone() }));
        let (secured, log_in) = (secured.map(Box::new), AuthExchange::default());
        let client = who.client;
        Self { session, stream: Some(stream), client, who, place: None, inbound, spool: None, secured, kind, log_in, output: Vec::new() }
    }

    /// Runs the session to its end.
    pub async fn run(&mut self, refusal: Option<Reply>) {
        let _ = self.serve(refusal).await;
        if let Some(stream) = &mut self.stream {
            stream.close().await;
        }
    }

    /// After a bug: sends 421.
    pub async fn give_up(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.send(b"421 4.3.0 an internal error; try again later\r\n").await;
        }
    }

    async fn serve(&mut self, refusal: Option<Reply>) -> Result<(), ConnectionLost> {
        match refusal {
            Some(reply) => self.session.refuse_connection(reply),
            None => self.greet().await?,
        }
        let mut closing = self.inbound.closing.subscribe();
        let mut patience = ClientTimeouts::new(now());
        loop {
            while let Some(event) = self.session.next_event() {
                if matches!(event, ServerEvent::Close) {
                    return self.flush().await;
                }
                self.handle(event).await?;
            }
            self.flush().await?;
            let deadline = self.deadline(&mut patience);
            let look = if self.who.rank.is_unknown() { deadline.min(now() + LOOK_EVERY) } else { deadline };
            let read = self.read(look, &mut closing).await?;
            self.session.tighten(self.is_stressed());
            match read {
                ReadOutcome::Some => {}
                ReadOutcome::Late if now() < self.deadline(&mut patience) => {}
                ReadOutcome::End => return Ok(()),
                ReadOutcome::Late => self.session.close_with(Reply::new(421, (4, 4, 2), "timeout; closing the connection")),
                ReadOutcome::Closing => {
                    self.session.close_with(Reply::new(421, (4, 3, 2), "the server is shutting down; try again in a minute"))
                }
            }
        }
    }

    async fn greet(&mut self) -> Result<(), ConnectionLost> {
        let delay_ms = self.inbound.shared.settings.load().limits.greet_delay_ms;
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        let stream = self.stream.as_mut().ok_or(ConnectionLost)?;
        let session = &mut self.session;
        stream.read_waiting(|bytes| session.receive(bytes)).await?;
        if let Some(reply) = self.session.greet() {
            session_log::connection_refused(&self.inbound.shared, self.party(), &reply);
        }
        Ok(())
    }

    /// Whether this client gets less time and fewer errors.
    fn is_stressed(&self) -> bool {
        self.who.rank.is_unknown() && self.inbound.pressure.is_stressed()
    }

    fn deadline(&self, patience: &mut ClientTimeouts) -> Instant {
        let settings = self.inbound.shared.settings.load();
        let is_account = self.session.identity().is_some();
        let position = SessionProgress {
            commands: self.session.commands(),
            content_bytes: self.session.in_content().then(|| self.session.received_bytes()),
            is_account,
            is_crowded: !is_account && (self.is_stressed() || self.place.as_ref().is_some_and(|place| place.is_crowded(&settings.limits))),
        };
        patience.deadline(position, &settings.limits, now())
    }

    async fn read(&mut self, deadline: Instant, closing: &mut watch::Receiver<bool>) -> Result<ReadOutcome, ConnectionLost> {
        let stream = self.stream.as_mut().ok_or(ConnectionLost)?;
        let session = &mut self.session;
        let idle = !session.in_content();
        tokio::select! {
            biased;
            read = timeout_at(deadline, stream.read_into(|bytes| session.receive(bytes))) => match read {
                Err(_) => Ok(ReadOutcome::Late),
                Ok(Ok(0)) => Ok(ReadOutcome::End),
                Ok(read) => Ok(read.map(|_| ReadOutcome::Some)?),
            },
            _ = closing.wait_for(|c| *c), if idle => Ok(ReadOutcome::Closing),
        }
    }

    async fn flush(&mut self) -> Result<(), ConnectionLost> {
        if !self.session.has_output() {
            return Ok(());
        }
        self.session.take_output(&mut self.output);
        let sent = self.stream.as_mut().ok_or(ConnectionLost)?.send(&self.output).await;
        // An idle session keeps no buffer.
        self.output = Vec::new();
        Ok(sent?)
    }

    async fn handle(&mut self, event: ServerEvent) -> Result<(), ConnectionLost> {
        // What an event needs is boxed: an idle session, as most are, must be small.
        match event {
            ServerEvent::StartTls => return Box::pin(self.start_tls()).await,
            ServerEvent::Auth(step) => Box::pin(self.auth(step)).await,
            ServerEvent::Mail { reverse_path, .. } => Box::pin(self.mail(&reverse_path)).await,
            ServerEvent::Recipient(recipient) => Box::pin(self.recipient(&recipient)).await,
            ServerEvent::Data => Box::pin(self.data()).await,
            ServerEvent::Content(bytes) => Box::pin(self.content(&bytes)).await,
            ServerEvent::ContentAborted => self.spool = None,
            ServerEvent::ContentEnd => {
                self.flush().await?;
                let reply = Box::pin(self.content_end()).await;
                self.session.finish_content(reply);
            }
            ServerEvent::Close => {}
        }
        Ok(())
    }

    async fn start_tls(&mut self) -> Result<(), ConnectionLost> {
        self.flush().await?;
        let tcp = self.stream.take().and_then(Stream::into_plain).ok_or(ConnectionLost)?;
        let (stream, secured) = handshake(tcp, self.party(), &self.inbound).await.ok_or(ConnectionLost)?;
        self.stream = Some(stream);
        self.session.tls_established(TlsInfo { description: secured.description.clone() });
        self.secured = Some(Box::new(secured));
        Ok(())
    }

    async fn auth(&mut self, step: AuthStep) {
        match self.log_in.step(&self.inbound.logins, self.client, self.secured.as_deref(), step).await {
            AuthAnswer::Challenge(challenge) => self.session.challenge_auth(&challenge),
            AuthAnswer::LoggedIn(login) => {
                self.who.rank = Rank::Account;
                if let Some(place) = &mut self.place {
                    place.logged_in();
                }
                self.session.accept_auth(login);
            }
            AuthAnswer::Refused(reply) => self.session.refuse_auth(reply),
        }
    }

    async fn mail(&mut self, reverse_path: &ReversePath) {
        let directory = self.inbound.shared.directory.refreshed().await;
        let checked = match self.inbound.node.refusal() {
            // A session from before the server was drained, which a large sender keeps for message after message.
            Some(drained) => Err(drained),
            None => check_sender(&directory, self.session.identity(), reverse_path),
        };
        match checked {
            Ok(()) => self.session.accept_mail(),
            Err(reply) => {
                let party = Party { reverse_path: Some(reverse_path), ..self.party() };
                session_log::sender_refused(&self.inbound.shared, party, &reply);
                self.session.refuse(reply);
            }
        }
    }

    async fn recipient(&mut self, recipient: &Recipient) {
        let client = Client { login: self.session.identity() };
        let reverse_path = self.session.reverse_path().cloned().unwrap_or(ReversePath::Null);
        let before = PriorRecipients::of(self.session.recipients());
        let limit_ms = self.inbound.shared.settings.load().limits.recipient_delay_ms;
        let delay_ms = if client.login.is_none() { limit_ms } else { 0 };
        let check = check_recipient(&self.inbound, client, &reverse_path, &recipient.forward_path, before);
        let delay = (delay_ms > 0).then(|| tokio::time::sleep(Duration::from_millis(delay_ms)));
        let decided = no_sooner_than(delay, check).await;
        match decided {
            Ok(accepted) => self.session.accept_recipient(accepted),
            Err(reply) => {
                session_log::recipient_refused(&self.inbound.shared, self.party(), &recipient.forward_path.to_bare(), &reply);
                self.session.refuse(reply);
            }
        }
    }

    fn refuse_content(&mut self, reply: Reply) {
        session_log::content_refused(&self.inbound.shared, self.party(), &reply);
        self.session.refuse(reply);
    }

    /// The client, for the log.
    fn party(&self) -> Party<'_> {
        let session = &self.session;
        Party {
            hello: session.hello(),
            login: session.identity(),
            reverse_path: session.reverse_path(),
            is_own_check: session.hello().is_some_and(|hello| self.inbound.own_checks.is_own(hello)),
            ..Party::unknown(self.client, self.kind)
        }
    }

    async fn data(&mut self) {
        if let Err(error) = self.inbound.shared.store.has_room() {
            return self.refuse_content(reply_to_store_error(&error));
        }
        let id = QueueId::next(self.inbound.shared.clock.now_ms(), random_u32());
        let all_bytes = usize::try_from(self.inbound.shared.settings.load().limits.content_memory_bytes).unwrap_or(usize::MAX);
        let arriving = self.inbound.arriving.open(self.who, all_bytes, || self.inbound.shared.store.spool(id)).await;
        self.spool = arriving.map(ArrivingContent::staying_in_memory);
        if self.spool.is_none() {
            return self.refuse_content(too_much_content());
        }
        self.session.accept_data();
    }

    async fn content(&mut self, bytes: &[u8]) {
        let Some(spooling) = &mut self.spool else { return };
        let Err(error) = spooling.write(bytes).await else { return };
        self.spool = None;
        let reply = match &error {
            NotKept::NoRoom => too_much_content(),
            NotKept::Store(error) => reply_to_store_error(error),
        };
        session_log::content_not_kept(&self.inbound.shared, self.party(), &error, &reply);
        self.session.fail_content(reply);
    }

    async fn content_end(&mut self) -> Reply {
        let (Some(transaction), Some(spooling)) = (self.session.take_transaction(), self.spool.take()) else {
            return Reply::new(451, (4, 3, 0), "the message was lost in transit; send it again");
        };
        let (spool, held) = spooling.into_spool();
        let id = spool.id();
        let content = match spool.finish().await {
            Ok(content) => content,
            Err(error) => {
                let reply = reply_to_store_error(&error);
                session_log::content_not_stored(&self.inbound.shared, self.party(), id, &error, &reply);
                return reply;
            }
        };
        let received = Received {
            id,
            at_ms: self.inbound.shared.clock.now_ms(),
            facts: SessionFacts {
                listener: Some(self.kind),
                client: self.client,
                hello: self.session.hello().unwrap_or_default().to_owned(),
                extended: self.session.is_extended(),
                tls: self.session.tls().map(|t| t.description.clone()),
                login: self.session.identity().map(ToOwned::to_owned),
                local: false,
            },
            reverse_path: transaction.reverse_path,
            parameters: transaction.parameters,
            recipients: transaction.recipients,
            content,
        };
        let snapshot = self.inbound.shared.snapshot();
        let origin = if received.facts.login.is_some() { Origin::Account } else { Origin::Server(&self.inbound.verifier) };
        match self.inbound.pipeline.run(origin, &snapshot, received, held).await {
            Ok(responsibility) => {
                self.inbound.known.brought_mail(self.client, self.inbound.shared.clock.now_ms());
                taken(&responsibility, id)
            }
            Err(reply) => reply,
        }
    }
}

#[allow(clippy::disallowed_methods)] // a socket's deadline is the runtime's time, not the queue's
fn now() -> Instant {
    Instant::now()
}

/// The result of a read.
enum ReadOutcome {
    Some,
    End,
    Late,
    Closing,
}

fn too_much_content() -> Reply {
    Reply::new(452, (4, 3, 1), "too much mail is arriving at once; try again in a minute")
}

/// The only 250 after content.
fn taken(responsibility: &Responsibility, id: QueueId) -> Reply {
    let how = match responsibility {
        Responsibility::Ours(_) => "queued as",
        Responsibility::TakenOver(_) => "delivered, known here as",
        Responsibility::Kept(_) => "report read, known here as",
        Responsibility::Dropped(_) => "automatic reply dropped, known here as",
    };
    Reply::new(250, (2, 0, 0), format!("{how} {id}"))
}
