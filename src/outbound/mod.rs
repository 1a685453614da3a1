//! Calls of other services: bounded in time and size, redirected nowhere. What is said of a call that failed
//! never holds its address, which may be a secret.

use std::{
    error::Error as _,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Client, Method, RequestBuilder, Response, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect,
};
use tokio::net::lookup_host;
use url::Host;

use crate::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};

/// How much a call may take, and where it may go.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Until the connection stands.
    pub connect: Duration,
    /// Until the last byte of the answer.
    pub total: Duration,
    /// Bytes of the answer's body.
    pub largest: usize,
    /// Which addresses may be called.
    pub reach: AddressPolicy,
}

/// Which addresses may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Any.
    Anywhere,
    /// None of this machine or of a private network: an address that somebody gave must not lead to what only
    /// we can reach.
    Public,
}

/// What was answered, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// Its status; a redirect is one like any other.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, all of it.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// No connection was made, so nothing was sent and the call may be repeated.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The address leads to this machine or into a private network.
    #[error("the address is one of this machine or of a private network")]
    Private,
    /// The time was over; whether the other side acted is not known.
    #[error("no answer in time")]
    Late,
    /// The answer is larger than anyone would read.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection broke, or what came is no HTTP; whether the other side acted is not known.
    #[error("the call broke off: {0}")]
    Broken(String),
}

/// A client of other services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    http: Client,
    bounds: Bounds,
}

impl Outbound {
    /// A client within `bounds`.
    ///
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub fn new(bounds: Bounds) -> Result<Self, OutboundError> {
        let http = Client::builder()
            .connect_timeout(bounds.connect)
            .timeout(bounds.total)
            .redirect(redirect::Policy::none())
            // What the environment says of proxies is nobody's decision here, and would pass the check below.
            .no_proxy()
            .user_agent(concat!("Brune/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Names(bounds.reach)))
            .build()
            .map_err(|err| OutboundError::from(&err))?;
        Ok(Self { http, bounds })
    }

    /// A request of `method` for `url`; goes out with [`Self::send`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends `request` and reads its answer. Made for a request of somebody, it carries that one's trace.
    ///
    /// # Errors
    /// There is no whole answer within the bounds.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer, OutboundError> {
        let mut request = request.build().map_err(|err| OutboundError::from(&err))?;
        // An address that is written as a number is never looked up.
        if self.bounds.reach == AddressPolicy::Public && is_within(request.url()) {
            return Err(OutboundError::Private);
        }
        carry_trace(request.headers_mut());
        let response = self.http.execute(request).await.map_err(|err| OutboundError::from(&err))?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<Answer, OutboundError> {
        let largest = self.bounds.largest;
        let announced = response.content_length().unwrap_or_default();
        if usize::try_from(announced).is_ok_and(|it| largest < it) {
            return Err(OutboundError::TooLarge(largest));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|err| OutboundError::from(&err))? {
            if largest < body.len() + chunk.len() {
                return Err(OutboundError::TooLarge(largest));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body })
    }
}

/// Adds the trace that the running task works for, unless the headers name one already.
fn carry_trace(headers: &mut HeaderMap) {
    let Some(trace) = TraceContext::current().filter(|_| !headers.contains_key(TRACEPARENT)) else {
        return;
    };
    let value = |text: &str| HeaderValue::from_str(text).ok();
    headers.extend(value(trace.traceparent()).map(|it| (HeaderName::from_static(TRACEPARENT), it)));
    let state = trace.tracestate().and_then(value);
    headers.extend(state.map(|it| (HeaderName::from_static(TRACESTATE), it)));
}

impl From<&reqwest::Error> for OutboundError {
    fn from(err: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = err;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if cause.is::<Refused>() {
            return Self::Private;
        }
        // Only what lies beneath: the library's own words hold the address.
        let told = err.source().map_or_else(String::new, |_| cause.to_string());
        match err {
            // Before the next: a connection that takes too long was not made.
            _ if err.is_connect() => Self::Unreachable(told),
            _ if err.is_timeout() => Self::Late,
            _ => Self::Broken(told),
        }
    }
}

/// Looks names up, and leaves out the addresses that may not be called.
struct Names(AddressPolicy);

/// Every address of a name is one that may not be called.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads into a private network")
    }
}

impl std::error::Error for Refused {}

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            let fine = |it: &SocketAddr| reach == AddressPolicy::Anywhere || !is_private(it.ip());
            let fine: Vec<SocketAddr> = found.into_iter().filter(fine).collect();
            if fine.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(fine.into_iter()) as Addrs)
        })
    }
}

/// Whether `url` itself says that it leads to this machine or into a private network. What its name leads to is
/// seen only with a call.
#[must_use]
pub fn is_within(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_private_v4(address),
        Some(Host::Ipv6(address)) => is_private_v6(address),
        Some(Host::Domain(_)) | None => false,
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

/// The special-purpose addresses of RFC 6890 that are not of the public network.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // This network, carriers' own, protocol assignments, benchmarks, reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || 240 <= a
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    // Mapped, translated (RFC 6052) and 6to4: what matters is the address within.
    let bytes = address.octets();
    let within = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_private_v4(within(12)),
        [0x2002, ..] => is_private_v4(within(2)),
        // Of global unicast, what is for tunnels and documentation.
        [0x2001, 0 | 0xdb8, ..] | [0x3fff, ..] => true,
        [first, ..] => !(0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests;
