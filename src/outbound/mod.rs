//! HTTP calls of other services, limited in time and size, without redirects. Errors never hold the address, which may be
//! a secret.

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

use crate::{
    request_context::RequestContext,
    trace_context::{TRACEPARENT, TRACESTATE},
};

/// The limits of a call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// The timeout of the connection.
    pub connect_timeout: Duration,
    /// The timeout of the whole call.
    pub total_timeout: Duration,
    /// The most bytes of the response's body.
    pub max_body_bytes: usize,
    /// The permitted addresses.
    pub address_policy: AddressPolicy,
}

/// The permitted addresses of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Every address.
    Anywhere,
    /// No address of this machine or of a private network, against server-side request forgery.
    Public,
}

/// A response with any status.
#[derive(Debug)]
pub struct OutboundResponse {
    /// The status; redirects are not followed.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The complete body.
    pub body: Vec<u8>,
}

/// A call without a response.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The connection failed. Nothing was sent, so the call may be repeated.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The address is of this machine or of a private network.
    #[error("the address is one of this machine or of a private network")]
    PrivateAddress,
    /// The call timed out. The service may have acted.
    #[error("the call timed out")]
    Timeout,
    /// The response exceeds the limit.
    #[error("the response is larger than {0} bytes")]
    TooLarge(usize),
    /// The connection was lost, or the response is not HTTP. The service may have acted.
    #[error("the call failed: {0}")]
    Interrupted(String),
}

/// A client of other services. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbound {
    http: Client,
    limits: CallLimits,
}

impl Outbound {
    /// Creates a client with `limits`.
    ///
    /// # Errors
    /// TLS cannot be initialized.
    pub fn new(limits: CallLimits) -> Result<Self, OutboundError> {
        let http = Client::builder()
            .connect_timeout(limits.connect_timeout)
            .timeout(limits.total_timeout)
            // A redirect could lead to a private address, or carry secrets to another host.
            .redirect(redirect::Policy::none())
            // A proxy of the environment would bypass the check of addresses.
            .no_proxy()
            .user_agent(concat!("Brune/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(PolicyResolver(limits.address_policy)))
            .build()
            .map_err(|err| OutboundError::from(&err))?;
        Ok(Self { http, limits })
    }

    /// Builds a request to be sent by [`Self::send`].
    pub fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends `request` with the trace of the running task and reads the response.
    ///
    /// # Errors
    /// There is no complete response within the limits.
    pub async fn send(&self, request: RequestBuilder) -> Result<OutboundResponse, OutboundError> {
        let mut request = request.build().map_err(|err| OutboundError::from(&err))?;
        // The resolver does not see numeric addresses.
        if self.limits.address_policy == AddressPolicy::Public && is_private_url(request.url()) {
            return Err(OutboundError::PrivateAddress);
        }
        add_trace(request.headers_mut());
        let response = self.http.execute(request).await.map_err(|err| OutboundError::from(&err))?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<OutboundResponse, OutboundError> {
        let max = self.limits.max_body_bytes;
        // A declared length saves reading a body that is too large.
        let content_length = response.content_length().unwrap_or_default();
        if usize::try_from(content_length).is_ok_and(|length| length > max) {
            return Err(OutboundError::TooLarge(max));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|err| OutboundError::from(&err))? {
            // The declared length may be missing, as in a chunked response.
            if body.len() + chunk.len() > max {
                return Err(OutboundError::TooLarge(max));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(OutboundResponse {
            status: response.status(),
            headers: response.headers().clone(),
            body,
        })
    }
}

/// Adds the trace of the current request, unless the headers have a trace.
fn add_trace(headers: &mut HeaderMap) {
    let Some(request) = RequestContext::current().filter(|_| !headers.contains_key(TRACEPARENT))
    else {
        return;
    };
    let trace = request.trace();
    // A trace is only an aid: a text unfit for a header must not fail the call.
    let value = |text: &str| HeaderValue::from_str(text).ok();
    let parent = value(trace.traceparent());
    headers.extend(parent.map(|value| (HeaderName::from_static(TRACEPARENT), value)));
    let state = trace.tracestate().and_then(value);
    headers.extend(state.map(|value| (HeaderName::from_static(TRACESTATE), value)));
}

impl From<&reqwest::Error> for OutboundError {
    fn from(err: &reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = err;
        while let Some(source) = cause.source() {
            cause = source;
        }
        if cause.is::<PrivateName>() {
            return Self::PrivateAddress;
        }
        // Only the innermost cause, because the library's own message holds the address.
        let detail = err.source().map_or_else(String::new, |_| cause.to_string());
        match err {
            // First, because a timeout of the connection is both.
            _ if err.is_connect() => Self::Unreachable(detail),
            _ if err.is_timeout() => Self::Timeout,
            _ => Self::Interrupted(detail),
        }
    }
}

/// A resolver that omits the addresses that the policy forbids.
struct PolicyResolver(AddressPolicy);

/// The error for a name without a permitted address.
#[derive(Debug)]
struct PrivateName;

impl fmt::Display for PrivateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name resolves to a private network")
    }
}

impl std::error::Error for PrivateName {}

impl Resolve for PolicyResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            // The connection uses the checked addresses, which excludes DNS rebinding.
            let mut addresses: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            // Before the filter, so that a name without addresses does not pass for private.
            if addresses.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            addresses
                .retain(|address| policy == AddressPolicy::Anywhere || !is_private(address.ip()));
            if addresses.is_empty() {
                return Err(PrivateName.into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Returns whether `url` has a numeric address of this machine or of a private network. Names are resolved by calls only.
#[must_use]
pub fn is_private_url(url: &Url) -> bool {
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

/// Returns whether RFC 6890 reserves the address for other than the public network.
fn is_private_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        // Without stable methods: this network, carrier-grade NAT, protocol assignments, benchmarks, reserved.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    // A mapped, translated (RFC 6052) or 6to4 address leads to the embedded IPv4 address.
    let bytes = address.octets();
    let embedded =
        |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_private_v4(embedded(12)),
        [0x2002, ..] => is_private_v4(embedded(2)),
        // The ranges of global unicast for tunnels and documentation.
        [0x2001, 0 | 0xdb8, ..] | [0x3fff, ..] => true,
        // IANA assigns global unicast addresses from 2000::/3 only.
        [first, ..] => !(0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests;
