//! Random command sequences against a reference model: the session must never believe something else than the model.
//!
//! `SMTP_MODEL_SEQUENCES` sets how many (a release run of a million takes minutes), `SMTP_MODEL_SEED` where to begin.

#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod server_driver;

use server_driver::{Driver, Note, config};
use smtp::server::Service;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

#[derive(Debug, Clone)]
enum Command {
    Hello(bool),
    Mail { sender: u64, parameters: bool },
    MailRefused,
    MailTooLarge,
    Recipient(u64),
    RecipientUnknown,
    RecipientBusy,
    RecipientNonsense,
    Data(Content),
    Chunk { content: Content, last: bool },
    ChunkNonsense,
    Reset,
    Noop,
    StartTls,
    Unknown,
    BareLf,
    Auth,
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Content {
    Good(u64),
    Forbidden,
    TooLarge,
    Refused,
}

impl Content {
    fn bytes(self) -> Vec<u8> {
        match self {
            Content::Good(n) => format!("line {n}\r\n.dot\r\n..\r\n").into_bytes(),
            Content::Forbidden => b"one\ntwo\r\n".to_vec(),
            Content::TooLarge => [&vec![b'a'; 1200][..], b"\r\n"].concat(),
            Content::Refused => b"X-Refuse: yes\r\n".to_vec(),
        }
    }
}

fn random_command(random: &mut Random) -> Command {
    let content = match random.below(8) {
        0 => Content::Forbidden,
        1 => Content::TooLarge,
        2 => Content::Refused,
        _ => Content::Good(random.below(1000)),
    };
    match random.below(40) {
        0..=2 => Command::Hello(random.below(4) > 0),
        3..=9 => Command::Mail { sender: random.below(1000), parameters: random.below(3) == 0 },
        10 => Command::MailRefused,
        11 => Command::MailTooLarge,
        12..=18 => Command::Recipient(random.below(1000)),
        19 => Command::RecipientUnknown,
        20 => Command::RecipientBusy,
        21 => Command::RecipientNonsense,
        22..=26 => Command::Data(content),
        27..=31 => Command::Chunk { content, last: random.below(2) == 0 },
        32 => Command::ChunkNonsense,
        33 => Command::Reset,
        34 => Command::Noop,
        35 => Command::StartTls,
        36 => Command::Unknown,
        37 => Command::BareLf,
        38 => Command::Auth,
        _ => [Command::Quit, Command::Noop, Command::Noop][random.below(3) as usize].clone(),
    }
}

#[derive(Debug, Default)]
struct Transaction {
    sender: String,
    recipients: Vec<String>,
    tried: bool,
    chunks: Option<Vec<u8>>,
}

/// What the session should believe.
#[derive(Debug, Default)]
struct Model {
    tls: bool,
    hello: Option<bool>,
    transaction: Option<Transaction>,
    idle: u32,
    bad: u32,
    unknown: u32,
    excused: bool,
    closed: bool,
    messages: Vec<(String, Vec<u8>)>,
}

impl Model {
    fn too_many(&mut self, too_many: bool, reply: &'static str) -> &'static str {
        self.closed |= too_many;
        if too_many { "421 4.7.0" } else { reply }
    }

    fn bad(&mut self, reply: &'static str) -> &'static str {
        self.bad += 1;
        self.too_many(self.bad >= 20, reply)
    }

    fn misplaced(&mut self, reply: &'static str) -> &'static str {
        if self.excused { reply } else { self.bad(reply) }
    }

    fn idle(&mut self, reply: &'static str) -> &'static str {
        self.idle += 1;
        self.too_many(self.idle > 100, reply)
    }

    fn over(&mut self, reply: &'static str) -> &'static str {
        self.transaction = None;
        self.excused = true;
        reply
    }

    /// What an honest client would do next, so that sequences get somewhere.
    fn sensible(&self, random: &mut Random) -> Command {
        match &self.transaction {
            None if self.hello.is_none() => Command::Hello(true),
            None => Command::Mail { sender: random.below(1000), parameters: false },
            Some(t) if t.recipients.is_empty() => Command::Recipient(random.below(1000)),
            Some(t) if t.chunks.is_some() => Command::Chunk { content: Content::Good(random.below(1000)), last: true },
            Some(_) => Command::Data(Content::Good(random.below(1000))),
        }
    }

    /// The reply that is due.
    fn obey(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Hello(extended) => {
                let again = self.hello.is_some();
                self.transaction = None;
                self.excused = false;
                self.hello = Some(*extended);
                if again { self.idle("250") } else { "250" }
            }
            Command::Mail { .. } | Command::MailRefused | Command::MailTooLarge => self.mail(command),
            Command::Recipient(_) | Command::RecipientUnknown | Command::RecipientBusy | Command::RecipientNonsense => {
                self.recipient(command)
            }
            Command::Data(content) => self.data(*content),
            Command::Chunk { content, last } => self.chunk(*content, *last),
            Command::ChunkNonsense => {
                let reply = self.misplaced("501 5.5.4");
                self.over(reply)
            }
            Command::Reset => {
                self.transaction = None;
                self.excused = false;
                self.idle("250 2.0.0")
            }
            Command::Noop => self.idle("250 2.0.0"),
            Command::StartTls if self.tls => self.misplaced("503 5.5.1"),
            Command::StartTls => {
                self.tls = true;
                self.hello = None;
                self.transaction = None;
                "220 2.0.0"
            }
            Command::Unknown => self.bad("500 5.5.1"),
            Command::BareLf => self.bad("500 5.5.2"),
            Command::Auth => self.bad("502 5.5.1"),
            Command::Quit => {
                self.closed = true;
                "221 2.0.0"
            }
        }
    }

    fn mail(&mut self, command: &Command) -> &'static str {
        let Some(extended) = self.hello else { return self.misplaced("503 5.5.1") };
        if self.transaction.is_some() {
            return self.misplaced("503 5.5.1");
        }
        self.excused = false;
        match command {
            Command::Mail { parameters: true, .. } | Command::MailTooLarge if !extended => {
                let reply = self.bad("555 5.5.4");
                self.over(reply)
            }
            Command::MailTooLarge => {
                let reply = self.bad("552 5.3.4");
                self.over(reply)
            }
            Command::MailRefused => {
                let reply = self.idle("550 5.7.1");
                self.over(reply)
            }
            Command::Mail { sender, .. } => {
                self.transaction = Some(Transaction { sender: format!("<s{sender}@foreign.test>"), ..Transaction::default() });
                "250 2.1.0"
            }
            _ => unreachable!(),
        }
    }

    fn recipient(&mut self, command: &Command) -> &'static str {
        match &mut self.transaction {
            Some(t) if t.chunks.is_none() => {
                t.tried = true;
                match command {
                    _ if t.recipients.len() >= 5 => "452 4.5.3",
                    Command::Recipient(n) => {
                        t.recipients.push(format!("<r{n}@hosted.test>"));
                        "250 2.1.5"
                    }
                    Command::RecipientBusy => "451 4.3.0",
                    Command::RecipientNonsense => self.bad("553 5.1.3"),
                    _ => {
                        self.unknown += 1;
                        self.too_many(self.unknown >= 20, "550 5.1.1")
                    }
                }
            }
            _ => self.misplaced("503 5.5.1"),
        }
    }

    fn data(&mut self, content: Content) -> &'static str {
        match &self.transaction {
            Some(t) if t.recipients.is_empty() && t.tried => self.misplaced("554 5.5.1"),
            Some(t) if !t.recipients.is_empty() && t.chunks.is_none() => match content {
                Content::Good(_) => self.accepted(content.bytes()),
                Content::Refused => {
                    self.transaction = None;
                    "550 5.7.1"
                }
                Content::Forbidden => self.over("550 5.5.2"),
                Content::TooLarge => self.over("552 5.3.4"),
            },
            _ => self.misplaced("503 5.5.1"),
        }
    }

    fn chunk(&mut self, content: Content, last: bool) -> &'static str {
        let ready = match &self.transaction {
            Some(t) if !t.recipients.is_empty() => Ok(t.chunks.clone().unwrap_or_default()),
            Some(t) if t.tried => Err("554 5.5.1"),
            _ => Err("503 5.5.1"),
        };
        let mut all = match ready {
            Ok(all) => all,
            Err(reply) => {
                let reply = self.misplaced(reply);
                return self.over(reply);
            }
        };
        all.extend(content.bytes());
        if all.len() > 1000 {
            let reply = self.misplaced("552 5.3.4");
            return self.over(reply);
        }
        match content {
            Content::Forbidden => self.over("550 5.5.2"),
            _ if !last => {
                self.transaction.as_mut().unwrap().chunks = Some(all);
                "250 2.0.0"
            }
            _ if all.starts_with(b"X-Refuse") => {
                self.transaction = None;
                "550 5.7.1"
            }
            _ => self.accepted(all),
        }
    }

