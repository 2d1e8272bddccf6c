//! Arguments of `waypost node`.

use clap::Subcommand;

/// List this server's nodes, drain one before work on its machine, resume it afterwards.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "A drained node goes on delivering. It answers new mail with 421 4.3.2, so that senders go to another server or come again, and
GET /health/ready with 503, so that a load balancer sends it no new connections. Programs on its own machine can still submit mail.
It stays drained over a restart, until it is resumed.

Examples:
  waypost node drain && apt upgrade && systemctl restart waypost && waypost node resume"
)]
pub enum NodeCommand {
    /// List the nodes.
    List,
    /// Stop taking new mail, and go on delivering.
    Drain {
        /// Its name. Default: this node.
        name: Option<String>,
    },
    /// Take new mail again.
    Resume {
        /// Its name. Default: this node.
        name: Option<String>,
    },
    /// Remove a node that is gone for good; needs a database that several nodes share.
    Remove {
        /// Its name.
        name: String,
    },
}
