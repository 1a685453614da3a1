//! Attacks that create something.

use super::attacks::{
    Attack,
    Outcome::{Audited, Refused},
    attack,
};

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
        "create temporary table app_global_setting_schema (like public.app_global_setting_schema including defaults);
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
        "create temporary table app_global_setting_schema (like public.app_global_setting_schema including defaults);
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
           begin execute 'alter role brune_serve superuser'; return ''; end $$;
         create function public.mine(integer, text) returns text language plpgsql as $$
           begin execute 'alter role brune_serve superuser'; return ''; end $$;
         create function public.mine(integer, integer) returns text language plpgsql as $$
           begin execute 'alter role brune_serve superuser'; return ''; end $$;
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
