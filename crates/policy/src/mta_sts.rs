//! This server's MTA-STS policy as text, and its id for the TXT record.
//!
//! RFC 8461 s.3.1, s.3.2. Invariant: the id changes exactly when the text does, and is the same on every machine.

use std::collections::BTreeSet;

use mail::Domain;

/// Maximum time that senders cache a policy, in seconds: about a year.
pub const STS_AGE_MAX_S: u32 = 31_557_600;

/// What the policy asks of senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StsMode {
    /// Nothing; senders drop a policy that they have cached.
    None,
    /// To report failures, and to deliver anyway.
    Testing,
    /// To deliver over TLS with a certificate for this server, or not at all.
    Enforce,
}

/// The policy of one domain. All domains of a server have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsPolicy {
    /// What senders do.
    pub mode: StsMode,
    /// The mail hosts: this server, and the others that share its mail.
    pub mx: BTreeSet<Domain>,
    /// How long senders cache it, in seconds.
    pub max_age_s: u32,
}

impl StsPolicy {
    /// The text that is served.
    pub fn text(&self) -> String {
        let mode = match self.mode {
            StsMode::None => "none",
            StsMode::Testing => "testing",
            StsMode::Enforce => "enforce",
        };
        let mx: String = self.mx.iter().map(|host| format!("mx: {host}\r\n")).collect();
        format!("version: STSv1\r\nmode: {mode}\r\n{mx}max_age: {}\r\n", self.max_age_s.min(STS_AGE_MAX_S))
    }

    /// The id of the TXT record: FNV-1a of the text, in 16 hexadecimal digits. It identifies versions and protects nothing.
    pub fn id(&self) -> String {
        let (offset, prime) = (0xcbf2_9ce4_8422_2325_u64, 0x100_0000_01b3_u64);
        let hash = self.text().bytes().fold(offset, |hash, b| (hash ^ u64::from(b)).wrapping_mul(prime));
        format!("{hash:016x}")
    }

    /// The TXT record at `_mta-sts`.
    pub fn record(&self) -> String {
        format!("v=STSv1; id={}", self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: StsMode) -> StsPolicy {
        StsPolicy { mode, mx: BTreeSet::from(["mx.example.test".parse().unwrap()]), max_age_s: 604_800 }
    }

    #[test]
    fn the_text_has_the_four_fields() {
        let text = policy(StsMode::Testing).text();
        assert_eq!(text, "version: STSv1\r\nmode: testing\r\nmx: mx.example.test\r\nmax_age: 604800\r\n");
        let long = StsPolicy { max_age_s: u32::MAX, ..policy(StsMode::Enforce) };
        assert!(long.text().ends_with("mode: enforce\r\nmx: mx.example.test\r\nmax_age: 31557600\r\n"));
        // Whichever server answers: text and id are the same.
        let of = |hosts: [&str; 2]| StsPolicy { mx: hosts.map(|host| host.parse().unwrap()).into(), ..policy(StsMode::Enforce) };
        assert!(of(["b.example.test", "a.example.test"]).text().contains("\r\nmx: a.example.test\r\nmx: b.example.test\r\n"));
        assert_eq!(of(["b.example.test", "a.example.test"]).id(), of(["a.example.test", "b.example.test"]).id());
    }

    #[test]
    fn the_id_depends_only_on_the_text() {
        let id = policy(StsMode::Testing).id();
        // The same on every machine and in every version: senders fetch again when it changes.
        assert_eq!(id, "1e1ed9506ea3044b");
        assert_ne!(id, policy(StsMode::Enforce).id());
        assert!(id.len() <= 32 && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert_eq!(policy(StsMode::Testing).record(), format!("v=STSv1; id={id}"));
    }
}
