//! A shared, recent view of the live instances.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

use crate::{
    database::{self, Pool, TransactionError},
    fleet::store::{self, HeartbeatRow},
};

/// The latest result of the query for live instances, and the start time of the query.
///
/// All waiting requests share the view, so that many requests cause no more queries than one.
#[derive(Debug, Default)]
pub(super) struct View(Mutex<Option<(Instant, Arc<Vec<HeartbeatRow>>)>>);

impl View {
    /// Returns the live instances at `since` or later.
    pub(super) async fn since(
        &self,
        since: Instant,
        pool: &Pool,
        max_age: Duration,
    ) -> Result<Arc<Vec<HeartbeatRow>>, TransactionError> {
        // Held during the query, so that concurrent callers wait for one query.
        let mut latest = self.0.lock().await;
        if let Some((_, rows)) = latest.as_ref().filter(|(queried_at, _)| *queried_at >= since) {
            return Ok(Arc::clone(rows));
        }
        // Before the query, so the rows are at least as new as the recorded time.
        let queried_at = Instant::now();
        let query = database::read_with_retry(pool, async |conn| store::live(conn, max_age).await);
        let rows = Arc::new(query.await?);
        *latest = Some((queried_at, Arc::clone(&rows)));
        Ok(rows)
    }
}
