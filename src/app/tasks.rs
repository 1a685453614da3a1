//! The one place that spawns, so that shutdown stops what was started.

use std::{future::Future, time::Duration};

use tokio::{task::JoinSet, time::timeout};

/// Tasks that run as long as the service.
#[derive(Debug, Default)]
pub(super) struct Tasks(JoinSet<()>);

impl Tasks {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Runs `task` beside the service.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    /// Ends them all and waits for it: a task holds connections until it is gone.
    pub(super) async fn stop(mut self) {
        // A task that does not yield would keep the service from ending; five seconds are enough of it.
        let _ = timeout(Duration::from_secs(5), self.0.shutdown()).await;
    }
}
