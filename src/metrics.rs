//! What is counted, for Prometheus: one registry for each service, so that many can run in one process.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicI64},
};

use prometheus_client::{encoding::text, metrics::gauge::Gauge, registry::Registry};

/// The media type of [`Metrics::text`] (`OpenMetrics` 1.0).
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is counted. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    secret_residue: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("brune");
        let secret_residue = Gauge::default();
        registry.register(
            "secret_residue",
            "Secrets of which the database still holds a value",
            secret_residue.clone(),
        );
        Self(Arc::new(Inner { registry, secret_residue }))
    }
}

impl Metrics {
    /// So many secrets still have a value in the database.
    pub fn secret_residue(&self, secrets: usize) {
        self.0.secret_residue.set(i64::try_from(secrets).unwrap_or(i64::MAX));
    }

    /// Everything as text.
    ///
    /// # Errors
    /// A metric cannot be written down.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
