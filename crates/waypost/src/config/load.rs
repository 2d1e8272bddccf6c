//! Reading the configuration file.
//!
//! Invariant: a configuration is accepted as a whole or not at all; relative paths in it are relative to the file.

use std::fs;
use std::path::{Path, PathBuf};

use mail::Domain;
use mta::settings::{Listener, ListenerKind, Settings};
use net::TrustedProxies;
use toml::Spanned;

use super::certificates;
use super::error::{self, ConfigError, ConfigErrors};
use super::options::{FileOptions, RouteOptions};
use super::pages;
use super::renamed;
use super::settings::settings;
use super::store;
use super::words::{FilterWord, TlsWord};

/// The submit socket if the data directory is the default one.
pub const DEFAULT_SUBMIT_SOCKET: &str = "/run/waypost/submit.sock";

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file that it was read from.
    pub path: PathBuf,
    /// The options of the file, with absolute paths.
    pub file: FileOptions,
    /// The settings of the mail flow.
    pub settings: Settings,
    /// Options that still have their former names, and a password that others can read.
    pub notices: Vec<ConfigError>,
}

impl Config {
    /// Returns the Unix socket of the control API.
    pub fn admin_socket(&self) -> PathBuf {
        self.file.admin_socket.clone().unwrap_or_else(|| self.file.data_dir.join("waypost.sock"))
    }

    /// Returns the Unix socket for mail of programs on this machine.
    pub fn submit_socket(&self) -> PathBuf {
        let is_default = self.file.data_dir == Path::new("/var/lib/waypost");
        let default = || if is_default { PathBuf::from(DEFAULT_SUBMIT_SOCKET) } else { self.file.data_dir.join("submit.sock") };
        self.file.submit_socket.clone().unwrap_or_else(default)
    }

    /// Logs the notices.
    pub fn log_notices(&self) {
        for notice in &self.notices {
            let (line, hint) = (notice.at.map(|(line, _)| line), notice.hint.as_deref().unwrap_or_default());
            tracing::warn!(file = %notice.path.display(), line, "{}; {hint}", notice.what);
        }
    }

    /// Returns the settings with the secrets of return addresses, which the server may have created after the file was read.
    pub fn with_secrets(&self) -> Result<Settings, ConfigErrors> {
        let mut settings = self.settings.clone();
        settings.forward.srs.secrets = super::settings::srs_secrets(&self.file)
            .map_err(|what| ConfigErrors(vec![ConfigError { path: self.path.clone(), at: None, what, hint: None }]))?;
        Ok(settings)
    }

    /// Returns the load balancers in front of the listeners.
    pub fn proxies(&self) -> TrustedProxies {
        TrustedProxies::new(self.file.listen.proxy_from.iter().map(|range| range.0))
    }

    /// Returns the addresses to listen on.
    pub fn listeners(&self) -> Vec<Listener> {
        let listen = &self.file.listen;
        let kinds = [
            (ListenerKind::Mx, &listen.mx),
            (ListenerKind::Submission, &listen.submission),
            (ListenerKind::Submissions, &listen.submissions),
            (ListenerKind::ByCertificate, &listen.submissions_by_certificate),
        ];
        kinds.into_iter().flat_map(|(kind, addresses)| addresses.iter().map(move |address| Listener { kind, address: address.0 })).collect()
    }
}

/// Reads the configuration file.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let one = |what: String, hint: Option<String>| ConfigErrors(vec![ConfigError { path: path.into(), at: None, what, hint }]);
    let bytes = fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => one(
            "the configuration file does not exist".into(),
            Some("create it with `waypost setup DOMAIN --forward ME@DOMAIN=YOU@ELSEWHERE`, or name another with --config".into()),
        ),
        std::io::ErrorKind::PermissionDenied => {
            one("this user may not read the configuration file".into(), Some("run the command with sudo, or as the server's user".into()))
        }
        _ => one(e.to_string(), None),
    })?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(e.as_bytes()).into_owned();
        ConfigErrors(vec![error::at(path, &text, valid..valid, "the file is not UTF-8", Some("save the file as UTF-8"))])
    })?;
    parse(path, &text)
}

/// Parses and checks the text of the file at `path`.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
    let mut file: FileOptions = toml::from_str(text).map_err(|e| ConfigErrors(vec![error::of_toml(path, text, &e)]))?;
    make_absolute(path, &mut file);
    let mut errors = Vec::new();
    let hostname = hostname(path, text, &file, &mut errors);
    check(path, text, &file, &mut errors);
    certificates::check(path, text, &file, &mut errors);
    pages::check(path, text, &file, &mut errors);
    store::check(path, text, &file, &mut errors);
    let settings = hostname.and_then(|hostname| settings(path, text, &file, hostname, &mut errors));
    match settings {
        Some(settings) if errors.is_empty() => {
            let mut notices = renamed::notices(path, text);
            notices.extend(store::notices(path, text, &file));
            Ok(Config { path: path.into(), file, settings, notices })
        }
        _ => {
            errors.sort_by_key(|error| error.at);
            Err(ConfigErrors(errors))
        }
    }
}

/// Returns the options of the file alone, without what they name; `None` if it cannot be read or is no such file.
pub fn options_of(path: &Path) -> Option<FileOptions> {
    let mut file: FileOptions = toml::from_str(&fs::read_to_string(path).ok()?).ok()?;
    make_absolute(path, &mut file);
    Some(file)
}

fn hostname(path: &Path, text: &str, file: &FileOptions, errors: &mut Vec<ConfigError>) -> Option<Domain> {
    let found = file.hostname.as_ref().map(|hostname| hostname.0.clone());
    if found.is_none() {
        let hint = "set the DNS name of this server at the top of the file: hostname = \"mx.example.com\"";
        errors.push(error::at(path, text, 0..0, "hostname is not set", Some(hint)));
    }
    found
}

