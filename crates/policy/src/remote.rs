//! What a remote reply, or the loss of a connection, means for what waits.
//!
//! RFC 5321 s.4.2.1 and s.4.5.4.1, RFC 3463. Invariant: only a 5xx reply, spoken in order, fails a recipient; everything
//! odd defers.

use std::sync::Arc;

use mail::{Domain, EnhancedCode, Reply};

use crate::meaning::Reaction;
use crate::replies::meaning;
use crate::trouble::{Said, Scope, Trouble};

/// The trouble that a refusing reply of this host is. `scope` is how far a refusal at that point reaches. A 5xx that is about us, and not
/// about the message, defers it: it may be mended while the message waits.
pub fn trouble_of_reply(host: &Domain, reply: &Reply, scope: Scope) -> Trouble {
    let meaning = meaning(Some(host), reply);
    let trouble = our_refusal(reply, scope);
    let permanent = trouble.permanent && !meaning.waits;
    let EnhancedCode(_, subject, detail) = trouble.enhanced;
    Trouble {
        permanent,
        enhanced: EnhancedCode(if permanent { 5 } else { 4 }, subject, detail),
        said: Some(Arc::new(Said { host: host.clone(), reply: reply.clone() })),
        meaning: Some(Arc::new(meaning)),
        ..trouble
    }
}

/// The trouble that a reply is which we gave in the host's place, because of what it told us before.
pub fn our_refusal(reply: &Reply, scope: Scope) -> Trouble {
    let permanent = reply.is_permanent();
    let class = if permanent { 5 } else { 4 };
    let (subject, detail) = match reply.enhanced {
        Some(EnhancedCode(c, subject, detail)) if c == class => (subject, detail),
        _ => (0, 0),
    };
    // 421 is about the connection wherever it is said.
    let scope = if reply.code == 421 { Scope::Host } else { scope };
    let make = if permanent { Trouble::permanent } else { Trouble::temporary };
    make(scope, subject, detail, reply.to_string())
}

/// The trouble of a host that greets or says hello with a refusal: a 5xx there is about us or the whole host, and may be
/// mended within days, so the mail waits (RFC 5321 s.3.1 lets a 554 greeting be tried again).
pub fn trouble_of_failure(host: &Domain, reply: &Reply) -> Trouble {
    let trouble = trouble_of_reply(host, reply, Scope::Host);
    let EnhancedCode(_, subject, detail) = trouble.enhanced;
    Trouble { scope: Scope::Host, permanent: false, enhanced: EnhancedCode(4, subject, detail), ..trouble }
}

/// Whether the target refuses the message because nothing that aligns vouches for its From field: a forward of mail that had only SPF. Which
/// replies say so stands in the table (RFC 7372 s.3 for 5.7.26).
pub fn is_dmarc_refusal(trouble: &Trouble) -> bool {
    trouble.permanent && trouble.meaning.as_ref().is_some_and(|meaning| meaning.reaction == Reaction::Remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_5xx_fails() {
        let host = Domain::parse("mx.example.net").unwrap();
        let of = |code, text: &str| trouble_of_reply(&host, &Reply::from_wire(code, text), Scope::Recipient);
        assert!(of(550, "5.1.1 no").permanent);
        assert_eq!(of(550, "no").enhanced, EnhancedCode(5, 0, 0));
        assert!(!of(450, "4.2.1 slow").permanent);
        assert_eq!(of(450, "4.2.1 slow").scope, Scope::Recipient);
        assert_eq!(of(421, "4.7.0 go").scope, Scope::Host);
        assert!(!of(354, "odd").permanent);
        assert!(!trouble_of_failure(&host, &Reply::from_wire(554, "5.7.1 go away")).permanent);
    }

    #[test]
    fn another_host_is_tried_for_what_is_of_one_host() {
        let host = Domain::parse("mx.example.net").unwrap();
        let of = |code, text: &str| trouble_of_reply(&host, &Reply::from_wire(code, text), Scope::Recipient).is_of_one_host();
        for (code, text) in
            [(421, "4.7.0 closing"), (451, "4.3.0 database is down"), (452, "4.3.1 disk full"), (451, "later"), (450, "4.4.2 lost")]
        {
            assert!(of(code, text), "{code} {text}");
        }
        for (code, text) in
            [(450, "4.2.0 greylisted"), (452, "4.2.2 full"), (452, "4.5.3 too many"), (450, "no"), (451, "4.7.1 later"), (550, "5.3.0 no")]
        {
            assert!(!of(code, text), "{code} {text}");
        }
        assert!(Trouble::connection_lost("x").is_of_one_host() && Trouble::connection_lost("x").leads_round());
        assert!(Trouble::tls("x").is_of_one_host() && !Trouble::tls("x").leads_round());
        assert!(!Trouble::dns("x").leads_round() && !Trouble::held_back(Scope::Host, 1, "x").is_of_one_host());
    }

    #[test]
    fn a_5xx_about_us_waits() {
        let host = Domain::parse("gmail-smtp-in.l.google.com").unwrap();
        let said = "5.7.1 The IP you're using to send mail is not authorized to\n5.7.1 send email directly to our servers. Please use the SMTP relay";
        let trouble = trouble_of_reply(&host, &Reply::from_wire(550, said), Scope::Recipient);
        assert_eq!((trouble.permanent, trouble.enhanced), (false, EnhancedCode(4, 7, 1)));
        assert!(trouble.reason(false).contains("smarthost") && trouble.text.starts_with("550 5.7.1 "));
        let refusal = trouble_of_reply(&host, &Reply::from_wire(550, "5.7.26 unauthenticated"), Scope::Message);
        assert!(is_dmarc_refusal(&refusal) && refusal.reason(false) == refusal.text && refusal.reason(true) != refusal.text);
    }
}
