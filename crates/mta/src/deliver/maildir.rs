//! Stage: delivers into a local maildir, one file per message.
//!
//! RFC 5321 s.4.4 (the last server adds Return-Path), and the maildir format of qmail. Invariant: a message is complete and synced in `new` before it
//! counts as delivered, under a name made from its ID, so that a second attempt replaces the first.

use std::io;
use std::path::{Path, PathBuf};

use mail::{Domain, Reply};
use policy::{MaildirPlace, Scope, Trouble};
use store::{Claimed, ClaimedRecipient, Content};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

use crate::deliver::transaction::{Attempt, Delivered};

/// The directories of a maildir.
const PARTS: [&str; 3] = ["tmp", "new", "cur"];

/// Delivers the message into the maildir of each recipient.
pub(crate) async fn deliver(place: &MaildirPlace, host: &Domain, claimed: &Claimed, content: &Content) -> Attempt {
    let mut results = Vec::with_capacity(claimed.recipients.len());
    for recipient in &claimed.recipients {
        results.push(deliver_one(place, host, claimed, recipient, content).await);
    }
    Attempt { results, ..Attempt::default() }
}

async fn deliver_one(
    place: &MaildirPlace,
    host: &Domain,
    claimed: &Claimed,
    recipient: &ClaimedRecipient,
    content: &Content,
) -> Result<Delivered, Trouble> {
    let mailbox = &recipient.recipient.mailbox;
    let Some(directory) = place.of(mailbox) else {
        return Err(Trouble::permanent(Scope::Recipient, 1, 3, format!("{mailbox} is not a valid mailbox name on this host")));
    };
    let mut header = format!("Return-Path: {}\nDelivered-To: {mailbox}\n", claimed.message.envelope_from()).into_bytes();
    header.extend(without_cr(&claimed.message.prefix, &mut false));
    let message = &claimed.message;
    let name = format!("{}.{}_{}.{host}", message.arrived_ms / 1000, message.id, recipient.key.index);
    let written = write(&directory, &name, &header, content).await;
    written.map_err(|error| trouble(&directory, &error))?;
    let reply = Reply::new(250, (2, 0, 0), "in the mailbox");
    Ok(Delivered { reply, host: host.clone(), tls: None, plaintext: None, verified: None, dsn_passed_on: false })
}

async fn write(directory: &Path, name: &str, header: &[u8], content: &Content) -> io::Result<()> {
    for part in PARTS {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(directory.join(part)).await?;
    }
    let (temporary, place): (PathBuf, PathBuf) = (directory.join("tmp").join(name), directory.join("new").join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary).await?;
    let filled = fill(&mut file, header, content).await;
    if let Err(error) = filled {
        // A leftover is harmless: the next attempt overwrites it.
        let _ = fs::remove_file(&temporary).await;
        return Err(error);
    }
    fs::rename(&temporary, &place).await?;
    for synced in [directory.join("new"), directory.to_path_buf()] {
        File::open(synced).await?.sync_all().await?;
    }
    Ok(())
}

async fn fill(file: &mut File, header: &[u8], content: &Content) -> io::Result<()> {
    let unreadable = |e: store::StoreError| io::Error::other(e.to_string());
    file.write_all(header).await?;
    let mut reader = content.read().await.map_err(unreadable)?;
    let (mut left, mut has_cr) = (content.size_bytes(), false);
    while let Some(piece) = reader.next().await.map_err(unreadable)? {
        left = left.saturating_sub(piece.len() as u64);
        file.write_all(&without_cr(&piece, &mut has_cr)).await?;
    }
    if left > 0 {
        return Err(io::Error::other("the content is shorter than recorded"));
    }
    file.flush().await?;
    file.sync_all().await
}

/// Converts CRLF to LF. `has_cr` carries a CR over to the next piece; a bare CR stays.
fn without_cr(piece: &[u8], has_cr: &mut bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(piece.len() + 1);
    for octet in piece {
        if std::mem::take(has_cr) && *octet != b'\n' {
            text.push(b'\r');
        }
        match octet {
            b'\r' => *has_cr = true,
            octet => text.push(*octet),
        }
    }
    text
}

fn trouble(directory: &Path, error: &io::Error) -> Trouble {
    let shown = directory.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Trouble::temporary(Scope::Recipient, 2, 2, format!("no space for {shown}: {error}"))
        }
        io::ErrorKind::PermissionDenied => Trouble::temporary(
            Scope::Recipient,
            3,
            0,
            format!("cannot write {shown}: {error}; the server's user must own it, and under systemd ReadWritePaths must name it"),
        ),
        _ => Trouble::temporary(Scope::Recipient, 3, 0, format!("cannot write {shown}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crlf_becomes_lf_across_piece_boundaries() {
        let text = b"a\r\nb\r\r\nc\rd\r\n\r\n";
        for cut in 0..=text.len() {
            let (mut has_cr, mut out) = (false, Vec::new());
            for piece in [&text[..cut], &text[cut..]] {
                out.extend(without_cr(piece, &mut has_cr));
            }
            assert_eq!(out, b"a\nb\r\nc\rd\n\n", "{cut}");
        }
    }
}
