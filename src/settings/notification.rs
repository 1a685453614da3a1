//! Notifications that contain a change, written by the trigger `app_global_setting_head_notifies`.
//!
//! A payload is the revision, or the revision and the change: encrypted, because every role that can connect may listen,
//! and authenticated, because every role may notify. Nothing of a payload is used before the proof is verified.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;

use crate::settings::entry::StoredSetting;

const NONCE_BYTES: usize = 16;
const PROOF_BYTES: usize = 32;

/// The keys of notifications, which only the service's role can read.
pub(super) struct NotificationKeys {
    encryption: Hmac<Sha256>,
    authentication: Hmac<Sha256>,
    /// The start of the server in microseconds since 1970, part of every proof.
    server_started_at: i64,
}

/// A committed change, as a notification describes the change.
#[derive(Debug, Clone)]
pub(super) struct NotifiedChange {
    pub(super) revision: i64,
    /// The catalog revision after the change.
    pub(super) catalog_revision: i64,
    pub(super) timeline: String,
    pub(super) changed_at: DateTime<Utc>,
    /// All settings with a new version, and the deleted ones without values.
    pub(super) settings: Vec<StoredSetting>,
}

/// The content of a payload.
#[derive(Debug)]
pub(super) enum Payload {
    /// A change with a valid proof.
    Change(NotifiedChange),
    /// No change: the database has to be read.
    Hint,
    /// A change without a valid proof: forged, replayed, or of other keys.
    Unverified,
}

/// The encrypted JSON of a change.
#[derive(Deserialize)]
// A field of a newer release may carry a part of the change, so unknown fields are errors.
#[serde(deny_unknown_fields)]
struct Content {
    catalog_revision: i64,
    timeline: String,
    changed_at: i64,
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

impl NotificationKeys {
    /// Creates the keys of a server started at `server_started_at`; `None` for keys of the wrong length.
    pub(super) fn new(
        encryption: &[u8],
        authentication: &[u8],
        server_started_at: i64,
    ) -> Option<Self> {
        let key = |bytes| Hmac::<Sha256>::new_from_slice(bytes).ok();
        // A short key can be guessed.
        let is_long = |bytes: &[u8]| bytes.len() == 64;
        if !is_long(encryption) || !is_long(authentication) {
            return None;
        }
        Some(Self {
            encryption: key(encryption)?,
            authentication: key(authentication)?,
            server_started_at,
        })
    }

    /// Verifies and decrypts `payload`.
    pub(super) fn open(&self, payload: &str) -> Payload {
        match payload.split_once(' ') {
            Some((revision, sealed)) => {
                self.decrypt(revision, sealed).map_or(Payload::Unverified, Payload::Change)
            }
            None => Payload::Hint,
        }
    }

    fn decrypt(&self, revision: &str, sealed: &str) -> Option<NotifiedChange> {
        let revision: i64 = revision.parse().ok()?;
        let sealed = STANDARD.decode(sealed).ok()?;
        let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
        let (proof, ciphertext) = rest.split_at_checked(PROOF_BYTES)?;
        let mut mac = self.authentication.clone();
        mac.update(&revision.to_be_bytes());
        mac.update(&self.server_started_at.to_be_bytes());
        mac.update(nonce);
        mac.update(ciphertext);
        // In constant time, and before the decryption: an attacker learns nothing from a rejected payload.
        mac.verify_slice(proof).ok()?;
        let content: Content = serde_json::from_slice(&self.xor(nonce, ciphertext)).ok()?;
        content.change(revision)
    }

    /// Combines `bytes` with the keystream of `nonce`: block `i` is the HMAC of the nonce and `i`.
    fn xor(&self, nonce: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut result = Vec::with_capacity(bytes.len());
        for (block, number) in bytes.chunks(32).zip(0_i32..) {
            let mut mac = self.encryption.clone();
            mac.update(nonce);
            mac.update(&number.to_be_bytes());
            let keystream = mac.finalize().into_bytes();
            result.extend(block.iter().zip(keystream).map(|(byte, key)| byte ^ key));
        }
        result
    }
}

impl Content {
    fn change(self, revision: i64) -> Option<NotifiedChange> {
        let Self { catalog_revision, timeline, changed_at, settings } = self;
        Some(NotifiedChange {
            revision,
            catalog_revision,
            timeline,
            changed_at: DateTime::from_timestamp_micros(changed_at)?,
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
