//! What every test binary shares: one throwaway Postgres per run, a database of its own for each
//! test, and a service over it.

#![allow(dead_code, reason = "hardly a test binary uses all of it")]

mod app;
pub(crate) mod binary;
pub(crate) mod by_hand;
pub(crate) mod canary;
mod database;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod redis;
mod server;
pub(crate) mod sse;

#[expect(unused_imports, reason = "no test binary uses all of it")]
pub(crate) use app::{
    Call, INTERNAL_KEY, Instance, ORIGIN, Reply, SECRET, TestApp, admin, admin_signed_with, auth,
    firewall, token, user,
};
pub(crate) use database::TestDb;
