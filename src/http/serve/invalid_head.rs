//! Problem documents for invalid request heads. hyper answers an invalid head itself, with a bare status; the stream
//! replaces the response by a problem document.

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
            log_rate_limit::LogRateLimit,
        },
    },
    ids::RequestId,
};

/// The status lines of hyper's own responses. An overlong request line counts as a head of excessive size.
const STATUS_LINES: [(&[u8], Code); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", Code::MalformedRequest),
    (b"HTTP/1.1 414 URI Too Long\r\n", Code::HeadersTooLarge),
    (b"HTTP/1.1 431 Request Header Fields Too Large\r\n", Code::HeadersTooLarge),
];

/// The headers of such a response up to the date. Responses of the service have more headers.
const HYPER_HEADERS: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";

/// The length of a date (RFC 9110, 5.6.7).
const DATE_BYTES: usize = 29;

const END: &[u8] = b"\r\n\r\n";

/// A connection with hyper's bare error responses replaced.
#[derive(Debug)]
pub(in crate::http) struct InvalidHeads<S> {
    stream: S,
    log_limit: Arc<LogRateLimit>,
    /// The response being written, and the number of bytes written.
    replacement: Option<(Vec<u8>, usize)>,
}

impl<S> InvalidHeads<S> {
    /// Wraps `stream`; `log_limit` limits the log lines.
    pub(in crate::http) fn new(stream: S, log_limit: Arc<LogRateLimit>) -> Self {
        Self { stream, log_limit, replacement: None }
    }
}

impl<S: AsyncWrite + Unpin> InvalidHeads<S> {
    /// Writes the replacement of `response`, if any, and then reports all of `response` as written.
    fn replace(
        &mut self,
        cx: &mut Context<'_>,
        response: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        if self.replacement.is_none() {
            self.replacement = replacement(response, &self.log_limit).map(|bytes| (bytes, 0));
        }
        let (bytes, written) = self.replacement.as_mut()?;
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => {
                    // A stream without progress would keep the loop running forever.
                    return Some(Poll::Ready(Err(io::ErrorKind::WriteZero.into())));
                }
                Poll::Ready(Ok(count)) => *written += count,
                Poll::Ready(Err(err)) => return Some(Poll::Ready(Err(err))),
                Poll::Pending => return Some(Poll::Pending),
            }
        }
        self.replacement = None;
        // hyper must see the whole response as written, or the rest would follow.
        Some(Poll::Ready(Ok(response.len())))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InvalidHeads<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InvalidHeads<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(result) = self.replace(cx, buf) {
            return result;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut non_empty = bufs.iter().filter(|buf| !buf.is_empty());
        // hyper writes a response without a body as one slice.
        if let (Some(buf), None) = (non_empty.next(), non_empty.next())
            && let Some(result) = self.replace(cx, buf)
        {
            return result;
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

/// Returns the response with a problem document if `response` comes from hyper.
fn replacement(response: &[u8], log_limit: &LogRateLimit) -> Option<Vec<u8>> {
    let date_and_code = |(line, code): &(&'static [u8], Code)| {
        response
            .strip_prefix(*line)?
            .strip_prefix(HYPER_HEADERS)?
            .strip_suffix(END)
            .zip(Some(*code))
    };
    let (date, code) = STATUS_LINES.iter().find_map(date_and_code)?;
    // A response of the service could begin like hyper's, but not end after a date.
    if date.len() != DATE_BYTES {
        return None;
    }
    // No head was parsed, so the caller's own id is unknown.
    let id = RequestId::new();
    let status = code.status();
    if let Some(suppressed) = log_limit.next() {
        let (request_id, status) = (id.as_str(), status.as_u16());
        info!(request_id, status, suppressed, "invalid request head");
    }
    let detail = match code {
        Code::HeadersTooLarge => {
            format!("the request head must have at most {HEAD_BYTES} bytes and {HEAD_LINES} lines")
        }
        _ => "the request head is not valid HTTP/1.1".to_owned(),
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
    fn only_responses_of_hyper_are_replaced() {
        let date = "Sun, 29 Nov 2026 08:28:02 GMT";
        let log_limit = LogRateLimit::default();
        let hyper_response = |status: &str| {
            format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: {date}\r\n\r\n"
            )
        };
        for status in ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"]
        {
            assert!(
                replacement(hyper_response(status).as_bytes(), &log_limit).is_some(),
                "{status}"
            );
        }
        let bad_request = hyper_response("400 Bad Request");
        for response in [
            hyper_response("404 Not Found"),
            hyper_response("200 OK"),
            format!("x{bad_request}"),
            format!("{bad_request}x"),
            bad_request.replace("connection", "x-request-id: 1\r\nconnection"),
            bad_request.replace(date, ""),
            String::new(),
        ] {
            assert!(replacement(response.as_bytes(), &log_limit).is_none(), "{response}");
        }
    }
}
