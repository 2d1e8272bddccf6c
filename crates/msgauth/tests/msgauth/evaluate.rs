//! The whole evaluation: alignment, the policy that applies, iprev, and name servers that do not answer.

use std::time::Duration;

use mail::evidence::{ArcResult, DkimResult, DmarcPolicy, DmarcResult, Evidence, IprevResult, SpfResult};
use msgauth::Input;

use crate::dkim::{key_record, signed};
use crate::name_server::{self, Rdata, Zone, txt, zone};

const CLIENT: &str = "192.0.2.1";

fn from(value: &str) -> String {
    format!("From: {value}\r\nSubject: Hi\r\n\r\nHello\r\n")
}

async fn evaluate(zone: Zone, reverse_path: Option<&str>, message: &str) -> Evidence {
    let (authenticator, _) = name_server::start(zone).await;
    let input =
        Input { client: CLIENT.parse().unwrap(), hello: "out.example.org", reverse_path, recipients: &[], message: message.as_bytes() };
    movable(authenticator.evaluate(input)).await
}

/// Requires `Send`: a session moves between threads.
fn movable<F: Future + Send>(future: F) -> F {
    future
}

fn example() -> Zone {
    zone([
        ("1.2.0.192.in-addr.arpa", Rdata::Ptr("out.example.org".into())),
        ("out.example.org", Rdata::A(CLIENT.parse().unwrap())),
        ("out.example.org", txt("v=spf1 a -all")),
        ("example.org", txt("v=spf1 ip4:192.0.2.0/24 -all")),
        ("_dmarc.example.org", txt("v=DMARC1; p=reject; sp=quarantine; np=none")),
        ("ed._domainkey.example.org", key_record()),
        ("here.example.org", Rdata::A(CLIENT.parse().unwrap())),
        ("example.com", txt("v=spf1 -all")),
        ("_dmarc.example.com", txt("v=DMARC1; p=quarantine")),
        ("_dmarc.testing.example", txt("v=DMARC1; p=reject; t=y")),
        ("_dmarc.testing2.example", txt("v=DMARC1; p=quarantine; t=y")),
        ("_dmarc.twice.example", txt("v=DMARC1; p=reject")),
        ("_dmarc.twice.example", txt("v=DMARC1; p=none")),
        ("_dmarc.suffix.example", txt("v=DMARC1; p=reject; psd=y")),
        ("a.suffix.example", txt("v=spf1 +all")),
        ("strict.example", txt("v=spf1 +all")),
        ("sub.strict.example", txt("v=spf1 +all")),
        ("_dmarc.strict.example", txt("v=DMARC1; p=reject; aspf=s")),
        ("_dmarc.dead.example", Rdata::Failure),
        ("dead.example", Rdata::Failure),
        ("_dmarc.half.example", txt("v=DMARC1; p=reject")),
        ("half.example", Rdata::Silence),
    ])
}

#[tokio::test]
async fn an_authentic_message_passes_every_check() {
    let fields = [("From", "joe@example.org"), ("Subject", "Hi")];
    let message = signed("example.org", "s=ed; h=from:subject;", &fields, "Hello\r\n", "Hello\r\n");
    let evidence = evaluate(example(), Some("joe@example.org"), &message).await;
    assert_eq!((evidence.iprev, evidence.client_name.as_deref()), (IprevResult::Pass, Some("out.example.org")));
    assert_eq!((evidence.helo.result, evidence.helo.domain.as_str()), (SpfResult::Pass, "out.example.org"));
    assert_eq!((evidence.mail_from.result, evidence.mail_from.domain.as_str()), (SpfResult::Pass, "example.org"));
    assert_eq!(evidence.dkim[0].result, DkimResult::Pass);
    assert_eq!(evidence.arc, ArcResult::None);
    let dmarc = &evidence.dmarc;
    assert_eq!((dmarc.result, dmarc.policy, dmarc.domain.as_str()), (DmarcResult::Pass, DmarcPolicy::Reject, "example.org"));
    assert!(dmarc.spf_aligned && dmarc.dkim_aligned);
    // With a null reverse-path, the result of HELO counts.
    let report = evaluate(example(), None, &from("joe@example.org")).await;
    assert_eq!(report.mail_from, report.helo);
    assert!(report.dmarc.spf_aligned);
}

