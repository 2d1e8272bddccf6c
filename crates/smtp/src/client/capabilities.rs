//! The extensions in a peer's EHLO reply.
//!
//! RFC 5321 s.4.1.1.1. Invariant: extensions offered in plaintext are discarded after STARTTLS.

/// The extensions that a peer offers, of those we use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// PIPELINING.
    pub pipelining: bool,
    /// SIZE: its limit in octets, 0 for no limit; `None` if SIZE is not offered.
    pub size: Option<u64>,
    /// 8BITMIME.
    pub eight_bit: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
    /// CHUNKING.
    pub chunking: bool,
    /// DSN.
    pub dsn: bool,
    /// REQUIRETLS.
    pub requiretls: bool,
    /// STARTTLS.
    pub starttls: bool,
    /// ENHANCEDSTATUSCODES.
    pub enhanced: bool,
    /// The AUTH mechanisms, in upper case.
    pub auth: Vec<String>,
}

impl Capabilities {
    /// Parses the text of an EHLO reply, whose first line is the peer's name.
    pub fn parse(text: &str) -> Self {
        let mut capabilities = Self::default();
        for line in text.split('\n').skip(1) {
            let mut words = line.split([' ', '=']).filter(|w| !w.is_empty());
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                "PIPELINING" => capabilities.pipelining = true,
                "SIZE" => capabilities.size = Some(words.next().and_then(|w| w.parse().ok()).unwrap_or(0)),
                "8BITMIME" => capabilities.eight_bit = true,
                "SMTPUTF8" => capabilities.smtputf8 = true,
                "CHUNKING" => capabilities.chunking = true,
                "DSN" => capabilities.dsn = true,
                "REQUIRETLS" => capabilities.requiretls = true,
                "STARTTLS" => capabilities.starttls = true,
                "ENHANCEDSTATUSCODES" => capabilities.enhanced = true,
                "AUTH" => capabilities.auth.extend(words.map(str::to_ascii_uppercase)),
                _ => {}
            }
        }
        capabilities
    }

    pub(super) fn offers_auth(&self, mechanism: &str) -> bool {
        self.auth.iter().any(|m| m == mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_parsed_from_the_second_line() {
        let read = Capabilities::parse("PIPELINING\nsize 1000\nAUTH=LOGIN\nAUTH plain\nX-ODD 1\nDSN");
        assert_eq!(read.size, Some(1000));
        assert!(!read.pipelining && read.dsn);
        assert!(read.offers_auth("PLAIN") && read.offers_auth("LOGIN"));
        assert_eq!(Capabilities::parse("x\nSIZE").size, Some(0));
    }
}
