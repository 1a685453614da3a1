//! Which migrations ran.

use std::collections::HashMap;

use crate::database::{MIGRATOR, Pool, TransactionError, read_with_retry, store};

/// How the database's schema relates to this release's migrations.
#[derive(Debug, Default)]
pub struct Migrations {
    /// How many of this release's ran.
    pub applied: usize,
    /// Those that did not.
    pub pending: Vec<String>,
    /// Those that ran with another text.
    pub altered: Vec<String>,
}

/// Compares what ran with what this release brings. What a newer release added is not a fault: two releases
/// run side by side.
pub async fn migrations(pool: &Pool) -> Result<Migrations, TransactionError> {
    let ran = read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::applied_migrations(conn).await?)
    })
    .await?;
    let ran: HashMap<i64, Vec<u8>> = ran.into_iter().collect();
    let mut state = Migrations::default();
    for migration in MIGRATOR.iter() {
        let name = format!("{} ({})", migration.version, migration.description);
        match ran.get(&migration.version) {
            None => state.pending.push(name),
            Some(checksum) if *checksum != migration.checksum.as_ref() => state.altered.push(name),
            Some(_) => state.applied += 1,
        }
    }
    Ok(state)
}
