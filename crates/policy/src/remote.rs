//! The trouble that a remote reply is.
//!
//! RFC 5321 s.4.2.1 and s.4.5.4.1, RFC 3463 s.3.4 and s.3.5. Invariant: only a 5xx reply, read in its place, fails a recipient; everything
//! unexpected defers.

use std::sync::Arc;

use mail::{Domain, EnhancedCode, Reply};

use crate::replies::classify_reply;
use crate::trouble::{HostReply, Scope, Trouble, TroubleKind};

impl Trouble {
    /// The trouble of a refusing reply of this host. `scope` is how far a refusal of that command reaches. A 5xx that is about us, and not
    /// about the message, defers: it may be mended while the message waits.
    pub fn from_reply(host: &Domain, reply: &Reply, scope: Scope) -> Self {
        let meaning = classify_reply(Some(host), reply);
        let trouble = Self::from_local_refusal(reply, scope);
        let permanent = trouble.permanent && !meaning.waits;
        let EnhancedCode(_, subject, detail) = trouble.enhanced;
        Self {
            kind: kind_of(reply),
            permanent,
            enhanced: EnhancedCode(if permanent { 5 } else { 4 }, subject, detail),
            said: Some(Arc::new(HostReply { host: host.clone(), reply: reply.clone() })),
            meaning: Some(Arc::new(meaning)),
            ..trouble
        }
    }

    /// The trouble of a reply that this server gave in the host's place, because of what the host announced.
    pub fn from_local_refusal(reply: &Reply, scope: Scope) -> Self {
        let permanent = reply.is_permanent();
        let class = if permanent { 5 } else { 4 };
        let (subject, detail) = match reply.enhanced {
            Some(EnhancedCode(c, subject, detail)) if c == class => (subject, detail),
            _ => (0, 0),
        };
        // 421 is about the connection, whichever command it answers.
        let scope = if reply.code == 421 { Scope::Host } else { scope };
        let make = if permanent { Self::permanent } else { Self::temporary };
        make(scope, subject, detail, reply.to_string())
    }

    /// The trouble of a host that refuses in its greeting or its answer to EHLO: a 5xx there is about us or the whole host, and may be
    /// mended within days, so the mail waits (RFC 5321 s.3.1 allows a retry after a 554 greeting).
    pub fn from_greeting(host: &Domain, reply: &Reply) -> Self {
        let trouble = Self::from_reply(host, reply, Scope::Host);
        let EnhancedCode(_, subject, detail) = trouble.enhanced;
        Self { scope: Scope::Host, permanent: false, enhanced: EnhancedCode(4, subject, detail), ..trouble }
    }
}

/// Whether a reply is about the host's own state: it ends the session, or its code says so.
fn kind_of(reply: &Reply) -> TroubleKind {
    match (reply.code, reply.enhanced) {
        (421, _) | (400..500, Some(EnhancedCode(4, 3 | 4, _))) | (451 | 452, None) => TroubleKind::HostState,
        _ => TroubleKind::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_5xx_reply_is_permanent() {
        let host = Domain::parse("mx.example.net").unwrap();
        let of = |code, text: &str| Trouble::from_reply(&host, &Reply::from_wire(code, text), Scope::Recipient);
        assert!(of(550, "5.1.1 no").permanent);
        assert_eq!(of(550, "no").enhanced, EnhancedCode(5, 0, 0));
        assert!(!of(450, "4.2.1 slow").permanent);
        assert_eq!(of(450, "4.2.1 slow").scope, Scope::Recipient);
        assert_eq!(of(421, "4.7.0 go").scope, Scope::Host);
        assert!(!of(354, "odd").permanent);
        assert!(!Trouble::from_greeting(&host, &Reply::from_wire(554, "5.7.1 go away")).permanent);
    }

    #[test]
    fn the_next_host_is_tried_after_a_reply_about_the_host() {
        let host = Domain::parse("mx.example.net").unwrap();
        let of = |code, text: &str| Trouble::from_reply(&host, &Reply::from_wire(code, text), Scope::Recipient).tries_next_host();
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
        assert!(Trouble::connection_lost("x").tries_next_host() && Trouble::connection_lost("x").allows_last_resort());
        assert!(Trouble::tls("x").tries_next_host() && !Trouble::tls("x").allows_last_resort());
        assert!(!Trouble::dns("x").allows_last_resort() && !Trouble::paused(Scope::Host, 1, "x").tries_next_host());
    }

    #[test]
    fn rate_limits_and_other_domains_policies_are_not_about_our_identity() {
        let host = Domain::parse("gmail-smtp-in.l.google.com").unwrap();
        let doubts =
            |code, text: &str, ours| Trouble::from_reply(&host, &Reply::from_wire(code, text), Scope::Recipient).doubts_our_identity(ours);
        let forwarded = Some("fwd.example.com");
        assert!(!doubts(421, "4.7.28 an unusual rate of unsolicited mail", None) && !doubts(421, "4.7.28 rate", forwarded));
        let stranger = "5.7.26 Unauthenticated email from stranger.test is not accepted due to domain's DMARC policy";
        assert!(!doubts(550, stranger, forwarded) && doubts(550, stranger, None));
        assert!(doubts(550, "5.7.26 unauthenticated; SPF [fwd.example.com] with ip: [192.0.2.1] = did not pass", forwarded));
        assert!(doubts(550, "5.7.25 The IP address sending this message does not have a PTR record", forwarded));
    }

    #[test]
    fn a_5xx_about_this_server_defers() {
        let host = Domain::parse("gmail-smtp-in.l.google.com").unwrap();
        let said = "5.7.1 The IP you're using to send mail is not authorized to\n5.7.1 send email directly to our servers. Please use the SMTP relay";
        let trouble = Trouble::from_reply(&host, &Reply::from_wire(550, said), Scope::Recipient);
        assert_eq!((trouble.permanent, trouble.enhanced), (false, EnhancedCode(4, 7, 1)));
        assert!(trouble.reason(false).contains("smarthost") && trouble.text.starts_with("550 5.7.1 "));
        let refusal = Trouble::from_reply(&host, &Reply::from_wire(550, "5.7.26 unauthenticated"), Scope::Message);
        assert!(refusal.is_dmarc_refusal() && refusal.reason(false) == refusal.text && refusal.reason(true) != refusal.text);
    }
}
