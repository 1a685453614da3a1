//! Least privilege: the roles, and what is granted to them.

use std::process::Command;

use sqlx::{AssertSqlSafe, Executor as _, PgPool};

use crate::support::{TestApp, TestDb, cluster::Cluster, programs::need, psql};

async fn text(pool: &PgPool, sql: &str) -> String {
    let text: Option<String> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap();
    text.unwrap_or_default()
}

/// Every owner of an object in the schema.
async fn owners(pool: &PgPool) -> String {
    text(
        pool,
        "select string_agg(distinct pg_get_userbyid(o)::text, ', ') from (
          select relowner from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'S')
          union select proowner from pg_proc where pronamespace = 'public'::regnamespace) t (o)",
    )
    .await
}

/// Everything that roles are granted, and which there are.
async fn state(pool: &PgPool) -> String {
    text(
        pool,
        "select concat_ws(E'\\n',
          (select string_agg(rolname || rolcanlogin || coalesce(rolpassword, ''), ' ' order by rolname)
            from pg_authid where rolname like 'brune%'),
          (select string_agg(relname || relowner || coalesce(relacl::text, ''), ' ' order by relname)
            from pg_class where relnamespace = 'public'::regnamespace),
          (select string_agg(attname || attacl::text, ' ' order by attrelid, attnum)
            from pg_attribute where attacl is not null and attrelid > 16000),
          (select string_agg(proname || coalesce(proacl::text, ''), ' ' order by proname)
            from pg_proc where pronamespace = 'public'::regnamespace),
          (select string_agg(defaclacl::text, ' ' order by oid) from pg_default_acl),
          (select nspacl::text from pg_namespace where nspname = 'public'),
          (select datacl::text from pg_database where datname = current_database()))",
    )
    .await
}

#[tokio::test]
async fn a_superuser_sets_up_all_roles_and_a_second_run_changes_nothing() {
    let mut cluster = Cluster::new().await;
    let before = state(&cluster.admin()).await;
    let plan = cluster.command("postgres", &["migrate", "--roles", "--plan"]).ok();
    assert!(plan.starts_with("-- would run:\ncreate role brune_owner nologin;\n"), "{plan}");
    assert_eq!(state(&cluster.admin()).await, before, "a plan changed something");
    let output = cluster.command("postgres", &["migrate", "--roles"]).ok();
    for statement in plan.lines().skip(1).map(|line| line.trim_end_matches(';')) {
        assert!(output.contains(&format!("ran: {statement}\n")), "{statement} is not in: {output}");
    }
    // A login of the owner's group migrates, and what it makes is the group's.
    cluster.login("carol", "in role brune_owner").await;
    cluster.command("carol", &["migrate"]).ok();
    let after = state(&cluster.admin()).await;
    assert_eq!(owners(&cluster.admin()).await, "brune_owner");
    for arguments in [&["migrate", "--roles"][..], &["migrate", "--roles", "--plan"], &["migrate"]]
    {
        let output = cluster.command("postgres", arguments).ok();
        assert!(output.starts_with("nothing to do"), "{arguments:?}: {output}");
    }
    assert_eq!(state(&cluster.admin()).await, after);
    let roles = "select string_agg(rolname || ' ' || rolcanlogin || (rolpassword is null), ', ' order by rolname)
        from pg_authid where rolname like 'brune%'";
    let groups = "brune_owner falsetrue, brune_reader falsetrue, brune_service falsetrue";
    assert_eq!(text(&cluster.admin(), roles).await, groups);
    // A login of each group is all that is missing.
    cluster.login("ada", "in role brune_service").await;
    let output = cluster.command("ada", &["doctor"]).ok();
    let line = "ok    database role: ada has only the privileges of brune_service\n";
    assert!(output.contains(line), "{output}");
    cluster.stop().await;
}

#[tokio::test]
async fn an_older_database_is_transferred_and_unlisted_grants_are_revoked() {
    let mut cluster = Cluster::new().await;
    cluster.command("postgres", &["migrate"]).ok();
    assert_eq!(owners(&cluster.admin()).await, "postgres");
    // As the documents of an older release said, under the name that they gave.
    cluster.login("brune_service", "").await;
    cluster
        .run(
            "grant select on all tables in schema public to brune_service;
            grant insert, update, delete on app_global_settings, brune_session to brune_service;
            grant insert on app_global_setting_audit to brune_service;
            grant update on app_global_setting_head to brune_service;
            grant update (old_value_json, new_value_json, salt) on app_global_setting_audit to brune_service;
            grant trigger on app_global_settings to public;
            grant temporary on database mine to public;
            create table another_product ()",
        )
        .await;
    let output = cluster.command("brune_service", &["doctor"]);
    let output =
        output.refused(&["has update on app_global_setting_head, which serving does not need"]);
    for fault in [
        "brune_service lacks insert on brune_outbox, which serving needs",
        "brune_service can create temporary tables in this database, which serving does not need; run",
        "brune_service has trigger on app_global_settings",
    ] {
        assert!(output.contains(fault), "{fault} is not in: {output}");
    }
    cluster.command("brune_service", &["serve"]).refused(&["lacks insert on brune_outbox"]);
    cluster.command("postgres", &["migrate", "--roles"]).ok();
    assert_eq!(owners(&cluster.admin()).await, "brune_owner, postgres");
    let another =
        "select pg_get_userbyid(relowner)::text from pg_class where relname = 'another_product'";
    assert_eq!(text(&cluster.admin(), another).await, "postgres");
    let output = cluster.command("postgres", &["migrate", "--roles"]).ok();
    assert!(output.starts_with("nothing to do"), "{output}");
    // It keeps its login.
    cluster.command("brune_service", &["doctor"]).ok();
    cluster.stop().await;
}

