//! Requests of Outlook, and of attackers.

use super::*;

const OUTLOOK: &str = r#"<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>ADDRESS</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>"#;

fn answer(body: &str) -> String {
    let servers = |_: &Mailbox| Servers::new("mx.example.test", (Some(465), Some(587)), Some("imap.example.test".into()));
    String::from_utf8(page("example.test", Some(body.as_bytes()), servers).body).unwrap()
}

#[test]
fn outlook_gets_the_servers() {
    let text = answer(&OUTLOOK.replace("ADDRESS", "me@example.test"));
    assert!(text.contains("<Type>IMAP</Type>") && text.contains("<LoginName>me@example.test</LoginName>"), "{text}");
    assert!(text.find("<Encryption>SSL</Encryption>").unwrap() < text.find("<Encryption>TLS</Encryption>").unwrap());
}

#[test]
fn the_address_is_escaped_in_the_response() {
    let text = answer(&OUTLOOK.replace("ADDRESS", "a&amp;b&#39;c@example.test"));
    assert!(text.contains("<LoginName>a&amp;b"), "{text}");
    let text = answer(&OUTLOOK.replace("ADDRESS", "&quot;&lt;x&gt;&quot;@example.test"));
    assert!(!text.contains("<x>") && text.contains("&lt;x&gt;"), "{text}");
}

#[test]
fn hostile_xml_is_refused() {
    let with = |prolog: &str, address: &str| {
        format!("{prolog}{}", OUTLOOK.replace("<?xml version=\"1.0\" encoding=\"utf-8\"?>", "").replace("ADDRESS", address))
    };
    let laughs = "<!DOCTYPE a [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]>";
    for body in [
        with("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>", "&x;@example.test"),
        with(laughs, "&b;@example.test"),
        with("", "&x;@example.test"),
        with("<?php ?>", "me@example.test"),
        with("", "<![CDATA[me@example.test]]>"),
        with("", &"a".repeat(REQUEST_MAX_BYTES)),
        with("", &"a".repeat(TEXT_MAX_BYTES + 1)),
        format!("{}{}", "<a>".repeat(500), "</a>".repeat(500)),
        "<a><b></a>".into(),
        "<Autodiscover><Request><EMailAddress>me@example.test</EMailAddress>".into(),
        "<Autodiscover/>".into(),
        "{}".into(),
        String::new(),
    ] {
        let text = answer(&body);
        assert!(text.contains("<ErrorCode>600</ErrorCode>") && !text.contains("Protocol"), "{body}: {text}");
    }
    let servers = |_: &Mailbox| Servers::new("mx.example.test", (None, None), None);
    assert!(String::from_utf8(page("example.test", Some(b"\xff\xfe<"), servers).body).unwrap().contains("600"));
    assert!(answer(&OUTLOOK.replace("ADDRESS", "me@example.org")).contains("<ErrorCode>500</ErrorCode>"));
    assert!(answer(&OUTLOOK.replace("2006a", "2005").replace("ADDRESS", "me@example.test")).contains("<ErrorCode>601</ErrorCode>"));
}
