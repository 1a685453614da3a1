//! A write timeout for connections.
//!
//! hyper limits how long a client may take to send, but not to read. A client counts as reading while the kernel accepts
//! more of the response, so the client's kernel has acknowledged earlier bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Instant, Sleep, sleep_until},
};

/// The bytes that a client must read within each timeout while more are pending: a client reading single bytes would
/// keep a response in memory for hours.
const MIN_BYTES: usize = 16 * 1024;

/// The unsent bytes in the kernel's buffer. With the default of megabytes, most responses would count as written at
/// once, even if the client reads nothing.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 * 1024;

/// Limits the kernel's buffer for connections of `listener`. Bytes unacknowledged or unsent after `limit` end a
/// connection, even if the service has closed already.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "other systems have no such options")
)]
pub(in crate::http) fn limit_kernel_buffer(listener: &TcpListener, limit: Duration) {
    #[cfg(target_os = "linux")]
    {
        // Accepted sockets inherit both options. An older kernel keeps the default buffers.
        let socket = socket2::SockRef::from(listener);
        let _ = socket.set_tcp_user_timeout(Some(limit));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    }
}

/// A connection that fails with [`io::ErrorKind::TimedOut`] if the client stops reading or reads too slowly.
pub(in crate::http) struct WriteProgress {
    stream: TcpStream,
    limit: Duration,
    pending: Option<PendingWrite>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A write waiting for the client.
struct PendingWrite {
    /// When the kernel last accepted bytes.
    last_read: Instant,
    /// The start of the period of `bytes_written`.
    since: Instant,
    bytes_written: usize,
}

impl WriteProgress {
    /// Requires the client of `stream` to read [`MIN_BYTES`] within each `limit`.
    pub(in crate::http) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, pending: None, timer: None }
    }

    /// Records the result of a write.
    fn record_write(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                if let Some(pending) = &mut self.pending {
                    pending.last_read = Instant::now();
                    pending.bytes_written += bytes;
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => {
                ready!(self.poll_stalled(cx));
                // The client does not read, so the kernel need not deliver the buffer.
                let _ = self.stream.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Completes when the client has read too little.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            // The period starts with the first write without room.
            let first = PendingWrite { last_read: now, since: now, bytes_written: 0 };
            let pending = self.pending.get_or_insert(first);
            if now >= pending.last_read + self.limit {
                return Poll::Ready(());
            }
            if now >= pending.since + self.limit {
                if pending.bytes_written < MIN_BYTES {
                    return Poll::Ready(());
                }
                pending.since = now;
                pending.bytes_written = 0;
            }
            let deadline = pending.last_read.min(pending.since) + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // Resetting is cheaper than a new timer for each write.
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

impl AsyncWrite for WriteProgress {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let result = Pin::new(&mut connection.stream).poll_write(cx, bytes);
        connection.record_write(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let connection = self.get_mut();
        let result = Pin::new(&mut connection.stream).poll_write_vectored(cx, parts);
        connection.record_write(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.get_mut();
        // hyper flushes when nothing is left to write, so the client owes no progress.
        connection.pending = None;
        Pin::new(&mut connection.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl AsyncRead for WriteProgress {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}