#[tokio::test]
async fn the_previous_owner_keeps_access_until_it_is_revoked() {
    let mut cluster = Cluster::new().await;
    cluster.login("old", "").await;
    cluster.run("alter database mine owner to old").await;
    cluster.command("old", &["migrate"]).ok();
    let output = cluster.command("postgres", &["migrate", "--roles"]).ok();
    assert!(output.contains("-- ran: grant brune_owner to old\n"), "{output}");
    assert_eq!(owners(&cluster.admin()).await, "brune_owner");
    let output = cluster.command("old", &["migrate"]).ok();
    assert!(output.starts_with("nothing to do"), "{output}");
    cluster.run("revoke brune_owner from old").await;
    cluster.command("old", &["migrate", "--plan"]).refused(&[]);
    cluster.stop().await;
}

#[tokio::test]
async fn the_service_login_gets_no_hint_to_become_the_owner() {
    let mut cluster = Cluster::new().await;
    cluster.command("postgres", &["migrate"]).ok();
    cluster.command("postgres", &["migrate", "--roles"]).ok();
    cluster.login("ada", "in role brune_service").await;
    for arguments in [&["migrate", "--roles"][..], &["migrate", "--roles", "--plan"]] {
        let output = cluster
            .command("ada", arguments)
            .refused(&["ada is a login of the service", "DATABASE_MIGRATE_URL"]);
        assert!(!output.lines().any(|line| line.starts_with("grant")), "{output}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_role_without_create_is_told_which_url_to_use() {
    let mut cluster = Cluster::new().await;
    cluster.login("ada", "").await;
    let output = cluster.command("ada", &["migrate"]).refused(&["DATABASE_MIGRATE_URL"]);
    assert!(!output.contains("at line"), "{output}");
    cluster.stop().await;
}

#[tokio::test]
async fn an_owner_without_createrole_gets_the_sql_for_an_administrator() {
    let mut cluster = Cluster::new().await;
    // As on hosted Postgres: the database is its own, and nothing else.
    cluster.login("app", "").await;
    cluster.run("alter database mine owner to app").await;
    cluster.command("app", &["migrate"]).ok();
    let output = cluster.command("app", &["migrate", "--roles"]).refused(&[
        "run it as an administrator in this database:",
        "\ncreate role brune_owner nologin;\n",
        "\ngrant brune_owner to app;\n",
        "\nalter table public.app_global_settings owner to brune_owner;\n",
        "\ngrant select, update (singleton) on table public.app_global_setting_head to brune_service;\n",
    ]);
    for attribute in ["superuser", "alter role", "password"] {
        assert!(!output.contains(attribute), "{output}");
    }
    // What it may do is done.
    assert!(
        output.contains(
            "ran: revoke execute on function public.app_global_settings_notify() from public\n"
        ),
        "{output}"
    );
    cluster.run(output.lines().filter(|line| line.ends_with(';')).collect::<String>()).await;
    let output = cluster.command("app", &["migrate", "--roles"]).ok();
    assert!(output.starts_with("nothing to do"), "{output}");
    assert_eq!(owners(&cluster.admin()).await, "brune_owner");
    let output = cluster.command("app", &["migrate"]).ok();
    assert!(output.starts_with("nothing to do"), "{output}");
    cluster.stop().await;
}

#[tokio::test]
async fn an_administrator_without_superuser_sets_up_all_roles() {
    let mut cluster = Cluster::new().await;
    cluster.login("hosted", "createrole").await;
    cluster.run("alter database mine owner to hosted").await;
    cluster.command("hosted", &["migrate"]).ok();
    let output = cluster.command("hosted", &["migrate", "--roles"]).ok();
    assert!(output.contains("ran: grant brune_owner to hosted\n"), "{output}");
    assert_eq!(owners(&cluster.admin()).await, "brune_owner");
    for arguments in [&["migrate", "--roles"][..], &["migrate"]] {
        let output = cluster.command("hosted", arguments).ok();
        assert!(output.starts_with("nothing to do"), "{arguments:?}: {output}");
    }
    cluster.stop().await;
}

#[tokio::test]
async fn every_object_is_in_the_list_and_none_is_public() {
    let db = TestDb::new().await;
    for (what, sql) in [
        (
            "not the service's to read",
            "select string_agg(relname, ', ') from pg_class where relnamespace = 'public'::regnamespace
             and relkind in ('r', 'v') and not has_table_privilege('brune_service', oid, 'select')",
        ),
        (
            "not the reader's to read",
            "select string_agg(relname, ', ') from pg_class where relnamespace = 'public'::regnamespace
             and relkind in ('r', 'v', 'S') and not case relkind
               when 'S' then has_sequence_privilege('brune_reader', oid, 'select')
               else has_table_privilege('brune_reader', oid, 'select') end",
        ),
        (
            "functions that everybody may execute",
            "select string_agg(proname, ', ') from pg_proc where pronamespace = 'public'::regnamespace
             and has_function_privilege('public', oid, 'execute')",
        ),
        (
            "definer's functions that others may execute",
            "select string_agg(proname || ' ' || role, ', ') from pg_proc,
               unnest('{brune_service,brune_reader}'::text[]) role
             where pronamespace = 'public'::regnamespace and prosecdef
               and has_function_privilege(role, oid, 'execute')",
        ),
        (
            "everybody's",
            "select concat(has_database_privilege('public', current_database(), 'temp'),
               has_schema_privilege('public', 'public', 'create'))",
        ),
    ] {
        let expected = if what == "everybody's" { "ff" } else { "" };
        assert_eq!(text(&db.admin(), sql).await, expected, "{what}");
    }
}

#[tokio::test]
async fn later_objects_are_readable_by_the_reader_only() {
    let db = TestDb::new().await;
    let sql = "set role brune_owner; create table later (id bigint generated always as identity)";
    psql::run(&db.owner(), sql).await;
    let privileges = "select concat(has_table_privilege('brune_reader', 'later', 'select'),
        has_sequence_privilege('brune_reader', 'later_id_seq', 'select'),
        has_table_privilege('brune_reader', 'later', 'insert'),
        has_table_privilege('brune_service', 'later', 'select'))";
    assert_eq!(text(&db.admin(), privileges).await, "ttff");
}

