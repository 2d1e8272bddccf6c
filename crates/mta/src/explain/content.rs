//! The content, in words: the stages of `accept`, up to what would leave.
//!
//! RFC 5321 s.4.2.5. Invariant: the stages and their order are those of `accept/pipeline.rs`; what they make stays in memory.

use mail::{Body, MailParameters, Notify, QueueId, Recipient, Reply};
use net::random_u32;
use policy::{AcceptedRecipient, Treatment};
use smtp::server::too_large;
use store::{Content, NewReport};

use crate::accept::alter::alter;
use crate::accept::auto_replies::is_auto_reply;
use crate::accept::auto_reply_limit;
use crate::accept::decide::{accept, decide, judge};
use crate::accept::filter::unfiltered;
use crate::accept::held_room::check_room_to_hold;
use crate::accept::hourly_limit::HourlyLimit;
use crate::accept::inbound_report::read_report;
use crate::accept::message_auth::{Authenticated, Proof, authenticate};
use crate::accept::prepare::{Prepared, prepare};
use crate::accept::received::{Received, SessionFacts};
use crate::accept::sign::{BrokenSignature, author, recheck, sign_and_recheck};
use crate::accept::submission_fixup::correct;
use crate::context::Snapshot;
use crate::explain::explainer::Explainer;
use crate::explain::explanation::{ExplainStage, ExplainedDecision, Explanation};
use crate::explain::question::Question;
use crate::explain::words;
use crate::queue::not_taken::NotTaken;
use crate::settings::Settings;
use crate::support::content_place::ContentPlace;
use crate::support::large_contents::ContentOrigin;

/// What would leave, with how it was treated.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    pub prepared: Prepared<'a>,
    pub treatment: Treatment,
}

/// The end of the stages.
enum StagesEnd<'a> {
    Leaving(Box<Leaving<'a>>),
    Report(Box<NewReport>),
    AutoReply,
}

/// Explains the content; `None` if nothing would leave.
pub(super) async fn explain<'a>(
    explainer: &'a Explainer,
    snapshot: &Snapshot,
    question: &Question,
    accepted: AcceptedRecipient,
    explanation: &mut Explanation,
) -> Option<Leaving<'a>> {
    let mut details = Vec::new();
    let end = stages(explainer, snapshot, received(explainer, question, accepted), &mut details).await;
    let words = if question.has_message { "the message" } else { "such a message" };
    match end {
        Ok(StagesEnd::Leaving(leaving)) => {
            let (words, decision) = treated(words, &leaving.treatment);
            explanation.pass(ExplainStage::Content, words, details);
            explanation.decision = decision;
            Some(*leaving)
        }
        Ok(StagesEnd::Report(report)) => {
            explanation.pass(ExplainStage::Content, format!("{words} is a report of {}: it is read", report.submitter), details);
            explanation.decision = ExplainedDecision::ReportRead;
            None
        }
        Ok(StagesEnd::AutoReply) => {
            explanation.pass(ExplainStage::Content, format!("{words} is an automatic reply to a return address: it is dropped"), details);
            explanation.decision = ExplainedDecision::AutoReplyDropped;
            None
        }
        Err(not_taken) => {
            explanation.refuse(ExplainStage::Content, format!("{words} is refused"), details, not_taken.into_reply());
            None
        }
    }
}

fn treated(what: &str, treatment: &Treatment) -> (String, ExplainedDecision) {
    match treatment {
        Treatment::AsIs => (format!("{what} is accepted; its content leaves unchanged"), ExplainedDecision::Accepted),
        Treatment::Rewritable => (
            format!("{what} is accepted; its content leaves unchanged, and once more under another From field if the target refuses it"),
            ExplainedDecision::Accepted,
        ),
        Treatment::Wrapped => (format!("{what} is accepted; it leaves inside a message of this server"), ExplainedDecision::Accepted),
        Treatment::Held(why) => (format!("{what} is accepted and held: {why}"), ExplainedDecision::Held(why.clone())),
    }
}

