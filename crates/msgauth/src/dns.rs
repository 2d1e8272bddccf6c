//! The resolver behind message authentication and routing: that of the process, or a simulated one.
//!
//! Invariant: every lookup goes through [`Dns::lookup`], so that the mail flow runs on a simulated DNS.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::{Name, RecordType};

use crate::known_answers::{Known, KnownAnswers};
use crate::lookup::{Missing, fqdn, missing};

/// The answer of a simulated DNS.
pub type Answering = Pin<Box<dyn Future<Output = Result<Lookup, NetError>> + Send>>;

/// A simulated DNS.
pub trait SimulatedDns: Debug + Send + Sync {
    /// Answers a question.
    fn lookup(&self, name: Name, kind: RecordType) -> Answering;
}

/// The resolver of the process, and what it has answered.
pub struct SystemDns {
    resolver: TokioResolver,
    known: KnownAnswers,
}

/// A resolver. Clones share it.
#[derive(Clone)]
pub enum Dns {
    /// Asks name servers, unless the answer is known.
    System(Arc<SystemDns>),
    /// Simulated.
    Simulated(Arc<dyn SimulatedDns>),
}

impl Dns {
    /// Asks name servers.
    pub(crate) fn system(resolver: TokioResolver) -> Self {
        Self::System(Arc::new(SystemDns { resolver, known: KnownAnswers::default() }))
    }

    /// Looks up the records of a name, given as text.
    pub(crate) async fn lookup_text(&self, text: &str, kind: RecordType) -> Known {
        let known = if let Self::System(system) = self { Some(&system.known) } else { None };
        if let Some(known) = known.and_then(|known| known.get(text, kind)) {
            return known;
        }
        let Some(name) = fqdn(text) else { return Arc::new(Err(Missing::Record)) };
        let answer = self.lookup(name, kind).await;
        match known {
            Some(known) => known.keep(text, kind, answer, missing),
            None => Arc::new(answer.map_err(|error| missing(&error))),
        }
    }

    /// Looks up the records of a name.
    ///
    /// # Errors
    /// If there are none, or no answer.
    // Boxed: otherwise each crate that awaits a lookup compiles the whole resolver again.
    pub fn lookup(&self, name: Name, kind: RecordType) -> BoxFuture<'_, Result<Lookup, NetError>> {
        match self {
            Self::System(system) => Box::pin(system.resolver.lookup(name, kind)),
            Self::Simulated(dns) => dns.lookup(name, kind),
        }
    }
}
