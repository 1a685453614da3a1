//! The first result of a write, kept so that a repeat of the request answers with it
//! (draft-ietf-httpapi-idempotency-key-header-07).

mod store;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{database::Connection, ids::UserId};

/// Longest `Idempotency-Key` taken, in bytes.
pub const MAX_BYTES: usize = 255;

/// What makes two requests of one caller the same.
#[derive(Debug, Clone)]
pub struct Key {
    caller: UserId,
    text: String,
    fingerprint: Vec<u8>,
}

impl Key {
    /// The key that `caller` sent with a request whose parts are `request`: method, path, query, body.
    #[must_use]
    pub fn new(caller: UserId, key: String, request: &[&[u8]]) -> Self {
        Self { caller, text: key, fingerprint: fingerprint(request) }
    }
}

/// What tells one request from another: the digest of its parts.
#[must_use]
pub fn fingerprint(request: &[&[u8]]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in request {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// The key was used for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used for another request")]
pub struct Reused;

/// The result that was stored under `key` within the last 24 hours.
pub async fn find<T: DeserializeOwned>(
    conn: &mut Connection,
    key: &Key,
) -> sqlx::Result<Result<Option<T>, Reused>> {
    let Some(first) = store::find(conn, key.caller.as_str(), &key.text).await? else {
        return Ok(Ok(None));
    };
    if first.fingerprint != key.fingerprint {
        return Ok(Err(Reused));
    }
    let result =
        serde_json::from_str(&first.body).map_err(|err| sqlx::Error::Decode(err.into()))?;
    Ok(Ok(Some(result)))
}

/// Keeps `result` under `key`, in the transaction that it is the result of; forgets some that are old.
pub async fn store(conn: &mut Connection, key: &Key, result: &impl Serialize) -> sqlx::Result<()> {
    let body = serde_json::to_string(result).map_err(|err| sqlx::Error::Encode(err.into()))?;
    store::insert(conn, key.caller.as_str(), &key.text, &key.fingerprint, &body).await?;
    store::forget_old(conn).await
}
