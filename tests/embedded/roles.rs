//! Who logs in to a private Postgres, and a directory from before there were roles.

use std::fs;

use brune::{
    database,
    embedded_postgres::{Profile, Server},
};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};

use super::{ask, sandbox::Sandbox};

#[tokio::test]
async fn the_service_role_has_least_privilege() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    let mut service = server.options().connect().await.unwrap();
    assert_eq!(ask(&mut service, "select current_user::text").await, "brune_serve");
    for sql in [
        "create table t ()",
        "create temporary table t ()",
        "create role other",
        "set role brune_owner",
        "set session_replication_role = replica",
    ] {
        let refusal = service.execute(sql).await.unwrap_err();
        let code = refusal.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap();
        assert_eq!(code, "42501", "{sql}: {refusal}");
    }
    let mut owner = server.owner_options().connect().await.unwrap();
    assert_eq!(ask(&mut owner, "select current_user::text").await, "brune_migrate");
    owner.execute("create table t ()").await.unwrap();
    let stranger = server.options().username("stranger").connect().await;
    assert!(stranger.is_err(), "whoever has the socket got in under any name");
    for connection in [service, owner] {
        connection.close().await.unwrap();
    }
    server.stop().await.unwrap();
}

/// Makes of a new directory one that a release before the roles left: everything is the superuser's.
async fn make_old(server: &Server) {
    let mut connection = server.admin_options().database("postgres").connect().await.unwrap();
    for sql in [
        "drop database brune",
        "drop role brune_serve, brune_migrate, brune_service, brune_reader, brune_owner",
        "create database brune",
    ] {
        connection.execute(sql).await.unwrap();
    }
    connection.close().await.unwrap();
    let mut inside = server.admin_options().connect().await.unwrap();
    database::MIGRATOR.run_direct(None, &mut inside, false).await.unwrap();
    inside.execute("insert into brune_outbox_sink (sink) values ('kept')").await.unwrap();
    inside.execute("create table somebody_elses ()").await.unwrap();
    inside.close().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_of_an_older_release_is_converted() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
    make_old(&server).await;
    server.stop().await.unwrap();
    for file in ["pg_hba.conf", "pg_ident.conf"] {
        fs::remove_file(sandbox.dir().join(file)).unwrap();
    }
    // The second start finds nothing to convert.
    for _ in 0..2 {
        let server = Server::start(&sandbox.config(), Profile::Throwaway).await.unwrap();
        let mut service = server.options().connect().await.unwrap();
        assert_eq!(ask(&mut service, "select sink from brune_outbox_sink").await, "kept");
        service.execute("update brune_outbox_sink set dead_reason = 'x'").await.unwrap();
        service.execute("truncate brune_outbox_sink").await.unwrap_err();
        let owners = "select string_agg(distinct pg_get_userbyid(owner)::text, ', ') from (
            select relowner from pg_class where relnamespace = 'public'::regnamespace
              and relname <> 'somebody_elses' and relkind in ('r', 'v', 'm', 'S')
            union select proowner from pg_proc where pronamespace = 'public'::regnamespace
            union select datdba from pg_database where datname = current_database()) o (owner)";
        assert_eq!(ask(&mut service, owners).await, "brune_owner");
        service.close().await.unwrap();
        server.stop().await.unwrap();
    }
}
