//! Commands of root act as the owner of the data directory, so that all files there remain readable for the server's user.
//!
//! The command itself keeps running as root, since it may have to read files that the owner cannot read (an import) or write files (`setup`). A second
//! process of this program opens the store: it switches to the owner first, and serves the API over its standard input.
//! Invariant: root never writes to another user's store.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, lchown};
use std::os::unix::net::UnixStream as Blocking;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nix::unistd::{Gid, Uid, User, geteuid, initgroups, setgid, setgroups, setuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::config::{self, Config};
use crate::transport::Transport;

/// Maximum time for the second process to open the store.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// Maximum length of the first line of the second process, in octets.
const LINE_MAX: usize = 64 * 1024;

/// The hidden command of the second process.
pub const COMMAND: &str = "open-store";

/// Returns owner and group of the data directory, if this process is root and the directory belongs to another user.
pub fn other_than_root(data: &Path) -> Option<(Uid, Gid)> {
    let metadata = fs::metadata(data).ok()?;
    (geteuid().is_root() && metadata.uid() != 0).then(|| (Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid())))
}

/// Returns the name of a user: `waypost (user ID 995)`.
pub fn name(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => format!("{} (user ID {uid})", user.name),
        _ => format!("user ID {uid}"),
    }
}

/// Changes the owner of a file or directory that root has just created in the data directory to the directory's owner.
pub fn give(path: &Path, data: &Path) -> Result<()> {
    let Some((uid, gid)) = other_than_root(data) else { return Ok(()) };
    lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
        .with_context(|| format!("cannot change the owner of {} to {}", path.display(), name(uid)))
}

/// Switches the process to the owner of the data directory, with the groups of that user.
pub fn become_owner(data: &Path) -> Result<()> {
    let Some((uid, gid)) = other_than_root(data) else { return Ok(()) };
    let user = User::from_uid(uid).ok().flatten();
    let changed = match user.and_then(|user| Some((std::ffi::CString::new(user.name).ok()?, user.gid))) {
        Some((name, gid)) => initgroups(&name, gid).and_then(|()| setgid(gid)),
        None => setgroups(&[]).and_then(|()| setgid(gid)),
    };
    changed.and_then(|()| setuid(uid)).with_context(|| format!("cannot switch from root to {}, the owner of {}", name(uid), data.display()))
}

/// The second process; dropping it closes the store.
#[derive(Debug)]
pub struct Opened {
    stream: Blocking,
    process: Child,
}

impl Drop for Opened {
    fn drop(&mut self) {
        // The process exits at the end of its input. Waits for it, so that the next command can open the store.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Starts a second process that opens the store as its owner. Returns a connection to its API.
pub async fn open(config: &Config) -> Result<(UnixStream, Opened)> {
    let (ours, theirs) = Blocking::pair()?;
    let mut command = Command::new("/proc/self/exe");
    // An absolute path: the second process may not have this working directory.
    command.arg0("waypost").arg("--config").arg(std::path::absolute(&config.path)?).arg(COMMAND);
    command.stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs))).stdout(Stdio::null());
    let process = command.spawn().context("cannot start a second process as the owner of the data directory")?;
    drop(command);
    let opened = Opened { stream: ours.try_clone()?, process };
    ours.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(ours)?;
    let line = tokio::time::timeout(OPEN_TIMEOUT, first_line(&mut stream))
        .await
        .map_err(|_| anyhow!("{} was not opened within {} s", config.file.data_dir.display(), OPEN_TIMEOUT.as_secs()))??;
    match serde_json::from_str::<Option<String>>(&line).context("invalid answer of the process that opens the store")? {
        None => Ok((stream, opened)),
        Some(error) => bail!(error),
    }
}

async fn first_line(stream: &mut UnixStream) -> Result<String> {
    let mut line = Vec::new();
    loop {
        match stream.read_u8().await.context("the process that opens the store has exited")? {
            b'\n' => return Ok(String::from_utf8(line)?),
            _ if line.len() >= LINE_MAX => bail!("the answer of the process that opens the store is too long"),
            octet => line.push(octet),
        }
    }
}

/// Runs the second process: switches to the owner, opens the store, reports the result, serves until the connection ends.
pub fn serve(path: &Path) -> Result<()> {
    let stream = Blocking::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    let opened = config::load(path).map_err(anyhow::Error::from).and_then(|config| become_owner(&config.file.data_dir).map(|()| config));
    crate::small_runtime()?.block_on(async {
        let mut stream = UnixStream::from_std(stream).context("standard input is not a socket: this command is internal to waypost")?;
        let router = match opened {
            Ok(config) => Transport::in_process(&config).await,
            Err(error) => Err(error),
        };
        let error = router.as_ref().err().map(|error| format!("{error:#}"));
        stream.write_all(format!("{}\n", serde_json::to_string(&error)?).as_bytes()).await?;
        if let Ok(Transport::InProcess(router)) = router {
            let service = TowerToHyperService::new(*router);
            // An interrupted command disconnects in the middle of a request.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
        Ok(())
    })
}
