//! The attacks, as statements that the service's role sends.

/// One attack.
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    pub(super) outcome: Outcome,
}

/// What has to become of an attack.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// The server refuses it, with these words, and nothing is changed.
    Refused(&'static str),
    /// It passes, the trail tells what it changed, and whoever verifies the trail finds nothing wrong.
    Audited,
    /// It passes and changes nothing.
    Harmless,
}

use Outcome::{Audited, Harmless, Refused};

const fn attack(name: &'static str, sql: &'static str, outcome: Outcome) -> Attack {
    Attack { name, sql, outcome }
}

/// A session that attacks can try to change.
pub(super) const SESSION: &str = "insert into brune_session (id, user_id, started_at, expires_at, settings_revision,
      prompt_id, prompt_version, model, session_max_minutes)
    values ('00000000-0000-7000-8000-000000000001', 'ana', now(), now() + interval '1 hour', 1, 'pmpt_1', '1', 'm', 20)";

/// Attacks with nothing but the service's grants.
pub(super) const ATTACKS: &[Attack] = &[
    // --- The head: numbering, snapshots and the fence of session starts rest on it.
    attack("the revision is set", "update app_global_setting_head set revision = 900", Refused("permission denied")),
    attack("the revision is set back", "update app_global_setting_head set revision = 0", Refused("permission denied")),
    attack(
        "this transaction is made the one that opened the newest revision",
        "begin;
         update app_global_setting_head set opened_xid = pg_current_xact_id(), opened_at = transaction_timestamp();
         update app_global_settings set value_json = '90', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("permission denied"),
    ),
    attack(
        "time and catalog are set",
        "update app_global_setting_head set changed_at = now() + interval '1 year', catalog = 'eve', catalog_revision = 9",
        Refused("permission denied"),
    ),
    attack("another head", "insert into app_global_setting_head (singleton) values (null)", Refused("permission denied")),
    attack("no head", "delete from app_global_setting_head", Refused("permission denied")),
    attack("an empty head", "truncate app_global_setting_head", Refused("permission denied")),
    attack("the column that may be updated", "update app_global_setting_head set singleton = false", Refused("check constraint")),
    attack("the same value again", "update app_global_setting_head set singleton = singleton", Harmless),
    attack("the head is locked", "select revision from app_global_setting_head for update", Harmless),
    attack(
        "a revision is opened by hand",
        "select app_global_setting_open_revision()",
        Refused("permission denied for function"),
    ),
    attack(
        "a revision is opened by a setting that is not inserted",
        "insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
         select key, value_json, value_type, updated_by, updated_at,
           version + 1, revision from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'
         on conflict do nothing",
        Refused("has no audit row"),
    ),
    attack(
        "a revision is opened by an entry that is not inserted",
        "insert into app_global_setting_audit (id, key, action, new_value_json, version, changed_by, reason)
         select id, key, 'update', '90', version + 1, 'eve', 'none' from app_global_setting_audit
         where key = 'BRUNE_COOLDOWN_MINUTES' and version is not null order by version desc limit 1
         on conflict do nothing",
        Refused("has no audit row"),
    ),
    // --- Settings.
    attack(
        "a change without an entry",
        "update app_global_settings set value_json = '90', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("has no audit row"),
    ),
    attack(
        "a change without a version",
        "update app_global_settings set value_json = '90' where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("the next version of"),
    ),
    attack(
        "a change of several versions at once",
        "update app_global_settings set value_json = '90', version = version + 2 where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("the next version of"),
    ),
    attack(
        "another value than the entry has",
        "with changed as (update app_global_settings set value_json = '90', version = version + 1
           where key = 'BRUNE_COOLDOWN_MINUTES' returning version)
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         select 'BRUNE_COOLDOWN_MINUTES', 'update', '91', version, 'eve', 'none' from changed",
        Refused("has no audit row"),
    ),
    attack(
        "a key becomes another",
        "update app_global_settings set key = 'BRUNE_PROMPT_ID', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("a setting keeps its key"),
    ),
    attack(
        "a deletion without an entry",
        "delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("has no audit row"),
    ),
    attack(
        "a deletion that is told as the cleanup of a secret",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'secret_cleanup', 'eve', 'none');
         delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("tells of no change"),
    ),
    attack(
        "a row of a secret, told",
        "begin;
         insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
           values ('OPENAI_API_KEY', '\"x\"', 'string', 'eve', now(), 1, 1);
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           values ('OPENAI_API_KEY', 'update', '\"x\"', 1, 'eve', 'none');
         commit",
        Audited,
    ),
    attack(
        "the cleanup of a secret is told, and nothing is cleaned up",
        "insert into app_global_setting_audit (key, action, changed_by, reason)
         values ('OPENAI_API_KEY', 'secret_cleanup', 'eve', 'none')",
        Audited,
    ),
    attack(
        "the secret is deleted later, without an entry",
        "delete from app_global_settings where key = 'OPENAI_API_KEY'",
        Refused("has no audit row"),
    ),
    attack(
        "versions begin again with another row",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'reset', 'eve', 'none');
         delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES';
         insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
           values ('BRUNE_COOLDOWN_MINUTES', '90', 'number', 'eve', now(), 1, 1);
         commit",
        Refused("the next version of"),
    ),
    attack(
        "another row with the next version, told",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_MAX_SESSIONS_PER_DAY', 'reset', 'eve', 'none');
         delete from app_global_settings where key = 'BRUNE_MAX_SESSIONS_PER_DAY';
         insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
           select key, '9', 'number', 'eve', now(), max(version) + 1, 1 from app_global_setting_audit
           where key = 'BRUNE_MAX_SESSIONS_PER_DAY' group by key;
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from app_global_settings
           where key = 'BRUNE_MAX_SESSIONS_PER_DAY';
         commit",
        Audited,
    ),
    attack(
        "a key that is not declared",
        "insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
         values ('EVE', '1', 'number', 'eve', now(), 1, 1)",
        Refused("is_declared"),
    ),
    attack("all settings at once", "truncate app_global_settings", Refused("permission denied")),
    attack(
        "the entry goes back with a savepoint after the check was made",
        "begin;
         update app_global_settings set value_json = '90', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES';
         savepoint before;
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from app_global_settings
           where key = 'BRUNE_COOLDOWN_MINUTES';
         set constraints all immediate;
         rollback to before;
         set constraints all deferred;
         commit",
        Refused("has no audit row"),
    ),
    attack(
        "the revision is opened in a savepoint that goes back",
        "begin;
         savepoint before;
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', '90', version + 1, 'eve', 'none' from app_global_settings
           where key = 'BRUNE_COOLDOWN_MINUTES';
         rollback to before;
         with changed as (update app_global_settings set value_json = '90', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed;
         commit",
        Audited,
    ),
    attack(
        "an insertion that becomes an update",
        "insert into app_global_settings as s (key, value_json, value_type, updated_by, updated_at, version, revision)
         select key, '90', value_type, 'eve', now(), version + 1, 1 from app_global_settings
         where key = 'BRUNE_COOLDOWN_MINUTES'
         on conflict (key) do update set value_json = excluded.value_json, version = s.version + 1",
        Refused("has no audit row"),
    ),
    attack(
        "a change that is prepared and never ends",
        "begin;
         update app_global_settings set value_json = '90', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES';
         prepare transaction 'eve'",
        Refused(""),
    ),
    // --- The trail.
    attack("a better reason", "update app_global_setting_audit set reason = 'better'", Refused("permission denied")),
    attack(
        "the values of a setting's entry are taken out",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'secret_cleanup', 'eve', 'none');
         update app_global_setting_audit set old_value_json = null, new_value_json = null, salt = null
           where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("append-only"),
    ),
    attack("other values", "update app_global_setting_audit set new_value_json = '1'", Refused("append-only")),
    attack("an entry is deleted", "delete from app_global_setting_audit where seq = 3", Refused("permission denied")),
    attack("all entries are deleted", "truncate app_global_setting_audit", Refused("permission denied")),
    attack(
        "an entry with a place, a time and a chain of its own",
        r"insert into app_global_setting_audit
           (seq, revision, key, action, changed_by, reason, changed_at, salt, old_value_digest, new_value_digest, prev_hash, hash)
         values (42, 900, 'BRUNE_COOLDOWN_MINUTES', 'refused', 'eve', 'none', '1999-01-01', '\x00', '\x00', '\x00', '\x00', '\x00')",
        Audited,
    ),
    attack(
        "an entry of a change that was not made",
        "insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         select key, 'update', '90', version + 1, 'eve', 'none' from app_global_settings
         where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("tells of no change"),
    ),
    attack(
        "an entry of a version before the first",
        "insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
         values ('BRUNE_COOLDOWN_MINUTES', 'update', '90', 0, 'eve', 'none')",
        Refused("tells of no change"),
    ),
    attack(
        "an entry of a deletion that was not made",
        "insert into app_global_setting_audit (key, action, changed_by, reason)
         values ('BRUNE_COOLDOWN_MINUTES', 'reset', 'eve', 'none')",
        Refused("tells of no change"),
    ),
    attack(
        "an entry of a deletion of what never was",
        "insert into app_global_setting_audit (key, action, changed_by, reason) values ('EVE', 'reset', 'eve', 'none')",
        Refused("tells of no change"),
    ),
    attack(
        "a version that nobody ever had, between two rows",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'reset', 'eve', 'none');
         delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES';
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', '90', max(version) + 1, 'eve', 'none' from app_global_setting_audit
           where key = 'BRUNE_COOLDOWN_MINUTES' group by key;
         insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
           select key, '91', 'number', 'eve', now(), max(version) + 1, 1 from app_global_setting_audit
           where key = 'BRUNE_COOLDOWN_MINUTES' group by key;
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from app_global_settings
           where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("the next version of"),
    ),
    attack(
        "a refusal with a value",
        "insert into app_global_setting_audit (key, action, new_value_json, changed_by, reason)
         values ('BRUNE_COOLDOWN_MINUTES', 'refused', '90', 'eve', 'none')",
        Refused("refused_has_no_values"),
    ),
    attack(
        "an entry that takes the place of another",
        "insert into app_global_setting_audit as a (id, key, action, changed_by, reason)
         select id, key, 'refused', 'eve', 'none' from app_global_setting_audit where seq = 1
         on conflict (id) do update set reason = excluded.reason",
        Refused("permission denied"),
    ),
    // --- Declarations: what a key is decides what a cleanup may take out.
    attack(
        "a setting is declared a secret",
        "update app_global_setting_schema set kind = 'secret', editable = false where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("permission denied"),
    ),
    attack(
        "the bounds of a setting",
        "update app_global_setting_schema set constraints_json = '{}'",
        Refused("permission denied"),
    ),
    attack(
        "a key more",
        "insert into app_global_setting_schema select 'EVE', kind, value_type, category, editable, constraints_json,
           default_json, default_source, applies, required, description from app_global_setting_schema limit 1",
        Refused("permission denied"),
    ),
    attack("no declarations", "delete from app_global_setting_schema", Refused("permission denied")),
    attack("a migration is forgotten", "delete from _sqlx_migrations", Refused("permission denied")),
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

