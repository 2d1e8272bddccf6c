//! The message for the filter: its beginning, and the rest as it is read.
//!
//! Invariant: only a few pieces of a large message are in memory, however slow the filter is.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc::Receiver;

/// A message, read once.
#[derive(Debug)]
pub struct Message {
    front: Bytes,
    rest: Option<Receiver<io::Result<Bytes>>>,
    left_bytes: u64,
}

impl Message {
    /// A message in memory.
    pub fn whole(bytes: Bytes) -> Self {
        Self { left_bytes: bytes.len() as u64, front: bytes, rest: None }
    }

    /// A message of `size_bytes` octets: `front` holds at least the header section, `rest` yields what follows.
    pub fn streamed(size_bytes: u64, front: Bytes, rest: Receiver<io::Result<Bytes>>) -> Self {
        Self { front, rest: Some(rest), left_bytes: size_bytes }
    }

    /// Its first octets, header section included, until they are taken.
    pub(crate) fn front(&self) -> &Bytes {
        &self.front
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let front = std::mem::take(&mut self.front);
        if !front.is_empty() {
            self.left_bytes = self.left_bytes.saturating_sub(front.len() as u64);
            return Poll::Ready(Some(Ok(front)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let next = rest.poll_recv(cx);
        match &next {
            Poll::Ready(Some(Ok(piece))) => self.left_bytes = self.left_bytes.saturating_sub(piece.len() as u64),
            Poll::Ready(None) if self.left_bytes > 0 => {
                self.left_bytes = 0;
                return Poll::Ready(Some(Err(io::Error::other("the message ended early"))));
            }
            _ => {}
        }
        next
    }
}

/// The body of a request.
impl Body for Message {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.poll_next(cx).map(|next| next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut message: Message) -> Result<Vec<u8>, String> {
        let mut all = Vec::new();
        while let Some(piece) = message.next().await {
            all.extend_from_slice(&piece.map_err(|e| e.to_string())?);
        }
        assert!(message.is_end_stream());
        Ok(all)
    }

    #[tokio::test]
    async fn a_streamed_message_is_whole_or_an_error() {
        let streamed = |size_bytes| {
            let (pieces, rest) = tokio::sync::mpsc::channel(4);
            pieces.try_send(Ok(Bytes::from_static(b" and"))).unwrap();
            pieces.try_send(Ok(Bytes::from_static(b" rest"))).unwrap();
            Message::streamed(size_bytes, Bytes::from_static(b"front"), rest)
        };
        assert_eq!(streamed(14).size_hint().exact(), Some(14));
        assert_eq!(read(streamed(14)).await.unwrap(), b"front and rest");
        assert!(read(streamed(15)).await.is_err(), "its file ended early");
        assert_eq!(read(Message::whole(Bytes::from_static(b"all of it"))).await.unwrap(), b"all of it");
        assert_eq!(read(Message::whole(Bytes::new())).await.unwrap(), b"");
    }
}
