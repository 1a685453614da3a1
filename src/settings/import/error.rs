//! Errors of an import.

use crate::{
    database::TransactionError,
    settings::{change::Error as ChangeError, import::entry::PlanEntry, reload},
};

/// The reason why a document was not imported; nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document belongs to another catalog.
    #[error("the document belongs to catalog {document}, this service to {service}")]
    OtherCatalog {
        /// The catalog of the document.
        document: String,
        /// The catalog of the service.
        service: String,
    },
    /// The settings changed after the plan was created.
    #[error("the settings changed after the plan was created; create a new plan")]
    PlanOutdated,
    /// Settings changed after the export of the document.
    #[error("{} settings changed after the export of the document", .0.len())]
    Conflict(Vec<PlanEntry>),
    /// The change was rejected.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The declarations could not be read.
    #[error(transparent)]
    Reload(#[from] reload::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] TransactionError),
}
