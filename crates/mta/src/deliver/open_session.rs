//! Opens an SMTP session: banner, EHLO, TLS as required or available, login.
//!
//! RFC 7435 (opportunistic TLS that fails is skipped), RFC 7672 s.2.2, RFC 8461 s.5, RFC 3207 s.4. Invariant: there is one place
//! that falls back to plaintext, and it is not reached if TLS is required.

use std::net::SocketAddr;
use std::time::Duration;

use mail::{Domain, Reply};
use net::{Tcp, TlsFault, Verify};
use policy::{NextHop, Scope, Trouble};
use reports::tls::{FailureDetails, Policy, ResultType};
use smtp::client::{ClientEvent, ClientOptions, ClientSession, Failure, TlsMode};
use store::Flow;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::deliver::connect::{Connection, reply_timeout};
use crate::deliver::outbound::Connector;
use crate::deliver::route::Plan;
use crate::deliver::tls_policy::TlsRequirement;
use crate::reporting::tls_results::{self, ConnectionAddresses, failure, result_of};
use crate::settings::Identity;
use crate::support::stream::Stream;

/// Timeout for a TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(60);

/// Maximum characters of the reason why mail is sent without TLS.
const PLAINTEXT_MAX_CHARS: usize = 200;

/// Everything that decides how a session with a host is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionOpener<'a> {
    pub connector: &'a Connector,
    pub plan: &'a Plan,
    pub hop: &'a NextHop,
    pub identity: &'a Identity,
    pub requirement: &'a TlsRequirement,
    /// The policy under which the session is counted; `None` if it is not.
    pub policy: Option<&'a Policy>,
}

