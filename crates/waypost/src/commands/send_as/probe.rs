//! The server's submission ports, tried as Gmail tries them.
//!
//! RFC 6409, RFC 8314, RFC 4954, RFC 4616. Invariant: a password is said under a certificate that was believed, and nowhere else; what failed is told with
//! what Gmail would say of it and with what to do.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Domain;
use net::{Trial, TrialError, TrialVersion};
use serde::Serialize;

use crate::conversation::{Conversation, Heard, connect, secured, up_to_start_tls};

const UNREACHABLE: &str = "Couldn't reach server";
const NEGOTIATION: &str = "TLS Negotiation failed, the certificate doesn't match the host., code: 550";
const NO_STARTTLS: &str = "STARTTLS not supported and the user requires enforcement., code: 500";
const NO_AUTH: &str = "Smtp server does not advertise AUTH capability, code: 0";
const REFUSED: &str = "Authentication failed. Please check your username/password., code: 535";

/// What was tried, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The address and port; empty for what is no connection.
    pub at: String,
    /// What was tried.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What Gmail would say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gmail_says: Option<&'static str>,
}

impl Probe {
    /// As it should be.
    pub fn good(at: &str, what: &str, found: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), ok: true, found: found.into(), fix: None, gmail_says: None }
    }

    /// Not as it should be.
    pub fn bad(at: &str, what: &str, found: impl Into<String>, gmail_says: Option<&'static str>, fix: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), ok: false, found: found.into(), fix: Some(fix.into()), gmail_says }
    }
}

/// A port to try.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Where.
    pub address: SocketAddr,
    /// TLS from the start, or STARTTLS.
    pub implicit: bool,
}

/// What all ports are tried with.
pub struct Prober<'a> {
    /// The client's TLS.
    pub trial: &'a Trial,
    /// The name that is typed into Gmail.
    pub host: &'a Domain,
    /// The account, and its password where that is known.
    pub login: &'a str,
    pub password: Option<&'a str>,
}

/// What was found at one port.
struct Findings {
    at: String,
    list: Vec<Probe>,
}

impl Findings {
    fn good(&mut self, what: &str, found: impl Into<String>) {
        self.list.push(Probe::good(&self.at, what, found));
    }

    fn bad(&mut self, what: &str, found: impl Into<String>, gmail_says: Option<&'static str>, fix: impl Into<String>) {
        self.list.push(Probe::bad(&self.at, what, found, gmail_says, fix));
    }
}

