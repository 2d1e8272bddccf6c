//! What a remote reply, or the loss of a connection, means for what waits.
//!
//! RFC 5321 s.4.2.1 and s.4.5.4.1, RFC 3463. Invariant: only a 5xx reply, spoken in order, fails a recipient; everything
//! odd defers.

use mail::{EnhancedCode, Reply};

use crate::trouble::{Scope, Trouble};

/// The trouble that a refusing reply is. `scope` is how far a refusal at that point reaches.
pub fn trouble_of_reply(reply: &Reply, scope: Scope) -> Trouble {
    let permanent = reply.is_permanent();
    let class = if permanent { 5 } else { 4 };
    let enhanced = match reply.enhanced {
        Some(EnhancedCode(c, subject, detail)) if c == class => EnhancedCode(c, subject, detail),
        _ => EnhancedCode(class, 0, 0),
    };
    // 421 is about the connection wherever it is said.
    let scope = if reply.code == 421 { Scope::Host } else { scope };
    Trouble { scope, permanent, enhanced, text: reply.to_string() }
}

/// The trouble of a host that greets or says hello with a refusal: a 5xx there is about us or the whole host, and may be
/// mended within days, so the mail waits (RFC 5321 s.3.1 lets a 554 greeting be tried again).
pub fn trouble_of_failure(reply: &Reply) -> Trouble {
    let Trouble { enhanced, text, .. } = trouble_of_reply(reply, Scope::Host);
    Trouble { scope: Scope::Host, permanent: false, enhanced: EnhancedCode(4, enhanced.1, enhanced.2), text }
}

/// Whether the target refuses the message because nothing that aligns vouches for its From field: a forward of mail that had only SPF. Gmail
/// says 5.7.26, 5.7.30 or 5.7.32, Yahoo 5.7.9, Microsoft 5.7.509 (RFC 7372 s.3 for the first).
pub fn is_dmarc_refusal(trouble: &Trouble) -> bool {
    matches!(trouble.enhanced, EnhancedCode(5, 7, 26 | 9 | 30 | 32 | 509))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_5xx_fails() {
        let of = |code, text: &str| trouble_of_reply(&Reply::from_wire(code, text), Scope::Recipient);
        assert!(of(550, "5.1.1 no").permanent);
        assert_eq!(of(550, "no").enhanced, EnhancedCode(5, 0, 0));
        assert!(!of(450, "4.2.1 slow").permanent);
        assert_eq!(of(450, "4.2.1 slow").scope, Scope::Recipient);
        assert_eq!(of(421, "4.7.0 go").scope, Scope::Host);
        assert!(!of(354, "odd").permanent);
        assert!(!trouble_of_failure(&Reply::from_wire(554, "5.7.1 go away")).permanent);
    }
}
