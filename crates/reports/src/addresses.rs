//! Destinations of reports: a domain's `_smtp._tls` record, the URIs of `rua`, and the consent of external destinations.
//!
//! RFC 8460 s.3, RFC 9990 (verifying external destinations), RFC 6068 s.2 (mailto), RFC 3986 s.3. Invariant: a record yields at most
//! [`ADDRESSES_MAX`] addresses; an invalid one is left out.

use http::Uri;
use mail::{Domain, Mailbox};
use percent_encoding::percent_decode_str;

/// Maximum addresses of one record that get a report.
pub const ADDRESSES_MAX: usize = 5;

/// Maximum URIs of one record that are read.
const URIS_MAX: usize = 50;

/// Maximum length of a URI, in octets.
const URI_MAX_BYTES: usize = 1000;

/// The destination of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportAddress {
    /// By mail.
    Mail(Mailbox),
    /// By HTTP over TLS.
    Https(HttpsAddress),
}

/// An HTTPS destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsAddress {
    /// The host.
    pub host: Domain,
    /// The port.
    pub port: u16,
    /// Path and query, as in the request.
    pub target: String,
    /// The whole URI, as written.
    pub url: String,
}

impl HttpsAddress {
    /// Reads an `https:` URI. One with a user name or password is refused.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        if uri.scheme_str() != Some("https") {
            return None;
        }
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" | ":" => 443,
            port => port.strip_prefix(':')?.parse().ok()?,
        };
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        Some(Self {
            host: Domain::parse(authority.host()).ok()?,
            port,
            target: if target.starts_with('/') { target.to_owned() } else { format!("/{target}") },
            url: text.to_owned(),
        })
    }
}

/// The destinations of a domain's TLS reports, from the texts at `_smtp._tls`; none unless there is exactly one record.
pub fn tls_report_addresses(texts: &[String]) -> Vec<ReportAddress> {
    let mut records = texts.iter().filter_map(|text| {
        let (version, rest) = text.split_once(';')?;
        (version.trim_end() == "v=TLSRPTv1").then_some(rest)
    });
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let mut fields = record.split(';').filter_map(|field| field.split_once('='));
    fields.find(|(name, _)| name.trim() == "rua").map(|(_, value)| rua_addresses(value)).unwrap_or_default()
}

