//! The address of a filter, and the connection to it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use mail::Domain;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::FilterError;

/// The address of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host, by name or IP address, and a port.
    Tcp {
        /// The host; an IPv6 address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') { Ok(Self::Unix(path.into())) } else { Err("a socket path must begin with /") };
        }
        let (host, port) = text.strip_prefix("inet:").unwrap_or(text).rsplit_once(':').ok_or("the port is missing")?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or("the port must be a number from 1 to 65535")?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let is_host = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
            None => host.parse::<std::net::Ipv4Addr>().is_ok() || Domain::parse(host).is_ok(),
        };
        if !is_host {
            return Err("the host must be a name or an IP address; write an IPv6 address in [ ]");
        }
        Ok(Self::Tcp { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// A connection over TCP or a Unix socket.
pub(crate) trait FilterStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> FilterStream for T {}

impl Address {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Box<dyn FilterStream>, FilterError> {
        let stream: std::io::Result<Box<dyn FilterStream>> = match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::new(stream) as _),
            Self::Tcp { host, port } => TcpStream::connect((host.as_str(), *port)).await.and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as _)
            }),
        };
        stream.map_err(|error| FilterError::Connect { address: self.clone(), error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in ["unix:/run/rspamd/milter.sock", "127.0.0.1:11333", "[::1]:11333", "rspamd:11333", "filter.example.com:25"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("inet:localhost:8891".parse::<Address>().unwrap().to_string(), "localhost:8891");
        for text in
            ["", "nowhere", "unix:", "unix:relative", "::1:25", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "a b:25", ":25", "[x]:25"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
