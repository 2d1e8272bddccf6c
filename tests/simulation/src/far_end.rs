//! A mail host of another domain: takes, defers, refuses and loses mail by its mood, and enters what it took in the ledger.
//!
//! RFC 5321. Invariant: what it took counts as delivered before its reply is sent.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use net::SimulatedTcp;
use tokio::time::sleep;

use crate::ledger::letter_of;
use crate::network::Unanswered;
use crate::scenario::{FarHost, MINUTE_MS, Mood};
use crate::wire::Wire;
use crate::world::World;

const TEMPORARY: [&str; 6] = [
    "450 4.2.0 the mailbox is busy",
    "451 4.3.0 try again later",
    "452 4.2.2 the mailbox is full",
    "421 4.3.2 shutting down",
    "421 4.7.0 too many messages, slow down",
    "451 4.7.1 try again in five minutes",
];

const PERMANENT: [&str; 5] = [
    "550 5.1.1 no such user",
    "550 5.7.1 refused by policy",
    "552 5.2.2 the mailbox is full",
    "554 5.6.0 the content is not acceptable",
    "554 5.7.1 your address is on a list",
];

/// A stage of a session, at which a mood shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Banner,
    Mail,
    Recipient,
    Data,
    Dot,
}

/// What a mood does at a stage.
enum Whim {
    None,
    Reply(&'static str),
    HangUp,
    Mute,
}

struct FarSession {
    world: Arc<World>,
    host: FarHost,
    wire: Wire,
    unanswered: Unanswered,
    from: String,
    to: Vec<String>,
}

/// Serves one connection.
pub async fn serve(world: Arc<World>, address: IpAddr, tcp: SimulatedTcp, unanswered: Unanswered) {
    let Some(host) = world.scenario.host(address).map(|(_, host)| host.clone()) else { return };
    *world.state().sessions.entry(address).or_default() += 1;
    let mut session = FarSession { world: world.clone(), host, wire: Wire::new(tcp), unanswered, from: String::new(), to: Vec::new() };
    let end = session.run().await;
    let mut state = world.state();
    if let Some(count) = state.sessions.get_mut(&address) {
        *count -= 1;
    }
    state.trace(&format!("far {address}: end {:?}", end.map_err(|error| error.kind())));
}

impl FarSession {
    fn whim(&self, stage: Stage) -> Whim {
        let mut state = self.world.state();
        let mood = self.host.mood(state.now_ms());
        if !matches!(mood, Mood::Temporary | Mood::Permanent | Mood::HangsUp | Mood::Mute) || !state.dice.chance(250) {
            return Whim::None;
        }
        match mood {
            Mood::Temporary => Whim::Reply(*state.dice.pick::<&str>(&TEMPORARY)),
            // A refusal of the greeting concerns us; the others concern one message.
            Mood::Permanent if stage == Stage::Banner => Whim::Reply("554 5.3.2 no service here"),
            Mood::Permanent => Whim::Reply(*state.dice.pick::<&str>(&PERMANENT)),
            Mood::HangsUp => Whim::HangUp,
            _ => Whim::Mute,
        }
    }

