-- The settings, what they are declared to be, and who changed them why: the three tables of the Brun-E
-- design (section 4) and the head they share. What must outlive the code is held here, so that it holds
-- for every writer, psql included:
--   * a value is of its key's declared type, and its key is declared;
--   * a change is a new version of its key and belongs to exactly one revision, without gaps, in commit order;
--   * no change of a setting commits without its audit row, and no audit row without its change;
--   * audit rows are never updated, deleted or truncated, and each carries the hash of the one before it;
--   * a committed change notifies.

-- What each key is. The catalog file is published into this table by `brune migrate`; at run time this
-- table is the truth, so that two releases can run side by side.
create table app_global_setting_schema (
  key              text primary key check (key ~ '^[A-Z][A-Z0-9_]{0,127}$'),
  kind             text not null check (kind in ('setting', 'locked', 'secret', 'environment')),
  value_type       text not null check (value_type in ('string', 'number', 'boolean', 'string_array')),
  category         text not null check (category <> ''),
  editable         boolean not null check (editable = (kind = 'setting')),
  constraints_json jsonb not null check (jsonb_typeof(constraints_json) = 'object'),
  default_json     jsonb check (not editable or default_json is not null),
  default_source   text not null check (default_source in ('seed', 'hardcoded')),
  applies          text not null check (applies in ('new_sessions', 'hot', 'restart')),
  required         text not null check (required in ('always', 'production', 'never')),
  description      text not null,
  unique (key, value_type)
);

-- One row. Its lock is what puts writers in a row: whoever holds it knows the newest revision and the
-- newest audit row. `opened_xid` and `opened_at` name the transaction that opened the newest revision;
-- both, because transaction numbers start again when a dump is restored elsewhere.
create table app_global_setting_head (
  singleton        boolean primary key default true check (singleton),
  catalog          text,
  catalog_revision bigint not null default 0,
  revision         bigint not null default 0,
  changed_at       timestamptz not null default '-infinity',
  opened_xid       xid8,
  opened_at        timestamptz
) with (fillfactor = 20);
insert into app_global_setting_head default values;

create table app_global_settings (
  key        text primary key,
  value_json jsonb not null,
  value_type text not null,
  updated_by text not null check (updated_by <> ''),
  updated_at timestamptz not null,
  version    integer not null check (version > 0),
  -- The change set that wrote this version; set by a trigger.
  revision   bigint not null,
  constraint app_global_settings_is_declared foreign key (key, value_type)
    references app_global_setting_schema (key, value_type),
  constraint app_global_settings_is_of_its_type check (
    case value_type
      when 'string' then jsonb_typeof(value_json) = 'string'
      -- Not 1e400: what no reader can hold would take every other setting down with it.
      when 'number' then case when jsonb_typeof(value_json) = 'number'
        then abs(value_json::text::numeric) < 1e300 else false end
      when 'boolean' then jsonb_typeof(value_json) = 'boolean'
      when 'string_array' then jsonb_typeof(value_json) = 'array'
        and not jsonb_path_exists(value_json, 'strict $[*] ? (@.type() != "string")')
      else false
    end)
);
-- Catching up reads what is newer than a revision.
create index app_global_settings_by_revision on app_global_settings (revision);

create table app_global_setting_audit (
  seq              bigint primary key,
  id               uuid not null unique default gen_random_uuid(),
  revision         bigint,
  key              text not null check (key <> ''),
  action           text not null check (action in
                     ('seed', 'import', 'update', 'reset', 'rollback', 'refused', 'secret_cleanup')),
  old_value_json   jsonb,
  new_value_json   jsonb,
  version          integer,
  changed_by       text not null check (changed_by <> ''),
  reason           text not null check (reason <> ''),
  request_id       text not null default '',
  changed_at       timestamptz not null,
  -- The chain covers the digests of the values, not the values: one that must be forgotten can be taken
  -- out with its salt, and the chain still verifies.
  salt             bytea,
  old_value_digest bytea,
  new_value_digest bytea,
  prev_hash        bytea not null,
  hash             bytea not null,
  -- What was refused is not stored, here least of all.
  constraint app_global_setting_audit_refused_has_no_values check (
    action not in ('refused', 'secret_cleanup')
    or (old_value_json is null and new_value_json is null and version is null and revision is null)),
  constraint app_global_setting_audit_change_has_its_version check (
    action in ('refused', 'secret_cleanup') or new_value_json is null or version is not null)
);
create unique index app_global_setting_audit_by_version on app_global_setting_audit (key, version)
  where version is not null;