/// Attacks that create something. Where that is allowed, each has the outcome that stands here; where only the
/// service's grants are there, none gets that far.
pub(super) const SHADOWS: &[Attack] = &[
    attack(
        "a temporary trail that says what a change needs",
        r"create temporary table app_global_setting_audit (like public.app_global_setting_audit);
         with changed as (update public.app_global_settings set value_json = '90', version = version + 1
           where key = 'BRUNE_COOLDOWN_MINUTES' returning *)
         insert into pg_temp.app_global_setting_audit
         select 1, gen_random_uuid(), revision, key, 'update', null, value_json, version, 'eve', 'none', '', now(),
           null, null, null, '\x', '\x' from changed",
        Refused("has no audit row"),
    ),
    attack(
        "a temporary trail that says where the chain goes on",
        r"create temporary table app_global_setting_audit (like public.app_global_setting_audit);
         insert into pg_temp.app_global_setting_audit values (41, gen_random_uuid(), 900, 'EVE', 'refused', null, null, null,
           'eve', 'none', '', '2199-01-01', null, null, null, '\x', '\xc0ffee');
         insert into public.app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'refused', 'eve', 'none')",
        Audited,
    ),
    attack(
        "a temporary view in the place of the trail",
        r"create temporary view app_global_setting_audit as
           select 1::bigint as seq, gen_random_uuid() as id, s.revision, s.key, 'update' as action,
             null::jsonb as old_value_json, s.value_json as new_value_json, s.version, 'eve' as changed_by,
             now() as changed_at, null::bytea as salt, '\x'::bytea as hash
           from public.app_global_settings s;
         update public.app_global_settings set value_json = '90', version = version + 1
           where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("has no audit row"),
    ),
    attack(
        "a temporary head",
        "create temporary table app_global_setting_head (like public.app_global_setting_head including all);
         insert into pg_temp.app_global_setting_head (revision, changed_at) values (900, '2199-01-01');
         with changed as (update public.app_global_settings set value_json = '90', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into public.app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed",
        Audited,
    ),
    attack(
        "temporary settings that make a lie true",
        "create temporary table app_global_settings (like public.app_global_settings);
         insert into pg_temp.app_global_settings
           select key, '90', value_type, 'eve', now(), version + 1, 1 from public.app_global_settings
           where key = 'BRUNE_COOLDOWN_MINUTES';
         insert into public.app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from pg_temp.app_global_settings",
        Refused("tells of no change"),
    ),
    attack(
        "temporary declarations by which a setting is a secret",
        "create temporary table app_global_setting_schema (like public.app_global_setting_schema);
         insert into pg_temp.app_global_setting_schema
           select key, 'secret', value_type, category, false, constraints_json, null, 'hardcoded', applies, required, ''
           from public.app_global_setting_schema;
         insert into public.app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'secret_cleanup', 'eve', 'none');
         update public.app_global_setting_audit set old_value_json = null, new_value_json = null, salt = null
           where key = 'BRUNE_COOLDOWN_MINUTES' and action <> 'secret_cleanup'",
        Refused("append-only"),
    ),
    attack(
        "a setting that is a secret only for this session is deleted",
        "create temporary table app_global_setting_schema (like public.app_global_setting_schema);
         insert into pg_temp.app_global_setting_schema
           select key, 'secret', value_type, category, false, constraints_json, null, 'hardcoded', applies, required, ''
           from public.app_global_setting_schema;
         insert into public.app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'secret_cleanup', 'eve', 'none');
         delete from public.app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'",
        Refused("tells of no change"),
    ),
    attack(
        "a temporary table of sessions",
        "create temporary table brune_session (like public.brune_session);
         update public.brune_session set model = 'eve'",
        Refused("keeps the settings"),
    ),
    attack(
        "a trigger function of the owner on a table of one's own",
        "create temporary table mine (like public.app_global_settings);
         create trigger mine before insert on pg_temp.mine for each row
           execute function public.app_global_settings_write()",
        Refused("permission denied for function"),
    ),
    attack(
        "the chaining function on a table of one's own",
        "create table public.mine (like public.app_global_setting_audit);
         create trigger mine before insert on public.mine for each row
           execute function public.app_global_setting_audit_chain()",
        Refused("permission denied for function"),
    ),
    attack(
        "the function of declarations on a table of one's own",
        "create table public.mine (key text);
         create trigger mine after insert on public.mine
           execute function public.app_global_setting_schema_changed()",
        Refused("permission denied for function"),
    ),
    attack(
        "rows that are inherited",
        "create table public.mine () inherits (public.app_global_settings)",
        Refused("must be owner"),
    ),
    attack(
        "functions and operators that fit better than the server's own",
        "create function public.convert_to(text, text) returns bytea language plpgsql as $$
           begin execute 'alter role brune_service_of_tests superuser'; return ''; end $$;
         create function public.mine(integer, text) returns text language plpgsql as $$
           begin execute 'alter role brune_service_of_tests superuser'; return ''; end $$;
         create function public.mine(integer, integer) returns text language plpgsql as $$
           begin execute 'alter role brune_service_of_tests superuser'; return ''; end $$;
         create operator public.|| (leftarg = integer, rightarg = text, function = public.mine);
         create operator public.|| (leftarg = integer, rightarg = integer, function = public.mine);
         with changed as (update public.app_global_settings set value_json = '90', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into public.app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed",
        Audited,
    ),
    attack(
        "a function of one's own in a session that looks there first",
        "create function public.sha256(bytea) returns bytea language sql as $$ select '\\x00'::bytea $$;
         create function public.clock_timestamp() returns timestamptz language sql as $$ select '1999-01-01'::timestamptz $$;
         set search_path = public, pg_catalog;
         with changed as (update public.app_global_settings set value_json = '90', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into public.app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed",
        Audited,
    ),
];
