//! The Unix sockets: of the API, and of `waypost sendmail` for all users of this machine.
//!
//! Invariant: only the server's user and root can ever connect to the API; a socket gets its name after its permissions.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use futures_util::future::BoxFuture;
use tokio::net::{UnixListener, UnixStream};

use crate::messages::Peer;

/// Serves the API until `shutdown`, then finishes the requests in progress and removes the socket.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    socket_path: &Path,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let result = serve_until(listener, router, Box::pin(shutdown)).await;
    if let Err(error) = fs::remove_file(socket_path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, socket = %socket_path.display(), "cannot remove a socket; the next start replaces it");
    }
    result
}

/// Boxed: otherwise each crate that awaits it compiles the HTTP server again.
fn serve_until(listener: UnixListener, router: Router, shutdown: BoxFuture<'static, ()>) -> BoxFuture<'static, io::Result<()>> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    Box::pin(axum::serve(listener, service).with_graceful_shutdown(shutdown).into_future())
}

/// Binds a socket that only the server's user and root can open: under another name first, which is replaced once the permissions are set.
///
/// # Errors
/// `AddrInUse` if another server answers there; otherwise those of the system.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    bind_as(path, 0o600).await
}

/// Binds a socket that every user of this machine can open. Creates its directory if it is missing.
///
/// # Errors
/// As [`bind`].
pub async fn bind_for_all(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        fs::create_dir(parent).map_err(|e| at(parent, e.kind(), &e.to_string()))?;
        // Independent of the umask.
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    }
    bind_as(path, 0o666).await
}

async fn bind_as(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(at(path, ErrorKind::AlreadyExists, "exists and is not a socket; configure another path"));
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            return Err(at(path, ErrorKind::AddrInUse, "another server answers on this socket; stop it first"));
        }
        _ => {}
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    if let Err(error) = fs::remove_file(&beside)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = UnixListener::bind(&beside).map_err(|e| at(&beside, e.kind(), &e.to_string()))?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(mode))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}

fn at(path: &Path, kind: ErrorKind, what: &str) -> io::Error {
    io::Error::new(kind, format!("{}: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("waypost.sock");
        drop(bind(&path).await.unwrap());
        let live = bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&path).await.unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(live);
        let plain = dir.path().join("plain");
        fs::write(&plain, "keep me").unwrap();
        assert_eq!(bind(&plain).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&plain).unwrap(), "keep me");
    }
}
