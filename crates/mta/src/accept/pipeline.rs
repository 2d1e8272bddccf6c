//! The stages from a received message to the responsibility for it, in their order.
//!
//! RFC 5321 s.6.1. Invariant: whatever stage refuses, the content is given up and the client hears why; nothing is given up once somebody has answered
//! for it.

use mail::evidence::DkimResult;
use mail::{Domain, Reply};
use msgauth::{Authenticator, DkimKeys};
use policy::{AcceptedRecipient, Treatment};
use store::{Content, StoreError};

use crate::accept::auto_replies;
use crate::accept::auto_reply_limit;
use crate::accept::decide::{Accepted, accept, decide, from_addresses, judge};
use crate::accept::dmarc_mitigation::wrap;
use crate::accept::dmarc_results::{self, Seen, seen};
use crate::accept::filter::filter;
use crate::accept::forged_results::strip;
use crate::accept::inbound_report::take_report;
use crate::accept::message_auth::{Authenticated, Proof, authenticate};
use crate::accept::prepare::{Prepared, prepare};
use crate::accept::received::Received;
use crate::accept::sanitize_dsn::reword;
use crate::accept::sign::seal;
use crate::accept::submission_fixup::put_right;
use crate::queue::cut_through::hand_over;
use crate::queue::enqueue::enqueue;
use crate::queue::responsibility::Responsibility;
use crate::receive::content_quota::Held;
use crate::receive::session::Reception;
use crate::settings::Settings;
use crate::support::large_contents::Whose;

/// Recipients that a line of the log names.
const NAMED_MAX: usize = 5;

/// Takes the message, or says why not.
pub(crate) async fn take(reception: &Reception, received: Received, held: Held) -> Result<Responsibility, Reply> {
    let _hold = reception.dispatch.world().closing.hold();
    let settings = reception.settings.load_full();
    let (id, from) = (received.id, received.reverse_path.to_string());
    let (client, login) = (received.facts.client, received.facts.login.clone());
    let (recipients, size_bytes) = (received.recipients.len(), received.content.size_bytes());
    let to = named(&received);
    let mut known = Known { content: received.content.clone(), score: None, seen: None, held: None };
    let taken = stages(reception, &settings, received, &mut known, held).await;
    let score = known.score;
    // Who is to try again comes again.
    let is_final = matches!(&taken, Ok(Ok(_))) || matches!(&taken, Ok(Err(reply)) if reply.code >= 500);
    if let Some(seen) = known.seen.filter(|_| is_final) {
        dmarc_results::tell(reception.dispatch.world(), *seen);
    }
    match &taken {
        Ok(Ok(responsibility)) => {
            let how = match responsibility {
                Responsibility::Ours(_) if known.held.is_some() => "message held",
                Responsibility::Ours(_) => "message accepted",
                Responsibility::Kept(_) => "report taken",
                Responsibility::TakenOver(_) => "message handed over",
                Responsibility::Dropped(_) => "automatic answer to a return address dropped",
            };
            tracing::info!(%id, from, to, %client, login, recipients, size_bytes, score, reason = known.held, "{how}");
        }
        Ok(Err(reply)) => {
            reception.store.discard(&known.content);
            tracing::info!(%id, from, to, %client, login, score, reply = %reply, "message refused");
        }
        Err(error) => tracing::error!(%id, from, to, %client, %error, "message not accepted: it could not be stored"),
    }
    taken.unwrap_or_else(|error| Err(reply_to_store_error(&error)))
}

/// Recipients as the sender wrote them, for the log: the first few.
fn named(received: &Received) -> String {
    let names: Vec<String> = received.recipients.iter().take(NAMED_MAX).map(|(to, _)| to.forward_path.to_string()).collect();
    names.join(" ")
}

/// What is known of a message whatever becomes of it.
struct Known {
    /// The content that is to be given up where the message is not taken.
    content: Content,
    /// What the spam filter thinks of it.
    score: Option<f64>,
    /// Why it is held.
    held: Option<String>,
    /// What the owner of the domain in its From field is to be told about it.
    seen: Option<Box<Seen>>,
}

