//! Asks a spam filter about a message: rspamd over HTTP, or a milter.
//!
//! Invariant: a filter gives a verdict and nothing else. It cannot change the message, since that would break signatures; its text for people is cut to
//! one line; an answer that cannot be parsed is an error, never a verdict.

mod address;
mod facts;
mod message;
mod milter;
mod packet;
mod rspamd;
mod verdict;

use std::time::Duration;

pub use address::Address;
pub use facts::Facts;
pub use message::Message;
pub use verdict::{Answer, Thresholds, Verdict};

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// No connection.
    #[error("cannot connect to the filter at {address}: {error}; check that it runs, and [filter] address")]
    Connect {
        /// Its address.
        address: Address,
        /// The system's error.
        error: std::io::Error,
    },
    /// The connection failed.
    #[error("the connection to the filter failed: {0}; see its log")]
    Broken(#[from] std::io::Error),
    /// HTTP failed.
    #[error("the connection to the filter failed: {0}; see its log")]
    Http(#[from] hyper::Error),
    /// The timeout has passed.
    #[error("no verdict from the filter within {0} s; see its log, or raise [filter] timeout_s")]
    Late(u64),
    /// Its answer is invalid.
    #[error("invalid answer from the filter: {0}; check [filter] kind")]
    Answer(String),
}

/// The protocol of a filter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Protocol {
    /// rspamd's HTTP, and the thresholds of its score.
    Rspamd(Thresholds),
    /// Sendmail's milter protocol.
    Milter,
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its address.
    pub address: Address,
    /// Time limit for one message, in seconds.
    pub timeout_s: u64,
}

impl Filter {
    /// Asks about a message, as received.
    ///
    /// # Errors
    /// No valid verdict in time.
    pub async fn check(&self, facts: &Facts<'_>, message: Message) -> Result<Answer, FilterError> {
        let asked = async {
            match self.protocol {
                Protocol::Rspamd(thresholds) => rspamd::check(&self.address, thresholds, facts, message).await,
                Protocol::Milter => milter::check(&self.address, facts, message).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(self.timeout_s), asked).await.unwrap_or(Err(FilterError::Late(self.timeout_s)))
    }

    /// Checks that the filter answers, without a message.
    ///
    /// # Errors
    /// No valid answer in time.
    pub async fn probe(&self) -> Result<(), FilterError> {
        let asked = async {
            match self.protocol {
                Protocol::Rspamd(_) => rspamd::probe(&self.address).await,
                Protocol::Milter => milter::probe(&self.address).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(self.timeout_s), asked).await.unwrap_or(Err(FilterError::Late(self.timeout_s)))
    }
}
