//! Payloads as another client receives, decrypts and forges them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use sha2::{Digest as _, Sha512};
use sqlx::{PgPool, postgres::PgListener};

use crate::support::{TestDb, wait::no_hang};

/// Listens like every login of the server may.
pub(super) struct Listener(PgListener);

/// A received payload.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) text: String,
    pub(super) revision: i64,
}

/// A decrypted payload.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) revision: i64,
    pub(super) secret: Vec<u8>,
    pub(super) next_digest: Vec<u8>,
    pub(super) change: Value,
}

impl Listener {
    pub(super) async fn open(db: &TestDb) -> Self {
        let mut listener = PgListener::connect_with(&db.pool()).await.unwrap();
        listener.listen("brune_settings").await.unwrap();
        Self(listener)
    }

    pub(super) async fn next(&mut self) -> Received {
        let notification = no_hang("a notification arrives", self.0.recv()).await.unwrap();
        let text = notification.payload().to_owned();
        let revision = text.split(' ').next().unwrap().parse().unwrap();
        Received { text, revision }
    }

    /// Returns the payload of `revision`, after payloads without content.
    pub(super) async fn last_of(&mut self, revision: i64) -> Received {
        loop {
            let payload = self.next().await;
            if payload.revision == revision {
                return payload;
            }
        }
    }
}

impl Received {
    pub(super) fn has_content(&self) -> bool {
        self.text.contains(' ')
    }

    fn encrypted(&self) -> Vec<u8> {
        STANDARD.decode(self.text.split(' ').nth(1).unwrap()).unwrap()
    }

    /// Whether the encrypted bytes contain `text`.
    pub(super) fn shows(&self, text: &str) -> bool {
        self.encrypted().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    /// Decrypts the payload with the key of `pool`'s role.
    pub(super) async fn decrypt(&self, pool: &PgPool) -> Content {
        let encrypted = self.encrypted();
        let (nonce, ciphertext) = encrypted.split_at(16);
        let content = xor(&key(pool).await, nonce, ciphertext);
        Content {
            revision: self.revision,
            secret: content[..32].to_vec(),
            next_digest: content[32..64].to_vec(),
            change: serde_json::from_slice(&content[64..]).unwrap(),
        }
    }
}

impl Content {
    /// Returns the payload of the content, encrypted as the trigger encrypts.
    pub(super) async fn encrypt(&self, pool: &PgPool) -> String {
        let nonce = [7; 16];
        let json = self.change.to_string();
        let content = [&self.secret, &self.next_digest, json.as_bytes()].concat();
        let ciphertext = xor(&key(pool).await, &nonce, &content);
        format!("{} {}", self.revision, STANDARD.encode([&nonce[..], &ciphertext].concat()))
    }
}

/// Notifies the instances of `payload`.
pub(super) async fn notify(pool: &PgPool, payload: &str) {
    sqlx::query("select pg_notify('brune_settings', $1)")
        .bind(payload)
        .execute(pool)
        .await
        .unwrap();
}

async fn key(pool: &PgPool) -> Vec<u8> {
    let sql = "select encryption_key from brune_notification_key";
    sqlx::query_scalar(sql).fetch_one(pool).await.unwrap()
}

fn xor(key: &[u8], nonce: &[u8], bytes: &[u8]) -> Vec<u8> {
    let block = |number: i32| {
        let prefix = Sha512::new().chain_update(key).chain_update(nonce);
        prefix.chain_update(number.to_be_bytes()).finalize()
    };
    let keystream = (0_i32..).flat_map(block);
    bytes.iter().zip(keystream).map(|(byte, key)| byte ^ key).collect()
}
