//! Who changed what, when, why and in which request. Append-only, each entry chained to the one before.

mod chain;
mod page;
mod store;
mod timeline;

pub use chain::{ChainBreak, Verification, verify, verify_after};
pub use page::{Cursor, Entry, Filter, Page, find, origins, page};
pub use store::append;
pub use timeline::{Timeline, timeline};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{RequestId, UserId},
    text,
};

/// What kind of change an entry tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// The first value of a key.
    Seed,
    /// A document was imported.
    Import,
    /// An administrator changed it.
    Update,
    /// Back to the catalog's default.
    Reset,
    /// Back to an earlier value.
    Rollback,
    /// An attempt on a key that is not written here; without values.
    Refused,
    /// A secret's residue was removed; without values.
    SecretCleanup,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 7] = [
        Self::Seed,
        Self::Import,
        Self::Update,
        Self::Reset,
        Self::Rollback,
        Self::Refused,
        Self::SecretCleanup,
    ];

    /// As the database and the wire spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Import => "import",
            Self::Update => "update",
            Self::Reset => "reset",
            Self::Rollback => "rollback",
            Self::Refused => "refused",
            Self::SecretCleanup => "secret_cleanup",
        }
    }

    /// The action spelt `text`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// Why a change is made, in its author's words: 3 to 500 characters on one line, trimmed, at least 3 of them visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// Reads `text`; the error says what a reason must be.
    pub fn parse(reason: &str) -> Result<Self, &'static str> {
        let reason = reason.trim();
        if !(3..=500).contains(&reason.chars().count()) {
            return Err("must have between 3 and 500 characters, blanks at its ends not counted");
        }
        if text::check(reason).is_err() {
            return Err("must be one line without control and bidirectional characters");
        }
        if text::visible_length(reason) < 3 {
            return Err("must have at least 3 visible characters");
        }
        Ok(Self(reason.to_owned()))
    }

    /// What is kept in place of a reason that must not be.
    #[must_use]
    pub fn withheld() -> Self {
        Self("(withheld: the reason looked like a secret)".to_owned())
    }

    /// The reason's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Who acts, why, and in which request. The first argument of every change.
#[derive(Debug, Clone)]
pub struct Actor {
    /// The administrator, or the program that acts by itself.
    pub user: UserId,
    /// Why.
    pub reason: Reason,
    /// The request that carried the change.
    pub request: RequestId,
}

/// One change of one key, to be told.
#[derive(Debug, Clone)]
pub struct NewEntry {
    /// The setting.
    pub key: String,
    /// What kind of change.
    pub action: Action,
    /// Its value before, if it had one that may be told.
    pub old: Option<Value>,
    /// Its value after, likewise.
    pub new: Option<Value>,
    /// Its version after; `None` for what changed nothing.
    pub version: Option<i32>,
}

impl NewEntry {
    /// An attempt on `key` that was refused. The value is not told: it may be a secret.
    #[must_use]
    pub fn refused(key: &str) -> Self {
        Self::without_values(key, Action::Refused)
    }

    /// Something that happened to `key`, of which no value is told.
    #[must_use]
    pub fn without_values(key: &str, action: Action) -> Self {
        Self { key: key.to_owned(), action, old: None, new: None, version: None }
    }
}