    /// Answers, or does what the mood wants instead. True if the answer was `good`.
    async fn answer(&mut self, stage: Stage, good: &str) -> io::Result<bool> {
        let now_ms = self.world.now_ms();
        if self.host.mood(now_ms) == Mood::Slow {
            let wait_s = self.world.state().dice.between(1, 60);
            sleep(Duration::from_secs(u64::try_from(wait_s).unwrap_or_default())).await;
        }
        match self.whim(stage) {
            Whim::None => {
                self.say(good).await?;
                Ok(true)
            }
            Whim::Reply(text) => {
                self.say(text).await?;
                if text.starts_with("421") { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(false) }
            }
            Whim::HangUp => Err(io::ErrorKind::ConnectionReset.into()),
            Whim::Mute => {
                self.wire.ignore().await;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.world.trace(format!("far {}: > {text}", self.host.address));
        self.wire.send(&format!("{text}\r\n")).await
    }

    async fn run(&mut self) -> io::Result<()> {
        let open = self.world.state().sessions.get(&self.host.address).copied().unwrap_or_default();
        if open > self.host.sessions_max && self.world.is_chaos() {
            return self.say("421 4.7.0 too many connections").await;
        }
        let banner = format!("220 {} ESMTP", self.host.name);
        if !self.answer(Stage::Banner, &banner).await? {
            return Ok(());
        }
        loop {
            let line = self.wire.line().await?;
            // Whoever sends the next command has read the last reply.
            self.unanswered.lock().expect("no task has panicked").copies.clear();
            self.world.trace(format!("far {}: < {line}", self.host.address));
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => self.hello().await?,
                "HELO" => self.say(&format!("250 {}", self.host.name)).await?,
                "MAIL" => self.mail(&line).await?,
                "RCPT" => self.recipient(&line).await?,
                "DATA" if self.to.is_empty() => self.say("503 5.5.1 no recipients").await?,
                "DATA" => {
                    if self.answer(Stage::Data, "354 go on").await? {
                        let content = self.wire.content().await?;
                        self.take(&content).await?;
                    }
                }
                "BDAT" => self.chunk(&line).await?,
                "RSET" => {
                    self.forget();
                    self.say("250 2.0.0 OK").await?;
                }
                "QUIT" => return self.say("221 2.0.0 bye").await,
                _ => self.say("502 5.5.2 what").await?,
            }
        }
    }

    fn forget(&mut self) {
        self.from.clear();
        self.to.clear();
    }

    async fn hello(&mut self) -> io::Result<()> {
        let mut text = format!("250-{}\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n", self.host.name);
        for (offered, keyword) in [(self.host.pipelining, "PIPELINING"), (self.host.chunking, "CHUNKING")] {
            if offered {
                text.push_str(&format!("250-{keyword}\r\n"));
            }
        }
        self.say(&format!("{text}250 SIZE 10000000")).await
    }

    async fn mail(&mut self, line: &str) -> io::Result<()> {
        self.forget();
        if self.answer(Stage::Mail, "250 2.1.0 OK").await? {
            self.from = address(line);
            if self.from.is_empty() {
                self.from = "<>".into();
            }
        }
        Ok(())
    }

    async fn recipient(&mut self, line: &str) -> io::Result<()> {
        let to = address(line);
        if self.from.is_empty() {
            return self.say("503 5.5.1 MAIL first").await;
        }
        let now_ms = self.world.now_ms();
        if self.host.mood(now_ms) == Mood::Greylist {
            let first_ms = *self.world.state().seen.entry((self.host.address, format!("{} {to}", self.from))).or_insert(now_ms);
            if now_ms - first_ms < 5 * MINUTE_MS {
                return self.say("450 4.7.1 greylisted, come back in five minutes").await;
            }
        }
        if self.answer(Stage::Recipient, "250 2.1.5 OK").await? {
            self.to.push(to);
        }
        Ok(())
    }

    async fn chunk(&mut self, line: &str) -> io::Result<()> {
        let mut words = line.split_ascii_whitespace().skip(1);
        let size = words.next().and_then(|size| size.parse().ok()).unwrap_or_default();
        let octets = self.wire.octets(size).await?;
        if words.next() != Some("LAST") {
            return self.say("554 5.5.1 one chunk at most").await;
        }
        if self.to.is_empty() {
            return self.say("503 5.5.1 no recipients").await;
        }
        self.take(&String::from_utf8_lossy(&octets)).await
    }

    /// The end of the content: takes it, or does not, and may lose the reply.
    async fn take(&mut self, content: &str) -> io::Result<()> {
        if self.host.mood(self.world.now_ms()) == Mood::Slow {
            let wait_s = self.world.state().dice.between(1, 60);
            sleep(Duration::from_secs(u64::try_from(wait_s).unwrap_or_default())).await;
        }
        let whim = self.whim(Stage::Dot);
        let keeps = match &whim {
            Whim::None => true,
            Whim::Reply(_) => false,
            Whim::HangUp | Whim::Mute => self.world.state().dice.chance(500),
        };
        if keeps {
            let copies = self.enter(content);
            let mut state = self.world.state();
            let mut last = self.unanswered.lock().expect("no task has panicked");
            if matches!(whim, Whim::None) && !last.is_cut {
                last.copies = copies;
            } else {
                copies.iter().for_each(|(n, target)| state.ledger.excuse(*n, target));
            }
        }
        self.forget();
        match whim {
            Whim::None => self.say("250 2.0.0 taken").await,
            Whim::Reply(text) => {
                self.say(text).await?;
                if text.starts_with("421") { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
            }
            Whim::HangUp => Err(io::ErrorKind::ConnectionReset.into()),
            Whim::Mute => {
                self.wire.ignore().await;
                Err(io::ErrorKind::TimedOut.into())
            }
        }
    }

    /// Enters the message in the ledger; returns the copies of letters.
    fn enter(&self, content: &str) -> Vec<(usize, String)> {
        let mut state = self.world.state();
        let now_ms = state.now_ms();
        let Some(n) = letter_in(content) else {
            state.ledger.broken.push(format!("a message without a letter arrived at {}", self.host.name));
            return Vec::new();
        };
        if self.from == "<>" {
            for address in failures(content) {
                state.trace(&format!("far {}: a report about letter {n} to {address}", self.host.address));
                state.ledger.reported(n, &address);
            }
            return Vec::new();
        }
        let body = content.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        for target in &self.to {
            state.trace(&format!("far {}: took letter {n} for {target}", self.host.address));
            state.ledger.delivered(n, target, body, now_ms);
        }
        self.to.iter().map(|target| (n, target.clone())).collect()
    }
}

fn address(line: &str) -> String {
    let path = line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(path, _)| path);
    path.to_owned()
}

/// The letter that a message is, or is about.
pub fn letter_in(content: &str) -> Option<usize> {
    content.lines().find_map(|line| letter_of(line.strip_prefix("X-Letter: ")?))
}

/// The addresses that a report names as failed.
pub fn failures(content: &str) -> Vec<String> {
    let (mut failed, mut address) = (Vec::new(), String::new());
    for line in content.lines() {
        if let Some(value) = line.strip_prefix("Final-Recipient:") {
            address = value.rsplit(';').next().unwrap_or_default().trim().to_owned();
        } else if line.eq_ignore_ascii_case("Action: failed") {
            failed.push(std::mem::take(&mut address));
        }
    }
    failed
}
