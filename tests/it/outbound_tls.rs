//! Outbound TLS: TLSA records (DANE), MTA-STS policies, and what a host offered before.
//!
//! RFC 7672, RFC 8461. Knot signs the zone `test`; unbound or our server validates it.

use it::{Lab, LabAuthority, MX_PORT, PolicyAnswer, PolicyHost, Postfix, Sink, TlsSender, domain, sts_domain, tlsa, tlsa_digest};
use net::Issued;

fn matching_records_deliver(validate: &str) {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let (ee, ta) = (authority.issue(&["elsewhere.test"]), authority.issue(&["mx.ta.test"]));
    let records = domain(&lab, "ee", 11)
        + &tlsa("ee", &format!("3 1 1 {}", tlsa_digest(&ee, 0, 1)))
        + &domain(&lab, "ta", 12)
        + &tlsa("ta", &format!("2 0 1 {}", tlsa_digest(&ta, 1, 0)))
        // A CNAME: the records are at its target.
        + "alias MX 10 mx.alias\nmx.alias CNAME mx.ee\n"
        // The next host is tried if the first has another certificate.
        + &format!("two MX 10 mx.first\nmx.first A {}\ntwo MX 20 mx.ee\n{}", lab.address(12), tlsa("first", &format!("3 1 1 {}", "00".repeat(32))))
        // Only records that SMTP does not use: unverified TLS.
        + &domain(&lab, "unusable", 11)
        + &tlsa("unusable", &format!("1 1 1 {}", "00".repeat(32)));
    let (one, two) = (Sink::with_tls(lab.address(11), MX_PORT, &ee), Sink::with_tls(lab.address(12), MX_PORT, &ta));
    let sender = TlsSender::start(&lab, validate, &records, &[]);
    for name in ["ee", "alias", "two"] {
        sender.delivers(&format!("you@{name}.test"), Some("dane"));
        assert!(one.wait_for(&format!("to you@{name}.test.")).tls, "{name}");
    }
    sender.delivers("you@ta.test", Some("dane"));
    assert!(two.wait_for("to you@ta.test.").tls);
    sender.delivers("you@unusable.test", None);
    assert!(one.wait_for("to you@unusable.test.").tls);
    assert_eq!(two.messages().len(), 1);
    if validate == "unbound" {
        sender.waypost.wait_for_log("DNSSEC: the resolver on this machine validates");
    }
    sender.waypost.assert_no_bugs();
}

#[test]
fn dane_delivers_to_a_matching_host_validated_by_the_server() {
    matching_records_deliver("here");
}

#[test]
fn dane_delivers_to_a_matching_host_validated_by_unbound() {
    matching_records_deliver("unbound");
}

