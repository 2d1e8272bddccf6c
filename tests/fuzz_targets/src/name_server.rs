//! A name server on loopback whose text records are octets of the input.
//!
//! RFC 1035. Invariant: it answers every question at once: TXT with the next text of the input, A with one address, anything else with nothing.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use msgauth::Authenticator;
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static NAME_SERVER: NameServer = NameServer::start();
}

/// Maximum octets of a text, so that an answer fits into a datagram.
const TEXT_MAX_BYTES: usize = 1000;

const TYPE_A: [u8; 2] = [0, 1];
const TYPE_TXT: [u8; 2] = [0, 16];

/// The texts, and how many were asked for.
#[derive(Default)]
struct TextsToGive {
    texts: Vec<Vec<u8>>,
    asked: usize,
}

struct NameServer {
    runtime: Runtime,
    authenticator: Authenticator,
    given: Arc<Mutex<TextsToGive>>,
}

/// Runs `work` with an authenticator whose resolver gets these texts, in turn, and keeps nothing.
pub(crate) fn with_texts<T>(texts: Vec<Vec<u8>>, work: impl AsyncFnOnce(&Authenticator) -> T) -> T {
    NAME_SERVER.with(|server| {
        *server.given.lock().expect("the lock") = TextsToGive { texts, asked: 0 };
        server.runtime.block_on(work(&server.authenticator))
    })
}

impl NameServer {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        let address = socket.local_addr().expect("its address");
        let given = Arc::<Mutex<TextsToGive>>::default();
        let answers = given.clone();
        thread::spawn(move || {
            let mut query = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut query) {
                if let Some(reply) = reply(&query[..length], &answers) {
                    let _ = socket.send_to(&reply, peer);
                }
            }
        });
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut udp = ConnectionConfig::udp();
        udp.port = address.port();
        let server = NameServerConfig::new(address.ip(), true, vec![udp]);
        let mut options = ResolverOpts::default();
        options.timeout = Duration::from_secs(2);
        options.attempts = 1;
        options.cache_size = 0;
        let authenticator = runtime
            .block_on(async { Authenticator::new(ResolverConfig::from_parts(None, vec![], vec![server]), options) })
            .expect("a resolver");
        Self { runtime, authenticator, given }
    }
}

/// The reply to one question: its section, and one record or none.
fn reply(query: &[u8], given: &Mutex<TextsToGive>) -> Option<Vec<u8>> {
    let name_end = 12 + query.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = query.get(12..name_end + 4)?;
    let kind = [question[question.len() - 4], question[question.len() - 3]];
    let data = match kind {
        TYPE_TXT => Some(text_data(given)),
        TYPE_A => Some(vec![192, 0, 2, 1]),
        _ => None,
    };
    let mut out = vec![query[0], query[1], 0x81, 0x80, 0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0];
    out.extend_from_slice(question);
    if let Some(data) = data {
        out.extend_from_slice(&[0xc0, 12]);
        out.extend_from_slice(&kind);
        // A TTL of 0: the next input has other records.
        out.extend_from_slice(&[0, 1, 0, 0, 0, 0]);
        out.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        out.extend_from_slice(&data);
    }
    Some(out)
}

/// The next text as character-strings (RFC 1035 s.3.3.14).
fn text_data(given: &Mutex<TextsToGive>) -> Vec<u8> {
    let mut given = given.lock().expect("the lock");
    let text = if given.texts.is_empty() { Vec::new() } else { given.texts[given.asked % given.texts.len()].clone() };
    given.asked += 1;
    let text = &text[..text.len().min(TEXT_MAX_BYTES)];
    let mut data: Vec<u8> = text.chunks(255).flat_map(|piece| [&[u8::try_from(piece.len()).unwrap_or(0)], piece].concat()).collect();
    if data.is_empty() {
        data.push(0);
    }
    data
}