create index app_global_setting_audit_by_key on app_global_setting_audit (key, seq);
create index app_global_setting_audit_by_revision on app_global_setting_audit (revision) where revision is not null;
create index app_global_setting_audit_by_person on app_global_setting_audit (changed_by, seq);
create index app_global_setting_audit_by_action on app_global_setting_audit (action, seq);
create index app_global_setting_audit_by_request on app_global_setting_audit (request_id, seq);
create index app_global_setting_audit_by_time on app_global_setting_audit (changed_at, seq);

-- Takes the lock that puts writers in a row and opens this transaction's change set, once.
create function app_global_setting_open_revision() returns app_global_setting_head language plpgsql as $$
declare
  head app_global_setting_head;
begin
  select * into strict head from app_global_setting_head for update;
  if head.opened_xid = pg_current_xact_id() and head.opened_at = transaction_timestamp() then
    return head;
  end if;
  update app_global_setting_head
    set revision = revision + 1,
        changed_at = greatest(changed_at, clock_timestamp()),
        opened_xid = pg_current_xact_id(),
        opened_at = transaction_timestamp()
    returning * into head;
  return head;
end $$;

-- A field of the hashed text: its length in bytes and itself, so that no two rows read the same.
create function app_global_setting_audit_field(value text) returns text language sql immutable as $$
  select coalesce(octet_length(value) || ':' || value, '-') || ','
$$;

