//! Whether the trail is whole: every hash recomputed here, from what the database holds.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use sha2::{Digest as _, Sha256};

use crate::{
    audit::store::{self, Link},
    database::{Connection, Ending, Failure, Pool, Work},
};

/// Entries read at a time.
const PAGE: i64 = 5_000;

/// Where the trail does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Break {
    /// An entry's number does not follow the one before it.
    #[error("entry {0} is missing from the audit trail")]
    Gap(i64),
    /// An entry does not name the hash of the one before it.
    #[error("audit entry {0} is not chained to the entry before it")]
    Unchained(i64),
    /// An entry was altered after it was written.
    #[error("audit entry {0} was altered")]
    Altered(i64),
    /// A stored setting is not what the trail says last.
    #[error("setting {0} is not what its last audit entry says")]
    Stray(String),
}

/// Reads the whole trail and returns how many entries it has, and everything that does not hold.
pub async fn verify(pool: &Pool) -> Result<(i64, Vec<Break>), Failure> {
    // Without a request's limits: it reads everything there is.
    let mut work = Work::begin_unlimited(pool).await?;
    let verified = verify_on(work.conn()).await.map_err(Failure::from);
    work.conclude(verified, Ending::Rollback).await
}

async fn verify_on(conn: &mut Connection) -> sqlx::Result<(i64, Vec<Break>)> {
    let mut breaks = Vec::new();
    let (mut seq, mut hash) = (0, vec![0; 32]);
    loop {
        let links = store::links(conn, seq, PAGE).await?;
        if links.is_empty() {
            break;
        }
        for link in links {
            if link.seq != seq + 1 {
                breaks.push(Break::Gap(seq + 1));
            } else if link.prev_hash != hash {
                breaks.push(Break::Unchained(link.seq));
            }
            if !is_unaltered(&link) {
                breaks.push(Break::Altered(link.seq));
            }
            (seq, hash) = (link.seq, link.hash);
        }
    }
    breaks.extend(store::strays(conn).await?.into_iter().map(Break::Stray));
    Ok((seq, breaks))
}

fn is_unaltered(link: &Link) -> bool {
    let values =
        [(&link.old_value, &link.old_value_digest), (&link.new_value, &link.new_value_digest)];
    // Without its salt a row was redacted: its values are gone, their digests stay in the chain.
    let fits = |salt: &Vec<u8>| {
        values.iter().all(|(value, digest)| {
            let text = value.as_ref().map(|text| {
                Sha256::new().chain_update(salt).chain_update(text).finalize().to_vec()
            });
            text == **digest
        })
    };
    let values_fit =
        link.salt.as_ref().map_or_else(|| values.iter().all(|it| it.0.is_none()), fits);
    values_fit && hash_of(link) == link.hash
}

/// As `app_global_setting_audit_hash` in the migrations.
fn hash_of(link: &Link) -> Vec<u8> {
    let fields = [
        Some(link.seq.to_string()),
        Some(link.id.to_string()),
        link.revision.map(|it| it.to_string()),
        Some(link.key.clone()),
        Some(link.action.clone()),
        link.old_value_digest.as_deref().map(hex),
        link.new_value_digest.as_deref().map(hex),
        link.version.map(|it| it.to_string()),
        Some(link.changed_by.clone()),
        Some(link.reason.clone()),
        Some(link.request_id.clone()),
        Some(link.changed_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    ];
    let mut hash = Sha256::new().chain_update(&link.prev_hash);
    for field in fields {
        match field {
            Some(text) => hash.update(format!("{}:{text},", text.len())),
            None => hash.update("-,"),
        }
    }
    hash.finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
