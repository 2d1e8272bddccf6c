//! The resolver behind message authentication and routing: that of the process, or a simulated one.
//!
//! Invariant: every lookup goes through [`Dns::lookup`], so that the mail flow runs on a simulated DNS.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RecordType};

/// The answer of a simulated DNS.
pub type Answering = Pin<Box<dyn Future<Output = Result<Lookup, NetError>> + Send>>;

/// A simulated DNS.
pub trait SimulatedDns: Debug + Send + Sync {
    /// Answers a question.
    fn lookup(&self, name: Name, kind: RecordType) -> Answering;
}

/// A resolver. Clones share it.
#[derive(Clone)]
pub enum Dns {
    /// Asks name servers.
    System(Arc<TokioResolver>),
    /// Simulated.
    Simulated(Arc<dyn SimulatedDns>),
}

impl Dns {
    /// Looks up the records of a name.
    ///
    /// # Errors
    /// If there are none, or no answer.
    pub async fn lookup(&self, name: Name, kind: RecordType) -> Result<Lookup, NetError> {
        match self {
            Self::System(resolver) => resolver.lookup(name, kind).await,
            Self::Simulated(dns) => dns.lookup(name, kind).await,
        }
    }
}
