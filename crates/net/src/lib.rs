//! The world outside: clock, randomness, DNS, TLS.
//!
//! Everything here comes into the flow as an argument. Invariant: this crate touches no queue.

pub mod acme;
mod authority;
mod clock;
mod dane;
mod digest;
mod dns_check;
mod introspection;
mod key_pin;
mod leaf;
mod mac;
mod policy_host;
mod random;
mod report_host;
mod resolver;
mod self_signed;
mod strange_host;
mod stub;
mod tls;
mod tls_client;
mod trial;
mod validation;

pub use authority::{Authority, Issued, request};
pub use clock::{Clock, StepWatch};
pub use dane::{Dane, DaneError, Tlsa};
pub use digest::{certificate_digest, certificate_file_digest, sha256};
pub use dns_check::{DnsCheck, DnsCheckError, DnsChecked};
pub use introspection::{Introspection, IntrospectionError};
pub use key_pin::KeyPin;
pub use leaf::Leaf;
pub use mac::srs_mac;
pub use policy_host::fetch_policy;
pub use random::{random_bytes, random_u32};
pub use report_host::{Delivery, deliver_report};
pub use resolver::{Answer, Host, Resolver, ResolverError};
pub use self_signed::self_signed;
pub use strange_host::{HostError, Reach};
pub use tls::{
    ACME_TLS, Accepted, Acceptor, InUse, Origin, PairFiles, ServerTls, Service, Sources, TlsError, bindings, certificates_of, check_pair,
    describe,
};
pub use tls_client::{ClientStream, ClientTls, TlsFault, Verify};
pub use trial::{Trial, TrialError, TrialVersion};
pub use validation::{Validate, Validator};