create function app_global_setting_audit_hash(entry app_global_setting_audit) returns bytea
language sql immutable as $$
  select sha256(entry.prev_hash || convert_to(
    app_global_setting_audit_field(entry.seq::text)
    || app_global_setting_audit_field(entry.id::text)
    || app_global_setting_audit_field(entry.revision::text)
    || app_global_setting_audit_field(entry.key)
    || app_global_setting_audit_field(entry.action)
    || app_global_setting_audit_field(encode(entry.old_value_digest, 'hex'))
    || app_global_setting_audit_field(encode(entry.new_value_digest, 'hex'))
    || app_global_setting_audit_field(entry.version::text)
    || app_global_setting_audit_field(entry.changed_by)
    || app_global_setting_audit_field(entry.reason)
    || app_global_setting_audit_field(entry.request_id)
    || app_global_setting_audit_field(
         to_char(entry.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')),
    'UTF8'))
$$;

-- Numbers, times and chains a row, and says what stood there before; whatever the writer put into those
-- columns is overwritten.
create function app_global_setting_audit_chain() returns trigger language plpgsql as $$
declare
  head app_global_setting_head;
  last record;
  before record;
begin
  if new.action in ('refused', 'secret_cleanup') then
    select * into strict head from app_global_setting_head for update;
    new.revision := null;
  else
    head := app_global_setting_open_revision();
    new.revision := head.revision;
    select new_value_json as value, salt into before from app_global_setting_audit
      where key = new.key and action not in ('refused', 'secret_cleanup') order by seq desc limit 1;
    -- Of a value that was taken out with its salt only the writer can tell.
    if before.salt is not null or not found then
      new.old_value_json := before.value;
    end if;
  end if;
  select seq, hash, changed_at into last from app_global_setting_audit order by seq desc limit 1;
  new.seq := coalesce(last.seq, 0) + 1;
  new.prev_hash := coalesce(last.hash, decode(repeat('00', 32), 'hex'));
  if new.revision is null then
    new.changed_at := greatest(head.changed_at, last.changed_at, clock_timestamp());
  else
    new.changed_at := greatest(head.changed_at, last.changed_at);
  end if;
  new.salt := uuid_send(gen_random_uuid());
  new.old_value_digest := sha256(new.salt || convert_to(new.old_value_json::text, 'UTF8'));
  new.new_value_digest := sha256(new.salt || convert_to(new.new_value_json::text, 'UTF8'));
  new.hash := app_global_setting_audit_hash(new);
  return new;
end $$;
create trigger app_global_setting_audit_chain before insert on app_global_setting_audit
  for each row execute function app_global_setting_audit_chain();

create function app_global_setting_audit_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'the audit trail is append-only: % is refused', lower(tg_op)
    using errcode = 'insufficient_privilege';
end $$;
create trigger app_global_setting_audit_is_append_only
  before update or delete on app_global_setting_audit
  for each row execute function app_global_setting_audit_is_append_only();
create trigger app_global_setting_audit_is_never_truncated
  before truncate on app_global_setting_audit
  for each statement execute function app_global_setting_audit_is_append_only();

-- Gives a row its revision and its time, and lets a version only grow by one.
create function app_global_settings_write() returns trigger language plpgsql as $$
declare
  head app_global_setting_head := app_global_setting_open_revision();
  expected integer;
begin
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
create trigger app_global_settings_write before insert or update or delete on app_global_settings
  for each row execute function app_global_settings_write();

create function app_global_settings_is_never_truncated() returns trigger language plpgsql as $$
begin
  raise exception 'settings are changed key by key, each with its audit row: truncate is refused'
    using errcode = 'insufficient_privilege';
end $$;
create trigger app_global_settings_is_never_truncated before truncate on app_global_settings
  for each statement execute function app_global_settings_is_never_truncated();

-- Deferred to the commit, so that the two rows may be written in either order.
create function app_global_settings_is_audited() returns trigger language plpgsql as $$
declare
  changed text := case tg_op when 'DELETE' then old.key else new.key end;
begin
  if tg_op = 'DELETE' then
    perform from app_global_setting_audit a, app_global_setting_head h
      where a.key = old.key and a.new_value_json is null and a.action <> 'refused'
        and (a.revision = h.revision or a.action = 'secret_cleanup')
        and a.seq > (select coalesce(max(seq), 0) from app_global_setting_audit
                     where key = old.key and version = old.version);
  else
    perform from app_global_setting_audit
      where key = new.key and version = new.version and revision = new.revision
        and new_value_json = new.value_json;
  end if;
  if not found then
    raise exception 'the change of % has no audit row', changed
      using errcode = 'integrity_constraint_violation',
        hint = 'insert (key, action, old_value_json, new_value_json, version, changed_by, reason) '
          'into app_global_setting_audit in the same transaction, or change it through the API';
  end if;
  return null;
end $$;
create constraint trigger app_global_settings_is_audited
  after insert or update or delete on app_global_settings
  deferrable initially deferred
  for each row execute function app_global_settings_is_audited();

-- The other way round: the trail says nothing that did not happen.
create function app_global_setting_audit_is_true() returns trigger language plpgsql as $$
begin
  if new.new_value_json is not null then
    perform from app_global_settings
      where key = new.key and (version > new.version or (version = new.version and value_json = new.new_value_json));
    if not found then
      raise exception 'the audit row of % version % tells of no change', new.key, new.version
        using errcode = 'integrity_constraint_violation';
    end if;
  end if;
  return null;
end $$;
create constraint trigger app_global_setting_audit_is_true
  after insert on app_global_setting_audit
  deferrable initially deferred
  for each row execute function app_global_setting_audit_is_true();

-- One notification for each transaction (Postgres folds equal ones): the payload is the revision only,
-- and only a hint. Nothing else in this database notifies: commits that do queue behind one lock.
create function app_global_settings_notify() returns trigger language plpgsql as $$
begin
  perform pg_notify('brune_settings', revision::text) from app_global_setting_head;
  return null;
end $$;
create trigger app_global_settings_notify after insert or update or delete on app_global_settings
  for each statement execute function app_global_settings_notify();

-- A changed declaration is taken on like a changed value.
create function app_global_setting_schema_changed() returns trigger language plpgsql as $$
begin
  update app_global_setting_head set catalog_revision = catalog_revision + 1;
  perform pg_notify('brune_settings', revision::text) from app_global_setting_head;
  return null;
end $$;
create trigger app_global_setting_schema_changed
  after insert or update or delete or truncate on app_global_setting_schema
  for each statement execute function app_global_setting_schema_changed();
