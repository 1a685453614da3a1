-- The invariants of the settings and of their trail hold against the service's own role as well. Until now a
-- session of that role could pass them:
--   * Postgres looks for a relation in `pg_temp` before any schema, and no function fixed its `search_path`. A
--     temporary table called `app_global_setting_audit` let a setting change without an audit entry (the deferred
--     check read the temporary table) and forged a place in the chain (so did the chaining). A function in `public`,
--     or a `search_path` with `public` first, let the hash be computed by a function of the writer's;
--   * the role could update every column of the head, so it could set the revision to anything, and numbering,
--     snapshots and the fence of session starts rest on that.
-- Found beside them, and closed here: a setting that names somebody else than its entry; names and reasons of control
-- characters; a revision that is opened and that no entry belongs to (`on conflict do
-- nothing`, or a call of the opening function); a deletion that is told as the cleanup of a secret; entries of a
-- version below the newest, of a deletion that was not made, of the cleanup of what is no secret.
--
-- Safe while the release before runs: it reads and writes the same tables in the same way.

-- What each hash covers, of the same text as before. Every operator and function has arguments of exactly its types,
-- here and in the next function, so that none in `public` can fit better than the server's own: both run with the
-- rights of their owner.
create or replace function app_global_setting_audit_hash(entry app_global_setting_audit) returns bytea
language plpgsql immutable as $$
declare
  field text;
  hashed text := '';