fn check(path: &Path, text: &str, file: &FileOptions, errors: &mut Vec<ConfigError>) {
    let mut wrong = |span: std::ops::Range<usize>, what: &str, hint: &str| errors.push(error::at(path, text, span, what, Some(hint)));
    for route in &file.route {
        check_route(route, &mut wrong);
    }
    let filter = &file.filter;
    if filter.kind == FilterWord::Milter && filter.address.is_none() {
        let start = text.find("[filter]").unwrap_or(0);
        wrong(start..start, "the milter has no address", "add its address: address = \"unix:/run/milter.sock\" or \"127.0.0.1:8891\"");
    }
    if filter.hold_score.get_ref().0 > filter.reject_score.0 {
        let what = format!("hold_score is greater than reject_score, which is {}", filter.reject_score.0);
        wrong(filter.hold_score.span(), &what, "use a lower score for holding mail than for refusing it");
    }
    if file.retry.waits_s.get_ref().is_empty() {
        wrong(file.retry.waits_s.span(), "waits_s is empty", "add at least one wait, or remove the option to use the default");
    }
    let level = &file.log.level;
    if !is_log_level(level.get_ref()) {
        wrong(level.span(), &format!("{:?} is not a log level", level.get_ref()), "use off, error, warn, info, debug or trace");
    }
    let delimiters = &file.recipient_delimiter;
    if !delimiters.get_ref().chars().all(|c| "+-_.=#!%~^*/|".contains(c)) {
        let what = format!("{:?} cannot begin an extension", delimiters.get_ref());
        wrong(delimiters.span(), &what, "use a character such as \"+\" or \"-\", or \"\" for no extensions");
    }
}

/// A single word must be a level: the log filter's own parser takes `loud` for a target.
fn is_log_level(text: &str) -> bool {
    let word = |directive: &str| directive.rsplit('=').next().unwrap_or_default().trim().to_owned();
    text.split(',').all(|directive| word(directive).parse::<tracing_subscriber::filter::LevelFilter>().is_ok())
        && text.parse::<tracing_subscriber::filter::Targets>().is_ok()
}

fn check_route(route: &Spanned<RouteOptions>, wrong: &mut impl FnMut(std::ops::Range<usize>, &str, &str)) {
    let (span, route) = (route.span(), route.get_ref());
    let ends = [("host", route.host.is_some()), ("socket", route.socket.is_some()), ("maildir", route.maildir.is_some())];
    match ends.iter().filter(|(_, is_there)| *is_there).map(|(name, _)| *name).collect::<Vec<_>>().as_slice() {
        [] => wrong(span.clone(), "this route has no host", "add the next hop: host = \"smtp.example.net\""),
        [_] => {}
        several => wrong(span.clone(), &format!("this route has a {}", several.join(" and a ")), "keep one of them"),
    }
    if route.maildir.is_some() && route.domains.is_empty() {
        wrong(
            span.clone(),
            "this route delivers all mail to maildirs of this machine",
            "limit it to the domains of those mailboxes: domains = [\"local.example.com\"]",
        );
    }
    if !route.pin.is_empty() && !matches!(route.tls, TlsWord::Required | TlsWord::Implicit) {
        wrong(span.clone(), "this route has a pin, but does not require TLS", "use tls = \"required\" or \"implicit\"");
    }
    match (&route.user, &route.password_file) {
        (Some(_), None) => {
            wrong(span.clone(), "this route has a user but no password_file", "put the password into a file and set password_file")
        }
        (None, Some(file)) => wrong(file.span(), "this route has a password_file but no user", "add user: the login at the next hop"),
        _ => {}
    }
    if route.user.is_some() && matches!(route.tls, TlsWord::None | TlsWord::Opportunistic) {
        wrong(span, "this route sends its password without TLS", "use tls = \"required\" or \"implicit\"");
    }
}

/// Makes paths absolute, since the working directory of the server may change.
fn make_absolute(path: &Path, file: &mut FileOptions) {
    let base = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let base = std::path::absolute(base).unwrap_or_else(|_| base.into());
    let fix = |path: &mut PathBuf| *path = base.join(&*path);
    fix(&mut file.data_dir);
    let tls = &mut file.tls;
    let optional = [
        &mut file.forward.secrets_file,
        &mut file.submission.password_key_file,
        &mut file.virtual_file,
        &mut file.admin_socket,
        &mut file.submit_socket,
        &mut tls.certificate,
        &mut tls.key,
        &mut tls.extra_authorities,
        &mut file.dns.trust_anchor,
        &mut file.acme.dns_hook,
        &mut file.acme.authority_root,
        &mut file.dns.tsig_secret_file,
        &mut file.dns.token_file,
        &mut file.notices.webhook_secret_file,
        &mut file.notices.ntfy_token_file,
    ];
    optional.into_iter().flatten().for_each(fix);
    file.sandbox.readable.iter_mut().chain(&mut file.sandbox.writable).for_each(fix);
    for pair in &mut file.tls.pair {
        let pair = pair.get_mut();
        [&mut pair.certificate, &mut pair.key].into_iter().flatten().for_each(fix);
    }
    for secret in [&mut file.oauth.client_secret_file, &mut file.store.password_file].into_iter().flatten() {
        fix(secret.get_mut());
    }
    for route in &mut file.route {
        let route = route.get_mut();
        if let Some(password) = &mut route.password_file {
            fix(password.get_mut());
        }
        route.socket.iter_mut().for_each(fix);
    }
}
