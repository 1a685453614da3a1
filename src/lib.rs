//! Brune: a settings control plane over Postgres.
//!
//! The blank lines between the modules below are **floors**. A module imports only from floors
//! earlier in this list: never from a neighbour on its own floor, never from a later one.
//! `tests/architecture.rs` holds every file to it, so the list is the diagram and cannot rot.

// Words and tools; they import nothing of ours.
pub mod clock;
pub mod ids;

// What the process was started with: plain data.
pub mod config;

// The server, the pool, the migrations.
pub mod database;
