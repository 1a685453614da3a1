//! Verifies the trail: recomputes every hash from the stored rows.

use chrono::SecondsFormat;
use sha2::{Digest as _, Sha256};

use crate::{
    audit::store::{self, Link},
    compute,
    database::{Connection, OnSuccess, Pool, Transaction, TransactionError},
    text::hex,
};

/// The number of entries read at once.
// Large enough to hide the round trips, and small enough for the memory of a request.
const PAGE: i64 = 5_000;

/// An inconsistency in the trail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// A number is missing before an entry.
    #[error("entry {0} is missing from the audit trail")]
    Gap(i64),
    /// An entry does not have the hash of the previous entry.
    #[error("audit entry {0} does not have the hash of the previous entry")]
    Unchained(i64),
    /// An entry was altered.
    #[error("audit entry {0} was altered")]
    Altered(i64),
    /// No earlier entry has the previous version: the setting was changed without an entry.
    #[error("audit entry {entry} has version {version} of {key}, but no earlier entry has version {}", i64::from(*version) - 1)]
    VersionGap {
        /// The number of the entry.
        entry: i64,
        /// The setting.
        key: String,
        /// The entry's version.
        version: i32,
    },
    /// An entry's revision is neither the current nor the next.
    #[error(
        "audit entry {entry} has revision {revision}, but the entry before has revision {after}"
    )]
    RevisionGap {
        /// The number of the entry.
        entry: i64,
        /// The entry's revision.
        revision: i64,
        /// The revision of the previous entry, or 0.
        after: i64,
    },
    /// The revision of the head differs from the newest entry.
    #[error("the head has revision {revision}, but the newest audit entry has revision {newest}")]
    Head {
        /// The revision of the head.
        revision: i64,
        /// The newest revision in the trail, or 0.
        newest: i64,
    },
    /// A stored setting differs from its last entry.
    #[error("setting {0} differs from its last audit entry")]
    Stray(String),
}

impl ChainBreak {
    /// Returns the code of the inconsistency, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gap(_) => "missing",
            Self::Unchained(_) => "unchained",
            Self::Altered(_) => "altered",
            Self::VersionGap { .. } => "version_gap",
            Self::RevisionGap { .. } => "revision_gap",
            Self::Head { .. } => "head",
            Self::Stray(_) => "stray",
        }
    }

    /// Returns the number of the entry concerned, if any.
    #[must_use]
    pub fn entry(&self) -> Option<i64> {
        match self {
            Self::Gap(entry)
            | Self::Unchained(entry)
            | Self::Altered(entry)
            | Self::VersionGap { entry, .. }
            | Self::RevisionGap { entry, .. } => Some(*entry),
            Self::Head { .. } | Self::Stray(_) => None,
        }
    }

    /// Returns the key of the setting concerned, if any.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Stray(key) | Self::VersionGap { key, .. } => Some(key),
            Self::Gap(_)
            | Self::Unchained(_)
            | Self::Altered(_)
            | Self::RevisionGap { .. }
            | Self::Head { .. } => None,
        }
    }
}

/// The result of verifying consecutive entries.
#[derive(Debug)]
pub struct Verification {
    /// The number of verified entries.
    pub checked: i64,
    /// The number of the last verified entry; without any, the start.
    pub last: i64,
    /// Whether the end of the trail was reached; then the settings were compared with the trail as well.
    pub is_end: bool,
    /// Every inconsistency.
    pub breaks: Vec<ChainBreak>,
}

/// Verifies the whole trail; returns the number of entries and every inconsistency.
pub async fn verify(pool: &Pool) -> Result<(i64, Vec<ChainBreak>), TransactionError> {
    // Without the limits of a request: the trail may be large.
    let mut transaction = Transaction::begin_unlimited(pool).await?;
    let result = Verifier::default().verify(transaction.conn(), i64::MAX).await;
    let result = result.map_err(TransactionError::from);
    // Nothing was written, so no commit is needed.
    let verification = transaction.finish(result, OnSuccess::Rollback).await?;
    Ok((verification.last, verification.breaks))
}

/// Verifies up to `limit` entries after the entry `after`, whose hash is trusted; 0 starts at the first. Returns `None`
/// if no entry has the number `after`.
pub async fn verify_after(
    conn: &mut Connection,
    after: i64,
    limit: i64,
) -> sqlx::Result<Option<Verification>> {
    let mut verifier = Verifier::default();
    if after != 0 {
        let Some(checkpoint) = store::checkpoint(conn, after).await? else { return Ok(None) };
        verifier.seq = after;
        verifier.hash = checkpoint.hash;
        verifier.revision = checkpoint.revision;
    }
    verifier.verify(conn, limit).await.map(Some)
}

