//! The senders of letters: other servers on port 25, which retry as servers do, and programs on this machine.
//!
//! RFC 5321 s.4.5.4.1. Invariant: a sender that lost the reply to its content tries again, and the ledger knows that it was in doubt.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mail::Notify;
use mta::Submission;
use policy::LocalUser;
use tokio::time::{sleep, timeout};

use crate::ledger::{Answer, letter_of};
use crate::network::dial_us;
use crate::scenario::{HOUR_MS, MINUTE_MS, Way};
use crate::wire::Wire;
use crate::world::World;

/// The wait for a reply (RFC 5321 s.4.5.3.2.6).
const REPLY_WITHIN: Duration = Duration::from_secs(600);

/// When a sender gives up.
const GIVES_UP_AFTER_MS: i64 = 96 * HOUR_MS;

/// Sends one letter until every recipient has a final answer.
pub async fn send(world: Arc<World>, n: usize) {
    loop {
        let (wait_ms, is_open) = {
            let mut state = world.state();
            let now_ms = state.now_ms();
            let letter = state.ledger.letter(n);
            (letter.next_ms - now_ms, !letter.open().is_empty())
        };
        if !is_open {
            return;
        }
        if wait_ms > 0 {
            sleep(Duration::from_millis(u64::try_from(wait_ms).unwrap_or_default())).await;
            continue;
        }
        let way = world.state().ledger.letter(n).plan.way;
        world.state().ledger.letter(n).attempts += 1;
        let tried = match way {
            Way::Server => from_server(&world, n).await.map_err(|error| error.kind()),
            Way::Program => {
                from_program(&world, n).await;
                Ok(())
            }
        };
        let mut state = world.state();
        // Whoever still waits for its answer has lost it.
        state.ledger.doubt(n);
        let now_ms = state.now_ms();
        let wait_ms = if state.now_ms() < world.scenario.chaos_ms { state.dice.between(1, 45) } else { 5 } * MINUTE_MS;
        let letter = state.ledger.letter(n);
        letter.next_ms = now_ms + wait_ms;
        let (gave_up, open) = (now_ms > letter.plan.at_ms + GIVES_UP_AFTER_MS, letter.open());
        if gave_up {
            open.iter().for_each(|k| letter.to[*k].answer = Answer::Refused);
        }
        state.trace(&format!("sender of letter {n}: {tried:?}, open {open:?}"));
    }
}

fn settle(world: &World, n: usize, recipients: &[usize], code: u16) {
    let mut state = world.state();
    let now_ms = state.now_ms();
    state.trace(&format!("sender of letter {n}: {code} for {recipients:?}"));
    let letter = state.ledger.letter(n);
    letter.waiting.retain(|k| !recipients.contains(k));
    for k in recipients {
        letter.to[*k].answer = match code {
            200..=299 => Answer::Accepted(now_ms),
            500..=599 => Answer::Refused,
            _ => continue,
        };
    }
}

/// The message of a letter. Its number is in X-Letter, in the form of a sender's address.
fn message(world: &World, n: usize) -> String {
    let mut state = world.state();
    let letter = state.ledger.letter(n);
    let (from, body) = (letter.sender(n), letter.body(n));
    format!(
        "From: <{from}>\r\nTo: undisclosed-recipients:;\r\nDate: Thu, 1 Oct 2026 12:00:00 +0000\r\nMessage-ID: <{n}@letters.test>\r\n\
         X-Letter: letter-{n}@\r\nSubject: letter {n}\r\n\r\n{body}"
    )
}

async fn from_server(world: &Arc<World>, n: usize) -> io::Result<()> {
    let (from, open, addresses, domain) = {
        let mut state = world.state();
        let letter = state.ledger.letter(n);
        let open = letter.open();
        let addresses: Vec<String> = open.iter().map(|k| letter.to[*k].address.clone()).collect();
        (letter.sender(n), open, addresses, world.scenario.domains[letter.plan.from].clone())
    };
    let Some(tcp) = dial_us(world, domain.sends_from, domain.steady).await else { return Err(io::ErrorKind::ConnectionRefused.into()) };
    let mut wire = Wire::new(tcp);
    let leaves_at = if !domain.steady && world.mishap(30) { world.state().dice.between(0, 6) } else { -1 };
    let leave = |step: i64| if leaves_at == step { Err(io::Error::from(io::ErrorKind::Interrupted)) } else { Ok(()) };
    expect(&mut wire, 2).await?;
    leave(0)?;
    ask(&mut wire, &format!("EHLO out.{}\r\n", domain.name), 2).await?;
    leave(1)?;
    ask(&mut wire, &format!("MAIL FROM:<{from}>\r\n"), 2).await?;
    leave(2)?;
    let mut taken = Vec::new();
    for (k, address) in open.iter().zip(&addresses) {
        wire.send(&format!("RCPT TO:<{address}>\r\n")).await?;
        let (code, _) = replied(&mut wire).await?;
        if code / 100 == 2 { taken.push(*k) } else { settle(world, n, &[*k], code) }
    }
    if taken.is_empty() {
        return Ok(());
    }
    leave(3)?;
    ask(&mut wire, "DATA\r\n", 3).await?;
    let message = message(world, n).replace("\r\n.", "\r\n..");
    let half = message.len() / 2;
    wire.send(&message[..half]).await?;
    leave(4)?;
    wire.send(&message[half..]).await?;
    leave(5)?;
    world.state().ledger.letter(n).waiting = taken.clone();
    wire.send(".\r\n").await?;
    leave(6)?;
    let (code, line) = replied(&mut wire).await?;
    world.trace(format!("sender of letter {n}: < {line}"));
    settle(world, n, &taken, code);
    world.state().ledger.letter(n).waiting.clear();
    let _ = ask(&mut wire, "QUIT\r\n", 2).await;
    Ok(())
}

async fn replied(wire: &mut Wire) -> io::Result<(u16, String)> {
    timeout(REPLY_WITHIN, wire.reply()).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn expect(wire: &mut Wire, class: u16) -> io::Result<()> {
    let (code, _) = replied(wire).await?;
    if code / 100 == class { Ok(()) } else { Err(io::ErrorKind::ConnectionAborted.into()) }
}

async fn ask(wire: &mut Wire, command: &str, class: u16) -> io::Result<()> {
    wire.send(command).await?;
    expect(wire, class).await
}

async fn from_program(world: &Arc<World>, n: usize) {
    let (sender, open, recipients) = {
        let mut state = world.state();
        let letter = state.ledger.letter(n);
        let open = letter.open();
        let recipients = open.iter().map(|k| letter.to[*k].address.clone()).collect();
        (letter.sender(n), open, recipients)
    };
    debug_assert_eq!(letter_of(&sender), Some(n));
    let Some(submitter) = world.state().submitter.clone() else { return };
    world.state().ledger.letter(n).waiting = open.clone();
    let submission = Submission {
        user: LocalUser { name: "root".into(), privileged: true },
        full_name: "root".into(),
        sender: Some(sender),
        recipients,
        recipients_in_header: false,
        notify: Notify::default(),
        ret: None,
        envid: None,
        content: message(world, n).into_bytes(),
    };
    let code = match submitter.submit(submission).await {
        Ok(_) => 250,
        Err(reply) => {
            world.trace(format!("program of letter {n}: {reply}"));
            reply.code
        }
    };
    settle(world, n, &open, code);
    world.state().ledger.letter(n).waiting.clear();
}