    fn accepted(&mut self, content: Vec<u8>) -> &'static str {
        let t = self.transaction.take().unwrap();
        self.messages.push((format!("{} -> {}", t.sender, t.recipients.join(" ")), content));
        self.idle = 0;
        "250 2.0.0"
    }
}

fn wire(command: &Command) -> Vec<u8> {
    let text = match command {
        Command::Hello(true) => "EHLO client.test\r\n".into(),
        Command::Hello(false) => "HELO client.test\r\n".into(),
        Command::Mail { sender, parameters } => {
            format!("MAIL FROM:<s{sender}@foreign.test>{}\r\n", if *parameters { " BODY=8BITMIME SIZE=9" } else { "" })
        }
        Command::MailRefused => "MAIL FROM:<refused@foreign.test>\r\n".into(),
        Command::MailTooLarge => "MAIL FROM:<s@foreign.test> SIZE=1001\r\n".into(),
        Command::Recipient(n) => format!("RCPT TO:<r{n}@hosted.test>\r\n"),
        Command::RecipientUnknown => "RCPT TO:<nobody@hosted.test>\r\n".into(),
        Command::RecipientBusy => "RCPT TO:<busy@hosted.test>\r\n".into(),
        Command::RecipientNonsense => "RCPT TO:<no body>\r\n".into(),
        Command::Data(_) => "DATA\r\n".into(),
        Command::Chunk { content, last } => {
            let content = String::from_utf8(content.bytes()).unwrap();
            format!("BDAT {}{}\r\n{content}", content.len(), if *last { " LAST" } else { "" })
        }
        Command::ChunkNonsense => "BDAT -5 LAST\r\n".into(),
        Command::Reset => "RSET\r\n".into(),
        Command::Noop => "NOOP\r\n".into(),
        Command::StartTls => "STARTTLS\r\n".into(),
        Command::Unknown => "XYZZY\r\n".into(),
        Command::BareLf => "NOOP\n".into(),
        Command::Auth => "AUTH PLAIN\r\n".into(),
        Command::Quit => "QUIT\r\n".into(),
    };
    text.into_bytes()
}

