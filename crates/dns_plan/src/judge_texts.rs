//! Judges TXT records: DKIM keys, DMARC, MTA-STS, TLSRPT. SPF, which needs further answers, is judged with the others.
//!
//! RFC 6376 s.3.6.1, RFC 9989 s.4.7, RFC 8461 s.3.1, RFC 8460 s.3. Invariant: a judgement needs the planned record and what is there, no other answer.

use std::collections::BTreeSet;

use mail::dkim_key::KeyRecord;
use mail::dmarc_record::DmarcPolicyRecord;

use super::judge::Verdict::{self, Differs, Lesser, Same};
use super::judge::nothing;
use super::mistakes::{first_word, text_mistake};
use super::{Data, DmarcStage, DnsSeverity, Found, PlannedRecord};

/// The tags of a text: names in lower case, values without outer spaces.
fn tags(text: &str) -> Vec<(String, &str)> {
    text.split(';').filter_map(|tag| tag.split_once('=')).map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim())).collect()
}

fn tag<'a>(tags: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    tags.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
}

pub(super) fn packed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

/// Whether the records have only pieces of the key.
fn is_split(texts: &[&str], wanted: &str) -> bool {
    let keys: Vec<String> = texts.iter().filter_map(|text| tag(&tags(text), "p").map(packed)).collect();
    !keys.iter().any(|key| key == wanted) && keys.iter().any(|key| !key.is_empty() && wanted.starts_with(key.as_str()))
}

pub(super) fn key(record: &PlannedRecord, found: &[Found]) -> Verdict {
    let planned = tags(&record.value);
    let wanted = packed(tag(&planned, "p").unwrap_or_default());
    let all: Vec<&str> = texts(found).collect();
    let [text] = all.as_slice() else {
        return match all.len() {
            0 if wanted.is_empty() => Same,
            0 => nothing(),
            _ if is_split(&all, &wanted) => {
                Differs("the key is split into several records: it must be one record with strings of at most 255 characters".into())
            }
            n => Differs(format!("there are {n} records, and receivers cannot tell which one to use")),
        };
    };
    let p = packed(tag(&tags(text), "p").unwrap_or_default());
    if let Some(mistake) = text_mistake(text, "v=dkim1") {
        return Differs(mistake.into());
    }
    if p != wanted && (p.contains(['"', '\\']) || (!p.is_empty() && wanted.starts_with(&p)) || text.contains("v=DKIM1; v=")) {
        return Differs("the key is split wrongly: it has quotes in it, or a part is missing".into());
    }
    let there = match KeyRecord::parse(text.as_bytes()) {
        Ok(there) => there,
        Err(_) if p != wanted => return Differs("it is another key, so signatures do not verify".into()),
        Err(fault) => return Differs(format!("receivers accept no signature with it: {fault}")),
    };
    if there.public.is_empty() && !wanted.is_empty() {
        return Differs("the key is revoked (p= is empty), so signatures do not verify".into());
    }
    let kind = KeyRecord::parse(record.value.as_bytes()).map_or_else(|_| "rsa".into(), |planned| planned.kind);
    if there.public != wanted || there.kind != kind {
        return Differs("it is another key, so signatures do not verify".into());
    }
    if there.is_trial {
        return Differs("t=y marks the key as a test, and some receivers ignore its signatures".into());
    }
    if there.is_version_late {
        return Lesser(DnsSeverity::Recommended, "v=DKIM1 is not its first tag: some receivers reject the key".into());
    }
    Same
}

fn only<'a>(record: &PlannedRecord, found: &'a [Found]) -> Result<&'a str, Verdict> {
    let word = first_word(record);
    let is_one = |text: &&str| {
        text.split(';').next().is_some_and(|first| packed(first).eq_ignore_ascii_case(word)) && !text.starts_with(char::is_whitespace)
    };
    match texts(found).filter(is_one).collect::<Vec<_>>().as_slice() {
        [] => Err(no_text(record, found)),
        [one] => Ok(one),
        several => Err(Differs(format!("there are {} such records, so receivers use none", several.len()))),
    }
}

/// The addresses for reports, in lower case.
fn reports(tags: &[(String, &str)]) -> BTreeSet<String> {
    tag(tags, "rua").unwrap_or_default().split(',').map(|uri| packed(uri).to_ascii_lowercase()).filter(|uri| !uri.is_empty()).collect()
}

pub(super) fn dmarc(record: &PlannedRecord, found: &[Found]) -> Verdict {
    let text = match only(record, found) {
        Ok(text) => text,
        Err(verdict) => return verdict,
    };
    let planned = DmarcPolicyRecord::parse(record.value.as_bytes());
    let Some(there) = DmarcPolicyRecord::parse(text.as_bytes()).filter(|there| there.has_policy) else {
        return Differs("it has no p=none, p=quarantine or p=reject, so it has no effect".into());
    };
    let stage = DmarcStage::of(there.policy);
    if planned.as_ref().is_some_and(|planned| stage < DmarcStage::of(planned.policy)) {
        return Differs(format!("p={} is weaker than planned", stage.as_str()));
    }
    for (name, strict) in [("adkim", (|r| r.dkim_strict) as fn(&DmarcPolicyRecord) -> bool), ("aspf", |r| r.spf_strict)] {
        if planned.as_ref().is_some_and(strict) && !strict(&there) {
            return Differs(format!("without {name}=s, forwarded mail could pass as mail of the domain itself"));
        }
    }
    if tag(&tags(&record.value), "adkim") == Some("r") && there.dkim_strict {
        return Differs("adkim=s is stricter than the signatures of this server".into());
    }
    if tag(&tags(text), "pct").is_some_and(|share| share != "100") {
        return Lesser(
            DnsSeverity::Recommended,
            "pct= no longer exists: some receivers apply the policy to a part of the mail, others to all of it".into(),
        );
    }
    // The operator may send them elsewhere already.
    if planned.is_some_and(|planned| planned.has_report_address()) && !there.has_report_address() {
        let why = match there.report_uris.is_empty() {
            true => "its reports go nowhere",
            false => "its reports go nowhere: write an address as in rua=mailto:me@example.com",
        };
        return Lesser(DnsSeverity::Recommended, why.into());
    }
    Same
}

pub(super) fn tagged(record: &PlannedRecord, found: &[Found]) -> Verdict {
    let text = match only(record, found) {
        Ok(text) => text,
        Err(verdict) => return verdict,
    };
    if text.split(';').next().map(str::trim_end) != Some(first_word(record)) {
        return Differs(format!("it must begin with {}, in exactly this case", first_word(record)));
    }
    let (planned, there) = (tags(&record.value), tags(text));
    if tag(&planned, "id") != tag(&there, "id") {
        return Differs("its id is not that of the current policy, so other servers do not fetch the policy again".into());
    }
    let reaches = |uri: &String| uri.starts_with("mailto:") || uri.starts_with("https:");
    if !reports(&planned).is_empty() && !reports(&there).iter().any(reaches) {
        return Differs("its reports go nowhere: rua= has no address that begins with mailto: or https:".into());
    }
    Same
}

pub(super) fn texts(found: &[Found]) -> impl Iterator<Item = &str> {
    found.iter().filter_map(|f| if let Data::Text(text) = &f.data { Some(text.as_str()) } else { None })
}

/// Why there is no such text: none, or a damaged one.
pub(super) fn no_text(record: &PlannedRecord, found: &[Found]) -> Verdict {
    match texts(found).find_map(|text| text_mistake(text, first_word(record))) {
        Some(mistake) => Differs(mistake.into()),
        None => nothing(),
    }
}
