//! What every test binary shares: one throwaway Postgres per run, a database of its own for each
//! test.

mod database;
mod server;

pub(crate) use database::TestDb;
