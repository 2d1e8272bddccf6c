//! A spam filter's octets: milter packets and rspamd's answers, through a socket as in production.
//!
//! Invariant: one socket for each thread; each connection gets the same octets whatever it sends.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;
use mail::{Domain, QueueId, ReversePath};
use spam_filter::{Address, Facts, Filter, FilterError, Message, Protocol, Thresholds, Verdict};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;

use crate::checks::{INPUT_MAX_BYTES, assert_one_line, choice};

thread_local! {
    static PEER: PeerSocket = PeerSocket::start();
}

/// Time limit of one answer, in seconds. The peer closes its side at once, so that a later answer is a bug.
const TIMEOUT_S: u64 = 10;

struct PeerSocket {
    runtime: Runtime,
    tasks: LocalSet,
    answer: Rc<RefCell<Vec<u8>>>,
    address: Address,
    _dir: TempDir,
}

impl PeerSocket {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (tasks, dir) = (LocalSet::new(), tempfile::tempdir().expect("a directory"));
        let path = dir.path().join("filter");
        let listener = runtime.block_on(async { UnixListener::bind(&path) }).expect("a socket");
        let answer = Rc::<RefCell<Vec<u8>>>::default();
        let answers = answer.clone();
        tasks.spawn_local(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let octets = answers.borrow().clone();
                // A client that has its verdict, or that gives up, closes the connection.
                let _ = stream.write_all(&octets).await;
                let _ = stream.shutdown().await;
                let mut sent = Vec::new();
                let _ = stream.read_to_end(&mut sent).await;
            }
        });
        Self { runtime, tasks, answer, address: Address::Unix(path), _dir: dir }
    }
}

fn check(protocol: Protocol, octets: Vec<u8>) {
    PEER.with(|peer| {
        *peer.answer.borrow_mut() = octets;
        let filter = Filter { protocol, address: peer.address.clone(), timeout_s: TIMEOUT_S };
        let (hostname, reverse_path) = (Domain::parse("mx.example.test").expect("a domain"), ReversePath::Null);
        let facts = Facts {
            hostname: &hostname,
            id: QueueId(9),
            client: "192.0.2.1".parse().expect("an address"),
            client_name: None,
            hello: "client.test",
            login: None,
            reverse_path: &reverse_path,
            recipients: vec!["<me@example.test>".into(), "<you@example.test>".into()],
        };
        let message = Message::whole(Bytes::from_static(b"From: a@b.test\r\nSubject: x\r\n\r\nbody\r\n"));
        let verdict = peer.runtime.block_on(peer.tasks.run_until(filter.check(&facts, message)));
        match verdict {
            Ok(answer) => match answer.verdict {
                Verdict::Pass => {}
                Verdict::Hold(reason) => assert_one_line(&reason),
                Verdict::Reject(reply) => assert!(reply.is_permanent() && !reply.to_string().contains('\n'), "{reply}"),
                Verdict::Defer(reply) => assert!(reply.code / 100 == 4 && !reply.to_string().contains('\n'), "{reply}"),
            },
            Err(FilterError::Late(_)) => panic!("the peer has closed its side, and there is no result"),
            Err(error) => assert_one_line(&error.to_string()),
        }
    });
}

/// There is a verdict or an error at the end of the octets; its text is one line.
pub fn milter_packets(data: &[u8]) {
    check(Protocol::Milter, data[..data.len().min(INPUT_MAX_BYTES)].to_vec());
}

/// The same for HTTP: `0` and a JSON text, or another octet and a whole response.
pub fn rspamd_answers(data: &[u8]) {
    let (kind, body) = choice(data);
    let octets = if kind == 0 {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    } else {
        body.to_vec()
    };
    check(Protocol::Rspamd(Thresholds { reject: 15.0, hold: 6.0 }), octets);
}
