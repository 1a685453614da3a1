//! The accept loop. `axum::serve` sets no timeouts, so a client sending half a head, or nothing, would occupy a
//! connection forever.

use std::{convert::Infallible, future, io, mem, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::http::serve::{
    head_timer::HeadTimer,
    invalid_head::InvalidHeads,
    limits::{HEAD_BYTES, HEAD_LINES, Limits},
    log_rate_limit::LogRateLimit,
    write_progress::{WriteProgress, limit_kernel_buffer},
};

/// The pause after a failed `accept`: without free descriptors, the next call would fail as well.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The parser accepts heads of several times the limit and of 100 lines, and the [middleware](super::middleware) rejects
/// them with a problem for the requested path. [`InvalidHeads`] handles larger heads, which are not worth the memory.
const PARSER_SLACK: usize = 8;

/// The lines that the parser accepts by default. With any other number, the parser allocates and fills a table for each
/// head.
const PARSER_LINES: usize = 100;

/// Connections are closed after a response while less than a quarter of the slots is free.
const SCARCE: usize = 4;

/// The divisor of the head timeout while connections are scarce.
const SCARCE_HEAD_TIMEOUT_DIVISOR: u32 = 10;

/// Serves `router` on `listener` until `shutdown`, then rejects new connections, waits up to [`Limits::drain`] for open
/// requests and closes the remaining connections.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    limit_kernel_buffer(&listener, limits.write);
    let mut server = Server::new(router, limits);
    tokio::select! {
        // Shutdown first: a busy listener must not delay the end.
        biased;
        () = shutdown.cancelled() => (),
        never = server.accept_all(&listener) => match never {},
    }
    // Closed before draining, so that new clients fail fast and reach another instance.
    drop(listener);
    server.drain().await;
}

struct Server {
    http: http1::Builder,
    /// For connections accepted while few are free.
    scarce_http: http1::Builder,
    router: Router,
    limits: Limits,
    slots: Arc<Semaphore>,
    connections: JoinSet<()>,
    graceful: GracefulShutdown,
    /// Limits the log lines about invalid heads.
    invalid_heads: Arc<LogRateLimit>,
}

impl Server {
    fn new(router: Router, limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        const { assert!(HEAD_LINES < PARSER_LINES) };
        http.header_read_timeout(limits.head).max_buf_size(HEAD_BYTES * PARSER_SLACK);
        let mut scarce_http = http.clone();
        let scarce_timeout = limits.head / SCARCE_HEAD_TIMEOUT_DIVISOR;
        scarce_http.keep_alive(false).header_read_timeout(scarce_timeout);
        Self {
            http,
            scarce_http,
            // Builds the handlers with their state once instead of for each request.
            router: router.with_state(()),
            limits,
            slots: Arc::new(Semaphore::new(limits.connections)),
            connections: JoinSet::new(),
            graceful: GracefulShutdown::new(),
            invalid_heads: Arc::default(),
        }
    }

    async fn accept_all(&mut self, listener: &TcpListener) -> Infallible {
        let mut is_failing = false;
        loop {
            // Before `accept`: without a slot, further clients wait in the kernel's backlog.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                // Nothing closes the semaphore; if it were closed, waiting would be harmless.
                future::pending().await
            };
            match listener.accept().await {
                Ok((stream, _)) => {
                    if mem::take(&mut is_failing) {
                        info!("accepting connections again");
                    }
                    self.spawn_connection(stream, slot);
                }
                Err(err) if is_connection_error(&err) => (),
                Err(err) => {
                    // Only the first failure: a process out of descriptors would flood the log.
                    if !mem::replace(&mut is_failing, true) {
                        warn!(error = %err, "cannot accept connections, retrying");
                    }
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn spawn_connection(&mut self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // Responses are small; waiting to fill a packet only adds latency.
        let _ = stream.set_nodelay(true);
        let stream = WriteProgress::new(stream, self.limits.write);
        let service = TowerToHyperService::new(self.router.clone());
        // Idle clients must not exclude active ones.
        let is_scarce = self.slots.available_permits() < self.limits.connections / SCARCE;
        let mut http = if is_scarce { self.scarce_http.clone() } else { self.http.clone() };
        http.timer(HeadTimer::default());
        let stream = InvalidHeads::new(stream, Arc::clone(&self.invalid_heads));
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let connection = self.graceful.watch(connection);
        // Finished connections are removed here, as nothing else needs to know of their end.
        while self.connections.try_join_next().is_some() {}
        self.connections.spawn(async move {
            // Protocol errors of a client concern no other connection.
            let _ = connection.await;
            // Held until now, so the semaphore counts open connections.
            drop(slot);
        });
    }

    async fn drain(self) {
        let mut connections = self.connections;
        if timeout(self.limits.drain, self.graceful.shutdown()).await.is_err() {
            while connections.try_join_next().is_some() {}
            let connections = connections.len();
            warn!(connections, "closing connections that exceeded the drain timeout");
        }
        // Idle connections have closed by now; only the stuck rest is aborted.
        connections.shutdown().await;
    }
}

/// Returns whether `err` concerns the accepted connection only, not the listener.
fn is_connection_error(err: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(err.kind(), E::ConnectionRefused | E::ConnectionAborted | E::ConnectionReset)
}
