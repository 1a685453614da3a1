//! What every test binary shares: one throwaway Postgres per run, a database of its own for each
//! test, and a service over it.

#![allow(dead_code, reason = "hardly a test binary uses all of it")]

pub(crate) mod binary;
mod call;
pub(crate) mod canary;
pub(crate) mod cluster;
mod credentials;
mod database;
pub(crate) mod decimal_catalog;
mod instance;
mod instance_builder;
pub(crate) mod nginx;
pub(crate) mod pgbouncer;
pub(crate) mod port;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod psql;
pub(crate) mod realtime_stub;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod roles;
pub(crate) mod server;
pub(crate) mod services;
pub(crate) mod sse;
mod test_app;
pub(crate) mod wait;

/// The keys that are never written: secrets, and the infrastructure's.
pub(crate) const NEVER: [&str; 14] = [
    "OPENAI_API_KEY",
    "JWT_SECRET",
    "INTERNAL_API_KEY",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_HOST",
    "POSTGRES_PORT",
    "POSTGRES_DB",
    "DISCORD_WEBHOOK_URL",
    "ALERT_WEBHOOK_URL",
    "ALERT_WEBHOOK_SECRET",
    "NODE_ENV",
    "PORTE_TALENT_BASE_URL",
    "BRUNE_OPENAI_BASE_URL",
];

#[expect(unused_imports, reason = "no test binary uses all of it")]
pub(crate) use self::{
    call::{Call, Reply},
    credentials::{
        INTERNAL_KEY, PROVIDER_KEY, SECRET, admin, admin_signed_with, auth, delegated_admin,
        firewall, token, user,
    },
    instance::Instance,
    instance_builder::{FAST_PACE, ORIGIN},
    test_app::TestApp,
};
pub(crate) use database::TestDb;
