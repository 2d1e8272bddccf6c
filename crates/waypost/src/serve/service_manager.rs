//! Notifies the service manager of start, reload and stop.
//!
//! sd_notify(3): datagrams to the socket that NOTIFY_SOCKET names. Invariant: a server without a service manager behaves the same, and an error here
//! does not stop it.

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The environment variable that names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// Reports that the server is up.
pub fn ready() {
    notify("READY=1");
}

/// Reports a reload; [`ready`] ends it.
pub fn reloading() {
    notify("RELOADING=1");
}

/// Reports a stop that takes at most this time.
pub fn stopping(within: Duration) {
    notify(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
}

fn notify(state: &str) {
    let Some(name) = std::env::var_os(SOCKET) else { return };
    if let Err(error) = send(&name, state) {
        tracing::warn!(%error, "cannot notify the service manager: {}", state.replace('\n', " "));
    }
}

fn send(name: &OsStr, state: &str) -> std::io::Result<()> {
    // A name that begins with @ is an abstract socket.
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(|_| ())
}
