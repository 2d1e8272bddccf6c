//! From the banner to Ready: EHLO, STARTTLS, AUTH.
//!
//! RFC 5321 s.3.2, RFC 3207 s.4 and RFC 4954 s.4. Invariant: credentials are sent under TLS only, and
//! everything learned in plaintext is discarded after STARTTLS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::Reply;

use super::capabilities::Capabilities;
use super::session::{AuthStage, ClientSession, Expect};
use super::{ClientEvent, Failure, Phase, Protocol, TlsMode};

impl ClientSession {
    pub(super) fn greeted(&mut self, reply: Reply) {
        match reply.code / 100 {
            2 if self.by_helo && self.config.protocol == Protocol::Smtp => self.send_hello("HELO", Expect::Helo),
            2 => self.send_ehlo(),
            4 | 5 => self.fail(Failure::Greeting(reply)),
            _ => self.unexpected("the connection", &reply),
        }
    }

    /// Sends EHLO, or LHLO for LMTP (RFC 2033 s.4.1).
    fn send_ehlo(&mut self) {
        let verb = if self.config.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        self.send_hello(verb, Expect::Ehlo);
    }

    fn send_hello(&mut self, verb: &str, expect: Expect) {
        let name: String = self.config.hello.chars().filter(char::is_ascii_graphic).collect();
        self.phase = Phase::Hello;
        self.send(&format!("{verb} {name}"), expect);
    }

    pub(super) fn ehlo_answered(&mut self, reply: Reply) {
        match reply.code / 100 {
            2 => {
                self.capabilities = Capabilities::parse(reply.text());
                self.secure();
            }
            5 if self.config.protocol == Protocol::Smtp => {
                self.ehlo_refused = true;
                self.send_hello("HELO", Expect::Helo);
            }
            5 => self.fail(Failure::Hello(reply)),
            4 => self.fail(Failure::Hello(reply)),
            _ => self.unexpected("EHLO", &reply),
        }
    }

    pub(super) fn helo_answered(&mut self, reply: Reply) {
        self.ehlo_refused = false;
        match reply.code / 100 {
            2 => {
                self.capabilities = Capabilities::default();
                self.secure();
            }
            4 | 5 => self.fail(Failure::Hello(reply)),
            _ => self.unexpected("HELO", &reply),
        }
    }

    fn secure(&mut self) {
        let needed = self.config.tls == TlsMode::Required || self.config.credentials.is_some();
        if self.tls {
            self.authenticate();
        } else if self.capabilities.starttls && self.config.tls != TlsMode::Never {
            self.phase = Phase::StartTls;
            self.send("STARTTLS", Expect::StartTls);
        } else if needed {
            self.fail(Failure::TlsNotOffered);
        } else {
            self.ready();
        }
    }

    pub(super) fn start_tls_answered(&mut self, reply: Reply) {
        let needed = self.config.tls == TlsMode::Required || self.config.credentials.is_some();
        match reply.code / 100 {
            2 if self.has_more_input() => self.fail(Failure::TlsInjected),
            2 => {
                self.in_handshake = true;
                self.events.push_back(ClientEvent::StartTls);
            }
            4 | 5 if needed => self.fail(Failure::TlsRefused(reply)),
            4 | 5 => self.ready(),
            _ => self.unexpected("STARTTLS", &reply),
        }
    }

    /// After [`ClientEvent::StartTls`]: discards everything learned in plaintext, and sends EHLO again.
    pub fn tls_established(&mut self) {
        if !self.in_handshake {
            debug_assert!(self.phase == Phase::Closed, "no handshake was requested");
            return;
        }
        self.in_handshake = false;
        self.tls = true;
        self.capabilities = Capabilities::default();
        self.send_ehlo();
    }

    fn authenticate(&mut self) {
        let Some(credentials) = &self.config.credentials else { return self.ready() };
        if self.capabilities.offers_auth("PLAIN") {
            let line = format!("AUTH PLAIN {}", plain_response(&credentials.user, &credentials.password));
            self.phase = Phase::Auth;
            self.send(&line, Expect::Auth(AuthStage::PlainResponse));
        } else if self.capabilities.offers_auth("LOGIN") {
            self.phase = Phase::Auth;
            self.send("AUTH LOGIN", Expect::Auth(AuthStage::LoginUser));
        } else {
            self.fail(Failure::AuthNotOffered);
        }
    }

    pub(super) fn auth_answered(&mut self, stage: AuthStage, reply: Reply) {
        let Some(credentials) = &self.config.credentials else { return self.unexpected("AUTH", &reply) };
        match (reply.code, stage) {
            (235, AuthStage::PlainResponse | AuthStage::Verdict) => self.ready(),
            (334, AuthStage::PlainResponse) => {
                let line = plain_response(&credentials.user, &credentials.password);
                self.send(&line, Expect::Auth(AuthStage::Verdict));
            }
            (334, AuthStage::LoginUser) => {
                let line = STANDARD.encode(&credentials.user);
                self.send(&line, Expect::Auth(AuthStage::LoginPassword));
            }
            (334, AuthStage::LoginPassword) => {
                let line = STANDARD.encode(&credentials.password);
                self.send(&line, Expect::Auth(AuthStage::Verdict));
            }
            (400..600, _) => self.fail(Failure::AuthRefused(reply)),
            _ => self.unexpected("AUTH", &reply),
        }
    }

    fn ready(&mut self) {
        self.phase = Phase::Ready;
        self.events.push_back(ClientEvent::Ready);
    }
}

fn plain_response(user: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{user}\0{password}"))
}
