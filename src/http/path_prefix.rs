//! The path that a reverse proxy takes off before it passes a request on.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// The path of `BRUNE_PUBLIC_URL`, without a slash at its end; empty where the service has a host to itself. Addresses
/// in answers begin with it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// The path of `public_url`. One with characters that a route's path gives a meaning is taken for none.
    #[must_use]
    pub fn of(public_url: Option<&str>) -> Self {
        let uri = public_url.and_then(|url| url.parse::<Uri>().ok());
        let path = uri.as_ref().map_or("", Uri::path).trim_end_matches('/');
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
        let path = if path.bytes().all(plain) && !path.contains("//") { path } else { "" };
        Self(path.into())
    }

    /// Where clients find `path`, which begins with a slash.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Completes a `Location` that is a path from the root.
    pub(super) fn complete(&self, headers: &mut HeaderMap) {
        let Some(location) = headers.get(header::LOCATION).and_then(|it| it.to_str().ok()) else {
            return;
        };
        if self.is_empty() || !location.starts_with('/') {
            return;
        }
        if let Ok(location) = HeaderValue::try_from(self.join(location)) {
            headers.insert(header::LOCATION, location);
        }
    }
}
