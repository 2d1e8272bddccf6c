//! DKIM: the vectors of dkimpy (with those of RFC 8463 appendix A), and messages that must not pass although the signature is valid.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail::evidence::DkimResult::{self, Fail, Pass, PermError, Policy, TempError};

use crate::name_server::{self, Rdata, Zone, txt, zone};
use crate::suite;

const GMAIL_KEY: &str = "k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA1Kd87/UeJjenpabgbFwh+eBCsSTrqmwIYYvywlbhbqoo2DymndFkbjOVIPIldNs\
    /m40KF+yzMn1skyoxcTUGCQs8g3FgD2Ap3ZB5DekAo5wMmk4wimDO+U8QzI3SD07y2+07wlNWwIt8svnxgdxGkVbbhzY8i+RQ9DpSVpPbF7ykQxtKXkv/ahW3KjViiAH+ghv\
    vIhkx4xYSIc9oSwVmAl5OctMEeWUwg8Istjqz8BZeTWbf41fbNhte7Y+YqZOwq1Sd0DbvYAD9NOZK9vlfuac0598HY+vtSBczUiKERHv1yRbcaQtZFh5wtiRrN04BLUTD21M\
    ycBX5jYchHjPY/wIDAQAB";
const ED25519_KEY: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// RSA, 1024 bits, and 768; openssl made them and the three signatures below.
const LONG_KEY: &str = "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCvfCLclaD+0jJ+u0r78xLl1dXxuD3ezhdxRoBAPD4BoHI+i0/snFzGt4k9Ir/W4CIAn6F/\
    qxsQha+As/UC1rQy2tZy6ILf8jnx2ONrWeg66nGpmmKkmB0cz99YiBi7SysVywwZ3FIGbMPZygCFg/D2wVzd+ju1XAM070NJUJqEKwIDAQAB";
const SHORT_KEY: &str = "v=DKIM1; p=MHwwDQYJKoZIhvcNAQEBBQADawAwaAJhAJd+Em8PYlpjtgvUNnAzkFtrQ1Kq41lqBk+I+x69IF8lGK3yuFOpQkGeH0C6oROWj2K2kBwQnOLjZmB\
    pq4ZfsS+HH6o/gef7AcRkJ+FC8gNpc8uj+ll3EtAaPCtLvPg3YQIDAQAB";
const RSA_SHA256: &str = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=long; h=from:subject; \
    bh=Ba3gj8+xBPQLJTahTfzW6RbWQ/XPgESxkCi2B66PSQg=; b=n9zlSK0+a9lVLmD1ablxorHherKIbp6og3O7wx/4Z+s2WVVfRial0yeNenySqBE5OXdD+0ZRzrDnE7k\
    PMZLPMN/qZORX1RwGa7vFbRiBUdzcVdFywHa68FvcEhbJvinV2VOx/HuQsXsK4gyW7TktrD++oPZIYCcLYN66QwuIgHg=";
const RSA_SHA1: &str = "v=1; a=rsa-sha1; c=relaxed/relaxed; d=example.org; s=long; h=from:subject; bh=/t0YeXgRpK9llnjqXbYY+NyRSAs=; \
    b=DlmwL8Y3PUAZTa+hT53weQ8TKVIg1tblS3nR4mfSwGiNNNOscqRVtQNsBic/y6rV6THR1+7LPFpCztS6U2WWa0NqEt33/oZndd8jTUmGle/SNpCNtkPwHENf5dzClptGvnJ\
    cXZcCQ1650nYmrCtHwdm/L9CazfjFEBBrnjpwExY=";
const RSA_768: &str = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=short; h=from:subject; \
    bh=Ba3gj8+xBPQLJTahTfzW6RbWQ/XPgESxkCi2B66PSQg=; b=hyhSQuuW2wZ/ai8NiI2na+fLzewUB+vD7Qd8+d7cHKB7hd0eYnAqP1+QPPBqwi/J7cg1aVl1MuXrmqr\
    vblaZq2B74a6xVPlLGJrDCAOBM5Mp1Dzlh2PfWwm0lXFaFuk3";

/// The message that openssl signed, with this DKIM-Signature.
fn with(signature: &str) -> String {
    format!("DKIM-Signature: {signature}\r\nFrom: Joe <joe@example.org>\r\nSubject: Hi\r\n\r\nHello\r\n")
}

fn key_pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

/// The record of the key that [`signed`] signs with.
pub fn key_record() -> Rdata {
    txt(&format!("v=DKIM1; k=ed25519; p={}", STANDARD.encode(key_pair().public_key().as_ref())))
}

