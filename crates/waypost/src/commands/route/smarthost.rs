//! Tests one smarthost as mail goes through it.
//!
//! RFC 6409, RFC 3207, RFC 4954. Invariant: a password is sent only over TLS that the route accepts; without `send`, the test ends before any content.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Mailbox;
use mta::settings::Route;
use net::{ClientStream, ClientTls, Clock, Dane, Leaf, Resolver, TlsFault, Verify};
use serde::Serialize;
use smtp::client::TlsMode;
use tokio::net::TcpStream;

use crate::conversation::{Conversation, SmtpReply, TRIAL, connect, up_to_start_tls};

/// The From address of the test message, which belongs to nobody here.
const FOREIGN: &str = "foreign-from-trial@example.net";

/// A step of the test and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestStep {
    /// What was tested.
    pub what: &'static str,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl TestStep {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), fix: None }
    }

    fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// What the tests of all smarthosts share.
pub struct SmarthostTester<'a> {
    pub resolver: &'a Resolver,
    pub tls: &'a ClientTls,
    /// The name in EHLO.
    pub hello: &'a str,
    /// The sender of own mail, if a domain is hosted.
    pub own: Option<Mailbox>,
    /// The sender of forwards.
    pub forward: Mailbox,
    /// The recipient of the test.
    pub to: Mailbox,
    /// Whether a message is sent.
    pub send: bool,
}

const CONNECTION_FIX: &str =
    "check host and port of the [[route]], and whether your hoster blocks that port; 2525 is often open where 587 is not";
const TLS_FIX: &str =
    "check that tls fits the port (587 \"required\", 465 \"implicit\"); for a self-signed certificate, pin its key: pin = [\"..\"]";
const LOGIN_FIX: &str =
    "check user and the first line of password_file: most smarthosts want an SMTP key, not the password of their web site";

