//! Servers that share the mail: each judges the records that all of them need.

use super::*;

#[test]
fn servers_that_share_the_mail_are_each_at_home_in_the_records_of_all() {
    // Each server plans its own host; the MX records, the forwarding domain's SPF and the policy are of both.
    let server = |own: &str, other: &str, address: &str| DnsFacts {
        hostname: own.parse().unwrap(),
        other_hosts: vec![other.parse().unwrap()],
        addresses: vec![address.parse().unwrap()],
        forward_addresses: vec![address.parse().unwrap()],
        sts: StsPolicy { mx: [own.parse().unwrap(), other.parse().unwrap()].into(), ..facts().sts },
        tlsa: vec![],
        ..facts()
    };
    let a = plan(&server("a.example.com", "b.example.com", "192.0.2.1"));
    let b = plan(&server("b.example.com", "a.example.com", "192.0.2.2"));
    let of_b = |record: &&PlannedRecord| ["b.example.com.", "2.2.0.192.in-addr.arpa."].contains(&record.owner.as_str());
    let mut zone = Zone::planned(&a);
    zone.0.extend(b.iter().filter(of_b).map(|record| (Question::new(&record.owner, record.record_type), data(record))));
    assert_eq!((zone.findings(&a), zone.findings(&b)), (vec![], vec![]), "submission and the pages may lead to either");

    let both = zone.with("fwd.example.com", A, Data::Address("192.0.2.2".parse().unwrap()));
    let both = both.with("_submissions._tcp.example.com", Srv, Data::Other("0 1 465 b.example.com.".into()));
    assert_eq!((both.findings(&a), both.findings(&b)), (vec![], vec![]), "or to both");

    let alone = both.instead("example.com", Mx, Data::Mx(10, "a.example.com.".into()));
    for (plan, severity) in [(&a, DnsSeverity::Recommended), (&b, DnsSeverity::Required)] {
        let [one] = alone.findings(plan).try_into().unwrap_or_else(|all| panic!("{all:#?}"));
        assert_eq!((one.record.value.as_str(), &one.state, one.severity), ("10 b.example.com.", &RecordState::Missing, severity));
        assert_eq!(one.loss, None, "the mail still comes to one of them");
    }
    let moved = alone.instead("example.com", Mx, Data::Mx(10, "mx.parking.example.".into()));
    assert_eq!(moved.findings(&a).iter().filter_map(|finding| finding.loss).collect::<Vec<_>>(), [DomainLoss::Elsewhere]);
    let forged = moved.instead("fwd.example.com", Txt, text("v=spf1 ip4:192.0.2.1 -all"));
    assert!(forged.findings(&a).iter().any(|finding| finding.why.contains("mail from 192.0.2.2 fails SPF")));
}