/// The addresses of a list of URIs, without duplicates, at most [`ADDRESSES_MAX`]. A size after an exclamation mark (RFC 7489) is ignored.
pub fn rua_addresses(value: &str) -> Vec<ReportAddress> {
    let mut addresses = Vec::new();
    for address in value.split(',').take(URIS_MAX).filter_map(address) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// The mailboxes of a list of URIs, without duplicates, at most [`ADDRESSES_MAX`]: DMARC reports go by mail only.
pub fn rua_mailboxes(value: &str) -> Vec<Mailbox> {
    let mut mailboxes = Vec::new();
    for address in value.split(',').take(URIS_MAX).filter_map(address) {
        if let ReportAddress::Mail(mailbox) = address
            && !mailboxes.contains(&mailbox)
        {
            mailboxes.push(mailbox);
        }
    }
    mailboxes.truncate(ADDRESSES_MAX);
    mailboxes
}

/// Where DMARC reports about another domain go instead of `to`, by the texts at `<that domain>._report._dmarc.<the domain of to>`: nowhere without
/// consent there, and to other mailboxes of the same domain if the record names them.
pub fn confirm_destination(texts: &[String], to: &Mailbox) -> Vec<Mailbox> {
    let tags = |text: &String| -> Option<Option<String>> {
        let mut tags = text.split(';').filter_map(|tag| tag.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        tags.next().filter(|(name, value)| name.eq_ignore_ascii_case("v") && *value == "DMARC1")?;
        Some(tags.find(|(name, _)| name.eq_ignore_ascii_case("rua")).map(|(_, value)| value.to_owned()))
    };
    let consents: Vec<Option<String>> = texts.iter().filter_map(tags).collect();
    if consents.is_empty() {
        return Vec::new();
    }
    let other_uris: Vec<String> = consents.into_iter().flatten().collect();
    if other_uris.is_empty() {
        return vec![to.clone()];
    }
    let mailboxes = rua_mailboxes(&other_uris.join(","));
    if mailboxes.iter().all(|mailbox| mailbox.domain == to.domain) { mailboxes } else { Vec::new() }
}

fn address(text: &str) -> Option<ReportAddress> {
    let text = text.trim();
    let text = text.split_once('!').map_or(text, |(uri, _)| uri);
    let (scheme, rest) = text.split_once(':').filter(|_| text.len() <= URI_MAX_BYTES)?;
    match scheme.to_ascii_lowercase().as_str() {
        "mailto" => {
            let mailbox = rest.split('?').next().unwrap_or_default();
            let mailbox = percent_decode_str(mailbox).decode_utf8().ok()?;
            Mailbox::parse(&mailbox).ok().map(ReportAddress::Mail)
        }
        "https" => HttpsAddress::parse(&format!("https:{rest}")).map(ReportAddress::Https),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Vec<String> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let shown = |address| match address {
            ReportAddress::Mail(mailbox) => mailbox.to_string(),
            ReportAddress::Https(HttpsAddress { host, port, target, .. }) => format!("{host} {port} {target}"),
        };
        tls_report_addresses(&texts).into_iter().map(shown).collect()
    }

    #[test]
    fn records_of_rfc8460_are_read() {
        // RFC 8460 s.3.1.
        assert_eq!(of(&["v=TLSRPTv1;rua=mailto:reports@example.com"]), ["reports@example.com"]);
        let url = "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt";
        assert_eq!(of(&[url]), ["reporting.example.com 443 /v1/tlsrpt"]);
        let two = "v=TLSRPTv1 ; x=y; rua = MAILTO:a%21b@example.com?subject=x , https://R.example.com:8443?q=1%2C2 ;";
        assert_eq!(of(&["v=spf1 -all", two]), ["a!b@example.com", "r.example.com 8443 /?q=1%2C2"]);
    }

    #[test]
    fn several_records_count_as_none() {
        for none in [
            &["v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:c@d.test"][..],
            &["v=TLSRPTv10; rua=mailto:a@b.test"],
            &["rua=mailto:a@b.test"],
            &["v=TLSRPTv1; rua="],
            &["v=TLSRPTv1;"],
            &[],
        ] {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn invalid_addresses_are_left_out() {
        for bad in [
            "mailto:",
            "mailto:nobody",
            "mailto:a@b.test%0D%0ABcc:c@d.test",
            "mailto:a@b.test%00",
            "http://b.test/",
            "https://",
            "https://u:p@b.test/",
            "https://b.test:99999/",
            "https://b.test/\u{e4}\r\nX: y",
            "file:///etc/passwd",
            "x",
        ] {
            assert!(rua_addresses(bad).is_empty(), "{bad}: {:?}", rua_addresses(bad));
        }
        assert!(rua_addresses(&format!("https://b.test/{}", "x".repeat(2000))).is_empty());
    }

    #[test]
    fn external_destinations_need_consent() {
        let to = Mailbox::parse("r@b.test").unwrap();
        let of = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            confirm_destination(&texts, &to).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for consent in [&["v=DMARC1"][..], &["v = DMARC1 ;"], &["v=spf1 -all", "v=DMARC1; x=y"]] {
            assert_eq!(of(consent), ["r@b.test"], "{consent:?}");
        }
        assert_eq!(of(&["v=DMARC1; rua=mailto:s@b.test,mailto:t@B.test"]), ["s@b.test", "t@b.test"]);
        for none in
            [&[][..], &["v=DMARC10"], &["x=y; v=DMARC1"], &["v=DMARC1; rua=mailto:victim@c.test,mailto:s@b.test"], &["v=DMARC1; rua=?"]]
        {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn dmarc_reports_go_by_mail_only() {
        let https: Vec<String> = (0..10).map(|n| format!("https://b.test/{n}")).collect();
        let found = rua_mailboxes(&format!("{}, mailto:a@b.test!10m,mailto:a@B.test", https.join(",")));
        assert_eq!(found, [Mailbox::parse("a@b.test").unwrap()]);
    }

    #[test]
    fn addresses_of_a_record_are_bounded() {
        let many: Vec<String> = (0..1000).map(|n| format!("mailto:a{}@b.test", n / 2)).collect();
        let found = rua_addresses(&many.join(","));
        assert_eq!(found.len(), ADDRESSES_MAX);
        assert!(matches!(found.last(), Some(ReportAddress::Mail(last)) if last.to_string() == "a4@b.test"));
    }
}
