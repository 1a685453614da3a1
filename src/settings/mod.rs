//! The values that a `SUPER_ADMIN` may change while the service runs.
//!
//! *Settings* live in the database and change at run time. The configuration of the process is [`config`](crate::config);
//! secrets are never stored. The set of keys is data: a [`Catalog`] declares them, [`publish`] writes the declarations
//! into the database, and from then on the database's schema table is the source of truth.
//!
//! Reads go through [`GlobalSettingsService`], which holds one complete and valid [`Snapshot`]. Writes go through
//! [`SettingsWriter`], whose methods (`update`, `roll_back`, `reset`, `import`) end in one write path, `writer.rs`.
//!
//! The blank lines between the modules are floors, as in `src/lib.rs`: a module imports only from floors earlier in
//! the list.

// Declarations, values, and the rules that values follow.
mod value;

mod constraints;
mod text;

mod schema;

mod json_schema;
mod rules;
mod search;

mod catalog;
mod entry;

// The stored settings, and one state of them in memory.
mod snapshot;

mod rollout;

mod history;
mod notification;
mod store;

// The current state, kept up to date.
mod current;

mod reload;

mod feed;
mod follow;
mod read;

// Writes.
mod change;

mod written;

mod writer;

mod proposal;
mod release;
mod reset;
mod rollback;

// Questions about a change that nobody makes.
mod preview;

// Settings from outside: the first values and documents.
mod publish;

mod document;
mod drift;

mod import;

pub use catalog::{BRUN_E, Catalog, Diagnostic as CatalogDiagnostic, Error as CatalogError};
pub use change::{
    Approval, ChangeResult, Conflict, Edit, Error, KeyChange, ProtectedKey, SecretMatches,
    WriteOptions,
};
pub use constraints::Constraints;
pub use current::GlobalSettingsService;
pub use document::{Document, FORMAT_VERSION, Format, IncomingDocument};
pub use drift::{Drift, drift};
pub use entry::{Entry, LaterChange};
pub use feed::{ChangeSet, FEED_CAPACITY, Feed, FeedItem, Listener, publish_changes};
pub use follow::{ChangeSignal, follow, follow_by};
pub use import::{
    Class, Error as ImportError, ImportOptions, ImportPlan, OnConflict, OnUnknown, PlanEntry,
};
pub use json_schema::json_schema;
pub use preview::Preview;
pub use proposal::{
    Block, DueOutcome, EditionId, Error as ProposalError, HeldView, NewVerdict, Overlap, Person,
    PersonStep, ProposalChange, ProposalView, ProposedChange, RolloutAction, RolloutEnd,
    RolloutOutcome, RolloutPosition, RolloutView, RuleOutcome, RuleStep, apply_due,
    apply_due_proposals, begins_rollout, find_proposal, find_rollout, remind_of_emergencies,
};
pub use publish::{
    Error as PublishError, Plan as PublishPlan, Provided, Seed, plan_of_empty, publish,
};
pub use read::{AsOf, Error as ReadError, Listing, Setting, find, list, revision, values};
pub use release::{
    Error as ReleaseError, ReleaseDiff, ValueDiff, diff_release, find as find_release,
};
pub use reload::{Error as ReloadError, forbidden_characters, load, refresh};
pub use rollback::{Plan as RollbackPlan, Target};
pub use rollout::{Epoch, RunningRollout};
pub use rules::Violation;
pub use schema::{Applies, Definition, KeyClass, Kind, Required, Schema};
pub use search::Search;
pub use snapshot::{InvalidSettings, Snapshot};
pub use value::{Number, SettingValue, ValueType};
pub use writer::SettingsWriter;
pub use written::find_written;
