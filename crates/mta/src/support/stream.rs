//! A connection: TCP, with or without TLS, as server or client; or a Unix socket, as client.
//!
//! Invariant: a waiting session holds no read buffer; octets go from a buffer on the stack into the session.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};

use net::Tcp;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio_rustls::TlsStream;

/// Maximum octets per read.
const READ_BYTES: usize = 32 * 1024;

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(Tcp),
    /// To a mailbox server on this machine.
    Local(UnixStream),
    Tls(Box<TlsStream<Tcp>>),
}

impl Stream {
    /// Reads once and passes the octets to `take`. Returns their number; 0 at the end of the stream.
    pub async fn read_into(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        std::future::poll_fn(|cx| {
            let mut space = [std::mem::MaybeUninit::uninit(); READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut space);
            match self {
                Self::Plain(s) => ready!(Pin::new(s).poll_read(cx, &mut buffer))?,
                Self::Local(s) => ready!(Pin::new(s).poll_read(cx, &mut buffer))?,
                Self::Tls(s) => ready!(Pin::new(s).poll_read(cx, &mut buffer))?,
            }
            take(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Like [`Stream::read_into`], but without waiting; 0 if nothing has arrived.
    pub async fn read_waiting(&mut self, take: impl FnMut(&[u8])) -> io::Result<usize> {
        let mut read = pin!(self.read_into(take));
        std::future::poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Pending => Poll::Ready(Ok(0)),
            done => done,
        })
        .await
    }

    /// Writes all octets and flushes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(s) => s.write_all(bytes).await,
            Self::Local(s) => s.write_all(bytes).await,
            Self::Tls(s) => {
                s.write_all(bytes).await?;
                s.flush().await
            }
        }
    }

    /// Shuts the connection down.
    pub async fn close(&mut self) {
        // The peer may be gone already.
        let _ = match self {
            Self::Plain(s) => s.shutdown().await,
            Self::Local(s) => s.shutdown().await,
            Self::Tls(s) => s.shutdown().await,
        };
    }

    /// The TCP stream, if there is no TLS.
    pub fn into_plain(self) -> Option<Tcp> {
        match self {
            Self::Plain(s) => Some(s),
            Self::Tls(_) | Self::Local(_) => None,
        }
    }
}
