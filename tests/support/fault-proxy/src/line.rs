//! A connection of a client, which may fall silent.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What is known of a connection.
#[derive(Debug, Default)]
pub(crate) struct Line {
    is_silent: AtomicBool,
    client: OnceLock<Option<String>>,
}

impl Line {
    /// A request on it has named its client.
    pub(crate) fn is_of(&self, client: Option<&str>) {
        self.client.get_or_init(|| client.map(str::to_owned));
    }

    /// From here on it carries nothing, in neither direction, and nothing closes it: if it is the client's.
    pub(crate) fn silence(&self, client: Option<&str>) {
        if self.client.get().is_some_and(|own| own.as_deref() == client) {
            self.is_silent.store(true, Ordering::Relaxed);
        }
    }

    fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }
}

/// The bytes of a connection. What the client sends on one that is silent is not read, and what is sent to it is lost.
pub(crate) struct LineStream {
    stream: TcpStream,
    line: Arc<Line>,
}

impl LineStream {
    pub(crate) fn new(stream: TcpStream, line: Arc<Line>) -> Self {
        Self { stream, line }
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.line.is_silent() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.line.is_silent() {
            buffer.set_filled(before);
            return Poll::Pending;
        }
        read
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.line.is_silent() {
            Poll::Ready(Ok(bytes.len()))
        } else {
            Pin::new(&mut self.stream).poll_write(context, bytes)
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.is_silent() {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut self.stream).poll_flush(context)
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Its end would be told to the client.
        if self.line.is_silent() { Poll::Pending } else { Pin::new(&mut self.stream).poll_shutdown(context) }
    }
}
