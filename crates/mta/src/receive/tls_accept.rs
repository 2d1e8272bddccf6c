//! TLS handshakes with clients, on every port.
//!
//! RFC 8446, RFC 9266 s.3 (tls-exporter), RFC 5929 s.4 (tls-server-end-point). Invariant: a handshake that drips ends in time.

use std::net::IpAddr;
use std::time::Duration;

use net::Service;
use sasl::{Binding, BindingKind};
use tokio::net::TcpStream;

use crate::receive::session::Reception;
use crate::settings::ListenerKind;
use crate::support::stream::Stream;

/// What is known of a session's TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Secured {
    /// For trace fields and logs.
    pub description: String,
    /// What a login can be bound to.
    pub bindings: Vec<Binding>,
    /// The SHA-256 of the client's certificate, in lower-case hexadecimal digits, where it was asked for one and has it.
    pub certificate: Option<String>,
}

/// Does a handshake; nothing where it fails, which is logged.
pub(crate) async fn handshake(tcp: TcpStream, client: IpAddr, kind: ListenerKind, reception: &Reception) -> Option<(Stream, Secured)> {
    let tls = reception.tls.as_ref()?;
    let limit = Duration::from_secs(reception.settings.load().limits.handshake_timeout_s);
    let service = if kind == ListenerKind::ByCertificate { Service::ByCertificate } else { Service::Smtp };
    match tokio::time::timeout(limit, tls.acceptor(service).accept(tcp)).await.ok()? {
        Ok(accepted) => {
            let connection = accepted.stream.get_ref().1;
            let secured = Secured {
                description: net::describe(connection),
                bindings: bindings(connection, &accepted.leaf),
                certificate: connection.peer_certificates().and_then(<[_]>::first).map(|leaf| net::certificate_digest(leaf)),
            };
            Some((Stream::Tls(Box::new(accepted.stream.into())), secured))
        }
        Err(error) => {
            tracing::info!(%client, %error, "tls handshake failed");
            None
        }
    }
}

fn bindings(
    connection: &tokio_rustls::rustls::ServerConnection,
    leaf: &tokio_rustls::rustls::pki_types::CertificateDer<'_>,
) -> Vec<Binding> {
    let kinds = [BindingKind::Exporter, BindingKind::ServerEndPoint];
    let named = |name: &str| kinds.into_iter().find(|kind| kind.name() == name);
    net::channel_bindings(connection, leaf).into_iter().filter_map(|(name, data)| Some(Binding { kind: named(name)?, data })).collect()
}
