//! Signals that stop the service.

use std::{future::Future, pin::Pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::app::error::Error;

/// Installs the signal handlers and returns a future that resolves on SIGTERM, SIGINT or SIGHUP.
///
/// A signal during the start is kept for the future; further signals during the shutdown have no effect.
///
/// # Errors
/// A handler cannot be installed.
pub fn signals() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    // `nohup` ignores SIGHUP, so that the process outlives its terminal.
    let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())) };
    let mut hangup = hangup.transpose().map_err(Error::Signals)?;
    Ok(async move {
        let hangup: Pin<Box<dyn Future<Output = ()> + Send>> = match &mut hangup {
            Some(hangup) => Box::pin(received(hangup)),
            None => Box::pin(std::future::pending()),
        };
        tokio::select! {
            () = received(&mut terminate) => info!("SIGTERM: shutting down"),
            () = received(&mut interrupt) => info!("SIGINT: shutting down"),
            () = hangup => info!("SIGHUP: shutting down"),
        }
    })
}

async fn received(signal: &mut Signal) {
    // `None` would mean that the runtime ends, which stops the service as well.
    signal.recv().await;
}

/// Returns whether the process was started with SIGHUP ignored. Only Linux tells without unsafe code.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGHUP is signal 1, the lowest bit.
    mask.is_some_and(|mask| mask & 1 == 1)
}
