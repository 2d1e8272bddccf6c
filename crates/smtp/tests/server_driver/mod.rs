//! A driver for server sessions in tests: decides by the addresses, and records what happens.

use std::sync::Arc;

use mail::{Domain, ForwardPath, Recipient, Reply, ReversePath};
use smtp::server::{AuthStep, ServerEvent, ServerOptions, ServerSession, Service, TlsInfo};

pub fn config(service: Service) -> ServerOptions {
    ServerOptions {
        hostname: Domain::parse("mx.example.test").unwrap(),
        service,
        starttls: true,
        mechanisms: vec!["PLAIN", "LOGIN"],
        max_size_bytes: 1000,
        max_recipients: 5,
    }
}

pub fn tls() -> TlsInfo {
    TlsInfo { description: "TLSv1_3 with TLS13_AES_256_GCM_SHA384".into() }
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// A line was sent.
    Sent(Vec<u8>),
    /// A message was accepted: reverse-path, forward-paths, content.
    Message(String, Vec<u8>),
    /// What was spooled is dropped.
    Aborted,
    /// The handshake was done.
    Tls,
    /// The connection is closed.
    Closed,
}

pub struct Driver {
    pub session: ServerSession<usize>,
    pub notes: Vec<Note>,
    spool: Option<Vec<u8>>,
    login_user_known: bool,
}

impl Driver {
    pub fn new(config: ServerOptions, tls: Option<TlsInfo>) -> Self {
        Self { session: ServerSession::new(Arc::new(config), tls), notes: Vec::new(), spool: None, login_user_known: false }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        assert!(!self.session.waiting());
        self.session.receive(bytes);
        self.pump();
    }

    pub fn pump(&mut self) {
        while let Some(event) = self.session.next_event() {
            self.flush();
            self.act(event);
        }
        self.flush();
    }

    fn flush(&mut self) {
        assert_eq!(self.session.has_output(), {
            let mut out = Vec::new();
            self.session.take_output(&mut out);
            for line in out.split_inclusive(|b| *b == b'\n') {
                assert!(line.ends_with(b"\r\n"));
                self.notes.push(Note::Sent(line.to_vec()));
            }
            !out.is_empty()
        });
    }

    fn act(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::StartTls => {
                self.notes.push(Note::Tls);
                self.session.tls_established(tls());
            }
            ServerEvent::Auth(step) => self.authenticate(step),
            ServerEvent::Mail { reverse_path, .. } => match local(&reverse_path).as_str() {
                "refused" => self.session.refuse(Reply::new(550, (5, 7, 1), "not you")),
                "later" => self.session.refuse(Reply::new(451, (4, 7, 1), "later")),
                _ => self.session.accept_mail(),
            },
            ServerEvent::Recipient(recipient) => self.recipient(&recipient),
            ServerEvent::Data => {
                let reverse_path = &self.session.transaction().unwrap().reverse_path;
                if local(reverse_path) == "nospool" {
                    self.session.refuse(Reply::new(452, (4, 3, 1), "disk full"));
                } else {
                    assert!(self.spool.is_none());
                    self.spool = Some(Vec::new());
                    self.session.accept_data();
                }
            }
            ServerEvent::Content(piece) => {
                let spool = self.spool.as_mut().expect("content only with a spool");
                spool.extend_from_slice(&piece);
                if spool.windows(8).any(|w| w == b"FAIL-NOW") {
                    self.spool = None;
                    self.session.fail_content(Reply::new(452, (4, 3, 1), "disk full"));
                }
            }
            ServerEvent::ContentEnd => self.content_end(),
            ServerEvent::ContentAborted => {
                self.spool.take().expect("an abort only with a spool");
                self.notes.push(Note::Aborted);
            }
            ServerEvent::Close => {
                assert!(self.spool.is_none());
                self.notes.push(Note::Closed);
            }
        }
    }

    fn recipient(&mut self, recipient: &Recipient) {
        let ForwardPath::Mailbox(mailbox) = &recipient.forward_path else { return self.session.accept_recipient(0) };
        let local = mailbox.local.as_str();
        if mailbox.domain.as_str() != "hosted.test" {
            self.session.refuse(Reply::new(550, (5, 7, 1), "relaying denied"));
        } else if local == "busy" {
            self.session.refuse(Reply::new(451, (4, 3, 0), "busy"));
        } else if ["me", "you", "grüße"].contains(&local) || local.starts_with('r') {
            self.session.accept_recipient(local.len());
        } else {
            self.session.refuse(Reply::new(550, (5, 1, 1), "no such user"));
        }
    }

    fn authenticate(&mut self, step: AuthStep) {
        let (mechanism, response) = match step {
            AuthStep::Begin { mechanism, initial } => {
                self.login_user_known = false;
                (mechanism, initial)
            }
            AuthStep::Response(response) => (String::new(), Some(response)),
        };
        match response.as_deref() {
            None if mechanism == "LOGIN" => self.session.challenge_auth(b"Username:"),
            None => self.session.challenge_auth(b""),
            Some(b"user") => {
                self.login_user_known = true;
                self.session.challenge_auth(b"Password:");
            }
            Some(b"\0user\0pass") => self.session.accept_auth("user".into()),
            Some(b"pass") if self.login_user_known => self.session.accept_auth("user".into()),
            Some(_) => self.session.refuse_auth(Reply::new(535, (5, 7, 8), "wrong")),
        }
    }

    fn content_end(&mut self) {
        let content = self.spool.take().expect("an end only with a spool");
        let transaction = self.session.take_transaction().unwrap();
        assert_eq!(self.session.content_bytes(), content.len() as u64);
        if content.starts_with(b"X-Refuse") {
            return self.session.finish_content(Reply::new(550, (5, 7, 1), "spam"));
        }
        let recipients: Vec<String> = transaction.recipients.iter().map(|(r, _)| describe(r)).collect();
        self.notes.push(Note::Message(format!("{} -> {}", transaction.reverse_path, recipients.join(" ")), content));
        self.session.finish_content(Reply::new(250, (2, 0, 0), "Queued"));
    }
}

fn describe(recipient: &Recipient) -> String {
    let mut text = recipient.forward_path.to_string();
    if let Some(notify) = recipient.notify.to_parameter() {
        text += &format!(" NOTIFY={notify}");
    }
    if let Some(orcpt) = &recipient.orcpt {
        text += &format!(" ORCPT={};{}", orcpt.kind, orcpt.address);
    }
    text
}

fn local(path: &ReversePath) -> String {
    path.mailbox().map(|m| m.local.as_str().to_owned()).unwrap_or_default()
}
