//! Converts the options of the file into the settings of the mail flow.
//!
//! Invariant: a secret that other users can read is refused (threats.md 86).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mail::Domain;
use mail::srs::Srs;
use mta::VirtualSource;
use mta::settings::{Delivery, Filtering, Forward, Limits, Reporting, Route, Sending, Settings, WhenDown};
use policy::{Schedule, Unauthenticated};
use smtp::client::{self, Credentials, TlsMode};
use spam_filter::{Address, Protocol, Thresholds};
use store::Flow;
use toml::Spanned;

use super::error::{self, ConfigError};
use super::memory;
use super::options::{self, FileOptions};
use super::secrets;
use super::words::{Dkim2Word, FilterWord, FlowWord, ForwardMode, ProtocolWord, TlsWord, UnauthenticatedWord, WhenDownWord, WhenWord};

/// The default port of rspamd's normal worker.
const RSPAMD_PORT: u16 = 11333;

/// Returns the settings of the mail flow; problems are added to `errors`.
pub(super) fn settings(path: &Path, text: &str, file: &FileOptions, hostname: Domain, errors: &mut Vec<ConfigError>) -> Option<Settings> {
    let mut routes = Vec::with_capacity(file.route.len());
    for route in &file.route {
        match self::route(route.get_ref()) {
            Ok(route) => routes.extend(route),
            Err(wrong) => errors.push(error::at(path, text, wrong.span, wrong.what, Some(&wrong.hint))),
        }
    }
    let forward = match forward(file, &hostname) {
        Ok(forward) => forward,
        Err(wrong) => {
            errors.push(error::at(path, text, text.find("secrets_file").map_or(0..0, |n| n..n), wrong.what, Some(&wrong.hint)));
            return None;
        }
    };
    let introspection = match introspection(&file.oauth) {
        Ok(introspection) => introspection,
        Err(wrong) => {
            let span = if wrong.span.is_empty() { text.find("[oauth]").map_or(0..0, |n| n..n) } else { wrong.span };
            errors.push(error::at(path, text, span, wrong.what, Some(&wrong.hint)));
            None
        }
    };
    Some(Settings {
        hostname,
        postmaster: file.postmaster.as_ref().map(|m| m.0.clone()),
        delimiters: file.recipient_delimiter.get_ref().clone(),
        virtual_file: virtual_source(file),
        limits: limits(&file.limits),
        forward,
        filtering: filtering(&file.filter),
        delivery: delivery(&file.delivery, routes),
        reporting: Reporting {
            tls: file.reports.tls,
            dmarc: file.reports.dmarc,
            contact: file.reports.contact.as_ref().map(|contact| contact.0.clone()),
            every_s: file.reports.every.0.max(1),
        },
        schedule: schedule(&file.retry),
        login_domain: file.submission.login_domain.as_ref().map(|domain| domain.0.clone()),
        submission: Sending {
            per_hour: number(file.submission.recipients_per_hour.0),
            new_per_day: number(file.submission.new_recipients_per_day.0),
        },
        sign_dkim2: file.submission.dkim2 == Dkim2Word::Sign,
        channel_binding: file.submission.channel_binding,
        local_users: file.submission.local_users.iter().map(|rule| rule.0.clone()).collect(),
        introspection,
        log_targets: file.log.targets,
        history_subjects: file.history.enabled && file.history.subjects,
    })
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn virtual_source(file: &FileOptions) -> Option<VirtualSource> {
    let origin = file.virtual_origin.as_ref().map(|origin| origin.0.clone());
    file.virtual_file.clone().map(|path| VirtualSource { path, origin })
}

fn limits(limits: &options::LimitsOptions) -> Limits {
    Limits {
        message_bytes: limits.message_bytes.0,
        recipients: size(limits.recipients.0),
        content_memory_bytes: limits.content_memory_bytes.0,
        memory_bytes: limits.memory_bytes.map_or_else(memory::default_budget, |bytes| bytes.0),
        sessions: size(limits.sessions.0),
        sessions_per_client: size(limits.sessions_per_client.0),
        command_timeout_s: limits.command_timeout_s.0,
        content_timeout_s: limits.content_timeout_s.0,
        handshake_timeout_s: limits.handshake_timeout_s.0,
        greet_delay_ms: limits.greet_delay_ms.0,
        failed_logins_per_client: number(limits.failed_logins_per_client.0),
        failed_logins_per_account: number(limits.failed_logins_per_account.0),
    }
}

fn number(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Token introspection, if it is configured.
fn introspection(oauth: &options::OauthOptions) -> Result<Option<net::Introspection>, OptionError> {
    let Some(url) = &oauth.introspection_url else { return Ok(None) };
    let secret = oauth.client_secret_file.as_ref().map(password).transpose()?;
    let credentials = oauth.client_id.as_deref().zip(secret.as_deref());
    let wrong = |e: net::IntrospectionError| OptionError {
        span: 0..0,
        what: e.to_string(),
        hint: "the documentation of your authorization server names the endpoint".into(),
    };
    net::Introspection::new(url, credentials, &oauth.claim).map(Some).map_err(wrong)
}

/// The option's kind has checked the bounds.
fn port(n: u64) -> u16 {
    u16::try_from(n).unwrap_or(u16::MAX)
}

fn delivery(delivery: &options::DeliveryOptions, routes: Vec<Route>) -> Delivery {
    Delivery {
        port: port(delivery.port.0),
        policy_port: port(delivery.mta_sts_port.0),
        ipv6: delivery.ipv6,
        check_ipv6: delivery.check_ipv6,
        loopback: delivery.loopback,
        connections_per_host: size(delivery.connections_per_host.0),
        messages_per_connection: u32::try_from(delivery.messages_per_connection.0).unwrap_or(u32::MAX),
        connect_timeout_s: delivery.connect_timeout_s.0,
        keep_s: delivery.idle_timeout_s.0,
        host_pause_s: delivery.host_pause_s.0,
        shutdown_grace_s: delivery.shutdown_grace_s.0,
        source: delivery.source.as_ref().map(|ip| ip.0),
        routes,
    }
}

fn forward(file: &FileOptions, hostname: &Domain) -> Result<Forward, OptionError> {
    let forward = &file.forward;
    let srs = Srs {
        domain: forward.domain.as_ref().map_or_else(|| hostname.clone(), |domain| domain.0.clone()),
        secrets: read_secrets(&file.srs_secrets(), forward.secrets_file.is_some())?,
        mac: net::srs_mac,
    };
    Ok(Forward {
        srs,
        source: forward.source.as_ref().map(|ip| ip.0),
        hello: forward.ehlo_name.as_ref().map(|name| name.0.clone()),
        extend_dkim2: forward.extend_dkim2,
        cut_through: forward.mode == ForwardMode::CutThrough,
        deadline_s: forward.cut_through_timeout_s.0,
        unauthenticated: match forward.unauthenticated {
            UnauthenticatedWord::Reject => Unauthenticated::Reject,
            UnauthenticatedWord::Hold => Unauthenticated::Hold,
            UnauthenticatedWord::Accept => Unauthenticated::Accept,
        },
        strict_domain: forward.strict_domain,
        hold_s: forward.hold_for.0,
        held_bytes: forward.held_bytes.0,
        notice_s: forward.notice_every.0,
        reports_per_sender: u32::try_from(forward.dsns_per_sender.0).unwrap_or(u32::MAX),
    })
}

/// The spam filter. A milter without an address has been reported as an error already.
fn filtering(filter: &options::FilterOptions) -> Option<Filtering> {
    let (reject, hold) = (filter.reject_score.0, filter.hold_score.get_ref().0);
    let protocol = match filter.kind {
        FilterWord::Off => return None,
        FilterWord::Rspamd => Protocol::Rspamd(Thresholds { reject, hold }),
        FilterWord::Milter => Protocol::Milter,
    };
    let address = filter.address.as_ref().map(|address| address.0.clone());
    let address = address.unwrap_or_else(|| Address::Tcp { host: "127.0.0.1".into(), port: RSPAMD_PORT });
    Some(Filtering {
        filter: spam_filter::Filter { protocol, address, timeout_s: filter.timeout_s.0 },
        when_down: match filter.when_down {
            WhenDownWord::Pass => WhenDown::Pass,
            WhenDownWord::Defer => WhenDown::Defer,
        },
        submission: filter.submission,
    })
}

/// Reads the secrets of return addresses.
pub(super) fn srs_secrets(file: &FileOptions) -> Result<Vec<mail::srs::Secret>, String> {
    read_secrets(&file.srs_secrets(), file.forward.secrets_file.is_some()).map_err(|wrong| wrong.what)
}

/// Reads the secrets of the file. If the default file does not exist yet, there are none; the server creates it when it starts.
fn read_secrets(path: &Path, is_named: bool) -> Result<Vec<mail::srs::Secret>, OptionError> {
    if !is_named && !path.exists() {
        return Ok(Vec::new());
    }
    let text = private_text(path, 0..0)?;
    let read = secrets::read(&text);
    let faults: Vec<String> = read.faults.iter().map(|(line, why)| format!("{}:{line}: {why}", path.display())).collect();
    if read.secrets.is_empty() {
        return Err(OptionError {
            span: 0..0,
            what: faults.join("; "),
            hint: "put one secret on each line, made with: openssl rand -base64 24".into(),
        });
    }
    for fault in faults {
        tracing::error!("{fault}; return addresses made with this secret are invalid");
    }
    Ok(read.secrets)
}

fn schedule(retry: &options::RetryOptions) -> Schedule {
    Schedule {
        waits_s: retry.waits_s.get_ref().iter().map(|n| u32::try_from(n.0).unwrap_or(u32::MAX)).collect(),
        jitter_percent: u32::try_from(retry.jitter_percent.0).unwrap_or(0),
        lifetime_s: retry.lifetime.0,
        delay_report_s: retry.delay_dsn_after.map(|s| s.0),
    }
}

/// An option that cannot be used.
struct OptionError {
    span: std::ops::Range<usize>,
    what: String,
    hint: String,
}

/// Converts a route; `None` if a missing part of it has been reported already.
fn route(route: &options::RouteOptions) -> Result<Option<Route>, OptionError> {
    let local = Domain::parse("localhost").ok().filter(|_| route.socket.is_some() || route.maildir.is_some());
    let Some(host) = route.host.as_ref().map(|host| host.0.clone()).or(local) else { return Ok(None) };
    let credentials = match (&route.user, &route.password_file) {
        (Some(user), Some(file)) => Some(Credentials { user: user.clone(), password: password(file)? }),
        _ => None,
    };
    Ok(Some(Route {
        domains: route.domains.iter().map(|d| d.0.clone()).collect(),
        flows: route.flows.iter().map(|flow| self::flow(*flow)).collect(),
        host,
        port: port(route.port.0),
        socket: route.socket.clone(),
        maildir: route.maildir.as_ref().map(|place| place.0.clone()),
        is_last_resort: route.when == WhenWord::Unreachable,
        pins: route.pin.iter().map(|pin| pin.0).collect(),
        protocol: if route.socket.is_some() || route.protocol == ProtocolWord::Lmtp {
            client::Protocol::Lmtp
        } else {
            client::Protocol::Smtp
        },
        tls: match route.tls {
            // A socket cannot be intercepted.
            _ if route.socket.is_some() => TlsMode::Never,
            TlsWord::None => TlsMode::Never,
            TlsWord::Opportunistic => TlsMode::Opportunistic,
            TlsWord::Required => TlsMode::Required,
            TlsWord::Implicit => TlsMode::Implicit,
        },
        verify: route.verify,
        credentials,
    }))
}

fn flow(word: FlowWord) -> Flow {
    match word {
        FlowWord::Own => Flow::Own,
        FlowWord::Forward => Flow::Forward,
        FlowWord::Report => Flow::Report,
    }
}

/// Reads a file that only the server's user can read.
fn private_text(path: &Path, span: std::ops::Range<usize>) -> Result<String, OptionError> {
    let shown = path.display();
    let wrong = |what: String, hint: String| OptionError { span: span.clone(), what, hint };
    let metadata = fs::metadata(path).map_err(|e| wrong(format!("{shown}: {e}"), "create the file with the secret in it".into()))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let what = format!("{shown} is readable by other users (mode {mode:04o})");
        return Err(wrong(what, format!("run: chmod 600 {shown}; then change the secret, since others may have seen it")));
    }
    let bytes = fs::read(path).map_err(|e| wrong(format!("{shown}: {e}"), "run the server as the owner of the file".into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the first line of a file that only the server's user can read, for a command.
pub fn private_line(path: &Path) -> Result<String, String> {
    let text = private_text(path, 0..0).map_err(|wrong| format!("{}\n  hint: {}", wrong.what, wrong.hint))?;
    let line = text.lines().next().filter(|line| !line.is_empty());
    line.map(str::to_owned).ok_or_else(|| format!("{} is empty\n  hint: put the secret on its first line", path.display()))
}

/// Reads the first line of a file that only the server's user can read.
fn password(file: &Spanned<std::path::PathBuf>) -> Result<String, OptionError> {
    let path = file.get_ref();
    let shown = path.display();
    let wrong = |what: String, hint: String| OptionError { span: file.span(), what, hint };
    let text = private_text(path, file.span())?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(wrong(format!("{shown} is empty"), "put the password on its first line".into())),
    }
}