impl Prober<'_> {
    /// Tries a port; the last finding says why there are no more.
    pub async fn port(&self, port: Port) -> Vec<Probe> {
        let mut findings = Findings { at: port.address.to_string(), list: Vec::new() };
        for version in [TrialVersion::V12, TrialVersion::V13] {
            let Some(mut conversation) = self.open(port, version, &mut findings).await else { break };
            // The second time only the handshake is new.
            if version == TrialVersion::V13 && self.offers(port, &mut conversation, &mut findings).await.is_some() {
                self.logins(&mut conversation, &mut findings).await;
            }
        }
        findings.list
    }

    /// Connects and does the handshake.
    async fn open(&self, port: Port, version: TrialVersion, findings: &mut Findings) -> Option<Conversation> {
        let first = version == TrialVersion::V12;
        let mut tcp = match connect(port.address).await {
            Ok(tcp) => tcp,
            Err(error) => {
                let fix = "see that the server runs and listens there ([listen]), that no firewall and no rule of your hoster closes the port, and that \
                           DNS names no address that is not this server's";
                findings.bad("connection", error, Some(UNREACHABLE), fix);
                return None;
            }
        };
        if first {
            findings.good("connection", "open");
        }
        if !port.implicit {
            match up_to_start_tls(&mut tcp).await {
                Ok((offered, answer)) => self.start_tls(first, &offered, &answer, findings)?,
                Err(error) => {
                    findings.bad("STARTTLS", error, Some(UNREACHABLE), "see what listens on the port: ss -ltnp");
                    return None;
                }
            }
        }
        let what = if first { "TLS 1.2" } else { "TLS 1.3" };
        match secured(self.trial, version, self.host, tcp).await {
            Ok((_, true)) => {
                findings.bad(
                    "client certificate",
                    "the server asks for one",
                    None,
                    "a proxy before the server asks: turn that off; this server never does",
                );
                None
            }
            Ok((conversation, false)) => {
                findings.good(what, format!("certificate for {}, no client certificate asked for", self.host));
                Some(conversation)
            }
            Err(error) => {
                findings.bad(what, error.to_string(), Some(NEGOTIATION), self.mended(&error));
                None
            }
        }
    }

    fn start_tls(&self, first: bool, offered: &Heard, answer: &Heard, findings: &mut Findings) -> Option<()> {
        if answer.code != 220 || offered.offers("STARTTLS").is_none() {
            let fix = "give the server a certificate (waypost cert status), and see that no firewall rewrites SMTP (\"fixup smtp\")";
            findings.bad("STARTTLS", answer.text(), Some(NO_STARTTLS), fix);
            return None;
        }
        if first {
            findings.good("STARTTLS", "offered");
            match offered.offers("AUTH") {
                None => findings.good("AUTH before TLS", "not offered"),
                Some(_) => findings.bad("AUTH before TLS", "offered", None, "this server never does: see what stands between it and here"),
            }
        }
        Some(())
    }

    fn mended(&self, error: &TrialError) -> String {
        let host = self.host;
        match error {
            TrialError::Name => {
                format!("type exactly the name that the certificate has, or get one for {host} (waypost cert status; docs/certificates.md)")
            }
            TrialError::Issuer => format!(
                "Gmail takes certificates of public authorities only, with their chain: get one for {host} ([acme] in the configuration; waypost cert status)"
            ),
            TrialError::Time => "renew it (waypost cert renew), and see that the clock is right".into(),
            TrialError::Other(_) => "see the server's log; nothing between here and there may change what is said".into(),
        }
    }

    /// What is offered under TLS.
    async fn offers(&self, port: Port, conversation: &mut Conversation, findings: &mut Findings) -> Option<()> {
        let offered = async {
            if port.implicit {
                conversation.reply().await?;
            }
            conversation.say("EHLO trial.invalid").await
        };
        let what = "AUTH under TLS";
        let offered = match offered.await {
            Ok(offered) => offered,
            Err(error) => {
                findings.bad(what, error, Some(UNREACHABLE), "see the server's log");
                return None;
            }
        };
        let words = offered.offers("AUTH").unwrap_or_default();
        if ["PLAIN", "LOGIN"].iter().all(|name| words.iter().any(|word| word == name)) {
            findings.good(what, words.get(1..).unwrap_or_default().join(" "));
            return Some(());
        }
        findings.bad(what, offered.text(), Some(NO_AUTH), "use the ports of [listen] submission and submissions, not 25");
        None
    }

    /// Both forms of PLAIN, and LOGIN; really, where a password is known.
    async fn logins(&self, conversation: &mut Conversation, findings: &mut Findings) {
        let asked = ["PLAIN", "LOGIN"];
        for mechanism in asked {
            let what = format!("AUTH {mechanism}");
            let heard = conversation.say(&format!("AUTH {mechanism}")).await;
            let cancelled = match &heard {
                Ok(heard) if heard.code == 334 => conversation.say("*").await,
                _ => heard.clone(),
            };
            match (heard, cancelled) {
                (Ok(heard), Ok(cancelled)) if heard.code == 334 && cancelled.code == 501 => findings.good(&what, "asks for the answer"),
                (Ok(heard), _) => findings.bad(&what, heard.text(), Some(REFUSED), "see the server's log"),
                (Err(error), _) => findings.bad(&what, error, Some(REFUSED), "see the server's log"),
            }
        }
        let Some(password) = self.password else { return self.empty_answer(conversation, findings).await };
        let response = STANDARD.encode(format!("\0{}\0{password}", self.login));
        match conversation.say(&format!("AUTH PLAIN {response}")).await {
            Ok(heard) if heard.code == 235 => findings.good("login", format!("{} is let in", self.login)),
            Ok(heard) => {
                let fix = format!("the user name is the full address; for a new password: waypost sendas {} --new-password", self.login);
                findings.bad("login", heard.text(), Some(REFUSED), fix);
            }
            Err(error) => findings.bad("login", error, Some(REFUSED), "see the server's log"),
        }
    }

    /// Without a password: an answer in the same line, that can only be refused.
    async fn empty_answer(&self, conversation: &mut Conversation, findings: &mut Findings) {
        let what = "AUTH PLAIN with answer";
        match conversation.say("AUTH PLAIN =").await {
            Ok(heard) if [535, 501].contains(&heard.code) => {
                findings.good(what, "is read; no password was tried (--new-password, --password-stdin)")
            }
            Ok(heard) => findings.bad(what, heard.text(), Some(REFUSED), "see the server's log"),
            Err(error) => findings.bad(what, error, Some(REFUSED), "see the server's log"),
        }
    }
}