fn received(explainer: &Explainer, question: &Question, accepted: AcceptedRecipient) -> Received {
    let now_ms = explainer.shared.clock.now_ms();
    let id = QueueId::next(now_ms, random_u32());
    let body = if question.message.is_ascii() { Body::SevenBit } else { Body::EightBit };
    Received {
        id,
        at_ms: now_ms,
        facts: SessionFacts {
            listener: Some(question.listener()),
            client: question.client,
            hello: question.hello.clone(),
            extended: true,
            tls: question.login.is_some().then(|| "TLS".to_owned()),
            login: question.login.clone(),
            local: false,
        },
        reverse_path: question.from.clone(),
        parameters: MailParameters { body, ..MailParameters::default() },
        recipients: vec![(Recipient { notify: Notify::default(), ..Recipient::new(question.to.clone()) }, accepted)],
        content: Content::memory(id, question.message.clone()),
    }
}

async fn stages<'a>(
    explainer: &'a Explainer,
    snapshot: &Snapshot,
    mut received: Received,
    details: &mut Vec<String>,
) -> Result<StagesEnd<'a>, NotTaken> {
    let Snapshot { settings, directory } = snapshot;
    let (clock, large) = (&explainer.shared.clock, &explainer.large);
    let authenticator = explainer.resolver.authenticator();
    check_size(settings, &received)?;
    let has_login = received.facts.login.is_some();
    let authenticated = if has_login {
        correct(ContentPlace::Memory, clock, large, &mut received).await?;
        Authenticated::submitted(received, Proof::Login).await?
    } else {
        authenticate(received, authenticator, large).await?
    };
    details.extend(evidence(&authenticated.proof));
    if let [(_, AcceptedRecipient::Reports(_))] = authenticated.received.recipients.as_slice() {
        return Ok(StagesEnd::Report(Box::new(read_report(large, &explainer.reading, snapshot, &authenticated).await?)));
    }
    if is_auto_reply(&authenticated.received) {
        return Ok(StagesEnd::AutoReply);
    }
    details.extend(filter_note(settings, has_login));
    // The filter is not asked: it learns from what it is asked.
    let filtered = unfiltered(authenticated);
    let judged = judge(&filtered.authenticated, directory, &settings.forward);
    let treatment = decide(&filtered, judged, directory)?;
    let authenticated = filtered.authenticated;
    let recheck = if has_login { None } else { recheck(authenticator, &authenticated).await };
    let whole = large.load(&authenticated.received.content, ContentOrigin::from(&authenticated.proof)).await?;
    let accepted = accept(authenticated, treatment, whole);
    auto_reply_limit::check(&HourlyLimit::default(), clock, &accepted)?;
    let accepted = alter(ContentPlace::Memory, snapshot, clock, accepted).await?;
    let (author, treatment) = (author(&accepted), accepted.treatment.clone());
    let prepared = prepare(accepted, settings, clock);
    let signed = sign_and_recheck(&explainer.signing, snapshot, author.as_ref(), recheck.as_ref(), prepared).await;
    let prepared = signed.map_err(|_| BrokenSignature::reply())?;
    check_room_to_hold(&explainer.shared.store, settings, &prepared.messages).await?;
    Ok(StagesEnd::Leaving(Box::new(Leaving { prepared, treatment })))
}

fn check_size(settings: &Settings, received: &Received) -> Result<(), Reply> {
    if received.content.size_bytes() > settings.limits.message_bytes { Err(too_large()) } else { Ok(()) }
}

/// What was found out about the sender.
fn evidence(proof: &Proof) -> Vec<String> {
    let Proof::Evidence(evidence) = proof else { return vec!["the login proves the sender; its From field must be the account's".into()] };
    words::signatures(evidence)
}

/// The filter's part, if it would be asked.
fn filter_note(settings: &Settings, has_login: bool) -> Option<String> {
    let filtering = settings.filtering.as_ref()?;
    let is_asked = filtering.submission || !has_login;
    is_asked.then(|| "the spam filter has the last word; it is not asked now, since it would count and learn from the question".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_follow_from_the_treatment() {
        let (words, decision) = treated("the message", &Treatment::Held("it fails DMARC".into()));
        assert_eq!(
            (words.as_str(), decision),
            ("the message is accepted and held: it fails DMARC", ExplainedDecision::Held("it fails DMARC".into()))
        );
        assert_eq!(treated("it", &Treatment::Wrapped).1, ExplainedDecision::Accepted);
    }

    #[test]
    fn mail_without_a_signature_says_so() {
        let lines = evidence(&Proof::Evidence(Box::default()));
        assert_eq!(
            lines,
            ["DKIM: no signature", "DMARC: the From field names no valid address, so there is no domain whose policy could be asked for"]
        );
        assert_eq!(filter_note(&Settings::plain(), false), None);
    }
}
