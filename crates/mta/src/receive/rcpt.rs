//! RCPT: decides about a recipient, by policy and by the state of this server.
//!
//! RFC 5321 s.3.3 and s.4.5.3.1.10. Invariant: whatever can be refused at RCPT is refused there, since a refusal after the content costs both sides
//! more.

use mail::{ForwardPath, Mailbox, Reply, ReversePath};
use policy::{AcceptedRecipient, Client, Rules};
use store::Store;

use crate::accept::over_limit;
use crate::context::{Shared, Snapshot};
use crate::deliver::breakers::Breakers;
use crate::queue::not_taken::reply_to_store_error;
use crate::receive::inbound::Inbound;

/// The recipients that the transaction has already.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PriorRecipients {
    any: bool,
    has_sender: bool,
    has_reports: bool,
}

impl PriorRecipients {
    /// Summarizes the accepted recipients.
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

/// Decides about a recipient; the error is the reply to the client.
pub(crate) async fn check_recipient(
    inbound: &Inbound,
    client: Client<'_>,
    reverse_path: &ReversePath,
    path: &ForwardPath,
    before: PriorRecipients,
) -> Result<AcceptedRecipient, Reply> {
    let shared = &inbound.shared;
    let snapshot = Snapshot { settings: shared.settings.load_full(), directory: shared.directory.refreshed().await };
    let settings = &snapshot.settings;
    let accepted = accepted_as(shared, &snapshot, client, reverse_path, path).await?;
    // A DSN is rewritten for one sender; a second recipient would get the original.
    if before.any && (is_sender(&accepted) || before.has_sender) {
        return Err(Reply::new(452, (4, 5, 3), "a DSN takes one return address at a time"));
    }
    // A message is either read as a report or forwarded.
    if before.any && (is_read(&accepted) || before.has_reports) {
        return Err(Reply::new(452, (4, 5, 3), "an address for reports must be the only recipient"));
    }
    match &accepted {
        AcceptedRecipient::Sender { .. }
            if *reverse_path == ReversePath::Null
                && !inbound.bounces.may_take(path, shared.part_of(settings.forward.reports_per_sender), &shared.clock) =>
        {
            Err(Reply::new(450, (4, 7, 1), "too many DSNs for this return address; try again in an hour"))
        }
        _ => {
            check_open(&inbound.breakers, client, &accepted, shared.clock.now_ms())?;
            if let Some(login) = client.login {
                over_limit::count(&inbound.send_limits, &snapshot, login, path).await?;
            }
            Ok(accepted)
        }
    }
}

/// What a recipient leads to, by policy and the store; the error is the reply to the client.
pub(crate) async fn accepted_as(
    shared: &Shared,
    Snapshot { settings, directory }: &Snapshot,
    client: Client<'_>,
    reverse_path: &ReversePath,
    path: &ForwardPath,
) -> Result<AcceptedRecipient, Reply> {
    let rules = Rules { directory, postmaster: settings.postmaster.as_ref(), srs: &settings.forward.srs, now_unix_s: shared.clock.now_s() };
    match policy::decide_recipient(rules, client, reverse_path, path)? {
        AcceptedRecipient::Token { known_as, token } => remembered(&shared.store, known_as, token).await,
        accepted => Ok(accepted),
    }
}

/// Returns the sender that a token encodes.
async fn remembered(store: &Store, known_as: Mailbox, token: String) -> Result<AcceptedRecipient, Reply> {
    match store.remembered_sender(token).await {
        Ok(Some(sender)) => Ok(AcceptedRecipient::Sender { known_as, sender }),
        Ok(None) => Err(Reply::new(550, (5, 7, 1), "this return address has expired")),
        Err(error) => Err(reply_to_store_error(&error)),
    }
}

/// Refuses mail of others to an alias of which every target accepts nothing at the moment: the sender learns it now and not after days.
pub(crate) fn check_open(breakers: &Breakers, client: Client<'_>, accepted: &AcceptedRecipient, now_ms: i64) -> Result<(), Reply> {
    match accepted {
        AcceptedRecipient::Alias { targets, .. }
            if client.login.is_none() && targets.iter().all(|target| breakers.is_paused(target, now_ms)) =>
        {
            Err(Reply::new(450, (4, 2, 1), "the mailbox behind this address accepts no mail at the moment; try again later"))
        }
        _ => Ok(()),
    }
}
