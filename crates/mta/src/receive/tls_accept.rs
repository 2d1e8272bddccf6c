//! TLS handshakes with clients, on every port.
//!
//! RFC 8446, RFC 9266 s.3 (tls-exporter), RFC 5929 s.4 (tls-server-end-point). Invariant: a slow handshake ends in time.

use std::time::Duration;

use net::{Service, Tcp};
use sasl::{Binding, BindingKind};

use crate::receive::inbound::Inbound;
use crate::receive::session_log::{self, Party};
use crate::settings::ListenerKind;
use crate::support::stream::Stream;

/// Maximum duration of a handshake under stress.
const STRESSED: Duration = Duration::from_secs(10);

/// The TLS of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsSession {
    /// Version and cipher suite, for trace fields and logs.
    pub description: String,
    /// Channel bindings.
    pub bindings: Vec<Binding>,
    /// The SHA-256 of the client's certificate, in lower-case hexadecimal digits, if the server asked for one and the client has one.
    pub certificate: Option<String>,
}

/// Performs the handshake; `None` if it fails, which is logged.
pub(super) async fn handshake(tcp: Tcp, party: Party<'_>, inbound: &Inbound) -> Option<(Stream, TlsSession)> {
    let tls = inbound.tls.as_ref()?;
    let limit = Duration::from_secs(inbound.shared.settings.load().limits.handshake_timeout_s);
    let limit = if inbound.pressure.is_stressed() { limit.min(STRESSED) } else { limit };
    let service = if party.kind == ListenerKind::ByCertificate { Service::ByCertificate } else { Service::Smtp };
    match tokio::time::timeout(limit, tls.acceptor(service).accept(tcp)).await.ok()? {
        Ok(accepted) => {
            let connection = accepted.stream.get_ref().1;
            let secured = TlsSession {
                description: net::describe(connection),
                bindings: bindings(connection, &accepted.leaf),
                certificate: connection.peer_certificates().and_then(<[_]>::first).map(|leaf| net::certificate_digest(leaf)),
            };
            Some((Stream::Tls(Box::new(accepted.stream.into())), secured))
        }
        Err(error) => {
            session_log::tls_failed(&inbound.shared, party, &error);
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
