//! Findings from answers that differ from the plan in one thing.

mod several_servers;

use super::*;

fn facts() -> DnsFacts {
    let domain = |text: &str| text.parse::<Domain>().unwrap();
    let key = |of: &str, selector: &str, key_type: &str, stage| DkimFact {
        domain: domain(of),
        selector: selector.into(),
        key_type: key_type.into(),
        record: format!("v=DKIM1; k={key_type}; p={}", format!("{selector}{of}").replace('.', "").repeat(20)),
        stage,
    };
    DnsFacts {
        hostname: domain("mx.example.com"),
        other_hosts: vec![],
        addresses: vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
        forward_addresses: vec!["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()],
        domains: vec![domain("example.com")],
        forwarding: domain("fwd.example.com"),
        keys: vec![
            key("example.com", "r1", "rsa", KeyStage::Active),
            key("example.com", "e1", "ed25519", KeyStage::Active),
            key("example.com", "r0", "rsa", KeyStage::Revoked),
            key("example.com", "r2", "rsa", KeyStage::Next),
            key("fwd.example.com", "r1", "rsa", KeyStage::Active),
        ],
        sts: StsPolicy { mode: policy::StsMode::Testing, mx: [domain("mx.example.com")].into(), max_age_s: 604_800 },
        ports: SubmissionPorts { submissions: Some(465), submission: Some(587) },
        imap_host: None,
        tlsa: vec!["aa11".repeat(16), "bb22".repeat(16)],
        includes: vec![],
        forward_includes: vec![],
        authority: Some("letsencrypt.org".into()),
        dmarc: DmarcStage::Quarantine,
        dmarc_user: "dmarc".into(),
        tls_user: "tlsrpt".into(),
        no_mail: vec![domain("www.example.com")],
    }
}

const US: Source = Source::Configured;

fn data(record: &PlannedRecord) -> Data {
    let value = record.value.clone();
    match record.record_type {
        RecordType::A | RecordType::Aaaa => Data::Address(value.parse().unwrap()),
        RecordType::Cname => Data::Alias(value),
        RecordType::Ptr => Data::Name(value),
        RecordType::Txt => Data::Text(value),
        RecordType::Mx => {
            let (preference, host) = value.split_once(' ').unwrap();
            Data::Mx(preference.parse().unwrap(), host.into())
        }
        RecordType::Srv | RecordType::Tlsa | RecordType::Caa => Data::Other(value),
    }
}

/// A zone whose records can be removed and added.
struct Zone(Vec<(Question, Data)>);

impl Zone {
    fn planned(plan: &[PlannedRecord]) -> Self {
        Self(plan.iter().map(|record| (Question::new(&record.owner, record.record_type), data(record))).collect())
    }

    fn without(mut self, name: &str, record_type: RecordType) -> Self {
        self.0.retain(|(question, _)| *question != Question::new(name, record_type));
        self
    }

    fn with(mut self, name: &str, record_type: RecordType, data: Data) -> Self {
        self.0.push((Question::new(name, record_type), data));
        self
    }

    fn instead(self, name: &str, record_type: RecordType, data: Data) -> Self {
        self.without(name, record_type).with(name, record_type, data)
    }

    fn answer(&self, question: &Question) -> Answer {
        let found: Vec<Found> =
            self.0.iter().filter(|(q, _)| q == question).map(|(_, data)| Found { data: data.clone(), ttl_s: 300 }).collect();
        if found.is_empty() { Answer::Nothing(900) } else { Answer::Records(found) }
    }

    /// The findings that are not ok, from one source that answers everything.
    fn findings(&self, plan: &[PlannedRecord]) -> Vec<Finding> {
        let mut answers = Answers::default();
        let mut ask = questions(plan);
        loop {
            for question in ask {
                let answer = self.answer(&question);
                answers.add(question, US, answer);
            }
            let checked = compare(plan, &answers);
            if checked.needs.is_empty() {
                return checked.findings.into_iter().filter(|finding| !finding.is_ok()).collect();
            }
            ask = checked.needs;
        }
    }

    /// The only finding that is not ok.
    #[track_caller]
    fn one(&self, owner: &str, record_type: RecordType, state: &RecordState, why: &str) -> Finding {
        let plan = plan(&facts());
        let findings = self.findings(&plan);
        let [one] = findings.as_slice() else { panic!("{} findings: {findings:#?}", findings.len()) };
        assert_eq!((one.record.owner.as_str(), one.record.record_type, &one.state), (owner, record_type, state), "{one:#?}");
        assert!(one.why.contains(why), "{} does not say {why}", one.why);
        one.clone()
    }
}

fn whole() -> Zone {
    Zone::planned(&plan(&facts()))
}

fn text(text: &str) -> Data {
    Data::Text(text.into())
}

use RecordType::{A, Aaaa, Caa, Cname, Mx, Ptr, Srv, Tlsa, Txt};

#[test]
fn a_zone_as_planned_is_ok() {
    let plan = plan(&facts());
    assert_eq!(whole().findings(&plan), []);
    let kinds: std::collections::BTreeSet<&str> = plan.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds.len(), 14, "every kind is planned: {kinds:?}");
}

