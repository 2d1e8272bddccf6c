//! TCP connections and listeners: the system's, or those of a simulated network.
//!
//! Invariant: the mail flow opens and accepts connections through [`Network`] only, so that it runs on a simulated one.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, mpsc};

/// The connection that [`SimulatedNetwork::connect`] returns.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<SimulatedTcp>> + Send>>;

/// A network within the process.
pub trait SimulatedNetwork: Debug + Send + Sync {
    /// Connects to an address, from `source` if it is given.
    fn connect(&self, target: SocketAddr, source: Option<IpAddr>) -> Connecting;

    /// Listens on an address; connections arrive on the channel until it is dropped.
    ///
    /// # Errors
    /// If the address is in use.
    fn listen(&self, address: SocketAddr) -> io::Result<mpsc::Receiver<SimulatedTcp>>;
}

/// One end of a simulated connection.
#[derive(Debug)]
pub struct SimulatedTcp {
    /// The octets.
    pub stream: DuplexStream,
    /// The address of this end.
    pub local: SocketAddr,
    /// The address of the other end.
    pub peer: SocketAddr,
}

/// Opens connections and listeners. Clones share the network.
#[derive(Debug, Clone, Default)]
pub struct Network(Option<Arc<dyn SimulatedNetwork>>);

impl Network {
    /// The system's network.
    pub fn system() -> Self {
        Self(None)
    }

    /// A simulated network.
    pub fn simulated(network: Arc<dyn SimulatedNetwork>) -> Self {
        Self(Some(network))
    }

    /// Connects to an address, from `source` if it has the same family.
    pub async fn connect(&self, target: SocketAddr, source: Option<IpAddr>) -> io::Result<Tcp> {
        let source = source.filter(|source| source.is_ipv4() == target.is_ipv4());
        if let Some(simulated) = &self.0 {
            return simulated.connect(target, source).await.map(Tcp::Simulated);
        }
        let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let tcp = Tcp::System(socket.connect(target).await?);
        tcp.set_nodelay()?;
        Ok(tcp)
    }

    /// Listens on an address; `bind` opens the listener of the system.
    pub fn listen(&self, address: SocketAddr, bind: impl FnOnce() -> io::Result<TcpListener>) -> io::Result<TcpDoor> {
        match &self.0 {
            Some(simulated) => Ok(TcpDoor::Simulated { address, arriving: Mutex::new(simulated.listen(address)?) }),
            None => bind().map(TcpDoor::System),
        }
    }
}

/// A listener.
#[derive(Debug)]
pub enum TcpDoor {
    /// Of the system.
    System(TcpListener),
    /// Of a simulated network.
    Simulated {
        /// The address.
        address: SocketAddr,
        /// Connections that arrive.
        arriving: Mutex<mpsc::Receiver<SimulatedTcp>>,
    },
}

impl TcpDoor {
    /// Accepts a connection; returns it and the address of the client.
    pub async fn accept(&self) -> io::Result<(Tcp, SocketAddr)> {
        match self {
            Self::System(listener) => listener.accept().await.map(|(tcp, peer)| (Tcp::System(tcp), peer)),
            Self::Simulated { arriving, .. } => match arriving.lock().await.recv().await {
                Some(tcp) => {
                    let peer = tcp.peer;
                    Ok((Tcp::Simulated(tcp), peer))
                }
                None => std::future::pending().await,
            },
        }
    }

    /// The address of the listener.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(listener) => listener.local_addr(),
            Self::Simulated { address, .. } => Ok(*address),
        }
    }
}

/// A TCP connection.
#[derive(Debug)]
pub enum Tcp {
    /// Of the system.
    System(TcpStream),
    /// Of a simulated network.
    Simulated(SimulatedTcp),
}

impl Tcp {
    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(tcp) => tcp.local_addr(),
            Self::Simulated(tcp) => Ok(tcp.local),
        }
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::System(tcp) => tcp.peer_addr(),
            Self::Simulated(tcp) => Ok(tcp.peer),
        }
    }

    /// Sends small pieces at once: a command or reply must not wait for the acknowledgement of the one before.
    pub fn set_nodelay(&self) -> io::Result<()> {
        match self {
            Self::System(tcp) => tcp.set_nodelay(true),
            Self::Simulated(_) => Ok(()),
        }
    }
}

impl AsyncRead for Tcp {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Simulated(tcp) => Pin::new(&mut tcp.stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::System(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Simulated(tcp) => Pin::new(&mut tcp.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, pieces: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::System(tcp) => Pin::new(tcp).poll_write_vectored(cx, pieces),
            Self::Simulated(tcp) => Pin::new(&mut tcp.stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Simulated(tcp) => Pin::new(&mut tcp.stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::System(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Simulated(tcp) => Pin::new(&mut tcp.stream).poll_shutdown(cx),
        }
    }
}
