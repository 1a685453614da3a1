//! Attacks on the trail and on the declarations.

use super::attacks::{
    Attack,
    Outcome::{Audited, Refused},
    attack,
};

pub(super) const ON_TRAIL: &[Attack] = &[
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
    attack(
        "a reason that cannot be shown as it is",
        r"insert into app_global_setting_audit (key, action, changed_by, reason)
         values ('BRUNE_COOLDOWN_MINUTES', 'refused', 'eve', E'none\n\u001b[31mred')",
        Refused("cannot be shown"),
    ),
    attack(
        "a name that reads as another",
        r"insert into app_global_setting_audit (key, action, changed_by, reason)
         values ('BRUNE_COOLDOWN_MINUTES', 'refused', E'ada\u202e', 'none')",
        Refused("cannot be shown"),
    ),
    attack(
        "a request id of 100 kB",
        "insert into app_global_setting_audit (key, action, changed_by, reason, request_id)
         values ('BRUNE_COOLDOWN_MINUTES', 'refused', 'eve', 'none', repeat('x', 100000))",
        Refused("cannot be shown"),
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
];