#[test]
fn each_removed_or_damaged_record_gives_one_finding() {
    let plan = plan(&facts());
    for (place, record) in plan.iter().enumerate() {
        let mut zone = whole();
        zone.0.remove(place);
        let found = zone.findings(&plan);
        let revoked = record.value.ends_with("p=");
        assert_eq!(found.len(), usize::from(!revoked), "without {record:?}: {found:#?}");
        assert!(
            found.iter().all(|finding| finding.record == *record && matches!(finding.state, RecordState::Missing | RecordState::Differs))
        );

        let mut zone = whole();
        zone.0[place].1 = match data(record) {
            Data::Address(address) => Data::Address(if address.is_ipv4() { "198.51.100.1" } else { "2001:db8::bad" }.parse().unwrap()),
            Data::Alias(_) => Data::Alias("damaged.example.".into()),
            Data::Name(_) => Data::Name("damaged.example.".into()),
            Data::Mx(..) => Data::Mx(10, "damaged.example.".into()),
            Data::Text(_) => text("damaged"),
            Data::Other(text) if record.record_type == Srv => {
                Data::Other(format!("{}damaged.example.", text.trim_end_matches("mx.example.com.")))
            }
            Data::Other(_) => Data::Other("0 issue \"damaged\"".into()),
        };
        let found = zone.findings(&plan);
        assert_eq!(found.len(), 1, "damaged {record:?}: {found:#?}");
        assert!(found[0].record == *record && !found[0].fix.as_deref().unwrap().is_empty());
    }
}

#[test]
fn a_doubled_zone_name_is_found() {
    let doubled = Data::Mx(10, "mx.example.com.example.com.".into());
    whole().instead("example.com", Mx, doubled).one("example.com.", Mx, &RecordState::Differs, "appends example.com itself");
    let zone = whole().without("_dmarc.example.com", Txt).with(
        "_dmarc.example.com.example.com",
        Txt,
        text("v=DMARC1; p=reject; aspf=s; rua=mailto:dmarc@example.com"),
    );
    zone.one("_dmarc.example.com.", Txt, &RecordState::Missing, "it is at _dmarc.example.com.example.com.");
}

#[test]
fn damage_by_a_form_is_found() {
    let dmarc = "v=DMARC1; p=reject; aspf=s; rua=mailto:dmarc@example.com";
    let at = |written: String| whole().instead("_dmarc.example.com", Txt, Data::Text(written));
    at(format!(" {dmarc}")).one("_dmarc.example.com.", Txt, &RecordState::Differs, "a space");
    let quoted =
        at(format!("\u{201c}{dmarc}\u{201d}")).one("_dmarc.example.com.", Txt, &RecordState::Differs, "typographic quotation mark");
    assert!(quoted.found[0].starts_with("\"\\u{201c}v=DMARC1"), "{:?}", quoted.found);
    at(format!("\"{dmarc}\"")).one("_dmarc.example.com.", Txt, &RecordState::Differs, "quotes within");
    let zone = whole().instead("_mta-sts.example.com", Txt, text(" v=STSv1; id=1"));
    zone.one("_mta-sts.example.com.", Txt, &RecordState::Differs, "a space");
}