/// The same with `v=` after the other tags.
fn late_version() -> Rdata {
    txt(&format!("k=ed25519; p={}; v=DKIM1", STANDARD.encode(key_pair().public_key().as_ref())))
}

/// A message with these fields and this body, signed relaxed by a key of `d`; the body hash is that of `covered`.
pub fn signed(d: &str, tags: &str, fields: &[(&str, &str)], covered: &str, body: &str) -> String {
    let bh = STANDARD.encode(digest(&SHA256, covered.as_bytes()));
    let unsigned = format!("v=1; a=ed25519-sha256; c=relaxed/relaxed; d={d}; {tags} bh={bh}; b=");
    let names = tags.split("h=").nth(1).unwrap().split(';').next().unwrap();
    let mut input = String::new();
    for name in names.split(':') {
        if let Some((_, value)) = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)) {
            input.push_str(&format!("{}:{value}\r\n", name.to_ascii_lowercase()));
        }
    }
    input.push_str(&format!("dkim-signature:{unsigned}"));
    let b = STANDARD.encode(key_pair().sign(digest(&SHA256, input.as_bytes()).as_ref()));
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("DKIM-Signature: {unsigned}{b}\r\n{fields}\r\n{body}")
}

const FROM: &[(&str, &str)] = &[("From", "joe@example.org"), ("Subject", "Hi")];

fn keys() -> Zone {
    zone([
        ("long._domainkey.example.org", txt(LONG_KEY)),
        ("short._domainkey.example.org", txt(SHORT_KEY)),
        ("ed._domainkey.example.org", key_record()),
        ("late._domainkey.example.org", late_version()),
        ("dead._domainkey.example.org", Rdata::Failure),
        ("mute._domainkey.example.org", Rdata::Silence),
        ("revoked._domainkey.example.org", txt("v=DKIM1; p=")),
    ])
}

async fn results(zone: Zone, message: &str) -> Vec<(DkimResult, String)> {
    let (authenticator, _) = name_server::start(zone).await;
    let checks = authenticator.verify_dkim(message.as_bytes()).await;
    checks.into_iter().map(|check| (check.result, check.reason.unwrap_or_default())).collect()
}

#[tokio::test]
async fn dkimpy_vectors_agree() {
    let read = |name: &str| std::fs::read_to_string(suite::path("dkimpy-1.1.8/dkim/tests/data").join(name)).unwrap();
    let message = |name: &str| read(name).replace("\r\n", "\n").replace('\n', "\r\n");
    let rsa = read("test.txt");
    let (test, brisbane) = ("test._domainkey.football.example.com", "brisbane._domainkey.football.example.com");
    let rfc8463 = |key: &str| zone([(test, txt(key)), (brisbane, txt(ED25519_KEY))]);
    let gmail = zone([("20120113._domainkey.gmail.com", txt(GMAIL_KEY))]);
    let exim = zone([("sed._domainkey.test.ex", txt(&read("eximtest.dns")))]);
    let cases: [(&str, Zone, &[DkimResult]); 11] = [
        ("rfc6376.signed.msg", rfc8463(&rsa), &[Pass, Pass]),
        ("rfc6376.signed.msg", rfc8463(&read("badversion.txt")), &[Pass, PermError]),
        ("rfc6376.signed.msg", rfc8463(&read("badk.txt")), &[Pass, PermError]),
        ("rfc6376.signed.msg", rfc8463(&read("test_bad.txt")), &[Pass, Fail]),
        ("rfc6376.signed.msg", rfc8463(&read("test_tlsrpt.txt")), &[Pass, PermError]),
        ("rfc6376.signed.msg", Zone::new(), &[PermError, PermError]),
        ("rfc6376.signed.rsa.msg", rfc8463(&rsa), &[Pass]),
        ("rfc6376.signed.no_t.msg", rfc8463(&rsa), &[Fail]),
        ("test2.message", gmail, &[Pass]),
        ("ed25519test2.msg", exim, &[Pass]),
        ("test.message.baddomain", rfc8463(&rsa), &[PermError]),
    ];
    let (mut wrong, count) = (Vec::new(), cases.len());
    for (name, zone, wanted) in cases {
        let got = results(zone, &message(name)).await;
        if !got.iter().map(|(result, _)| result).eq(wanted) {
            wrong.push(format!("{name}: {got:?}, not {wanted:?}"));
        }
    }
    suite::all_agree("dkimpy", count, &wrong);
}

