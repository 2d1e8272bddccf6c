//! EXTERNAL: the TLS client certificate authenticates the client.
//!
//! RFC 4422 appendix A. Invariant: only the authzid is parsed here; the driver checks the certificate.

use crate::exchange::MechanismState;
use crate::name;
use crate::step::Step;

/// The state of EXTERNAL.
pub(crate) struct External;

impl MechanismState for External {
    fn respond(&mut self, response: &[u8]) -> Option<Step> {
        let authzid = if response.is_empty() { String::new() } else { name::plain(response)? };
        Some(Step::External { authzid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::tests::exchange;
    use crate::mechanism::Mechanism;

    #[test]
    fn external_passes_the_authzid_on() {
        let start = |initial: &[u8]| exchange(Mechanism::External).start(Some(initial));
        assert_eq!(start(b""), Step::External { authzid: String::new() });
        assert_eq!(start(b"fred@example.com"), Step::External { authzid: "fred@example.com".into() });
        for bad in [b"a\0b".as_slice(), b"\xff", b"a\nb", &[b'a'; 256]] {
            assert_eq!(start(bad), Step::Refused);
        }
        let mut talk = exchange(Mechanism::External);
        assert_eq!(talk.start(None), Step::Challenge(Vec::new()));
        assert_eq!(talk.respond(b""), Step::External { authzid: String::new() });
        assert_eq!(talk.respond(b""), Step::Refused);
    }
}
