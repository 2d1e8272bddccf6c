//! Random command sequences against a reference model: the state of the session must always be that of the model.
//!
//! `SMTP_MODEL_SEQUENCES` sets how many (a release run of a million takes minutes), `SMTP_MODEL_SEED` where to begin.

#![allow(clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used, clippy::expect_used)]

mod reference_model;
mod server_driver;

use reference_model::{Command, Model, Random, random_command, stuffed, wire};
use server_driver::{Driver, Note, config};
use smtp::server::Service;

fn feed(driver: &mut Driver, random: &mut Random, bytes: &[u8]) {
    let size = if random.below(3) == 0 { bytes.len() } else { 1 + random.below(bytes.len() as u64) as usize };
    bytes.chunks(size).for_each(|piece| driver.feed(piece));
}

/// The last line of each reply since `from`.
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
        // A burst is sent at once, as by a pipelining client, up to where it must wait.
        let mut burst = Vec::new();
        let mut due = Vec::new();
        let from = driver.notes.len();
        for _ in 0..=random.below(4) {
            let command = if random.below(2) == 0 { model.sensible(&mut random) } else { random_command(&mut random) };
            burst.extend(wire(&command));
            history.push(command.clone());
            let had = model.messages.len();
            let reply = model.execute(&command);
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
fn sessions_match_the_reference_model() {
    let first = setting("SMTP_MODEL_SEED", 1);
    for seed in first..first + setting("SMTP_MODEL_SEQUENCES", 30_000) {
        run(seed);
    }
}
