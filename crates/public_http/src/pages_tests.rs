//! The pages, without sockets.

use super::*;

/// example.test is hosted; me@ reads mail at a host that may be told; the signature is two letters.
struct Lab {
    imap_host: Option<String>,
}

impl Facts for Lab {
    fn shown(&self) -> Arc<Shown> {
        Arc::new(Shown {
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
        (address.to_string() == "told@example.test").then(|| "imap.told.test".into())
    }
    fn signed(&self, profile: &[u8]) -> Option<Vec<u8>> {
        Some([b"CM", profile].concat())
    }
}

fn get(imap_host: Option<&str>, host: &str, path: &str, query: &str) -> Option<Page> {
    let pages = Pages(Arc::new(Lab { imap_host: imap_host.map(ToOwned::to_owned) }));
    pages.page(&Asked { is_post: false, host, path, query: Some(query), body: b"" })
}

fn text(page: Option<Page>) -> String {
    let page = page.expect("a page");
    assert_eq!(page.status, 200);
    String::from_utf8(page.body).unwrap()
}

const CONFIG: &str = "/mail/config-v1.1.xml";

#[test]
fn a_host_that_is_not_ours_is_misdirected() {
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
    // A host of ours without such a page.
    for (host, path) in
        [("mx.example.test", CONFIG), ("mta-sts.example.test", CONFIG), ("autoconfig.example.test", "/.well-known/mta-sts.txt")]
    {
        assert_eq!(get(None, host, path, ""), None, "{host}{path}");
    }
    assert_eq!(text(get(None, "mx.example.test", "/", "")), "mx.example.test is a mail server\n");
}

#[test]
fn implicit_tls_comes_first_and_mailboxes_only_when_told() {
    let plain = text(get(None, "autoconfig.example.test", CONFIG, ""));
    assert!(!plain.contains("incomingServer"), "{plain}");
    assert!(plain.find("<port>465</port>").unwrap() < plain.find("<port>587</port>").unwrap());
    assert!(plain.contains("<socketType>SSL</socketType>") && plain.contains("<socketType>STARTTLS</socketType>"));
    let told = text(get(Some("imap.gmail.com"), "example.test", "/.well-known/autoconfig/mail/config-v1.1.xml", ""));
    assert!(told.find("OAuth2").unwrap() < told.find("password-cleartext").unwrap(), "{told}");
    assert!(told.contains("<hostname>imap.gmail.com</hostname>"));
}

#[test]
fn an_address_that_does_not_exist_gets_what_the_domain_gets() {
    let of = |query: &str| text(get(Some("imap.all.test"), "autoconfig.example.test", CONFIG, query));
    let nobody = of("");
    for query in
        ["emailaddress=nobody@example.test", "emailaddress=told@other.test", "emailaddress=<x>%26@example.test", "emailaddress=%ff", "&&=&"]
    {
        assert_eq!(of(query), nobody, "{query}");
    }
    assert!(of("EmailAddress=told%40example.test").contains("imap.told.test"));
}

#[test]
fn a_profile_asks_for_what_it_must_not_say() {
    assert_eq!(get(None, "autoconfig.example.test", "/mobileconfig", "emailaddress=me@example.test"), None);
    assert_eq!(get(Some("imap.all.test"), "autoconfig.example.test", "/mobileconfig", "emailaddress=me@example.org"), None);
    let page = get(Some("imap.all.test"), "autoconfig.example.test", "/mobileconfig", "emailaddress=%22a%3Cb%3E%22@example.test");
    assert_eq!(page.as_ref().unwrap().content_type, "application/x-apple-aspen-config");
    let text = text(page);
    assert!(text.starts_with("CM<?xml") && text.contains("imap.all.test") && text.contains("&lt;b&gt;"), "{text}");
    assert!(!text.contains("IncomingMailServerUsername") && !text.contains("Password</key>\n<string>"), "{text}");
}

#[test]
fn the_policy_is_at_its_host_only() {
    let page = get(None, "mta-sts.example.test", "/.well-known/mta-sts.txt", "").unwrap();
    assert_eq!((page.status, page.content_type, page.body.as_slice()), (200, "text/plain", &b"version: STSv1\r\n"[..]));
    assert_eq!(get(None, "example.test", "/.well-known/mta-sts.txt", ""), None);
}
