//! Recognises host names that a hoster assigns to all of its addresses.
//!
//! RFC 1912 s.2.1. Invariant: pure; the server's own host name may be generic too.

use std::net::IpAddr;

use data_encoding::HEXLOWER;

/// Words in the default names of hosters.
const WORDS: [&str; 12] =
    ["dynamic", "dyn", "dhcp", "dsl", "pool", "dialup", "static", "customer", "clients", "unassigned", "broadband", "ppp"];

/// Whether the name contains the address, or a word that hosters use.
pub(super) fn is_generic(name: &str, address: IpAddr) -> bool {
    let name = name.to_ascii_lowercase();
    let has_word = name.split(['.', '-']).any(|label| WORDS.contains(&label.trim_end_matches(|c: char| c.is_ascii_digit())));
    has_word || is_made_of(&name, address)
}

fn is_made_of(name: &str, address: IpAddr) -> bool {
    let IpAddr::V4(v4) = address else {
        // Names spell out an IPv6 address with many of its digits.
        let digits: String = address.to_string().chars().filter(char::is_ascii_hexdigit).collect();
        let plain: String = name.chars().filter(|c| *c != '-').collect();
        return digits.len() >= 8 && plain.contains(&digits);
    };
    let octets = v4.octets();
    let numbers: Vec<u32> =
        name.split(|c: char| !c.is_ascii_digit()).filter(|part| part.len() <= 3).filter_map(|part| part.parse().ok()).collect();
    let forward: Vec<u32> = octets.iter().map(|octet| u32::from(*octet)).collect();
    let backward: Vec<u32> = forward.iter().rev().copied().collect();
    // Three of four suffice: some hosters put the first or the last into the domain.
    let has = |wanted: &[u32]| numbers.windows(wanted.len()).any(|window| window == wanted);
    let parts = [&forward, &backward].into_iter().flat_map(|all| all.windows(3).collect::<Vec<_>>());
    let hex = HEXLOWER.encode(&octets);
    parts.into_iter().any(has) || name.contains(&hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_hosters_differ_from_names_of_servers() {
        let v4: IpAddr = "203.0.113.25".parse().unwrap();
        for generic in [
            "static.25.113.0.203.clients.your-server.de",
            "ec2-203-0-113-25.compute-1.amazonaws.com",
            "25.113.0.203.bc.googleusercontent.com",
            "cb007119.vps.example.net",
            "host-203-0-113-25.example.net",
            "pool-7.example.net",
            "dsl-17.example.net",
        ] {
            assert!(is_generic(generic, v4), "{generic}");
        }
        for own in ["mx.example.com", "mail25.example.com", "mx1.example.com", "statics.example.com", "mail.pooling.example"] {
            assert!(!is_generic(own, v4), "{own}");
        }
        let v6: IpAddr = "2001:db8:17::25".parse().unwrap();
        assert!(is_generic("2001-db8-17--25.example.net", v6) && !is_generic("mx.example.com", v6));
    }
}
