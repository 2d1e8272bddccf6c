//! The confirmed name of an address (forward-confirmed reverse DNS).
//!
//! RFC 8601 s.3 (iprev). Invariant: a name is returned only if DNS confirms it both ways; at most ten are tried.

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::IprevResult;

use crate::lookup::{Lookup, Missing};

/// Maximum names of an address that are tried.
const NAMES_MAX: usize = 10;

/// Looks for a name of `client` that resolves to `client`.
pub(crate) async fn check(dns: &impl Lookup, client: IpAddr) -> (IprevResult, Option<String>) {
    let names = match dns.ptr(client).await {
        Ok(names) => names,
        Err(Missing::Temporary) => return (IprevResult::TempError, None),
        Err(Missing::Name | Missing::Record) => return (IprevResult::Fail, None),
    };
    let mut result = IprevResult::Fail;
    for name in names.iter().take(NAMES_MAX) {
        // A reverse zone can hold anything: only a valid host name is shown or logged.
        let Ok(host) = Domain::parse(name) else { continue };
        if host.address().is_some() {
            continue;
        }
        match dns.same_family(host.as_str(), client).await {
            Ok(addresses) if addresses.contains(&client) => return (IprevResult::Pass, Some(host.to_string())),
            Err(Missing::Temporary) => result = IprevResult::TempError,
            _ => {}
        }
    }
    (result, None)
}
