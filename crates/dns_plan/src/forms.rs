//! Records as text: lines of a zone file, and the fields of a provider's form.
//!
//! RFC 1035 s.5.1, RFC 1035 s.3.3.14 (a string of TXT has at most 255 octets). Invariant: what the fields leave out, the provider's form adds itself.

use super::{PlannedRecord, RecordType};

/// Maximum length of one string of a TXT record, in octets.
const STRING_MAX: usize = 255;

/// The text of a TXT record as its strings, each in quotes.
pub fn strings_of(text: &str) -> String {
    let mut strings: Vec<String> = vec![String::new()];
    for c in text.chars() {
        if strings.last().is_some_and(|s| s.len() + c.len_utf8() > STRING_MAX) {
            strings.push(String::new());
        }
        if let Some(last) = strings.last_mut() {
            last.push(c);
        }
    }
    let quoted: Vec<String> = strings.iter().map(|s| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\""))).collect();
    quoted.join(" ")
}

/// The value of a record as in a zone file.
fn zone_value(record: &PlannedRecord) -> String {
    if record.record_type == RecordType::Txt { strings_of(&record.value) } else { record.value.clone() }
}

impl PlannedRecord {
    /// The record as a line of a zone file.
    pub fn zone_line(&self) -> String {
        format!("{} {} IN {} {}", self.owner, self.ttl_s, self.record_type, zone_value(self))
    }
}

/// The lines of a zone file (BIND, Knot, NSD), aligned. Records of other zones, and unknown values, are comments.
pub fn zone_lines(records: &[PlannedRecord]) -> String {
    let width = records.iter().filter(|r| r.record_type != RecordType::Ptr).map(|r| r.owner.len()).max().unwrap_or(0);
    let line = |r: &PlannedRecord| {
        let value = zone_value(r);
        match r.record_type {
            RecordType::Ptr => format!("; at the hoster of the address: {} {} IN PTR {value}", r.owner, r.ttl_s),
            _ if !r.is_complete() => format!("; {} {} IN {} {value}", r.owner, r.ttl_s, r.record_type),
            record_type => format!("{:<width$} {:>5} IN {:<5} {value}", r.owner, r.ttl_s, record_type),
        }
    };
    records.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A DNS provider with a form for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderForm {
    /// Cloudflare.
    Cloudflare,
    /// DigitalOcean.
    DigitalOcean,
    /// Gandi's LiveDNS.
    Gandi,
    /// GoDaddy.
    GoDaddy,
    /// Hetzner.
    Hetzner,
    /// Namecheap.
    Namecheap,
    /// OVHcloud.
    Ovh,
    /// Amazon's Route 53.
    Route53,
}

/// The fields of a provider's form.
struct Form {
    name: &'static str,
    apex: &'static str,
    value: &'static str,
    /// Whether the preference of MX has its own field.
    splits_mx: bool,
    /// Whether each number of SRV has its own field.
    splits_srv: bool,
    /// Whether service and protocol of SRV have their own fields.
    splits_service: bool,
    /// Whether names in values end with a dot.
    dots: bool,
    /// Whether texts are entered as quoted strings.
    quotes: bool,
    /// A further field of address records.
    note: Option<(&'static str, &'static str)>,
}

impl ProviderForm {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 8] = [
        ("cloudflare", Self::Cloudflare),
        ("digitalocean", Self::DigitalOcean),
        ("gandi", Self::Gandi),
        ("godaddy", Self::GoDaddy),
        ("hetzner", Self::Hetzner),
        ("namecheap", Self::Namecheap),
        ("ovh", Self::Ovh),
        ("route53", Self::Route53),
    ];

    /// Reads the name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, provider)| provider)
    }

    fn form(self) -> Form {
        let plain = Form {
            name: "Name",
            apex: "@",
            value: "Value",
            splits_mx: true,
            splits_srv: true,
            splits_service: false,
            dots: false,
            quotes: false,
            note: None,
        };
        match self {
            Self::Cloudflare => Form { value: "Content", note: Some(("Proxy status", "DNS only")), ..plain },
            Self::DigitalOcean => Form { name: "Hostname", dots: true, ..plain },
            Self::Gandi => Form { splits_mx: false, splits_srv: false, dots: true, quotes: true, ..plain },
            Self::GoDaddy => Form { splits_service: true, ..plain },
            Self::Hetzner => Form { splits_mx: false, splits_srv: false, dots: true, quotes: true, ..plain },
            Self::Namecheap => Form { name: "Host", splits_service: true, dots: true, ..plain },
            Self::Ovh => Form { name: "Sub-domain", apex: "", value: "Target", dots: true, ..plain },
            Self::Route53 => Form { name: "Record name", apex: "", splits_mx: false, splits_srv: false, quotes: true, ..plain },
        }
    }
}