fn mismatched_records_defer(validate: &str) {
    let lab = Lab::new();
    let authority = LabAuthority::new(&lab);
    let shown = authority.issue(&["mx.wrong.test"]);
    let wrong = format!("3 1 1 {}", "ab".repeat(32));
    let unsigned = |name: &str, host: u8| {
        let records = format!("@ NS ns.test.\n@ MX 10 mx\nmx A {}\n_{MX_PORT}._tcp.mx TLSA {wrong}\n", lab.address(host));
        (format!("{name}.test"), records)
    };
    let (plain, bogus) = (unsigned("plain", 11), unsigned("bogus", 11));
    let records = domain(&lab, "wrong", 11)
        + &tlsa("wrong", &wrong)
        + &domain(&lab, "authority", 11)
        + &tlsa("authority", &format!("2 0 1 {}", tlsa_digest(&shown, 1, 0)))
        + &domain(&lab, "clear", 12)
        + &tlsa("clear", &wrong)
        + &domain(&lab, "unusable", 12)
        + &tlsa("unusable", &format!("0 0 1 {}", "ab".repeat(32)))
        // Without a DS record the zone is insecure; with one that matches no key it is bogus.
        + &format!("plain NS ns\nbogus NS ns\nbogus DS 12345 13 2 {}\n", "cd".repeat(32))
        + "halfway MX 10 mx.bogus\n";
    let (tls, clear) = (Sink::with_tls(lab.address(11), MX_PORT, &shown), Sink::start(lab.address(12), MX_PORT));
    let sender = TlsSender::start(&lab, validate, &records, &[(&plain.0, &plain.1), (&bogus.0, &bogus.1)]);
    let found = tlsa_digest(&shown, 0, 1);
    let reason = sender.waits(
        "you@wrong.test",
        "4.7.5",
        &["the certificate of mx.wrong.test does not match its TLSA record: found 3 1 1 ", "expected 3 1 1 abababababababab"],
    );
    assert!(reason.contains(&found[..16]) && reason.contains("its TLSA records (DANE) require it"), "{reason}");
    sender.waits("you@authority.test", "4.7.5", &["the authority of 2 0 1 ", "names neither mx.authority.test nor authority.test"]);
    sender.waits("you@clear.test", "4.7.5", &["mx.clear.test does not offer TLS", "its TLSA records (DANE) require it"]);
    sender.waits("you@unusable.test", "4.7.5", &["mx.unusable.test does not offer TLS"]);
    sender.waits("you@bogus.test", "4.4.3", &["DNS did not answer about bogus.test"]);
    sender.waits("you@halfway.test", "4.4.3", &["cannot look up the address of mx.bogus.test"]);
    assert!(tls.connections() >= 2 && clear.connections() >= 2);
    assert!(tls.messages().is_empty() && clear.messages().is_empty());
    sender.delivers("you@plain.test", None);
    assert!(tls.wait_for("to you@plain.test.").tls);
    it::wait_for("the others to stay in the queue", || (sender.waypost.queued() == 6).then_some(()));
    let list = sender.waypost.json(&["queue", "list"]);
    let waits = list["items"].as_array().unwrap().iter().find(|message| message.to_string().contains("you@wrong.test")).unwrap();
    let shown = sender.waypost.ok(&["queue", "show", waits["id"].as_str().unwrap()]);
    assert!(shown.contains("the certificate of mx.wrong.test does not match its TLSA record: found 3 1 1 "), "{shown}");
    sender.waypost.assert_no_bugs();
}

#[test]
fn dane_defers_for_a_mismatched_host_validated_by_the_server() {
    mismatched_records_defer("here");
}

#[test]
fn dane_defers_for_a_mismatched_host_validated_by_unbound() {
    mismatched_records_defer("upstream");
}

#[test]
fn without_dnssec_validation_tlsa_records_are_ignored() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["mx.far.test"]);
    let far = Sink::with_tls(lab.address(11), MX_PORT, &issued);
    let sender = TlsSender::start(&lab, "off", &(domain(&lab, "far", 11) + &tlsa("far", &format!("3 1 1 {}", "ab".repeat(32)))), &[]);
    sender.delivers("you@far.test", None);
    assert!(far.wait_for("to you@far.test.").tls);
}

#[test]
fn dane_delivers_to_postfix() {
    let lab = Lab::new();
    LabAuthority::new(&lab);
    let postfix = Postfix::start(&lab, 11, "foreign.test", &["you"], "", "");
    let pem = std::fs::read_to_string(postfix.config.join("tls.pem")).unwrap();
    let shown = Issued { chain: pem, key: String::new() };
    let records = domain(&lab, "foreign", 11) + &tlsa("foreign", &format!("3 1 1 {}", tlsa_digest(&shown, 0, 1)));
    let sender = TlsSender::start(&lab, "upstream", &records, &[]);
    sender.delivers("you@foreign.test", Some("dane"));
    let message = String::from_utf8(postfix.wait_for("you", "to you@foreign.test.")).unwrap();
    assert!(message.contains("using TLSv1.3"), "{message}");
}

/// A remote domain with a mail host and a policy host, at 11 and 12.
struct Far {
    lab: Lab,
    inbox: Sink,
    policy: PolicyHost,
    sender: TlsSender,
}

impl Far {
    /// The mail host has a certificate for these names, issued by the lab's authority or self-signed.
    fn start(names: &[&str], is_by_authority: bool, answer: PolicyAnswer) -> Self {
        let lab = Lab::new();
        let authority = LabAuthority::new(&lab);
        let other = Lab::new();
        let shown = if is_by_authority { authority.issue(names) } else { LabAuthority::new(&other).issue(names) };
        let inbox = Sink::with_tls(lab.address(11), MX_PORT, &shown);
        let policy = PolicyHost::start(lab.address(12), &authority.issue(&["mta-sts.far.test"]), answer);
        let sender = TlsSender::start(&lab, "off", &sts_domain(&lab, "far"), &[]);
        Self { lab, inbox, policy, sender }
    }
}

