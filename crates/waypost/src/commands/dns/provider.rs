//! The provider's credentials, from the configuration, the environment and files.
//!
//! RFC 2136, RFC 8945. Invariant: a token or a secret is neither printed nor logged, and is in no error.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use dns_providers::{Credentials, DnsProvider, ZoneEditor};

use crate::config::{Config, private_line};

/// The environment variable that takes precedence over the file with the token.
pub const TOKEN_VARIABLE: &str = "WAYPOST_DNS_TOKEN";

/// Makes a client of the provider.
pub fn editor(config: &Config, provider: DnsProvider) -> Result<ZoneEditor> {
    let credentials = match provider {
        DnsProvider::Rfc2136 => tsig(config)?,
        _ => Credentials::Token(token(config)?),
    };
    Ok(ZoneEditor::new(provider, &credentials)?)
}

fn tsig(config: &Config) -> Result<Credentials> {
    let dns = &config.file.dns;
    let (Some(server), Some(key_name), Some(file)) = (&dns.update_server, &dns.tsig_name, &dns.tsig_secret_file) else {
        bail!(
            "updates need a server and a key\n  hint: set dns.update_server, dns.tsig_name and dns.tsig_secret_file in {}",
            config.path.display()
        );
    };
    Ok(Credentials::Tsig { server: server.0, key_name: key_name.clone(), secret: secret_line(file)? })
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
    Ok(secret_line(file)?.trim().to_owned())
}

fn secret_line(file: &Path) -> Result<String> {
    private_line(file).map_err(|what| anyhow!(what)).context("the secret cannot be read")
}
