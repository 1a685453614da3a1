//! What is left to do, as metrics; and what was done long ago, out of the way.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::{
    clock::jittered,
    database::{self, Pool, TransactionError},
    metrics::Metrics,
    outbox::{Outbox, store},
};

/// Between two looks at what is left to do.
const LOOK: Duration = Duration::from_secs(10);
/// Looks between two times that something is taken out of the way.
const TIDY: u32 = 360;
/// After this, nobody asks for what was delivered.
const DELIVERED: Duration = Duration::from_hours(7 * 24);
/// After this, nobody tries again what was given up; and what waited so long waits for a sink that is gone.
const DEAD: Duration = Duration::from_hours(30 * 24);
/// Deleted by one statement.
const AT_ONCE: u16 = 1_000;

/// Looks again and again until dropped.
pub async fn watch(pool: Pool, outbox: Outbox, metrics: Metrics) {
    let mut ticks = interval(jittered(LOOK, 0.9..1.1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = 0_u32;
    let mut known: BTreeSet<String> =
        outbox.subscriptions().iter().map(|it| it.sink.clone()).collect();
    loop {
        ticks.tick().await;
        // Away for a while is no news of ours: whoever needs the database says so.
        let _ = measure(&pool, &metrics, &mut known).await;
        if looks.is_multiple_of(TIDY) {
            let _ = tidy(&pool).await;
        }
        looks = looks.wrapping_add(1);
    }
}

/// Tells what is left to do; of `known` sinks too that have nothing.
async fn measure(
    pool: &Pool,
    metrics: &Metrics,
    known: &mut BTreeSet<String>,
) -> Result<(), TransactionError> {
    let backlog = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::backlog(conn).await?)
    })
    .await?;
    for done in known.iter().filter(|name| !backlog.iter().any(|it| it.sink == **name)) {
        metrics.backlog(done, 0, 0, 0.0);
    }
    for it in backlog {
        metrics.backlog(&it.sink, it.waiting, it.dead, it.oldest.unwrap_or_default());
        known.insert(it.sink);
    }
    Ok(())
}

/// Deletes what was settled long ago, and gives up what nobody delivers.
async fn tidy(pool: &Pool) -> Result<(), TransactionError> {
    let given_up = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::give_up(conn, DEAD).await?)
    });
    if let messages @ 1.. = given_up.await? {
        warn!(messages, "gave up messages that nobody delivered in 30 days");
    }
    let mut gone = 0;
    for (status, after) in [("delivered", DELIVERED), ("dead", DEAD)] {
        loop {
            let forgotten = database::read_with_retry(pool, async |conn| {
                Ok::<_, TransactionError>(store::forget(conn, status, after, AT_ONCE.into()).await?)
            });
            let forgotten = forgotten.await?;
            gone += forgotten;
            if forgotten < AT_ONCE.into() {
                break;
            }
        }
    }
    if 0 < gone {
        info!(messages = gone, "deleted messages that were settled long ago");
    }
    Ok(())
}
