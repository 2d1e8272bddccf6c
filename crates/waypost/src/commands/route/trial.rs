//! One smarthost, tried as mail would go through it.
//!
//! RFC 6409, RFC 3207, RFC 4954. Invariant: a password is said under TLS that was believed, and nowhere else; without leave to send, a trial ends before
//! any content.

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

use crate::conversation::{Conversation, Heard, connect, up_to_start_tls};

/// Whose name stands in the From field of the message that is sent: nobody's.
const FOREIGN: &str = "foreign-from-trial@example.net";

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// What was tried.
    pub what: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Step {
    fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, ok: true, found: found.into(), fix: None }
    }

    fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, ok: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// What all smarthosts are tried with.
pub struct Trier<'a> {
    pub resolver: &'a Resolver,
    pub tls: &'a ClientTls,
    /// The name in EHLO.
    pub hello: &'a str,
    /// As whom own mail goes, if anybody can be named.
    pub own: Option<Mailbox>,
    /// Under which return address forwards go.
    pub forward: Mailbox,
    /// Who gets the trial.
    pub to: Mailbox,
    /// Whether the trial is sent.
    pub send: bool,
}

const CONNECTION_FIX: &str =
    "see host and port of the [[route]], and whether your hoster closes that port: 2525 is often open where 587 is not";
const TLS_FIX: &str =
    "see whether tls fits the port (587 \"required\", 465 \"implicit\"); for a certificate of its own making take its key: pin = [\"..\"]";
const LOGIN_FIX: &str =
    "see user and the first line of password_file: most smarthosts want a key made for SMTP, not the password of their web page";

