//! Options of an import.

use crate::{idempotency, settings::change::Approval};

/// The treatment of keys that the catalog does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    /// Reject the document.
    Refuse,
    /// Skip the entries, whatever the values are.
    Skip,
}

/// The treatment of settings that changed after the export of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnConflict {
    /// Reject the document.
    Refuse,
    /// Overwrite the current values.
    Overwrite,
    /// Keep the current values.
    Skip,
}

/// The options of an import.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// The reviewed plan.
    pub plan_id: Option<String>,
    /// The treatment of conflicts.
    pub on_conflict: OnConflict,
    /// The treatment of undeclared keys.
    pub on_unknown: OnUnknown,
    /// How the import is permitted.
    pub approval: Approval,
    /// The key by which a repeated request is recognized.
    pub idempotency: Option<idempotency::Key>,
    /// Whether the caller waits until every instance has applied the change.
    pub is_awaited: bool,
    /// Whether somebody else acts for the author.
    pub is_delegated: bool,
}
