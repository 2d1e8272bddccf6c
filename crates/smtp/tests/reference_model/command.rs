//! Random commands, and the octets that a client sends for them.

/// xorshift.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

#[derive(Debug, Clone)]
pub enum Command {
    Hello(bool),
    Mail { sender: u64, parameters: bool },
    MailRefused,
    MailTooLarge,
    Recipient(u64),
    RecipientUnknown,
    RecipientBusy,
    RecipientMalformed,
    Data(Content),
    Chunk { content: Content, last: bool },
    ChunkMalformed,
    Reset,
    Noop,
    StartTls,
    Unknown,
    BareLf,
    Auth,
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Content {
    Good(u64),
    Forbidden,
    TooLarge,
    Refused,
}

impl Content {
    pub fn bytes(self) -> Vec<u8> {
        match self {
            Content::Good(n) => format!("line {n}\r\n.dot\r\n..\r\n").into_bytes(),
            Content::Forbidden => b"one\ntwo\r\n".to_vec(),
            Content::TooLarge => [&vec![b'a'; 1200][..], b"\r\n"].concat(),
            Content::Refused => b"X-Refuse: yes\r\n".to_vec(),
        }
    }
}

/// A random command, most of them as a client would send.
pub fn random_command(random: &mut Random) -> Command {
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
        21 => Command::RecipientMalformed,
        22..=26 => Command::Data(content),
        27..=31 => Command::Chunk { content, last: random.below(2) == 0 },
        32 => Command::ChunkMalformed,
        33 => Command::Reset,
        34 => Command::Noop,
        35 => Command::StartTls,
        36 => Command::Unknown,
        37 => Command::BareLf,
        38 => Command::Auth,
        _ => [Command::Quit, Command::Noop, Command::Noop][random.below(3) as usize].clone(),
    }
}

/// The octets of a command. The content of DATA is not part of them.
pub fn wire(command: &Command) -> Vec<u8> {
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
        Command::RecipientMalformed => "RCPT TO:<no body>\r\n".into(),
        Command::Data(_) => "DATA\r\n".into(),
        Command::Chunk { content, last } => {
            let content = String::from_utf8(content.bytes()).unwrap();
            format!("BDAT {}{}\r\n{content}", content.len(), if *last { " LAST" } else { "" })
        }
        Command::ChunkMalformed => "BDAT -5 LAST\r\n".into(),
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

/// The content as sent after DATA.
pub fn stuffed(content: Content) -> Vec<u8> {
    // By hand, so that the session's own code does not check itself; the look-alike must not be repaired.
    let text = String::from_utf8(content.bytes()).unwrap();
    let lines: Vec<String> = text.split_inclusive("\r\n").map(|l| if l.starts_with('.') { format!(".{l}") } else { l.into() }).collect();
    (lines.concat() + ".\r\n").into_bytes()
}
