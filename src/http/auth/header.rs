//! The header of a token, parsed strictly before the signature is verified (RFC 7515, 4; RFC 8725, 3.1).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use jsonwebtoken::decode_header;

use crate::{http::auth::error::AuthError, json::StrictJson};

/// The only accepted algorithm.
const ALGORITHM: &str = "HS256";

/// Unsupported members that change how a token is signed or parsed: an unencoded payload (RFC 7797), compression,
/// encryption and critical extensions.
const UNSUPPORTED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// Checks the parts of `token` and its header; ignores members that name keys (`jwk`, `jku`, `kid`, …).
///
/// # Errors
/// The first violated rule.
pub(super) fn check(token: &str) -> Result<(), AuthError> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(AuthError::NotAJwt);
    };
    // An empty signature passes, because the later comparison gives a clearer error.
    if header.is_empty() || claims.is_empty() {
        return Err(AuthError::NotAJwt);
    }
    let header = BASE64_URL.decode(header).map_err(|_| AuthError::Header)?;
    // Parsers differ in which value of a repeated member they use, so a repeated member is an error.
    let Ok(StrictJson::Object(members)) = StrictJson::parse(&header) else {
        return Err(AuthError::Header);
    };
    let mut algorithm = None;
    for (name, value) in &members {
        let unsupported = UNSUPPORTED.into_iter().find(|member| name.eq_ignore_ascii_case(member));
        if let Some(member) = unsupported {
            return Err(AuthError::HeaderMember(member));
        }
        if name.eq_ignore_ascii_case("alg") {
            // A case-insensitive parser would accept the other spelling.
            if name != "alg" || algorithm.is_some() {
                return Err(AuthError::Algorithm);
            }
            algorithm = Some(value);
        }
    }
    if algorithm != Some(&StrictJson::String(ALGORITHM.to_owned())) {
        return Err(AuthError::Algorithm);
    }
    // Last, so the library's general error appears only without a specific error.
    decode_header(token).map_err(|_| AuthError::Header)?;
    Ok(())
}

/// Returns whether the claims of `token` are a JSON object: serde would also accept an array in field order.
pub(super) fn has_object_claims(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| BASE64_URL.decode(part).ok());
    claims.is_some_and(|bytes| bytes.trim_ascii_start().first() == Some(&b'{'))
}
