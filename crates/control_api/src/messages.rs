//! `/api/v1/messages`: mail from programs on this machine, through a socket that every user may open.
//!
//! Invariant: the sender is the user that the kernel names (the peer's user ID), never one that the request names; memory for messages is limited, and shared among users.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::to_bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use axum::serve::IncomingStream;
use mail::{Notify, Reply, Ret};
use mta::Submission;
use nix::unistd::{Uid, User, geteuid};
use policy::LocalUser;
use tokio::net::UnixListener;

use crate::api::{Envelope, Taken};
use crate::control::Control;
use crate::error::ApiError;
use crate::message_room::MessageRoom;

/// Maximum time to read a message.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Maximum size of the envelope, in addition to the message, in octets.
const ENVELOPE_MAX_BYTES: u64 = 1 << 20;

/// The user at the other end of a Unix socket.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The user ID, from the kernel.
    pub uid: u32,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        // An unknown user gets an ID that no user has.
        Self { uid: stream.io().peer_cred().map_or(u32::MAX, |peer| peer.uid()) }
    }
}

/// Returns the user and the user's full name.
fn local_user(uid: u32) -> (LocalUser, String) {
    let uid = Uid::from_raw(uid);
    let known = User::from_uid(uid).ok().flatten();
    let name = known.as_ref().map_or_else(|| format!("uid{uid}"), |user| user.name.clone());
    let comment = known.map(|user| user.gecos.to_string_lossy().into_owned()).unwrap_or_default();
    let full_name = comment.split(',').next().unwrap_or_default().replace('&', &name);
    (LocalUser { name, privileged: uid.is_root() || uid == geteuid() }, full_name)
}

pub(crate) async fn submit(
    State(control): State<Arc<dyn Control>>,
    State(room): State<MessageRoom>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
) -> Result<Json<Taken>, ApiError> {
    let most = control.message_max_bytes() + ENVELOPE_MAX_BYTES;
    let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let length = length.ok_or_else(|| ApiError::new(StatusCode::LENGTH_REQUIRED, "the request has no Content-Length"))?;
    if length > most {
        return Err(ApiError::of_reply(&Reply::new(
            552,
            (5, 3, 4),
            format!("the message is larger than {} octets", most - ENVELOPE_MAX_BYTES),
        )));
    }
    let _place = room.take(peer.uid, length).await;
    let read = tokio::time::timeout(READ_TIMEOUT, to_bytes(request.into_body(), usize::try_from(length).unwrap_or(usize::MAX))).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(ApiError::bad(format!("the message cannot be read: {error}"))),
        Err(_) => return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "the message did not arrive in time")),
    };
    let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(|| ApiError::bad("the envelope before the message is missing"))?;
    let envelope: Envelope = serde_json::from_slice(bytes.get(..end).unwrap_or_default())
        .map_err(|e| ApiError::bad(format!("the envelope cannot be read: {e}")))?;
    let content = bytes.get(end + 1..).unwrap_or_default().to_vec();
    drop(bytes);
    let submission = net::blocking(move || read_submission(peer, envelope, content)).await?;
    match control.submit(submission).await {
        Ok(taken) => Ok(Json(Taken { id: taken.id.to_string(), recipients: taken.recipients })),
        Err(reply) => Err(ApiError::of_reply(&reply)),
    }
}

fn read_submission(peer: Peer, envelope: Envelope, content: Vec<u8>) -> Result<Submission, ApiError> {
    let (user, known_as) = local_user(peer.uid);
    let notify = envelope
        .notify
        .as_deref()
        .map(|text| Notify::parse(text).ok_or_else(|| ApiError::bad(format!("`{text}` is not a value of NOTIFY"))));
    let ret = match envelope.ret.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => None,
        Some("full") => Some(Ret::Full),
        Some("hdrs") => Some(Ret::Headers),
        Some(other) => return Err(ApiError::bad(format!("`{other}` is not a value of RET: use full or hdrs"))),
    };
    if envelope.envid.as_ref().is_some_and(|id| id.len() > 100 || !id.bytes().all(|b| b.is_ascii_graphic() || b == b' ')) {
        return Err(ApiError::bad("the envelope ID is longer than 100 octets or not printable ASCII"));
    }
    Ok(Submission {
        user,
        full_name: envelope.full_name.unwrap_or(known_as),
        sender: envelope.sender,
        recipients: envelope.recipients,
        recipients_in_header: envelope.recipients_in_header,
        notify: notify.transpose()?.unwrap_or_default(),
        ret,
        envid: envelope.envid,
        content,
    })
}

/// Whether a user of this machine has this name. It may read files.
pub fn is_local_user(name: &str) -> bool {
    User::from_name(name).is_ok_and(|user| user.is_some())
}
