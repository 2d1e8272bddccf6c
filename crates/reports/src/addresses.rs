//! Where reports go: the record `_smtp._tls` of a domain, the URIs of a `rua`, and what those say who are named in one by others.
//!
//! RFC 8460 s.3, RFC 9990 (verifying external destinations), RFC 6068 s.2 (mailto), RFC 3986 s.3. Invariant: the record is a stranger's: at most [`ADDRESSES_MAX`] addresses come of it, and what is no
//! address is left out.

use http::Uri;
use mail::{Domain, Mailbox};
use percent_encoding::percent_decode_str;

/// Addresses of one record that get a report.
pub const ADDRESSES_MAX: usize = 5;

/// URIs of one record that are looked at.
const URIS_MAX: usize = 50;

/// The longest URI, in octets.
const URI_MAX_BYTES: usize = 1000;

/// Where a report goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportAddress {
    /// By mail.
    Mail(Mailbox),
    /// By HTTP over TLS.
    Https(HttpsAddress),
}

/// The address of something that takes reports over HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsAddress {
    /// The host.
    pub host: Domain,
    /// The port.
    pub port: u16,
    /// Path and query, as they stand in the request.
    pub target: String,
    /// The whole of it, as it was written.
    pub url: String,
}

impl HttpsAddress {
    /// Reads an `https:` URI. Names and passwords in it are not taken.
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

/// The addresses that a domain wants reports of TLS at, by the texts at `_smtp._tls`; none where there is not exactly one record.
pub fn tls_report_addresses(texts: &[String]) -> Vec<ReportAddress> {
    let mut records = texts.iter().filter_map(|text| {
        let (version, rest) = text.split_once(';')?;
        (version.trim_end() == "v=TLSRPTv1").then_some(rest)
    });
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let mut fields = record.split(';').filter_map(|field| field.split_once('='));
    fields.find(|(name, _)| name.trim() == "rua").map(|(_, value)| rua_addresses(value)).unwrap_or_default()
}

/// The addresses of a list of URIs, each once, at most [`ADDRESSES_MAX`]. A size behind an exclamation mark, as DMARC once had it, is not looked at.
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

/// The mailboxes of a list of URIs, each once, at most [`ADDRESSES_MAX`]: reports of DMARC go by mail only.
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

/// Where reports of DMARC go that another domain wants sent to `to`, by the texts at `<that domain>._report._dmarc.<the domain of to>`: nowhere where
/// these do not say that they are welcome, and elsewhere at the same host where they say so.
pub fn confirmed(texts: &[String], to: &Mailbox) -> Vec<Mailbox> {
    let tags = |text: &String| -> Option<Option<String>> {
        let mut tags = text.split(';').filter_map(|tag| tag.split_once('=')).map(|(name, value)| (name.trim(), value.trim()));
        tags.next().filter(|(name, value)| name.eq_ignore_ascii_case("v") && *value == "DMARC1")?;
        Some(tags.find(|(name, _)| name.eq_ignore_ascii_case("rua")).map(|(_, value)| value.to_owned()))
    };
    let said: Vec<Option<String>> = texts.iter().filter_map(tags).collect();
    if said.is_empty() {
        return Vec::new();
    }
    let elsewhere: Vec<String> = said.into_iter().flatten().collect();
    if elsewhere.is_empty() {
        return vec![to.clone()];
    }
    let mailboxes = rua_mailboxes(&elsewhere.join(","));
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
    fn the_records_of_the_rfc_are_read() {
        // RFC 8460 s.3.1.
        assert_eq!(of(&["v=TLSRPTv1;rua=mailto:reports@example.com"]), ["reports@example.com"]);
        let url = "v=TLSRPTv1; rua=https://reporting.example.com/v1/tlsrpt";
        assert_eq!(of(&[url]), ["reporting.example.com 443 /v1/tlsrpt"]);
        let two = "v=TLSRPTv1 ; x=y; rua = MAILTO:a%21b@example.com?subject=x , https://R.example.com:8443?q=1%2C2 ;";
        assert_eq!(of(&["v=spf1 -all", two]), ["a!b@example.com", "r.example.com 8443 /?q=1%2C2"]);
    }

    #[test]
    fn there_is_one_record_or_none() {
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
    fn what_is_no_address_is_left_out() {
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
    fn who_is_named_by_others_must_say_that_reports_are_welcome() {
        let to = Mailbox::parse("r@b.test").unwrap();
        let of = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
            confirmed(&texts, &to).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        for welcome in [&["v=DMARC1"][..], &["v = DMARC1 ;"], &["v=spf1 -all", "v=DMARC1; x=y"]] {
            assert_eq!(of(welcome), ["r@b.test"], "{welcome:?}");
        }
        assert_eq!(of(&["v=DMARC1; rua=mailto:s@b.test,mailto:t@B.test"]), ["s@b.test", "t@b.test"]);
        for none in
            [&[][..], &["v=DMARC10"], &["x=y; v=DMARC1"], &["v=DMARC1; rua=mailto:victim@c.test,mailto:s@b.test"], &["v=DMARC1; rua=?"]]
        {
            assert!(of(none).is_empty(), "{none:?}");
        }
    }

    #[test]
    fn reports_of_dmarc_go_by_mail() {
        let https: Vec<String> = (0..10).map(|n| format!("https://b.test/{n}")).collect();
        let found = rua_mailboxes(&format!("{}, mailto:a@b.test!10m,mailto:a@B.test", https.join(",")));
        assert_eq!(found, [Mailbox::parse("a@b.test").unwrap()]);
    }

    #[test]
    fn a_thousand_uris_are_five_addresses() {
        let many: Vec<String> = (0..1000).map(|n| format!("mailto:a{}@b.test", n / 2)).collect();
        let found = rua_addresses(&many.join(","));
        assert_eq!(found.len(), ADDRESSES_MAX);
        assert!(matches!(found.last(), Some(ReportAddress::Mail(last)) if last.to_string() == "a4@b.test"));
    }
}
