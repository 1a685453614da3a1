//! What ends the service from outside.

use std::{future::Future, pin::Pin};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use crate::app::Error;

/// Resolves on SIGTERM, SIGINT or SIGHUP. From now on none of them kills the process: one that comes during the start
/// is remembered, one that comes during the shutdown changes nothing.
///
/// # Errors
/// The handlers cannot be set up.
pub fn signals() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    // `nohup` has it ignored, so that the process outlives its terminal.
    let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())) };
    let mut hangup = hangup.transpose().map_err(Error::Signals)?;
    Ok(async move {
        let hung_up: Pin<Box<dyn Future<Output = ()> + Send>> = match &mut hangup {
            Some(hangup) => Box::pin(received(hangup)),
            None => Box::pin(std::future::pending()),
        };
        tokio::select! {
            () = received(&mut terminate) => info!("SIGTERM: shutting down"),
            () = received(&mut interrupt) => info!("SIGINT: shutting down"),
            () = hung_up => info!("SIGHUP: shutting down"),
        }
    })
}

async fn received(signal: &mut Signal) {
    signal.recv().await;
}

/// Whether SIGHUP was ignored when the process was started. Only Linux says so without unsafe code.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // The first bit is that of signal 1.
    mask.is_some_and(|mask| mask & 1 == 1)
}
