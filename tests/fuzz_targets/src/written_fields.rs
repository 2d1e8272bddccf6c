//! What we write from strangers' words: Authentication-Results and delivery status notifications.
//!
//! RFC 8601 s.2.2, RFC 3464 s.2.

use mail::auth_results::{self, Facts, is_ours};
use mail::dsn::{Dsn, DsnAction, DsnRecipient, RemoteReply};
use mail::evidence::{ChainCheck, ChainHop, ChainResult, DkimCheck, DkimResult, DmarcCheck, DmarcResult, Evidence, HopSent, SpfCheck};
use mail::{Domain, EnhancedCode, Field, Fields, Mailbox, OriginalRecipient, QueueId, Ret};

use crate::checks::{assert_lines, texts};

/// The field is one field of ours, whatever words are in it; any value that claims our name is found.
pub fn authentication_results(data: &[u8]) {
    let ours = ours();
    let _ = is_ours(&Field { name: b"Authentication-Results", value: data, raw: data }, &ours);
    let mut words = texts(data);
    let mut next = || words.next().unwrap_or_default();
    let dkim = DkimCheck {
        result: DkimResult::Fail,
        domain: next(),
        selector: next(),
        algorithm: next(),
        signature_prefix: next(),
        reason: Some(next()),
    };
    let hop = |number, domain| ChainHop { number, domain, revision: 1, sent: HopSent::Domain(String::new()) };
    let dkim2 = ChainCheck {
        result: if data.len().is_multiple_of(2) { ChainResult::Pass } else { ChainResult::Fail },
        hops: vec![hop(1, next()), hop(2, next())],
        failed_hop: Some(2),
        reason: Some(next()),
    };
    let evidence = Evidence {
        client_name: Some(next()),
        helo: SpfCheck { domain: next(), ..SpfCheck::default() },
        dkim: vec![dkim],
        dkim2,
        dmarc: DmarcCheck { domain: next(), result: DmarcResult::Fail, ..DmarcCheck::default() },
        ..Evidence::default()
    };
    let (hello, reverse_path, header_from) = (next(), next(), next());
    let facts = Facts {
        client: "2001:db8::1".parse().expect("an address"),
        hello: &hello,
        reverse_path: Some(&reverse_path),
        header_from: Some(&header_from),
    };
    check_results(&evidence, &facts);
}

/// The written field is one field with our name, and its lines are folded.
pub(crate) fn check_results(evidence: &Evidence, facts: &Facts<'_>) {
    let written = auth_results::authentication_results(&ours(), evidence, facts);
    assert_lines(written.as_bytes());
    assert!(!written.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)), "{written:?}");
    let content = format!("{written}Subject: x\r\n\r\n");
    let fields: Vec<Field<'_>> = Fields::new(content.as_bytes()).collect();
    assert_eq!(fields.len(), 2, "{written:?}");
    assert!(is_ours(&fields[0], &ours()) && fields[1].is("Subject"), "{written:?}");
}

fn ours() -> Domain {
    Domain::parse("mx.example.test").expect("a domain")
}

/// The fields of a delivery-status part.
const STATUS_FIELDS: [&str; 11] = [
    "Original-Envelope-Id",
    "Reporting-MTA",
    "Arrival-Date",
    "X-Waypost-Queue-ID",
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
];

/// Words of the sender, of the client and of a remote host add no field, no part and no control character.
pub fn delivery_reports(data: &[u8]) {
    let mut words = texts(data);
    let mut next = || words.next().unwrap_or_default();
    let (envid, diagnostic, reply) = (next(), next(), next());
    let orcpt = OriginalRecipient { kind: next(), address: next() };
    let mailbox = |text: &str| Mailbox::parse(text).ok();
    let her = mailbox("her@foreign.test").expect("a mailbox");
    let recipient = mailbox(&next()).unwrap_or_else(|| her.clone());
    let original = words.next().unwrap_or_default();
    let recipients = [DsnRecipient {
        recipient,
        orcpt: Some(orcpt),
        action: DsnAction::Failed,
        status: EnhancedCode(5, 1, 1),
        remote: Some(RemoteReply { host: ours(), reply }),
        diagnostic,
        until_unix_s: None,
    }];
    let dsn = Dsn {
        reporting: &ours(),
        from: &mailbox("MAILER-DAEMON@example.test").expect("a mailbox"),
        to: &her,
        queue_id: QueueId(7),
        report_id: QueueId(8),
        envid: Some(&envid),
        arrived_unix_s: 1_795_888_000,
        now_unix_s: 1_795_888_800,
        ret: Ret::Headers,
        original: &[],
        recipients: &recipients,
    };
    let composed = dsn.compose();
    assert_lines(&composed.content);
    let text = String::from_utf8(composed.content).expect("UTF-8");
    assert!(!text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)), "{text:?}");
    assert_eq!(text.matches("\r\n--=_waypost_").count(), 4, "{text}");
    let status =
        text.split("\r\n--=_waypost_").nth(2).and_then(|part| part.split_once("\r\n\r\n")).expect("the fields of the status part").1;
    for line in status.split("\r\n").filter(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        assert!(STATUS_FIELDS.contains(&name), "{line:?} in\n{text}");
    }
    let whole = Dsn { ret: Ret::Full, original: original.as_bytes(), ..dsn };
    let _ = whole.compose();
}
