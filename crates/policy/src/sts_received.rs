//! The MTA-STS policy of another domain: parser and host names.
//!
//! RFC 8461 s.3.1, RFC 8461 s.3.2, RFC 8461 s.4.1. Invariant: invalid text is not a policy; a policy names a mail host only if every label
//! matches.

use mail::Domain;

use crate::mta_sts::{STS_AGE_MAX_S, StsMode};

/// Maximum host patterns kept of one policy.
const PATTERNS_MAX: usize = 200;

/// A fetched policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsReceived {
    /// What it asks of senders.
    pub mode: StsMode,
    /// The mail hosts, in lower case; a leading `*.` matches one label.
    pub mx: Vec<String>,
    /// How long it is valid, in seconds.
    pub max_age_s: u32,
}

/// Reads the id in the TXT records at `_mta-sts`; `None` unless there is exactly one valid record.
pub fn parse_sts_id(texts: &[String]) -> Option<String> {
    let mut records = texts.iter().filter_map(|text| {
        let (version, rest) = text.split_once(';')?;
        (version.trim_end() == "v=STSv1").then_some(rest)
    });
    let record = records.next()?;
    if records.next().is_some() {
        return None;
    }
    let fields = record.split(';').filter_map(|field| field.trim().split_once('='));
    let id = fields.filter(|(name, _)| name.trim_end() == "id").map(|(_, id)| id.trim_start()).next()?;
    ((1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())).then(|| id.to_owned())
}

impl StsReceived {
    /// Reads the text from the policy host.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut version, mut mode, mut max_age_s, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("{line:?} is not a line of a policy"))?;
            let value = value.trim();
            // The first of a repeated field counts; unknown fields are ignored.
            match name.trim_end() {
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age_s = max_age_s.or(Some(value)),
                "mx" if mx.len() < PATTERNS_MAX => mx.push(pattern(value).ok_or_else(|| format!("{value:?} is not a mail host"))?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err("its version is not STSv1".into());
        }
        let mode = match mode {
            Some("enforce") => StsMode::Enforce,
            Some("testing") => StsMode::Testing,
            Some("none") => StsMode::None,
            other => return Err(format!("its mode is {:?}", other.unwrap_or("missing"))),
        };
        if mx.is_empty() && mode != StsMode::None {
            return Err("it names no mail host".into());
        }
        let max_age_s = max_age_s.filter(|age| !age.is_empty() && age.len() <= 10 && age.bytes().all(|b| b.is_ascii_digit()));
        let max_age_s: u64 = max_age_s.and_then(|age| age.parse().ok()).ok_or("its max_age is not a number")?;
        Ok(Self { mode, mx, max_age_s: u32::try_from(max_age_s).unwrap_or(u32::MAX).min(STS_AGE_MAX_S) })
    }

    /// The policy as text, for storage.
    pub fn text(&self) -> String {
        let mode = match self.mode {
            StsMode::None => "none",
            StsMode::Testing => "testing",
            StsMode::Enforce => "enforce",
        };
        let mx: String = self.mx.iter().map(|mx| format!("mx: {mx}\n")).collect();
        format!("version: STSv1\nmode: {mode}\n{mx}max_age: {}\n", self.max_age_s)
    }

    /// Whether it names this mail host.
    pub fn names(&self, host: &Domain) -> bool {
        let host = host.as_str();
        self.mx.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent),
            None => pattern == host,
        })
    }
}

fn pattern(text: &str) -> Option<String> {
    let text = text.trim_end_matches('.').to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    let domain = Domain::parse(name).ok().filter(|domain| domain.address().is_none())?;
    Some(if text.starts_with("*.") { format!("*.{domain}") } else { domain.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_read() {
        // RFC 8461 s.3.2.
        let text = "version: STSv1\nmode: enforce\nmx: mail.example.com\nmx: *.example.net\nmx: backupmx.example.com\nmax_age: 604800\n";
        let policy = StsReceived::parse(text).unwrap();
        assert_eq!((policy.mode, policy.mx.len(), policy.max_age_s), (StsMode::Enforce, 3, 604_800));
        for named in ["mail.example.com", "a.example.net", "backupmx.example.com"] {
            assert!(policy.names(&named.parse().unwrap()), "{named}");
        }
        for other in ["example.net", "a.b.example.net", "xmail.example.com", "mail.example.com.evil.test"] {
            assert!(!policy.names(&other.parse().unwrap()), "{other}");
        }
        assert_eq!(StsReceived::parse(&policy.text()).unwrap(), policy);
        let own = crate::mta_sts::StsPolicy { mode: StsMode::Testing, mx: ["mx.example.test".parse().unwrap()].into(), max_age_s: 86_400 };
        assert_eq!(StsReceived::parse(&own.text()).unwrap().mx, ["mx.example.test"]);
    }

    #[test]
    fn invalid_policies_are_refused() {
        let good = "version: STSv1\r\nmode: none\r\nmax_age: 99999999999\r\nnew_field: x\r\n";
        assert!(StsReceived::parse(good).is_err(), "eleven digits");
        let long = StsReceived::parse(&good.replace("99999999999", "9999999999")).unwrap();
        assert_eq!((long.mode, long.max_age_s), (StsMode::None, STS_AGE_MAX_S));
        for bad in [
            "",
            "<html>",
            "mode: enforce\nmx: a.test\nmax_age: 1\n",
            "version: STSv2\nmode: enforce\nmx: a.test\nmax_age: 1\n",
            "version: STSv1\nmode: maybe\nmx: a.test\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a.*.test\nmax_age: 1\n",
            "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: -1\n",
            "version: STSv1\nmode: enforce\nmx: a.test\n",
        ] {
            assert!(StsReceived::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exactly_one_record_gives_an_id() {
        let id = |texts: &[&str]| parse_sts_id(&texts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(id(&["v=STSv1; id=20160831085700Z;"]).as_deref(), Some("20160831085700Z"));
        assert_eq!(id(&["v=spf1 -all", "v=STSv1;id=1;x=y"]).as_deref(), Some("1"));
        for none in [&["v=STSv1; id=1", "v=STSv1; id=2"][..], &["v=STSv1; id="], &["v=STSv1; id=a-b"], &["v=STSv10; id=1"], &["id=1"], &[]]
        {
            assert_eq!(id(none), None, "{none:?}");
        }
    }
}
