//! Finds the report in a message.
//!
//! RFC 9990 and RFC 8460 s.5.3: a report is an attachment or the whole body; media types and file names vary, so the content decides. Invariant: at
//! most [`CANDIDATES_MAX`] parts are unpacked, each within the limit of `unpack`.

use mail_parser::{MessageParser, MessagePart};

use crate::aggregate::{self, AggregateReport};
use crate::tls::{self, TlsReport};
use crate::unpack::{Packing, UnpackError, unpack};

/// Maximum parts of a message that are unpacked.
const CANDIDATES_MAX: usize = 4;

/// Maximum parts of a message that are examined.
const PARTS_MAX: usize = 64;

/// What a message to a report address contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceivedReport {
    /// A TLS report.
    Tls(TlsReport),
    /// A DMARC report.
    Aggregate(AggregateReport),
    /// Something else.
    NotAReport,
    /// A report larger than the limit, or a decompression bomb.
    TooLarge,
    /// A report that cannot be read, and why.
    Unreadable(String),
}

/// Reads a message.
pub fn read_message(message: &[u8]) -> ReceivedReport {
    let Some(message) = MessageParser::default().parse(message) else { return ReceivedReport::NotAReport };
    let candidates = message.root().parts().take(PARTS_MAX).filter(may_be_report).take(CANDIDATES_MAX);
    // The first readable report counts; a fault is only returned if there is none.
    let mut fault = ReceivedReport::NotAReport;
    for part in candidates {
        match read_part(&part.decoded()) {
            ReceivedReport::NotAReport => {}
            other @ (ReceivedReport::TooLarge | ReceivedReport::Unreadable(_)) => fault = other,
            report => return report,
        }
    }
    fault
}

/// Whether a part may be a report, by its media type, name or first octets.
fn may_be_report(part: &MessagePart<'_>) -> bool {
    const TYPES: [(&str, &str); 8] = [
        ("application", "gzip"),
        ("application", "x-gzip"),
        ("application", "zip"),
        ("application", "x-zip-compressed"),
        ("application", "tlsrpt+gzip"),
        ("application", "tlsrpt+json"),
        ("application", "xml"),
        ("text", "xml"),
    ];
    if part.is_multipart() {
        return false;
    }
    let name = part.attachment_name().unwrap_or_default().to_ascii_lowercase();
    let named = [".xml", ".gz", ".gzip", ".zip", ".json"].iter().any(|end| name.ends_with(end));
    named || TYPES.iter().any(|(kind, subkind)| part.is_content_type(kind, subkind)) || begins_like_report(&part.decoded())
}

fn begins_like_report(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    Packing::of(bytes) != Packing::Plain || [&b"<?xml"[..], b"<feedback", b"{"].iter().any(|begin| text.starts_with(begin))
}

fn read_part(packed: &[u8]) -> ReceivedReport {
    let bytes = match unpack(packed) {
        Ok(bytes) => bytes,
        Err(UnpackError::TooLarge) => return ReceivedReport::TooLarge,
        Err(UnpackError::Broken(why)) => return ReceivedReport::Unreadable(why),
    };
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
    if text.first() == Some(&b'{') {
        return match tls::from_json(text) {
            Ok(report) => ReceivedReport::Tls(report),
            Err(tls::TlsReadError::TooLarge(_)) => ReceivedReport::TooLarge,
            Err(error) => ReceivedReport::Unreadable(aggregate::tame(&error.to_string())),
        };
    }
    match aggregate::read(text) {
        Ok(report) => ReceivedReport::Aggregate(report),
        Err(aggregate::DmarcReadError::Other) => ReceivedReport::NotAReport,
        Err(aggregate::DmarcReadError::Broken(why)) => ReceivedReport::Unreadable(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::samples::{GOOGLE, YAHOO};
    use crate::gzip;
    use base64::Engine as _;

    /// A message with a text and an attachment in base64.
    fn with(media_type: &str, name: &str, attached: &[u8]) -> ReceivedReport {
        let attached = base64::engine::general_purpose::STANDARD.encode(attached);
        let lines: Vec<String> = attached.as_bytes().chunks(76).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        read_message(
            format!(
                "From: a@b.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nThis is a report.\r\n\
                 --x\r\nContent-Type: {media_type}\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"{name}\"\r\n\r\n{}\r\n--x--\r\n",
                lines.join("\r\n")
            )
            .as_bytes(),
        )
    }

    fn organisation(report: &ReceivedReport) -> &str {
        match report {
            ReceivedReport::Aggregate(report) => &report.organisation,
            ReceivedReport::Tls(report) => &report.organization,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reports_are_found_whatever_their_media_type_and_name() {
        let packed = gzip(GOOGLE.as_bytes());
        for (media_type, name) in [
            ("application/gzip", "google.com!example.com!1!2.xml.gz"),
            ("application/octet-stream", "google.com!example.com!1!2.xml.gz"),
            ("application/octet-stream", "report"),
            ("application/zip", "wrong.zip"),
        ] {
            assert_eq!(organisation(&with(media_type, name, &packed)), "google.com", "{media_type} {name}");
        }
        assert_eq!(organisation(&with("text/xml", "a.xml", YAHOO.as_bytes())), "Yahoo");
        let alone = format!("From: a@b.test\r\nContent-Type: text/xml\r\n\r\n{}", YAHOO.replace('\n', "\r\n"));
        assert_eq!(organisation(&read_message(alone.as_bytes())), "Yahoo");
        let tls = br#"{"organization-name":"Far","date-range":{"start-datetime":"2026-11-24T00:00:00Z","end-datetime":"2026-11-24T23:59:59Z"},"contact-info":"a@far.test","report-id":"1","policies":[]}"#;
        assert_eq!(organisation(&with("application/tlsrpt+gzip", "a.json.gz", &gzip(tls))), "Far");
        assert_eq!(organisation(&with("application/tlsrpt+json", "a.json", tls)), "Far");
    }

    #[test]
    fn broken_reports_and_other_mail_are_told_apart() {
        assert_eq!(read_message(b"From: a@b.test\r\n\r\nhello\r\n"), ReceivedReport::NotAReport);
        assert_eq!(read_message(b""), ReceivedReport::NotAReport);
        assert_eq!(with("text/html", "a.html", b"<html><body>hello</body></html>"), ReceivedReport::NotAReport);
        assert_eq!(with("application/xml", "a.xml", b"<html><body>hello</body></html>"), ReceivedReport::NotAReport);
        assert!(matches!(with("application/gzip", "a.xml.gz", b"\x1f\x8bno"), ReceivedReport::Unreadable(_)));
        assert!(matches!(with("text/xml", "a.xml", b"<feedback><report_metadata>"), ReceivedReport::Unreadable(_)));
        assert!(matches!(with("application/json", "a.json", b"{\"a\":1}"), ReceivedReport::Unreadable(_)));
        assert_eq!(with("application/gzip", "a.xml.gz", &gzip(&vec![b' '; 20 << 20])), ReceivedReport::TooLarge);
    }
}
