//! Tests of `auth_results`: text of peers stays inert, and forgeries of our field are recognized.

use super::*;
use crate::evidence::{ArcResult, ChainCheck, ChainHop, ChainResult, DkimResult, DmarcPolicy, HopSent, IprevResult, SpfResult};

fn ours() -> Domain {
    Domain::parse("mx.example.test").unwrap()
}

fn facts<'a>(hello: &'a str, reverse_path: Option<&'a str>, header_from: Option<&'a str>) -> Facts<'a> {
    Facts { client: "192.0.2.1".parse().unwrap(), hello, reverse_path, header_from }
}

fn signature(domain: &str, selector: &str) -> DkimCheck {
    DkimCheck {
        result: DkimResult::Pass,
        domain: domain.into(),
        selector: selector.into(),
        algorithm: "rsa-sha256".into(),
        signature_prefix: "Ab+/cd12".into(),
        reason: None,
    }
}

#[test]
fn a_chain_has_one_result_that_names_its_hops_or_the_hop_at_fault() {
    let hop = |number, domain: &str| ChainHop { number, domain: domain.into(), revision: 1, sent: HopSent::Domain("y.example".into()) };
    let chain = ChainCheck { result: ChainResult::Pass, hops: vec![hop(1, "a.example"), hop(2, "b)\r\nX: y")], ..ChainCheck::default() };
    let line = |dkim2: ChainCheck| {
        let evidence = Evidence { dkim2, ..Evidence::default() };
        let field = authentication_results(&ours(), &evidence, &facts("x.example", None, None));
        field.split(";\r\n\t").find(|line| line.starts_with("dkim2")).map(ToOwned::to_owned)
    };
    assert_eq!(line(ChainCheck::default()), None, "no chain, no result");
    assert_eq!(line(chain.clone()).unwrap(), "dkim2=pass (i=1 a.example, i=2 b??X: y) header.d=a.example");
    let failed = ChainCheck { result: ChainResult::Fail, failed_hop: Some(2), reason: Some("a \"b\"".into()), ..chain };
    assert_eq!(line(failed).unwrap(), "dkim2=fail reason=\"a \\\"b\\\"\" header.d=a.example header.i=2");
}

#[test]
fn each_method_has_its_own_line() {
    let evidence = Evidence {
        iprev: IprevResult::Pass,
        client_name: Some("out.example.org".into()),
        helo: SpfCheck { result: SpfResult::None, domain: "out.example.org".into() },
        mail_from: SpfCheck { result: SpfResult::Pass, domain: "example.org".into() },
        dkim: vec![
            signature("example.org", "s1"),
            DkimCheck { result: DkimResult::Fail, reason: Some("the body was changed".into()), ..signature("b.example", "s2") },
        ],
        dmarc: DmarcCheck {
            result: DmarcResult::Pass,
            domain: "example.org".into(),
            policy: DmarcPolicy::Reject,
            spf_aligned: true,
            dkim_aligned: true,
            ..DmarcCheck::default()
        },
        arc: ArcResult::None,
        ..Evidence::default()
    };
    let field = authentication_results(&ours(), &evidence, &facts("out.example.org", Some("a@example.org"), Some("example.org")));
    let wanted = "Authentication-Results: mx.example.test;\r\n\
        \tiprev=pass (out.example.org) policy.iprev=192.0.2.1;\r\n\
        \tspf=pass smtp.mailfrom=a@example.org;\r\n\
        \tspf=none smtp.helo=out.example.org;\r\n\
        \tdkim=pass header.d=example.org header.s=s1 header.a=rsa-sha256 header.b=\"Ab+/cd12\";\r\n\
        \tdkim=fail reason=\"the body was changed\" header.d=b.example header.s=s2 header.a=rsa-sha256 header.b=\"Ab+/cd12\";\r\n\
        \tdmarc=pass (policy=reject) header.from=example.org;\r\n\
        \tarc=none\r\n";
    assert_eq!(field, wanted);
    let null = authentication_results(&ours(), &Evidence::default(), &facts("x.example", None, None));
    assert!(null.contains("\tspf=none smtp.helo=x.example;\r\n\tdkim=none;\r\n\tdmarc=none;\r\n"), "{null}");
    assert!(!null.contains("mailfrom"));
}