#[tokio::test]
async fn a_changed_message_fails() {
    let message = with(RSA_SHA256);
    assert_eq!(results(keys(), &message).await[0].0, Pass);
    assert_eq!(results(keys(), &message.replace("Hello", "Hollo")).await[0], (Fail, "the body was changed".into()));
    assert_eq!(results(keys(), &message.replace("joe@", "eve@")).await[0].0, Fail);
    assert_eq!(results(keys(), &message.replace("s=long", "s=gone")).await[0].0, PermError);
    assert_eq!(results(keys(), &message.replace("s=long", "s=revoked")).await[0].0, PermError);
}

#[tokio::test]
async fn weak_expired_or_partial_signatures_do_not_pass() {
    let sign = |tags: &str, covered: &str, body: &str| signed("example.org", tags, FROM, covered, body);
    for (what, message, wanted) in [
        ("the baseline", sign("s=ed; h=from:subject;", "Hello\r\n", "Hello\r\n"), Pass),
        ("SHA-1", with(RSA_SHA1), Policy),
        ("768 bits", with(RSA_768), Policy),
        ("expired", sign("s=ed; t=1000; x=2000; h=from:subject;", "Hello\r\n", "Hello\r\n"), Policy),
        ("expired before it was made", sign("s=ed; t=99999999999; x=99999999998; h=from:subject;", "a\r\n", "a\r\n"), Policy),
        ("not yet expired", sign("s=ed; t=1000; x=99999999999; h=from:subject;", "Hello\r\n", "Hello\r\n"), Pass),
        ("a part of the body", sign("s=ed; l=7; h=from:subject;", "Hello\r\n", "Hello\r\nBuy!\r\n"), Policy),
        ("nothing of the body", sign("s=ed; l=0; h=from:subject;", "", "Hello\r\n"), Policy),
        ("expired in 1970", sign("s=ed; x=0; h=from:subject;", "Hello\r\n", "Hello\r\n"), Policy),
        ("v= last in the key record", sign("s=late; h=from:subject;", "Hello\r\n", "Hello\r\n"), Pass),
        ("l= that is all of the body", sign("s=ed; l=7; h=from:subject;", "Hello\r\n", "Hello\r\n"), Pass),
        ("more than the body", sign("s=ed; l=8; h=from:subject;", "Hello\r\n", "Hello\r\n"), Policy),
        ("not From", sign("s=ed; h=subject;", "Hello\r\n", "Hello\r\n"), PermError),
        ("a tag twice", sign("s=ed; s=ed; h=from:subject;", "Hello\r\n", "Hello\r\n"), PermError),
        ("a NUL in s=", sign("s=e\0d; h=from:subject;", "Hello\r\n", "Hello\r\n"), PermError),
        ("i= elsewhere", sign("s=ed; i=@example.com; h=from:subject;", "Hello\r\n", "Hello\r\n"), Fail),
        ("SERVFAIL", sign("s=dead; h=from:subject;", "Hello\r\n", "Hello\r\n"), TempError),
        ("silence", sign("s=mute; h=from:subject;", "Hello\r\n", "Hello\r\n"), TempError),
        ("d=x'y", signed("x'y", "s=ed; h=from:subject;", FROM, "Hello\r\n", "Hello\r\n"), PermError),
    ] {
        let got = results(keys(), &message).await;
        assert_eq!(got.len(), 1, "{what}");
        assert_eq!(got[0].0, wanted, "{what}: {}", got[0].1);
    }
}

#[tokio::test]
async fn a_key_record_with_its_version_last_passes_with_a_remark() {
    let message = signed("example.org", "s=late; h=from:subject;", FROM, "Hello\r\n", "Hello\r\n");
    assert_eq!(results(keys(), &message).await, [(Pass, "v= is not the first tag of the key record".into())]);
}

/// RFC 6376 s.3.4.2: relaxed, white space before the colon is deleted.
#[tokio::test]
async fn relaxed_signatures_ignore_blanks_before_colons() {
    let message = signed("example.org", "s=ed; h=from:subject:reply-to;", FROM, "Hello\r\n", "Hello\r\n");
    for (what, message, wanted) in [
        ("a blank", message.replace("Subject:", "Subject :"), Pass),
        ("a tab", message.replace("Subject:", "Subject\t:"), Pass),
        ("two blanks, in From", message.replace("From:", "From  :"), Pass),
        ("the signature's own field", message.replace("DKIM-Signature:", "DKIM-Signature :"), Pass),
        ("another value", message.replace("Subject: Hi", "Subject : Ho"), Fail),
        ("a field whose absence is signed", message.replace("\r\nFrom:", "\r\nReply-To : eve@example.com\r\nFrom:"), Fail),
        ("an unsigned field", message.replace("\r\nFrom:", "\r\nX-Seen : yes\r\nFrom:"), Pass),
    ] {
        let got = results(keys(), &message).await;
        assert_eq!(got.len(), 1, "{what}");
        assert_eq!(got[0].0, wanted, "{what}: {}", got[0].1);
    }
}

