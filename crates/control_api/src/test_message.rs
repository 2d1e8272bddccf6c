//! `/api/v1/test-message`: a message of this server to an address, to see that mail leaves and arrives.
//!
//! Invariant: it goes through the same gate as mail of a local program, from the postmaster of a hosted domain, and says what it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use mail::{Domain, Mailbox, Notify};
use mta::{LiveDirectory, Submission};
use policy::LocalUser;

use crate::api::{NewTestMessage, Taken};
use crate::control::Control;
use crate::error::ApiError;
use crate::extract::{Body, parsed};

pub(crate) async fn send(
    State(control): State<Arc<dyn Control>>,
    State(live): State<Arc<LiveDirectory>>,
    Body(new): Body<NewTestMessage>,
) -> Result<Json<Taken>, ApiError> {
    let to: Mailbox = parsed("an address", &new.to)?;
    let directory = live.current();
    let hosted: Vec<&Domain> = directory.contents().domains.iter().filter(|d| d.enabled).map(|d| &d.name).collect();
    let domain = hosted.iter().find(|domain| ***domain == to.domain).or(hosted.first()).ok_or_else(|| {
        ApiError::conflict("no domain is hosted here, so there is no address to send from").hint("waypost domain add DOMAIN")
    })?;
    let from = format!("postmaster@{domain}");
    let submission = Submission {
        user: LocalUser { name: "waypost".into(), privileged: true },
        full_name: "Waypost".into(),
        sender: Some(from.clone()),
        recipients: vec![to.to_string()],
        recipients_in_header: false,
        notify: Notify::default(),
        ret: None,
        envid: None,
        content: content(&from, &to).into_bytes(),
    };
    match control.submit(submission).await {
        Ok(taken) => Ok(Json(Taken { id: taken.id.to_string(), recipients: taken.recipients })),
        Err(reply) => Err(ApiError::of_reply(&reply)),
    }
}

fn content(from: &str, to: &Mailbox) -> String {
    format!(
        "From: Waypost <{from}>\r\nTo: <{to}>\r\nSubject: Test of your mail server\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=us-ascii\r\n\r\n\
         This message was sent by the button \"Send a test message\" of your mail server.\r\n\
         If you can read it, mail leaves your server and arrives here. If it is in the\r\n\
         spam folder, mark it as not spam.\r\n"
    )
}
