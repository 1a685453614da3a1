-- Changes of many settings in less time: an import of 10,000 settings spent two thirds of its time in the functions
-- below. The rules, the order of the checks and the hashed text are the same as before.
--   * The row triggers called two further functions for each row, and every call of a function with a fixed
--     `search_path` resolves the path again, at its beginning and after its end. Now the row triggers read the head
--     themselves (only the first row of a transaction opens the revision), and the chain hashes an entry in place.
--   * The check at the commit looked an entry up by version, revision and value. With current statistics Postgres chose
--     the index of the revision, and compared every row of an import with every entry of the import: 6 to 10 s for
--     10,000 rows, more than a statement may take. Now the lookup names the columns of one unique index.
--   * The pattern of a request id with a counted repetition took ten times as long as the other patterns.
--
-- Safe while the release before runs: names, arguments and results are the same.

-- Sets number, time, previous value and hash of an entry, overwriting the columns of the writer. The hashed text is that
-- of `app_global_setting_audit_hash`, which a test compares. Every operator and function has arguments of exactly its
-- types, so that none in `public` can fit better than the server's own: the function runs with the rights of its owner.
create or replace function app_global_setting_audit_chain() returns trigger language plpgsql security definer as $$
declare
  head record;
  last record;
  before record;
  changed_at text;
  -- Control characters, and characters that turn the direction of text or hide a line end.
  deceiving constant text := '[\u0001-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]';
begin
  if new.changed_by ~ deceiving or pg_catalog.octet_length(new.changed_by) > 256
    or new.reason ~ deceiving or pg_catalog.length(new.reason) > 500
    or new.request_id !~ '^[A-Za-z0-9._-]*$'::text or pg_catalog.octet_length(new.request_id) > 128
  then
    raise exception 'the audit entry of % has a name, a reason or a request id that cannot be shown as it is', new.key
      using errcode = 'integrity_constraint_violation',
        hint = 'changed_by has at most 256 bytes, reason at most 500 characters, both without control characters';
  end if;
  -- A decision about a change belongs to no revision either; the next release stores decisions.
  if new.action in ('refused', 'secret_cleanup', 'decision') then
    select h.revision, h.changed_at into strict head from app_global_setting_head h where h.singleton for update;
    new.revision := null;
  else
    -- No lock: the transaction that opened the newest revision holds the lock of its own update.
    select h.revision, h.changed_at into head from app_global_setting_head h
      where h.singleton and h.opened_xid = pg_current_xact_id() and h.opened_at = transaction_timestamp();
    if not found then
      select h.revision, h.changed_at into strict head from app_global_setting_open_revision() h;
    end if;
    new.revision := head.revision;
    if new.new_value_json is null then
      new.version := null;
    -- In the order of versions, which no other index of the key has: a plan for few entries must not read all later.
    elsif exists (
      select from (
        select version from app_global_setting_audit
          where key = new.key and version > new.version order by version limit 1) newer) or new.version < 1 then
      raise exception 'the audit entry of % version % tells of no change: a version only grows', new.key, new.version
        using errcode = 'integrity_constraint_violation';
    end if;
    select new_value_json as value, salt into before from app_global_setting_audit
      where key = new.key and action not in ('refused', 'secret_cleanup') order by seq desc limit 1;
    -- Only the writer knows a value that was removed with its salt.
    if before.salt is not null or not found then
      new.old_value_json := before.value;
    end if;
  end if;
  select a.seq, a.hash, a.changed_at into last from app_global_setting_audit a order by a.seq desc limit 1;
  new.seq := coalesce(last.seq, 0::bigint) + 1;
  new.prev_hash := coalesce(last.hash, pg_catalog.decode(pg_catalog.repeat('00'::text, 32), 'hex'::text));
  if new.revision is null then
    new.changed_at := greatest(head.changed_at, last.changed_at, pg_catalog.clock_timestamp());
  else
    new.changed_at := greatest(head.changed_at, last.changed_at);
  end if;
  new.salt := pg_catalog.uuid_send(pg_catalog.gen_random_uuid());
  new.old_value_digest :=
    pg_catalog.sha256(new.salt || pg_catalog.convert_to(new.old_value_json::text, 'UTF8'::name));
  new.new_value_digest :=
    pg_catalog.sha256(new.salt || pg_catalog.convert_to(new.new_value_json::text, 'UTF8'::name));
  changed_at := pg_catalog.to_char(new.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'::text);
  -- Each field is its length in bytes and its text, so that no two entries give the same text.
  new.hash := pg_catalog.sha256(new.prev_hash || pg_catalog.convert_to(
    coalesce(pg_catalog.octet_length(new.seq::text)::text || ':'::text || new.seq::text, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.id::text)::text || ':'::text || new.id::text, '-'::text) || ','::text
    || coalesce(
      pg_catalog.octet_length(new.revision::text)::text || ':'::text || new.revision::text, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.key)::text || ':'::text || new.key, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.action)::text || ':'::text || new.action, '-'::text) || ','::text
    -- A digest of 32 bytes has 64 digits.
    || coalesce('64:'::text || pg_catalog.encode(new.old_value_digest, 'hex'::text), '-'::text) || ','::text
    || coalesce('64:'::text || pg_catalog.encode(new.new_value_digest, 'hex'::text), '-'::text) || ','::text
    || coalesce(
      pg_catalog.octet_length(new.version::text)::text || ':'::text || new.version::text, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.changed_by)::text || ':'::text || new.changed_by, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.reason)::text || ':'::text || new.reason, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(new.request_id)::text || ':'::text || new.request_id, '-'::text) || ','::text
    || coalesce(pg_catalog.octet_length(changed_at)::text || ':'::text || changed_at, '-'::text) || ','::text,
    'UTF8'::name));
  return new;
