//! Attacks on triggers, functions, tables and the role itself, and on sessions.

use super::attacks::{
    Attack,
    Outcome::{Harmless, Refused},
    attack,
};

pub(super) const ON_SCHEMA: &[Attack] = &[
    // --- Triggers, functions, tables.
    attack("triggers are for replicas only", "set session_replication_role = 'replica'", Refused("permission denied")),
    attack(
        "the same for every later session",
        "alter role current_user set session_replication_role = 'replica'",
        Refused("permission denied"),
    ),
    attack(
        "triggers are switched off",
        "alter table app_global_settings disable trigger all",
        Refused("must be owner"),
    ),
    attack(
        "a trigger is dropped",
        "drop trigger app_global_setting_audit_is_append_only on app_global_setting_audit",
        Refused("must be owner"),
    ),
    attack(
        "a trigger more",
        "create trigger a before insert on app_global_setting_audit for each row
         execute function suppress_redundant_updates_trigger()",
        Refused("permission denied"),
    ),
    attack(
        "a rule instead of a trigger",
        "create rule a as on insert to app_global_setting_audit do instead nothing",
        Refused("must be owner"),
    ),
    attack(
        "a function is replaced",
        "create or replace function app_global_settings_is_audited() returns trigger language plpgsql
         as 'begin return null; end'",
        Refused("permission denied"),
    ),
    attack(
        "a function looks elsewhere",
        "alter function app_global_settings_is_audited() reset search_path",
        Refused("must be owner"),
    ),
    attack(
        "a function runs as whoever calls it",
        "alter function app_global_setting_open_revision() security invoker",
        Refused("must be owner"),
    ),
    attack(
        "a trigger's function is called by hand",
        "select app_global_settings_write()",
        Refused("permission denied for function"),
    ),
    attack("a column more", "alter table app_global_settings add column eve text", Refused("must be owner")),
    attack(
        "a constraint less",
        "alter table app_global_settings drop constraint app_global_settings_is_of_its_type",
        Refused("must be owner"),
    ),
    attack("a schema of one's own", "create schema eve", Refused("permission denied for database")),
    attack("the tables are given away", "grant all on app_global_setting_head to public", Harmless),
    attack("a number of the outbox", "select setval('brune_outbox_seq_seq', 1)", Refused("permission denied")),
    attack("the catalog of the server", "update pg_trigger set tgenabled = 'D'", Refused("permission denied")),
    attack("the role becomes a superuser", "alter role current_user superuser", Refused("")),
    attack("the role becomes another", "set role postgres", Refused("permission denied")),
    attack("a program of the server", "copy pg_class to program 'cat'", Refused("program")),
    // --- Sessions keep what they were started with.
    attack("a session's model", "update brune_session set model = 'eve'", Refused("keeps the settings")),
    attack("a session's revision", "update brune_session set settings_revision = 900", Refused("keeps the settings")),
    attack("a session is deleted", "delete from brune_session", Refused("permission denied")),
];
