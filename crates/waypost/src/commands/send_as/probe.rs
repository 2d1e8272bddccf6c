//! Tests the server's submission ports as Gmail uses them.
//!
//! RFC 6409, RFC 8314, RFC 4954, RFC 4616. Invariant: a password is sent only over verified TLS; a failure comes with Gmail's
//! message for it and with a fix.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Domain;
use net::{TlsProbe, TlsProbeError, TlsVersion, TrustedProxies};
use serde::Serialize;

use crate::conversation::{Conversation, SmtpReply, TRIAL, connect_to_own, secured, up_to_start_tls};

const UNREACHABLE: &str = "Couldn't reach server";
const NEGOTIATION: &str = "TLS Negotiation failed, the certificate doesn't match the host., code: 550";
const NO_STARTTLS: &str = "STARTTLS not supported and the user requires enforcement., code: 500";
const NO_AUTH: &str = "Smtp server does not advertise AUTH capability, code: 0";
const REFUSED: &str = "Authentication failed. Please check your username/password., code: 535";

/// A test and its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    /// The address and port; empty for a test without a connection.
    pub at: String,
    /// What was tested.
    pub what: String,
    /// Whether it passed.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// What Gmail would show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gmail_says: Option<&'static str>,
}

impl Probe {
    /// A test that passed.
    pub fn good(at: &str, what: &str, found: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), ok: true, found: found.into(), fix: None, gmail_says: None }
    }

    /// A test that failed.
    pub fn bad(at: &str, what: &str, found: impl Into<String>, gmail_says: Option<&'static str>, fix: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), ok: false, found: found.into(), fix: Some(fix.into()), gmail_says }
    }
}

/// A port to test.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Its address.
    pub address: SocketAddr,
    /// Whether TLS is implicit; STARTTLS otherwise.
    pub implicit: bool,
}

/// What the tests of all ports share.
pub struct Prober<'a> {
    /// The client's TLS.
    pub tls: &'a TlsProbe,
    /// The load balancers in front of the server.
    pub proxies: &'a TrustedProxies,
    /// The server name entered into Gmail.
    pub host: &'a Domain,
    /// The account, and its password if known.
    pub login: &'a str,
    pub password: Option<&'a str>,
}

/// The tests of one port.
struct PortProbes {
    at: String,
    list: Vec<Probe>,
}

impl PortProbes {
    fn good(&mut self, what: &str, found: impl Into<String>) {
        self.list.push(Probe::good(&self.at, what, found));
    }

    fn bad(&mut self, what: &str, found: impl Into<String>, gmail_says: Option<&'static str>, fix: impl Into<String>) {
        self.list.push(Probe::bad(&self.at, what, found, gmail_says, fix));
    }
}

