//! The path that a reverse proxy strips before forwarding a request.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Uri, header};

/// The path of `BRUNE_PUBLIC_URL` without a trailing slash; empty if the service has its own host. URLs in responses
/// start with the prefix. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PathPrefix(Arc<str>);

impl PathPrefix {
    /// Takes the path of `public_url`.
    #[must_use]
    pub fn from_public_url(public_url: Option<&str>) -> Self {
        let uri = public_url.and_then(|url| url.parse::<Uri>().ok());
        // Joined paths start with a slash, so a trailing slash would be doubled.
        let path = uri.as_ref().map_or("", Uri::path).trim_end_matches('/');
        // Other characters would have a meaning in route patterns.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%".contains(&byte);
        let path = if path.bytes().all(is_plain) && !path.contains("//") { path } else { "" };
        Self(path.into())
    }

    /// Returns `path`, which starts with a slash, as clients address it.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// Returns whether the service has its own host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Prepends the prefix to a `Location` header that is an absolute path.
    pub(super) fn prefix_location(&self, headers: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        let Some(location) = headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
        else {
            return;
        };
        // An absolute URL already names its host and path.
        if !location.starts_with('/') {
            return;
        }
        if let Ok(location) = HeaderValue::try_from(self.join(location)) {
            headers.insert(header::LOCATION, location);
        }
    }
}
