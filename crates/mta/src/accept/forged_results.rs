//! Removes forged Authentication-Results fields, which claim to be ours.
//!
//! RFC 8601 s.5. Invariant: nothing else changes, and nothing at all if another server's DKIM signature covers such a field, since
//! removing the field would break the signature.

use bytes::{Bytes, BytesMut};
use mail::auth_results::is_ours;
use mail::{Domain, Fields, QueueId};
use net::{Clock, random_u32};
use store::{Content, StoreError};

use crate::support::content_place::ContentPlace;

const FIELD: &str = "Authentication-Results";

/// Stores the content without the forged fields under a new ID; `None` if there are none.
pub(crate) async fn without_forged_results(
    place: ContentPlace<'_>,
    clock: &Clock,
    whole: &Bytes,
    hostname: &Domain,
) -> Result<Option<(Content, Bytes)>, StoreError> {
    let Some(bytes) = without_forged(whole, hostname) else { return Ok(None) };
    tracing::info!("removed a forged Authentication-Results field");
    let content = place.put(QueueId::next(clock.now_ms(), random_u32()), &bytes).await?;
    Ok(Some((content, bytes)))
}

fn without_forged(whole: &Bytes, hostname: &Domain) -> Option<Bytes> {
    let is_forged = |field: &mail::Field<'_>| field.is(FIELD) && is_ours(field, hostname);
    if !Fields::new(whole).any(|field| is_forged(&field))
        || Fields::new(whole).any(|field| field.is("DKIM-Signature") && covers(field.value))
    {
        return None;
    }
    let mut bytes = BytesMut::with_capacity(whole.len());
    let mut end = 0;
    for field in Fields::new(whole) {
        if !is_forged(&field) {
            bytes.extend_from_slice(field.raw);
        }
        end += field.raw.len();
    }
    bytes.extend_from_slice(whole.get(end..).unwrap_or_default());
    Some(bytes.freeze())
}

/// Whether a signature covers the field: h= names it.
fn covers(signature: &[u8]) -> bool {
    let plain: String = signature.iter().filter(|b| !b.is_ascii_whitespace()).map(|b| char::from(b.to_ascii_lowercase())).collect();
    let names = plain.split(';').find_map(|tag| tag.strip_prefix("h=")).unwrap_or_default();
    names.split(':').any(|name| name.eq_ignore_ascii_case(FIELD))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(content: &str) -> Option<String> {
        let hostname = Domain::parse("mx.example.test").unwrap();
        without_forged(&Bytes::copy_from_slice(content.as_bytes()), &hostname).map(|b| String::from_utf8(b.to_vec()).unwrap())
    }

    #[test]
    fn threat_62_results_under_our_name_are_taken_out() {
        let content = "Subject: x\r\nauthentication-results : MX.example.test;\r\n dkim=pass\r\nX-Odd:  \r\n\r\nAuthentication-Results: mx.example.test; none\r\n";
        assert_eq!(stripped(content).unwrap(), "Subject: x\r\nX-Odd:  \r\n\r\nAuthentication-Results: mx.example.test; none\r\n");
        assert_eq!(stripped("Authentication-Results: mx.other.test; dkim=pass\r\n\r\n"), None);
    }

    #[test]
    fn fields_covered_by_a_signature_stay() {
        let content =
            "DKIM-Signature: v=1; h=from:\r\n\tauthentication-results; b=x\r\nAuthentication-Results: mx.example.test; dkim=pass\r\n\r\n";
        assert_eq!(stripped(content), None);
    }
}