impl Prober<'_> {
    /// Tests a port; a failure that prevents further tests is the last.
    pub async fn test_port(&self, port: Port) -> Vec<Probe> {
        let mut findings = PortProbes { at: port.address.to_string(), list: Vec::new() };
        for version in [TlsVersion::V12, TlsVersion::V13] {
            let Some(mut conversation) = self.connect_and_secure(port, version, &mut findings).await else { break };
            // Everything but the handshake is tested once.
            if version == TlsVersion::V13 && self.test_ehlo(port, &mut conversation, &mut findings).await.is_some() {
                self.test_logins(&mut conversation, &mut findings).await;
            }
        }
        findings.list
    }

    /// Connects and completes the TLS handshake.
    async fn connect_and_secure(&self, port: Port, version: TlsVersion, findings: &mut PortProbes) -> Option<Conversation> {
        let first = version == TlsVersion::V12;
        let mut tcp = match connect_to_own(port.address, self.proxies).await {
            Ok(tcp) => tcp,
            Err(error) => {
                let fix = "check that the server runs and listens there ([listen]), that no firewall or hoster blocks the port, and that \
                           DNS names only addresses of this server";
                findings.bad("connection", error, Some(UNREACHABLE), fix);
                return None;
            }
        };
        if first {
            findings.good("connection", "open");
        }
        if !port.implicit {
            match up_to_start_tls(&mut tcp, TRIAL).await {
                Ok((offered, answer)) => self.check_start_tls(first, &offered, &answer, findings)?,
                Err(error) => {
                    findings.bad("STARTTLS", error, Some(UNREACHABLE), "check which program listens on the port: ss -ltnp");
                    return None;
                }
            }
        }
        let what = if first { "TLS 1.2" } else { "TLS 1.3" };
        match secured(self.tls, version, self.host, tcp).await {
            Ok((_, true)) => {
                findings.bad(
                    "client certificate",
                    "requested by the server",
                    None,
                    "turn this off in the proxy in front of the server; Waypost never requests one here",
                );
                None
            }
            Ok((conversation, false)) => {
                findings.good(what, format!("certificate valid for {}, no client certificate requested", self.host));
                Some(conversation)
            }
            Err(error) => {
                findings.bad(what, error.to_string(), Some(NEGOTIATION), self.fix_for(&error));
                None
            }
        }
    }

    fn check_start_tls(&self, first: bool, offered: &SmtpReply, answer: &SmtpReply, findings: &mut PortProbes) -> Option<()> {
        if answer.code != 220 || offered.offers("STARTTLS").is_none() {
            let fix = "give the server a certificate (waypost cert status), and check that no firewall rewrites SMTP (\"fixup smtp\")";
            findings.bad("STARTTLS", answer.text(), Some(NO_STARTTLS), fix);
            return None;
        }
        if first {
            findings.good("STARTTLS", "offered");
            match offered.offers("AUTH") {
                None => findings.good("AUTH before TLS", "not offered"),
                Some(_) => {
                    findings.bad("AUTH before TLS", "offered", None, "Waypost never offers it: find the proxy or firewall in between")
                }
            }
        }
        Some(())
    }

    fn fix_for(&self, error: &TlsProbeError) -> String {
        let host = self.host;
        match error {
            TlsProbeError::Name => {
                format!("enter exactly the name of the certificate, or get one for {host} (waypost cert status; docs/certificates.md)")
            }
            TlsProbeError::Issuer => format!(
                "Gmail accepts only certificates of public authorities, with their chain: get one for {host} ([acme] in the configuration; waypost cert status)"
            ),
            TlsProbeError::Time => "renew it (waypost cert renew), and check the clock".into(),
            TlsProbeError::Other(_) => "read the server's log; a proxy or firewall in between may alter the connection".into(),
        }
    }

    /// Tests EHLO under TLS.
    async fn test_ehlo(&self, port: Port, conversation: &mut Conversation, findings: &mut PortProbes) -> Option<()> {
        let offered = async {
            if port.implicit {
                conversation.reply().await?;
            }
            conversation.say(&format!("EHLO {TRIAL}")).await
        };
        let what = "AUTH under TLS";
        let offered = match offered.await {
            Ok(offered) => offered,
            Err(error) => {
                findings.bad(what, error, Some(UNREACHABLE), "read the server's log");
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

    /// Tests both forms of PLAIN, and LOGIN; logs in if a password is known.
    async fn test_logins(&self, conversation: &mut Conversation, findings: &mut PortProbes) {
        let asked = ["PLAIN", "LOGIN"];
        for mechanism in asked {
            let what = format!("AUTH {mechanism}");
            let heard = conversation.say(&format!("AUTH {mechanism}")).await;
            let cancelled = match &heard {
                Ok(heard) if heard.code == 334 => conversation.say("*").await,
                _ => heard.clone(),
            };
            match (heard, cancelled) {
                (Ok(heard), Ok(cancelled)) if heard.code == 334 && cancelled.code == 501 => {
                    findings.good(&what, "prompts for the response")
                }
                (Ok(heard), _) => findings.bad(&what, heard.text(), Some(REFUSED), "read the server's log"),
                (Err(error), _) => findings.bad(&what, error, Some(REFUSED), "read the server's log"),
            }
        }
        let Some(password) = self.password else { return self.test_initial_response(conversation, findings).await };
        let response = STANDARD.encode(format!("\0{}\0{password}", self.login));
        match conversation.say(&format!("AUTH PLAIN {response}")).await {
            Ok(heard) if heard.code == 235 => findings.good("login", format!("accepted as {}", self.login)),
            Ok(heard) => {
                let fix =
                    format!("the username is the full address; to create a new password: waypost sendas {} --new-password", self.login);
                findings.bad("login", heard.text(), Some(REFUSED), fix);
            }
            Err(error) => findings.bad("login", error, Some(REFUSED), "read the server's log"),
        }
    }

    /// Without a password, sends an initial response that can only be refused.
    async fn test_initial_response(&self, conversation: &mut Conversation, findings: &mut PortProbes) {
        let what = "AUTH PLAIN with response";
        match conversation.say("AUTH PLAIN =").await {
            Ok(heard) if [535, 501].contains(&heard.code) => {
                findings.good(what, "works; no password tested (use --new-password or --password-stdin)")
            }
            Ok(heard) => findings.bad(what, heard.text(), Some(REFUSED), "read the server's log"),
            Err(error) => findings.bad(what, error, Some(REFUSED), "read the server's log"),
        }
    }
}