#[test]
fn a_proxied_host_is_found() {
    let proxied = || Data::Address("104.21.3.4".parse().unwrap());
    whole().instead("mx.example.com", A, proxied()).one("mx.example.com.", A, &RecordState::Differs, "Cloudflare's proxy");
    assert!(whole().with("mx.example.com", A, proxied()).one("mx.example.com.", A, &RecordState::Extra, "Cloudflare's proxy").is_red());
    let other = Data::Address("2001:db8::99".parse().unwrap());
    assert!(!whole().with("mx.example.com", Aaaa, other).one("mx.example.com.", A, &RecordState::Extra, "not a known address").is_red());
}

#[test]
fn spf_is_one_record_that_passes_for_this_server_only() {
    let spf = |written: &str| whole().instead("example.com", Txt, text(written));
    let wrong = |written: &str, why: &str| assert!(spf(written).one("example.com.", Txt, &RecordState::Differs, why).is_red(), "{written}");
    assert_eq!(spf("V=SPF1  a:mx.example.com  -ALL").findings(&plan(&facts())), []);
    wrong("v=spf1 mx +all", "every server");
    wrong("v=spf1 ip4:198.51.100.0/24 -all", "mail from 192.0.2.10 fails SPF");
    wrong("v=spf1 ip4:192.0.2.10 -all", "mail from 2001:db8::10 fails SPF");
    wrong("v=spf1 mx include:gone.example -all", "no SPF record");
    wrong("v=spf1 a:a.x a:b.x a:c.x mx -all", "do not exist");
    wrong("v=spf1 mx a a a a a a a a a a -all", "more than 10 lookups");
    wrong("v=spf1 mx ipv4:192.0.2.1 -all", "does not exist");
    // As for incoming mail, an error after the matching term is an error (RFC 7208 s.4.6).
    wrong("v=spf1 mx ~all ip:192.0.2.1", "a term that does not exist: ip:192.0.2.1");
    for term in ["include:", "include:foo", "ip4:192.0.2.1/33", "exists", "redirect=a.x redirect=b.x", "exp=%{x}"] {
        wrong(&format!("v=spf1 mx ~all {term}"), "a term that cannot be read");
    }
    assert!(!spf("v=spf1 mx").one("example.com.", Txt, &RecordState::Differs, "-all").is_red());
    let two = whole().with("example.com", Txt, text("v=spf1 include:old.example -all"));
    let fix = two.one("example.com.", Txt, &RecordState::Differs, "2 SPF records").fix.unwrap();
    assert!(fix.contains("\"v=spf1 mx") && fix.contains(" include:old.example"), "{fix}");
    let others = whole().with("example.com", Txt, text("google-site-verification=abc"));
    assert_eq!(others.findings(&plan(&facts())), []);

    let with_relay = plan(&DnsFacts { includes: vec!["spf.relay.example".into()], ..facts() });
    let found = whole().findings(&with_relay);
    assert!(found.len() == 1 && found[0].why.contains("include:spf.relay.example is missing"), "{found:#?}");
}

#[test]
fn a_dkim_key_is_complete_and_not_a_test() {
    let plan = plan(&facts());
    let name = "r1._domainkey.example.com.";
    let record = plan.iter().find(|record| record.owner == name).unwrap().value.clone();
    let (head, key) = record.split_once("p=").unwrap();
    let (first, rest) = key.split_at(100);
    let key_is = |written: String, why: &str| {
        whole().instead(name, Txt, Data::Text(written)).one(name, Txt, &RecordState::Differs, why);
    };
    let same = whole().instead(name, Txt, Data::Text(format!("k=rsa; p={} {}", first, rest)));
    assert_eq!(same.findings(&plan), []);
    key_is(format!("{head}t=y; p={key}"), "as a test");
    key_is(format!("{head}p={}\" \"{}", first, rest), "split wrongly");
    key_is(format!("{head}p={}", first), "split wrongly");
    key_is(format!("{head}p="), "revoked");
    key_is(format!("{head}p=AAAA"), "another key");
    // Keys that verification does not accept.
    key_is(format!("{head}s=tlsrpt; p={key}"), "the key is not for mail");
    key_is(format!("{head}h=sha1; p={key}"), "the key is not for SHA-256");
    key_is(format!("{head}h=rsa-sha256; p={key}"), "the key is not for SHA-256");
    key_is(format!("{head}p={key};;"), "cannot be read");
    key_is(format!("k=rsa; p={key}; v=DKIM1"), "not its first tag");
    let both = whole().instead(name, Txt, Data::Text(format!("v=DKIM1; s=*; h=sha1:sha256; p={key}")));
    assert_eq!(both.findings(&plan), []);
    let pieces = whole().instead(name, Txt, Data::Text(format!("{head}p={}", first))).with(name, Txt, text(rest));
    pieces.one(name, Txt, &RecordState::Differs, "split into several records");
    let two = whole().with(name, Txt, text("v=DKIM1; p=AAAA"));
    two.one(name, Txt, &RecordState::Differs, "2 records");
}

