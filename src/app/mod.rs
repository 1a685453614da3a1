//! Composition: boot (catalog, database) → prepare (guard, configuration, settings) → run (tasks, routes), and back.

mod background;
mod boot;
mod catalog;
mod checks;
mod database;
mod descriptors;
mod doctor;
mod error;
mod guard;
mod instance;
mod log_forwarder;
mod migrate;
mod prepare;
mod run;
mod services;
mod signals;

pub use background::BackgroundTasks;
pub use catalog::{catalog, secret_scanner};
pub use checks::CheckResult;
pub use database::Database;
pub use doctor::run_checks;
pub use error::Error;
pub use instance::InstanceParts;
pub use log_forwarder::{BatchPolicy, LogForwarder};
pub use migrate::{apply_roles, migrate, plan_migration};
pub use run::{Ready, serve};
pub use signals::signals;
