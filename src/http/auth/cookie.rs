//! A token in a cookie, for the pages of this service: they hold no token that a script could read, and the browser
//! proves with each request that may change something that it comes from one of them.

use std::str::from_utf8;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts},
};

use crate::{
    http::{
        auth::{Caller, Refusal, TokenVerifier},
        path_prefix::PathPrefix,
        problem::{Code, Problem},
        serve::middleware::only,
    },
    json::FieldError,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Bytes of a token that every browser keeps: 4,096 (RFC 6265, 6.1) with room for the name and the attributes.
const TOKEN_BYTES: usize = 3_800;

/// The cookie that holds an administrator's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Cookie {
    /// Where the service is reached over http, as on one's own machine.
    Plain,
    /// Where it is reached over https: no page of another host or scheme can set a cookie of this name.
    Secure,
    /// Where it is reached over https under a path: `__Host-` would send the token to all others on the host.
    SecureUnderPath,
}

impl Cookie {
    /// The cookie of a service that is reached at `public_url`.
    pub(super) fn at(public_url: Option<&str>) -> Self {
        let is_https = public_url.is_some_and(|it| it.starts_with("https://"));
        match (is_https, PathPrefix::of(public_url).is_empty()) {
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

    /// `Set-Cookie` for a `token` that is good for so many seconds; a fault if it is too long to be kept.
    pub(in crate::http) fn keep(self, token: &str, seconds: i64) -> Result<String, Problem> {
        if token.len() > TOKEN_BYTES {
            let detail = format!(
                "has {} bytes, and a cookie holds {TOKEN_BYTES}: send it with each request, as \
                 `Authorization: Bearer`",
                token.len()
            );
            return Err(Problem::malformed(FieldError::at("/token", "too_long", detail)));
        }
        Ok(self.spelt(token, seconds.max(0)))
    }

    /// `Set-Cookie` that takes it away.
    pub(in crate::http) fn cleared(self) -> String {
        self.spelt("", 0)
    }

    fn spelt(self, value: &str, seconds: i64) -> String {
        // Without a path a browser takes that of the request as it sees it: `/admin`, under whatever proxy.
        let place = match self {
            Self::Plain => "",
            Self::Secure => "Path=/; Secure; ",
            Self::SecureUnderPath => "Secure; ",
        };
        let name = self.name();
        format!("{name}={value}; HttpOnly; SameSite=Strict; {place}Max-Age={seconds}")
    }

    /// The token that was sent. Of two nobody can say which is meant: one may be another page's.
    fn token(self, headers: &HeaderMap) -> Result<&str, Refusal> {
        // As bytes: what others have put into theirs need not be a text.
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        let pairs = lines.flat_map(|it| it.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
        let name = self.name().as_bytes();
        let mut sent = pairs.filter_map(|it| it.strip_prefix(name)?.strip_prefix(b"="));
        match (sent.next(), sent.next()) {
            (Some(token), None) => from_utf8(token).map_err(|_| Refusal::NotAJwt),
            (Some(_), Some(_)) => Err(Refusal::Repeated("the cookie")),
            (None, _) => Err(Refusal::NoCredentials),
        }
    }
}

/// Who asks with the cookie.
pub(super) fn caller(parts: &Parts, keys: &TokenVerifier) -> Result<Caller, Problem> {
    let token = keys.cookie().token(&parts.headers)?;
    let caller = keys.verify(token)?;
    if !parts.method.is_safe() {
        check_origin(&parts.headers)?;
    }
    Ok(caller)
}

/// A request that a page of this service sent; others are a 403.
#[derive(Debug)]
pub(in crate::http) struct SameOrigin;

impl<S: Send + Sync> FromRequestParts<S> for SameOrigin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        check_origin(&parts.headers).map(|()| Self)
    }
}

/// A browser sends the cookie whoever asks it to, so it has to say whose page asked.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let ours = if headers.contains_key(SEC_FETCH_SITE) {
        only(headers, &SEC_FETCH_SITE).is_some_and(|it| it == "same-origin")
    } else {
        // A browser sends that one over https and on one's own machine only. Of a page without an origin this is `null`.
        let origin = only(headers, &header::ORIGIN).and_then(|it| it.to_str().ok()?.parse().ok());
        let host = only(headers, &header::HOST).and_then(|it| it.to_str().ok());
        origin.zip(host).is_some_and(|(origin, host)| is_of(&origin, host))
    };
    if ours {
        return Ok(());
    }
    let detail = "a request with the cookie must come from a page of this service: neither \
                  `Sec-Fetch-Site: same-origin` nor an `Origin` that equals `Host` was sent";
    Err(Problem::new(Code::CrossOrigin, detail))
}

fn is_of(origin: &Uri, host: &str) -> bool {
    // A text without a scheme would be read as a host.
    let authority = origin.scheme().and(origin.authority());
    authority.is_some_and(|it| it.as_str().eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_keep_beside_it_does_not_matter() {
        for (sent, token) in [
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
            headers.append(header::COOKIE, HeaderValue::from_bytes(sent).unwrap());
            assert_eq!(Cookie::Plain.token(&headers).ok(), token, "{}", sent.escape_ascii());
        }
    }
}
