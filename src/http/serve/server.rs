//! The accept loop. `axum::serve` sets no timer on its connections, so a client that sends half a
//! head, or nothing, would hold one for ever; this loop bounds every wait.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::http::serve::{
    bad_head::BadHeads,
    limits::{HEAD_BYTES, HEAD_LINES, Limits},
    refusal_log::LogRateLimit,
    write_progress::{WriteProgress, bound_kernel},
};

/// Pause after a failed `accept`: out of descriptors, the next one would fail as well.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What is a little too large is let through to [`around`](super::around), which says so in a problem document for
/// its path; what is larger than this many times the limit is not worth the memory, and [`BadHeads`] answers it.
const HARD_LIMIT: usize = 8;

/// Answers on `listener` with `router` until `shutdown`; then takes no more connections, lets the
/// requests under way finish within [`Limits::drain`], cuts off the rest and returns.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    bound_kernel(&listener, limits.write);
    let server = Server::new(router, limits);
    tokio::select! {
        biased;
        () = shutdown.cancelled() => (),
        never = server.accept_all(&listener) => match never {},
    }
    // Closed before draining, so that a new client is refused at once instead of left waiting.
    drop(listener);
    server.drain().await;
}

/// A connection that finds fewer than one in so many places free gets its answer, and is closed: a crowd that
/// stays without asking must not keep out those who ask.
const LAST_PLACES: usize = 4;

/// How many times sooner the head of a request must have come there.
const HASTE: u32 = 10;

struct Server {
    http: http1::Builder,
    /// For the last places.
    hasty: http1::Builder,
    router: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    open: TaskTracker,
    graceful: GracefulShutdown,
    cut: CancellationToken,
    /// Bounds what is logged of heads that cannot be read.
    bad_heads: Arc<LogRateLimit>,
}

impl Server {
    fn new(router: Router, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head)
            .max_headers(HEAD_LINES * HARD_LIMIT)
            .max_buf_size(HEAD_BYTES * HARD_LIMIT);
        let mut hasty = http.clone();
        hasty.keep_alive(false).header_read_timeout(limits.head / HASTE);
        Self {
            http,
            hasty,
            router,
            limits,
            slots: Arc::new(Semaphore::new(limits.connections)),
            open: TaskTracker::new(),
            graceful: GracefulShutdown::new(),
            cut: CancellationToken::new(),
            bad_heads: Arc::default(),
        }
    }

    async fn accept_all(&self, listener: &TcpListener) -> Infallible {
        let mut failing = false;
        loop {
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                // Never closed; were it so, waiting is the one thing that harms nobody.
                std::future::pending().await
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    if std::mem::take(&mut failing) {
                        info!("accepting connections again");
                    }
                    self.answer(stream, slot);
                }
                Err(err) if is_of_one_connection(&err) => (),
                Err(err) => {
                    // Once per spell: a full process would otherwise fill the log as well.
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %err, "cannot accept connections, trying on");
                    }
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    fn answer(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // Answers are small; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let stream = WriteProgress::new(stream, self.limits.write);
        let service = TowerToHyperService::new(self.router.clone());
        let scarce = self.slots.available_permits() < self.limits.connections / LAST_PLACES;
        let http = if scarce { &self.hasty } else { &self.http };
        let stream = BadHeads::new(stream, Arc::clone(&self.bad_heads));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        let cut = self.cut.clone();
        self.open.spawn(async move {
            tokio::select! {
                // What a client does wrong on its connection is its own affair.
                _ = connection => (),
                () = cut.cancelled() => (),
            }
            drop(slot);
        });
    }

    async fn drain(self) {
        self.open.close();
        if timeout(self.limits.drain, self.graceful.shutdown()).await.is_err() {
            warn!(connections = self.open.len(), "cutting off connections that did not finish");
        }
        self.cut.cancel();
        self.open.wait().await;
    }
}

/// Whether `err` says something of the connection that was to be accepted, and nothing of ourselves.
fn is_of_one_connection(err: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(err.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}