/// RFC 6376 s.3.4.1: simple, a field is signed as written.
#[tokio::test]
async fn simple_signatures_cover_blanks_before_colons() {
    let sign = |subject: &str, fields: &str| {
        let bh = STANDARD.encode(digest(&SHA256, b"Hello\r\n"));
        let unsigned = format!("DKIM-Signature: v=1; a=ed25519-sha256; d=example.org; s=ed; h=from:subject; bh={bh};\r\n\tb=");
        let input = format!("From: joe@example.org\r\n{subject}\r\n{unsigned}");
        let b = STANDARD.encode(key_pair().sign(digest(&SHA256, input.as_bytes()).as_ref()));
        format!("{unsigned}{b}\r\nFrom: joe@example.org\r\n{fields}\r\n\r\nHello\r\n")
    };
    for (signed, written, wanted) in [
        ("Subject : Hi", "Subject : Hi", Pass),
        ("Subject: Hi", "Subject: Hi", Pass),
        ("Subject: Hi", "Subject : Hi", Fail),
        ("Subject : Hi", "Subject: Hi", Fail),
        ("Subject : Hi", "Subject : Ho", Fail),
        ("Subject: Hi", "Subject: Hi\r\nX-Seen : yes", Pass),
    ] {
        let got = results(keys(), &sign(signed, written)).await;
        assert_eq!(got[0].0, wanted, "{signed:?} signed, {written:?} written: {}", got[0].1);
    }
    let changed = sign("Subject : Hi", "Subject : Hi").replace("Hello", "Hollo");
    assert_eq!(results(keys(), &changed).await[0], (Fail, "the body was changed".into()));
}

#[tokio::test]
async fn our_signature_over_a_blank_before_a_colon_verifies() {
    let pair = msgauth::KeyPair::generate(msgauth::Algorithm::Rsa).unwrap();
    let signer = msgauth::Signer::new(pair.algorithm, &pair.private, "example.org", "ours").unwrap();
    let (top, content) = ("Received : x\r\n", "From : joe@example.org\r\nSubject\t: Hi\r\n\r\nHello : you\r\n");
    let field = signer.sign(&[top.as_bytes(), content.as_bytes()]).unwrap();
    let names = field.replace("\r\n\t", "").to_lowercase();
    assert!(names.contains("subject:") && !names.contains("subject\t"), "{field}");
    let zone = || zone([("ours._domainkey.example.org", txt(&msgauth::record(pair.algorithm, &pair.public)))]);
    for written in [content.to_owned(), content.replace("From :", "From:").replace("Subject\t:", "Subject:")] {
        assert_eq!(results(zone(), &format!("{field}{top}{written}")).await, [(Pass, String::new())], "{written}");
    }
}

#[tokio::test]
async fn at_most_ten_signatures_are_looked_up() {
    let mut message = String::new();
    for n in 0..500 {
        message.push_str(&format!("DKIM-Signature: {}\r\n", RSA_SHA256.replace("s=long", &format!("s=s{n}; l={}", n + 1))));
    }
    message.push_str(&with(RSA_SHA256));
    let (authenticator, log) = name_server::start(keys()).await;
    assert_eq!(authenticator.verify_dkim(message.as_bytes()).await.len(), 10);
    assert!(log.lock().unwrap().len() <= 10);

    let many = message.replace("; l=", "; j=");
    let (authenticator, log) = name_server::start(keys()).await;
    let checks = authenticator.verify_dkim(many.as_bytes()).await;
    assert_eq!(checks.len(), 10);
    assert_eq!(checks[9].selector, "s9");
    assert_eq!(log.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn malformed_messages_have_no_valid_signatures() {
    for content in ["", "\r\n", "no header\r\n\r\n", "DKIM-Signature: \r\n\r\n"] {
        assert!(results(keys(), content).await.iter().all(|(result, _)| *result == PermError), "{content:?}");
    }
}
