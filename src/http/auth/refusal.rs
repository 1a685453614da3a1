//! Why credentials are refused, in words that repeat nothing of them.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;

use crate::{ids::UserIdError, text::IdentifierError};

/// Why a request is not authorized. The text of it is sent to the caller and logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Refusal {
    /// There are no credentials in the request.
    NoCredentials,
    /// The `Authorization` header is of another scheme, or has no token.
    Scheme,
    /// A header or cookie occurs more than once.
    Repeated(&'static str),
    /// A key, sent in this header, is not the service's.
    Key(&'static str),
    /// The token of an event stream's address is not valid, or not any more.
    Pass,
    /// The token has more than this many bytes.
    TooLong(usize),
    /// It does not have the three parts of a JWT.
    NotAJwt,
    /// Its header is no JSON object, or has a member twice.
    Header,
    /// Its header has a member that changes what is signed or how it is read.
    HeaderMember(&'static str),
    /// Its algorithm is not the service's.
    Algorithm,
    /// No secret of the service signed it.
    Signature,
    /// Its claims are no JSON object, or one of them occurs twice.
    Claims,
    /// A claim that must be there is not.
    Missing(&'static str),
    /// A claim is of another type.
    Type(&'static str, &'static str),
    /// A claim cannot be an identifier.
    Identifier(&'static str, IdentifierError),
    /// `sub` is a name of the service itself.
    Reserved,
    /// A time is so far away that it cannot be in seconds.
    Milliseconds(&'static str),
    /// `exp` is in the past.
    Expired,
    /// `nbf` or `iat` is in the future.
    NotYet(&'static str),
    /// It lives longer than this many seconds, from `iat` on or, without `iat`, from now on.
    LivesTooLong {
        /// Most seconds allowed.
        max: i64,
        /// Whether it has an `iat`.
        since_iat: bool,
    },
    /// `iss` or `aud` is not the configured one.
    Mismatch(&'static str),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredentials => f.write_str(Self::NO_CREDENTIALS),
            Self::Scheme => f.write_str("the Authorization header must be `Bearer` and a token"),
            Self::Repeated(what) => write!(f, "{what} was sent more than once"),
            Self::Key(header) => write!(f, "{header} does not match"),
            Self::Pass => f.write_str("the token of the event stream is not valid or has expired"),
            Self::TooLong(bytes) => write!(f, "the token is longer than {bytes} bytes"),
            Self::NotAJwt => {
                f.write_str("not a JWT: three base64url parts separated by dots are needed")
            }
            Self::Header => {
                f.write_str("the token's header is not a JSON object, or has a member twice")
            }
            Self::HeaderMember(name) => {
                write!(f, "the token's header must not have the member `{name}`")
            }
            Self::Algorithm => f.write_str("`alg` in the token's header must be HS256"),
            Self::Signature => f.write_str("the token's signature does not match"),
            Self::Claims => f.write_str("the claims are not a JSON object, or have a claim twice"),
            Self::Missing(claim) => write!(f, "`{claim}` is missing"),
            Self::Type(claim, what) => write!(f, "`{claim}` must be {what}"),
            Self::Identifier(claim, error) => write!(f, "`{claim}` {error}"),
            Self::Reserved => write!(f, "`sub` {}", UserIdError::Reserved),
            Self::Milliseconds(claim) => {
                write!(f, "`{claim}` must be in seconds since 1970, not in milliseconds")
            }
            Self::Expired => f.write_str("the token has expired (`exp` is in the past)"),
            Self::NotYet(claim) => write!(f, "`{claim}` is in the future"),
            Self::LivesTooLong { max, since_iat } => {
                let start = if *since_iat { "after `iat`" } else { "from now, without `iat`" };
                write!(f, "`exp` must be at most {max} seconds {start} (JWT_MAX_LIFE)")
            }
            Self::Mismatch(claim) => write!(f, "`{claim}` does not match"),
        }
    }
}

impl Refusal {
    /// The text of [`Self::NoCredentials`].
    pub(in crate::http) const NO_CREDENTIALS: &str =
        "no credentials were sent: send `Authorization: Bearer` and a token";

    /// Whether the request had credentials that were looked at (RFC 6750, 3.1).
    pub(in crate::http) fn has_credentials(self) -> bool {
        self != Self::NoCredentials
    }

    /// The refusal for an error of the library, after our own checks found nothing.
    pub(super) fn of_library(kind: &ErrorKind) -> Self {
        use ErrorKind as E;
        match kind {
            E::InvalidSignature | E::Base64(_) => Self::Signature,
            E::InvalidAlgorithm => Self::Algorithm,
            E::ExpiredSignature => Self::Expired,
            E::ImmatureSignature => Self::NotYet("nbf"),
            E::InvalidIssuer => Self::Mismatch("iss"),
            E::InvalidAudience => Self::Mismatch("aud"),
            E::MissingRequiredClaim(claim) | E::InvalidClaimFormat(claim) => match claim.as_str() {
                "iss" => Self::Missing("iss"),
                "aud" => Self::Missing("aud"),
                "sub" => Self::Missing("sub"),
                "nbf" => Self::Type("nbf", "a number"),
                _ => Self::Missing("exp"),
            },
            _ => Self::Claims,
        }
    }
}