#[test]
fn dmarc_is_one_record_and_as_strong_as_planned() {
    let dmarc = |written: &str| whole().instead("_dmarc.example.com", Txt, text(written));
    let wrong = |written: &str, why: &str| dmarc(written).one("_dmarc.example.com.", Txt, &RecordState::Differs, why);
    assert_eq!(dmarc("v=DMARC1;p=REJECT;aspf=s;rua=mailto:x@y.example,mailto:DMARC@example.com").findings(&plan(&facts())), []);
    assert!(wrong("v=DMARC1; p=none; aspf=s; rua=mailto:dmarc@example.com", "weaker").is_red());
    assert!(wrong("v=DMARC1; p=reject; rua=mailto:dmarc@example.com", "aspf=s").is_red());
    assert_eq!(dmarc("v=DMARC1; p=reject; aspf=s; rua=mailto:me@reader.example").findings(&plan(&facts())), [], "the operator's choice");
    assert!(!wrong("v=DMARC1; p=reject; aspf=s", "reports go nowhere").is_red());
    assert!(!wrong("v=DMARC1; p=reject; aspf=s; rua=dmarc@example.com", "rua=mailto:").is_red());
    assert!(!wrong("v=DMARC1; p=reject; pct=20; aspf=s; rua=mailto:dmarc@example.com", "pct").is_red());
    wrong("v=DMARC1; sp=none", "p=none, p=quarantine or p=reject");
    whole().with("_dmarc.example.com", Txt, text("v=DMARC1; p=none")).one(
        "_dmarc.example.com.",
        Txt,
        &RecordState::Differs,
        "2 such records",
    );
}

#[test]
fn extra_records_and_aliases_are_found() {
    let old = whole().with("example.com", Mx, Data::Mx(1, "aspmx.l.google.com.".into()));
    let old = old.one("example.com.", Mx, &RecordState::Extra, "earlier provider");
    assert!(old.is_red() && old.fix.unwrap().contains("remove: example.com. MX 1 aspmx.l.google.com."));
    let apex = whole().with("example.com", Mx, Data::Alias("shop.example.net.".into()));
    apex.one("example.com.", Mx, &RecordState::Differs, "alias (CNAME) of shop.example.net.");
    let host = whole().with("mx.example.com", A, Data::Alias("vps.example.net.".into()));
    host.one("mx.example.com.", A, &RecordState::Differs, "must not be an alias");
    whole().with("www.example.com", Mx, Data::Mx(10, "mx.example.com.".into())).one(
        "www.example.com.",
        Mx,
        &RecordState::Extra,
        "accepts no mail",
    );
}

#[test]
fn ptr_srv_cname_and_tlsa_are_compared_by_meaning() {
    let here = Data::Address("192.0.2.10".parse().unwrap());
    let by_address = whole().without("autoconfig.example.com", Cname).with("autoconfig.example.com", A, here);
    assert_eq!(by_address.findings(&plan(&facts())), []);
    let ptr = whole().instead("10.2.0.192.in-addr.arpa", Ptr, Data::Name("static.10.2.0.192.hoster.example.".into()));
    let ptr = ptr.one("10.2.0.192.in-addr.arpa.", Ptr, &RecordState::Differs, "another name");
    assert!(ptr.fix.unwrap().contains("hoster of the address"));
    let imap = whole().instead("_imaps._tcp.example.com", Srv, Data::Other("0 1 993 old.example.".into()));
    imap.one("_imaps._tcp.example.com.", Srv, &RecordState::Differs, "does not have");
    let caa = whole().instead("mx.example.com", Caa, Data::Other("0 issue \"other.example\"".into()));
    assert!(caa.one("mx.example.com.", Caa, &RecordState::Differs, "does not allow the certificate authority").is_red());
    let three = whole().with("_25._tcp.mx.example.com", Tlsa, Data::Other("3 1 1 00".into()));
    assert_eq!(three.findings(&plan(&facts())), []);
}