impl SmarthostTester<'_> {
    /// Tests one; if a step fails, it is the last.
    pub async fn test(&self, route: &Route) -> Vec<TestStep> {
        let mut steps = Vec::new();
        if let Err(step) = self.run_steps(route, &mut steps).await {
            steps.push(step);
        }
        steps
    }

    async fn run_steps(&self, route: &Route, steps: &mut Vec<TestStep>) -> Result<(), TestStep> {
        let mut conversation = self.open(route, steps).await?;
        let failed = |what: &'static str| move |error: String| TestStep::bad(what, error, "try again; the smarthost closed the connection");
        let offered = conversation.say(&format!("EHLO {}", self.hello)).await.map_err(failed("greeting"))?;
        self.log_in(route, &offered, &mut conversation, steps).await?;
        for (what, from) in [("own mail", self.own.as_ref()), ("forwards", Some(&self.forward))] {
            let Some(from) = from else { continue };
            steps.push(self.test_envelope(what, from, &mut conversation).await.map_err(failed(what))?);
        }
        if self.send {
            steps.push(self.send_message(&mut conversation).await.map_err(failed("foreign From"))?);
        }
        let _ = conversation.say("QUIT").await;
        Ok(())
    }

    async fn open(&self, route: &Route, steps: &mut Vec<TestStep>) -> Result<Conversation, TestStep> {
        let no_connection = |error: String| TestStep::bad("connection", error, CONNECTION_FIX);
        let addresses = self.resolver.addresses(&route.host, true).await.map_err(|e| no_connection(format!("has no address: {e}")))?;
        let mut last = String::from("has no address");
        let mut opened = None;
        for address in addresses.into_iter().take(4) {
            match connect(SocketAddr::new(address, route.port)).await {
                Ok(tcp) => {
                    opened = Some((tcp, address));
                    break;
                }
                Err(error) => last = format!("[{address}]:{}: {error}", route.port),
            }
        }
        let (mut tcp, address) = opened.ok_or_else(|| no_connection(last))?;
        steps.push(TestStep::good("connection", format!("[{address}]:{} answers", route.port)));
        let no_tls = |error: String| TestStep::bad("TLS", error, TLS_FIX);
        match route.tls {
            TlsMode::Implicit => {}
            TlsMode::Required => {
                let (_, answer) = up_to_start_tls(&mut tcp, TRIAL).await.map_err(no_tls)?;
                if answer.code != 220 {
                    return Err(no_tls(format!("STARTTLS refused: {}", answer.text())));
                }
            }
            TlsMode::Opportunistic => {
                let why = match up_to_start_tls(&mut tcp, TRIAL).await.map_err(no_tls)? {
                    (offered, answer) if answer.code == 220 && offered.offers("STARTTLS").is_some() => {
                        match self.handshake(route, tcp).await {
                            Ok(stream) => return Ok(self.secured(route, stream, steps)),
                            Err(error) => format!("the handshake failed ({error})"),
                        }
                    }
                    _ => "not offered".into(),
                };
                steps.push(TestStep::good(
                    "TLS",
                    format!("{why}: mail is sent unencrypted, as tls = \"opportunistic\" allows; \"required\" prevents that"),
                ));
                // A connection that began STARTTLS cannot continue without it.
                let tcp = connect(SocketAddr::new(address, route.port)).await.map_err(no_connection)?;
                return start_unencrypted(tcp).await.map_err(no_connection);
            }
            TlsMode::Never => {
                steps.push(TestStep::good("TLS", "off, as the route says: mail is sent unencrypted"));
                return start_unencrypted(tcp).await.map_err(no_connection);
            }
        }
        let stream = self.handshake(route, tcp).await.map_err(no_tls)?;
        let mut conversation = self.secured(route, stream, steps);
        if route.tls == TlsMode::Implicit {
            check_greeting(conversation.reply().await).map_err(no_connection)?;
        }
        Ok(conversation)
    }

    async fn handshake(&self, route: &Route, tcp: TcpStream) -> Result<ClientStream, String> {
        let verify = if route.verify { Verify::Name } else { Verify::Nothing };
        let result = match Dane::pinned(&route.pins, &route.host).map(Arc::new) {
            Some(pin) => self.tls.connect_as(&pin, tcp).await,
            None => self.tls.connect(verify, &route.host, tcp).await,
        };
        result.map_err(|error| match TlsFault::of(&error) {
            TlsFault::NotTrusted => "its certificate is not issued by a trusted authority".into(),
            TlsFault::Expired => "its certificate has expired".into(),
            TlsFault::HostMismatch => format!("its certificate is not for {}", route.host),
            TlsFault::Other => error.to_string(),
        })
    }

    /// Reports how the certificate was verified.
    fn secured(&self, route: &Route, stream: ClientStream, steps: &mut Vec<TestStep>) -> Conversation {
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| Leaf::read(chain.first()?).ok());
        let key = leaf.map_or_else(String::new, |leaf| format!(", pin {}", leaf.spki_sha256));
        let how = if !route.pins.is_empty() {
            "key matches the pin"
        } else if route.verify {
            "name and authority verified"
        } else {
            "not verified (verify = false)"
        };
        steps.push(TestStep::good("TLS", format!("{how}{key}")));
        Conversation::over(stream)
    }

    async fn log_in(
        &self,
        route: &Route,
        offered: &SmtpReply,
        conversation: &mut Conversation,
        steps: &mut Vec<TestStep>,
    ) -> Result<(), TestStep> {
        let Some(credentials) = &route.credentials else { return Ok(()) };
        let failed = |found: String| TestStep::bad("login", found, LOGIN_FIX);
        let mechanisms = offered.offers("AUTH").unwrap_or_default();
        let encoded = |text: &str| STANDARD.encode(text);
        let answer = if mechanisms.iter().any(|name| name == "PLAIN") {
            let response = encoded(&format!("\0{}\0{}", credentials.user, credentials.password));
            conversation.say(&format!("AUTH PLAIN {response}")).await
        } else if mechanisms.iter().any(|name| name == "LOGIN") {
            conversation.say("AUTH LOGIN").await.map_err(failed)?;
            conversation.say(&encoded(&credentials.user)).await.map_err(failed)?;
            conversation.say(&encoded(&credentials.password)).await
        } else {
            return Err(failed(format!("it offers no login mechanism that Waypost supports (PLAIN, LOGIN): {}", mechanisms.join(" "))));
        };
        let answer = answer.map_err(failed)?;
        if answer.code != 235 {
            return Err(failed(answer.text()));
        }
        steps.push(TestStep::good("login", format!("as {}", credentials.user)));
        Ok(())
    }

    /// A transaction that ends before its content.
    async fn test_envelope(&self, what: &'static str, from: &Mailbox, conversation: &mut Conversation) -> Result<TestStep, String> {
        let mut said = conversation.say(&format!("MAIL FROM:<{from}>")).await?;
        if said.code < 300 {
            said = conversation.say(&format!("RCPT TO:<{}>", self.to)).await?;
        }
        conversation.say("RSET").await?;
        let found = format!("from {from}: {}", said.text());
        Ok(match said.code {
            ..300 => TestStep::good(what, found),
            _ => {
                let domain = &from.domain;
                let fix =
                    format!("register {domain} as a sender with the smarthost, or exclude this kind of mail with flows in its [[route]]");
                TestStep::bad(what, found, fix)
            }
        })
    }

    /// Sends a message like a forward: our return address, and a From field of another domain.
    async fn send_message(&self, conversation: &mut Conversation) -> Result<TestStep, String> {
        const WHAT: &str = "foreign From";
        const FIX: &str = "forwards need another route: exclude them with flows = [\"own\", \"report\"] in its [[route]], or use a smarthost that accepts any From";
        for line in [format!("MAIL FROM:<{}>", self.forward), format!("RCPT TO:<{}>", self.to), "DATA".into()] {
            let said = conversation.say(&line).await?;
            if said.code >= 400 {
                conversation.say("RSET").await?;
                return Ok(TestStep::bad(WHAT, said.text(), FIX));
            }
        }
        let now_ms = Clock::system().now_ms();
        let date = mail::rfc5322_date(now_ms / 1000);
        let text = format!(
            "From: Test of Waypost <{FOREIGN}>\r\nTo: <{to}>\r\nSubject: Waypost: does the smarthost accept a foreign From?\r\nDate: {date}\r\n\
             Message-ID: <{now_ms}.trial@{domain}>\r\nAuto-Submitted: auto-generated\r\n\r\n\
             This message was requested with `waypost route check --send` or `waypost setup`.\r\n\r\n\
             If its sender is {FOREIGN}, the smarthost leaves forwards as they are.\r\n\
             If its sender is another address, the smarthost rewrites the From field: recipients of a forward do not see its author.\r\n.",
            to = self.to,
            domain = self.forward.domain
        );
        let said = conversation.say(&text).await?;
        Ok(match said.code {
            ..300 => TestStep::good(WHAT, format!("{}; check that the message to {} still has the From {FOREIGN}", said.text(), self.to)),
            _ => TestStep::bad(WHAT, said.text(), FIX),
        })
    }
}

async fn start_unencrypted(tcp: TcpStream) -> Result<Conversation, String> {
    let mut conversation = Conversation::plain(tcp);
    check_greeting(conversation.reply().await)?;
    Ok(conversation)
}

fn check_greeting(banner: Result<SmtpReply, String>) -> Result<(), String> {
    match banner {
        Ok(banner) if banner.code == 220 => Ok(()),
        Ok(other) => Err(format!("the greeting is {}", other.text())),
        Err(error) => Err(error),
    }
}