impl SessionOpener<'_> {
    /// Opens the session over an established connection.
    pub async fn open(self, tcp: Tcp) -> Result<Connection, Trouble> {
        let host = &self.hop.host;
        let domain = self.plan.published.as_ref().map_or(host, |published| &published.domain);
        match self.requirement {
            TlsRequirement::Nothing => self.open_opportunistically(tcp).await,
            TlsRequirement::Certificate { is_testing: true } => {
                let peer = tcp.peer_addr().map_err(|e| Trouble::connection_lost(e.to_string()))?;
                match self.greet(TlsMode::Required, tcp).await {
                    Err(error) if error.is_tls_failure() => {
                        let error = self.requirement.with_reason(error.into_trouble(host), domain);
                        tracing::warn!(%domain, %host, %error, "the policy is in testing mode; sending anyway");
                        self.connector.sts.count_testing_failure();
                        SessionOpener { requirement: &TlsRequirement::Nothing, policy: None, ..self }
                            .open_opportunistically(self.redial(peer).await?)
                            .await
                    }
                    other => other.map_err(|e| e.into_trouble(host)),
                }
            }
            required => {
                let opened = self.greet(TlsMode::Required, tcp).await;
                opened.map_err(|e| required.with_reason(e.into_trouble(host), domain))
            }
        }
    }

    /// Opens a session with a local mailbox server.
    pub async fn open_local(self, local: UnixStream) -> Result<Connection, Trouble> {
        self.open_over(self.plan.tls, Stream::Local(local), ClientSession::new).await.map_err(|e| e.into_trouble(&self.hop.host))
    }

    /// Uses TLS as planned; if opportunistic TLS fails, reconnects without it.
    async fn open_opportunistically(self, tcp: Tcp) -> Result<Connection, Trouble> {
        let (host, now_ms) = (&self.hop.host, self.connector.shared.clock.now_ms());
        let peer = tcp.peer_addr().map_err(|e| Trouble::connection_lost(e.to_string()))?;
        let is_opportunistic = self.plan.tls == TlsMode::Opportunistic;
        let is_wanted = is_opportunistic && self.connector.breakers.is_tls_only(host, now_ms);
        // A TLS report is sent without TLS rather than not at all.
        let is_expected = is_opportunistic && self.plan.flow != Flow::TlsReport && self.connector.tls_history.expects(host, now_ms);
        let tls = if is_wanted || is_expected { TlsMode::Required } else { self.plan.tls };
        match self.greet(tls, tcp).await {
            Err(error) if is_expected && !is_wanted && error.is_missing_tls() => {
                let left_ms = self.connector.tls_history.record_missing(host, now_ms);
                if left_ms > 0 {
                    return Err(stripped(host, &error.into_trouble(host), left_ms));
                }
                self.without_tls(peer, "the host offers no TLS any more".into()).await
            }
            Err(OpenError::Tls(error, _)) if is_opportunistic && !is_wanted => {
                tracing::info!(%host, error, "opportunistic TLS failed; continuing without TLS");
                self.without_tls(peer, format!("TLS failed: {error}")).await
            }
            Ok(connection) => {
                if is_opportunistic && connection.tls.is_some() {
                    self.connector.tls_history.record_offer(host, now_ms);
                }
                let plaintext = (is_opportunistic && connection.tls.is_none()).then(|| "the host offers no TLS".to_owned());
                Ok(Connection { plaintext, ..connection })
            }
            Err(error) => Err(error.into_trouble(host)),
        }
    }

    async fn without_tls(self, peer: SocketAddr, why: String) -> Result<Connection, Trouble> {
        let tcp = self.redial(peer).await?;
        let opened = SessionOpener { policy: None, ..self }.greet(TlsMode::Never, tcp).await;
        let plaintext = Some(mail::one_line_at_most(&why, PLAINTEXT_MAX_CHARS));
        opened.map(|connection| Connection { plaintext, ..connection }).map_err(|e| e.into_trouble(&self.hop.host))
    }

    async fn redial(self, peer: SocketAddr) -> Result<Tcp, Trouble> {
        self.connector.network.connect(peer, self.identity.source).await.map_err(|e| Trouble::unreachable(e.to_string()))
    }

    async fn greet(self, tls: TlsMode, tcp: Tcp) -> Result<Connection, OpenError> {
        let (addresses, peer) = (ConnectionAddresses::of(&tcp), tcp.peer_addr());
        let greeted = match (self.open_over(tls, Stream::Plain(tcp), ClientSession::new).await, peer) {
            (Err(OpenError::EhloRefused(_)), Ok(peer)) => {
                let tcp = self.connector.network.connect(peer, self.identity.source).await.map_err(OpenError::Lost)?;
                self.open_over(tls, Stream::Plain(tcp), |config| ClientSession::new(config).without_ehlo()).await
            }
            (greeted, _) => greeted,
        };
        if let Some(policy) = self.policy {
            match &greeted {
                Ok(connection) => self.count(policy, addresses, self.fault(connection)),
                Err(error) => {
                    error.tls_failure(&self.hop.host).into_iter().for_each(|failure| self.count(policy, addresses.clone(), Some(failure)))
                }
            }
        }
        greeted
    }

    fn count(self, policy: &Policy, addresses: ConnectionAddresses, failure: Option<FailureDetails>) {
        tls_results::count_session(
            &self.connector.shared,
            &self.connector.results,
            policy,
            failure.map(|failure| addresses.add_to(failure)),
        );
    }

    /// The TLS failure of a session that continues anyway.
    fn fault(self, connection: &Connection) -> Option<FailureDetails> {
        let host = &self.hop.host;
        match self.requirement {
            _ if connection.tls.is_none() => Some(failure(ResultType::StarttlsNotSupported, host, "")),
            TlsRequirement::Encryption => Some(failure(ResultType::TlsaInvalid, host, "no usable TLSA record")),
            _ => None,
        }
    }

    async fn open_over(self, tls: TlsMode, mut stream: Stream, begin: fn(ClientOptions) -> ClientSession) -> Result<Connection, OpenError> {
        let (protocol, credentials) = (self.plan.protocol, self.plan.credentials.clone());
        let config = ClientOptions { protocol, hello: self.identity.hello.to_string(), tls, credentials };
        let mut session = begin(config);
        if self.connector.breakers.is_data_only(&self.hop.host, self.connector.shared.clock.now_ms()) {
            session = session.without_chunking();
        }
        let mut description = None;
        if tls == TlsMode::Implicit {
            (stream, description) = self.handshake(stream).await?;
        }
        let mut output = Vec::new();
        loop {
            while let Some(event) = session.next_event() {
                match event {
                    ClientEvent::StartTls => {
                        (stream, description) = self.handshake(stream).await?;
                        session.tls_established();
                    }
                    ClientEvent::Ready => {
                        let (host, verified) = (self.hop.host.clone(), self.verified(description.is_some()));
                        return Ok(Connection {
                            stream,
                            session,
                            host,
                            tls: description,
                            plaintext: None,
                            verified,
                            address: None,
                            messages: 0,
                            permit: None,
                        });
                    }
                    ClientEvent::Failed(failure @ (Failure::Disconnected { .. } | Failure::Closing421(_)))
                        if session.has_refused_ehlo() =>
                    {
                        return Err(OpenError::EhloRefused(failure));
                    }
                    ClientEvent::Failed(failure) => return Err(OpenError::Failed(failure)),
                    ClientEvent::SendContent | ClientEvent::Done(_) => {}
                }
            }
            session.take_output(&mut output);
            let lost = |error, session: &ClientSession| match session.has_refused_ehlo() {
                true => OpenError::EhloRefused(Failure::Disconnected { after_dot: false }),
                false => OpenError::Lost(error),
            };
            if !output.is_empty() {
                stream.send(&output).await.map_err(|error| lost(error, &session))?;
                output.clear();
            }
            let wait = reply_timeout(session.phase());
            let read = timeout(wait, stream.read_into(|bytes| session.receive(bytes))).await.map_err(|_| OpenError::TimedOut)?;
            if read.map_err(|error| lost(error, &session))? == 0 {
                session.disconnected();
            }
        }
    }

    fn verified(self, has_tls: bool) -> Option<&'static str> {
        let by_plan = match &self.plan.pin {
            Some(_) => Some("pin"),
            None => (self.plan.verify == Verify::Name).then_some("certificate"),
        };
        self.requirement.method().or(by_plan).filter(|_| has_tls)
    }

    async fn handshake(self, stream: Stream) -> Result<(Stream, Option<String>), OpenError> {
        let failed = |text: String| OpenError::Tls(text, TlsFault::Other);
        let tcp = stream.into_plain().ok_or_else(|| failed("the connection already uses TLS".into()))?;
        let (tls, host) = (&self.connector.tls, &self.hop.host);
        let handshake = timeout(HANDSHAKE_WITHIN, async {
            match self.requirement {
                TlsRequirement::Dane(dane) => tls.connect_as(dane, tcp).await,
                TlsRequirement::Certificate { .. } => tls.connect(Verify::Name, host, tcp).await,
                TlsRequirement::Nothing | TlsRequirement::Encryption => match &self.plan.pin {
                    Some(pin) => tls.connect_as(pin, tcp).await,
                    None => tls.connect(self.plan.verify, host, tcp).await,
                },
            }
        });
        let stream = handshake
            .await
            .map_err(|_| failed("the handshake timed out".into()))?
            .map_err(|e| OpenError::Tls(e.to_string(), TlsFault::of(&e)))?;
        let description = net::describe(stream.get_ref().1);
        Ok((Stream::Tls(Box::new(stream.into())), Some(description)))
    }
}