/// The state after the last verified entry.
struct Verifier {
    seq: i64,
    hash: Vec<u8>,
    /// The newest revision so far.
    revision: i64,
    breaks: Vec<ChainBreak>,
}

impl Default for Verifier {
    fn default() -> Self {
        // The first entry is chained to 32 zero bytes, as in the trigger of the migrations.
        Self { seq: 0, hash: vec![0; 32], revision: 0, breaks: Vec::new() }
    }
}

impl Verifier {
    async fn verify(mut self, conn: &mut Connection, limit: i64) -> sqlx::Result<Verification> {
        let mut checked = 0;
        let mut is_end = false;
        while checked < limit && !is_end {
            let page = PAGE.min(limit - checked);
            let links = store::links(conn, self.seq, page).await?;
            let count = i64::try_from(links.len()).unwrap_or(i64::MAX);
            let size = links.iter().map(Link::size).sum();
            // Hashing a page takes milliseconds, so it leaves the runtime's workers.
            compute::run(size, || links.into_iter().for_each(|link| self.check(link))).await;
            checked += count;
            is_end = count < page;
        }
        // Only at the end, because the newest entries decide.
        if is_end {
            let head = store::head(conn).await?;
            if head.revision != head.newest {
                let store::Head { revision, newest } = head;
                self.breaks.push(ChainBreak::Head { revision, newest });
            }
            self.breaks.extend(store::strays(conn).await?.into_iter().map(ChainBreak::Stray));
        }
        Ok(Verification { checked, last: self.seq, is_end, breaks: self.breaks })
    }

    fn check(&mut self, link: Link) {
        // After a gap the previous hash is unknown, so only the gap is reported.
        if link.seq != self.seq + 1 {
            self.breaks.push(ChainBreak::Gap(self.seq + 1));
        } else if link.prev_hash != self.hash {
            self.breaks.push(ChainBreak::Unchained(link.seq));
        }
        if !is_unaltered(&link) {
            self.breaks.push(ChainBreak::Altered(link.seq));
        }
        self.check_numbers(&link);
        // Continues from the stored values, so that one alteration is reported once.
        self.seq = link.seq;
        self.hash = link.hash;
    }

    /// Checks that versions and revisions grow by one.
    fn check_numbers(&mut self, link: &Link) {
        let Link { seq: entry, ref key, version, revision, follows, .. } = *link;
        if let Some(version) = version.filter(|_| !follows) {
            self.breaks.push(ChainBreak::VersionGap { entry, key: key.clone(), version });
        }
        // Rejected writes open no revision.
        if let Some(revision) = revision {
            let after = self.revision;
            // All entries of a change set share a revision.
            if revision != after && revision != after + 1 {
                self.breaks.push(ChainBreak::RevisionGap { entry, revision, after });
            }
            self.revision = revision;
        }
    }
}

fn is_unaltered(link: &Link) -> bool {
    let values =
        [(&link.old_value, &link.old_value_digest), (&link.new_value, &link.new_value_digest)];
    // A row without salt was redacted: the values are gone, but their digests stay in the chain.
    let matches = |salt: &Vec<u8>| {
        values.iter().all(|(value, digest)| {
            let text = value.as_ref().map(|text| {
                Sha256::new().chain_update(salt).chain_update(text).finalize().to_vec()
            });
            text == **digest
        })
    };
    let has_no_values = || values.iter().all(|(value, _)| value.is_none());
    let values_match = link.salt.as_ref().map_or_else(has_no_values, matches);
    values_match && hash_of(link) == link.hash
}

/// Computes the hash like `app_global_setting_audit_hash` in the migrations.
fn hash_of(link: &Link) -> Vec<u8> {
    let fields = [
        Some(link.seq.to_string()),
        Some(link.id.to_string()),
        link.revision.map(|revision| revision.to_string()),
        Some(link.key.clone()),
        Some(link.action.clone()),
        link.old_value_digest.as_deref().map(hex),
        link.new_value_digest.as_deref().map(hex),
        link.version.map(|version| version.to_string()),
        Some(link.changed_by.clone()),
        Some(link.reason.clone()),
        Some(link.request_id.clone()),
        // The trigger prints exactly six digits, the precision of Postgres.
        Some(link.changed_at.to_rfc3339_opts(SecondsFormat::Micros, true)),
    ];
    let mut hash = Sha256::new().chain_update(&link.prev_hash);
    // Lengths make the concatenation unambiguous, and `-` differs from an empty text.
    for field in fields {
        match field {
            Some(text) => hash.update(format!("{}:{text},", text.len())),
            None => hash.update("-,"),
        }
    }
    hash.finalize().to_vec()
}
