//! Evidence about a message whose fields and DNS records are a stranger's.
//!
//! RFC 7208 s.4.6.4, RFC 6376, RFC 8617, RFC 9989.

use mail::evidence::{DkimResult, Evidence, SpfResult};
use msgauth::Input;

use crate::checks::INPUT_MAX_BYTES;
use crate::name_server::with_texts;

/// Text records before the message.
const TEXTS: usize = 4;

const CLIENT: &str = "192.0.2.77";

/// The lines are the records, in the order of the questions. An evaluation ends, also if a record includes itself, and the terms that decided it are
/// terms of the records.
pub fn spf_evaluations(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX_BYTES)];
    let records: Vec<Vec<u8>> = data.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let all = String::from_utf8_lossy(data).into_owned();
    let input =
        Input { client: CLIENT.parse().expect("an address"), hello: "mx.sender.test", reverse_path: None, recipients: &[], message: b"" };
    let (check, terms) = with_texts(records, async |dns| dns.explain_spf(&input, "ada", "sender.test").await);
    assert!(check.result != SpfResult::Pass || !terms.is_empty(), "pass without a term");
    for term in terms {
        assert!(all.contains(&term.term), "{:?} is in no record", term.term);
    }
}

/// Up to four lines of records, then the message. Every signature has a result, and none is right without its key.
pub fn message_evidence(data: &[u8]) {
    let data = &data[..data.len().min(INPUT_MAX_BYTES)];
    let mut pieces = data.splitn(TEXTS + 1, |byte| *byte == b'\n');
    let records: Vec<Vec<u8>> = pieces.by_ref().take(TEXTS).map(<[u8]>::to_vec).collect();
    let message = pieces.next().unwrap_or_default();
    let input = Input {
        client: CLIENT.parse().expect("an address"),
        hello: "mx.sender.test",
        reverse_path: Some("ada@sender.test"),
        recipients: &[],
        message,
    };
    let packed: Vec<u8> = data.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let has_key = packed.windows(2).any(|pair| pair == b"p=");
    let evidence: Evidence = with_texts(records, async |dns| dns.evaluate(input).await);
    assert!(has_key || evidence.dkim.iter().all(|check| check.result != DkimResult::Pass), "{:?}", evidence.dkim);
    let facts = mail::auth_results::Facts { client: input.client, hello: input.hello, reverse_path: input.reverse_path, header_from: None };
    crate::written_fields::check_results(&evidence, &facts);
}
