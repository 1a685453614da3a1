//! Brune: a settings control plane over Postgres.
//!
//! The blank lines between the modules below are **floors**. A module imports only from floors
//! earlier in this list: never from a neighbour on its own floor, never from a later one.
//! `tests/architecture.rs` holds every file to it, so the list is the diagram and cannot rot.

// Words and tools; they import nothing of ours.
pub mod clock;
pub mod ids;
pub mod json;

// What the process was started with: plain data.
pub mod config;

// The store, and the log.
pub mod database;
pub mod telemetry;

// What every change leaves behind.
pub mod audit;
pub mod idempotency;

// The capability the service is named for.
pub mod settings;

// Capabilities that use settings.
pub mod sessions;

// How all of it is reached.
pub mod http;

// The parts put together.
pub mod app;

// The command line.
pub mod cli;