#[test]
fn mta_sts_delivers_to_a_matching_host_and_fetches_the_policy_once() {
    let far = Far::start(&["mx.far.test"], true, PolicyAnswer::policy("enforce", &["*.far.test"], 86_400));
    far.sender.delivers("you@far.test", Some("mta-sts"));
    assert!(far.inbox.wait_for("to you@far.test.").tls);
    far.sender.delivers("them@far.test", Some("mta-sts"));
    assert_eq!(far.policy.connections(), 1, "it is fetched once");
    let kept = std::fs::read_to_string(far.sender.waypost.data.join("mta-sts.json")).unwrap();
    assert!(kept.contains("mode: enforce"), "{kept}");
}

#[test]
fn mta_sts_enforce_defers_for_another_certificate() {
    let policy = || PolicyAnswer::policy("enforce", &["mx.far.test"], 86_400);
    for (names, is_by_authority) in [(["mx.other.test"], true), (["mx.far.test"], false)] {
        let far = Far::start(&names, is_by_authority, policy());
        far.sender.waits("you@far.test", "4.7.5", &["TLS with mx.far.test failed", "the MTA-STS policy of far.test requires it"]);
        assert!(far.inbox.messages().is_empty() && far.inbox.connections() > 0);
    }
    let far = Far::start(&["mx.far.test"], true, PolicyAnswer::policy("enforce", &["mx.else.test"], 86_400));
    far.sender.waits("you@far.test", "4.7.5", &["the MTA-STS policy of far.test does not name the mail host mx.far.test"]);
    assert_eq!((far.inbox.messages().len(), far.inbox.connections()), (0, 0));
    let far = Far::start(&["mx.far.test"], true, policy());
    far.inbox.offer_tls(false);
    far.sender.waits("you@far.test", "4.7.5", &["mx.far.test does not offer TLS", "the MTA-STS policy of far.test requires it"]);
    assert!(far.inbox.messages().is_empty());
    far.sender.waypost.assert_no_bugs();
}

#[test]
fn mta_sts_testing_delivers_anyway() {
    for answer in [PolicyAnswer::policy("testing", &["mx.far.test"], 86_400), PolicyAnswer::policy("testing", &["mx.else.test"], 86_400)] {
        let far = Far::start(&["mx.other.test"], true, answer);
        far.sender.delivers("you@far.test", None);
        assert!(far.inbox.wait_for("to you@far.test.").tls);
        assert_eq!(far.sender.waypost.json(&["status"])["sts_testing_failures"], 1);
    }
    let none = Far::start(&["mx.other.test"], true, PolicyAnswer::policy("none", &[], 86_400));
    none.sender.delivers("you@far.test", None);
}

#[test]
fn mta_sts_policies_survive_a_down_policy_host_and_a_restart() {
    let mut far = Far::start(&["mx.far.test"], true, PolicyAnswer::policy("enforce", &["mx.far.test"], 86_400));
    far.sender.delivers("you@far.test", Some("mta-sts"));
    far.policy.say(None);
    far.inbox.offer_tls(false);
    far.sender.waypost.stop();
    far.sender.waypost.start();
    far.sender.waits("later@far.test", "4.7.5", &["mx.far.test does not offer TLS", "the MTA-STS policy of far.test requires it"]);
    assert_eq!((far.policy.connections(), far.inbox.messages().len()), (1, 1));
    assert!(far.lab.path().exists());
}

#[test]
fn threat_96_a_misbehaving_policy_host_gives_no_policy() {
    let good = PolicyAnswer::policy("enforce", &["mx.else.test"], 86_400);
    let redirect = PolicyAnswer { head: "302 Found\r\nLocation: https://evil.test/\r\nContent-Type: text/plain".into(), ..good.clone() };
    let html = PolicyAnswer { head: "200 OK\r\nContent-Type: text/html".into(), ..good.clone() };
    let large = PolicyAnswer { body: good.body.clone() + &"x: y\r\n".repeat(11_000), ..good.clone() };
    let far = Far::start(&["mx.far.test"], true, redirect);
    let lines = |part: &str| far.sender.waypost.log().lines().filter(|line| line.contains(part)).count();
    far.sender.delivers("you@far.test", None);
    assert_eq!(lines("answers 302 Found"), 1, "{}", far.sender.waypost.log());
    for (answer, what) in [(html, "instead of text/plain"), (large, "cannot be read")] {
        let far = Far::start(&["mx.far.test"], true, answer);
        far.sender.delivers("you@far.test", None);
        assert!(far.sender.waypost.log().contains(what), "{}", far.sender.waypost.log());
    }
}