/// The fields of the provider's form for a record of `zone`, with their values.
pub fn provider_fields(provider: ProviderForm, record: &PlannedRecord, zone: &str) -> Vec<(&'static str, String)> {
    let form = provider.form();
    let owner = record.owner.trim_end_matches('.');
    let relative = if owner == zone { form.apex } else { owner.strip_suffix(zone).map_or(owner, |name| name.trim_end_matches('.')) };
    let mut fields = vec![("Type", record.record_type.to_string())];
    let mut words = record.value.split(' ');
    let mut word = || words.next().unwrap_or_default().to_owned();
    let bare = |value: String| if form.dots || value == "." { value } else { value.trim_end_matches('.').to_owned() };
    match record.record_type {
        RecordType::Srv if form.splits_service => {
            let mut labels = relative.splitn(3, '.');
            fields.push(("Service", labels.next().unwrap_or_default().to_owned()));
            fields.push(("Protocol", labels.next().unwrap_or_default().to_owned()));
            fields.push((form.name, labels.next().unwrap_or(form.apex).to_owned()));
        }
        _ => fields.push((form.name, relative.to_owned())),
    }
    match record.record_type {
        RecordType::Mx if form.splits_mx => {
            fields.push(("Priority", word()));
            fields.push((form.value, bare(word())));
        }
        RecordType::Srv if form.splits_srv => {
            ["Priority", "Weight", "Port"].into_iter().for_each(|name| fields.push((name, word())));
            fields.push(("Target", bare(word())));
        }
        RecordType::Txt if form.quotes => fields.push((form.value, strings_of(&record.value))),
        RecordType::Txt | RecordType::Caa => fields.push((form.value, record.value.clone())),
        _ => fields.push((form.value, bare(record.value.clone()))),
    }
    fields.push(("TTL", record.ttl_s.to_string()));
    let has_note = matches!(record.record_type, RecordType::A | RecordType::Aaaa | RecordType::Cname);
    fields.extend(form.note.filter(|_| has_note).map(|(name, value)| (name, value.to_owned())));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DnsSeverity, RecordKind};

    fn record(owner: &str, record_type: RecordType, value: &str) -> PlannedRecord {
        let (kind, severity) = (RecordKind::Mx, DnsSeverity::Required);
        PlannedRecord { domain: None, owner: owner.into(), record_type, value: value.into(), ttl_s: 3600, kind, severity, why: "" }
    }

    #[test]
    fn a_long_text_is_split() {
        let text = "x".repeat(400);
        let strings = strings_of(&text);
        assert_eq!(strings, format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(145)));
        assert_eq!(strings_of("a\"b\\"), r#""a\"b\\""#);
    }

    #[test]
    fn lines_align_and_what_is_elsewhere_is_a_comment() {
        let lines = zone_lines(&[
            record("example.com.", RecordType::Mx, "10 mx.example.com."),
            record("mx.example.com.", RecordType::A, "(this server's IPv4 address)"),
            record("10.2.0.192.in-addr.arpa.", RecordType::Ptr, "mx.example.com."),
            record("_dmarc.example.com.", RecordType::Txt, "v=DMARC1; p=none"),
        ]);
        assert_eq!(
            lines,
            "example.com.         3600 IN MX    10 mx.example.com.\n\
             ; mx.example.com. 3600 IN A (this server's IPv4 address)\n\
             ; at the hoster of the address: 10.2.0.192.in-addr.arpa. 3600 IN PTR mx.example.com.\n\
             _dmarc.example.com.  3600 IN TXT   \"v=DMARC1; p=none\""
        );
    }

    fn fields(provider: &str, record: &PlannedRecord) -> String {
        let fields = provider_fields(ProviderForm::parse(provider).unwrap(), record, "example.com");
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn fields_match_the_forms_of_the_providers() {
        let mx = record("example.com.", RecordType::Mx, "10 mx.example.com.");
        assert_eq!(fields("cloudflare", &mx), "Type=MX|Name=@|Priority=10|Content=mx.example.com|TTL=3600");
        assert_eq!(fields("digitalocean", &mx), "Type=MX|Hostname=@|Priority=10|Value=mx.example.com.|TTL=3600");
        assert_eq!(fields("route53", &mx), "Type=MX|Record name=|Value=10 mx.example.com|TTL=3600");
        let srv = record("_submissions._tcp.example.com.", RecordType::Srv, "0 1 465 mx.example.com.");
        assert_eq!(
            fields("namecheap", &srv),
            "Type=SRV|Service=_submissions|Protocol=_tcp|Host=@|Priority=0|Weight=1|Port=465|Target=mx.example.com.|TTL=3600"
        );
        let a = record("mx.example.com.", RecordType::A, "192.0.2.10");
        assert_eq!(fields("cloudflare", &a), "Type=A|Name=mx|Content=192.0.2.10|TTL=3600|Proxy status=DNS only");
        let txt = record("mx.example.com.", RecordType::Txt, "v=spf1 a -all");
        assert_eq!(fields("hetzner", &txt), "Type=TXT|Name=mx|Value=\"v=spf1 a -all\"|TTL=3600");
        assert_eq!(fields("ovh", &txt), "Type=TXT|Sub-domain=mx|Target=v=spf1 a -all|TTL=3600");
    }
}
