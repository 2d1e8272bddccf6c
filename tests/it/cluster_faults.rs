//! Servers that share a PostgreSQL, and what goes wrong: nodes are killed, one is cut off, the primary is lost and its standby promoted.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use it::{Dns, Lab, MX_PORT, Script, Sink, Talk, Waypost, obedient, wait_for, wait_within, zone};
use pg_lab::{Cable, PgServer};

/// SIGKILLs of the test; a campaign sets more.
const KILLS: usize = 6;

/// Clients that send at the same time.
const CLIENTS: usize = 6;

/// Deliveries that a killed node may repeat: its connections, and those that had just begun.
const DUPLICATES_A_KILL: usize = 24;

/// Sends a message to a node; `Ok` after its 250.
pub(crate) fn send(address: Ipv4Addr, number: u64) -> io::Result<()> {
    let stream = TcpStream::connect((address, MX_PORT))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let (mut reader, mut stream) = (BufReader::new(stream.try_clone()?), stream);
    let mut reply = |want: char| {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.as_bytes() {
                [_, _, _, b' ', ..] if line.starts_with(want) => return Ok(()),
                [_, _, _, b' ', ..] => return Err(io::Error::other(line)),
                _ => {}
            }
        }
    };
    reply('2')?;
    for command in ["EHLO client.foreign.test", "MAIL FROM:<her@foreign.test>", "RCPT TO:<me@example.test>"] {
        stream.write_all(format!("{command}\r\n").as_bytes())?;
        reply('2')?;
    }
    stream.write_all(b"DATA\r\n")?;
    reply('3')?;
    let content = format!("From: her@foreign.test\r\nSubject: number {number} end\r\n\r\n{}.\r\n", "a line of the body\r\n".repeat(40));
    stream.write_all(content.as_bytes())?;
    reply('2')
}

/// Clients that send to the nodes in turn, and remember what was acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<u64>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(addresses: &[Ipv4Addr]) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)));
        let acknowledged: Arc<Mutex<BTreeSet<u64>>> = Arc::default();
        let client = |_| {
            let (stop, acknowledged, next, addresses) = (Arc::clone(&stop), Arc::clone(&acknowledged), next.clone(), addresses.to_vec());
            thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let address = addresses[usize::try_from(number).unwrap() % addresses.len()];
                    match send(address, number) {
                        Ok(()) => drop(acknowledged.lock().unwrap().insert(number)),
                        Err(_) => thread::sleep(Duration::from_millis(20)),
                    }
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, acknowledged, clients }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Ends the clients; returns what was acknowledged.
    fn end(self) -> BTreeSet<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

/// How often each message arrived.
fn arrived(inbox: &Sink) -> BTreeMap<u64, usize> {
    let mut arrived = BTreeMap::new();
    for message in inbox.messages() {
        let text = message.text();
        let number = text.split_once("Subject: number ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        *arrived.entry(number.expect("a message of the load")).or_default() += 1;
    }
    arrived
}

/// Starts nodes; the first one hosts example.test.
fn start(lab: &Lab, urls: &[(&str, String)]) -> Vec<Waypost> {
    let mut nodes: Vec<Waypost> = Vec::new();
    for (host, (name, url)) in (11..).zip(urls) {
        let mut node = Waypost::node(lab, (name, host), url, "");
        node.configure(|config| config.set("retry.waits_s", vec![1_i64]));
        if nodes.is_empty() {
            node.start_hosting("foo@inbox.test")
        } else {
            node.start()
        }
        nodes.push(node);
    }
    nodes
}

fn wait_for_empty(database: &PgServer) {
    wait_within(Duration::from_secs(120), "an empty queue", || (database.sql("SELECT count(*) FROM recipient") == "0").then_some(()));
}

#[test]
fn nodes_that_are_killed_under_load_lose_nothing() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let mut nodes = start(&lab, &["a", "b", "c"].map(|name| (name, database.url())));
    let load = Load::start(&nodes.iter().map(|node| node.address).collect::<Vec<_>>());
    let kills = std::env::var("WAYPOST_CLUSTER_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    for kill in 0..kills {
        let before = load.count();
        wait_for("mail to be acknowledged", || (load.count() > before + 20).then_some(()));
        let node = &mut nodes[kill % 3];
        node.kill();
        node.start();
    }
    let acknowledged = load.end();
    wait_for_empty(&database);
    let arrived = arrived(&inbox);
    let lost: Vec<_> = acknowledged.iter().filter(|number| !arrived.contains_key(number)).collect();
    let duplicates: usize = arrived.values().map(|times| times - 1).sum();
    eprintln!("{} acknowledged, {} arrived, {duplicates} duplicates, {kills} kills", acknowledged.len(), arrived.len());
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(duplicates <= kills * DUPLICATES_A_KILL, "{duplicates}");
}

