//! A reference model of a server session: what state it should have, and how each command should be answered.

mod command;

pub use command::{Command, Content, Random, random_command, stuffed, wire};

/// A transaction so far.
#[derive(Debug, Default)]
pub struct Transaction {
    sender: String,
    recipients: Vec<String>,
    tried: bool,
    chunks: Option<Vec<u8>>,
}

/// The state that a session should have.
#[derive(Debug, Default)]
pub struct Model {
    tls: bool,
    pub hello: Option<bool>,
    pub transaction: Option<Transaction>,
    idle: u32,
    bad: u32,
    unknown: u32,
    excused: bool,
    pub closed: bool,
    pub messages: Vec<(String, Vec<u8>)>,
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

    fn out_of_sequence(&mut self, reply: &'static str) -> &'static str {
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

    /// What a well-behaved client would send next, so that sequences reach the content.
    pub fn sensible(&self, random: &mut Random) -> Command {
        match &self.transaction {
            None if self.hello.is_none() => Command::Hello(true),
            None => Command::Mail { sender: random.below(1000), parameters: false },
            Some(t) if t.recipients.is_empty() => Command::Recipient(random.below(1000)),
            Some(t) if t.chunks.is_some() => Command::Chunk { content: Content::Good(random.below(1000)), last: true },
            Some(_) => Command::Data(Content::Good(random.below(1000))),
        }
    }

    /// Carries out a command; returns the start of the expected reply.
    pub fn execute(&mut self, command: &Command) -> &'static str {
        match command {
            Command::Hello(extended) => {
                let again = self.hello.is_some();
                self.transaction = None;
                self.excused = false;
                self.hello = Some(*extended);
                if again { self.idle("250") } else { "250" }
            }
            Command::Mail { .. } | Command::MailRefused | Command::MailTooLarge => self.mail(command),
            Command::Recipient(_) | Command::RecipientUnknown | Command::RecipientBusy | Command::RecipientMalformed => {
                self.recipient(command)
            }
            Command::Data(content) => self.data(*content),
            Command::Chunk { content, last } => self.chunk(*content, *last),
            Command::ChunkMalformed => {
                let reply = self.out_of_sequence("501 5.5.4");
                self.over(reply)
            }
            Command::Reset => {
                self.transaction = None;
                self.excused = false;
                self.idle("250 2.0.0")
            }
            Command::Noop => self.idle("250 2.0.0"),
            Command::StartTls if self.tls => self.out_of_sequence("503 5.5.1"),
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
        let Some(extended) = self.hello else { return self.out_of_sequence("503 5.5.1") };
        if self.transaction.is_some() {
            return self.out_of_sequence("503 5.5.1");
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
                    Command::RecipientMalformed => self.bad("553 5.1.3"),
                    _ => {
                        self.unknown += 1;
                        self.too_many(self.unknown >= 20, "550 5.1.1")
                    }
                }
            }
            _ => self.out_of_sequence("503 5.5.1"),
        }
    }

    fn data(&mut self, content: Content) -> &'static str {
        match &self.transaction {
            Some(t) if t.recipients.is_empty() && t.tried => self.out_of_sequence("554 5.5.1"),
            Some(t) if !t.recipients.is_empty() && t.chunks.is_none() => match content {
                Content::Good(_) => self.accepted(content.bytes()),
                Content::Refused => {
                    self.transaction = None;
                    "550 5.7.1"
                }
                Content::Forbidden => self.over("550 5.5.2"),
                Content::TooLarge => self.over("552 5.3.4"),
            },
            _ => self.out_of_sequence("503 5.5.1"),
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
                let reply = self.out_of_sequence(reply);
                return self.over(reply);
            }
        };
        all.extend(content.bytes());
        if all.len() > 1000 {
            let reply = self.out_of_sequence("552 5.3.4");
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
