//! Arguments of `waypost backup` and `waypost restore`.

use std::path::PathBuf;

use clap::Args;

/// Back up the queue, accounts and aliases into a directory, while the server runs.
#[derive(Debug, Args)]
#[command(
    after_help = "The second run into the same directory copies only what is new. Content files are hard-linked if the directory is on the same \
file system, and copied otherwise. The directory is readable for its owner only.

Examples:
  sudo waypost backup /var/backups/waypost --all
  sudo waypost backup /mnt/usb/waypost --keys --config-file"
)]
pub struct BackupArgs {
    /// The directory: a new one, an empty one, or one of an earlier backup.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Also keys, secrets and certificates, without which return addresses and passwords of the backup are of no use.
    #[arg(long)]
    pub keys: bool,
    /// Also the configuration file.
    #[arg(long)]
    pub config_file: bool,
    /// Also the history.
    #[arg(long)]
    pub history: bool,
    /// All of these.
    #[arg(long)]
    pub all: bool,
}

/// Restore a backup into an empty data directory.
#[derive(Debug, Args)]
#[command(
    after_help = "Every file of the backup is compared with its checksum first, and the restored queue is verified. Mail that was delivered after the \
backup was made is delivered again. With store.url in the configuration the mail belongs in a PostgreSQL: --data-dir is needed then, and waypost store copy \
copies from there into a new database.

Examples:
  sudo waypost restore /var/backups/waypost
  sudo waypost --config /mnt/usb/waypost/config/waypost.toml restore /mnt/usb/waypost --data-dir /srv/waypost"
)]
pub struct RestoreArgs {
    /// The directory of the backup.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// The data directory to restore into. Default: data_dir of the configuration.
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}
