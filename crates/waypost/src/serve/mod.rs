//! `waypost serve`: the process of the server, from its start to the signal that stops it.
//!
//! Invariant: a signal to stop ends it in order ([`Running::stop`]); a second one at once.

pub mod certificates;
mod disk_watch;
mod dns_watch;
pub mod health;
mod log_writer;
pub mod logging;
pub mod metrics;
pub mod notices;
mod observers;
mod owner;
mod peers;
mod public;
pub mod readiness;
pub mod reload;
mod running;
pub mod sandbox;
mod sandbox_paths;
mod seen_file;
mod service_manager;
mod sockets;
pub mod startup_check;
mod target_watch;
mod watches;

use std::path::Path;
use std::time::Duration;

use ::sandbox::Needs;
use anyhow::{Context, Result, anyhow};
use events::{Event, EventKind, Fact};
use net::{Clock, Resolver, Validate};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::{self, Config, ValidateWord};
pub use running::Running;

/// Maximum duration of a stop beyond `delivery.shutdown_grace_s`: sessions end, and the write-ahead log is moved into the database.
const STOP_MORE: Duration = Duration::from_secs(30);

/// What a configuration that root can read and the server cannot is refused with.
const AS_OWNER: &str = "the server runs as the owner of the data directory, who must be able to read the configuration and what it names";

/// Runs the server until a signal stops it.
pub fn run(path: &Path) -> Result<()> {
    let config = config::load(path)?;
    let mut log = logging::start(&config.file.log)?;
    let config = if sandbox::leave_root(&config)? { config::load(path).context(AS_OWNER)? } else { config };
    config.log_notices();
    disable_huge_pages();
    raise_file_limit();
    let granted = sandbox::enter(&config)?;
    // Its thread is confined too, since it starts behind the sandbox.
    log.begin(std::io::stderr());
    let runtime = Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")?;
    runtime.block_on(serve(config, granted))
}

/// Disables transparent huge pages: with pages of 2 MiB, an idle server takes 10 MiB more than it uses. The allocator requests none, but the system may be
/// set to `always`.
fn disable_huge_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "cannot disable huge pages; the server takes more memory");
    }
}

/// Raises the soft limit of open files to the hard limit: each session is a file, and the usual limit is 1024.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

async fn serve(config: Config, granted: Option<Needs>) -> Result<()> {
    let mut signals = Signals::open()?;
    let mut running = Running::start(&config, granted).await?;
    tracing::info!(hostname = %config.settings.hostname, data = %config.file.data_dir.display(), version = env!("CARGO_PKG_VERSION"), "{}", EventKind::Started.words());
    running.observers.events.record(Event::new(EventKind::Started, Clock::system().now_ms()).fact(Fact::What, env!("CARGO_PKG_VERSION")));
    service_manager::ready();
    let result = run_until_stopped(&mut signals, &mut running).await;
    service_manager::stopping(running.grace() + STOP_MORE);
    tokio::select! {
        () = running.stop() => tracing::info!("{}", EventKind::Stopped.words()),
        () = signals.stop() => tracing::warn!("second signal to stop: sessions in progress were cut off; no accepted mail is lost"),
    }
    result
}

async fn run_until_stopped(signals: &mut Signals, running: &mut Running) -> Result<()> {
    loop {
        tokio::select! {
            request = signals.next() => match request {
                SignalRequest::Stop => return Ok(()),
                // The result is in the log.
                SignalRequest::Reload => {
                    let reloaded = running.reloader.reload().await.unwrap_or_else(|fault| fault.to_string());
                    let event = Event::new(EventKind::ServerChanged, Clock::system().now_ms()).fact(Fact::What, "configuration");
                    running.observers.events.record(event.fact(Fact::Change, reloaded).fact(Fact::Command, "SIGHUP"));
                }
            },
            thread = running.store.died() => {
                return Err(anyhow!(
                    "the thread {thread} of the store has panicked, and the server cannot accept mail without it\n  hint: the server exits, so that the \
                     service manager restarts it; no accepted mail is lost"
                ));
            }
            ended = &mut running.sockets.admin.0 => {
                return ended.context("the task of the admin socket failed")?.context("the admin socket failed");
            }
        }
    }
}

/// What a signal requests.
#[derive(PartialEq, Eq)]
enum SignalRequest {
    Stop,
    Reload,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn open() -> Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalRequest {
        tokio::select! {
            _ = self.terminate.recv() => SignalRequest::Stop,
            _ = self.interrupt.recv() => SignalRequest::Stop,
            _ = self.hangup.recv() => SignalRequest::Reload,
        }
    }

    async fn stop(&mut self) {
        while self.next().await != SignalRequest::Stop {}
    }
}

/// Loads the configuration on a thread for blocking work.
async fn load_config(path: &Path) -> Result<Config> {
    let path = path.to_owned();
    Ok(net::blocking(move || config::load(&path)).await?)
}

/// Returns the resolver of this configuration.
pub fn resolver(config: &Config) -> Result<Resolver> {
    let servers: Vec<_> = config.file.dns.servers.iter().map(|server| server.0).collect();
    let validate = match config.file.dns.validate {
        ValidateWord::Auto => Validate::Auto,
        ValidateWord::Here => Validate::Here,
        ValidateWord::Upstream => Validate::Upstream,
        ValidateWord::Off => Validate::Off,
    };
    Ok(Resolver::new(&servers, validate, config.file.dns.trust_anchor.as_deref())?)
}
