//! A client that sends one message, with or without a login: what a foreign server or a mail program would do.
//!
//! RFC 5321 s.3.3, RFC 6409. Invariant: it says what the server answered, word for word.

use std::net::SocketAddr;

use anyhow::{Result, anyhow, bail};
use mail::{Domain, ForwardPath, MailParameters, Mailbox, Recipient, ReversePath};
use net::{ClientTls, Verify};
use smtp::client::{ClientEvent, ClientOptions, ClientSession, ClientTransaction, Credentials, Protocol, TlsMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A letter to be sent.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The sender.
    pub from: &'a str,
    /// The recipient.
    pub to: &'a str,
    /// The content.
    pub content: &'a str,
}

trait Connection: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

/// Sends a letter. Returns the reply that took it, or the one that refused it.
pub async fn send(server: SocketAddr, login: Option<(&ClientTls, Credentials)>, letter: &Letter<'_>) -> Result<Result<String, String>> {
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
            ClientEvent::Ready => session.begin(transaction(letter)?),
            ClientEvent::SendContent => {
                session.send_content(letter.content.as_bytes());
                session.finish_content();
            }
            ClientEvent::Done(outcome) => {
                let result = outcome.recipients.into_iter().next().ok_or_else(|| anyhow!("the server said nothing about the recipient"))?;
                return Ok(result.map(|r| r.to_string()).map_err(|r| r.to_string()));
            }
            ClientEvent::Failed(failure) => bail!("the session failed: {failure:?}"),
            ClientEvent::StartTls => bail!("TLS twice"),
        }
    }
}

fn transaction(letter: &Letter<'_>) -> Result<ClientTransaction> {
    Ok(ClientTransaction {
        reverse_path: ReversePath::Mailbox(Mailbox::parse(letter.from)?),
        parameters: MailParameters::default(),
        recipients: vec![Recipient::new(ForwardPath::Mailbox(Mailbox::parse(letter.to)?))],
        size_bytes: letter.content.len() as u64,
        has_8bit: false,
        needs_utf8: false,
    })
}

/// Talks until the session has something to say.
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
