//! Whether the trail is whole: every hash recomputed here, from what the database holds.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use sha2::{Digest as _, Sha256};

use crate::{
    audit::store::{self, Link},
    compute,
    database::{Connection, OnSuccess, Pool, Transaction, TransactionError},
};

/// Entries read at a time.
const PAGE: i64 = 5_000;

/// Where the trail does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// An entry's number does not follow the one before it.
    #[error("entry {0} is missing from the audit trail")]
    Gap(i64),
    /// An entry does not name the hash of the one before it.
    #[error("audit entry {0} is not chained to the entry before it")]
    Unchained(i64),
    /// An entry was altered after it was written.
    #[error("audit entry {0} was altered")]
    Altered(i64),
    /// No entry before this one is of the version before: the setting was changed without an entry.
    #[error("audit entry {entry} is of version {version} of {key}, and no entry before it of version {}", i64::from(*version) - 1)]
    VersionGap {
        /// The number of the entry.
        entry: i64,
        /// The setting.
        key: String,
        /// The version that the entry is of.
        version: i32,
    },
    /// An entry's revision is neither that of the entries before it nor the next.
    #[error(
        "audit entry {entry} is of revision {revision}, and the entry before it of revision {after}"
    )]
    RevisionGap {
        /// The number of the entry.
        entry: i64,
        /// The revision that the entry is of.
        revision: i64,
        /// The revision of the entries before it; 0 when there are none.
        after: i64,
    },
    /// The head is not at the revision of the newest entry.
    #[error("the head is at revision {revision}, and the newest audit entry at revision {newest}")]
    Head {
        /// The revision of the head.
        revision: i64,
        /// The revision of the newest entry that has one; 0 when there is none.
        newest: i64,
    },
    /// A stored setting is not what the trail says last.
    #[error("setting {0} is not what its last audit entry says")]
    Stray(String),
}

impl ChainBreak {
    /// What kind of break it is, for programs.
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

    /// The number of the entry, if it is one of an entry.
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

    /// The setting, if it is one of a setting.
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

/// Entries that were verified, one after the other.
#[derive(Debug)]
pub struct Verification {
    /// How many.
    pub checked: i64,
    /// The number of the last one; of none, the one they were to follow.
    pub last: i64,
    /// Whether there was nothing after them. Then the settings were compared with the trail as well.
    pub is_end: bool,
    /// Everything that does not hold.
    pub breaks: Vec<ChainBreak>,
}

/// Reads the whole trail and returns how many entries it has, and everything that does not hold.
pub async fn verify(pool: &Pool) -> Result<(i64, Vec<ChainBreak>), TransactionError> {
    // Without a request's limits: it reads everything there is.
    let mut work = Transaction::begin_unlimited(pool).await?;
    let verified = Walk::default().on(work.conn(), i64::MAX).await.map_err(TransactionError::from);
    let verified = work.finish(verified, OnSuccess::Rollback).await?;
    Ok((verified.last, verified.breaks))
}

/// Verifies up to `most` entries after the one of number `after`, whose own hash is believed; 0 is before the first.
/// `None` if there is no such entry.
pub async fn verify_after(
    conn: &mut Connection,
    after: i64,
    most: i64,
) -> sqlx::Result<Option<Verification>> {
    let mut walk = Walk::default();
    if after != 0 {
        let Some(place) = store::place(conn, after).await? else { return Ok(None) };
        walk.seq = after;
        walk.hash = place.hash;
        walk.revision = place.revision;
    }
    walk.on(conn, most).await.map(Some)
}

/// How far the chain has been followed.
struct Walk {
    seq: i64,
    hash: Vec<u8>,
    /// The newest revision up to there.
    revision: i64,
    breaks: Vec<ChainBreak>,
}

impl Default for Walk {
    fn default() -> Self {
        Self { seq: 0, hash: vec![0; 32], revision: 0, breaks: Vec::new() }
    }
}

impl Walk {
    async fn on(mut self, conn: &mut Connection, most: i64) -> sqlx::Result<Verification> {
        let (mut checked, mut is_end) = (0, false);
        while checked < most && !is_end {
            let wanted = PAGE.min(most - checked);
            let links = store::links(conn, self.seq, wanted).await?;
            let found = i64::try_from(links.len()).unwrap_or(i64::MAX);
            let size = links.iter().map(Link::size).sum();
            compute::run(size, || links.into_iter().for_each(|link| self.step(link))).await;
            checked += found;
            is_end = found < wanted;
        }
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

    fn step(&mut self, link: Link) {
        if link.seq != self.seq + 1 {
            self.breaks.push(ChainBreak::Gap(self.seq + 1));
        } else if link.prev_hash != self.hash {
            self.breaks.push(ChainBreak::Unchained(link.seq));
        }
        if !is_unaltered(&link) {
            self.breaks.push(ChainBreak::Altered(link.seq));
        }
        self.number(&link);
        self.seq = link.seq;
        self.hash = link.hash;
    }

    /// Checks that versions and revisions grow by one.
    fn number(&mut self, link: &Link) {
        let Link { seq: entry, ref key, version, revision, follows, .. } = *link;
        if let Some(version) = version.filter(|_| !follows) {
            self.breaks.push(ChainBreak::VersionGap { entry, key: key.clone(), version });
        }
        if let Some(revision) = revision {
            let after = self.revision;
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