#[tokio::test]
async fn the_reader_makes_backups_and_writes_nothing() {
    need("command -v pg_dump");
    let app = TestApp::new().await;
    let mut dump = Command::new("pg_dump");
    let dump = dump.args(["--role=brune_reader", &app.db.admin_url()]).output().unwrap();
    let actual_output = String::from_utf8_lossy(&dump.stderr);
    assert!(dump.status.success(), "{actual_output}");
    assert!(String::from_utf8_lossy(&dump.stdout).contains("BRUNE_COOLDOWN_MINUTES"));
    let pool = app.db.admin();
    let mut reader = pool.acquire().await.unwrap();
    reader.execute("set role brune_reader").await.unwrap();
    for sql in [
        "update app_global_settings set updated_by = 'x'",
        "delete from app_global_settings",
        "insert into brune_outbox_sink (sink) values ('x')",
        "truncate brune_instance",
        "select * from app_global_setting_head for update",
        "select nextval('brune_outbox_seq_seq')",
        "create table t ()",
        "create temporary table t ()",
        "select app_global_setting_open_revision()",
    ] {
        let refusal = reader.execute(sql).await.expect_err(sql);
        assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "42501", "{sql}");
    }
}

#[tokio::test]
async fn the_service_role_has_no_unneeded_privilege() {
    let app = TestApp::new().await;
    let before = state(&app.db.admin()).await;
    for sql in [
        "update app_global_setting_head set revision = 77",
        "update app_global_setting_head set singleton = true, catalog = 'other'",
        "delete from app_global_setting_head",
        "insert into app_global_setting_head default values",
        "create temporary table app_global_setting_audit ()",
        "create table t ()",
        "create schema other",
        "create function f() returns int language sql as 'select 1'",
        "alter table app_global_setting_audit disable trigger user",
        "drop trigger app_global_setting_audit_chain on app_global_setting_audit",
        "create trigger t before insert on app_global_settings for each row
           execute function app_global_setting_audit_chain()",
        "alter function app_global_setting_audit_chain() reset all",
        "set session_replication_role = replica",
        "set role brune_owner",
        "truncate app_global_setting_audit",
        "truncate brune_session",
        "delete from app_global_setting_audit",
        "update app_global_setting_audit set reason = 'better'",
        "update app_global_setting_schema set kind = 'secret'",
        "delete from _sqlx_migrations",
        "select app_global_setting_open_revision()",
        "grant update on app_global_setting_head to public",
    ] {
        let refusal = app.db.pool().execute(sql).await;
        let refusal = match refusal {
            Err(refusal) => refusal,
            // The server warns, and grants nothing.
            Ok(_) if sql.starts_with("grant") => continue,
            Ok(_) => panic!("it may: {sql}"),
        };
        assert_eq!(refusal.as_database_error().unwrap().code().unwrap(), "42501", "{sql}");
    }
    assert_eq!(state(&app.db.admin()).await, before);
    // Taking the head's lock is all that the one column is good for.
    app.db.pool().execute("select from app_global_setting_head for update").await.unwrap();
    app.db
        .pool()
        .execute("update app_global_setting_head set singleton = false")
        .await
        .unwrap_err();
}
