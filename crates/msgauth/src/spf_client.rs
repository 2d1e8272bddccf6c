//! An address that an SPF record allows, to show what would happen to a domain's mail when no client is known.
//!
//! RFC 7208 s.5. Invariant: as many records are read as one check may query; names with macros are left out.

use std::net::IpAddr;

use mail::evidence::SpfResult;
use mail::spf::{self, HOSTS_MAX, MacroString, Mechanism, SpfRecord, TERMS_MAX};

use crate::lookup::Lookup;

/// An address that a domain's record allows: of an `ip4`, `ip6`, `a` or `mx` of the record, or of one that it includes.
pub(crate) async fn some_client(dns: &impl Lookup, domain: &str) -> Option<IpAddr> {
    let mut records = vec![domain.to_owned()];
    for looked in 0..TERMS_MAX {
        let domain = records.get(usize::try_from(looked).ok()?)?.clone();
        let Some(record) =
            dns.txt(&domain).await.ok().and_then(|texts| SpfRecord::parse(texts.iter().find(|text| spf::is_spf(text))?).ok())
        else {
            continue;
        };
        // A name with macros depends on a client, which is not known.
        let plain = |spec: &MacroString| spec.literal().map(ToOwned::to_owned);
        for directive in record.directives.iter().filter(|directive| directive.result == SpfResult::Pass) {
            let hosts = match &directive.mechanism {
                Mechanism::Network { address, .. } => return Some(*address),
                Mechanism::Include(target) => {
                    records.extend(plain(target));
                    continue;
                }
                Mechanism::A { host, .. } => host.as_ref().map_or(Some(domain.clone()), plain).into_iter().collect(),
                Mechanism::Mx { host, .. } => match host.as_ref().map_or(Some(domain.clone()), plain) {
                    Some(name) => dns.mx(&name).await.unwrap_or_default(),
                    None => continue,
                },
                _ => continue,
            };
            for host in hosts.iter().take(HOSTS_MAX) {
                if let Some(address) = dns.a(host).await.ok().and_then(|found| found.first().copied()) {
                    return Some(IpAddr::V4(address));
                }
            }
        }
        records.extend(record.redirect.as_ref().and_then(plain));
    }
    None
}
