//! What the service manager is told: that the server is up, reads its configuration again, goes down, and how long that may take.
//!
//! sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Invariant: a server without such a manager behaves no differently, and nothing
//! that goes wrong here stops it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The server is up.
pub fn ready() {
    notify("READY=1");
}

/// It reads its configuration again; [`ready`] says when that is over.
pub fn reloading() {
    notify("RELOADING=1");
}

/// It goes down, within this time.
pub fn stopping(within: Duration) {
    notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
}

fn notify(state: &str) {
    let Some(name) = std::env::var_os(SOCKET) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "the service manager could not be told: {}", state.replace('\n', " "));
    }
}

fn send(name: &OsStr, state: &str) -> std::io::Result<()> {
    // A name that begins with @ is in no file system.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