/// The stages.
async fn stages(
    reception: &Reception,
    settings: &Settings,
    received: Received,
    known: &mut Known,
    held: Held,
) -> Result<Result<Responsibility, Reply>, StoreError> {
    let authenticator = reception.dispatch.world().resolver.authenticator();
    let large = &reception.dispatch.world().large;
    let mut received = received;
    if received.facts.login.is_some() {
        let put_right = put_right(&reception.store, &reception.clock, large, &mut received).await?;
        known.content = received.content.clone();
        if let Err(reply) = put_right {
            return Ok(Err(reply));
        }
    }
    let authenticated = authenticate(received, authenticator, large).await?;
    if let [(_, AcceptedRecipient::Reports(_))] = authenticated.received.recipients.as_slice() {
        return take_report(reception, settings, authenticated).await;
    }
    if let Some(dropped) = auto_replies::drop_answer(&reception.store, &authenticated.received) {
        return Ok(Ok(Responsibility::Dropped(dropped)));
    }
    let filtered = filter(authenticated, settings, &reception.downtime, &reception.clock).await;
    known.score = filtered.answer.score;
    let judged = judge(&filtered.authenticated, &reception.live.current(), &settings.forward);
    known.seen = seen(settings, &filtered.authenticated, &judged);
    let treatment = match decide(&filtered, judged) {
        Ok(treatment) => treatment,
        Err(refused) => return Ok(Err(refused)),
    };
    let authenticated = filtered.authenticated;
    // Whoever has to be asked is asked before the content takes its room in memory.
    let keys = keys(authenticator, &authenticated).await;
    let whole = large.load(&authenticated.received.content, Whose::from(&authenticated.proof)).await?;
    let accepted = accept(authenticated, treatment, whole);
    if let Treatment::Held(reason) = &accepted.treatment {
        known.held = Some(reason.clone());
    }
    if let Err(reply) = auto_reply_limit::check(&reception.answers, &reception.clock, &accepted) {
        return Ok(Err(reply));
    }
    reception.confirmations.look(&accepted);
    let accepted = without_forgeries(reception, settings, accepted).await?;
    let accepted = reword(&reception.store, &reception.live.current(), settings, &reception.clock, accepted).await?;
    let accepted = match accepted.treatment {
        Treatment::Wrapped => wrap(&reception.store, settings, &reception.clock, accepted).await?,
        _ => accepted,
    };
    known.content = accepted.received.content.clone();
    let author = author(&accepted);
    let prepared = prepare(accepted, settings, &reception.clock);
    let directory = reception.live.current();
    let prepared = match seal(reception.dispatch.world(), &directory, author.as_ref(), keys.as_ref(), prepared).await {
        Ok(prepared) => prepared,
        Err(reply) => return Ok(Err(reply)),
    };
    pass_on(reception, settings, prepared, held).await
}

/// The message is complete: its targets take it while the client waits, or it is queued.
async fn pass_on(
    reception: &Reception,
    settings: &Settings,
    prepared: Prepared<'_>,
    held: Held,
) -> Result<Result<Responsibility, Reply>, StoreError> {
    if let Some((token, sender)) = &prepared.token {
        reception.store.remember_sender(token.clone(), sender, reception.clock.now_ms()).await?;
    }
    if let Some(reply) = no_room_to_hold(reception, settings, &prepared).await? {
        return Ok(Err(reply));
    }
    // From here on dispatch bounds what is held in memory: a target that is slow keeps no place from those who send to others.
    drop(held);
    if settings.forward.cut_through && prepared.is_forward {
        return hand_over(&reception.store, &reception.dispatch, prepared, settings.forward.deadline_s).await;
    }
    enqueue(&reception.store, &reception.dispatch, &reception.clock, prepared.messages)
        .await
        .map(|committed| Ok(Responsibility::Ours(committed)))
}

/// The keys of signatures that verified, which are to verify once more.
async fn keys(authenticator: &Authenticator, authenticated: &Authenticated) -> Option<DkimKeys> {
    match &authenticated.proof {
        Proof::Evidence(evidence) if evidence.dkim.iter().any(|check| check.result == DkimResult::Pass) => {
            Some(authenticator.dkim_keys(&authenticated.header).await)
        }
        _ => None,
    }
}

/// The domain in the From field of submitted mail, which decide has found to be the account's.
fn author(accepted: &Accepted<'_>) -> Option<Domain> {
    from_addresses(&accepted.whole.bytes).ok()?.into_iter().next().map(|from| from.domain)
}

/// What claims to be a result of ours and is not is taken out of mail from outside.
async fn without_forgeries<'a>(reception: &Reception, settings: &Settings, mut accepted: Accepted<'a>) -> Result<Accepted<'a>, StoreError> {
    if let Proof::Evidence(_) = accepted.proof
        && let Some((content, bytes)) = strip(&reception.store, &reception.clock, &accepted.whole.bytes, &settings.hostname).await?
    {
        reception.store.discard(&accepted.received.content);
        accepted.received.content = content;
        accepted.whole.bytes = bytes;
    }
    Ok(accepted)
}

/// Held mail has a bound on the disk; what does not fit waits with its sender.
async fn no_room_to_hold(reception: &Reception, settings: &Settings, prepared: &Prepared<'_>) -> Result<Option<Reply>, StoreError> {
    let Some(held) = prepared.messages.iter().find(|new| new.held.is_some()) else { return Ok(None) };
    let totals = reception.store.totals().await?;
    if totals.held_bytes + held.content.size_bytes() <= settings.forward.held_bytes {
        return Ok(None);
    }
    tracing::warn!(held = totals.held, bytes = totals.held_bytes, "no room for one more held message; `waypost held list` shows them");
    Ok(Some(Reply::new(452, (4, 3, 1), "there is no room for mail that must be looked at by a person; try again later")))
}

/// What a client hears when the store fails.
pub(crate) fn reply_to_store_error(error: &StoreError) -> Reply {
    match error {
        StoreError::Full => Reply::new(452, (4, 3, 1), "the server's disk is full; try again later"),
        StoreError::Closed => Reply::new(421, (4, 3, 2), "the server is shutting down; try again in a minute"),
        _ => Reply::new(451, (4, 3, 0), "the server could not store the message; try again later"),
    }
}