impl Trier<'_> {
    /// Tries one; the last step says why there are no more.
    pub async fn smarthost(&self, route: &Route) -> Vec<Step> {
        let mut steps = Vec::new();
        if let Err(step) = self.all(route, &mut steps).await {
            steps.push(step);
        }
        steps
    }

    async fn all(&self, route: &Route, steps: &mut Vec<Step>) -> Result<(), Step> {
        let mut conversation = self.open(route, steps).await?;
        let failed = |what: &'static str| move |error: String| Step::bad(what, error, "try again; the smarthost hung up");
        let offered = conversation.say(&format!("EHLO {}", self.hello)).await.map_err(failed("greeting"))?;
        self.log_in(route, &offered, &mut conversation, steps).await?;
        for (what, from) in [("own mail", self.own.as_ref()), ("forwards", Some(&self.forward))] {
            let Some(from) = from else { continue };
            steps.push(self.envelope(what, from, &mut conversation).await.map_err(failed(what))?);
        }
        if self.send {
            steps.push(self.content(&mut conversation).await.map_err(failed("foreign From"))?);
        }
        let _ = conversation.say("QUIT").await;
        Ok(())
    }

    async fn open(&self, route: &Route, steps: &mut Vec<Step>) -> Result<Conversation, Step> {
        let no_connection = |error: String| Step::bad("connection", error, CONNECTION_FIX);
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
        steps.push(Step::good("connection", format!("[{address}]:{} answers", route.port)));
        let no_tls = |error: String| Step::bad("TLS", error, TLS_FIX);
        match route.tls {
            TlsMode::Implicit => {}
            TlsMode::Required => {
                let (_, answer) = up_to_start_tls(&mut tcp).await.map_err(no_tls)?;
                if answer.code != 220 {
                    return Err(no_tls(format!("STARTTLS is refused: {}", answer.text())));
                }
            }
            TlsMode::Opportunistic => {
                let why = match up_to_start_tls(&mut tcp).await.map_err(no_tls)? {
                    (offered, answer) if answer.code == 220 && offered.offers("STARTTLS").is_some() => {
                        match self.shaken(route, tcp).await {
                            Ok(stream) => return Ok(self.secured(route, stream, steps)),
                            Err(error) => format!("the handshake fails ({error})"),
                        }
                    }
                    _ => "it is not offered".into(),
                };
                steps.push(Step::good(
                    "TLS",
                    format!("{why}: mail goes in clear, as tls = \"opportunistic\" allows; \"required\" would keep it"),
                ));
                // What was begun with STARTTLS cannot go on without it.
                let tcp = connect(SocketAddr::new(address, route.port)).await.map_err(no_connection)?;
                return in_clear(tcp).await.map_err(no_connection);
            }
            TlsMode::Never => {
                steps.push(Step::good("TLS", "none, as the route says: mail goes in clear"));
                return in_clear(tcp).await.map_err(no_connection);
            }
        }
        let stream = self.shaken(route, tcp).await.map_err(no_tls)?;
        let mut conversation = self.secured(route, stream, steps);
        if route.tls == TlsMode::Implicit {
            greeted(conversation.reply().await).map_err(no_connection)?;
        }
        Ok(conversation)
    }

    async fn shaken(&self, route: &Route, tcp: TcpStream) -> Result<ClientStream, String> {
        let verify = if route.verify { Verify::Name } else { Verify::Nothing };
        let shaken = match Dane::pinned(&route.pins, &route.host).map(Arc::new) {
            Some(pin) => self.tls.connect_as(&pin, tcp).await,
            None => self.tls.connect(verify, &route.host, tcp).await,
        };
        shaken.map_err(|error| match TlsFault::of(&error) {
            TlsFault::NotTrusted => "no authority that is trusted here has issued its certificate".into(),
            TlsFault::Expired => "its certificate has expired".into(),
            TlsFault::HostMismatch => format!("its certificate is not for {}", route.host),
            TlsFault::Other => error.to_string(),
        })
    }

    /// Says how the handshake was believed.
    fn secured(&self, route: &Route, stream: ClientStream, steps: &mut Vec<Step>) -> Conversation {
        let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| Leaf::read(chain.first()?).ok());
        let key = leaf.map_or_else(String::new, |leaf| format!(", pin {}", leaf.spki_sha256));
        let how = if !route.pins.is_empty() {
            "the pinned key"
        } else if route.verify {
            "name and authority are right"
        } else {
            "nothing is verified (verify = false)"
        };
        steps.push(Step::good("TLS", format!("{how}{key}")));
        Conversation::over(stream)
    }

    async fn log_in(&self, route: &Route, offered: &Heard, conversation: &mut Conversation, steps: &mut Vec<Step>) -> Result<(), Step> {
        let Some(credentials) = &route.credentials else { return Ok(()) };
        let failed = |found: String| Step::bad("login", found, LOGIN_FIX);
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
            return Err(failed(format!("it offers no login that Waypost knows (PLAIN, LOGIN): {}", mechanisms.join(" "))));
        };
        let answer = answer.map_err(failed)?;
        if answer.code != 235 {
            return Err(failed(answer.text()));
        }
        steps.push(Step::good("login", format!("as {}", credentials.user)));
        Ok(())
    }

    /// A transaction that ends before its content.
    async fn envelope(&self, what: &'static str, from: &Mailbox, conversation: &mut Conversation) -> Result<Step, String> {
        let mut said = conversation.say(&format!("MAIL FROM:<{from}>")).await?;
        if said.code < 300 {
            said = conversation.say(&format!("RCPT TO:<{}>", self.to)).await?;
        }
        conversation.say("RSET").await?;
        let found = format!("from {from}: {}", said.text());
        Ok(match said.code {
            ..300 => Step::good(what, found),
            _ => {
                let domain = &from.domain;
                let fix = format!(
                    "register {domain} as a sender with the smarthost, or keep this kind of mail from it by flows in its [[route]]"
                );
                Step::bad(what, found, fix)
            }
        })
    }

    /// A message as a forward is: our return address, and somebody else in its From field.
    async fn content(&self, conversation: &mut Conversation) -> Result<Step, String> {
        const WHAT: &str = "foreign From";
        const FIX: &str = "forwards need another way: keep them from this smarthost by flows = [\"own\", \"report\"] in its [[route]], or take one that relays any From";
        for line in [format!("MAIL FROM:<{}>", self.forward), format!("RCPT TO:<{}>", self.to), "DATA".into()] {
            let said = conversation.say(&line).await?;
            if said.code >= 400 {
                conversation.say("RSET").await?;
                return Ok(Step::bad(WHAT, said.text(), FIX));
            }
        }
        let now_ms = Clock::system().now_ms();
        let date = mail::rfc5322_date(now_ms / 1000);
        let text = format!(
            "From: A trial of Waypost <{FOREIGN}>\r\nTo: <{to}>\r\nSubject: Waypost: does the smarthost take a foreign From?\r\nDate: {date}\r\n\
             Message-ID: <{now_ms}.trial@{domain}>\r\nAuto-Submitted: auto-generated\r\n\r\n\
             You asked for this message by `waypost route check --send` or `waypost setup`.\r\n\r\n\
             If it says that it comes from {FOREIGN}, the smarthost passes forwards on as they are.\r\n\
             If another sender stands there, it puts its own into the From field: who gets a forward does not see who wrote it.\r\n.",
            to = self.to,
            domain = self.forward.domain
        );
        let said = conversation.say(&text).await?;
        Ok(match said.code {
            ..300 => {
                Step::good(WHAT, format!("{}; look at the message that {} gets: its From should still be {FOREIGN}", said.text(), self.to))
            }
            _ => Step::bad(WHAT, said.text(), FIX),
        })
    }
}

async fn in_clear(tcp: TcpStream) -> Result<Conversation, String> {
    let mut conversation = Conversation::plain(tcp);
    greeted(conversation.reply().await)?;
    Ok(conversation)
}

fn greeted(banner: Result<Heard, String>) -> Result<(), String> {
    match banner {
        Ok(banner) if banner.code == 220 => Ok(()),
        Ok(other) => Err(format!("the greeting was {}", other.text())),
        Err(error) => Err(error),
    }
}
