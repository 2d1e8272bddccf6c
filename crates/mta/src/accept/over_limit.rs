//! Handles an account that exceeds its limits: defers its mail, notifies its user, and suspends it if it continues.
//!
//! Invariant: a suspended account stays suspended until the operator resumes it; its user gets one letter, which goes where the account's
//! mail is forwarded.

use directory::Account;
use events::{Event, EventKind};
use mail::{ForwardPath, QueueId, Reply};
use net::random_u32;
use store::{AccountChange, DirectoryChange, StoreError};

use crate::accept::send_limit::{LimitVerdict, SendCounts, limits_of};
use crate::context::{Shared, Snapshot};
use crate::notify::letter::Letter;
use crate::notify::outbox::Outbox;
use crate::queue::not_taken::reply_to_store_error;
use crate::settings::Sending;

/// The counts, and the outbox for letters to users.
#[derive(Debug)]
pub(crate) struct SendLimits {
    pub counts: SendCounts,
    pub outbox: Outbox,
}

impl SendLimits {
    fn record(&self, account: &Account, kind: EventKind, why: String) {
        let Shared { events, clock, .. } = &self.outbox.shared;
        events.record_with(|| Event::new(kind, clock.now_ms()).login(Some(account.login.to_string())).reason(Some(why)));
    }
}

/// Counts a recipient that an account sends to; the error is the reply to the client.
pub(crate) async fn count(limits: &SendLimits, snapshot: &Snapshot, login: &str, path: &ForwardPath) -> Result<(), Reply> {
    let Snapshot { settings, directory } = snapshot;
    let (Some(account), ForwardPath::Mailbox(recipient)) = (directory.account(login), path) else { return Ok(()) };
    let shared = &limits.outbox.shared;
    let all = limits_of(account, settings.submission);
    // New recipients are counted by the store, for all nodes.
    let part = Sending { per_hour: shared.part_of(all.per_hour), ..all };
    let verdict = limits.counts.one_more(account, recipient, part, shared.clock.now_ms()).await;
    match verdict.map_err(|error| reply_to_store_error(&error))? {
        LimitVerdict::Fine => Ok(()),
        LimitVerdict::TooMany(max) => {
            Err(Reply::new(451, (4, 7, 1), format!("the account may send to {max} recipients an hour; try again later")))
        }
        LimitVerdict::TooManyNew { most: max, first } => {
            if first {
                let kind = EventKind::SendLimitReached;
                tracing::warn!(login, max, "{}", kind.words());
                limits.record(account, kind, format!("it may send to {max} new recipients a day"));
                notify_owner(limits, account, &OwnerLetter::Limit(max)).await;
            }
            Err(too_many_new(max))
        }
        LimitVerdict::Runaway(max) => {
            if let Err(error) = suspend(limits, account, max).await {
                tracing::error!(login, %error, "cannot suspend an account");
            }
            Err(too_many_new(max))
        }
    }
}

fn too_many_new(max: u32) -> Reply {
    Reply::new(451, (4, 7, 1), format!("the account may send to {max} new recipients a day; try again tomorrow"))
}

async fn suspend(limits: &SendLimits, account: &Account, max: u32) -> Result<(), StoreError> {
    if account.suspended.is_some() {
        return Ok(());
    }
    let why = format!("it continued after {max} new recipients within a day");
    let change = AccountChange::Suspend(account.login.clone(), Some(why.clone()));
    let changes = vec![DirectoryChange::Account(change)];
    limits.outbox.shared.store.change_directory(changes.clone()).await?;
    if let Err(error) = limits.outbox.shared.directory.apply(&changes).await {
        tracing::error!(%error, "cannot reload the directory after suspending an account");
    }
    tracing::warn!(login = %account.login, why, "{}", EventKind::AccountSuspended.words());
    limits.record(account, EventKind::AccountSuspended, why.clone());
    notify_owner(limits, account, &OwnerLetter::Suspended(why)).await;
    Ok(())
}

/// A letter to an account's user.
#[derive(Debug)]
enum OwnerLetter {
    /// The limit of new recipients per day is reached.
    Limit(u32),
    /// The account is suspended, with the reason.
    Suspended(String),
}

impl OwnerLetter {
    /// Its subject and text.
    fn content(&self, account: &Account) -> (String, String) {
        let login = &account.login;
        match self {
            Self::Limit(max) => (
                format!("{login} has sent to {max} new recipients today"),
                format!(
                    "Your account {login} has sent to {max} new recipients within a day, which is its limit.\n\
                     Mail to further new recipients is deferred until tomorrow. Mail to known recipients is not affected.\n\n\
                     If that was you, the server's operator can raise the limit:\n\n  waypost account limits {login} --new-recipients-per-day N\n\n\
                     If not, one of your passwords may be stolen. See which one was used, from where, and replace it:\n\n\
                     \x20 waypost account show {login}\n  waypost account passwd {login} --name NAME\n"
                ),
            ),
            Self::Suspended(why) => (
                format!("{login} is suspended"),
                format!(
                    "Your account {login} is suspended: {why}.\n\nAll logins are refused until the server's operator resumes it. The usual \
                     cause is a stolen\npassword. See which one was used, from where; replace it; then resume the account:\n\n\
                     \x20 waypost account show {login}\n  waypost account passwd {login} --name NAME\n  waypost account resume {login}\n\n\
                     Mail to you is still forwarded. Queued mail from the account: waypost queue list --address {login}\n"
                ),
            ),
        }
    }
}

/// Sends the letter to the user; one about a suspension goes to the postmaster too.
async fn notify_owner(limits: &SendLimits, account: &Account, letter: &OwnerLetter) {
    let outbox = &limits.outbox;
    let settings = outbox.shared.settings.load_full();
    let now_ms = outbox.shared.clock.now_ms();
    let (subject, text) = letter.content(account);
    let mut addressees = vec![account.login.clone()];
    if matches!(letter, OwnerLetter::Suspended(_)) {
        addressees.extend(settings.postmaster.clone().filter(|postmaster| *postmaster != account.login));
    }
    for to in addressees {
        let id = QueueId::next(now_ms, random_u32());
        let messages = Letter { id, to: &to, subject: &subject, text: &text }.messages(outbox).await;
        match outbox.shared.store.commit(messages, 0).await {
            Ok(_) => outbox.wake.wake(),
            Err(error) => tracing::error!(%to, %error, "cannot notify the account's user"),
        }
    }
}
