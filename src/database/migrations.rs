//! The state of the migrations.

use std::collections::HashMap;

use crate::database::{MIGRATOR, Pool, TransactionError, read_with_retry, store};

/// The migrations of this release, compared with the database.
#[derive(Debug, Default)]
pub struct Migrations {
    /// The number of applied migrations.
    pub applied: usize,
    /// The names of migrations that were not applied yet.
    pub pending: Vec<String>,
    /// The names of migrations that were applied with another text.
    pub altered: Vec<String>,
}

/// Compares the applied migrations with this release. Migrations of a newer release are accepted: two releases run side
/// by side.
pub async fn migrations(pool: &Pool) -> Result<Migrations, TransactionError> {
    let applied = read_with_retry(pool, store::applied_migrations).await?;
    let checksums: HashMap<i64, Vec<u8>> = applied.into_iter().collect();
    let mut state = Migrations::default();
    for migration in MIGRATOR.iter() {
        let name = format!("{} ({})", migration.version, migration.description);
        match checksums.get(&migration.version) {
            None => state.pending.push(name),
            // A file that was edited after a release leaves databases with different schemas.
            Some(checksum) if *checksum != migration.checksum.as_ref() => state.altered.push(name),
            Some(_) => state.applied += 1,
        }
    }
    Ok(state)
}
