//! Problem documents for heads that cannot be read. hyper refuses such a head before any service is called, by a bare
//! status; this stream puts a problem document in place of that answer.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::info;

use crate::{
    http::{
        problem::{Code, Problem},
        serve::{
            limits::{HEAD_BYTES, HEAD_LINES},
            refusal_log::LogRateLimit,
        },
    },
    ids::RequestId,
};

/// The status lines of hyper's own answers. A request line that is too long is a head that is too large, as everywhere
/// else here.
const STATUS_LINES: [(&[u8], Code); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", Code::MalformedRequest),
    (b"HTTP/1.1 414 URI Too Long\r\n", Code::HeadersTooLarge),
    (b"HTTP/1.1 431 Request Header Fields Too Large\r\n", Code::HeadersTooLarge),
];

/// What follows the status line of such an answer, up to the date. Answers of the service always have more headers.
const FIELDS: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";

/// Bytes of a date (RFC 9110, 5.6.7).
const DATE_BYTES: usize = 29;

const END: &[u8] = b"\r\n\r\n";

/// A connection's stream.
#[derive(Debug)]
pub(in crate::http) struct BadHeads<S> {
    stream: S,
    lines: Arc<LogRateLimit>,
    /// What is written in place of an answer, and how much of it has been.
    replacement: Option<(Vec<u8>, usize)>,
}

impl<S> BadHeads<S> {
    /// Wraps `stream`; `lines` bounds what is logged.
    pub(in crate::http) fn new(stream: S, lines: Arc<LogRateLimit>) -> Self {
        Self { stream, lines, replacement: None }
    }
}

impl<S: AsyncWrite + Unpin> BadHeads<S> {
    /// Writes the replacement, if `answer` has one; says then that all of `answer` was written.
    fn replace(&mut self, cx: &mut Context<'_>, answer: &[u8]) -> Option<Poll<io::Result<usize>>> {
        if self.replacement.is_none() {
            self.replacement = replacement(answer, &self.lines).map(|bytes| (bytes, 0));
        }
        let (bytes, written) = self.replacement.as_mut()?;
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(more)) => *written += more,
                Poll::Ready(Err(err)) => return Some(Poll::Ready(Err(err))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.replacement = None;
        Some(Poll::Ready(Ok(answer.len())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BadHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BadHeads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(done) = self.replace(cx, buf) {
            return done;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = bufs.iter().filter(|buf| !buf.is_empty());
        // An answer without a body is one slice.
        if let (Some(only), None) = (filled.next(), filled.next())
            && let Some(done) = self.replace(cx, only)
        {
            return done;
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The answer with a problem document that takes the place of `answer`, if that is one of hyper's own.
fn replacement(answer: &[u8], lines: &LogRateLimit) -> Option<Vec<u8>> {
    let known = |(line, code): &(&'static [u8], Code)| {
        answer.strip_prefix(*line)?.strip_prefix(FIELDS)?.strip_suffix(END).zip(Some(*code))
    };
    let (date, code) = STATUS_LINES.iter().find_map(known)?;
    if date.len() != DATE_BYTES {
        return None;
    }
    let id = RequestId::new();
    let status = code.status();
    if let Some(suppressed) = lines.next() {
        let (request_id, status) = (id.as_str(), status.as_u16());
        info!(request_id, status, suppressed, "the head of a request cannot be read");
    }
    let detail = match code {
        Code::HeadersTooLarge => {
            format!("the request head must have at most {HEAD_BYTES} bytes and {HEAD_LINES} lines")
        }
        _ => "the head of the request is not valid HTTP/1.1".to_owned(),
    };
    let body = Problem::new(code, detail).into_json("", &id);
    let reason = status.canonical_reason().unwrap_or_default();
    let mut replacement = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    replacement.extend_from_slice(b"connection: close\r\ndate: ");
    replacement.extend_from_slice(date);
    let rest = format!(
        "\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
         x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n\r\n",
        body.len()
    );
    replacement.extend_from_slice(rest.as_bytes());
    replacement.extend_from_slice(&body);
    Some(replacement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_of_the_library_is_replaced() {
        let date = "Sun, 29 Nov 2026 08:28:02 GMT";
        let lines = LogRateLimit::default();
        let bare = |status: &str| {
            format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
            )
        };
        for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"]
        {
            assert!(replacement(bare(status).as_bytes(), &lines).is_some(), "{status}");
        }
        let ours = bare("400 Bad Request");
        for answer in [
            bare("404 Not Found"),
            bare("200 OK"),
            format!("x{ours}"),
            format!("{ours}x"),
            ours.replace("connection", "x-request-id: 1\r\nconnection"),
            ours.replace(date, ""),
            String::new(),
        ] {
            assert!(replacement(answer.as_bytes(), &lines).is_none(), "{answer}");
        }
    }
}