#[test]
fn text_of_peers_cannot_end_a_value_or_the_field() {
    let evil = "x\r\nEvil: y;\0 dmarc=pass (a) \"q\" \\";
    let evidence = Evidence {
        client_name: Some("n) policy.iprev=9.9.9.9 (".into()),
        dkim: vec![DkimCheck { reason: Some(evil.into()), ..signature(evil, evil) }],
        dmarc: DmarcCheck { domain: evil.into(), ..DmarcCheck::default() },
        ..Evidence::default()
    };
    let field = authentication_results(&ours(), &evidence, &facts(evil, Some(evil), Some(evil)));
    assert!(field.ends_with("\r\n"));
    assert!(!field.contains('\0') && !field.contains("\r\nEvil"));
    for line in field.trim_end().split("\r\n").skip(1) {
        assert!(line.starts_with('\t') && !line.contains(['\r', '\n']), "{line}");
        // Outside quotes and comments no `;` but the last, and no further result.
        let mut outside = String::new();
        let (mut in_quotes, mut in_comment, mut escaped) = (false, false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_quotes => escaped = true,
                '"' if !in_comment => in_quotes = !in_quotes,
                '(' if !in_quotes => in_comment = true,
                ')' if !in_quotes => in_comment = false,
                c if !in_quotes && !in_comment => outside.push(c),
                _ => {}
            }
        }
        assert!(!in_quotes && !in_comment && !escaped, "{line}");
        assert!(!outside.trim_end_matches(';').contains(';'), "{outside}");
        assert!(!outside.contains("9.9.9.9") && outside.matches("dmarc=").count() <= 1, "{outside}");
    }
}

#[test]
fn values_are_quoted_if_necessary() {
    for (text, wanted) in [
        ("a@b.example", "a@b.example"),
        ("@b.example", "@b.example"),
        ("2001:db8::1", "\"2001:db8::1\""),
        ("a b", "\"a b\""),
        ("", "\"\""),
        ("a@b@c", "\"a@b@c\""),
        ("\"x y\"@b.example", "\"\\\"x y\\\"@b.example\""),
        ("jörg@b.example", "\"jörg@b.example\""),
    ] {
        assert_eq!(value(text), wanted);
    }
    assert!(value(&"x".repeat(10_000)).len() < 300);
}

#[test]
fn every_spelling_of_our_name_is_recognized() {
    let is = |name: &str, value: &str| is_ours(&Field { name: name.as_bytes(), value: value.as_bytes(), raw: b"" }, &ours());
    for value in [
        " mx.example.test; spf=pass",
        "mx.example.test;none",
        " MX.Example.TEST 1; dkim=pass",
        " mx.example.test 1 ; dkim=pass",
        "\r\n\tmx.example.test;\r\n\tspf=pass",
        " (hi) mx.example.test (there (nested \\) )); spf=pass",
        " (a)(b) \"mx.example.test\"; spf=pass",
        " \"mx.ex\\ample.test\" 1; spf=pass",
        " mx.example.test(comment); spf=pass",
        " mx.(c)example.test; spf=pass",
        " mx .example. test; spf=pass",
        " mx.example.test",
        " mx.example.test.; spf=pass",
        " mx.example.test/1; spf=pass",
    ] {
        if value.contains("/1") {
            assert!(!is("Authentication-Results", value), "another name: {value}");
        } else {
            assert!(is("Authentication-Results", value), "{value}");
            assert!(is("AUTHENTICATION-results", value), "{value}");
        }
    }
    for value in [
        " other.example; x=mx.example.test",
        " amx.example.test; spf=pass",
        " mx.example.test.evil.example; spf=pass",
        " other.example (mx.example.test); spf=pass",
        " (mx.example.test) other.example; spf=pass",
        " (mx.example.test; spf=pass",
        " example.test; spf=pass",
        "; mx.example.test",
        "",
    ] {
        assert!(!is("Authentication-Results", value), "{value}");
    }
    assert!(!is("ARC-Authentication-Results", " mx.example.test; spf=pass"));
    assert!(!is("X-Authentication-Results", " mx.example.test; spf=pass"));
}
