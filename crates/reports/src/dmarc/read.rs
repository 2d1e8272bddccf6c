//! Reads a DMARC report, with the deviations that receivers are known for.
//!
//! RFC 9990, RFC 7489 s.7.2 and appendix C. Invariant: a report is read as a whole or not at all; only rows that are unreadable or too
//! many are left out, and counted.

use std::net::IpAddr;

use super::tree::{self, Node};
use super::{
    CHECKS_MAX, Disposition, DkimSeen, DmarcReport, Outcome, Override, PublishedPolicy, ROWS_MAX, Reason, Row, SpfSeen, tame, word,
};

/// Maximum count of a row; a higher one is implausible.
const COUNT_MAX: u64 = 1 << 40;

/// Latest plausible time, Unix seconds (the year 9999).
const TIME_MAX_S: i64 = 253_402_300_799;

/// Why a document is not a usable report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DmarcReadError {
    /// Not a DMARC report.
    #[error("not a DMARC report")]
    Other,
    /// A DMARC report that cannot be read.
    #[error("{0}")]
    Broken(String),
}

/// Reads a report.
pub fn read(document: &[u8]) -> Result<DmarcReport, DmarcReadError> {
    let document = String::from_utf8_lossy(document);
    let mut report = DmarcReport::default();
    let (mut has_metadata, mut has_policy) = (false, false);
    tree::children(&document, "feedback", |node| match node.name.as_str() {
        "report_metadata" if !has_metadata => {
            has_metadata = true;
            metadata(&mut report, node);
        }
        "policy_published" if !has_policy => {
            has_policy = true;
            report.policy = policy(node);
        }
        "record" => match row(node) {
            Ok(row) if report.rows.len() < ROWS_MAX => report.rows.push(row),
            Ok(Row { count, .. }) | Err(count) => {
                report.rows_left_out += 1;
                report.messages_left_out = report.messages_left_out.saturating_add(count);
            }
        },
        _ => {}
    })?;
    let lacks = |what: &str| Err(DmarcReadError::Broken(format!("it lacks {what}")));
    if report.organisation.is_empty() {
        report.organisation = word(report.contact.rsplit('@').next().unwrap_or_default());
    }
    match &report {
        r if r.organisation.is_empty() => lacks("the reporter (org_name)"),
        r if r.report_id.is_empty() => lacks("its id (report_id)"),
        r if r.policy.domain.is_empty() => lacks("the domain (policy_published/domain)"),
        r if !(0..=TIME_MAX_S).contains(&r.begin_s) || !(r.begin_s..=TIME_MAX_S).contains(&r.end_s) => lacks("a valid period (date_range)"),
        _ => Ok(report),
    }
}

fn metadata(report: &mut DmarcReport, node: &Node) {
    let optional = |name: &str| Some(tame(node.text_of(name))).filter(|text| !text.is_empty());
    report.organisation = tame(node.text_of("org_name"));
    report.contact = tame(node.text_of("email"));
    report.extra_contact = optional("extra_contact_info");
    let is_around = |c: char| c.is_whitespace() || matches!(c, '<' | '>');
    report.report_id = tame(node.text_of("report_id")).trim_matches(is_around).to_owned();
    report.generator = optional("generator");
    report.errors = node.all("error").map(|error| tame(&error.text)).filter(|e| !e.is_empty()).take(CHECKS_MAX).collect();
    let time = |name| node.child("date_range").and_then(|range| seconds(range.text_of(name))).unwrap_or(-1);
    (report.begin_s, report.end_s) = (time("begin"), time("end"));
}

/// Some reporters write a fraction.
fn seconds(text: &str) -> Option<i64> {
    text.split('.').next()?.parse().ok()
}

fn policy(node: &Node) -> PublishedPolicy {
    let disposition = |name: &str| Disposition::parse(node.text_of(name));
    let is = |name: &str, value: &str| node.text_of(name).eq_ignore_ascii_case(value);
    PublishedPolicy {
        domain: word(node.text_of("domain")),
        p: disposition("p").unwrap_or_default(),
        sp: disposition("sp"),
        np: disposition("np"),
        strict_dkim: is("adkim", "s"),
        strict_spf: is("aspf", "s"),
        testing: is("testing", "y"),
        failure_options: Some(word(node.text_of("fo"))).filter(|fo| !fo.is_empty()),
    }
}

/// A row, or the number of messages in an unusable one.
fn row(node: &Node) -> Result<Row, u64> {
    let (empty, none) = (Node::default(), Node::default());
    let row = node.child("row").unwrap_or(&empty);
    let evaluated = row.child("policy_evaluated").unwrap_or(&none);
    let count = row.text_of("count").parse::<u64>().unwrap_or(0).min(COUNT_MAX);
    let source: IpAddr = row.text_of("source_ip").trim_matches(['[', ']']).parse().map_err(|_| count)?;
    if count == 0 {
        return Err(0);
    }
    // The first draft of the format has another name.
    let identifiers = node.child("identifiers").or_else(|| node.child("identities")).unwrap_or(&empty);
    let results = node.child("auth_results").unwrap_or(&empty);
    let passes = |name: &str| evaluated.text_of(name).eq_ignore_ascii_case("pass");
    Ok(Row {
        source: source.to_canonical(),
        count,
        disposition: Disposition::parse(evaluated.text_of("disposition")).unwrap_or_default(),
        dkim_aligned: passes("dkim"),
        spf_aligned: passes("spf"),
        reasons: evaluated.all("reason").take(CHECKS_MAX).map(reason).collect(),
        header_from: word(identifiers.text_of("header_from")),
        envelope_from: word(identifiers.text_of("envelope_from")),
        envelope_to: word(identifiers.text_of("envelope_to")),
        dkim: results.all("dkim").take(CHECKS_MAX).map(dkim).collect(),
        spf: results.all("spf").take(CHECKS_MAX).map(spf).collect(),
    })
}

