//! The database server: its address, and how a connection to it is opened.
//!
//! Invariant: a connection that is handed out may write, and its commits are durable, unless the operator accepts loss.

use std::error::Error;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio::sync::mpsc;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::errors::{READ_ONLY, of_postgres};
use super::tls::{CertificateCheck, MakeTls};
use crate::error::StoreError;

/// Maximum time for opening a connection, with all hosts.
const CONNECT_MAX: Duration = Duration::from_secs(8);

/// Time after which a host that does not answer is left for the next one.
const HOST_MAX: Duration = Duration::from_secs(3);

/// Time after which octets without an acknowledgement break a connection.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// What a connection sets: the server ends a transaction whose node has gone, and a lock is not waited for without end.
const SESSION: &str = "SET lock_timeout = '15s'; SET idle_in_transaction_session_timeout = '30s'; SET statement_timeout = 0; \
     SET standard_conforming_strings = on; SET client_min_messages = warning";

/// How statements are planned: by indexes. A prepared statement keeps its plan, and one that was made while a table was empty would read all of it when
/// it has a million rows. Other engines may not know these settings.
const PLANS: &str = "SET jit = off; SET enable_seqscan = off";

/// The settings that make commits durable, and the encoding, which must have every character of mail.
const DURABLE: &str = "SELECT current_setting('synchronous_commit'), current_setting('fsync'), current_setting('transaction_read_only'), \
     current_setting('server_encoding')";

/// The server of a store.
pub(super) struct Server {
    config: Config,
    /// Has the password, which may change while this process runs.
    password_file: Option<PathBuf>,
    tls: Option<MakeTls>,
    accept_loss: bool,
}

/// An open connection.
pub(super) struct Opened {
    pub client: Client,
    /// The channels of notifications, as they come.
    pub notifications: mpsc::UnboundedReceiver<String>,
    /// Set when the server warned about a commit, as when a standby may not have it.
    pub is_doubtful: Arc<AtomicBool>,
}

/// Takes the parameters that tokio-postgres does not know out of an address. Returns the rest, and their values.
fn without(url: &str, names: &[&str]) -> (String, Vec<Option<String>>) {
    let mut values = vec![None; names.len()];
    let Some((front, query)) = url.split_once('?') else { return (url.to_owned(), values) };
    let mut kept = Vec::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match names.iter().position(|known| *known == name).and_then(|place| values.get_mut(place)) {
            Some(found) => *found = Some(percent_decode_str(value).decode_utf8_lossy().into_owned()),
            None => kept.push(pair),
        }
    }
    if kept.is_empty() { (front.to_owned(), values) } else { (format!("{front}?{}", kept.join("&")), values) }
}

/// Returns the file with the certificates that an address names, which a restricted process must be allowed to read.
pub fn root_certificates(url: &str) -> Option<PathBuf> {
    let (_, values) = without(url, &["sslrootcert"]);
    values.into_iter().flatten().next().filter(|path| path != "system").map(PathBuf::from)
}

