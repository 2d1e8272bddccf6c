//! What the owner's page and the API cost: `cargo xtask bench face`.
//!
//! Invariant: processor time is that of the server's process alone (`/proc/PID/stat`), over requests that keep their connection, as browsers and clients of
//! the API do; a figure that is missed ends the run with an error.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::time::Instant;

use it::{HTTPS_PORT, Lab, Talk, Waypost};

const ALIASES: usize = 10_000;
const LOOKUPS: usize = 20_000;
const PAGES: usize = 200;
const ME: &str = "me@example.test";

/// The figures: requests a second on one core, milliseconds a page, KiB of memory of its own (the code of the page is shared with the file cache).
const LOOKUPS_MIN: f64 = 2_000.0;
const PAGE_MAX_MS: f64 = 100.0;
const FACE_MAX_KIB: u64 = 5 * 1024;

fn main() {
    let mut missed = Vec::new();
    let without = idle_without_face();
    let lab = Lab::new();
    let waypost = served(&lab, "[client_config]\n");
    let token = waypost.ok(&["token", "add", "bench", "--scope", "aliases"]);
    let token = token.split_whitespace().find(|word| word.starts_with("wpt_")).expect("a token").to_owned();
    let idle = Memory::of(&waypost);
    let mut page = HttpsClient::logged_in(&waypost);
    for path in ["/", "/mail", "/aliases"] {
        page.get(path);
    }
    let used = Memory::of(&waypost);
    println!("memory without the face: {without}; with it: {idle}; after its first pages and the server's check of itself: {used}");
    let mut require = |what: &str, is_met: bool| {
        if !is_met {
            missed.push(what.to_owned());
        }
    };
    require("memory of the face", used.own_kib <= without.own_kib + FACE_MAX_KIB);

    let mut api = HttpsClient::connect(&waypost);
    api.fields = format!("Authorization: Bearer {token}\r\n");
    let cost = measured(&waypost, LOOKUPS, |n| {
        let body = api.get(&format!("/api/v1/aliases/user{}@example.test", n * 7 % ALIASES));
        assert!(body.contains("\"source\""), "{body}");
    });
    println!("{LOOKUPS} alias look-ups by the API: {cost}");
    require("alias look-ups", cost.a_second() >= LOOKUPS_MIN);
    for (what, path, has) in [
        ("first page of the aliases", "/aliases", "user"),
        ("a search that finds one", "/aliases?q=user4711", "user4711@"),
        ("a search that finds nothing", "/aliases?q=no-such-alias", "</html>"),
        ("a search that finds all", "/aliases?q=user", "user"),
    ] {
        let cost = measured(&waypost, PAGES, |_| assert!(page.get(path).contains(has)));
        println!("{what} of {ALIASES}: {cost}");
        require(what, cost.each_ms() <= PAGE_MAX_MS && cost.slowest_ms <= 4.0 * PAGE_MAX_MS);
    }
    println!("memory at the end: {}", Memory::of(&waypost));
    waypost.assert_no_bugs();
    assert!(missed.is_empty(), "missed: {}", missed.join(", "));
}

/// A running server with the aliases and an owner.
fn served(lab: &Lab, options: &str) -> Waypost {
    let mut waypost = Waypost::configured(lab, options);
    waypost.ok(&["domain", "add", "--bare", "example.test"]);
    let virtual_file: String = (0..ALIASES).map(|n| format!("user{n}@example.test foo{n}@inbox.test\n")).collect();
    let file = lab.write("virtual", &virtual_file);
    waypost.ok(&["alias", "import", "virtual", file.to_str().unwrap()]);
    waypost.account(ME);
    waypost.ok(&["account", "owner", ME]);
    waypost.start();
    waypost
}

/// The idle memory of the same server without page, API over the network and history.
fn idle_without_face() -> Memory {
    let lab = Lab::new();
    let waypost = served(&lab, "[client_config]\n[listen]\nadmin = []\n[history]\nenabled = false\n");
    Memory::of(&waypost)
}

