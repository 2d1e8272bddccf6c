//! Address lists: by RFC 5322, as programs really write them, and invalid.

use super::*;

fn addresses(value: &str) -> Vec<String> {
    let list = AddressList::parse(value).unwrap_or_else(|e| panic!("{value}: {e}"));
    list.mailboxes.iter().map(Mailbox::to_string).collect()
}

#[test]
fn every_form_of_rfc_5322_is_read() {
    for (value, want) in [
        ("me@x.test", "me@x.test"),
        ("Me Myself <me@x.test>", "me@x.test"),
        ("\"Me, Myself\" <me@x.test> (home)", "me@x.test"),
        ("\"john smith\"@x.test", "\"john smith\"@x.test"),
        ("John <\"john smith\"@x.test>", "\"john smith\"@x.test"),
        ("\"me\"@x.test", "me@x.test"),
        ("\"a@evil.test\"@x.test", "\"a@evil.test\"@x.test"),
        ("a(c)@x.test", "a@x.test"),
        ("(c) a (c (d)) @ (\\)) x . test (c)", "a@x.test"),
        ("me @ x.test", "me@x.test"),
        ("me . you@x.test", "me.you@x.test"),
        ("\"a b\".c@x.test", "\"a b.c\"@x.test"),
        ("<@r.test:a@x.test>", "a@x.test"),
        ("A <@r.test,@s.test , : a@x.test>", "a@x.test"),
        ("John Q. Public <a@x.test>", "a@x.test"),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("\"a\\\"b\" <a@x.test>", "a@x.test"),
        ("=?utf-8?q?M=C3=A9?= <a@x.test>", "a@x.test"),
        ("J\u{fc}rgen <j@x.test>", "j@x.test"),
        // Common, but not valid by the syntax.
        ("a@x.test <a@x.test>", "a@x.test"),
        ("[Bug 7] <a@x.test>", "a@x.test"),
        ("Half \" a mark <a@x.test>", "a@x.test"),
        ("a..b@x.test", "\"a..b\"@x.test"),
        ("a.@x.test", "\"a.\"@x.test"),
    ] {
        assert_eq!(addresses(value), [want], "{value}");
    }
}

#[test]
fn groups_are_expanded() {
    assert_eq!(addresses(" ,a@x.test, , B <b@x.test>;"), ["a@x.test", "b@x.test"]);
    assert_eq!(addresses("list: a@x.test, \"B, b\" <b@x.test>;, c@x.test"), ["a@x.test", "b@x.test", "c@x.test"]);
    assert!(addresses("Mail Delivery System:;").is_empty());
    assert!(addresses("").is_empty() && addresses(" (nothing) ").is_empty());
    assert_eq!(addresses("a@x.test; b@x.test"), ["a@x.test", "b@x.test"]);
}

#[test]
fn names_without_an_address_are_bare() {
    for bare in
        ["MAILER-DAEMON", "<>", "MAILER-DAEMON <>", "Mail Delivery Subsystem <MAILER-DAEMON>", "MAILER-DAEMON (Mail Delivery System)"]
    {
        let list = AddressList::parse(bare).unwrap();
        assert!(list.mailboxes.is_empty() && list.bare.len() == 1, "{bare}: {list:?}");
    }
    assert_eq!(AddressList::parse("Mail Delivery <>").unwrap().bare, ["Mail Delivery"]);
    let comma = AddressList::parse("Doe, John <j@x.test>").unwrap();
    assert_eq!((comma.bare.as_slice(), comma.mailboxes.len()), (["Doe".to_owned()].as_slice(), 1));
}

#[test]
fn ambiguous_lists_are_refused() {
    for (value, error) in [
        ("a b@x.test", AddressListError::Words),
        ("a@x.test b", AddressListError::Words),
        ("<a@x.test> <b@x.test>", AddressListError::Brackets),
        ("<a@x.test> b@x.test", AddressListError::Brackets),
        ("A <a@x.test", AddressListError::Brackets),
        ("a@x.test>", AddressListError::Brackets),
        ("a@x.test (b", AddressListError::Comment),
        ("a@b@x.test", AddressListError::Address(AddressError::Domain(DomainError::BadCharacter))),
        ("@x.test", AddressListError::Address(AddressError::BadLocalPart)),
        (".a@x.test", AddressListError::Address(AddressError::BadLocalPart)),
        ("a@", AddressListError::Address(AddressError::Domain(DomainError::Empty))),
        ("\"a\"b@x.test", AddressListError::Words),
        ("\"\"@x.test", AddressListError::Address(AddressError::BadLocalPart)),
        ("a@\"x.test\"", AddressListError::Address(AddressError::Domain(DomainError::BadCharacter))),
    ] {
        assert_eq!(AddressList::parse(value), Err(error), "{value}");
    }
}

#[test]
fn folded_fields_are_unfolded() {
    let content = b"Subject: x\r\nFrom : \"A\r\n B\" <a@x.test>,\r\n\tb@x.test\r\n\r\nFrom: c@x.test\r\n";
    let list = AddressList::of_field(content, "From").unwrap();
    assert_eq!(list.mailboxes.iter().map(Mailbox::to_string).collect::<Vec<_>>(), ["a@x.test", "b@x.test"]);
}
