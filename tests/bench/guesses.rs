//! Ten thousand guesses from ten thousand addresses, and what they do to those who are logged in: `cargo xtask bench guesses`.
//!
//! Invariant: the same honest session is measured before and during the attack, in one run, against one server.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use it::{Dns, Lab, MX_PORT, SUBMISSIONS_PORT, Sink, Talk, Waypost, base64};

const GUESSES: u32 = 10_000;

/// Guesses a second.
const PACE: u32 = 400;

/// Guesses under way at a time, at most.
const THREADS: u32 = 400;

/// Honest sessions that are measured before, and at the least during the attack.
const SESSIONS: usize = 600;

const ME: &str = "me@example.test";

fn main() {
    let lab = Lab::new();
    let _dns = Dns::start(&lab, &format!("foreign MX 10 mx.foreign\nmx.foreign A {}\n", lab.address(2)));
    let _far = Sink::start(lab.address(2), MX_PORT);
    let waypost = Arc::new(Waypost::started(&lab, "foo@inbox.test", "[submission]\nrecipients_per_hour = 10000000\n"));
    let password = waypost.account(ME);
    honest(&waypost, &password);
    let before = measure(&waypost, &password, |done| done >= SESSIONS);
    let idle_kib = waypost.memory_kib();
    let attack = Attack::start(&waypost);
    let most_kib = Arc::new(AtomicU32::new(0));
    let (watched, peak, over) = (waypost.clone(), most_kib.clone(), attack.over.clone());
    let watcher = thread::spawn(move || {
        while !over.load(Ordering::Relaxed) {
            peak.fetch_max(u32::try_from(watched.memory_kib()).unwrap_or(u32::MAX), Ordering::Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
    });
    let began = Instant::now();
    let during = measure(&waypost, &password, |_| attack.is_over());
    let took = began.elapsed();
    watcher.join().unwrap();
    let [refused, put_off, closed, other] = attack.replies();
    println!(
        "{GUESSES} guesses from as many addresses in {:.1} s: {refused} refused (535), {put_off} put off (454), {closed} closed (421), {other} other",
        took.as_secs_f64()
    );
    show("before", &before);
    show("during", &during);
    let at = |sorted: &[f64], n: usize| sorted[(sorted.len() * n / 100).min(sorted.len() - 1)];
    println!("ratio           p50 {:.2} x   p99 {:.2} x", at(&during, 50) / at(&before, 50), at(&during, 99) / at(&before, 99));
    println!("memory before {} MiB, at most {} MiB", idle_kib / 1024, most_kib.load(Ordering::Relaxed) / 1024);
    waypost.assert_no_bugs();
}

fn show(when: &str, sorted: &[f64]) {
    let at = |n: usize| sorted[(sorted.len() * n / 100).min(sorted.len() - 1)];
    println!("{when:<8} {:>5} honest sessions: p50 {:.1} ms   p90 {:.1} ms   p99 {:.1} ms", sorted.len(), at(50), at(90), at(99));
}

/// Connects over TLS, logs in, sends a message and leaves.
fn honest(waypost: &Waypost, password: &str) {
    let mut talk = Talk::connect(waypost.address, SUBMISSIONS_PORT);
    talk.handshake(&waypost.certificate()).unwrap();
    talk.reply();
    talk.expect("EHLO client.foreign.test", "250");
    talk.expect(&format!("AUTH PLAIN {}", base64(&format!("\0{ME}\0{password}"))), "235");
    talk.taken(ME, "you@foreign.test", &format!("From: {ME}\r\nSubject: honest\r\n\r\nx\r\n"));
    talk.expect("QUIT", "221");
}

/// The times of honest sessions in milliseconds, sorted.
fn measure(waypost: &Waypost, password: &str, is_enough: impl Fn(usize) -> bool) -> Vec<f64> {
    let mut times = Vec::new();
    while !is_enough(times.len()) {
        let began = Instant::now();
        honest(waypost, password);
        times.push(began.elapsed().as_secs_f64() * 1000.0);
        thread::sleep(Duration::from_millis(20));
    }
    times.sort_by(f64::total_cmp);
    times
}

struct Attack {
    left: Arc<AtomicU32>,
    replies: Arc<[AtomicU32; 4]>,
    over: Arc<AtomicBool>,
}

impl Attack {
    fn start(waypost: &Arc<Waypost>) -> Self {
        let attack = Self { left: Arc::new(AtomicU32::new(THREADS)), replies: Arc::default(), over: Arc::default() };
        let next = Arc::new(AtomicU32::new(0));
        let began = Instant::now();
        for _ in 0..THREADS {
            let (waypost, next, replies) = (waypost.clone(), next.clone(), attack.replies.clone());
            let (left, over) = (attack.left.clone(), attack.over.clone());
            thread::spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= GUESSES {
                        break;
                    }
                    thread::sleep(Duration::from_secs_f64(f64::from(n) / f64::from(PACE)).saturating_sub(began.elapsed()));
                    let reply = guess(&waypost, n);
                    let place = ["535", "454", "421"].iter().position(|code| reply.starts_with(code)).unwrap_or(3);
                    replies[place].fetch_add(1, Ordering::Relaxed);
                }
                if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                    over.store(true, Ordering::Relaxed);
                }
            });
        }
        attack
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn replies(&self) -> [u32; 4] {
        [0, 1, 2, 3].map(|n: usize| self.replies[n].load(Ordering::Relaxed))
    }
}

/// One guess, from an address of its own. Each second one is at the account, the others at names that do not exist.
fn guess(waypost: &Waypost, n: u32) -> String {
    let [_, _, c, d] = n.to_be_bytes();
    let mut talk = Talk::connect_from(Ipv4Addr::new(127, 200 + (n % 50) as u8, c, d), waypost.address, SUBMISSIONS_PORT);
    if talk.handshake(&waypost.certificate()).is_err() {
        return "no handshake".into();
    }
    talk.reply();
    talk.expect("EHLO guess.foreign.test", "250");
    let login = if n.is_multiple_of(2) { ME.to_owned() } else { format!("name{n}@example.test") };
    talk.say(&format!("AUTH PLAIN {}", base64(&format!("\0{login}\0guess{n}"))))
}
