//! The handlers, one file or folder for each capability.

pub(in crate::http) mod audit;
pub(in crate::http) mod config;
pub(in crate::http) mod explain;
pub(in crate::http) mod fleet;
pub(in crate::http) mod freezes;
pub(in crate::http) mod health;
pub(in crate::http) mod ofrep;
pub(in crate::http) mod outbox;
pub(in crate::http) mod proposals;
pub(in crate::http) mod releases;
pub(in crate::http) mod secrets;
pub(in crate::http) mod sessions;
pub(in crate::http) mod settings;
pub(in crate::http) mod sign_in;
