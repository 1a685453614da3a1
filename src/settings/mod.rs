//! The values a `SUPER_ADMIN` may change while the service runs.
//!
//! *Settings* live in the database and change at run time. What the process was started with is
//! [`config`](crate::config); what must never be stored is a secret. Which keys there are is data: a
//! [`Catalog`] declares them, [`publish`] brings it into the database, and from there on the database's
//! schema table is the truth.
//!
//! Reading goes through [`GlobalSettingsService`], which holds one complete and valid [`Snapshot`].
//! Writing ends in one place, `change.rs`, whatever is written: [`update`] and [`roll_back`].

mod catalog;
mod change;
mod constraints;
mod document;
mod drift;
mod entry;
mod feed;
mod follow;
mod import;
mod json_schema;
mod publish;
mod read;
mod reload;
mod reset;
mod rollback;
mod rules;
mod schema;
mod search;
mod service;
mod snapshot;
mod store;
mod value;
mod written;

pub use catalog::{BRUN_E, Catalog, Error as CatalogError, Fault as CatalogFault};
pub use change::{Changed, ChangedKey, Conflict, Edit, Error, SecretFound, WriteOptions, update};
pub use constraints::Constraints;
pub use document::{Document, FORMAT_VERSION, Format, Incoming};
pub use drift::{Drift, drift};
pub use entry::{Entry, Since};
pub use feed::{ChangeSet, FEED_CAPACITY, Feed, FeedItem, Listener, publish_changes};
pub use follow::{ChangeSignal, follow, follow_by};
pub use import::{
    Class, Error as ImportError, ImportOptions, ImportPlan, OnConflict, OnUnknown, PlanEntry,
    import, plan as plan_import,
};
pub use json_schema::json_schema;
pub use publish::{
    Error as PublishError, Plan as PublishPlan, Provided, Seed, plan_of_empty, publish,
};
pub use read::{AsOf, Error as ReadError, Listing, Setting, find, list, revision, values};
pub use reload::{Error as ReloadError, forbidden_characters, load, refresh};
pub use reset::reset;
pub use rollback::{Plan as RollbackPlan, Target, plan as plan_roll_back, roll_back};
pub use rules::Violation;
pub use schema::{Applies, Definition, KeyClass, Kind, Required, Schema};
pub use search::Search;
pub use service::GlobalSettingsService;
pub use snapshot::{InvalidSettings, Snapshot};
pub use value::{Number, SettingValue, ValueType};
pub use written::find_written;
