//! The header of a token, read strictly and before its signature is checked (RFC 7515, 4; RFC 8725, 3.1).

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64_URL};
use jsonwebtoken::decode_header;

use crate::{http::auth::refusal::Refusal, json::StrictJson};

/// The only algorithm.
const ALGORITHM: &str = "HS256";

/// Members that change what is signed or how it is read: an unencoded payload (RFC 7797), compression, encryption,
/// and extensions that a reader has to understand. The service implements none of them.
const REFUSED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// Checks the parts of `token` and its header; members that name keys (`jwk`, `jku`, `kid`, …) are ignored.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn check(token: &str) -> Result<(), Refusal> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(_), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::NotAJwt);
    };
    if header.is_empty() || claims.is_empty() {
        return Err(Refusal::NotAJwt);
    }
    let header = BASE64_URL.decode(header).map_err(|_| Refusal::Header)?;
    // Of a member that occurs twice, two readers may each take another.
    let Ok(StrictJson::Object(members)) = StrictJson::parse(&header) else {
        return Err(Refusal::Header);
    };
    let mut algorithm = None;
    for (name, value) in &members {
        if let Some(refused) = REFUSED.into_iter().find(|it| name.eq_ignore_ascii_case(it)) {
            return Err(Refusal::HeaderMember(refused));
        }
        if name.eq_ignore_ascii_case("alg") {
            // A second spelling of it is one that another reader may take.
            if name != "alg" || algorithm.is_some() {
                return Err(Refusal::Algorithm);
            }
            algorithm = Some(value);
        }
    }
    if algorithm != Some(&StrictJson::String(ALGORITHM.to_owned())) {
        return Err(Refusal::Algorithm);
    }
    decode_header(token).map(drop).map_err(|_| Refusal::Header)
}

/// Whether the claims of `token` are an object; the library takes a list for one whose members are in order.
pub(super) fn has_object(token: &str) -> bool {
    let claims = token.split('.').nth(1).and_then(|part| BASE64_URL.decode(part).ok());
    claims.is_some_and(|bytes| bytes.trim_ascii_start().first() == Some(&b'{'))
}
