//! Replays the server transcripts: as written, cut into pieces of every size, and pipelined. All must give the same.

#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod server_driver;
mod transcript;

use server_driver::{Driver, Note, config, tls};
use smtp::server::Service;
use transcript::{Line, Transcript, all, compare, read, update};

const INPUTS: [char; 1] = ['C'];

#[test]
fn transcripts() {
    let mut wrong = Vec::new();
    for path in all("server") {
        let transcript = read(&path);
        let groups = groups(&transcript);
        let got = replay(&transcript, &groups, usize::MAX);
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
        let outputs = |lines: &[Line]| lines.iter().filter(|l| l.who != 'C').cloned().collect::<Vec<_>>();
        let want = outputs(&got);
        for size in sizes(&groups) {
            if let Err(difference) = compare(&want, &outputs(&replay(&transcript, &groups, size))) {
                wrong.push(format!("{} in pieces of {size}: {difference}", path.display()));
                break;
            }
        }
        let pipelined = pipelined(&groups);
        for size in [usize::MAX, 1, 3, 17] {
            if let Err(difference) = compare(&want, &outputs(&replay(&transcript, &pipelined, size))) {
                wrong.push(format!("{} pipelined in pieces of {size}: {difference}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the client says between two replies of the server. The first group is what it says before the banner.
fn groups(transcript: &Transcript) -> Vec<Vec<Line>> {
    let mut groups = vec![Vec::new()];
    let mut last = 'S';
    for line in &transcript.lines {
        if line.who == 'C' {
            if last != 'C' && (groups.len() > 1 || transcript.lines.first() != Some(line)) {
                groups.push(Vec::new());
            }
            groups.last_mut().unwrap().push(line.clone());
        }
        last = line.who;
    }
    groups
}

/// Joins the groups up to the points where a client must wait (RFC 2920 s.3.1).
fn pipelined(groups: &[Vec<Line>]) -> Vec<Vec<Line>> {
    let mut joined: Vec<Vec<Line>> = vec![groups[0].clone(), Vec::new()];
    for group in &groups[1..] {
        joined.last_mut().unwrap().extend_from_slice(group);
        let waits = ["EHLO", "HELO", "STARTTLS", "AUTH", "DATA", "QUIT"];
        let must_wait = |l: &Line| waits.iter().any(|w| l.bytes.to_ascii_uppercase().starts_with(w.as_bytes()));
        if group.iter().any(must_wait) {
            joined.push(Vec::new());
        }
    }
    joined
}

fn sizes(groups: &[Vec<Line>]) -> Vec<usize> {
    let largest = groups.iter().map(|g| g.iter().map(|l| l.bytes.len()).sum::<usize>()).max().unwrap_or(1);
    if largest > 4000 { vec![1, 7, 1000, 2048, 2049, largest - 1] } else { (1..=largest).collect() }
}

fn replay(transcript: &Transcript, groups: &[Vec<Line>], size: usize) -> Vec<Line> {
    let submission = transcript.settings.get("service").is_some_and(|s| s == "submission");
    let config = config(if submission { Service::Submission } else { Service::Mx });
    let mut driver = Driver::new(config, transcript.settings.contains_key("tls").then(tls));
    let mut lines = Vec::new();
    for (i, group) in groups.iter().enumerate() {
        let bytes: Vec<u8> = group.iter().flat_map(|l| l.bytes.clone()).collect();
        lines.extend_from_slice(group);
        for piece in bytes.chunks(size.max(1)) {
            driver.feed(piece);
        }
        if i == 0 {
            driver.session.greet();
            driver.pump();
        }
        lines.extend(driver.notes.drain(..).map(line));
    }
    lines
}

fn line(note: Note) -> Line {
    let text = |who, text: String| Line { who, bytes: text.into_bytes() };
    match note {
        Note::Sent(bytes) => Line { who: 'S', bytes },
        Note::Message(envelope, content) => Line { who: 'M', bytes: [envelope.as_bytes(), b" ", &content].concat() },
        Note::Aborted => text('A', "aborted".into()),
        Note::Tls => text('T', "tls".into()),
        Note::Closed => text('X', "closed".into()),
    }
}

#[test]
fn a_refused_bdat_is_answered_after_its_chunk() {
    let mut driver = Driver::new(config(Service::Mx), None);
    driver.session.greet();
    driver.feed(b"EHLO client.test\r\n");
    driver.notes.clear();
    driver.feed(b"BDAT 6 LAST\r\n");
    assert!(driver.notes.is_empty(), "no reply before the chunk is complete: {:?}", driver.notes);
    driver.feed(b"QUIT\r");
    assert!(driver.notes.is_empty(), "{:?}", driver.notes);
    driver.feed(b"\nNOOP\r\n");
    let said: Vec<String> = driver.notes.iter().map(|note| format!("{note:?}")).collect();
    assert!(
        matches!(&driver.notes[..], [Note::Sent(first), Note::Sent(second)] if first.starts_with(b"503") && second.starts_with(b"250")),
        "{said:?}"
    );
    driver.feed(b"MAIL FROM:<nospool@foreign.test>\r\nRCPT TO:<me@hosted.test>\r\n");
    driver.notes.clear();
    driver.feed(b"BDAT 6 LAST\r\nQUIT");
    assert!(driver.notes.is_empty(), "{:?}", driver.notes);
    driver.feed(b"\r\n");
    assert!(matches!(&driver.notes[..], [Note::Sent(only)] if only.starts_with(b"452 4.3.1")), "{:?}", driver.notes);
}
