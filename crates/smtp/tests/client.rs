//! Replays the client transcripts: `S: ` is fed, `D: ` is what the driver does, `C: ` and `E: ` (events) must come of it.

#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod transcript;

use mail::{ForwardPath, MailParameters, Mailbox, Notify, OriginalRecipient, Recipient, Ret, ReversePath};
use smtp::client::{ClientEvent, ClientOptions, ClientSession, ClientTransaction, Credentials, Outcome, Protocol, TlsMode};
use transcript::{Line, Transcript, all, compare, read, update};

const INPUTS: [char; 2] = ['S', 'D'];

#[test]
fn transcripts() {
    let mut wrong = Vec::new();
    for path in all("client") {
        let transcript = read(&path);
        let got = replay(&transcript, usize::MAX);
        if let Err(difference) = compare(&transcript.lines, &got) {
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                update(&path, &INPUTS, &got);
            } else {
                wrong.push(format!("{}: {difference}", path.display()));
                continue;
            }
        }
        if transcript.settings.contains_key("lockstep") {
            continue;
        }
        for size in 1..60 {
            if let Err(difference) = compare(&got, &replay(&transcript, size)) {
                wrong.push(format!("{} in pieces of {size}: {difference}", path.display()));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_password_is_not_shown() {
    let credentials = Credentials { user: "me".into(), password: "canary".into() };
    assert!(!format!("{credentials:?}").contains("canary"));
}

struct Driver {
    session: ClientSession,
    content: Option<Vec<u8>>,
    notes: Vec<Line>,
}

fn replay(transcript: &Transcript, size: usize) -> Vec<Line> {
    let mut session = ClientSession::new(config(transcript));
    if transcript.settings.contains_key("by-helo") {
        session = session.without_ehlo();
    }
    if transcript.settings.contains_key("by-data") {
        session = session.without_chunking();
    }
    let mut driver = Driver { session, content: None, notes: Vec::new() };
    let mut lines = Vec::new();
    // What the server says without anything between comes in one segment.
    for group in transcript.lines.chunk_by(|a, b| a.who == 'S' && b.who == 'S') {
        let first = &group[0];
        if !INPUTS.contains(&first.who) {
            continue;
        }
        let bytes: Vec<u8> = group.iter().flat_map(|l| l.bytes.clone()).collect();
        lines.extend_from_slice(group);
        if first.who == 'S' {
            for piece in bytes.chunks(size) {
                driver.session.receive(piece);
                driver.pump();
            }
        } else {
            driver.act(std::str::from_utf8(&bytes).unwrap());
            driver.pump();
        }
        lines.append(&mut driver.notes);
    }
    lines
}

impl Driver {
    fn act(&mut self, what: &str) {
        match what {
            "quit" => self.session.quit(),
            "gone" => self.session.disconnected(),
            _ => {
                let (transaction, content) = parse_begin(what.strip_prefix("begin ").unwrap());
                self.content = content;
                self.session.begin(transaction);
            }
        }
    }

    fn pump(&mut self) {
        while let Some(event) = self.session.next_event() {
            self.flush();
            self.notes.push(Line { who: 'E', bytes: describe(&event).into_bytes() });
            match event {
                ClientEvent::StartTls => self.session.tls_established(),
                ClientEvent::SendContent => {
                    if let Some(content) = &self.content {
                        content.chunks(5).for_each(|piece| self.session.send_content(piece));
                        self.session.finish_content();
                    }
                }
                _ => {}
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        let mut out = Vec::new();
        self.session.take_output(&mut out);
        self.notes.extend(out.split_inclusive(|b| *b == b'\n').map(|l| Line { who: 'C', bytes: l.to_vec() }));
    }
}

fn describe(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Done(Outcome { recipients, dsn_passed_on, refused_at, reusable }) => {
            let fates: Vec<String> =
                recipients.iter().map(|r| r.as_ref().map_or_else(|e| format!("no {e}"), |ok| format!("ok {ok}"))).collect();
            format!("Done {refused_at:?} dsn={dsn_passed_on} reusable={reusable} [{}]", fates.join("; "))
        }
        other => format!("{other:?}"),
    }
}

fn config(transcript: &Transcript) -> ClientOptions {
    let tls = match transcript.settings.get("tls").map(String::as_str) {
        Some("never") => TlsMode::Never,
        Some("required") => TlsMode::Required,
        Some("implicit") => TlsMode::Implicit,
        _ => TlsMode::Opportunistic,
    };
    let credentials = transcript.settings.get("credentials").map(|c| {
        let (user, password) = c.split_once(' ').unwrap();
        Credentials { user: user.into(), password: password.into() }
    });
    let protocol = if transcript.settings.contains_key("lmtp") { Protocol::Lmtp } else { Protocol::Smtp };
    ClientOptions { protocol, hello: "mx.example.test".into(), tls, credentials }
}

fn parse_begin(text: &str) -> (ClientTransaction, Option<Vec<u8>>) {
    let (words, content) = text.split_once("content=").unwrap();
    let mut transaction = ClientTransaction {
        reverse_path: ReversePath::Null,
        parameters: MailParameters::default(),
        recipients: Vec::new(),
        size_bytes: content.len() as u64,
        has_8bit: false,
        needs_utf8: false,
    };
    let mut hold = false;
    for word in words.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "hold" => hold = true,
            "8bit" => transaction.has_8bit = true,
            "utf8" => transaction.needs_utf8 = true,
            "size" => transaction.size_bytes = value.parse().unwrap(),
            "ret" => transaction.parameters.ret = Some(if value == "hdrs" { Ret::Headers } else { Ret::Full }),
            "envid" => transaction.parameters.envid = Some(value.into()),
            "from" => transaction.reverse_path = ReversePath::parse_bare(value).unwrap(),
            "to" => transaction.recipients.push(parse_recipient(value)),
            _ => panic!("{word}"),
        }
    }
    (transaction, (!hold).then(|| content.as_bytes().to_vec()))
}

fn parse_recipient(text: &str) -> Recipient {
    let (address, rest) = text.split_once(';').unwrap_or((text, ""));
    let path = if address == "postmaster" { ForwardPath::Postmaster } else { ForwardPath::Mailbox(Mailbox::parse(address).unwrap()) };
    let mut recipient = Recipient::new(path);
    let mut rest = rest;
    if let Some(after) = rest.strip_prefix("notify=") {
        let (notify, after) = after.split_once(';').unwrap_or((after, ""));
        recipient.notify = Notify::parse(notify).unwrap();
        rest = after;
    }
    if let Some(orcpt) = rest.strip_prefix("orcpt=") {
        let (kind, address) = orcpt.split_once(';').unwrap();
        recipient.orcpt = Some(OriginalRecipient { kind: kind.into(), address: address.into() });
    }
    recipient
}
