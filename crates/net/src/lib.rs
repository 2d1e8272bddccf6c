//! Clock, randomness, DNS, TLS, certificates.
//!
//! The mail flow gets all of it as arguments. Invariant: this crate does not know the queue.

pub mod acme;
mod authority;
mod blocking;
mod clock;
mod dane;
mod digest;
mod dns_check;
mod dns_query;
mod hmac_sha256;
mod http_post;
mod https_client;
mod introspection;
mod key_pin;
mod leaf;
mod lookups;
mod mta_sts_policy;
mod network;
mod process_digest;
mod proxy_protocol;
mod random;
mod report_upload;
mod resolver;
mod self_signed;
mod signature;
mod simulation;
mod srs_mac;
mod stub;
mod tls;
mod tls_client;
mod tls_probe;
mod validation;

pub use authority::{Authority, Issued, request};
pub use blocking::blocking;
pub use clock::{Clock, StepWatch};
pub use dane::{Dane, DaneError, Tlsa};
pub use digest::{certificate_digest, certificate_file_digest, digest_of, sha256};
pub use dns_check::{DnsCheck, DnsCheckError, DnsChecked};
pub use hmac_sha256::hmac_sha256;
pub use http_post::{HttpPost, PostAnswer, PostOptions, PostUrl, http_post};
pub use https_client::{HttpsError, HttpsOptions};
pub use introspection::{Introspection, IntrospectionError};
pub use key_pin::KeyPin;
pub use leaf::Leaf;
pub use lookups::LookupCounts;
pub use mta_sts_policy::fetch_mta_sts_policy;
pub use network::{Connecting, Network, SimulatedNetwork, SimulatedTcp, Tcp, TcpDoor};
pub use process_digest::process_digest;
pub use proxy_protocol::{HeaderFault, HeaderStep, InvalidRange, IpRange, NO_CLIENT, ProxyError, TrustedProxies, next_step};
pub use random::{random_bytes, random_u32};
pub use report_upload::{ReportUpload, upload_report};
pub use resolver::{DnsRecords, HostAddresses, Resolver, ResolverError};
pub use self_signed::self_signed;
pub use signature::SignatureKey;
pub use simulation::simulate;
pub use srs_mac::srs_mac;
pub use tls::{
    ACME_TLS, Accepted, Acceptor, CertificateInUse, CertificateOrigin, CertificateSources, PairFiles, ServerTls, Service, TlsError,
    certificates_of, channel_bindings, check_pair, describe,
};
pub use tls_client::{ClientStream, ClientTls, TlsFault, Verify};
pub use tls_probe::{TlsProbe, TlsProbeError, TlsVersion};
pub use validation::{Validate, Validator};
