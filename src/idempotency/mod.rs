//! Idempotency keys: the result of a write is stored, and a repeated request receives the stored result
//! (draft-ietf-httpapi-idempotency-key-header-07).

mod store;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    database::{Connection, Deadline, OnSuccess, Pool, Transaction, TransactionError},
    ids::UserId,
};

/// The maximum length of an `Idempotency-Key` in bytes.
pub const MAX_BYTES: usize = 255;

/// An idempotency key with the fingerprint of its request.
#[derive(Debug, Clone)]
pub struct Key {
    caller: UserId,
    text: String,
    fingerprint: Vec<u8>,
}

impl Key {
    /// Creates the key `key` of `caller` for a request with the parts `request`: method, path, query and body.
    #[must_use]
    pub fn new(caller: UserId, key: String, request: &[&[u8]]) -> Self {
        Self { caller, text: key, fingerprint: fingerprint(request) }
    }
}

/// Returns the digest of the parts of a request.
#[must_use]
pub fn fingerprint(request: &[&[u8]]) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in request {
        // Without the length, a byte could move from one part to the next unnoticed.
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    digest.finalize().to_vec()
}

/// The key belongs to another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the idempotency key was used for another request")]
pub struct Reused;

/// A result in the form in which it is stored, for statements that store the result with the change.
#[derive(Debug, Clone)]
pub struct StoredResult {
    /// The caller, who owns the key.
    pub caller: String,
    /// The key.
    pub key: String,
    /// The fingerprint of the request.
    pub fingerprint: Vec<u8>,
    /// The result as JSON.
    pub body: String,
}

impl StoredResult {
    /// Returns `result` as stored under `key`.
    pub fn new(key: &Key, result: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self {
            caller: key.caller.as_str().to_owned(),
            key: key.text.clone(),
            fingerprint: key.fingerprint.clone(),
            body: serde_json::to_string(result)?,
        })
    }
}

/// Returns the result stored under `key` in the last 24 hours.
pub async fn find<T: DeserializeOwned>(
    conn: &mut Connection,
    key: &Key,
) -> sqlx::Result<Result<Option<T>, Reused>> {
    let Some(record) = store::find(conn, key.caller.as_str(), &key.text).await? else {
        return Ok(Ok(None));
    };
    if record.fingerprint != key.fingerprint {
        return Ok(Err(Reused));
    }
    let result =
        serde_json::from_str(&record.body).map_err(|err| sqlx::Error::Decode(err.into()))?;
    Ok(Ok(Some(result)))
}

/// Stores `result` under `key` in the transaction of the write, and deletes some expired results.
pub async fn store(conn: &mut Connection, key: &Key, result: &impl Serialize) -> sqlx::Result<()> {
    let StoredResult { caller, key, fingerprint, body } =
        StoredResult::new(key, result).map_err(|err| sqlx::Error::Encode(err.into()))?;
    store::insert(conn, &caller, &key, &fingerprint, &body).await?;
    store::delete_expired(conn).await
}

/// Waits until no other transaction works under `key`, until the transaction ends. For work in several transactions, which
/// must not lock all writes meanwhile.
pub async fn lock(conn: &mut Connection, key: &Key) -> sqlx::Result<()> {
    store::lock_key(conn, key.caller.as_str(), &key.text).await
}

/// The result of [`run_once`].
#[derive(Debug, Clone, Copy)]
pub struct Execution<T> {
    /// The result, of this request or of the first one with the same key.
    pub result: T,
    /// Whether the step ran before, for the first request with the same key.
    pub is_repeat: bool,
}

/// Runs `step` in a transaction that ends as `on_success` says. With a `key`, the step runs once: a repeated request has
/// the result of the first one.
///
/// # Errors
/// The step or the database failed, or the key was used for another request.
pub async fn run_once<T, E>(
    pool: &Pool,
    key: Option<&Key>,
    on_success: OnSuccess,
    step: impl AsyncFnOnce(&mut Connection) -> Result<T, E>,
) -> Result<Execution<T>, E>
where
    T: Serialize + DeserializeOwned,
    E: From<TransactionError> + From<sqlx::Error> + From<Reused>,
{
    let deadline = Deadline::standard();
    let mut transaction = Transaction::begin(pool, deadline).await?;
    let conn = transaction.conn();
    let work = async {
        let Some(key) = key else {
            return Ok(Execution { result: step(conn).await?, is_repeat: false });
        };
        // Of two concurrent requests with one key, the second must find the result of the first.
        store::lock_writes(conn).await?;
        if let Some(result) = find(conn, key).await?? {
            return Ok(Execution { result, is_repeat: true });
        }
        let result = step(conn).await?;
        store(conn, key, &result).await?;
        Ok(Execution { result, is_repeat: false })
    };
    let result = deadline.within(work).await;
    transaction.finish(result, on_success).await
}
