//! Addresses as strangers write them: paths, parameters of the envelope, lists in header fields.
//!
//! RFC 5321 s.4.1.2, RFC 3461 s.4, RFC 5322 s.3.4.

use mail::{
    AddressList, Domain, EnhancedCode, ForwardPath, LocalPart, Mailbox, Member, Notify, ReversePath, decode_xtext, encode_xtext, members,
    one_line, qualified,
};

use crate::checks::{assert_one_line, text};

/// What is accepted is written as one line, and read back as the same address.
pub fn addresses(data: &[u8]) {
    let text = text(data);
    if let Ok(mailbox) = Mailbox::parse(&text) {
        check_mailbox(&mailbox);
    }
    if let Ok(local) = LocalPart::parse(&text) {
        assert_one_line(local.as_str());
        assert_eq!(LocalPart::parse(&local.to_string()).expect("a written local part").as_str(), local.as_str());
    }
    if let Ok(domain) = Domain::parse(&text) {
        check_domain(&domain);
    }
    if let Ok((path, rest)) = ReversePath::take(&text) {
        assert!(text.ends_with(rest));
        let written = path.to_string();
        assert_one_line(&written);
        assert_eq!(ReversePath::take(&written).expect("a written path"), (path.clone(), ""));
        assert_eq!(ReversePath::parse_bare(&path.to_bare()).expect("a stored path"), path);
    }
    if let Ok((path, rest)) = ForwardPath::take(&text) {
        assert!(text.ends_with(rest));
        let written = path.to_string();
        assert_one_line(&written);
        assert_eq!(ForwardPath::take(&written).expect("a written path"), (path, ""));
    }
    parameters(&text);
}

/// The values of ESMTP parameters.
fn parameters(text: &str) {
    if let Some(notify) = Notify::parse(text) {
        let written = notify.to_parameter().expect("NOTIFY with a word");
        assert_eq!(Notify::parse(&written), Some(notify));
    }
    if let Some(plain) = decode_xtext(text) {
        assert_one_line(&plain);
        assert_eq!(decode_xtext(&encode_xtext(&plain)).as_ref(), Some(&plain));
    }
    assert!(encode_xtext(text).bytes().all(|byte| byte.is_ascii_graphic()));
    if let Some(code) = EnhancedCode::parse(text) {
        assert_eq!(EnhancedCode::parse(&code.to_string()), Some(code));
    }
    assert_one_line(&one_line(text));
}

/// Every address of a list is written as one line and read back; a list of them is read as the same addresses.
pub fn address_lists(data: &[u8]) {
    let text = text(data);
    let found = members(&text);
    let mailboxes: Vec<&Mailbox> =
        found.iter().filter_map(|member| if let Member::Mailbox(mailbox) = member { Some(mailbox) } else { None }).collect();
    mailboxes.iter().for_each(|mailbox| check_mailbox(mailbox));
    let written = mailboxes.iter().map(|mailbox| format!("\"a, b\" (c) <{mailbox}>")).collect::<Vec<_>>().join(", ");
    let read = AddressList::parse(&written).expect("a list of written addresses");
    assert_eq!(
        read.mailboxes.iter().map(Mailbox::to_string).collect::<Vec<_>>(),
        mailboxes.iter().map(|m| m.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(AddressList::parse(&text).is_ok(), !found.iter().any(|member| matches!(member, Member::Invalid(..))));
    let _ = AddressList::of_field(data, "From");
    let _ = qualified(&text, &Domain::parse("example.test").expect("a domain"));
}

/// The mailbox is one line, and the same when it is read back.
pub(crate) fn check_mailbox(mailbox: &Mailbox) {
    let written = mailbox.to_string();
    assert_one_line(&written);
    check_domain(&mailbox.domain);
    let read = Mailbox::parse(&written).unwrap_or_else(|error| panic!("{written:?} was accepted and cannot be read back: {error}"));
    assert_eq!(read.to_string(), written);
    assert_eq!(read, *mailbox);
}

fn check_domain(domain: &Domain) {
    let written = domain.as_str();
    assert!(written.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.[]:".contains(&byte)), "{written:?}");
    assert_eq!(Domain::parse(written).as_ref(), Ok(domain));
}
