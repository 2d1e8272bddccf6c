//! The options about what the server publishes: client configuration, and the MTA-STS policy.
//!
//! RFC 8461 s.3.2. Invariant: all of it is public.

use std::path::Path;

use dns_plan::SubmissionPorts;
use mail::Domain;
use mta::settings::ListenerKind;
use policy::{STS_AGE_MAX_S, StsMode, StsPolicy};
use public_http::pages::PublicData;

use super::error::{self, ConfigError};
use super::load::Config;
use super::options::FileOptions;
use super::words::StsWord;

impl Config {
    /// Returns the MTA-STS policy of this server and the others that share its mail.
    pub fn sts_policy(&self, others: &[Domain]) -> StsPolicy {
        let mode = match self.file.mta_sts.mode {
            StsWord::None => StsMode::None,
            StsWord::Testing => StsMode::Testing,
            StsWord::Enforce => StsMode::Enforce,
        };
        StsPolicy { mode, mx: others.iter().chain([&self.settings.hostname]).cloned().collect(), max_age_s: self.file.mta_sts.max_age.0 }
    }

    /// Returns the submission ports; of several listeners, the first.
    pub fn submission_ports(&self) -> SubmissionPorts {
        let listeners = self.listeners();
        let port = |kind| listeners.iter().find(|listener| listener.kind == kind).map(|listener| listener.address.port());
        SubmissionPorts { submissions: port(ListenerKind::Submissions), submission: port(ListenerKind::Submission) }
    }

    /// Returns the address of the owner's page, without a slash at its end; `None` if it is off.
    pub fn page_url(&self) -> Option<String> {
        let [_, https] = self.web_addresses();
        let alone = self.owner_addresses();
        let first = alone.as_ref().unwrap_or(&https).list.first()?;
        let ip = first.ip();
        // Behind an SSH tunnel; elsewhere the server's name, which the certificate has.
        let host = if alone.is_some() && ip.is_loopback() { "localhost".to_owned() } else { self.settings.hostname.to_string() };
        let port = if first.port() == 443 { String::new() } else { format!(":{}", first.port()) };
        Some(format!("https://{host}{port}"))
    }

    /// Returns the data of the public pages of this server, which shares its mail with `others`.
    pub fn public_data(&self, others: &[Domain]) -> PublicData {
        let ports = self.submission_ports();
        PublicData {
            hostname: self.settings.hostname.to_string(),
            submissions: ports.submissions,
            submission: ports.submission,
            imap_host: self.file.client_config.imap_host.as_ref().map(|host| host.0.to_string()),
            mta_sts: self.sts_policy(others).text(),
        }
    }
}

/// Checks these options.
pub(super) fn check(path: &Path, text: &str, file: &FileOptions, errors: &mut Vec<ConfigError>) {
    if file.mta_sts.max_age.0 == 0 || file.mta_sts.max_age.0 > STS_AGE_MAX_S {
        let start = text.find("[mta_sts]").unwrap_or(0);
        let what = format!("mta_sts.max_age is not between 1 and {STS_AGE_MAX_S} seconds");
        errors.push(error::at(path, text, start..start, &what, Some("a week (\"7d\") is usual")));
    }
}
