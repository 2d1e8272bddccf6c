//! What we added to the chains of trust of messages that leave, read back from their fields, for their event.
//!
//! draft-ietf-dkim-dkim2-spec-08 s.7, RFC 8617 s.4.1. Invariant: it reads fields that we put on top; those of others among them are passed as such.

use std::collections::HashSet;

use events::Fact;
use mail::{Field, Fields, Tags, one_line_at_most};

/// Maximum hops, and ARC sets, that an event names: the targets of one message mostly have the same.
const NAMED_MAX: usize = 5;

/// Maximum characters of one of them.
const NAME_MAX_CHARS: usize = 300;

/// Returns the hops and the ARC sets in these prefixes, each once, as facts. `of_others`: fields of a DKIM2 chain that came, and stand on top where we wrapped
/// the message.
pub(crate) fn vouched<'a>(prefixes: impl IntoIterator<Item = &'a [u8]>, of_others: &[&[u8]]) -> Vec<(Fact, String)> {
    let of_others: HashSet<&[u8]> = of_others.iter().copied().collect();
    let (mut hops, mut sets) = (Vec::new(), Vec::new());
    for field in prefixes.into_iter().flat_map(Fields::new).filter(|field| !of_others.contains(field.raw)) {
        let (all, told) = if field.is("DKIM2-Signature") {
            (&mut hops, hop(&field))
        } else if field.is("ARC-Seal") {
            (&mut sets, set(&field))
        } else {
            continue;
        };
        if let Some(told) = told.filter(|told| !all.contains(told) && all.len() < NAMED_MAX) {
            all.push(told);
        }
    }
    // Of two hops, the later one stands on top.
    hops.sort();
    [(Fact::Dkim2Hop, hops), (Fact::ArcSet, sets)]
        .into_iter()
        .filter(|(_, told)| !told.is_empty())
        .map(|(fact, told)| (fact, told.join(", ")))
        .collect()
}

/// `2 fwd.example.test ed25519`.
fn hop(field: &Field<'_>) -> Option<String> {
    let tags = Tags::parse(field.value)?;
    let key = tags.packed("s")?;
    let algorithm = key.split(':').nth(1)?.trim_end_matches("-sha256");
    Some(one_line_at_most(&format!("{} {} {algorithm}", tags.packed("i")?, tags.packed("d")?), NAME_MAX_CHARS))
}

/// `1 fwd.example.test`.
fn set(field: &Field<'_>) -> Option<String> {
    let tags = Tags::parse(field.value)?;
    Some(one_line_at_most(&format!("{} {}", tags.packed("i")?, tags.packed("d")?), NAME_MAX_CHARS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(i: u32, domain: &str, algorithm: &str) -> String {
        format!(
            "DKIM2-Signature: i={i}; m=1; t=1; d={domain};\r\n\tmf=PD4=; rt=PGFAYi50ZXN0Pg==;\r\n\ts=s1:{algorithm}:YWJj\r\n\tZGVm;\r\n"
        )
    }

    #[test]
    fn hops_and_sets_are_told_once_in_their_order() {
        let (bridge, last) = (signature(2, "second.test", "ed25519-sha256"), signature(3, "fwd.example.test", "rsa-sha256"));
        let seal = "ARC-Seal: i=1; a=rsa-sha256; d=fwd.example.test; s=r1; t=1; cv=none;\r\n\tb=YWJj\r\n";
        let prefix = format!("{seal}ARC-Message-Signature: i=1; d=x.test\r\n{last}{bridge}Delivered-To: me@second.test\r\n");
        let told = vouched([prefix.as_bytes(), prefix.as_bytes()], &[]);
        let hops = "2 second.test ed25519, 3 fwd.example.test rsa".to_owned();
        assert_eq!(told, [(Fact::Dkim2Hop, hops), (Fact::ArcSet, "1 fwd.example.test".to_owned())]);
    }

    #[test]
    fn hops_of_others_are_not_ours() {
        let (theirs, ours) = (signature(1, "foreign.test", "ed25519-sha256"), signature(2, "fwd.example.test", "ed25519-sha256"));
        let prefix = format!("{ours}{theirs}");
        let told = vouched([prefix.as_bytes()], &[theirs.as_bytes()]);
        assert_eq!(told, [(Fact::Dkim2Hop, "2 fwd.example.test ed25519".to_owned())]);
        assert!(vouched([b"Received: from x\r\n".as_slice(), b"DKIM2-Signature: odd\r\n"], &[]).is_empty());
    }
}