#[test]
fn mail_waits_if_a_host_stops_offering_tls() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["whoever.test"]);
    let far = Sink::with_tls(lab.address(11), MX_PORT, &issued);
    let sender = TlsSender::start(&lab, "off", &domain(&lab, "far", 11), &[]);
    sender.delivers("you@far.test", None);
    assert!(far.wait_for("to you@far.test.").tls);
    far.offer_tls(false);
    sender.waits("later@far.test", "4.7.5", &["mx.far.test used to offer TLS and does not now", "in 24 h"]);
    assert_eq!(far.messages().len(), 1);
    far.offer_tls(true);
    sender.waypost.ok(&["queue", "retry", "--all"]);
    assert!(far.wait_for("to later@far.test.").tls);
    sender.waypost.assert_no_bugs();
}

#[test]
fn tls_history_survives_a_restart() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["whoever.test"]);
    let far = Sink::with_tls(lab.address(11), MX_PORT, &issued);
    let mut sender = TlsSender::start(&lab, "off", &domain(&lab, "far", 11), &[]);
    sender.delivers("you@far.test", None);
    assert!(far.wait_for("to you@far.test.").tls);
    far.offer_tls(false);
    for to in ["later@far.test", "latest@far.test"] {
        sender.waypost.stop();
        sender.waypost.start();
        sender.waits(to, "4.7.5", &["mx.far.test used to offer TLS and does not now", "in 2"]);
    }
    assert_eq!(far.messages().len(), 1);
    // A damaged file does not prevent the start; its contents are lost.
    sender.waypost.stop();
    let file = sender.waypost.data.join("tls-hosts.json");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains("\"mx.far.test\"") && !kept.contains("\"missing_ms\":null"), "{kept}");
    std::fs::write(&file, &kept[..kept.len() / 2]).unwrap();
    sender.waypost.start();
    sender.waypost.ok(&["queue", "retry", "--all"]);
    assert!(!far.wait_for("to later@far.test.").tls && !far.wait_for("to latest@far.test.").tls);
    sender.waypost.wait_for_log("the state file is damaged");
    sender.waypost.assert_no_bugs();
}

/// Postfix's check of our certificate against the record from `waypost cert status`, with the lab's resolver as the system's.
fn posttls_finger(lab: &Lab, sender: &TlsSender) -> String {
    let resolver = sender.resolver();
    let file = lab.write("resolv.conf", &format!("nameserver {resolver}\noptions trust-ad\n"));
    let check = format!(
        "mount --bind {} /etc/resolv.conf && exec posttls-finger -c -l dane-only -L summary,certmatch '[mx.example.test]:{MX_PORT}'",
        file.display()
    );
    let output = std::process::Command::new("unshare").args(["-m", "sh", "-c", &check]).output().expect("unshare runs, as root");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn posttls_finger_verifies_our_certificate_by_its_tlsa_record() {
    let lab = Lab::new();
    let issued = LabAuthority::new(&lab).issue(&["mx.example.test"]);
    let digest = tlsa_digest(&issued, 0, 1);
    let records = format!("_{MX_PORT}._tcp.mx.example TLSA 3 1 1 {digest}\n");
    let sender = TlsSender::start(&lab, "upstream", &records, &[]);
    // The server's self-signed certificate, until it is replaced.
    let said = posttls_finger(&lab, &sender);
    assert!(!said.contains("Verified TLS connection established"), "{said}");
    lab.write("cert.pem", &issued.chain);
    lab.write("key.pem", &issued.key);
    sender.waypost.hang_up();
    let shown = sender.waypost.ok(&["cert", "status"]);
    assert!(shown.contains(&digest), "{shown}");
    let verified = || Some(posttls_finger(&lab, &sender)).filter(|said| said.contains("Verified TLS connection established"));
    it::wait_for("posttls-finger to believe the certificate", verified);
}
