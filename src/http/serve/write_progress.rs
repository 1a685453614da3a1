//! A connection whose client must go on reading.
//!
//! hyper bounds how long a client may take to send, and not how long it may take to read. What counts as reading is
//! that the kernel takes more of the answer, which it does when the client's kernel has confirmed what came before.

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

/// The least that must be read of an answer within the limit on writes, as long as there is more of it: a client that
/// reads a byte now and then would hold its answer in memory for hours.
pub(in crate::http) const LEAST_BYTES: usize = 16 * 1024;

/// Bytes of an answer that wait in the kernel to be sent. By default these are megabytes: an answer of that size counts
/// as written as soon as it is begun, and whether anybody reads it is seen by nobody.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 32 * 1024;

/// Bounds what the kernel holds for the connections that `listener` accepts, and for how long: what was sent and is not
/// confirmed within `limit`, or cannot be sent for as long, ends the connection even after it was closed here.
#[cfg_attr(
    not(target_os = "linux"),
    expect(unused_variables, reason = "other systems have no such options")
)]
pub(in crate::http) fn bound_kernel(listener: &TcpListener, limit: Duration) {
    #[cfg(target_os = "linux")]
    {
        // Accepted sockets inherit both. A kernel without them serves as it did.
        let socket = socket2::SockRef::from(listener);
        let _ = socket.set_tcp_user_timeout(Some(limit));
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES);
    }
}

/// A connection that fails with [`io::ErrorKind::TimedOut`] when its client stops reading, or reads too slowly.
pub(in crate::http) struct WriteProgress {
    stream: TcpStream,
    limit: Duration,
    waiting: Option<Waiting>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A wait for the client that has begun with a write that found no room.
struct Waiting {
    /// When the client read last.
    last_read: Instant,
    /// Since when `bytes_written` is counted.
    since: Instant,
    bytes_written: usize,
}

impl WriteProgress {
    /// Holds the client of `stream` to read something within every `limit`, and [`LEAST_BYTES`] in it.
    pub(in crate::http) fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, waiting: None, timer: None }
    }

    /// Accounts for the result of a write.
    fn written(
        &mut self,
        result: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Ok(bytes)) => {
                if let Some(waiting) = &mut self.waiting {
                    waiting.last_read = Instant::now();
                    waiting.bytes_written += bytes;
                }
                result
            }
            Poll::Ready(Err(_)) => result,
            Poll::Pending => {
                ready!(self.poll_stalled(cx));
                // What the kernel still holds is of no use to a client that does not read.
                let _ = self.stream.set_zero_linger();
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Ready when the client has not read enough.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let now = Instant::now();
            let new = Waiting { last_read: now, since: now, bytes_written: 0 };
            let waiting = self.waiting.get_or_insert(new);
            if now >= waiting.last_read + self.limit {
                return Poll::Ready(());
            }
            if now >= waiting.since + self.limit {
                if waiting.bytes_written < LEAST_BYTES {
                    return Poll::Ready(());
                }
                (waiting.since, waiting.bytes_written) = (now, 0);
            }
            let due = waiting.last_read.min(waiting.since) + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
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
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.written(result, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes when it has nothing more to write: nobody is waited for.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.waiting = None;
        Pin::new(&mut this.stream).poll_flush(cx)
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
