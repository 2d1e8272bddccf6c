//! A client's octets in a session with our server.
//!
//! RFC 5321 s.4.1 and s.4.5.2, RFC 3030, RFC 4954.

use std::sync::Arc;

use mail::{Domain, ForwardPath, Recipient, Reply, ReversePath};
use smtp::server::{AuthStep, ServerEvent, ServerOptions, ServerSession, Service, TlsInfo};

use crate::addresses::check_mailbox;
use crate::checks::{assert_lines, assert_no_bare_ends, by_line, choice};

/// What happened in a session, in order.
#[derive(Debug, PartialEq)]
enum Note {
    Sent(String),
    Message(String, Vec<u8>),
    Aborted,
    Tls,
    Closed,
}

struct Driver {
    session: ServerSession<()>,
    notes: Vec<Note>,
    spool: Option<Vec<u8>>,
}

/// The same octets give the same replies and messages however they are cut (a piece never has what follows a line, since a client may not send that
/// early). Accepted content and every reply have only CRLF as line ends, and no NUL.
pub fn smtp_commands(data: &[u8]) {
    let (kind, stream) = choice(data);
    let whole = replay(kind, by_line(stream));
    let cut = replay(kind, stream.chunks(1));
    assert_eq!(whole, cut);
}

fn replay<'a>(kind: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Note> {
    let options = ServerOptions {
        hostname: Domain::parse("mx.example.test").expect("a domain"),
        service: if kind & 1 == 0 { Service::Mx } else { Service::Submission },
        starttls: true,
        mechanisms: vec!["PLAIN", "LOGIN"],
        max_size_bytes: 1000,
        max_recipients: 5,
    };
    let tls = (kind & 2 != 0).then(|| TlsInfo { description: "TLSv1_3 with TLS13_AES_256_GCM_SHA384".into() });
    let mut driver = Driver { session: ServerSession::new(Arc::new(options), tls), notes: Vec::new(), spool: None };
    driver.session.greet();
    driver.pump();
    for piece in pieces {
        assert!(!driver.session.waiting());
        driver.session.receive(piece);
        driver.pump();
    }
    driver.notes
}

impl Driver {
    fn pump(&mut self) {
        while let Some(event) = self.session.next_event() {
            self.flush();
            self.act(event);
        }
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.session.take_output(&mut out);
        assert_lines(&out);
        for line in by_line(&out) {
            let text = String::from_utf8_lossy(line).into_owned();
            assert!(line.len() > 5 && line[..3].iter().all(u8::is_ascii_digit) && matches!(line[3], b' ' | b'-'), "{text:?}");
            self.notes.push(Note::Sent(text));
        }
    }

    fn act(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::StartTls => {
                self.notes.push(Note::Tls);
                self.session.tls_established(TlsInfo { description: "TLSv1_3".into() });
            }
            ServerEvent::Auth(step) => self.authenticate(step),
            ServerEvent::Mail { reverse_path, .. } => {
                if let ReversePath::Mailbox(mailbox) = &reverse_path {
                    check_mailbox(mailbox);
                }
                if local(&reverse_path) == "no" {
                    self.session.refuse(Reply::new(550, (5, 7, 1), "not you"));
                } else {
                    self.session.accept_mail();
                }
            }
            ServerEvent::Recipient(recipient) => self.recipient(&recipient),
            ServerEvent::Data => {
                assert!(self.spool.is_none(), "content of two messages at once");
                self.spool = Some(Vec::new());
                self.session.accept_data();
            }
            ServerEvent::Content(piece) => {
                let spool = self.spool.as_mut().expect("content only with a spool");
                spool.extend_from_slice(&piece);
                assert_no_bare_ends(spool.strip_suffix(b"\r").unwrap_or(spool));
            }
            ServerEvent::ContentEnd => self.content_end(),
            ServerEvent::ContentAborted => {
                self.spool.take().expect("an abort only with a spool");
                self.notes.push(Note::Aborted);
            }
            ServerEvent::Close => {
                assert!(self.spool.is_none(), "a spool is left");
                self.notes.push(Note::Closed);
            }
        }
    }

    fn recipient(&mut self, recipient: &Recipient) {
        match &recipient.forward_path {
            ForwardPath::Mailbox(mailbox) => {
                check_mailbox(mailbox);
                if mailbox.local.as_str() == "no" {
                    return self.session.refuse(Reply::new(550, (5, 1, 1), "no such user"));
                }
            }
            ForwardPath::Postmaster => {}
        }
        self.session.accept_recipient(());
    }

    fn authenticate(&mut self, step: AuthStep) {
        match step {
            AuthStep::Begin { initial: None, .. } => self.session.challenge_auth(b"Username:"),
            AuthStep::Begin { initial: Some(response), .. } | AuthStep::Response(response) => match response.as_slice() {
                b"user" => self.session.challenge_auth(b"Password:"),
                b"\0user\0pass" | b"pass" => self.session.accept_auth("user".into()),
                _ => self.session.refuse_auth(Reply::new(535, (5, 7, 8), "wrong")),
            },
        }
    }

    fn content_end(&mut self) {
        let content = self.spool.take().expect("an end only with a spool");
        assert_no_bare_ends(&content);
        assert!(content.len() <= 1000, "more than SIZE");
        let transaction = self.session.take_transaction().expect("an end only in a transaction");
        assert!((1..=5).contains(&transaction.recipients.len()), "{} recipients", transaction.recipients.len());
        let to: Vec<String> = transaction.recipients.iter().map(|(recipient, ())| recipient.forward_path.to_string()).collect();
        self.notes.push(Note::Message(format!("{} -> {}", transaction.reverse_path, to.join(" ")), content));
        self.session.finish_content(Reply::new(250, (2, 0, 0), "Queued"));
    }
}

fn local(path: &ReversePath) -> &str {
    path.mailbox().map_or("", |mailbox| mailbox.local.as_str())
}
