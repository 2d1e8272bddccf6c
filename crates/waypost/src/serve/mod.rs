//! `waypost serve`: puts the parts of the server together and takes them apart again.
//!
//! Invariant: nothing listens before all that it needs is open; passwords are never taken without TLS; on the way down
//! nothing is closed before what uses it.

mod flow;
mod logging;
mod reload;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use admin::Handles;
use anyhow::{Context, Result, anyhow, bail};
use arc_swap::ArcSwap;
use mta::LiveDirectory;
use mta::settings::ListenerKind;
use net::{ClientTls, Clock, Resolver, ServerTls};
use store::Store;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::{self, Config};
use flow::{Parts, Server};
use reload::Reloader;

/// Requests to the admin socket that are under way may take so long when the server ends.
const ADMIN_END: Duration = Duration::from_secs(2);

/// Runs the server until it is told to stop.
pub fn run(path: &Path) -> Result<()> {
    let config = config::load(path)?;
    logging::start(&config.file.log)?;
    raise_file_limit();
    let runtime = Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(serve(config))
}

/// A session is a file descriptor; the usual soft limit of 1024 is soon reached.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

async fn serve(config: Config) -> Result<()> {
    let mut signals = Signals::open()?;
    let clock = Clock::system();
    let tls = server_tls(&config)?;
    let client_tls = ClientTls::new(config.file.tls.extra_authorities.as_deref())?;
    let resolver = resolver(&config)?;
    let data = &config.file.data_dir;
    let store = Store::open(data).map_err(|e| anyhow!("{}: {e}\n  hint: only one server can run on a data directory", data.display()))?;
    let settings = Arc::new(ArcSwap::from_pointee(config.settings.clone()));
    let live = LiveDirectory::open(store.clone(), &config.settings.delimiters, config.settings.virtual_file.clone()).await?;
    let live = Arc::new(live);
    let server = Server::start(Parts {
        settings: settings.clone(),
        listeners: config.listeners(),
        store: store.clone(),
        live: live.clone(),
        tls,
        client_tls,
        resolver,
        clock: clock.clone(),
    })
    .await?;
    let server = Arc::new(server);
    let reloader = Arc::new(Reloader::new(&config, settings, live.clone()));
    let handles = handles(store, live, clock, &server, &reloader);
    let (stop_admin, mut admin) = start_admin(&config, handles);
    tracing::info!(hostname = %config.settings.hostname, data = %data.display(), version = env!("CARGO_PKG_VERSION"), "waypost is up");
    let result = run_until_stopped(&mut signals, &reloader, &mut admin).await;
    tracing::info!("stopping: sessions and deliveries under way come to their end");
    tokio::select! {
        () = server.shut_down() => tracing::info!("waypost is down"),
        () = signals.stop() => tracing::warn!("told twice to stop: sessions under way were cut; nothing acknowledged is lost"),
    }
    // The socket goes last: until then `status` answers.
    drop(stop_admin);
    if !admin.is_finished() {
        let _ = tokio::time::timeout(ADMIN_END, admin).await;
    }
    result
}

fn handles(store: Store, live: Arc<LiveDirectory>, clock: Clock, server: &Arc<Server>, reloader: &Arc<Reloader>) -> Handles {
    let (to_wake, to_ask, reloader) = (server.clone(), server.clone(), reloader.clone());
    Handles {
        store,
        live,
        clock,
        wake: Arc::new(move || to_wake.wake()),
        reload: Some(Arc::new(move || {
            let reloader = reloader.clone();
            Box::pin(async move { reloader.reload().await })
        })),
        status: Arc::new(move || flow::status_json(&to_ask)),
    }
}

/// The admin socket's task; it ends when the sender is dropped.
fn start_admin(config: &Config, handles: Handles) -> (oneshot::Sender<()>, JoinHandle<std::io::Result<()>>) {
    let (stop, stopped) = oneshot::channel();
    let socket = config.admin_socket();
    let shutdown = async {
        let _ = stopped.await;
    };
    let task = tokio::spawn(async move { admin::serve(admin::router(handles), &socket, shutdown).await });
    (stop, task)
}

async fn run_until_stopped(signals: &mut Signals, reloader: &Reloader, admin: &mut JoinHandle<std::io::Result<()>>) -> Result<()> {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Stop => return Ok(()),
                // What comes of it is in the log.
                Told::Reload => drop(reloader.reload().await),
            },
            ended = &mut *admin => {
                return ended.context("the admin task failed")?.context("the admin socket cannot be used");
            }
        }
    }
}

enum Told {
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

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    async fn stop(&mut self) {
        while !matches!(self.next().await, Told::Stop) {}
    }
}

/// TLS for the listeners; without it only mail from other servers can be taken.
fn server_tls(config: &Config) -> Result<Option<ServerTls>> {
    let (certificate, key) = (config.certificate(), config.key());
    if config.file.tls.certificate.is_some() || certificate.exists() {
        return Ok(Some(ServerTls::load(&certificate, &key)?));
    }
    if config.listeners().iter().any(|listener| listener.kind != ListenerKind::Mx) {
        bail!(
            "there is no certificate {}, and passwords are taken under TLS only\n  hint: `waypost setup DOMAIN` makes a pair; or name yours \
             under [tls] in {}; or turn the listeners off with submission = [] and submissions = []",
            certificate.display(),
            config.path.display()
        );
    }
    tracing::warn!("there is no certificate: mail from other servers comes in without TLS");
    Ok(None)
}

fn resolver(config: &Config) -> Result<Resolver> {
    let servers: Vec<_> = config.file.dns.servers.iter().map(|server| server.0).collect();
    Ok(if servers.is_empty() { Resolver::system()? } else { Resolver::of_servers(&servers)? })
}
