//! The cookie that holds an administrator's token: no script of the console can read the token.

use std::str::from_utf8;

use axum::http::{HeaderMap, HeaderValue, header};

use crate::{
    http::{auth::error::AuthError, path_prefix::PathPrefix, problem::Problem},
    json::FieldError,
};

/// The longest token in a cookie: every browser stores 4,096 bytes (RFC 6265, 6.1), less the name and attributes.
const TOKEN_BYTES: usize = 3_800;

/// The name and attributes of the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Cookie {
    /// For http, as in local development.
    Plain,
    /// For https: no page of another host or scheme can set a cookie with this name.
    Secure,
    /// For https under a path: `__Host-` would send the token to every service of the host.
    SecureUnderPath,
}

impl Cookie {
    /// Returns the cookie for a service at `public_url`.
    pub(super) fn for_public_url(public_url: Option<&str>) -> Self {
        let is_https = public_url.is_some_and(|url| url.starts_with("https://"));
        match (is_https, PathPrefix::from_public_url(public_url).is_empty()) {
            (false, _) => Self::Plain,
            (true, true) => Self::Secure,
            (true, false) => Self::SecureUnderPath,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "brune",
            Self::Secure => "__Host-brune",
            Self::SecureUnderPath => "__Secure-brune",
        }
    }

    /// Returns the `Set-Cookie` value that stores `token` for `seconds`.
    ///
    /// # Errors
    /// A `malformed_request` problem if the token is too long for a cookie.
    pub(in crate::http) fn store(self, token: &str, seconds: i64) -> Result<String, Problem> {
        if token.len() > TOKEN_BYTES {
            let detail = format!(
                "has {} bytes, more than the {TOKEN_BYTES} of a cookie: send the token with each request, as \
                 `Authorization: Bearer`",
                token.len()
            );
            return Err(Problem::malformed(FieldError::at("/token", "too_long", detail)));
        }
        // Zero deletes the cookie of a token that expires meanwhile.
        Ok(self.set_cookie(token, seconds.max(0)))
    }

    /// Returns the `Set-Cookie` value that deletes the cookie.
    pub(in crate::http) fn clear(self) -> String {
        self.set_cookie("", 0)
    }

    fn set_cookie(self, value: &str, seconds: i64) -> String {
        // Without `Path`, a browser uses the folder of the request as seen outside of any proxy: `/admin`.
        let scope = match self {
            // Over http, a browser may drop a cookie with `Secure`.
            Self::Plain => "",
            Self::Secure => "Path=/; Secure; ",
            Self::SecureUnderPath => "Secure; ",
        };
        let name = self.name();
        // `Strict`: no navigation from another site carries the token.
        format!("{name}={value}; HttpOnly; SameSite=Strict; {scope}Max-Age={seconds}")
    }

    /// Returns the token in the cookie.
    pub(super) fn token(self, headers: &HeaderMap) -> Result<&str, AuthError> {
        // Cookies of other applications on the host need not be UTF-8.
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let name = self.name().as_bytes();
        // With `=`, because the cookie of another application may begin with the same name.
        let mut tokens = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="));
        match (tokens.next(), tokens.next()) {
            (Some(token), None) => from_utf8(token).map_err(|_| AuthError::NotAJwt),
            // A page of another host may have set a second cookie, so neither is trusted.
            (Some(_), Some(_)) => Err(AuthError::Repeated("the cookie")),
            (None, _) => Err(AuthError::NoCredentials),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_other_applications_are_ignored() {
        for (cookie, token) in [
            (&b"caf\xe9=\xff; brune=a.b.c; x"[..], Some("a.b.c")),
            (b";;brune=a.b.c;=", Some("a.b.c")),
            (b"brune=", Some("")),
            (b"brune=a=b", Some("a=b")),
            (b"brune=\xff", None),
            (b"brune", None),
            (b"brunex=a.b.c; __Host-brune=a.b.c", None),
            (b"brune=a.b.c; brune=", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_bytes(cookie).unwrap());
            assert_eq!(Cookie::Plain.token(&headers).ok(), token, "{}", cookie.escape_ascii());
        }
    }
}
