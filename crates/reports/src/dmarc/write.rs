//! Writes a DMARC report.
//!
//! RFC 9990 (the tables of elements). Invariant: the document is valid whatever the values: words of the older format are replaced by
//! those of the newer.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Disposition, DmarcReport, Outcome, Override, PublishedPolicy, Reason, Row};

/// The namespace of the format.
const NAMESPACE: &str = "urn:ietf:params:xml:ns:dmarc-2.0";

type Xml = Writer<Vec<u8>>;

/// The report as XML. A report without rows is not valid; do not send one.
pub fn write(report: &DmarcReport) -> Vec<u8> {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    // Writing to memory does not fail.
    let _ = document(&mut xml, report);
    let mut text = xml.into_inner();
    text.push(b'\n');
    text
}

fn document(xml: &mut Xml, report: &DmarcReport) -> io::Result<()> {
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    xml.create_element("feedback").with_attribute(("xmlns", NAMESPACE)).write_inner_content(|xml| {
        element(xml, "version", "1.0")?;
        within(xml, "report_metadata", |xml| metadata(xml, report))?;
        within(xml, "policy_published", |xml| policy(xml, &report.policy))?;
        report.rows.iter().try_for_each(|row| within(xml, "record", |xml| record(xml, row)))
    })?;
    Ok(())
}

fn metadata(xml: &mut Xml, report: &DmarcReport) -> io::Result<()> {
    element(xml, "org_name", &report.organisation)?;
    element(xml, "email", &report.contact)?;
    optional(xml, "extra_contact_info", report.extra_contact.as_deref())?;
    element(xml, "report_id", &report.report_id)?;
    within(xml, "date_range", |xml| {
        element(xml, "begin", &report.begin_s.to_string())?;
        element(xml, "end", &report.end_s.to_string())
    })?;
    // The format allows one.
    optional(xml, "error", Some(report.errors.join("; ")).as_deref().filter(|errors| !errors.is_empty()))?;
    optional(xml, "generator", report.generator.as_deref())
}

fn policy(xml: &mut Xml, policy: &PublishedPolicy) -> io::Result<()> {
    let alignment = |strict: bool| if strict { "s" } else { "r" };
    element(xml, "domain", &policy.domain)?;
    element(xml, "discovery_method", "treewalk")?;
    element(xml, "p", requested(policy.p))?;
    element(xml, "sp", requested(policy.sp.unwrap_or(policy.p)))?;
    optional(xml, "np", policy.np.map(requested))?;
    optional(xml, "fo", policy.failure_options.as_deref())?;
    element(xml, "adkim", alignment(policy.strict_dkim))?;
    element(xml, "aspf", alignment(policy.strict_spf))?;
    element(xml, "testing", if policy.testing { "y" } else { "n" })
}

/// A policy cannot request `pass`.
fn requested(disposition: Disposition) -> &'static str {
    if disposition == Disposition::Pass { "none" } else { disposition.as_str() }
}

fn record(xml: &mut Xml, row: &Row) -> io::Result<()> {
    let passes = |aligned: bool| if aligned { "pass" } else { "fail" };
    within(xml, "row", |xml| {
        element(xml, "source_ip", &row.source.to_string())?;
        element(xml, "count", &row.count.to_string())?;
        within(xml, "policy_evaluated", |xml| {
            element(xml, "disposition", row.disposition.as_str())?;
            element(xml, "dkim", passes(row.dkim_aligned))?;
            element(xml, "spf", passes(row.spf_aligned))?;
            row.reasons.iter().try_for_each(|reason| within(xml, "reason", |xml| override_reason(xml, reason)))
        })
    })?;
    within(xml, "identifiers", |xml| {
        element(xml, "header_from", &row.header_from)?;
        element(xml, "envelope_from", &row.envelope_from)?;
        optional(xml, "envelope_to", Some(row.envelope_to.as_str()).filter(|to| !to.is_empty()))
    })?;
    within(xml, "auth_results", |xml| results(xml, row))
}

