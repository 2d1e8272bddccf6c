//! The name of an address that leads back to it.
//!
//! RFC 8601 s.3 (iprev). Invariant: a name is reported only when DNS confirmed it both ways, and at most ten are tried.

use std::net::IpAddr;

use mail::Domain;
use mail::evidence::IprevResult;

use crate::lookup::{Lookup, Missing};

/// As many names of one address as are tried.
const MAX_NAMES: usize = 10;

/// Looks for a name of `client` that has `client` among its addresses.
pub(crate) async fn check(dns: &impl Lookup, client: IpAddr) -> (IprevResult, Option<String>) {
    let names = match dns.ptr(client).await {
        Ok(names) => names,
        Err(Missing::Temporary) => return (IprevResult::TempError, None),
        Err(Missing::Name | Missing::Record) => return (IprevResult::Fail, None),
    };
    let mut result = IprevResult::Fail;
    for name in names.iter().take(MAX_NAMES) {
        // What a stranger put into his reverse zone has to be a host name before it is shown or logged.
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
