//! A test database with a published catalog, and one instance of the service over it.

use brune::settings::{self, BRUN_E, Catalog};

use super::{Instance, TestDb, firewall};

/// A database with the defaults of a catalog, and one instance over it.
pub(crate) struct TestApp {
    pub(crate) db: TestDb,
    pub(crate) instance: Instance,
}

impl TestApp {
    /// Starts an instance with the built-in catalog.
    pub(crate) async fn new() -> Self {
        Self::with_catalog(BRUN_E).await
    }

    /// Starts an instance with the TOML text `catalog`.
    pub(crate) async fn with_catalog(catalog: &str) -> Self {
        let db = TestDb::new().await;
        publish(&db, catalog).await;
        let instance = Instance::builder(db.own_pool().await).start().await;
        Self { db, instance }
    }

    /// Publishes `catalog` into the database, as the migration of another release does.
    pub(crate) async fn publish(&self, catalog: &str) {
        publish(&self.db, catalog).await;
    }

    /// Starts another instance over the same database, with a pool of its own.
    pub(crate) async fn another_instance(&self) -> Instance {
        Instance::builder(self.db.own_pool().await).start().await
    }
}

async fn publish(db: &TestDb, catalog: &str) {
    let catalog = Catalog::parse(catalog).unwrap();
    settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall(), false).await.unwrap();
}
