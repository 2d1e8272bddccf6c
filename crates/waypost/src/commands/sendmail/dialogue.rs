//! `sendmail -bs`: SMTP on standard input and output.
//!
//! RFC 5321. Invariant: 250 after the content means that the server has the message; recipients are checked then, not before.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use anyhow::Result;
use control_api::api::Envelope;
use mail::{Domain, ForwardPath, Recipient, Reply};
use smtp::server::{ServerEvent, ServerOptions, ServerSession, ServerTransaction, Service};

use super::exit::SendmailError;
use super::submit::SubmitTarget;

/// Maximum octets of a line read at once.
const LINE_MAX_BYTES: u64 = 64 * 1024;

/// Maximum recipients per message.
const RECIPIENTS_MAX: usize = 1000;

/// Runs the dialogue until QUIT or the end of the input.
pub async fn run(target: &SubmitTarget, max_bytes: u64, input: &mut impl BufRead, output: &mut impl Write) -> Result<()> {
    let local = Domain::parse("localhost").map_err(|e| anyhow::anyhow!("{e}"))?;
    let config = ServerOptions {
        hostname: target.hostname().unwrap_or(local),
        service: Service::Mx,
        starttls: false,
        mechanisms: Vec::new(),
        max_size_bytes: max_bytes,
        max_recipients: RECIPIENTS_MAX,
    };
    let mut session: ServerSession<()> = ServerSession::new(Arc::new(config), None);
    let (mut content, mut said) = (Vec::new(), Vec::new());
    let mut line = Vec::new();
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
                    session.finish_content(hand_over(target, transaction, &std::mem::take(&mut content)).await);
                }
                ServerEvent::StartTls | ServerEvent::Auth(_) => return Ok(()),
                ServerEvent::Close => {
                    session.take_output(&mut said);
                    output.write_all(&said)?;
                    return Ok(output.flush()?);
                }
            }
        }
        session.take_output(&mut said);
        output.write_all(&said)?;
        output.flush()?;
        said.clear();
        // One line at a time: a pipe delivers everything at once, but the session expects the client to wait for replies.
        line.clear();
        if input.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        session.receive(with_crlf(&mut line));
    }
}

/// Local programs may end lines with LF.
fn with_crlf(line: &mut Vec<u8>) -> &[u8] {
    if line.ends_with(b"\n") && !line.ends_with(b"\r\n") {
        line.pop();
        line.extend_from_slice(b"\r\n");
    }
    line
}

async fn hand_over(target: &SubmitTarget, transaction: Option<ServerTransaction<()>>, content: &[u8]) -> Reply {
    let Some(transaction) = transaction else { return Reply::new(451, (4, 3, 0), "message lost before it was complete; send it again") };
    let named = |recipient: &Recipient| match &recipient.forward_path {
        ForwardPath::Postmaster => "postmaster".to_owned(),
        ForwardPath::Mailbox(mailbox) => mailbox.to_string(),
    };
    let notify = transaction.recipients.first().and_then(|(recipient, ())| recipient.notify.to_parameter());
    let envelope = Envelope {
        sender: Some(transaction.reverse_path.to_bare()),
        recipients: transaction.recipients.iter().map(|(recipient, ())| named(recipient)).collect(),
        notify,
        ret: transaction.parameters.ret.map(|ret| if ret == mail::Ret::Full { "full".to_owned() } else { "hdrs".to_owned() }),
        envid: transaction.parameters.envid,
        ..Envelope::default()
    };
    match target.send(&envelope, content).await {
        Ok(taken) => Reply::new(250, (2, 0, 0), format!("queued as {}", taken.id)),
        Err(refused) => reply(&refused),
    }
}

/// The server's error about the message, which may be an SMTP reply already.
fn reply(refused: &SendmailError) -> Reply {
    let (code, text) = refused.what.split_at_checked(3).unwrap_or_default();
    match code.parse() {
        Ok(code @ 400..600) => Reply::from_wire(code, text.trim_start()),
        _ => Reply::new(451, (4, 3, 0), refused.what.clone()),
    }
}