#[tokio::test]
async fn the_applicable_dmarc_policy_is_found() {
    use DmarcPolicy::{None, Quarantine, Reject};
    use DmarcResult::{Fail, Pass, TempError};
    let other = "x@elsewhere.example";
    for (author, sender, result, policy) in [
        ("a@example.org", other, Fail, Reject),
        ("a@EXAMPLE.org", "b@Example.ORG", Pass, Reject),
        ("a@here.example.org", other, Fail, Quarantine),
        ("a@nowhere.example.org", other, Fail, None),
        ("a@here.example.org", "b@example.org", Pass, Quarantine),
        ("a@testing.example", other, Fail, Quarantine),
        ("a@testing2.example", other, Fail, None),
        ("a@twice.example", other, DmarcResult::None, None),
        ("a@unknown.example", other, DmarcResult::None, None),
        ("a@b.suffix.example", "x@a.suffix.example", Fail, Reject),
        ("a@a.suffix.example", "x@a.suffix.example", Pass, Reject),
        ("a@strict.example", "x@strict.example", Pass, Reject),
        ("a@strict.example", "x@sub.strict.example", Fail, Reject),
        ("a@dead.example", other, TempError, None),
        ("a@half.example", "x@half.example", TempError, Reject),
        ("a@half.example", other, Fail, Reject),
        // Several domains: the strictest outcome.
        ("a@unknown.example, b@example.com, c@example.org", other, Fail, Reject),
        ("b@example.com, c@example.org", "x@example.org", Fail, Quarantine),
        ("c@example.org, d@example.org", "x@example.org", Pass, Reject),
        ("undisclosed:;", other, DmarcResult::None, None),
    ] {
        let dmarc = evaluate(example(), Some(sender), &from(author)).await.dmarc;
        assert_eq!((dmarc.result, dmarc.policy), (result, policy), "{author} by {sender}: {dmarc:?}");
    }
    let none = evaluate(example(), Some(other), "Subject: Hi\r\n\r\n").await.dmarc;
    assert_eq!((none.result, none.domain.as_str()), (DmarcResult::None, ""));
    // Two From fields count as one with both addresses.
    let two = evaluate(example(), Some(other), "From: a@unknown.example\r\nFrom: b@example.org\r\n\r\n").await.dmarc;
    assert_eq!((two.result, two.policy), (Fail, Reject));
}

#[tokio::test]
async fn iprev_accepts_only_a_confirmed_name() {
    let ptr = |names: &[&str]| -> Zone {
        let mut zone = example();
        zone.insert("1.2.0.192.in-addr.arpa".into(), names.iter().map(|name| Rdata::Ptr((*name).into())).collect());
        zone
    };
    for (names, wanted) in [
        (&["gone.example", "out.example.org"][..], IprevResult::Pass),
        (&["gone.example"], IprevResult::Fail),
        (&["ev\0il.example", "<b>.example"], IprevResult::Fail),
        (&["dead.example"], IprevResult::TempError),
    ] {
        let evidence = evaluate(ptr(names), None, &from("a@b.example")).await;
        assert_eq!(evidence.iprev, wanted, "{names:?}");
        assert_eq!(evidence.client_name.is_some(), wanted == IprevResult::Pass);
    }
    let mut dead = example();
    dead.insert("1.2.0.192.in-addr.arpa".into(), vec![Rdata::Failure]);
    assert_eq!(evaluate(dead, None, &from("a@b.example")).await.iprev, IprevResult::TempError);
    assert_eq!(evaluate(Zone::new(), None, &from("a@b.example")).await.iprev, IprevResult::Fail);
}

#[tokio::test]
async fn helo_is_checked_if_it_is_a_domain_name() {
    for (hello, wanted) in [("[192.0.2.1]", SpfResult::None), ("localhost", SpfResult::None), ("out.example.org.", SpfResult::Pass)] {
        let (authenticator, log) = name_server::start(example()).await;
        let input = Input { client: CLIENT.parse().unwrap(), hello, reverse_path: None, recipients: &[], message: b"" };
        assert_eq!(authenticator.check_spf(&input).await.0.result, wanted, "{hello}");
        assert_eq!(log.lock().unwrap().is_empty(), wanted == SpfResult::None);
    }
}

/// A name server that never answers: every result is a temporary error, in bounded time.
#[tokio::test]
async fn without_dns_everything_is_a_temporary_error() {
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let authenticator = name_server::authenticator(nobody.local_addr().unwrap(), Duration::from_millis(300));
    let fields = [("From", "joe@example.org"), ("Subject", "Hi")];
    let message = signed("example.org", "s=ed; h=from:subject;", &fields, "Hello\r\n", "Hello\r\n");
    let client = CLIENT.parse().unwrap();
    let input =
        Input { client, hello: "out.example.org", reverse_path: Some("joe@example.org"), recipients: &[], message: message.as_bytes() };
    let evidence = tokio::time::timeout(Duration::from_secs(20), authenticator.evaluate(input)).await.unwrap();
    assert_eq!(evidence.iprev, IprevResult::TempError);
    assert_eq!((evidence.helo.result, evidence.mail_from.result), (SpfResult::TempError, SpfResult::TempError));
    assert_eq!(evidence.dkim[0].result, DkimResult::TempError);
    assert_eq!((evidence.dmarc.result, evidence.dmarc.domain.as_str()), (DmarcResult::TempError, "example.org"));
}
