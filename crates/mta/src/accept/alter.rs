//! Stage: changes the content of an accepted message where it must not leave as it came: forged results, a target's DSN, a message to wrap.
//!
//! RFC 8601 s.5, RFC 3464, RFC 2046 s.5.2.1. Invariant: a message that none of these concerns is unchanged, octet for octet.

use net::Clock;
use policy::Treatment;
use store::StoreError;

use crate::accept::decide::Accepted;
use crate::accept::forged_results::without_forged_results;
use crate::accept::message_auth::Proof;
use crate::accept::sanitize_dsn::sanitize;
use crate::accept::wrapped::wrap;
use crate::context::Snapshot;
use crate::support::content_place::ContentPlace;

/// Changes the accepted message where needed.
pub(crate) async fn alter<'a>(
    place: ContentPlace<'_>,
    Snapshot { settings, directory }: &Snapshot,
    clock: &Clock,
    mut accepted: Accepted<'a>,
) -> Result<Accepted<'a>, StoreError> {
    if let Proof::Evidence(_) = accepted.proof
        && let Some((content, bytes)) = without_forged_results(place, clock, &accepted.whole.bytes, &settings.hostname).await?
    {
        place.discard(&accepted.received.content);
        accepted.received.content = content;
        accepted.whole.bytes = bytes;
    }
    let accepted = sanitize(place, directory, settings, clock, accepted).await?;
    match accepted.treatment {
        Treatment::Wrapped => wrap(place, settings, clock, accepted).await,
        _ => Ok(accepted),
    }
}
