//! DNSSEC with `dns.validate = "auto"`, while the name servers do not answer.
//!
//! RFC 7672 s.2.1: a failed lookup does not mean insecure. The domain publishes TLSA records; mail sent before they are known would leak.

use it::{DNS_PORT, Dns, Lab, LabAuthority, MX_PORT, Sink, Unbound, Waypost, content, domain, tlsa, tlsa_digest, wait_for};

#[test]
fn mail_waits_until_the_resolver_answers() {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let (right, wrong) = (authority.issue(&["mx.far.test"]), authority.issue(&["mx.far.test"]));
    let (far, other) = (Sink::with_tls(lab.address(11), MX_PORT, &right), Sink::with_tls(lab.address(12), MX_PORT, &wrong));
    let digest = tlsa_digest(&right, 0, 1);
    let records = domain(&lab, "far", 11)
        + &tlsa("far", &format!("3 1 1 {digest}"))
        + &domain(&lab, "forged", 12)
        + &tlsa("forged", &format!("3 1 1 {digest}"));
    let dns = Dns::start(&lab, &records);
    let extra = format!(
        "[delivery]\nloopback = true\nhost_pause_s = 1\nidle_timeout_s = 0\n[tls]\nextra_authorities = \"authority.pem\"\n[dns]\nservers = [\"{}:{DNS_PORT}\"]\nvalidate = \"auto\"\ntrust_anchor = \"{}\"\n",
        lab.address(54),
        dns.trust_anchor(&lab).display()
    );
    // The resolver is not running yet.
    let waypost = Waypost::started(&lab, "me@inbox.test", &extra);
    let password = waypost.account("me@example.test");
    for to in ["you@far.test", "you@forged.test"] {
        waypost.logged_in("me@example.test", &password).taken("me@example.test", to, &content(&format!("to {to}.")));
    }
    let reason = waypost.wait_for_reason("not known yet whether answers can be validated");
    assert!(reason.contains("did not answer"), "{reason}");
    waypost.wait_for_line(&[": deferred id=", "to=you@far.test", "4.4.3"]);
    assert_eq!(waypost.json(&["status"])["dnssec"], "unknown");
    let findings = String::from_utf8_lossy(&waypost.command(&["--json", "doctor"]).stdout).into_owned();
    assert!(findings.contains("not known yet whether answers can be validated"), "{findings}");
    assert!(!waypost.log().contains("pass no signatures on"), "{}", waypost.log());
    let _unbound = Unbound::start(&lab, &dns);
    wait_for("the resolver to be believed", || {
        waypost.ok(&["queue", "retry", "--all"]);
        (waypost.json(&["status"])["dnssec"] == "upstream").then_some(())
    });
    waypost.ok(&["queue", "retry", "--all"]);
    assert!(far.wait_for("to you@far.test.").tls);
    let line = waypost.wait_for_line(&[": delivered id=", "to=you@far.test"]);
    assert!(line.contains("verified=\"dane\""), "{line}");
    waypost.wait_for_reason("does not match its TLSA record");
    assert!(other.messages().is_empty(), "mail reached a host with another certificate");
    waypost.assert_no_bugs();
}
