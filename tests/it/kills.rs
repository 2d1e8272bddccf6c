//! SIGKILL while mail is deferred: it is all there afterwards, and no file without a message. Kills under load are a campaign (`cargo xtask crash`).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use it::{Delivered, Dns, Lab, MX_PORT, Sink, Waypost, wait_for};

const ALIASES: [&str; 2] = ["me@example.test", "team@example.test"];
const TARGETS: [&str; 2] = ["<foo@inbox.test>", "<bar@inbox.test>"];

/// Larger content has a file of its own.
const LARGE_BYTES: usize = 130 * 1024;

/// xorshift: the same content for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A message with its number and a checksum of its lines.
fn content(number: u64) -> String {
    let mut dice = Dice(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = if number.is_multiple_of(7) { LARGE_BYTES + 70 * 1024 } else { 600 };
    let mut lines = String::new();
    while lines.len() < size {
        let _ = writeln!(lines, "{:016x}{:016x}{:016x}\r", dice.roll(u64::MAX), dice.roll(u64::MAX), dice.roll(u64::MAX));
    }
    format!("From: her@foreign.test\r\nSubject: number {number} {:016x}\r\n\r\n{lines}", checksum(&lines))
}

/// The number of an intact message.
fn number(message: &Delivered) -> Option<u64> {
    let text = message.text();
    let (head, lines) = text.split_once("\r\n\r\n")?;
    let subject = head.lines().find_map(|line| line.strip_prefix("Subject: number "))?;
    let (number, sum) = subject.split_once(' ')?;
    (format!("{:016x}", checksum(lines)) == sum).then(|| number.parse().ok())?
}

/// Which aliases a message is for: one, the other, or both.
fn aliases(number: u64) -> &'static [&'static str] {
    match number % 3 {
        0 => &ALIASES[..1],
        1 => &ALIASES[1..],
        _ => &ALIASES,
    }
}

struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: Ipv4Addr) -> io::Result<Self> {
        let stream = TcpStream::connect((address, MX_PORT))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        let mut client = Self { reader: BufReader::new(stream.try_clone()?), stream };
        client.reply()?;
        client.say("EHLO client.foreign.test\r\n")?;
        Ok(client)
    }

    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return if line.starts_with(['2', '3']) { Ok(line) } else { Err(io::Error::other(line)) };
            }
        }
    }

    fn say(&mut self, text: &str) -> io::Result<String> {
        self.stream.write_all(text.as_bytes())?;
        self.reply()
    }

    /// Returns after the server's 250 for the whole message.
    fn send(&mut self, number: u64) -> io::Result<()> {
        self.say("MAIL FROM:<her@foreign.test>\r\n")?;
        for alias in aliases(number) {
            self.say(&format!("RCPT TO:<{alias}>\r\n"))?;
        }
        self.say("DATA\r\n")?;
        let done = self.say(&format!("{}.\r\n", content(number)))?;
        if done.starts_with("250 ") { Ok(()) } else { Err(io::Error::other(done)) }
    }
}

fn zone(lab: &Lab) -> String {
    format!("inbox MX 10 mx.inbox\nmx.inbox A {}\n", lab.address(2))
}

fn started(lab: &Lab) -> Waypost {
    let waypost = Waypost::started(lab, "foo@inbox.test", "");
    waypost.ok(&["alias", "add", "team@example.test", "bar@inbox.test"]);
    waypost
}

/// Number of intact copies per message and target.
fn arrivals(sink: &Sink) -> HashMap<(u64, String), usize> {
    let mut arrivals = HashMap::new();
    for message in sink.messages() {
        let number = number(&message).unwrap_or_else(|| panic!("a damaged message for {:?}: {:.300}", message.to, message.text()));
        for to in message.to {
            *arrivals.entry((number, to)).or_default() += 1;
        }
    }
    arrivals
}

fn expected(acknowledged: &[u64]) -> Vec<(u64, String)> {
    let targets = |number: &u64| {
        let number = *number;
        aliases(number).iter().map(move |alias| (number, TARGETS[usize::from(*alias == ALIASES[1])].to_owned()))
    };
    acknowledged.iter().flat_map(targets).collect()
}

fn content_files(waypost: &Waypost) -> usize {
    // Leftovers of a crash are moved to a directory of their own.
    let entries = std::fs::read_dir(waypost.data.join("content")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_type().unwrap().is_file()).count()
}

#[test]
fn deferred_mail_survives_a_kill() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &zone(&lab));
    let mut waypost = started(&lab);
    let numbers: Vec<u64> = (1..=30).collect();
    let mut client = Client::connect(waypost.address).unwrap();
    for number in &numbers {
        client.send(*number).unwrap();
    }
    let attempted =
        |waypost: &Waypost| waypost.json(&["queue", "list", "--limit", "1000"])["items"][0]["recipients"][0]["attempts"].as_u64();
    wait_for("a first attempt", || attempted(&waypost).filter(|n| *n > 0));
    let queued = waypost.queued();
    assert_eq!(queued, expected(&numbers).len());
    waypost.kill();
    let orphan = waypost.data.join("content").join(mail::QueueId(7).to_string());
    std::fs::write(&orphan, b"never acknowledged").unwrap();
    waypost.start();
    assert_eq!(waypost.queued(), queued);
    assert!(!orphan.exists(), "content that no message names is left");
    let files = content_files(&waypost);
    let large = numbers.iter().filter(|number| number.is_multiple_of(7)).count();
    assert!((1..=2 * large).contains(&files), "{files} content files for {large} large messages");
    let sink = Sink::start(lab.address(2), MX_PORT);
    waypost.ok(&["queue", "retry", "--all"]);
    wait_for("the queue to be empty", || (waypost.queued() == 0).then_some(()));
    let arrived = arrivals(&sink);
    assert!(expected(&numbers).iter().all(|one| arrived.get(one) == Some(&1)), "{arrived:?}");
    // A file is deleted after the commit that frees it.
    wait_for("content of delivered mail to be gone", || (content_files(&waypost) == 0).then_some(()));
    waypost.kill();
    waypost.start();
    assert_eq!((waypost.queued(), content_files(&waypost)), (0, 0));
    waypost.assert_no_bugs();
}
