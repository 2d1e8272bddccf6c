//! TLS handshakes with clients, on every port.
//!
//! RFC 8446, RFC 9266 s.3 (tls-exporter), RFC 5929 s.4 (tls-server-end-point). Invariant: a handshake that drips ends in time.

use std::net::IpAddr;
use std::time::Duration;

use sasl::{Binding, BindingKind};
use tokio::net::TcpStream;

use crate::receive::Reception;
use crate::settings::ListenerKind;
use crate::stream::Stream;

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
    let _ = kind;
    match tokio::time::timeout(limit, tls.acceptor().accept(tcp)).await.ok()? {
        Ok(stream) => {
            let connection = stream.get_ref().1;
            let exported = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok();
            let bindings =
                exported.map(|data: [u8; 32]| Binding { kind: BindingKind::Exporter, data: data.to_vec() }).into_iter().collect();
            let secured = Secured { description: net::describe(connection), bindings, certificate: None };
            Some((Stream::Tls(Box::new(stream.into())), secured))
        }
        Err(error) => {
            tracing::info!(%client, %error, "tls handshake failed");
            None
        }
    }
}
