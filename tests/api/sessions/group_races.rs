//! Groups of two instances over the same users, and statements that wait for other transactions.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::groups::{
    Barrier, STATEMENTS, instance, of, replies, sessions, settle, spawn, statements,
    wait_for_blocked,
};
use crate::support::{Instance, TestApp, psql, user, wait::no_hang};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_of_two_instances_over_the_same_users_start_one_session_each() {
    let app = TestApp::new().await;
    let instances = [instance(&app).await, instance(&app).await];
    for round in 0..4 {
        let mut starts = JoinSet::new();
        for n in 0..40 {
            spawn(&mut starts, &instances[0], &format!("user-{round}-{n}"), None);
            spawn(&mut starts, &instances[1], &format!("user-{round}-{}", 39 - n), None);
        }
        let replies = replies(starts).await;
        for n in 0..40 {
            let replies = of(&replies, &format!("user-{round}-{n}"));
            let statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
            assert_eq!(statuses, [201, 409], "{replies:?}");
        }
    }
    assert_eq!(sessions(&app).await, 160);
}

#[tokio::test]
async fn groups_of_two_instances_do_not_deadlock() {
    let app = TestApp::new().await;
    // Each group stops in the middle, so that both have inserted a row and not the last one.
    let sql = "create function stop_at_m() returns trigger language plpgsql as $$ begin
          if new.user_id = 'm' then perform pg_advisory_xact_lock(1); end if;
          return new;
        end $$;
        create trigger stop_at_m before insert on brune_session for each row execute function stop_at_m();";
    psql::run(&app.db.admin(), sql).await;
    let instances = [instance(&app).await, instance(&app).await];
    let mut starts = JoinSet::new();
    let mut stop = app.db.admin().begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock(1)").execute(&mut *stop).await.unwrap();
    let barrier = Barrier::new(&app.db.admin()).await;
    let orders = [["a", "m", "z"], ["z", "m", "a"]];
    for (position, (instance, users)) in instances.iter().zip(orders).enumerate() {
        for n in 0..STATEMENTS {
            spawn(&mut starts, instance, &format!("first-{}-{n}", users[0]), None);
        }
        wait_for_blocked(&app.db.admin(), (position + 1) * STATEMENTS).await;
        for user in users {
            spawn(&mut starts, instance, user, None);
        }
        settle().await;
    }
    barrier.open().await;
    wait_for_blocked(&app.db.admin(), 2).await;
    stop.commit().await.unwrap();
    let replies = replies(starts).await;
    for user in ["a", "m", "z"] {
        let replies = of(&replies, user);
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status.as_u16()).collect();
        assert_eq!(statuses, [201, 409], "{user}: {replies:?}");
    }
    // After a deadlock, each start of the group would have a statement of its own.
    for instance in &instances {
        assert_eq!(statements(instance).await, 3);
    }
}

#[tokio::test]
async fn a_statement_that_waits_for_a_lock_does_not_delay_the_next_starts() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    // A session of the same user that is not committed.
    let mut open = app.db.admin().begin().await.unwrap();
    let insert = "insert into brune_session (id, user_id, started_at, expires_at, settings_revision, prompt_id,
          prompt_version, model, session_max_minutes)
        values (gen_random_uuid(), 'ana', now(), now() + interval '1 hour', 1, 'p', '1', 'm', 30)";
    sqlx::query(insert).execute(&mut *open).await.unwrap();
    spawn(&mut starts, &instance, "ana", None);
    wait_for_blocked(&app.db.admin(), 1).await;
    let begin_of_blocked = async || {
        let sql = "select (extract(epoch from query_start) * 1000000)::bigint from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock' and query like '%insert into brune_session %'";
        psql::count(&app.db.admin(), sql).await
    };
    let begin = begin_of_blocked().await;
    for n in 0..10 {
        spawn(&mut starts, &instance, &format!("user-{n}"), None);
    }
    for _ in 0..10 {
        let (name, reply) = no_hang("the others start", starts.join_next()).await.unwrap().unwrap();
        assert_eq!(reply.ok()["user_id"], name);
    }
    instance.start_session(&user("zoe")).await.ok();
    // The same statement is still waiting: the lock timeout has not released the others.
    assert_eq!(begin_of_blocked().await, begin);
    open.commit().await.unwrap();
    for (_, reply) in replies(starts).await {
        reply.problem(409, "session_active");
    }
}

#[tokio::test]
async fn locked_users_do_not_delay_the_starts_of_others() {
    let app = TestApp::new().await;
    let instance = Instance::builder(app.db.own_pool().await).without_listener().start().await;
    let instance = Arc::new(instance);
    let mut starts = JoinSet::new();
    let mut open = app.db.admin().begin().await.unwrap();
    for locked in ["ana", "ben", "cat"] {
        let insert = "insert into brune_session (id, user_id, started_at, expires_at, settings_revision, prompt_id,
              prompt_version, model, session_max_minutes)
            values (gen_random_uuid(), $1, now(), now() + interval '1 hour', 1, 'p', '1', 'm', 30)";
        sqlx::query(insert).bind(locked).execute(&mut *open).await.unwrap();
        // Several starts of a user wait for one statement, and occupy no other.
        for _ in 0..6 {
            spawn(&mut starts, &instance, locked, None);
        }
    }
    wait_for_blocked(&app.db.admin(), 3).await;
    let mut others = JoinSet::new();
    for n in 0..100 {
        spawn(&mut others, &instance, &format!("user-{n}"), None);
    }
    for (name, reply) in replies(others).await {
        assert_eq!(reply.ok()["user_id"], name);
    }
    open.commit().await.unwrap();
    // The locked users have a session, and may have waited too long to be told so.
    for (name, reply) in replies(starts).await {
        assert_ne!(reply.status, 201, "{name}");
    }
}

#[tokio::test]
async fn a_key_that_is_committed_during_a_start_is_reused() {
    let app = TestApp::new().await;
    let instance = instance(&app).await;
    let mut starts = JoinSet::new();
    let mut open = app.db.admin().begin().await.unwrap();
    let insert = "insert into brune_session (id, user_id, status, started_at, expires_at, ended_at, settings_revision,
          prompt_id, prompt_version, model, session_max_minutes, idempotency_key, idempotency_digest)
        select gen_random_uuid(), 'ana', 'ended', t, t + interval '1 hour', t, 1, 'p', '1', 'm', 30, 'k-1', '\\x00'
        from (select now() - interval '3 days') past (t)";
    sqlx::query(insert).execute(&mut *open).await.unwrap();
    spawn(&mut starts, &instance, "ana", Some("k-1"));
    wait_for_blocked(&app.db.admin(), 1).await;
    open.commit().await.unwrap();
    for (_, reply) in replies(starts).await {
        reply.problem(422, "idempotency_key_reused");
    }
}