#[test]
fn old_answers_are_propagating_and_failures_are_unknown() {
    let plan = plan(&facts());
    let question = Question::new("example.com.", Mx);
    let with = |zone: Option<Answer>, resolver: Answer| {
        let mut answers = Answers::default();
        for asked in questions(&plan) {
            if asked == question {
                answers.add(asked.clone(), Source::Resolver("192.0.2.54".parse().unwrap()), resolver.clone());
            }
            let server = Source::Authoritative("192.0.2.53".parse().unwrap());
            match (&zone, asked == question) {
                (Some(answer), true) => answers.add(asked, server, answer.clone()),
                (None, true) => answers.add(asked, server, Answer::Failed("no answer within 5 s".into())),
                _ => {
                    let answer = whole().answer(&asked);
                    answers.add(asked, server, answer);
                }
            }
        }
        let checked = compare(&plan, &answers);
        checked.findings.into_iter().find(|finding| finding.record.record_type == Mx && !finding.is_ok())
    };
    let (right, old) = (whole().answer(&question), Answer::Records(vec![Found { data: Data::Mx(5, "old.example.".into()), ttl_s: 1800 }]));
    let late = with(Some(right.clone()), old.clone()).unwrap();
    assert!(late.state == RecordState::Propagating(1800) && !late.is_red() && late.why.contains("1800 s"), "{late:?}");
    assert_eq!(with(Some(right.clone()), Answer::Nothing(900)).unwrap().state, RecordState::Propagating(900));
    assert_eq!(with(Some(old.clone()), right.clone()).unwrap().state, RecordState::Differs);
    assert_eq!(with(None, right.clone()), None, "the resolver's word where the zone's servers are silent");
    let silent = with(None, Answer::Failed("SERVFAIL".into())).unwrap();
    assert!(silent.state == RecordState::Unknown && !silent.is_red() && silent.is_open() && silent.why.contains("no answer"), "{silent:?}");
}

#[test]
fn an_unknown_address_has_a_placeholder() {
    let plan = plan(&DnsFacts { addresses: vec![], forward_addresses: vec![], ..facts() });
    let host = plan.iter().find(|record| record.kind == RecordKind::HostAddress).unwrap();
    assert!(!host.is_complete());
    assert!(plan.iter().any(|record| record.value == "v=spf1 a:mx.example.com -all"));
    let same = super::plan(&DnsFacts { forwarding: "mx.example.com".parse().unwrap(), ..facts() });
    assert_eq!(same.iter().filter(|record| record.kind == RecordKind::Spf && record.owner == "mx.example.com.").count(), 1);
}

#[test]
fn an_unregistered_domain_and_one_with_another_mx_are_told_apart() {
    let plan = plan(&facts());
    let mx = plan.iter().find(|record| record.kind == RecordKind::Mx).unwrap();
    let asked = Question::new(&mx.owner, RecordType::Mx);
    let judged = |answer: Answer| {
        let mut answers = Answers::default();
        for question in questions(&plan) {
            let planned = whole().answer(&question);
            answers.add(question.clone(), US, if question == asked { answer.clone() } else { planned });
        }
        compare(&plan, &answers).findings.into_iter().find(|finding| finding.record == *mx).unwrap()
    };
    let no_name = |zone: &str| Answer::NoName { zone: zone.into(), ttl_s: 900 };
    for zone in ["com.", "co.uk."] {
        let finding = judged(no_name(zone));
        assert_eq!((finding.state.clone(), finding.loss, finding.is_red()), (RecordState::Missing, Some(DomainLoss::Unregistered), true));
        assert!(finding.why.contains(zone) && finding.fix.unwrap().starts_with("renew "), "{}", finding.why);
    }
    // Below a zone of one's own, a name without records does not exist either.
    let finding = judged(no_name("example.org."));
    assert!(finding.loss.is_none() && finding.is_plainly_missing(), "{finding:?}");
    let finding = judged(Answer::Records(vec![Found { data: Data::Mx(10, "mx.parking.example.".into()), ttl_s: 60 }]));
    assert_eq!((finding.state.clone(), finding.loss), (RecordState::Differs, Some(DomainLoss::Elsewhere)));
    assert!(finding.why.starts_with("mail goes to another server") && finding.fix.unwrap().contains("waypost domain remove"));
}
