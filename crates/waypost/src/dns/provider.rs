//! Who takes changes of records, as the configuration and the environment say.
//!
//! RFC 2136, RFC 8945. Invariant: a token or a secret is neither printed nor logged, and stands in no error.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dns_update::providers::rfc2136::DnsAddress;
use dns_update::providers::route53::Route53Config;
use dns_update::{DnsUpdater, TsigAlgorithm};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use crate::config::{Config, ProviderWord, private_line};

/// The variable that stands instead of the file with the token.
pub const TOKEN_VARIABLE: &str = "WAYPOST_DNS_TOKEN";

/// A request to a provider takes at most this long.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the word of the command line.
pub fn word(text: &str) -> Option<ProviderWord> {
    let word: StrDeserializer<'_, serde::de::value::Error> = text.into_deserializer();
    ProviderWord::deserialize(word).ok()
}

/// The way to the provider.
pub fn updater(config: &Config, provider: ProviderWord) -> Result<DnsUpdater> {
    let (wait, token, pair) = (Some(TIMEOUT), || token(config), || pair(config));
    let made = match provider {
        ProviderWord::Rfc2136 => return by_update(config),
        ProviderWord::Cloudflare => DnsUpdater::new_cloudflare(token()?, wait),
        ProviderWord::DigitalOcean => DnsUpdater::new_digitalocean(token()?, wait),
        ProviderWord::Bunny => DnsUpdater::new_bunny(token()?, wait),
        ProviderWord::Desec => DnsUpdater::new_desec(token()?, wait),
        ProviderWord::Gandi => DnsUpdater::new_gandiv5(token()?, wait),
        ProviderWord::Hetzner => DnsUpdater::new_hetzner(token()?, wait),
        ProviderWord::Infomaniak => DnsUpdater::new_infomaniak(token()?, wait),
        ProviderWord::Ionos => DnsUpdater::new_ionos(token()?, wait),
        ProviderWord::Linode => DnsUpdater::new_linode(token()?, wait),
        ProviderWord::Scaleway => DnsUpdater::new_scaleway(token()?, wait),
        ProviderWord::Vultr => DnsUpdater::new_vultr(token()?, wait),
        ProviderWord::GoDaddy => pair().map(|(key, secret)| DnsUpdater::new_godaddy(key, secret, wait))?,
        ProviderWord::Porkbun => pair().map(|(key, secret)| DnsUpdater::new_porkbun(key, secret, wait))?,
        ProviderWord::Route53 => {
            let (access_key_id, secret_access_key) = pair()?;
            DnsUpdater::new_route53(Route53Config {
                access_key_id,
                secret_access_key,
                session_token: None,
                region: None,
                hosted_zone_id: None,
                private_zone_only: Some(false),
                endpoint: None,
            })
        }
    };
    made.map_err(refused)
}

/// What the library says of a bad token could hold the token.
fn refused(_: dns_update::Error) -> anyhow::Error {
    anyhow!("what was given for the provider cannot be used\n  hint: see whether the token or key was copied whole")
}

/// A server that takes updates, with a key.
fn by_update(config: &Config) -> Result<DnsUpdater> {
    let dns = &config.file.dns;
    let (Some(server), Some(name), Some(file)) = (&dns.server, &dns.tsig_name, &dns.tsig_secret_file) else {
        bail!(
            "updates need a server and a key\n  hint: set dns.server, dns.tsig_name and dns.tsig_secret_file in {}",
            config.path.display()
        );
    };
    let secret = STANDARD
        .decode(line(file)?.trim())
        .map_err(|_| anyhow!("{} holds no Base64\n  hint: write the secret of the key into it, and nothing else", file.display()))?;
    DnsUpdater::new_rfc2136_tsig(DnsAddress::Tcp(server.0), name, secret, TsigAlgorithm::HmacSha256).map_err(refused)
}

/// A key and its secret, where a provider has both.
fn pair(config: &Config) -> Result<(String, String)> {
    let token = token(config)?;
    let (id, secret) = token.split_once(':').ok_or_else(|| {
        anyhow!("the token for this provider is the id of a key, a colon, and its secret\n  hint: make one that may change the zone only")
    })?;
    Ok((id.to_owned(), secret.to_owned()))
}

fn token(config: &Config) -> Result<String> {
    if let Ok(token) = std::env::var(TOKEN_VARIABLE)
        && !token.trim().is_empty()
    {
        return Ok(token.trim().to_owned());
    }
    let Some(file) = &config.file.dns.token_file else {
        bail!("the provider needs a token\n  hint: set {TOKEN_VARIABLE}, or dns.token_file in {}", config.path.display());
    };
    Ok(line(file)?.trim().to_owned())
}

fn line(file: &Path) -> Result<String> {
    private_line(file).map_err(|what| anyhow!(what)).context("the secret cannot be read")
}