fn stripped(host: &Domain, found: &Trouble, left_ms: i64) -> Trouble {
    let (found, hours) = (&found.text, (left_ms + 3_599_999) / 3_600_000);
    Trouble::tls(format!(
        "{host} used to offer TLS and does not now; an attacker on the path may have stripped it ({found}); \
         the mail waits, and is sent without TLS if it is still missing in {hours} h"
    ))
}

enum OpenError {
    Tls(String, TlsFault),
    Failed(Failure),
    /// EHLO was refused and the connection closed before HELO was answered.
    EhloRefused(Failure),
    TimedOut,
    Lost(std::io::Error),
}

impl OpenError {
    /// Whether TLS is missing or does not work.
    fn is_missing_tls(&self) -> bool {
        matches!(self, Self::Tls(..) | Self::Failed(Failure::TlsNotOffered | Failure::TlsRefused(_)))
    }

    /// The failure for the TLS report, if TLS failed.
    fn tls_failure(&self, host: &Domain) -> Option<FailureDetails> {
        match self {
            Self::Tls(text, fault) => Some(failure(result_of(*fault), host, text)),
            Self::Failed(Failure::TlsNotOffered) => Some(failure(ResultType::StarttlsNotSupported, host, "")),
            Self::Failed(Failure::TlsRefused(reply)) => Some(failure(ResultType::StarttlsNotSupported, host, &reply.to_string())),
            Self::Failed(Failure::TlsInjected) => Some(failure(ResultType::ValidationFailure, host, "plaintext where TLS should begin")),
            _ => None,
        }
    }

    fn is_tls_failure(&self) -> bool {
        self.is_missing_tls() || matches!(self, Self::Failed(Failure::TlsInjected))
    }

    fn into_trouble(self, host: &Domain) -> Trouble {
        match self {
            Self::Tls(error, _) => Trouble::tls(format!("TLS with {host} failed: {error}")),
            Self::Failed(failure) | Self::EhloRefused(failure) => trouble_of(&failure, host),
            Self::TimedOut => Trouble::connection_lost(format!("{host} did not answer in time")),
            Self::Lost(error) => Trouble::connection_lost(format!("the connection to {host} was lost: {error}")),
        }
    }
}

/// Converts the failure of a session into the trouble of its mail.
pub(crate) fn trouble_of(failure: &Failure, host: &Domain) -> Trouble {
    let refused = |reply: &Reply| {
        let trouble = Trouble::from_greeting(host, reply);
        Trouble { text: format!("{host} said: {}", trouble.text), ..trouble }
    };
    match failure {
        Failure::Disconnected { after_dot: true } => {
            Trouble::connection_lost(format!("{host} closed the connection before it confirmed the message; it may have been delivered"))
        }
        Failure::Disconnected { after_dot: false } => Trouble::connection_lost(format!("{host} closed the connection")),
        Failure::Protocol(text) => Trouble::bad_protocol(format!("{host} violates SMTP: {text}")),
        Failure::Greeting(reply) | Failure::Hello(reply) | Failure::Closing421(reply) => refused(reply),
        Failure::ChunkingRefused(reply) => Trouble::bad_protocol(format!("{host} offers CHUNKING but rejects BDAT: {reply}")),
        Failure::TlsNotOffered => Trouble::tls(format!("{host} does not offer TLS, which is required")),
        Failure::TlsRefused(reply) => Trouble::tls(format!("{host} refused TLS: {reply}")),
        Failure::TlsInjected => Trouble::tls(format!("{host} sent plaintext where TLS should begin: an attacker may be on the path")),
        Failure::AuthNotOffered => {
            Trouble::temporary(Scope::Host, 7, 0, format!("{host} offers no SASL mechanism that Waypost supports (PLAIN, LOGIN)"))
        }
        Failure::AuthRefused(reply) => Trouble::temporary(Scope::Host, 7, 8, format!("{host} refused our login: {reply}")),
    }
}