/// Reads the password of a file: its text without the end of the line.
///
/// # Errors
/// [`StoreError::Settings`] if it cannot be read, or is empty.
pub fn read_password(path: &Path) -> Result<String, StoreError> {
    let of = |why: String| StoreError::Settings(format!("store.password_file {} {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| of(format!("cannot be read: {error}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err(of("is empty: write the password of the role into it".into())) } else { Ok(password.to_owned()) }
}

/// Reads an address as a start does, without a connection.
///
/// # Errors
/// [`StoreError::Settings`] if it cannot be read.
pub fn check_address(url: &str) -> Result<(), StoreError> {
    Server::parse(url, None, false).map(|_| ())
}

impl Server {
    /// Reads an address as libpq writes it: `postgres://user:password@host1,host2/database?sslmode=verify-full`.
    ///
    /// # Errors
    /// [`StoreError::Settings`] if it cannot be read.
    pub fn parse(url: &str, password: Option<&str>, accept_loss: bool) -> Result<Self, StoreError> {
        let (url, values) = without(url, &["sslmode", "sslrootcert"]);
        let [mode, roots] = values.as_slice() else { return Err(StoreError::Closed) };
        let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Settings(format!("store.url cannot be read: {why}"))
        })?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(StoreError::Settings(
                "store.url: it names no host (a directory of sockets is written as %2Frun%2Fpostgresql)".into(),
            ));
        }
        if let Some(password) = password
            && config.get_password().is_none()
        {
            config.password(password);
        }
        let (ssl_mode, verified) = match (mode.as_deref(), roots) {
            (Some("disable"), _) => (SslMode::Disable, CertificateCheck::Nothing),
            (None | Some("prefer"), _) => (SslMode::Prefer, CertificateCheck::Nothing),
            (Some("require"), None) => (SslMode::Require, CertificateCheck::Nothing),
            (Some("require" | "verify-ca"), _) => (SslMode::Require, CertificateCheck::Issuer),
            (Some("verify-full"), _) => (SslMode::Require, CertificateCheck::IssuerAndName),
            (Some(other), _) => {
                let known = "disable, prefer, require, verify-ca or verify-full";
                return Err(StoreError::Settings(format!("store.url: sslmode={other} is not known; write {known}")));
            }
        };
        // As in libpq, a socket of this machine has no TLS.
        let ssl_mode = if config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) { SslMode::Disable } else { ssl_mode };
        config.ssl_mode(ssl_mode).keepalives_idle(SILENCE_MAX);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(HOST_MAX);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE_MAX);
        }
        // A standby cannot take mail.
        if config.get_target_session_attrs() != TargetSessionAttrs::ReadWrite {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let tls = if ssl_mode == SslMode::Disable { None } else { Some(MakeTls::new(verified, roots.as_deref())?) };
        Ok(Self { config, password_file: None, tls, accept_loss })
    }

    /// The same with a password that each connection reads from a file, unless the address has one.
    pub fn with_password_file(self, path: Option<PathBuf>) -> Self {
        Self { password_file: path.filter(|_| self.config.get_password().is_none()), ..self }
    }

    /// Opens a connection. `name` is shown in the server's list of connections.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if no host answers or lets us in; [`StoreError::Settings`] if its commits are not durable.
    pub async fn connect(&self, name: &str) -> Result<Opened, StoreError> {
        let mut config = self.config.clone();
        config.application_name(name);
        if let Some(path) = &self.password_file {
            config.password(read_password(path)?);
        }
        let late = |_| StoreError::Unavailable(format!("{}: no answer within {} seconds", self.place(), CONNECT_MAX.as_secs()));
        let refused = |error| match of_postgres(&error) {
            StoreError::Unavailable(text) => StoreError::Unavailable(format!("{}: {text}", self.place())),
            other => other,
        };
        let is_doubtful = Arc::new(AtomicBool::new(false));
        let (client, notifications) = match self.tls.clone() {
            Some(tls) => {
                let (client, connection) = tokio::time::timeout(CONNECT_MAX, config.connect(tls)).await.map_err(late)?.map_err(refused)?;
                (client, drive(connection, is_doubtful.clone()))
            }
            None => {
                let (client, connection) =
                    tokio::time::timeout(CONNECT_MAX, config.connect(NoTls)).await.map_err(late)?.map_err(refused)?;
                (client, drive(connection, is_doubtful.clone()))
            }
        };
        client.batch_execute(SESSION).await.map_err(|error| of_postgres(&error))?;
        if let Err(error) = client.batch_execute(PLANS).await {
            tracing::debug!(%error, "the database does not let its plans be chosen");
        }
        self.check_durable(&client).await?;
        Ok(Opened { client, notifications, is_doubtful })
    }

    /// The hosts and the database, as an operator knows them.
    fn place(&self) -> String {
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        let port = |n: usize| ports.get(n).or(ports.first()).copied().unwrap_or(5432);
        let named = hosts.iter().enumerate().map(|(n, host)| match host {
            Host::Tcp(name) => format!("{name}:{}", port(n)),
            Host::Unix(path) => path.display().to_string(),
        });
        let named = named.collect::<Vec<_>>().join(", ");
        format!("{named}/{}", self.config.get_dbname().or(self.config.get_user()).unwrap_or_default())
    }

    async fn check_durable(&self, client: &Client) -> Result<(), StoreError> {
        let row = client.query_one(DURABLE, &[]).await.map_err(|error| of_postgres(&error))?;
        let setting = |index: usize| row.try_get::<_, String>(index).unwrap_or_default();
        if setting(2) == "on" {
            return Err(StoreError::Unavailable(READ_ONLY.into()));
        }
        if setting(3) != "UTF8" {
            return Err(StoreError::Settings(format!(
                "the database has the encoding {}, which has not every character of mail: create it anew, CREATE DATABASE ... TEMPLATE template0 \
                 ENCODING 'UTF8'",
                setting(3)
            )));
        }
        for (name, value) in [("synchronous_commit", setting(0)), ("fsync", setting(1))] {
            if value == "off" && !self.accept_loss {
                return Err(StoreError::Settings(format!(
                    "the database has {name} = off: mail that it has acknowledged would be lost in a crash. Set {name} = on in PostgreSQL; \
                     or store.accept_loss = true, if losing mail is acceptable"
                )));
            }
        }
        Ok(())
    }
}

