//! Tests of return addresses.

use super::*;

const DAY: i64 = 86_400;

/// Not secure: only different for different input.
fn mac(secret: &Secret, data: &[u8]) -> Vec<u8> {
    let mut state = 0xcbf2_9ce4_8422_2325u64;
    let mut out = Vec::new();
    for octet in secret.key.iter().chain(data) {
        state = (state ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
    }
    for _ in 0..4 {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        out.extend_from_slice(&state.to_be_bytes());
    }
    out
}

fn srs(domain: &str, secrets: &[(Hash, &str)]) -> Srs {
    let secrets = secrets.iter().map(|(hash, key)| Secret { hash: *hash, key: key.as_bytes().to_vec() }).collect();
    Srs { domain: Domain::parse(domain).unwrap(), secrets, mac }
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap()
}

#[test]
fn rewritten_addresses_reverse_to_the_sender() {
    for kind in [Hash::Sha256, Hash::Classic] {
        let ours = srs("fwd.example.test", &[(kind, "one")]);
        for sender in [
            "her@foreign.test",
            "\"a b\"@foreign.test",
            "a=b=c@x.test",
            "Mixed.Case+tag@x.test",
            "=@x.test",
            "SRS0@x.test",
            "SRS0=h=d=x=u@localhost",
            "SRS1=h=a..b==x@c.test",
        ] {
            let made = ours.rewrite(&mailbox(sender), 1000 * DAY).unwrap();
            assert_eq!(made.token, None, "{sender}");
            assert!(ours.owns(&made.address));
            assert!(made.address.local.as_str().len() <= 64);
            let folded = mailbox(&made.address.to_string().to_lowercase());
            for address in [&made.address, &folded] {
                assert_eq!(ours.reverse(address, 1021 * DAY), Ok(Reversed::Address(mailbox(sender))), "{address}");
            }
            assert_eq!(ours.reverse(&made.address, 1022 * DAY), Err(SrsError::Expired));
        }
    }
}

#[test]
fn addresses_have_the_common_form() {
    let ours = srs("fwd.test", &[(Hash::Classic, "one")]);
    let made = ours.rewrite(&mailbox("her@foreign.test"), 0).unwrap().address.to_string();
    let (tag, rest) = made.split_at(5);
    assert_eq!(tag, "SRS0=");
    assert_eq!(rest.get(4..).unwrap(), "=AA=foreign.test=her@fwd.test");
    let wide = srs("fwd.test", &[(Hash::Sha256, "one")]).rewrite(&mailbox("her@foreign.test"), 0).unwrap().address.to_string();
    assert_eq!(wide.len(), made.len() + 12);
}

#[test]
fn rewritten_addresses_are_not_nested() {
    let (first, second, third) =
        (srs("one.test", &[(Hash::Sha256, "1")]), srs("two.test", &[(Hash::Sha256, "2")]), srs("three.test", &[(Hash::Sha256, "3")]));
    let one = first.rewrite(&mailbox("her@foreign.test"), 0).unwrap().address;
    let short = mailbox("SRS0=HHHH=TT=x.test=her@one.test");
    let two = second.rewrite(&short, 0).unwrap().address;
    assert!(two.local.as_str().ends_with("=one.test==HHHH=TT=x.test=her"), "{two}");
    let three = third.rewrite(&two, 0).unwrap().address;
    assert!(three.local.as_str().ends_with("=one.test==HHHH=TT=x.test=her"), "{three}");
    // Each leads to the first, which knows the sender; the others do not check the age.
    assert_eq!(third.reverse(&three, 999 * DAY), Ok(Reversed::Address(short.clone())));
    assert_eq!(second.reverse(&two, 0), Ok(Reversed::Address(short)));
    assert_eq!(first.reverse(&one, 0), Ok(Reversed::Address(mailbox("her@foreign.test"))));
}

#[test]
fn long_addresses_become_tokens() {
    for kind in [Hash::Sha256, Hash::Classic] {
        let ours = srs("fwd.test", &[(kind, "one")]);
        let long = mailbox(&format!("{}@{}.test", "a".repeat(60), "b".repeat(60)));
        let made = ours.rewrite(&long, 0).unwrap();
        assert!(made.address.local.as_str().len() <= 64, "{}", made.address);
        let written = made.address.to_string();
        for came in [written.clone(), written.to_lowercase(), written.to_uppercase()] {
            assert_eq!(ours.reverse(&mailbox(&came), 0), Ok(Reversed::Token(made.token.clone().unwrap())), "{kind:?}: {came}");
        }
        assert_eq!(ours.rewrite(&long, 0).unwrap(), made, "the same sender has the same token");
    }
}

#[test]
fn old_secrets_verify_and_forgeries_do_not() {
    let old = srs("fwd.test", &[(Hash::Classic, "old")]);
    let now = srs("fwd.test", &[(Hash::Sha256, "new"), (Hash::Classic, "old")]);
    let made = old.rewrite(&mailbox("her@foreign.test"), 0).unwrap().address;
    assert_eq!(now.reverse(&made, 0), Ok(Reversed::Address(mailbox("her@foreign.test"))));
    let ours = now.rewrite(&mailbox("her@foreign.test"), 0).unwrap().address.to_string();
    for (from, to) in [("her@", "him@"), ("foreign", "foreigner"), ("=AA=", "=AB="), ("SRS0=", "SRS1="), ("SRS0=", "SRS0=A")] {
        assert!(now.reverse(&mailbox(&ours.replacen(from, to, 1)), 0).is_err(), "{from} {to}");
    }
    for forged in
        ["SRS0=@fwd.test", "SRS0=a@fwd.test", "SRS0==AA=x.test=u@fwd.test", "SRS1=x=y@fwd.test", "SRS0=AAAAAAA=AA=x.test=u@fwd.test"]
    {
        assert!(now.reverse(&mailbox(forged), 0).is_err(), "{forged}");
    }
    assert_eq!(srs("fwd.test", &[]).rewrite(&mailbox("a@b.test"), 0), None);
    assert!(!now.owns(&mailbox("srs0x@fwd.test")) && !now.owns(&mailbox("SRS0=x@other.test")));
}

#[test]
fn domain_and_user_cannot_be_shifted() {
    let ours = srs("fwd.test", &[(Hash::Sha256, "one")]);
    let made = ours.rewrite(&mailbox("foo@ex.com"), 0).unwrap().address.to_string();
    assert!(ours.reverse(&mailbox(&made.replace("=ex.com=foo", "=ex.co=mfoo")), 0).is_err());
}
