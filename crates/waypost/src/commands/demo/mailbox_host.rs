//! Another server, which accepts all mail and authenticates it as a mailbox provider does.
//!
//! RFC 5321, RFC 8601. It uses the same SMTP session as our server. Invariant: shows messages exactly as received.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use anyhow::{Context, Result};
use mail::auth_results::{Facts, authentication_results};
use mail::{Domain, Reply};
use msgauth::{Authenticator, Input};
use net::Resolver;
use smtp::server::{ServerEvent, ServerOptions, ServerSession, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A message that arrived.
#[derive(Debug)]
pub struct ReceivedMessage {
    /// The recipients.
    pub to: Vec<String>,
    /// The content.
    pub content: String,
    /// The Authentication-Results field of this server.
    pub results: String,
}

/// Starts a server for a domain. Messages come out of the channel.
pub async fn start(domain: &str, address: Ipv4Addr, port: u16, resolver: &Resolver) -> Result<mpsc::UnboundedReceiver<ReceivedMessage>> {
    let listener = TcpListener::bind((address, port)).await.with_context(|| format!("{address}:{port} cannot be listened on"))?;
    let config = Arc::new(ServerOptions {
        hostname: Domain::parse(&format!("mx.{domain}"))?,
        service: Service::Mx,
        starttls: false,
        mechanisms: Vec::new(),
        max_size_bytes: 25 << 20,
        max_recipients: 100,
    });
    let (arrived, messages) = mpsc::unbounded_channel();
    let authenticator = resolver.authenticator().clone();
    tokio::spawn(async move {
        while let Ok((tcp, peer)) = listener.accept().await {
            let host =
                MailboxHost { config: config.clone(), authenticator: authenticator.clone(), client: peer.ip(), arrived: arrived.clone() };
            tokio::spawn(async move {
                // The client may close the connection at any time.
                let _ = session(tcp, &host).await;
            });
        }
    });
    Ok(messages)
}

/// What a session uses.
struct MailboxHost {
    config: Arc<ServerOptions>,
    authenticator: Authenticator,
    client: IpAddr,
    arrived: mpsc::UnboundedSender<ReceivedMessage>,
}

impl MailboxHost {
    /// Authenticates the sender of a message.
    async fn results(&self, hello: &str, sender: Option<&str>, content: &[u8]) -> String {
        let input = Input { client: self.client, hello, reverse_path: sender, recipients: &[], message: content };
        let evidence = self.authenticator.evaluate(input).await;
        let facts = Facts { client: self.client, hello, reverse_path: sender, header_from: Some(&evidence.dmarc.domain) };
        authentication_results(&self.config.hostname, &evidence, &facts)
    }
}

async fn session(mut tcp: TcpStream, host: &MailboxHost) -> Result<()> {
    let mut session: ServerSession<()> = ServerSession::new(host.config.clone(), None);
    let mut content = Vec::new();
    let (mut input, mut output) = (vec![0; 16 * 1024], Vec::new());
    session.greet();
    loop {
        while let Some(event) = session.next_event() {
            match event {
                ServerEvent::Mail { .. } => session.accept_mail(),
                ServerEvent::Recipient(_) => session.accept_recipient(()),
                ServerEvent::Data => session.accept_data(),
                ServerEvent::Content(bytes) => content.extend_from_slice(&bytes),
                ServerEvent::ContentAborted => content.clear(),
                ServerEvent::ContentEnd => {
                    let transaction = session.take_transaction();
                    let to = transaction.iter().flat_map(|t| &t.recipients).map(|(r, ())| r.forward_path.to_string()).collect();
                    let sender = transaction.as_ref().and_then(|t| t.reverse_path.mailbox()).map(ToString::to_string);
                    let hello = session.hello().unwrap_or_default().to_owned();
                    let results = host.results(&hello, sender.as_deref(), &content).await;
                    let content = String::from_utf8_lossy(&std::mem::take(&mut content)).into_owned();
                    // The tour may be over; the message is accepted all the same.
                    let _ = host.arrived.send(ReceivedMessage { to, content, results });
                    session.finish_content(Reply::new(250, (2, 0, 0), "message accepted"));
                }
                ServerEvent::StartTls | ServerEvent::Auth(_) => return Ok(()),
                ServerEvent::Close => {
                    session.take_output(&mut output);
                    return Ok(tcp.write_all(&output).await?);
                }
            }
        }
        session.take_output(&mut output);
        tcp.write_all(&output).await?;
        output.clear();
        let n = tcp.read(&mut input).await?;
        if n == 0 {
            return Ok(());
        }
        session.receive(input.get(..n).unwrap_or_default());
    }
}