fn reason(node: &Node) -> Reason {
    Reason { kind: Override::parse(node.text_of("type")), comment: tame(node.text_of("comment")) }
}

fn dkim(node: &Node) -> DkimSeen {
    DkimSeen {
        domain: word(node.text_of("domain")),
        selector: word(node.text_of("selector")),
        result: Outcome::parse(node.text_of("result")),
    }
}

fn spf(node: &Node) -> SpfSeen {
    SpfSeen { domain: word(node.text_of("domain")), result: Outcome::parse(node.text_of("result")) }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{GOOGLE, MICROSOFT, RFC_9990, YAHOO};
    use super::*;

    fn sample(text: &str) -> DmarcReport {
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn google_reports_have_no_namespace_and_arc_in_a_comment() {
        let report = sample(GOOGLE);
        assert_eq!((report.organisation.as_str(), report.report_id.as_str()), ("google.com", "5717107811868587391"));
        assert_eq!((report.begin_s, report.end_s, report.rows.len()), (1_763_856_000, 1_763_942_399, 3));
        assert_eq!((report.policy.domain.as_str(), report.policy.p), ("example.com", Disposition::Quarantine));
        assert_eq!(report.policy.np, Some(Disposition::Quarantine));
        let row = &report.rows[1];
        assert_eq!((row.source.to_string().as_str(), row.count, row.dkim_aligned, row.spf_aligned), ("2001:db8::25", 4, false, false));
        assert_eq!(row.reasons, [Reason { kind: Override::LocalPolicy, comment: "arc=pass".into() }]);
        assert_eq!(report.rows[2].dkim[0], DkimSeen { domain: "example.com".into(), selector: "w1r".into(), result: Outcome::Pass });
    }

    #[test]
    fn microsoft_reports_have_envelope_to_and_their_own_namespace() {
        let report = sample(MICROSOFT);
        assert_eq!((report.organisation.as_str(), report.rows.len()), ("Enterprise Outlook", 1));
        assert_eq!((report.rows[0].envelope_to.as_str(), report.rows[0].header_from.as_str()), ("contoso.example", "example.com"));
        assert!(report.policy.strict_spf && !report.policy.strict_dkim);
    }

    #[test]
    fn reports_of_yahoo_and_of_the_rfc_are_read() {
        let yahoo = sample(YAHOO);
        assert_eq!((yahoo.organisation.as_str(), yahoo.rows[0].spf[0].result), ("Yahoo", Outcome::SoftFail));
        assert_eq!(yahoo.rows[0].disposition, Disposition::Reject);
        let rfc = sample(RFC_9990);
        assert_eq!((rfc.organisation.as_str(), rfc.rows[0].count), ("Sample Reporter", 123));
        assert_eq!((rfc.rows[0].disposition, rfc.generator.as_deref()), (Disposition::Pass, Some("Example DMARC Aggregate Reporter v1.2")));
        assert_eq!(rfc.policy.sp, Some(Disposition::None));
    }

    #[test]
    fn the_missing_element_is_named() {
        for (cut, says) in [
            ("<report_id>5717107811868587391</report_id>", "report_id"),
            ("<domain>example.com</domain><adkim>", "policy_published/domain"),
            ("<end>1763942399</end>", "date_range"),
        ] {
            let text = GOOGLE.replacen(cut, if cut.ends_with("<adkim>") { "<adkim>" } else { "" }, 1);
            let Err(DmarcReadError::Broken(why)) = read(text.as_bytes()) else { panic!("{cut}") };
            assert!(why.contains(says), "{why}");
        }
        let text = GOOGLE.replacen("<org_name>google.com</org_name>", "", 1);
        assert_eq!(sample(&text).organisation, "google.com", "the contact's domain");
    }

    #[test]
    fn threat_97_rows_are_bounded_and_counted() {
        let one = "<record><row><source_ip>192.0.2.1</source_ip><count>2</count></row></record>";
        let text = GOOGLE.replacen("<record>", &format!("{}<record/><record>", one.repeat(ROWS_MAX + 5)), 1);
        let report = sample(&text);
        assert_eq!((report.rows.len(), report.rows_left_out, report.messages_left_out), (ROWS_MAX, 9, 10 + 1 + 4 + 37));
    }

    #[test]
    fn terminal_escapes_are_removed() {
        let evil =
            GOOGLE.replacen("google.com", "goo&#27;[2Jgle&#x202e;\n.com", 1).replacen("<count>1<", "<count>99999999999999999999<", 1);
        let report = sample(&evil);
        assert_eq!(report.organisation, "goo [2Jgle .com");
        assert_eq!(report.rows_left_out, 1, "an invalid count");
        let huge = GOOGLE.replacen("google.com", &"x".repeat(100_000), 1);
        assert_eq!(sample(&huge).organisation.len(), super::super::TEXT_MAX_CHARS);
    }
}
