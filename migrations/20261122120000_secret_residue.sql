-- What an older release left of a secret can be taken out: its row among the settings, and its values in
-- the trail. ADR 0001 asks for the cleanup; the trail stays whole, because its chain covers digests.

-- A redaction is the one change that the trail takes: the values of a secret's entry go, with the salt that
-- would let their digests be guessed at. Nothing else of the row, and of no other key.
create or replace function app_global_setting_audit_is_append_only() returns trigger language plpgsql as $$
declare
  redacted app_global_setting_audit;
begin
  if tg_op = 'UPDATE' then
    redacted := old;
    redacted.old_value_json := null;
    redacted.new_value_json := null;
    redacted.salt := null;
    if new is not distinct from redacted
      and exists (select from app_global_setting_schema where key = old.key and kind = 'secret') then
      return new;
    end if;
  end if;
  raise exception 'the audit trail is append-only: % is refused', lower(tg_op)
    using errcode = 'insufficient_privilege';
end $$;

-- Nobody redacts in silence: the same transaction tells of it. Deferred, so that the order is free.
create function app_global_setting_audit_redaction_is_told() returns trigger language plpgsql as $$
begin
  perform from app_global_setting_audit
    where key = new.key and action = 'secret_cleanup' and xmin = pg_current_xact_id()::xid;
  if not found then
    raise exception 'the redaction of % has no audit row', new.key
      using errcode = 'integrity_constraint_violation',
        hint = 'use POST /admin/secrets/cleanup';
  end if;
  return null;
end $$;
create constraint trigger app_global_setting_audit_redaction_is_told
  after update on app_global_setting_audit
  deferrable initially deferred
  for each row execute function app_global_setting_audit_redaction_is_told();

-- Taking out a secret's row is no change of a setting, and opens no revision.
create or replace function app_global_settings_write() returns trigger language plpgsql as $$
declare
  head app_global_setting_head;
  expected integer;
begin
  if tg_op = 'DELETE' and exists (
    select from app_global_setting_schema where key = old.key and kind = 'secret') then
    return old;
  end if;
  head := app_global_setting_open_revision();
  if tg_op = 'DELETE' then
    return old;
  end if;
  if tg_op = 'UPDATE' then
    if new.key <> old.key then
      raise exception 'a setting keeps its key: % cannot become %', old.key, new.key
        using errcode = 'integrity_constraint_violation';
    end if;
    expected := old.version + 1;
  else
    select coalesce(max(version), 0) + 1 into expected from app_global_setting_audit where key = new.key;
  end if;
  if new.version <> expected then
    raise exception 'the next version of % is %, not %', new.key, expected, new.version
      using errcode = 'integrity_constraint_violation', hint = 'set version = version + 1';
  end if;
  new.revision := head.revision;
  new.updated_at := head.changed_at;
  return new;
end $$;