/// The memory of the server at rest.
struct Memory {
    /// Its share of all its pages, the code in use included.
    all_kib: u64,
    /// What no file has.
    own_kib: u64,
}

impl Memory {
    fn of(waypost: &Waypost) -> Self {
        // After the check of itself that the first page starts.
        std::thread::sleep(std::time::Duration::from_secs(5));
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", waypost.id())).unwrap();
        let kib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse().unwrap()
        };
        Self { all_kib: kib("Pss:"), own_kib: kib("Pss_Anon:") }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} KiB, {} of its own", self.all_kib, self.own_kib)
    }
}

/// The processor time of the server so far, in seconds.
fn cpu_s(waypost: &Waypost) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", waypost.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().unwrap();
    // proc(5): utime and stime are fields 14 and 15; the name in brackets was the second.
    (ticks(11) + ticks(12)) as f64 / 100.0
}

/// What requests cost.
struct Cost {
    requests: f64,
    cpu_s: f64,
    median_ms: f64,
    slowest_ms: f64,
}

impl Cost {
    /// Requests a second that one core can answer.
    fn a_second(&self) -> f64 {
        self.requests / self.cpu_s
    }

    fn each_ms(&self) -> f64 {
        self.cpu_s * 1000.0 / self.requests
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (a_second, each) = (self.a_second(), self.each_ms());
        write!(
            f,
            "{a_second:.0} requests/s on one core, {each:.3} ms CPU each; median {:.2} ms, slowest {:.2} ms",
            self.median_ms, self.slowest_ms
        )
    }
}

fn measured(waypost: &Waypost, requests: usize, mut ask: impl FnMut(usize)) -> Cost {
    (0..requests / 20).for_each(&mut ask);
    let before = cpu_s(waypost);
    let mut times: Vec<f64> = (0..requests)
        .map(|n| {
            let began = Instant::now();
            ask(n);
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    let cpu_s = cpu_s(waypost) - before;
    times.sort_by(f64::total_cmp);
    Cost { requests: requests as f64, cpu_s, median_ms: times[requests / 2], slowest_ms: times[requests - 1] }
}

/// A client with one connection.
struct HttpsClient {
    talk: Talk,
    fields: String,
}

impl HttpsClient {
    fn connect(waypost: &Waypost) -> Self {
        let mut talk = Talk::connect(waypost.address, HTTPS_PORT);
        talk.handshake(&waypost.certificate()).unwrap();
        Self { talk, fields: String::new() }
    }

    /// A browser of the owner, by a one-time link: the check of a password takes memory that is not the page's.
    fn logged_in(waypost: &Waypost) -> Self {
        let mut client = Self::connect(waypost);
        let made = waypost.json(&["web", "login-link"]);
        let path = made["link"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
        let origin = format!("Origin: https://mx.example.test:{HTTPS_PORT}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 0\r\n");
        let (answer, _) = client.ask(&format!("POST /{path}"), &origin, "");
        let cookie = answer.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: __host-waypost="));
        let cookie = cookie.unwrap_or_else(|| panic!("no session: {answer}")).split([' ', ';']).nth(1).unwrap();
        client.fields = format!("Cookie: {cookie}\r\n");
        client
    }

    /// Gets a path; returns the body.
    fn get(&mut self, path: &str) -> String {
        let fields = self.fields.clone();
        let (head, body) = self.ask(&format!("GET {path}"), &fields, "");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        body
    }

    fn ask(&mut self, what: &str, fields: &str, body: &str) -> (String, String) {
        self.talk.send(format!("{what} HTTP/1.1\r\nHost: mx.example.test:{HTTPS_PORT}\r\n{fields}\r\n{body}").as_bytes());
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let line = self.talk.line();
            assert!(!line.is_empty(), "the server closed the connection: {head}");
            head.push_str(&line);
        }
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        (head, self.talk.octets(length.unwrap_or(0)))
    }
}
