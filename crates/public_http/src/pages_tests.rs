//! The pages, without sockets.

use super::*;

/// example.test is hosted; known@ reads mail at a public host; the signature is two letters.
struct TestFacts {
    imap_host: Option<String>,
}

impl PageFacts for TestFacts {
    fn data(&self) -> Arc<PublicData> {
        Arc::new(PublicData {
            hostname: "mx.example.test".into(),
            submissions: Some(465),
            submission: Some(587),
            imap_host: self.imap_host.clone(),
            mta_sts: "version: STSv1\r\n".into(),
        })
    }
    fn hosts(&self, domain: &str) -> bool {
        domain == "example.test"
    }
    fn imap_host_of(&self, address: &Mailbox) -> Option<String> {
        (address.to_string() == "known@example.test").then(|| "imap.known.test".into())
    }
    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>> {
        Some([b"CM", profile].concat())
    }
}

fn get(imap_host: Option<&str>, host: &str, path: &str, query: &str) -> Option<Page> {
    let pages = Pages(Arc::new(TestFacts { imap_host: imap_host.map(ToOwned::to_owned) }));
    pages.page(&PageRequest { is_post: false, host, path, query: Some(query), body: b"" })
}

fn text(page: Option<Page>) -> String {
    let page = page.expect("a page");
    assert_eq!(page.status, 200);
    String::from_utf8(page.body).unwrap()
}

const CONFIG: &str = "/mail/config-v1.1.xml";

#[test]
fn a_host_that_is_not_hosted_gets_421() {
    for host in [
        "autoconfig.other.test",
        "example.org",
        "autoconfig.autoconfig.example.test",
        "www.example.test",
        "mta-sts.mx.example.test",
        "127.0.0.1",
    ] {
        assert_eq!(get(None, host, CONFIG, "").unwrap().status, 421, "{host}");
    }
    // A hosted name without this page.
    for (host, path) in
        [("mx.example.test", CONFIG), ("mta-sts.example.test", CONFIG), ("autoconfig.example.test", "/.well-known/mta-sts.txt")]
    {
        assert_eq!(get(None, host, path, ""), None, "{host}{path}");
    }
    assert_eq!(text(get(None, "mx.example.test", "/", "")), "mx.example.test is a mail server\n");
}

#[test]
fn implicit_tls_is_first_and_imap_only_if_published() {
    let plain = text(get(None, "autoconfig.example.test", CONFIG, ""));
    assert!(!plain.contains("incomingServer"), "{plain}");
    assert!(plain.find("<port>465</port>").unwrap() < plain.find("<port>587</port>").unwrap());
    assert!(plain.contains("<socketType>SSL</socketType>") && plain.contains("<socketType>STARTTLS</socketType>"));
    let published = text(get(Some("imap.gmail.com"), "example.test", "/.well-known/autoconfig/mail/config-v1.1.xml", ""));
    assert!(published.find("OAuth2").unwrap() < published.find("password-cleartext").unwrap(), "{published}");
    assert!(published.contains("<hostname>imap.gmail.com</hostname>"));
}

#[test]
fn an_unknown_address_gets_the_configuration_of_the_domain() {
    let of = |query: &str| text(get(Some("imap.all.test"), "autoconfig.example.test", CONFIG, query));
    let of_domain = of("");
    for query in [
        "emailaddress=nobody@example.test",
        "emailaddress=known@other.test",
        "emailaddress=<x>%26@example.test",
        "emailaddress=%ff",
        "&&=&",
    ] {
        assert_eq!(of(query), of_domain, "{query}");
    }
    assert!(of("EmailAddress=known%40example.test").contains("imap.known.test"));
}

#[test]
fn a_profile_contains_no_password() {
    assert_eq!(get(None, "autoconfig.example.test", "/mobileconfig", "emailaddress=me@example.test"), None);
    assert_eq!(get(Some("imap.all.test"), "autoconfig.example.test", "/mobileconfig", "emailaddress=me@example.org"), None);
    let page = get(Some("imap.all.test"), "autoconfig.example.test", "/mobileconfig", "emailaddress=%22a%3Cb%3E%22@example.test");
    assert_eq!(page.as_ref().unwrap().content_type, "application/x-apple-aspen-config");
    let text = text(page);
    assert!(text.starts_with("CM<?xml") && text.contains("imap.all.test") && text.contains("&lt;b&gt;"), "{text}");
    assert!(!text.contains("IncomingMailServerUsername") && !text.contains("Password</key>\n<string>"), "{text}");
}

#[test]
fn the_mta_sts_policy_is_only_at_its_host() {
    let page = get(None, "mta-sts.example.test", "/.well-known/mta-sts.txt", "").unwrap();
    assert_eq!((page.status, page.content_type, page.body.as_slice()), (200, "text/plain", &b"version: STSv1\r\n"[..]));
    assert_eq!(get(None, "example.test", "/.well-known/mta-sts.txt", ""), None);
}
