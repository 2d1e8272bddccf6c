//! The Unix sockets: of the API, and the one that takes mail of everybody on this machine.
//!
//! Invariant: nobody but the server's own user (and root) can ever connect to the API, not even for an instant.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};

use crate::messages::Peer;

/// Serves the API until `shutdown`, then finishes what is under way and removes the socket.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    socket_path: &Path,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    let result = axum::serve(listener, service).with_graceful_shutdown(shutdown).await;
    if let Err(error) = fs::remove_file(socket_path)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(%error, socket = %socket_path.display(), "a socket could not be removed; the next start replaces it");
    }
    result
}

/// Binds beside the path, closes the socket to others, and only then gives it its name.
///
/// # Errors
/// `AddrInUse` where another server answers there; otherwise what the system says.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    bind_as(path, 0o600).await
}

/// Binds a socket that everybody on this machine may open. Its directory is made where it is missing.
///
/// # Errors
/// As [`bind`].
pub async fn bind_for_all(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
        fs::create_dir(parent).map_err(|e| at(parent, e.kind(), &e.to_string()))?;
        // Whatever the umask is.
        fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    }
    bind_as(path, 0o666).await
}

async fn bind_as(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(at(path, ErrorKind::AlreadyExists, "is there and is no socket; name another path in the configuration"));
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
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
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
