//! Return addresses compared with postsrsd, Mail::SRS and pysrs: each reverses those of the others.

use it::{Lab, Postsrsd, fed, python};
use mail::srs::{Hash, Reversed, Secret, Srs, SrsError};
use mail::{Domain, Mailbox};

const SECRET: &str = "tops3cr3t";
const DOMAIN: &str = "fwd.example.test";

/// Senders that all four support.
const SENDERS: [&str; 14] = [
    "her@foreign.test",
    "her+tag@foreign.test",
    "her.name.with.dots@foreign.test",
    "Mixed.Case@foreign.test",
    "a=b=c@foreign.test",
    "=@x.test",
    "-+=@x.test",
    "o'hara{}|~!#$&*@x.test",
    "x@a-very-long-name-of.a-department.foreign.test",
    "SRS0=Ab+/=JN=origin.test=someone@other.test",
    "SRS0+Ab+/=JN=origin.test=someone@other.test",
    "SRS0-Ab+/=JN=origin.test=some=one@other.test",
    "SRS1=AbCd=first.test==Ab+/=JN=origin.test=someone@second.test",
    "SRS1+AbCd=first.test=-Ab+/=JN=origin.test=someone@second.test",
];

fn ours() -> Srs {
    let secrets = vec![Secret { hash: Hash::Classic, key: SECRET.as_bytes().to_vec() }];
    Srs { domain: Domain::parse(DOMAIN).unwrap(), secrets, mac: net::srs_mac }
}

fn now_unix_s() -> i64 {
    i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

fn mailbox(text: &str) -> Mailbox {
    Mailbox::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn rewritten(sender: &str) -> String {
    let made = ours().rewrite(&mailbox(sender), now_unix_s()).unwrap();
    assert_eq!(made.token, None, "{sender}");
    made.address.to_string()
}

fn reversed(address: &str) -> Result<String, SrsError> {
    match ours().reverse(&mailbox(address), now_unix_s())? {
        Reversed::Address(mailbox) => Ok(mailbox.to_string()),
        Reversed::Token(token) => Ok(token),
    }
}

/// Reverses an address to its sender, or an SRS1 address to the forwarder that made the SRS0 address.
fn origin(sender: &str) -> String {
    match sender.strip_prefix("SRS1") {
        Some(rest) => {
            let mut fields = rest[1..].splitn(3, '=').skip(1);
            let (host, rest) = (fields.next().unwrap(), fields.next().unwrap());
            format!("SRS0{}@{host}", rest.rsplit_once('@').unwrap().0)
        }
        None => sender.to_owned(),
    }
}

/// Makes and reverses a return address for each sender, ours and theirs.
fn compare(name: &str, senders: &[&str], ask: impl Fn(&str, &[String]) -> Vec<String>) {
    let all: Vec<String> = senders.iter().map(|sender| (*sender).to_owned()).collect();
    let rewrite = || -> Vec<String> { senders.iter().map(|sender| rewritten(sender)).collect() };
    let (mine, theirs) = loop {
        let (mine, theirs) = (rewrite(), ask("forward", &all));
        // Addresses have the day of their making, which may have ended meanwhile.
        if rewrite() == mine {
            break (mine, theirs);
        }
    };
    assert_eq!(theirs.len(), all.len(), "{name}: {theirs:?}");
    for ((sender, mine), theirs) in senders.iter().zip(&mine).zip(&theirs) {
        assert_eq!(mine, theirs, "{name} makes another address of {sender}");
        for address in [theirs.clone(), theirs.to_lowercase()] {
            let back = reversed(&address).unwrap_or_else(|e| panic!("{name}: {address}: {e}"));
            assert!(back.eq_ignore_ascii_case(&origin(sender)), "{name}: {address} led to {back}");
        }
    }
    for ((sender, mine), back) in senders.iter().zip(&mine).zip(ask("reverse", &mine)) {
        assert!(back.eq_ignore_ascii_case(&origin(sender)), "{name}: {mine} led to {back}");
    }
}

fn lines(what: &str, addresses: &[String]) -> String {
    addresses.iter().map(|address| format!("{what} {address}\n")).collect()
}

#[test]
fn postsrsd_addresses_are_compatible() {
    let lab = Lab::new();
    let postsrsd = Postsrsd::start(&lab, 7, SECRET, DOMAIN);
    compare("postsrsd", &SENDERS, |what, addresses| {
        let one = |address: &String| if what == "forward" { postsrsd.forward(address) } else { postsrsd.reverse(address) };
        addresses.iter().map(|address| one(address).unwrap_or_else(|| "refused".into())).collect()
    });
}

#[test]
fn mail_srs_addresses_are_compatible() {
    compare("Mail::SRS", &SENDERS, |what, addresses| {
        let out = fed("perl", &["tests/lab/srs.pl", SECRET, DOMAIN], &lines(what, addresses));
        out.lines().map(ToOwned::to_owned).collect()
    });
}

#[test]
fn pysrs_addresses_are_compatible() {
    // Only Mail::SRS handles quotes.
    let senders: Vec<&str> = SENDERS.into_iter().chain(["\"her odd\"@foreign.test", "\"a..b\"@foreign.test"]).collect();
    compare("pysrs", &senders, |what, addresses| {
        python(&["tests/lab/pysrs.py", SECRET, DOMAIN], &lines(what, addresses)).lines().map(ToOwned::to_owned).collect()
    });
}

#[test]
fn changed_srs_addresses_are_refused() {
    let real = fed(
        "perl",
        &["tests/lab/srs.pl", SECRET, DOMAIN],
        "forward her@foreign.test\nforward SRS0=Ab+/=JN=origin.test=someone@other.test\n",
    );
    let [first, second] = real.lines().collect::<Vec<_>>()[..] else { panic!("{real}") };
    assert_eq!((reversed(first).as_deref(), reversed(second).is_ok()), (Ok("her@foreign.test"), true));
    let hash = &first[5..9];
    let other = if hash.starts_with(['a', 'A']) { "zzzz" } else { "aaaa" };
    let forged = [
        first.replace(hash, other),
        first.replace(hash, &hash[..3]),
        first.replace(&format!("{hash}="), ""),
        first.replace("=her@", "=him@"),
        first.replace("=foreign.test=", "=foreign.test.evil.test="),
        first.replace("=foreign.test=her", "=oreign.test=fher"),
        second.replace("=other.test=", "=victim.test="),
        second.replace("someone", "somebody"),
        // An address of one type with the other's tag.
        first.replace("SRS0=", "SRS1="),
        second.replace("SRS1=", "SRS0="),
    ];
    for address in forged {
        assert!(reversed(&address).is_err(), "{address} led to {:?}", reversed(&address));
    }
    let theirs = fed("perl", &["tests/lab/srs.pl", "another secret", DOMAIN], "forward her@foreign.test\n");
    assert_eq!(reversed(theirs.trim()), Err(SrsError::Forged));
}
