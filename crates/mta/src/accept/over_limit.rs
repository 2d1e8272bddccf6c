//! What happens when an account sends too much: it is put off, its owner is told, and what goes on regardless is stopped.
//!
//! Invariant: an account that is stopped stays so until somebody lets it go on; its owner hears of it once, by the way that its mail is forwarded.

use directory::Account;
use mail::{ForwardPath, QueueId, Reply, rfc5322_date};
use net::random_u32;
use store::{AccountChange, DirectoryChange, StoreError};

use crate::accept::pipeline::reply_to_store_error;
use crate::accept::send_limit::{Said, limits};
use crate::deliver::dsn::addressed;
use crate::receive::session::Reception;

/// Counts a recipient that an account sends to; an error is what the client hears.
pub(crate) async fn count(reception: &Reception, login: &str, path: &ForwardPath) -> Result<(), Reply> {
    let directory = reception.live.current();
    let (Some(account), ForwardPath::Mailbox(recipient)) = (directory.account(login), path) else { return Ok(()) };
    let settings = reception.settings.load_full();
    let limits = limits(account, settings.submission);
    let said = reception.allowance.one_more(account, recipient, limits, reception.clock.now_ms()).await;
    match said.map_err(|error| reply_to_store_error(&error))? {
        Said::Fine => Ok(()),
        Said::TooMany(most) => {
            Err(Reply::new(451, (4, 7, 1), format!("the account may send to {most} recipients an hour; try again later")))
        }
        Said::TooManyNew { most, first } => {
            if first {
                tracing::warn!(login, most, "an account has sent to as many new recipients as it may in a day");
                told(reception, account, &Letter::Limit(most)).await;
            }
            Err(too_many_new(most))
        }
        Said::Runaway(most) => {
            if let Err(error) = suspend(reception, account, most).await {
                tracing::error!(login, %error, "an account could not be suspended");
            }
            Err(too_many_new(most))
        }
    }
}

fn too_many_new(most: u32) -> Reply {
    Reply::new(
        451,
        (4, 7, 1),
        format!("the account may send to {most} recipients a day to whom it has not sent before; try again tomorrow"),
    )
}

async fn suspend(reception: &Reception, account: &Account, most: u32) -> Result<(), StoreError> {
    if account.suspended.is_some() {
        return Ok(());
    }
    let why = format!("it went on after it had sent to {most} new recipients within a day");
    let change = AccountChange::Suspend(account.login.clone(), Some(why.clone()));
    let changes = vec![DirectoryChange::Account(change)];
    reception.store.change_directory(changes.clone()).await?;
    if let Err(error) = reception.live.apply(&changes).await {
        tracing::error!(%error, "the directory could not be read again");
    }
    tracing::warn!(login = %account.login, why, "the account is suspended");
    told(reception, account, &Letter::Suspended(why)).await;
    Ok(())
}

/// A letter to an account's owner.
#[derive(Debug)]
enum Letter {
    /// No more new recipients today.
    Limit(u32),
    /// The account is stopped, and why.
    Suspended(String),
}

impl Letter {
    fn text(&self, account: &Account, hostname: &mail::Domain, id: QueueId, now_unix_s: i64) -> String {
        let login = &account.login;
        let (subject, body) = match self {
            Self::Limit(most) => (
                format!("{login} has sent to {most} new recipients today"),
                format!(
                    "Your account {login} has sent to {most} recipients within a day to whom it had never sent before. That is as many as\r\n\
                     it may: mail to more of them is put off until tomorrow. Mail to those that you have written to goes on.\r\n\r\n\
                     If that was you, the server's operator can raise the limit:\r\n\r\n  waypost account limits {login} --new-recipients-per-day N\r\n\r\n\
                     If it was not, somebody knows one of your passwords. See which was used, from where, and give it up:\r\n\r\n\
                     \x20 waypost account show {login}\r\n  waypost account passwd {login} --name NAME\r\n"
                ),
            ),
            Self::Suspended(why) => (
                format!("{login} is suspended"),
                format!(
                    "Your account {login} is suspended: {why}.\r\n\r\nNobody can log in to it until the server's operator lets it go on. Most often \
                     somebody else knows one\r\nof its passwords. See which was used, from where; replace it; then let the account go on:\r\n\r\n\
                     \x20 waypost account show {login}\r\n  waypost account passwd {login} --name NAME\r\n  waypost account resume {login}\r\n\r\n\
                     Mail to you is forwarded as before. What the account had sent and is still queued: waypost queue list --address {login}\r\n"
                ),
            ),
        };
        format!(
            "From: \"Waypost\" <postmaster@{hostname}>\r\nTo: <{login}>\r\nSubject: Waypost: {subject}\r\nDate: {}\r\nMessage-ID: <{id}.notice@{hostname}>\r\n\
             Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{body}",
            rfc5322_date(now_unix_s)
        )
    }
}

/// Sends a letter to the owner; of a suspension the postmaster hears too.
async fn told(reception: &Reception, account: &Account, letter: &Letter) {
    let settings = reception.settings.load_full();
    let now_ms = reception.clock.now_ms();
    let mut addressees = vec![account.login.clone()];
    if matches!(letter, Letter::Suspended(_)) {
        addressees.extend(settings.postmaster.clone().filter(|postmaster| *postmaster != account.login));
    }
    for to in addressees {
        let id = QueueId::next(now_ms, random_u32());
        let text = letter.text(account, &settings.hostname, id, now_ms / 1000);
        let utf8 = !text.split("\r\n\r\n").next().unwrap_or_default().is_ascii();
        let messages = addressed(reception.dispatch.world(), id, &to, text.into_bytes().into(), utf8).await;
        match reception.store.commit(messages, 0).await {
            Ok(_) => reception.dispatch.wake(),
            Err(error) => tracing::error!(%to, %error, "an account's owner could not be told"),
        }
    }
}