#[test]
fn a_promoted_standby_has_all_that_was_acknowledged() {
    let (lab, mut primary) = (Lab::new(), PgServer::start("fsync = on\n"));
    let standby = primary.synchronous_standby();
    let _dns = Dns::start(&lab, &zone(&lab));
    let inbox = Sink::start(lab.address(2), MX_PORT);
    let url = primary.url_with(&standby);
    let nodes = start(&lab, &[("a", url.clone()), ("b", url)]);
    let load = Load::start(&nodes.iter().map(|node| node.address).collect::<Vec<_>>());
    wait_for("mail to be acknowledged", || (load.count() > 100).then_some(()));
    primary.crash();
    drop(primary);
    let before = load.count();
    standby.promote();
    wait_within(Duration::from_secs(60), "mail to be acknowledged again", || (load.count() > before + 100).then_some(()));
    let acknowledged = load.end();
    wait_for_empty(&standby);
    let arrived = arrived(&inbox);
    let lost: Vec<_> = acknowledged.iter().filter(|number| !arrived.contains_key(number)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    nodes.iter().for_each(Waypost::assert_no_bugs);
}

#[test]
fn a_node_that_is_cut_off_leaves_what_it_held_to_another() {
    let (lab, database) = (Lab::new(), PgServer::default());
    let cable = Cable::to(&database);
    let _dns = Dns::start(&lab, &zone(&lab));
    // The first connection gets no banner before it is allowed; `dots` counts the contents that were ended.
    let (allowed, dots, of_first) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (gate, all, first) = (allowed.clone(), dots.clone(), of_first.clone());
    let inbox = Script::answering(lab.address(2), MX_PORT, move |number, command| {
        while number == 0 && command.is_empty() && !gate.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        if command == "." {
            all.fetch_add(1, Ordering::SeqCst);
            first.fetch_add(usize::from(number == 0), Ordering::SeqCst);
        }
        obedient(command)
    });
    let nodes = start(&lab, &[("a", database.url_over(&cable)), ("b", database.url())]);
    Talk::greeted(nodes[0].address, MX_PORT).taken("her@foreign.test", "me@example.test", "Subject: held by a\r\n\r\nhello\r\n");
    wait_for("a to connect", || (inbox.connections() == 1).then_some(()));
    cable.cut(true);
    let refused = send(nodes[0].address, 1).unwrap_err();
    assert!(refused.to_string().starts_with('4'), "{refused}");
    wait_within(Duration::from_secs(60), "b to deliver", || (dots.load(Ordering::SeqCst) == 1).then_some(()));
    // Now the host answers the node that has lost its claim.
    allowed.store(true, Ordering::SeqCst);
    wait_for("a to leave it", || nodes[0].log().contains("is left to the node that claims it next").then_some(()));
    cable.cut(false);
    wait_within(Duration::from_secs(60), "a to take mail again", || send(nodes[0].address, 2).ok());
    wait_for_empty(&database);
    assert_eq!(of_first.load(Ordering::SeqCst), 0, "the node that was cut off did not end the content");
    // Those of b and of the message after; and perhaps the one that was refused, whose COMMIT was on its way.
    assert!((2..=3).contains(&dots.load(Ordering::SeqCst)), "nothing was sent twice: {dots:?}");
    nodes.iter().for_each(Waypost::assert_no_bugs);
}
