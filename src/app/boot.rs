//! The first step of a start.

use crate::{
    app::{catalog, database::Database, error::Error},
    config::Config,
    settings::Catalog,
};

/// A process with its catalog and an open database.
pub(super) struct Booted {
    pub(super) config: Config,
    pub(super) catalog: Catalog,
    pub(super) database: Database,
}

impl Booted {
    /// Reads the catalog and opens the database.
    ///
    /// # Errors
    /// The catalog is invalid, or the database cannot be opened.
    pub(super) async fn open(config: Config) -> Result<Self, Error> {
        // A mistake in the catalog should not cost the start of a private Postgres.
        let catalog = catalog::catalog(&config)?;
        let database = Database::open(&config).await?;
        Ok(Self { config, catalog, database })
    }
}
