//! A mailbox host: accepts mail through the project's own server session, or refuses it as the test says.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mail::{Domain, Reply};
use net::Issued;
use rustls::ServerConfig;
use smtp::server::{ServerEvent, ServerOptions, ServerSession, Service, TlsInfo};

use crate::{Script, Wire, server_config, wait_for};

/// A message that arrived.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The reverse-path, with brackets.
    pub from: String,
    /// The forward-paths, with brackets.
    pub to: Vec<String>,
    /// The content.
    pub content: Vec<u8>,
    /// Whether MAIL had SMTPUTF8.
    pub smtputf8: bool,
    /// Whether MAIL had REQUIRETLS.
    pub requiretls: bool,
    /// Whether it came over TLS.
    pub tls: bool,
}

impl Delivered {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

type Decide = dyn Fn(&str) -> Option<Reply> + Send + Sync;
type Judge = dyn Fn(&Delivered) -> Option<Reply> + Send + Sync;

/// What a sink's `decide` or `judge` waits at. It is open until it is closed.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    is_closed: Arc<AtomicBool>,
}

impl Gate {
    /// One that is closed.
    pub fn closed() -> Self {
        let gate = Self::default();
        gate.close();
        gate
    }

    /// Closes it.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Opens it.
    pub fn open(&self) {
        self.is_closed.store(false, Ordering::SeqCst);
    }

    /// Waits until it is open.
    pub fn pass(&self) {
        while self.is_closed.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A mailbox server.
#[derive(Debug)]
pub struct Sink {
    messages: Arc<Mutex<Vec<Delivered>>>,
    offers_tls: Arc<AtomicBool>,
    gate: Gate,
    script: Script,
}

impl Sink {
    /// Accepts everything.
    pub fn start(address: impl Into<IpAddr>, port: u16) -> Self {
        Self::deciding(address, port, |_| None)
    }

    /// Accepts everything, and offers TLS with this certificate.
    pub fn with_tls(address: Ipv4Addr, port: u16, issued: &Issued) -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let offers_tls = Arc::new(AtomicBool::new(true));
        let (kept, config, offers) = (messages.clone(), server_config(issued), offers_tls.clone());
        let script = Script::start(address, port, move |stream| {
            // In many tests the client rejects the certificate.
            let _ = serve(Wire::Plain(stream), offers.load(Ordering::SeqCst).then_some(&config), &kept, &|_| None, &|_| None);
        });
        Self { messages, offers_tls, gate: Gate::default(), script }
    }

    /// Turns its TLS on or off, if it has a certificate.
    pub fn offer_tls(&self, offers: bool) {
        self.offers_tls.store(offers, Ordering::SeqCst);
    }

    /// Accepts everything, and answers no recipient before [`Sink::resume`].
    pub fn paused(address: impl Into<IpAddr>, port: u16) -> Self {
        let gate = Gate::closed();
        let waits = gate.clone();
        let sink = Self::deciding(address, port, move |_| {
            waits.pass();
            None
        });
        Self { gate, ..sink }
    }

    /// Ends the pause of [`Sink::paused`].
    pub fn resume(&self) {
        self.gate.open();
    }

    /// Asks `decide` about each recipient (with brackets): a reply refuses it.
    pub fn deciding(address: impl Into<IpAddr>, port: u16, decide: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::judging(address, port, decide, |_| None)
    }

    /// Asks `judge` about each whole message too; a reply refuses it. The client waits for the answer.
    pub fn judging(
        address: impl Into<IpAddr>,
        port: u16,
        decide: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static,
        judge: impl Fn(&Delivered) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let messages = Arc::new(Mutex::new(Vec::new()));
        let (kept, decide, judge): (_, Arc<Decide>, Arc<Judge>) = (messages.clone(), Arc::new(decide), Arc::new(judge));
        let script = Script::start(address, port, move |stream| {
            // In many tests the client disconnects.
            let _ = serve(Wire::Plain(stream), None, &kept, &*decide, &*judge);
        });
        Self { messages, offers_tls: Arc::default(), gate: Gate::default(), script }
    }

    /// The messages so far.
    pub fn messages(&self) -> Vec<Delivered> {
        self.messages.lock().expect("the mailbox").clone()
    }

    /// Number of connections so far.
    pub fn connections(&self) -> usize {
        self.script.connections()
    }

    /// Maximum number of simultaneous connections.
    pub fn most_at_once(&self) -> usize {
        self.script.most_at_once()
    }

    /// Waits for a message with this text.
    pub fn wait_for(&self, text: &str) -> Delivered {
        wait_for(&format!("a message with {text:?}"), || self.messages().into_iter().find(|m| m.text().contains(text)))
    }
}

fn serve(
    mut stream: Wire,
    tls: Option<&Arc<ServerConfig>>,
    messages: &Mutex<Vec<Delivered>>,
    decide: &Decide,
    judge: &Judge,
) -> std::io::Result<()> {
    let options = ServerOptions {
        hostname: Domain::parse("mx.sink.test").expect("a name"),
        service: Service::Mx,
        starttls: tls.is_some(),
        mechanisms: Vec::new(),
        max_size_bytes: 100 << 20,
        max_recipients: 1000,
    };
    let mut session: ServerSession<()> = ServerSession::new(Arc::new(options), None);
    let (mut content, mut input, mut output) = (Vec::new(), vec![0; 64 * 1024], Vec::new());
    session.greet();
    loop {
        while let Some(event) = session.next_event() {
            match event {
                ServerEvent::Mail { .. } => session.accept_mail(),
                ServerEvent::Recipient(recipient) => match decide(&recipient.forward_path.to_string()) {
                    Some(reply) => session.refuse(reply),
                    None => session.accept_recipient(()),
                },
                ServerEvent::Data => session.accept_data(),
                ServerEvent::Content(bytes) => content.extend_from_slice(&bytes),
                ServerEvent::ContentAborted => content.clear(),
                ServerEvent::ContentEnd => {
                    let transaction = session.take_transaction().expect("a transaction");
                    let message = Delivered {
                        from: transaction.reverse_path.to_string(),
                        to: transaction.recipients.iter().map(|(r, ())| r.forward_path.to_string()).collect(),
                        content: std::mem::take(&mut content),
                        smtputf8: transaction.parameters.smtputf8,
                        requiretls: transaction.parameters.requiretls,
                        tls: matches!(stream, Wire::Tls(_)),
                    };
                    let refused = judge(&message);
                    if refused.is_none() {
                        messages.lock().expect("the mailbox").push(message);
                    }
                    session.finish_content(refused.unwrap_or_else(|| Reply::new(250, (2, 0, 0), "taken")));
                }
                ServerEvent::StartTls => {
                    session.take_output(&mut output);
                    stream.write_all(&output)?;
                    output.clear();
                    stream = stream.secured(tls.expect("TLS is offered"))?;
                    session.tls_established(TlsInfo { description: "TLS".into() });
                }
                ServerEvent::Auth(_) => {}
                ServerEvent::Close => {
                    session.take_output(&mut output);
                    return stream.write_all(&output);
                }
            }
        }
        session.take_output(&mut output);
        stream.write_all(&output)?;
        stream.flush()?;
        output.clear();
        let n = stream.read(&mut input)?;
        if n == 0 {
            return Ok(());
        }
        session.receive(&input[..n]);
    }
}
