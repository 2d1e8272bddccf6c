//! Arguments of `waypost node`.

use clap::Subcommand;

/// List this server's nodes, drain one before work on its machine, resume it afterwards.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "A drained node answers new mail with 421 4.3.2, so that senders go to another server or come again, and GET /health/ready with 503, so that
a load balancer sends it no new connections. Programs on its own machine can still submit mail. It stays drained over a restart, until it is resumed.
With SQLite it goes on delivering. Over a PostgreSQL it ends the deliveries that it has begun and begins no others: the other nodes deliver what waits. If
all are drained, nothing is delivered.

Examples:
  waypost node list
  waypost node drain && apt upgrade && systemctl restart waypost && waypost node resume"
)]
pub enum NodeCommand {
    /// List the nodes.
    #[command(after_help = "Examples:
  waypost node list
  waypost --json node list | jq -r '.[] | select(.state != \"active\") | .name'")]
    List,
    /// Stop taking new mail; with SQLite it goes on delivering, over a PostgreSQL other nodes deliver.
    #[command(after_help = "Examples:
  waypost node drain
  waypost node drain b")]
    Drain {
        /// Its name. Default: this node.
        name: Option<String>,
    },
    /// Take new mail again.
    #[command(after_help = "Examples:
  waypost node resume
  waypost node resume b")]
    Resume {
        /// Its name. Default: this node.
        name: Option<String>,
    },
    /// Remove a node that is gone for good; needs a database that several nodes share.
    #[command(
        after_help = "A node that runs is not removed: stop it first. One whose machine is lost can be removed 30 seconds after it was seen last.

Examples:
  waypost node remove b"
    )]
    Remove {
        /// Its name.
        name: String,
    },
}
