//! The DNS providers, and the credentials that each of them accepts.
//!
//! RFC 2136, RFC 8945. To add a provider: a line in the table, and an arm in `updater`.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dns_update::providers::rfc2136::DnsAddress;
use dns_update::providers::route53::Route53Config;
use dns_update::{DnsUpdater, TsigAlgorithm};
use serde::Deserialize;

use crate::ProviderError;

/// Timeout of one request to a provider.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

macro_rules! providers {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, )+) => {
        /// Where the records of a zone are changed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
        pub enum DnsProvider { $( $(#[doc = $doc])+ #[serde(rename = $name)] $variant, )+ }

        impl DnsProvider {
            /// All of them.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];
            /// Their names, in the same order.
            pub const NAMES: &[&str] = &[$( $name, )+];

            /// Its name in the configuration and on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }
        }
    };
}

providers! {
    /// A server that accepts RFC 2136 updates.
    Rfc2136 = "rfc2136",
    /// Cloudflare.
    Cloudflare = "cloudflare",
    /// DigitalOcean.
    DigitalOcean = "digitalocean",
    /// Amazon Route 53.
    Route53 = "route53",
    /// bunny.net.
    Bunny = "bunny",
    /// deSEC.
    Desec = "desec",
    /// Gandi.
    Gandi = "gandi",
    /// GoDaddy.
    GoDaddy = "godaddy",
    /// Hetzner.
    Hetzner = "hetzner",
    /// Infomaniak.
    Infomaniak = "infomaniak",
    /// IONOS.
    Ionos = "ionos",
    /// Linode (Akamai).
    Linode = "linode",
    /// Porkbun.
    Porkbun = "porkbun",
    /// Scaleway.
    Scaleway = "scaleway",
    /// Vultr.
    Vultr = "vultr",
}

/// The name of no known provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown DNS provider")]
pub struct UnknownProvider;

impl FromStr for DnsProvider {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.iter().copied().find(|provider| provider.as_str() == name).ok_or(UnknownProvider)
    }
}

impl fmt::Display for DnsProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What proves to a provider that the zone may be changed. Not `Debug`: a secret is never printed.
pub enum Credentials {
    /// A token of the provider's; for Route 53, GoDaddy and Porkbun the id of a key, a colon, and its secret.
    Token(String),
    /// A server with a key shared with it, HMAC-SHA256 (RFC 8945 s.6).
    Tsig {
        /// The server.
        server: SocketAddr,
        /// The key's name, as the server has it.
        key_name: String,
        /// The key's secret, in Base64.
        secret: String,
    },
}

/// Makes the library's client of a provider.
pub(crate) fn updater(provider: DnsProvider, credentials: &Credentials) -> Result<DnsUpdater, ProviderError> {
    let token = match (provider, credentials) {
        (DnsProvider::Rfc2136, Credentials::Tsig { server, key_name, secret }) => return tsig_updater(*server, key_name, secret),
        (DnsProvider::Rfc2136, Credentials::Token(_)) | (_, Credentials::Tsig { .. }) => return Err(ProviderError::OtherCredentials),
        (_, Credentials::Token(token)) => token.as_str(),
    };
    let wait = Some(REQUEST_TIMEOUT);
    let made = match provider {
        DnsProvider::Rfc2136 => return Err(ProviderError::OtherCredentials),
        DnsProvider::Cloudflare => DnsUpdater::new_cloudflare(token, wait),
        DnsProvider::DigitalOcean => DnsUpdater::new_digitalocean(token, wait),
        DnsProvider::Bunny => DnsUpdater::new_bunny(token, wait),
        DnsProvider::Desec => DnsUpdater::new_desec(token, wait),
        DnsProvider::Gandi => DnsUpdater::new_gandiv5(token, wait),
        DnsProvider::Hetzner => DnsUpdater::new_hetzner(token, wait),
        DnsProvider::Infomaniak => DnsUpdater::new_infomaniak(token, wait),
        DnsProvider::Ionos => DnsUpdater::new_ionos(token, wait),
        DnsProvider::Linode => DnsUpdater::new_linode(token, wait),
        DnsProvider::Scaleway => DnsUpdater::new_scaleway(token, wait),
        DnsProvider::Vultr => DnsUpdater::new_vultr(token, wait),
        DnsProvider::GoDaddy => key_pair(token).map(|(key, secret)| DnsUpdater::new_godaddy(key, secret, wait))?,
        DnsProvider::Porkbun => key_pair(token).map(|(key, secret)| DnsUpdater::new_porkbun(key, secret, wait))?,
        DnsProvider::Route53 => {
            let (id, secret) = key_pair(token)?;
            DnsUpdater::new_route53(Route53Config {
                access_key_id: id.to_owned(),
                secret_access_key: secret.to_owned(),
                session_token: None,
                region: None,
                hosted_zone_id: None,
                private_zone_only: Some(false),
                endpoint: None,
            })
        }
    };
    // The library's own words about a bad token could have the token in them.
    made.map_err(|_| ProviderError::UnusableCredentials)
}

fn tsig_updater(server: SocketAddr, key_name: &str, secret: &str) -> Result<DnsUpdater, ProviderError> {
    let secret = STANDARD.decode(secret.trim()).map_err(|_| ProviderError::NotBase64)?;
    DnsUpdater::new_rfc2136_tsig(DnsAddress::Tcp(server), key_name, secret, TsigAlgorithm::HmacSha256)
        .map_err(|_| ProviderError::UnusableCredentials)
}

/// The id of a key and its secret.
fn key_pair(token: &str) -> Result<(&str, &str), ProviderError> {
    token.split_once(':').ok_or(ProviderError::NotAKeyPair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_provider() {
        assert_eq!(DnsProvider::ALL.len(), DnsProvider::NAMES.len());
        for (provider, name) in DnsProvider::ALL.iter().zip(DnsProvider::NAMES) {
            assert_eq!(name.parse(), Ok(*provider));
        }
        assert_eq!("nowhere".parse::<DnsProvider>(), Err(UnknownProvider));
    }

    #[test]
    fn credentials_of_the_wrong_kind_are_refused() {
        let error = |provider, credentials| updater(provider, &credentials).err();
        let tsig = |secret: &str| Credentials::Tsig {
            server: ([127, 0, 0, 1], 53).into(),
            key_name: "key.example.com.".into(),
            secret: secret.into(),
        };
        assert_eq!(error(DnsProvider::Cloudflare, tsig("c2VjcmV0")), Some(ProviderError::OtherCredentials));
        assert_eq!(error(DnsProvider::Rfc2136, Credentials::Token("token".into())), Some(ProviderError::OtherCredentials));
        assert_eq!(error(DnsProvider::Rfc2136, tsig("no Base64")), Some(ProviderError::NotBase64));
        assert_eq!(error(DnsProvider::Porkbun, Credentials::Token("without a secret".into())), Some(ProviderError::NotAKeyPair));
    }
}
