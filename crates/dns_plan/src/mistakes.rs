//! Common mistakes in DNS records, recognized from what is there.
//!
//! RFC 2181 s.10.3 (an MX host must not be an alias). Invariant: a mistake is named only if the record cannot mean anything else.

use std::net::IpAddr;

use super::PlannedRecord;

/// The networks of Cloudflare's proxies, as address and length. From its own list, https://www.cloudflare.com/ips/.
const CLOUDFLARE_V4: [([u8; 4], u32); 15] = [
    ([173, 245, 48, 0], 20),
    ([103, 21, 244, 0], 22),
    ([103, 22, 200, 0], 22),
    ([103, 31, 4, 0], 22),
    ([141, 101, 64, 0], 18),
    ([108, 162, 192, 0], 18),
    ([190, 93, 240, 0], 20),
    ([188, 114, 96, 0], 20),
    ([197, 234, 240, 0], 22),
    ([198, 41, 128, 0], 17),
    ([162, 158, 0, 0], 15),
    ([104, 16, 0, 0], 13),
    ([104, 24, 0, 0], 14),
    ([172, 64, 0, 0], 13),
    ([131, 0, 72, 0], 22),
];

const CLOUDFLARE_V6: [([u16; 2], u32); 7] = [
    ([0x2400, 0xcb00], 32),
    ([0x2606, 0x4700], 32),
    ([0x2803, 0xf800], 32),
    ([0x2405, 0xb500], 32),
    ([0x2405, 0x8100], 32),
    ([0x2a06, 0x98c0], 29),
    ([0x2c0f, 0xf248], 32),
];

/// Whether the address is one of Cloudflare's proxies, which relay web pages but not mail.
pub(super) fn is_proxy(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => CLOUDFLARE_V4.iter().any(|(net, length)| {
            let shift = 32_u32.saturating_sub(*length);
            u32::from(v4).checked_shr(shift) == u32::from_be_bytes(*net).checked_shr(shift)
        }),
        IpAddr::V6(v6) => {
            let first = u32::try_from(u128::from(v6) >> 96).unwrap_or_default();
            CLOUDFLARE_V6.iter().any(|([a, b], length)| {
                let net = u32::from(*a) << 16 | u32::from(*b);
                let shift = 32_u32.saturating_sub(*length);
                first.checked_shr(shift) == net.checked_shr(shift)
            })
        }
    }
}

/// Returns the mistake if a text begins with this word only after characters that a form or an editor has added.
pub(super) fn text_mistake(text: &str, begins_with: &str) -> Option<&'static str> {
    let is_junk = |c: char| c.is_whitespace() || "\"'`\u{201c}\u{201d}\u{201e}\u{2018}\u{2019}\u{00ab}\u{00bb}\u{feff}\u{200b}".contains(c);
    let inner = text.trim_start_matches(is_junk);
    let starts = inner.get(..begins_with.len()).is_some_and(|start| start.eq_ignore_ascii_case(begins_with));
    if !starts || inner.len() == text.len() {
        return None;
    }
    let before = text.get(..text.len() - inner.len()).unwrap_or_default();
    Some(if before.chars().any(|c| !c.is_ascii() && !c.is_whitespace()) {
        "the text begins with a typographic quotation mark, which does not belong in DNS"
    } else if before.contains(['"', '\'', '`']) {
        "the text has quotes within it: the provider's form adds its own"
    } else {
        "the text begins with a space, so receivers do not recognize it"
    })
}

/// The name with its zone appended again, as by a form that appends the zone itself.
pub(super) fn doubled(name: &str, zone: &str) -> String {
    format!("{}.{zone}.", name.trim_end_matches('.'))
}

/// The first word of a planned text, by which it is found.
pub(super) fn first_word(record: &PlannedRecord) -> &str {
    record.value.split([' ', ';']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_recognized() {
        for proxy in ["104.21.3.4", "172.67.1.1", "188.114.97.3", "2606:4700::6810:1", "2a06:98c7::1"] {
            assert!(is_proxy(proxy.parse().unwrap()), "{proxy}");
        }
        for other in ["104.15.255.255", "192.0.2.10", "2001:db8::10", "2606:4800::1"] {
            assert!(!is_proxy(other.parse().unwrap()), "{other}");
        }
    }

    #[test]
    fn characters_around_a_text_are_named() {
        assert!(text_mistake(" v=spf1 mx -all", "v=spf1").unwrap().contains("space"));
        assert!(text_mistake("\u{201c}v=spf1 mx -all\u{201d}", "v=spf1").unwrap().contains("typographic"));
        assert!(text_mistake("\"v=spf1 mx -all\"", "v=spf1").unwrap().contains("quotes within"));
        assert_eq!(text_mistake("v=spf1 mx -all", "v=spf1"), None);
        assert_eq!(text_mistake(" something else", "v=spf1"), None);
    }
}
