//! Attacks on the head and on the settings.

use super::attacks::{
    Attack,
    Outcome::{Audited, Harmless, Refused},
    attack,
};

pub(super) const ON_SETTINGS: &[Attack] = &[
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
        "a deletion with an entry of the cleanup of a secret",
        "begin;
         insert into app_global_setting_audit (key, action, changed_by, reason)
           values ('BRUNE_COOLDOWN_MINUTES', 'secret_cleanup', 'eve', 'none');
         delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("tells of no change"),
    ),
    attack(
        "a row of a secret, with its entry",
        "begin;
         insert into app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision)
           values ('OPENAI_API_KEY', '\"x\"', 'string', 'eve', now(), 1, 1);
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           values ('OPENAI_API_KEY', 'update', '\"x\"', 1, 'eve', 'none');
         commit",
        Audited,
    ),
    attack(
        "an entry of the cleanup of a secret, and nothing is cleaned up",
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
        "another row with the next version, with its entry",
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
         update app_global_settings set value_json = '90', version = version + 1, updated_by = 'eve' where key = 'BRUNE_COOLDOWN_MINUTES';
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
        "a change that the setting lays at somebody else's door",
        "begin;
         update app_global_settings set value_json = '90', version = version + 1, updated_by = 'not eve'
           where key = 'BRUNE_COOLDOWN_MINUTES';
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from app_global_settings
           where key = 'BRUNE_COOLDOWN_MINUTES';
         commit",
        Refused("names somebody else"),
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
    attack(
        "a merge",
        "merge into app_global_settings s using (values (1)) v on s.key = 'BRUNE_COOLDOWN_MINUTES'
         when matched then update set value_json = '90', version = s.version + 1",
        Refused(""),
    ),
    attack(
        "the next transaction begins as this one ends",
        "begin;
         update app_global_settings set value_json = '90', version = version + 1 where key = 'BRUNE_COOLDOWN_MINUTES';
         commit and chain;
         commit",
        Refused("has no audit row"),
    ),
    attack(
        "a session that prints and reads values in other ways, with its entry",
        "set datestyle = 'sql, dmy'; set timezone = 'Asia/Kathmandu'; set bytea_output = 'escape';
         set intervalstyle = 'iso_8601'; set extra_float_digits = -15; set standard_conforming_strings = off;
         set transform_null_equals = on; set plpgsql.extra_errors = 'all';
         set default_transaction_isolation = 'serializable';
         with changed as (update app_global_settings set value_json = '60.50', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed",
        Audited,
    ),
    attack(
        "a snapshot from before, with its entry",
        "begin isolation level repeatable read;
         select count(*) from app_global_setting_audit;
         with changed as (update app_global_settings set value_json = '70', version = version + 1, updated_by = 'eve'
           where key = 'BRUNE_COOLDOWN_MINUTES' returning key, value_json, version)
         insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
           select key, 'update', value_json, version, 'eve', 'none' from changed;
         commit",
        Audited,
    ),
    attack("settings are locked", "begin; lock table app_global_settings in exclusive mode; commit", Harmless),
];