/// Runs a connection until it ends. Returns its notifications.
fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, is_doubtful: Arc<AtomicBool>) -> mpsc::UnboundedReceiver<String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, notifications) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notification(notification)) => {
                    let _ = sender.send(notification.payload().to_owned());
                }
                Ok(AsyncMessage::Notice(notice)) => {
                    tracing::warn!(severity = notice.severity(), code = notice.code().code(), "the database says: {}", notice.message());
                    // "The transaction has already committed locally, but might not have been replicated to the standby."
                    is_doubtful.store(true, Ordering::SeqCst);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(%error, "a connection to the database ended");
                    break;
                }
            }
        }
    });
    notifications
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<(SslMode, bool), String> {
        Server::parse(url, None, false)
            .map(|server| (server.config.get_ssl_mode(), server.tls.is_some()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn addresses_are_read_as_libpq_reads_them() {
        assert_eq!(parsed("postgres://a@h/db"), Ok((SslMode::Prefer, true)));
        assert_eq!(parsed("postgres://a@h/db?sslmode=disable"), Ok((SslMode::Disable, false)));
        assert_eq!(
            parsed("postgres://a@h1:5432,h2:5433/db?sslmode=verify-full&target_session_attrs=read-write"),
            Ok((SslMode::Require, true))
        );
        assert!(parsed("postgres://a@h/db?sslmode=allow").unwrap_err().contains("sslmode=allow"));
        assert!(parsed("postgres://a@h/db?sslmode=verify-ca&sslrootcert=/nonexistent").unwrap_err().contains("/nonexistent"));
        for wrong in ["nonsense", "postgres://a@h:99999/db", "postgres://a@h/db?sslmod=require"] {
            let said = parsed(wrong).unwrap_err();
            assert!(said.starts_with("store.url"), "{wrong}: {said}");
        }
        let server = |url: &str| Server::parse(url, Some("other"), false).unwrap();
        assert_eq!(server("postgres://a:own@h1,h2:5433/db").config.get_password(), Some(&b"own"[..]), "as with psql");
        assert_eq!(server("postgres://a@h1").config.get_password(), Some(&b"other"[..]));
        assert_eq!(server("postgres://a:own@h1,h2:5433/db").place(), "h1:5432, h2:5433/db");
        assert_eq!(server("postgres://a@%2Frun%2Fpostgresql").place(), "/run/postgresql/a");
        assert_eq!(parsed("postgres://a@%2Frun%2Fpostgresql/db?sslmode=verify-full"), Ok((SslMode::Disable, false)));
        let (rest, values) = without("postgres://h/db?sslmode=require&connect_timeout=3", &["sslmode"]);
        assert_eq!((rest.as_str(), values), ("postgres://h/db?connect_timeout=3", vec![Some("require".to_owned())]));
    }
}