fn stuffed(content: Content) -> Vec<u8> {
    // By hand, so that the session's own code is not its judge; the look-alike must not be repaired.
    let text = String::from_utf8(content.bytes()).unwrap();
    let lines: Vec<String> = text.split_inclusive("\r\n").map(|l| if l.starts_with('.') { format!(".{l}") } else { l.into() }).collect();
    (lines.concat() + ".\r\n").into_bytes()
}

fn feed(driver: &mut Driver, random: &mut Random, bytes: &[u8]) {
    let size = if random.below(3) == 0 { bytes.len() } else { 1 + random.below(bytes.len() as u64) as usize };
    bytes.chunks(size).for_each(|piece| driver.feed(piece));
}

/// The last line of the last reply, and no other reply since `from`.
fn replies(driver: &Driver, from: usize) -> Vec<String> {
    let lines = driver.notes[from..].iter().filter_map(|n| if let Note::Sent(line) = n { Some(line) } else { None });
    lines.filter(|l| l[3] == b' ').map(|l| String::from_utf8_lossy(l).trim_end().to_owned()).collect()
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let (mut driver, mut model) = (Driver::new(config(Service::Mx), None), Model::default());
    driver.session.greet();
    driver.pump();
    let mut history = Vec::new();
    let length = 5 + random.below(60);
    while history.len() < length as usize && !model.closed {
        // A burst goes out at once, as a pipelining client would have it, up to where it must wait.
        let mut burst = Vec::new();
        let mut due = Vec::new();
        let from = driver.notes.len();
        for _ in 0..=random.below(4) {
            let command = if random.below(2) == 0 { model.sensible(&mut random) } else { random_command(&mut random) };
            burst.extend(wire(&command));
            history.push(command.clone());
            let had = model.messages.len();
            let reply = model.obey(&command);
            let content = match command {
                Command::Data(content) if !reply.starts_with("503") && !reply.starts_with("421") && reply != "554 5.5.1" => Some(content),
                _ => None,
            };
            let waits = matches!(command, Command::Hello(_) | Command::StartTls) || model.closed;
            if let Some(content) = content {
                feed(&mut driver, &mut random, &burst);
                burst = stuffed(content);
                due.push("354");
            }
            due.push(reply);
            assert!(model.messages.len() <= had + 1);
            if waits {
                break;
            }
        }
        feed(&mut driver, &mut random, &burst);
        let got = replies(&driver, from);
        let fits = got.len() == due.len() && got.iter().zip(&due).all(|(g, d)| g.starts_with(d));
        assert!(fits, "seed {seed}: after {history:?}\nexpected {due:?}\n     got {got:?}\n{model:?}");
        assert_eq!(driver.session.is_closing(), model.closed, "seed {seed}");
        if !model.closed {
            assert_eq!(driver.session.transaction().is_some(), model.transaction.is_some(), "seed {seed}: {history:?}");
            assert_eq!(driver.session.hello().map(|_| driver.session.is_extended()), model.hello, "seed {seed}: {history:?}");
        }
    }
    let messages: Vec<_> =
        driver.notes.iter().filter_map(|n| if let Note::Message(e, c) = n { Some((e.clone(), c.clone())) } else { None }).collect();
    assert_eq!(messages, model.messages, "seed {seed}: {history:?}");
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn the_session_agrees_with_the_model() {
    let first = setting("SMTP_MODEL_SEED", 1);
    for seed in first..first + setting("SMTP_MODEL_SEQUENCES", 30_000) {
        run(seed);
    }
}
