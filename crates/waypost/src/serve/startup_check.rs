//! Loads the files that the configuration names, as a start does: certificates, CAs, resolver, keys.
//!
//! Invariant: it writes nothing, binds nothing and has no effect; an error that it finds would stop the next start.

use std::path::Path;

use net::{ClientTls, TlsError, certificates_of};

use super::notices::settings::NoticeSettings;
use crate::config::{Config, ConfigError, ConfigErrors, secrets};

/// Checks everything that a start with this configuration needs.
///
/// # Errors
/// All problems, each with its file.
pub fn run(config: &Config) -> Result<(), ConfigErrors> {
    let mut errors = Vec::new();
    let mut wrong = |what: String, hint: &str| {
        errors.push(ConfigError { path: config.path.clone(), at: None, what, hint: Some(hint.into()) });
    };
    match certificates_of(&config.certificate_sources(), &net::Clock::system()) {
        Ok(_) | Err(TlsError::None) => {}
        Err(error) => {
            wrong(format!("cannot use the certificate: {error}"), &sudo(config, "waypost cert check CERTIFICATE KEY checks a pair"))
        }
    }
    if let Err(error) = ClientTls::new(config.file.tls.extra_authorities.as_deref()) {
        wrong(format!("cannot use tls.extra_authorities: {error}"), "set it to a file of certificates in PEM format");
    }
    if let Err(error) = super::resolver(config) {
        wrong(error.to_string(), "check [dns]");
    }
    if let Err(error) = NoticeSettings::of(&config.file) {
        let (what, hint) = error.split_once("\n  hint: ").unwrap_or((&error, "check [notices]"));
        wrong(what.to_owned(), hint);
    }
    let key = config.file.password_key();
    if key.exists()
        && let Err(error) = secrets::password_key(&key)
    {
        let text = format!("{error:#}");
        let (what, hint) = text.split_once("\n  hint: ").unwrap_or((&text, "check submission.password_key_file"));
        wrong(what.to_owned(), hint);
    }
    if let Some(hook) = config.file.acme.dns_hook.as_deref().filter(|_| config.file.acme.enabled).filter(|hook| !is_program(hook)) {
        wrong(format!("cannot execute {}", hook.display()), "set acme.dns_hook to a program, and make it executable: chmod +x");
    }
    if errors.is_empty() { Ok(()) } else { Err(ConfigErrors(errors)) }
}

/// Returns the hint: keys of another user cannot be read.
fn sudo(config: &Config, otherwise: &'static str) -> String {
    let is_closed = |path: &Path| std::fs::File::open(path).is_err_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    match is_closed(&config.key()) || is_closed(&config.certificate()) {
        true => "run the command with sudo, or as the server's user".into(),
        false => otherwise.into(),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}
