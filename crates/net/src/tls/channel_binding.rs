//! Channel bindings: tie an authentication to its TLS connection.
//!
//! RFC 9266 s.3 (tls-exporter), RFC 5929 s.4.1 (tls-server-end-point). Invariant: only bindings that both ends compute alike.

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use crate::leaf::end_point;

/// Length of the exporter binding, in octets.
const EXPORTER_BYTES: usize = 32;

/// The channel bindings of a connection after its handshake, with the leaf that it presented: SCRAM's names, and octets.
pub fn channel_bindings(connection: &ServerConnection, leaf: &CertificateDer<'_>) -> Vec<(&'static str, Vec<u8>)> {
    let mut bindings = Vec::with_capacity(2);
    let exported = connection.export_keying_material([0; EXPORTER_BYTES], b"EXPORTER-Channel-Binding", Some(&[]));
    if let Ok(octets) = exported {
        bindings.push(("tls-exporter", octets.to_vec()));
    }
    if let Some(hash) = end_point(leaf) {
        bindings.push(("tls-server-end-point", hash));
    }
    bindings
}
