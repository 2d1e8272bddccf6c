//! What a spam filter says about a message: rspamd over HTTP, or a milter.
//!
//! Invariant: a filter gives a verdict and nothing else. It cannot change a byte of the message, since that would break signatures; what it says to
//! people is cut to one line; and an answer that cannot be understood is an error, never a verdict.

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
    /// It cannot be reached.
    #[error("the filter at {address} cannot be reached: {error}; see whether it runs, and whether [filter] address is its own")]
    Connect {
        /// Where.
        address: Address,
        /// The system's words.
        error: std::io::Error,
    },
    /// The connection broke.
    #[error("the connection to the filter broke: {0}; its log may say why")]
    Broken(#[from] std::io::Error),
    /// HTTP failed.
    #[error("the connection to the filter broke: {0}; its log may say why")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("the filter gave no verdict in {0} s; its log may say why, and [filter] timeout_s can be raised")]
    Late(u64),
    /// Its answer makes no sense.
    #[error("the filter's answer cannot be used: {0}; see whether [filter] kind is right")]
    Answer(String),
}

/// Which protocol a filter speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Protocol {
    /// rspamd's HTTP, and the scores from which on something is done.
    Rspamd(Thresholds),
    /// Sendmail's milter protocol.
    Milter,
}

/// A filter that can be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: Address,
    /// It must have answered in this time, in seconds.
    pub timeout_s: u64,
}

impl Filter {
    /// Asks about a message, as it came.
    ///
    /// # Errors
    /// Where the filter gives no verdict that can be understood, in time.
    pub async fn check(&self, facts: &Facts<'_>, message: Message) -> Result<Answer, FilterError> {
        let asked = async {
            match self.protocol {
                Protocol::Rspamd(thresholds) => rspamd::check(&self.address, thresholds, facts, message).await,
                Protocol::Milter => milter::check(&self.address, facts, message).await,
            }
        };
        tokio::time::timeout(Duration::from_secs(self.timeout_s), asked).await.unwrap_or(Err(FilterError::Late(self.timeout_s)))
    }

    /// Asks whether the filter is there, without a message.
    ///
    /// # Errors
    /// Where it does not answer as such a filter does, in time.
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
