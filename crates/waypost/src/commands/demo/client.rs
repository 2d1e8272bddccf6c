//! A client that sends one message, with a login as a mail program or without one as another server.
//!
//! RFC 5321 s.3.3, RFC 6409. Invariant: reports the server's reply word for word.

use std::net::SocketAddr;

use anyhow::{Result, anyhow, bail};
use mail::{Domain, ForwardPath, MailParameters, Mailbox, Recipient, ReversePath};
use net::{ClientTls, Verify};
use smtp::client::{ClientEvent, ClientOptions, ClientSession, ClientTransaction, Credentials, Protocol, TlsMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A message to send.
#[derive(Debug)]
pub struct OutgoingMessage<'a> {
    /// The sender.
    pub from: &'a str,
    /// The recipient.
    pub to: &'a str,
    /// The content.
    pub content: &'a str,
}

trait Connection: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

/// What the server did with a message, with its reply.
#[derive(Debug)]
pub enum SendOutcome {
    Accepted(String),
    Refused(String),
}

/// Sends a message. Returns the reply that accepted or refused it.
pub async fn send(server: SocketAddr, login: Option<(&ClientTls, Credentials)>, message: &OutgoingMessage<'_>) -> Result<SendOutcome> {
    let (tls, credentials) = login.unzip();
    let mode = if tls.is_some() { TlsMode::Required } else { TlsMode::Never };
    let mut session =
        ClientSession::new(ClientOptions { protocol: Protocol::Smtp, hello: "visitor.foreign.test".into(), tls: mode, credentials });
    let tcp = TcpStream::connect(server).await?;
    let mut stream: Box<dyn Connection> = match tls {
        None => Box::new(tcp),
        Some(tls) => {
            let mut tcp = tcp;
            if !matches!(step(&mut session, &mut tcp).await?, ClientEvent::StartTls) {
                bail!("the server does not offer TLS");
            }
            let stream = tls.connect(Verify::Nothing, &Domain::parse("mx.example.test")?, tcp).await?;
            session.tls_established();
            Box::new(stream)
        }
    };
    loop {
        match step(&mut session, &mut stream).await? {
            ClientEvent::Ready => session.begin(transaction(message)?),
            ClientEvent::SendContent => {
                session.send_content(message.content.as_bytes());
                session.finish_content();
            }
            ClientEvent::Done(outcome) => {
                let result = outcome.recipients.into_iter().next().ok_or_else(|| anyhow!("no reply for the recipient"))?;
                return Ok(match result {
                    Ok(reply) => SendOutcome::Accepted(reply.to_string()),
                    Err(reply) => SendOutcome::Refused(reply.to_string()),
                });
            }
            ClientEvent::Failed(failure) => bail!("the session failed: {failure:?}"),
            ClientEvent::StartTls => bail!("TLS twice"),
        }
    }
}

fn transaction(message: &OutgoingMessage<'_>) -> Result<ClientTransaction> {
    Ok(ClientTransaction {
        reverse_path: ReversePath::Mailbox(Mailbox::parse(message.from)?),
        parameters: MailParameters::default(),
        recipients: vec![Recipient::new(ForwardPath::Mailbox(Mailbox::parse(message.to)?))],
        size_bytes: message.content.len() as u64,
        has_8bit: false,
        needs_utf8: false,
    })
}

/// Reads and writes until the session has an event.
async fn step(session: &mut ClientSession, stream: &mut (impl Connection + ?Sized)) -> Result<ClientEvent> {
    let (mut input, mut output) = (vec![0; 16 * 1024], Vec::new());
    loop {
        if let Some(event) = session.next_event() {
            return Ok(event);
        }
        session.take_output(&mut output);
        stream.write_all(&output).await?;
        stream.flush().await?;
        output.clear();
        match stream.read(&mut input).await? {
            0 => session.disconnected(),
            n => session.receive(input.get(..n).unwrap_or_default()),
        }
    }
}