begin
  -- Each field is its length in bytes and itself, so that no two rows read the same.
  foreach field in array array[
    entry.seq::text,
    entry.id::text,
    entry.revision::text,
    entry.key,
    entry.action,
    pg_catalog.encode(entry.old_value_digest, 'hex'::text),
    pg_catalog.encode(entry.new_value_digest, 'hex'::text),
    entry.version::text,
    entry.changed_by,
    entry.reason,
    entry.request_id,
    pg_catalog.to_char(entry.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'::text)
  ] loop
    hashed := hashed || coalesce(pg_catalog.octet_length(field)::text || ':'::text || field, '-'::text) || ','::text;
  end loop;
  return pg_catalog.sha256(entry.prev_hash || pg_catalog.convert_to(hashed, 'UTF8'::name));
end $$;

-- Numbers, times and chains an entry, and says what stood there before; whatever the writer put into those columns
-- is overwritten. A version only grows, and an entry without a value has none. Who, why and in which request are of
-- the form that the service gives them: a reader of the trail sees what is there.
create or replace function app_global_setting_audit_chain() returns trigger language plpgsql as $$
declare
  head app_global_setting_head;
  last record;
  before record;
  -- Control characters, and those that turn the direction of text or hide a line end.
  deceiving constant text := '[\u0001-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]';
begin
  if new.changed_by ~ deceiving or pg_catalog.octet_length(new.changed_by) > 256
    or new.reason ~ deceiving or pg_catalog.length(new.reason) > 500
    or new.request_id !~ '^[A-Za-z0-9._-]{0,128}$'::text
  then
    raise exception 'the audit entry of % has a name, a reason or a request id that cannot be shown as it is', new.key
      using errcode = 'integrity_constraint_violation',
        hint = 'changed_by has at most 256 bytes, reason at most 500 characters, both without control characters';
  end if;
  if new.action in ('refused', 'secret_cleanup') then
    select * into strict head from app_global_setting_head for update;
    new.revision := null;
  else
    head := app_global_setting_open_revision();
    new.revision := head.revision;
    if new.new_value_json is null then
      new.version := null;
    elsif exists (
      select from app_global_setting_audit where key = new.key and version > new.version) or new.version < 1 then
      raise exception 'the audit entry of % version % tells of no change: a version only grows', new.key, new.version
        using errcode = 'integrity_constraint_violation';
    end if;
    select new_value_json as value, salt into before from app_global_setting_audit
      where key = new.key and action not in ('refused', 'secret_cleanup') order by seq desc limit 1;
    -- Of a value that was taken out with its salt only the writer can tell.
    if before.salt is not null or not found then
      new.old_value_json := before.value;
    end if;
  end if;
  select seq, hash, changed_at into last from app_global_setting_audit order by seq desc limit 1;
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
  new.hash := app_global_setting_audit_hash(new);
  return new;
end $$;

-- As before, but the first version of a row follows the newest of the revisions before: the two rows may be written
-- in either order, and no version can be told of that the setting never had.
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

-- As before, but the entry names who the setting says it was, and only the row of a secret goes with an entry of its
-- cleanup, and only with one of this transaction.
create or replace function app_global_settings_is_audited() returns trigger language plpgsql as $$
declare
  changed text := case tg_op when 'DELETE' then old.key else new.key end;
  author text;
begin
  if tg_op = 'DELETE' then
    perform from app_global_setting_audit a, app_global_setting_head h
      where a.key = old.key and a.new_value_json is null
        and case a.action
          when 'refused' then false
          when 'secret_cleanup' then a.xmin = pg_current_xact_id()::xid and exists (
            select from app_global_setting_schema where key = old.key and kind = 'secret')
          else a.revision = h.revision end
        and a.seq > (select coalesce(max(seq), 0) from app_global_setting_audit
                     where key = old.key and version = old.version);
  else
    select changed_by into author from app_global_setting_audit
      where key = new.key and version = new.version and revision = new.revision
        and new_value_json = new.value_json;
    if found and author <> new.updated_by then
      raise exception 'the change of % names %, and its audit row names somebody else', changed, new.updated_by
        using errcode = 'integrity_constraint_violation', hint = 'set updated_by to the changed_by of the audit row';
    end if;
  end if;
  if not found then
    raise exception 'the change of % has no audit row', changed
      using errcode = 'integrity_constraint_violation',
        hint = 'insert (key, action, old_value_json, new_value_json, version, changed_by, reason) '
          'into app_global_setting_audit in the same transaction, or change it through the API';
  end if;
  return null;
end $$;

-- The other way round: the trail says nothing that did not happen. An attempt that was refused leaves nothing that
-- could be compared.
create or replace function app_global_setting_audit_is_true() returns trigger language plpgsql as $$
declare
  is_true boolean;
begin
  if new.action = 'refused' then
    return null;
  elsif new.action = 'secret_cleanup' then
    is_true := exists (select from app_global_setting_schema where key = new.key and kind = 'secret');
  elsif new.new_value_json is not null then
    is_true := exists (
      select from app_global_settings
      where key = new.key
        and (version > new.version or (version = new.version and value_json = new.new_value_json)));
  else
    -- There was a value, and there is none, or one that was written afterwards.
    is_true := (
        select version is not null from app_global_setting_audit
        where key = new.key and seq < new.seq and action not in ('refused', 'secret_cleanup')
        order by seq desc limit 1)
      and (
        not exists (select from app_global_settings where key = new.key)
        or exists (
          select from app_global_setting_audit where key = new.key and seq > new.seq and version is not null));
  end if;
  if is_true is not true then
    raise exception 'the audit row of % % tells of no change', new.key,
        coalesce('version ' || new.version::text, 'without a version')
      using errcode = 'integrity_constraint_violation';
  end if;
  return null;
end $$;

-- A revision is opened by what belongs to it. Deferred to the commit, as the other checks are.
create function app_global_setting_head_is_audited() returns trigger language plpgsql as $$
begin
  perform from app_global_setting_audit where revision = new.revision;
  if not found then
    raise exception 'revision % has no audit row', new.revision
      using errcode = 'integrity_constraint_violation',
        hint = 'nothing was changed; leave out what inserts no row (on conflict do nothing)';
  end if;
  return null;
end $$;
create constraint trigger app_global_setting_head_is_audited
  after update of revision on app_global_setting_head
  deferrable initially deferred
  for each row execute function app_global_setting_head_is_audited();

-- What writes the head's other columns runs with the rights of its owner, so that nobody else needs them. Only these
-- triggers' tables may use them: a trigger's function can otherwise be attached to a table by anybody.
alter function app_global_setting_open_revision() security definer;
alter function app_global_settings_write() security definer;
alter function app_global_setting_audit_chain() security definer;
alter function app_global_setting_schema_changed() security definer;
revoke execute on function app_global_setting_open_revision(), app_global_settings_write(),
  app_global_setting_audit_chain(), app_global_setting_schema_changed() from public;

-- Every function of ours looks for functions, operators and relations in the server's own schema, then in the one
-- that holds the tables, and in `pg_temp` last of all. Names may stay short this way, and none of them can be shadowed.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'app_global_setting_open_revision()',
    'app_global_setting_audit_hash(app_global_setting_audit)',
    'app_global_setting_audit_chain()',
    'app_global_setting_audit_is_append_only()',
    'app_global_setting_audit_redaction_is_told()',
    'app_global_setting_audit_is_true()',
    'app_global_setting_head_is_audited()',
    'app_global_setting_schema_changed()',
    'app_global_settings_write()',
    'app_global_settings_is_never_truncated()',
    'app_global_settings_is_audited()',
    'app_global_settings_notify()',
    'brune_session_keeps_its_settings()',
    'brune_session_over(uuid, text, bigint, text, text, text, timestamptz, timestamptz)',
    'brune_within_a_minute(timestamptz[])'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;

-- Who could update the whole head can now only lock it, which is all that a writer needs.
do $$
declare
  holder text;
begin
  for holder in
    select distinct case grantee when 0 then 'public' else grantee::regrole::text end
    from pg_class, aclexplode(relacl)
    where oid = 'app_global_setting_head'::regclass and privilege_type = 'UPDATE' and grantee <> relowner
  loop
    execute format('revoke update on app_global_setting_head from %s', holder);
    execute format('grant update (singleton) on app_global_setting_head to %s', holder);
  end loop;
end $$;

-- Nothing here needs temporary tables. Only the database's owner can take that right away; where somebody else runs
-- this, it stays (with the paths above alone the invariants hold, too), and `brune doctor` says so.
do $$
begin
  if exists (
    select from pg_database where datname = current_database() and pg_has_role(current_user, datdba, 'USAGE'))
  then
    execute format('revoke temporary on database %I from public', current_database());
  end if;
end $$;