fn override_reason(xml: &mut Xml, reason: &Reason) -> io::Result<()> {
    let (kind, before) = match reason.kind {
        old @ (Override::Forwarded | Override::SampledOut) => (Override::Other, Some(old.as_str())),
        kind => (kind, None),
    };
    element(xml, "type", kind.as_str())?;
    let words: Vec<&str> = before.into_iter().chain(Some(reason.comment.as_str()).filter(|c| !c.is_empty())).collect();
    optional(xml, "comment", Some(words.join(": ")).as_deref().filter(|words| !words.is_empty()))
}

fn results(xml: &mut Xml, row: &Row) -> io::Result<()> {
    for dkim in &row.dkim {
        let result = if dkim.result == Outcome::SoftFail { Outcome::Fail } else { dkim.result };
        within(xml, "dkim", |xml| {
            element(xml, "domain", &dkim.domain)?;
            element(xml, "selector", &dkim.selector)?;
            element(xml, "result", result.as_str())
        })?;
    }
    // The format allows one, for MAIL FROM.
    let Some(spf) = row.spf.first() else { return Ok(()) };
    let result = if spf.result == Outcome::Policy { Outcome::Neutral } else { spf.result };
    within(xml, "spf", |xml| {
        element(xml, "domain", &spf.domain)?;
        element(xml, "scope", "mfrom")?;
        element(xml, "result", result.as_str())
    })
}

fn within(xml: &mut Xml, name: &str, content: impl FnOnce(&mut Xml) -> io::Result<()>) -> io::Result<()> {
    xml.create_element(name).write_inner_content(content).map(drop)
}

/// An element with escaped text; characters that XML does not allow are removed.
fn element(xml: &mut Xml, name: &str, text: &str) -> io::Result<()> {
    let fit: String = text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')).collect();
    xml.create_element(name).write_text_content(BytesText::new(&fit)).map(drop)
}

fn optional(xml: &mut Xml, name: &str, text: Option<&str>) -> io::Result<()> {
    text.map_or(Ok(()), |text| element(xml, name, text))
}

#[cfg(test)]
mod tests {
    use super::super::samples::{GOOGLE, MICROSOFT, RFC_9990, YAHOO};
    use super::super::{SpfSeen, read, tame, word};
    use super::*;

    #[test]
    fn written_reports_are_read_back() {
        for sample in [GOOGLE, MICROSOFT, RFC_9990, YAHOO] {
            let report = read(sample.as_bytes()).unwrap();
            let mut again = read(&write(&report)).unwrap();
            again.policy.sp = report.policy.sp;
            assert_eq!(again, report);
        }
    }

    #[test]
    fn a_tamed_text_is_the_same_when_it_is_tamed_again() {
        for text in [&format!("{} y", "x".repeat(255)), "\u{fffe}a", &"\u{130}".repeat(256), "a. .", "\u{200b} a"] {
            assert_eq!(tame(&tame(text)), tame(text), "{text:?}");
            assert_eq!(word(&word(text)), word(text), "{text:?}");
        }
        let report =
            read(GOOGLE.replacen(">5717107811868587391<", ">&lt; &lt;\u{200b}&lt;5717107811868587391&gt; &gt;<", 1).as_bytes()).unwrap();
        assert_eq!(report.report_id, "5717107811868587391");
    }

    #[test]
    fn text_is_escaped_and_older_words_are_replaced() {
        let mut report = read(GOOGLE.as_bytes()).unwrap();
        report.organisation = "A & B <c>\u{1}\"".into();
        report.rows.truncate(1);
        report.rows[0].reasons = vec![Reason { kind: Override::Forwarded, comment: "by a list".into() }];
        report.rows[0].spf = vec![SpfSeen { domain: "a.test".into(), result: Outcome::Policy }];
        let text = String::from_utf8(write(&report)).unwrap();
        assert!(text.contains("<org_name>A &amp; B &lt;c&gt;&quot;</org_name>"), "{text}");
        assert!(text.contains("<type>other</type>") && text.contains("<comment>forwarded: by a list</comment>"), "{text}");
        assert!(text.contains("<result>neutral</result>"), "{text}");
    }
}
