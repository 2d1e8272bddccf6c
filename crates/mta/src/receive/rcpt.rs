//! RCPT: what policy says of a recipient, and what this server knows besides.
//!
//! RFC 5321 s.3.3 and s.4.5.3.1.10. Invariant: what can be said at RCPT is said there: a refusal after the content costs everyone more.

use mail::{ForwardPath, Mailbox, Reply, ReversePath};
use policy::{AcceptedRecipient, Client, Rules};

use crate::accept::over_limit;
use crate::accept::pipeline::reply_to_store_error;
use crate::receive::session::Reception;

/// What is known of the recipients that a transaction has already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Before {
    any: bool,
    has_sender: bool,
    has_reports: bool,
}

impl Before {
    /// Of those that were accepted.
    pub fn of<'a>(accepted: impl Iterator<Item = &'a AcceptedRecipient>) -> Self {
        accepted.fold(Self::default(), |before, one| Self {
            any: true,
            has_sender: before.has_sender || is_sender(one),
            has_reports: before.has_reports || is_read(one),
        })
    }
}

fn is_sender(accepted: &AcceptedRecipient) -> bool {
    matches!(accepted, AcceptedRecipient::Sender { .. })
}

fn is_read(accepted: &AcceptedRecipient) -> bool {
    matches!(accepted, AcceptedRecipient::Reports(_))
}

/// Decides about a recipient.
pub(crate) async fn admit(
    reception: &Reception,
    client: Client<'_>,
    reverse_path: &ReversePath,
    path: &ForwardPath,
    before: Before,
) -> Result<AcceptedRecipient, Reply> {
    let settings = reception.settings.load_full();
    let directory = reception.live.current();
    let rules = Rules {
        directory: &directory,
        postmaster: settings.postmaster.as_ref(),
        srs: &settings.forward.srs,
        now_unix_s: reception.clock.now_s(),
    };
    let accepted = match policy::decide_recipient(rules, client, reverse_path, path)? {
        AcceptedRecipient::Token { known_as, token } => remembered(reception, known_as, token).await?,
        accepted => accepted,
    };
    // A report is told again for one sender; a second recipient would see it as it came.
    if before.any && (is_sender(&accepted) || before.has_sender) {
        return Err(Reply::new(452, (4, 5, 3), "a report goes to one return address at a time"));
    }
    // A message is either read or passed on.
    if before.any && (is_read(&accepted) || before.has_reports) {
        return Err(Reply::new(452, (4, 5, 3), "an address for reports is the only recipient of a message"));
    }
    match &accepted {
        AcceptedRecipient::Sender { .. }
            if *reverse_path == ReversePath::Null && !reception.returns.may_take(path, &settings.forward, &reception.clock) =>
        {
            Err(Reply::new(450, (4, 7, 1), "too many reports for this return address; try again in an hour"))
        }
        AcceptedRecipient::Alias { targets, .. } if client.login.is_none() && are_closed(reception, targets) => {
            Err(Reply::new(450, (4, 2, 1), "the mailbox behind this address takes no mail for now; try again later"))
        }
        _ => {
            if let Some(login) = client.login {
                over_limit::count(reception, login, path).await?;
            }
            Ok(accepted)
        }
    }
}

/// The sender that a token stands for.
async fn remembered(reception: &Reception, known_as: Mailbox, token: String) -> Result<AcceptedRecipient, Reply> {
    match reception.store.remembered_sender(token).await {
        Ok(Some(sender)) => Ok(AcceptedRecipient::Sender { known_as, sender }),
        Ok(None) => Err(Reply::new(550, (5, 7, 1), "this return address has expired")),
        Err(error) => Err(reply_to_store_error(&error)),
    }
}

/// Whether every target has said that it takes nothing for now: better heard at once than after days.
fn are_closed(reception: &Reception, targets: &[Mailbox]) -> bool {
    let world = reception.dispatch.world();
    let now_ms = world.clock.now_ms();
    targets.iter().all(|target| world.breakers.is_closed(target, now_ms))
}