end $$;

-- Gives a setting its revision and its time, and lets a version only grow by one.
create or replace function app_global_settings_write() returns trigger language plpgsql security definer as $$
declare
  head record;
  expected integer;
begin
  -- Nested: as one condition, Postgres would plan the lookup again for each row.
  if tg_op = 'DELETE' then
    if exists (select from app_global_setting_schema where key = old.key and kind = 'secret') then
      return old;
    end if;
  end if;
  -- No lock: the transaction that opened the newest revision holds the lock of its own update.
  select h.revision, h.changed_at into head from app_global_setting_head h
    where h.singleton and h.opened_xid = pg_current_xact_id() and h.opened_at = transaction_timestamp();
  if not found then
    select h.revision, h.changed_at into strict head from app_global_setting_open_revision() h;
  end if;
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
    select coalesce(max(version), 0) + 1 into expected from app_global_setting_audit
      where key = new.key and revision < head.revision;
  end if;
  if new.version <> expected then
    raise exception 'the next version of % is %, not %', new.key, expected, new.version
      using errcode = 'integrity_constraint_violation', hint = 'set version = version + 1';
  end if;
  new.revision := head.revision;
  new.updated_at := head.changed_at;
  return new;
end $$;

-- Requires the entry of a changed setting, by the same author, at the commit.
create or replace function app_global_settings_is_audited() returns trigger language plpgsql as $$
declare
  changed text := case tg_op when 'DELETE' then old.key else new.key end;
  is_audited boolean;
  entry record;
begin
  if tg_op = 'DELETE' then
    is_audited := exists (
      select from app_global_setting_audit a, app_global_setting_head h
      where h.singleton and a.key = old.key and a.new_value_json is null
        and case a.action
          when 'refused' then false
          when 'secret_cleanup' then a.xmin = pg_current_xact_id()::xid and exists (
            select from app_global_setting_schema where key = old.key and kind = 'secret')
          else a.revision = h.revision end
        and a.seq > (select coalesce(max(seq), 0) from app_global_setting_audit
                     where key = old.key and version = old.version));
  else
    -- By the columns of one unique index, and in its order: further conditions lead the planner to the index of the
    -- revision, and without the order a plan for few entries may read all entries of the key later.
    select version, changed_by, revision, new_value_json as value into entry from app_global_setting_audit
      where key = new.key and version >= new.version order by version limit 1;
    is_audited :=
      entry.version = new.version and entry.revision = new.revision and entry.value = new.value_json;
    if is_audited and entry.changed_by <> new.updated_by then
      raise exception 'the change of % names %, and its audit row names somebody else', changed, new.updated_by
        using errcode = 'integrity_constraint_violation', hint = 'set updated_by to the changed_by of the audit row';
    end if;
  end if;
  if is_audited is not true then
    raise exception 'the change of % has no audit row', changed
      using errcode = 'integrity_constraint_violation',
        hint = 'insert (key, action, old_value_json, new_value_json, version, changed_by, reason) '
          'into app_global_setting_audit in the same transaction, or change it through the API';
  end if;
  return null;
end $$;

-- Requires an entry of a new revision, at the commit. The first entry suffices: `perform` would read all of them.
create or replace function app_global_setting_head_is_audited() returns trigger language plpgsql as $$
begin
  if not exists (select from app_global_setting_audit where revision = new.revision) then
    raise exception 'revision % has no audit row', new.revision
      using errcode = 'integrity_constraint_violation',
        hint = 'nothing was changed; leave out what inserts no row (on conflict do nothing)';
  end if;
  return null;
end $$;

-- A replaced function loses its settings: the fixed path is set again, as for every function of ours.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'app_global_setting_audit_chain()',
    'app_global_setting_head_is_audited()',
    'app_global_settings_write()',
    'app_global_settings_is_audited()'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;
