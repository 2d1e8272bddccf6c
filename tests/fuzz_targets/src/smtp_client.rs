//! A peer's octets in a session of our client.
//!
//! RFC 5321 s.4.2, RFC 2033, RFC 3030.

use mail::{Body, ForwardPath, MailParameters, Mailbox, Recipient, ReversePath};
use smtp::client::{ClientEvent, ClientOptions, ClientSession, ClientTransaction, Credentials, Failure, Outcome, Protocol, TlsMode};

use crate::checks::{assert_lines, by_line, choice};

/// Transactions of one session.
const TRANSACTIONS: u32 = 3;

const CONTENT: &[u8] = b"Subject: hi\r\n\r\n.\r\n..\r\n\xc3\xa9\r\n";

struct Driver {
    session: ClientSession,
    begun: u32,
    events: Vec<String>,
    output: Vec<u8>,
}

/// The same octets give the same events and commands however they are cut. Each transaction has one result for each recipient; what is sent has only
/// CRLF as line ends; no text of the peer has a control character.
pub fn smtp_replies(data: &[u8]) {
    let (kind, stream) = choice(data);
    let whole = replay(kind, by_line(stream));
    let cut = replay(kind, stream.chunks(1));
    assert_eq!(whole.0, cut.0);
    assert_eq!(whole.1, cut.1);
}

fn replay<'a>(kind: u8, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>) {
    let is_set = |bit: u8| kind & bit != 0;
    let options = ClientOptions {
        protocol: if is_set(1) { Protocol::Lmtp } else { Protocol::Smtp },
        hello: "mx.example.test".into(),
        tls: match kind & 6 {
            0 => TlsMode::Opportunistic,
            2 => TlsMode::Required,
            4 => TlsMode::Implicit,
            _ => TlsMode::Never,
        },
        credentials: is_set(8).then(|| Credentials { user: "user".into(), password: "pass".into() }),
    };
    let mut session = ClientSession::new(options);
    if is_set(16) {
        session = session.without_ehlo();
    }
    if is_set(32) {
        session = session.without_chunking();
    }
    let mut driver = Driver { session, begun: 0, events: Vec::new(), output: Vec::new() };
    for piece in pieces {
        driver.session.receive(piece);
        driver.pump();
    }
    driver.session.disconnected();
    driver.pump();
    (driver.events, driver.output)
}

impl Driver {
    fn pump(&mut self) {
        while let Some(event) = self.session.next_event() {
            self.events.push(format!("{event:?}"));
            match event {
                ClientEvent::StartTls => self.session.tls_established(),
                ClientEvent::Ready => self.begin(),
                ClientEvent::SendContent => {
                    CONTENT.chunks(5).for_each(|piece| self.session.send_content(piece));
                    self.session.finish_content();
                }
                ClientEvent::Done(outcome) => self.done(&outcome),
                ClientEvent::Failed(failure) => check_failure(&failure),
            }
            self.flush();
        }
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.session.take_output(&mut out);
        self.output.append(&mut out);
        assert_lines(&self.output);
    }

    fn begin(&mut self) {
        if self.begun == TRANSACTIONS {
            return self.session.quit();
        }
        self.begun += 1;
        let mailbox = |text: &str| Mailbox::parse(text).expect("a mailbox");
        let recipient = |text: &str| Recipient::new(ForwardPath::Mailbox(mailbox(text)));
        self.session.begin(ClientTransaction {
            reverse_path: ReversePath::Mailbox(mailbox("her@foreign.test")),
            parameters: MailParameters { body: Body::EightBit, ..MailParameters::default() },
            recipients: vec![recipient("a@far.test"), recipient("\"b c\"@far.test"), recipient("d@far.test")],
            size_bytes: CONTENT.len() as u64,
            has_8bit: true,
            needs_utf8: self.begun == 2,
        });
    }

    fn done(&mut self, outcome: &Outcome) {
        assert_eq!(outcome.recipients.len(), 3, "one result for each recipient: {outcome:?}");
        for reply in outcome.recipients.iter().map(|result| result.as_ref().unwrap_or_else(|refused| refused)) {
            assert!(!reply.text().chars().any(|c| c.is_control() && c != '\n'), "{reply:?}");
        }
        assert!(outcome.refused_at.is_none() || outcome.recipients.iter().all(Result::is_err), "{outcome:?}");
        if outcome.reusable {
            self.begin();
        }
    }
}

fn check_failure(failure: &Failure) {
    let text = match failure {
        Failure::Protocol(text) => text.clone(),
        Failure::Greeting(reply)
        | Failure::Hello(reply)
        | Failure::TlsRefused(reply)
        | Failure::AuthRefused(reply)
        | Failure::Closing421(reply)
        | Failure::ChunkingRefused(reply) => reply.to_string(),
        Failure::Disconnected { .. } | Failure::TlsNotOffered | Failure::TlsInjected | Failure::AuthNotOffered => String::new(),
    };
    crate::checks::assert_one_line(&text);
}
