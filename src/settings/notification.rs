//! Notifications that contain a change, written by the trigger `app_global_setting_head_notifies`.
//!
//! A payload is the revision, or the revision and the change: encrypted, because every role that can connect may listen.
//! Every role may notify as well, so each change carries a secret whose digest was published with the revision before.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use crate::settings::entry::StoredSetting;

const KEY_BYTES: usize = 64;
const NONCE_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;
/// The bytes of a block of the keystream, a SHA-512.
const BLOCK_BYTES: usize = 64;

/// The key of notifications, which only the service's role can read.
pub(super) struct NotificationKey([u8; KEY_BYTES]);

/// A committed change, as a notification describes the change.
#[derive(Debug, Clone)]
pub(super) struct NotifiedChange {
    pub(super) revision: i64,
    /// The digest of the secret, which authenticates the change.
    pub(super) digest: Vec<u8>,
    /// The digest of the secret in the notification of the next revision.
    pub(super) next_digest: Vec<u8>,
    /// The catalog revision after the change.
    pub(super) catalog_revision: i64,
    pub(super) timeline: String,
    pub(super) changed_at: DateTime<Utc>,
    /// Whether the writer waits until every instance has applied the change.
    pub(super) is_awaited: bool,
    /// All settings with a new version, and the deleted ones without values.
    pub(super) settings: Vec<StoredSetting>,
}

/// The content of a payload.
#[derive(Debug)]
pub(super) enum Payload {
    /// A change, which is genuine only if its digest was published with the revision before.
    Change(NotifiedChange),
    /// A revision without a change: the database has to be read.
    Hint,
    /// Not encrypted with the key.
    Unreadable,
}

/// The encrypted JSON of a change.
#[derive(Deserialize)]
// A field of a newer release may carry a part of the change, so unknown fields are errors.
#[serde(deny_unknown_fields)]
struct Content {
    catalog_revision: i64,
    timeline: String,
    changed_at: i64,
    is_awaited: bool,
    settings: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    key: String,
    value: Option<Value>,
    version: Option<i32>,
    updated_by: Option<String>,
    updated_at: Option<i64>,
}

impl Payload {
    /// Whether `payload` has more than a revision.
    pub(super) fn has_content(payload: &str) -> bool {
        payload.contains(' ')
    }
}

impl NotificationKey {
    /// Creates the key of `bytes`; `None` for the wrong number of bytes.
    pub(super) fn new(bytes: &[u8]) -> Option<Self> {
        // A short key can be guessed.
        Some(Self(bytes.try_into().ok()?))
    }

    /// Decrypts and parses `payload`.
    pub(super) fn open(&self, payload: &str) -> Payload {
        match payload.split_once(' ') {
            Some((revision, encrypted)) => {
                self.decrypt(revision, encrypted).map_or(Payload::Unreadable, Payload::Change)
            }
            None => Payload::Hint,
        }
    }

    fn decrypt(&self, revision: &str, encrypted: &str) -> Option<NotifiedChange> {
        let revision = revision.parse().ok()?;
        let encrypted = STANDARD.decode(encrypted).ok()?;
        let (nonce, ciphertext) = encrypted.split_at_checked(NONCE_BYTES)?;
        let content = self.xor(nonce, ciphertext);
        let (secret, content) = content.split_at_checked(DIGEST_BYTES)?;
        let (next_digest, content) = content.split_at_checked(DIGEST_BYTES)?;
        let content: Content = serde_json::from_slice(content).ok()?;
        content.change(revision, Sha256::digest(secret).to_vec(), next_digest.to_vec())
    }

    /// Returns the payload of a change of a setting to the string `value`.
    #[cfg(test)]
    pub(super) fn payload_of(&self, revision: usize, value: &str) -> String {
        let row = serde_json::json!({"key": "KEY", "value": value});
        let content = serde_json::json!({
            "catalog_revision": 1, "timeline": "", "changed_at": 0, "is_awaited": false, "settings": [row],
        });
        let nonce = [7; NONCE_BYTES];
        let content = [&[0; 2 * DIGEST_BYTES][..], content.to_string().as_bytes()].concat();
        let encrypted = [&nonce[..], &self.xor(&nonce, &content)].concat();
        format!("{revision} {}", STANDARD.encode(encrypted))
    }

    /// Combines `bytes` with the keystream of `nonce`: block `i` is the SHA-512 of the key, the nonce and `i`.
    fn xor(&self, nonce: &[u8], bytes: &[u8]) -> Vec<u8> {
        let prefix = Sha512::new().chain_update(self.0).chain_update(nonce);
        let mut result = Vec::with_capacity(bytes.len());
        for (block, number) in bytes.chunks(BLOCK_BYTES).zip(0_i32..) {
            let keystream = prefix.clone().chain_update(number.to_be_bytes()).finalize();
            result.extend(block.iter().zip(keystream).map(|(byte, key)| byte ^ key));
        }
        result
    }
}

impl Content {
    fn change(
        self,
        revision: i64,
        digest: Vec<u8>,
        next_digest: Vec<u8>,
    ) -> Option<NotifiedChange> {
        let Self { catalog_revision, timeline, changed_at, is_awaited, settings } = self;
        Some(NotifiedChange {
            revision,
            digest,
            next_digest,
            catalog_revision,
            timeline,
            changed_at: DateTime::from_timestamp_micros(changed_at)?,
            is_awaited,
            settings: settings.into_iter().map(Row::stored).collect::<Option<_>>()?,
        })
    }
}

impl Row {
    fn stored(self) -> Option<StoredSetting> {
        let Self { key, value, version, updated_by, updated_at } = self;
        let updated_at = match updated_at {
            Some(updated_at) => Some(DateTime::from_timestamp_micros(updated_at)?),
            None => None,
        };
        Some(StoredSetting { key, value, version, updated_by, updated_at })
    }
}
