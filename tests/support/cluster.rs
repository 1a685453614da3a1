//! A Postgres of a test's own, for what concerns all of its databases: roles.

use std::{ffi::OsString, path::PathBuf};

use brune::{
    config::Embedded,
    embedded_postgres::{Profile, Server},
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{binary::Home, server::variable};

/// What [`Cluster::login`] gives every role.
const PASSWORD: &str = "a-word";

/// A server without any role of Brune's, and an empty database; gone with the test.
pub(crate) struct Cluster {
    /// Owns the directory; dropped after the server.
    pub(crate) home: Home,
    server: Option<Server>,
}

impl Cluster {
    pub(crate) async fn new() -> Self {
        let home = Home::new();
        let config = Embedded {
            dir: home.data(),
            bin_dir: variable("BRUNE_PG_BIN_DIR").map(PathBuf::from),
            path: variable("PATH").map(OsString::from).unwrap_or_default(),
            account: variable("BRUNE_PG_USER"),
            cache_dir: None,
        };
        let server = Server::start(&config, Profile::Throwaway).await.unwrap();
        let cluster = Self { home, server: Some(server) };
        let mut connection =
            cluster.options("postgres").database("postgres").connect().await.unwrap();
        for sql in [
            "drop database brune",
            "drop role brune_serve, brune_migrate, brune_service, brune_reader, brune_owner",
            "create database mine",
        ] {
            connection.execute(sql).await.unwrap();
        }
        connection.close().await.unwrap();
        cluster
    }

    /// How `user` connects to the database.
    pub(crate) fn options(&self, user: &str) -> PgConnectOptions {
        let options = self.server.as_ref().unwrap().admin_options();
        options.username(user).password(PASSWORD).database("mine")
    }

    /// The address for `user`.
    pub(crate) fn url(&self, user: &str) -> String {
        let options = self.options(user);
        let socket = options.get_socket().unwrap().to_str().unwrap();
        let host: String = url::form_urlencoded::byte_serialize(socket.as_bytes()).collect();
        format!("postgres://{user}:{PASSWORD}@localhost:5432/mine?host={host}&sslmode=disable")
    }

    /// Where its socket is, as `psql` takes it.
    pub(crate) fn socket(&self) -> String {
        self.options("postgres").get_socket().unwrap().display().to_string()
    }

    /// The superuser's connections.
    pub(crate) fn admin(&self) -> PgPool {
        self.pool("postgres")
    }

    pub(crate) fn pool(&self, user: &str) -> PgPool {
        PgPoolOptions::new().max_connections(1).connect_lazy_with(self.options(user))
    }

    /// A role that may log in, with `options` of `create role`.
    pub(crate) async fn login(&self, name: &str, options: &str) {
        let sql = format!("create role {name} login password '{PASSWORD}' {options}");
        self.run(sql).await;
    }

    /// Runs `sql` as the superuser.
    pub(crate) async fn run(&self, sql: impl Into<String>) {
        self.admin().execute(AssertSqlSafe(sql.into())).await.unwrap();
    }

    /// Runs a command whose database is this one, as `user`.
    pub(crate) fn command(&mut self, user: &str, arguments: &[&str]) -> super::binary::Outcome {
        let url = self.url(user);
        self.home.set("DATABASE_URL", &url);
        self.home.run(arguments)
    }

    pub(crate) async fn stop(mut self) {
        self.server.take().unwrap().stop().await.unwrap();
    }
}
