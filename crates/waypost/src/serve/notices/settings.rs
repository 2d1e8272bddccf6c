//! The settings of notices, from `[notices]`.
//!
//! Invariant: a URL in a private network is refused here already, unless the operator allows it (threats.md 95).

use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::Domain;
use net::PostUrl;
use spam_filter::Address;

use crate::config::{FileOptions, private_line};

/// Minimum and maximum length of the key of a webhook, in octets (Standard Webhooks).
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where a webhook is posted, and the key that signs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: PostUrl,
    pub key: Vec<u8>,
}

/// Where ntfy messages are posted, and the token that allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ntfy {
    pub url: PostUrl,
    pub token: Option<String>,
}

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeSettings {
    /// Whether the postmaster gets notices by mail.
    pub mail: bool,
    /// The host of the `[[route]]` that takes them past the queue.
    pub route: Option<Domain>,
    pub webhook: Option<Webhook>,
    pub ntfy: Option<Ntfy>,
    /// Whether private addresses may be contacted.
    pub private: bool,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether the first sender of an alias is worth a notice.
    pub new_senders: bool,
    pub digest_every_s: u32,
    pub paused_for_s: u32,
    pub queue_age_s: u32,
    /// Whether the spam filter is of this machine alone.
    pub own_filter: bool,
}

impl NoticeSettings {
    /// Reads them, with the files of secrets.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub fn of(file: &FileOptions) -> Result<Self, String> {
        let options = &file.notices;
        let url = |name: &str, url: &PostUrl| {
            let hint = "set notices.private_addresses = true if the host is in your own network";
            url.check(options.private_addresses).map_err(|error| format!("notices.{name}: {error}\n  hint: {hint}"))
        };
        let route = options.route.as_ref().map(|route| route.0.clone());
        if let Some(host) = &route
            && !file.route.iter().any(|route| route.get_ref().host.as_ref().is_some_and(|of| of.0 == *host))
        {
            return Err(format!("notices.route: no [[route]] has host = \"{host}\"\n  hint: name the host of one of them"));
        }
        let webhook = match &options.webhook {
            Some(to) => {
                url("webhook", &to.0)?;
                let path = options.webhook_secret_file.as_ref().ok_or_else(|| {
                    "notices.webhook needs notices.webhook_secret_file\n  hint: echo whsec_$(openssl rand -base64 32) > FILE; chmod 600 FILE".to_owned()
                })?;
                Some(Webhook { url: to.0.clone(), key: key(path)? })
            }
            None => None,
        };
        let ntfy = match &options.ntfy {
            Some(to) => {
                url("ntfy", &to.0)?;
                let token = options.ntfy_token_file.as_ref().map(|path| private_line(path)).transpose()?;
                if token.as_ref().is_some_and(|token| !token.bytes().all(|b| b.is_ascii_graphic())) {
                    return Err("notices.ntfy_token_file: the token is not printable ASCII".into());
                }
                Some(Ntfy { url: to.0.clone(), token })
            }
            None => None,
        };
        Ok(Self {
            mail: options.mail,
            route,
            webhook,
            ntfy,
            private: options.private_addresses,
            ipv6: file.delivery.ipv6,
            new_senders: options.new_senders,
            digest_every_s: options.digest_every.0.max(1),
            paused_for_s: options.paused_for.0,
            queue_age_s: options.queue_age.0.max(1),
            own_filter: file.filter.address.as_ref().is_none_or(|address| is_own(&address.0)),
        })
    }
}

/// Whether this is the address of a service of this machine.
fn is_own(address: &Address) -> bool {
    match address {
        Address::Unix(_) => true,
        Address::Tcp { host, .. } => host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
    }
}

/// The key in a file: `whsec_` and base64.
fn key(path: &Path) -> Result<Vec<u8>, String> {
    let line = private_line(path)?;
    let wrong = || {
        let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
        format!(
            "notices.webhook_secret_file: {} does not hold whsec_ and the base64 of {least} to {most} octets\n  hint: echo whsec_$(openssl rand -base64 32) > {}",
            path.display(),
            path.display()
        )
    };
    let key = line.trim().strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok()).ok_or_else(wrong)?;
    if KEY_BYTES.contains(&key.len()) { Ok(key) } else { Err(wrong()) }
}
