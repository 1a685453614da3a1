-- The stop of all session starts, and releases.
--
-- A stop and a resumption are events; a trigger numbers each event (`epoch`) and writes the head. The statement that
-- starts a session reads the head anyway, so a start after an acknowledged stop never begins, on any instance, and no
-- notification is needed. A stop ends by itself, by the clock of the database. Every event is an entry of the audit trail
-- (action `decision`, key `(starts)`). Running sessions continue.
--
-- The service may insert events, and may not write the head: psql under the role of the service can do no more than the
-- route.
--
-- A release is a name of a revision. The values are in the audit trail, so a release stores none; its digest is the hash
-- of the last entry of the revision, which the chain ties to everything before. A release never changes, except that
-- it is archived once.
--
-- Safe while the release before runs, which does not know the stop: instances of that release still start sessions.

alter table app_global_setting_head
  -- Grows with every change of what a start may do that is no revision of the settings.
  add column epoch bigint not null default 0,
  -- The stop in force; over when `stopped_until` has passed.
  add column stopped_by text,
  add column stopped_reason text,
  add column stopped_at timestamptz,
  add column stopped_until timestamptz,
  add constraint app_global_setting_head_stop_is_complete check (
    num_nulls(stopped_by, stopped_reason, stopped_at, stopped_until) in (0, 4));

create table brune_starts_event (
  -- Set by a trigger.
  epoch      bigint primary key,
  event      text not null check (event in ('stopped', 'resumed')),
  -- The length of a stop.
  minutes    integer check (minutes between 1 and 1440),
  reason     text not null check (reason <> ''),
  made_by    text not null,
  -- Set by a trigger, as is the end of a stop.
  made_at    timestamptz not null,
  until      timestamptz,
  request_id text not null default '',
  constraint brune_starts_event_stop_has_an_end check (
    (event = 'stopped') = (minutes is not null) and (event = 'stopped') = (until is not null))
);

-- Numbers the event. Without a stop in force, a resumption is not stored: two people may resume at once.
create function brune_starts_event_write() returns trigger language plpgsql security definer as $$
declare
  head app_global_setting_head;
begin
  select * into strict head from app_global_setting_head for update;
  perform brune_decision_check(new.made_by, new.reason, new.request_id);
  new.made_at := clock_timestamp();
  if new.event = 'resumed' and (head.stopped_until is null or head.stopped_until <= new.made_at) then
    return null;
  end if;
  -- The head has the number of the last event only when the statement ends.
  new.epoch := greatest(head.epoch, (select max(e.epoch) from brune_starts_event e)) + 1;
  new.until := new.made_at + new.minutes::float8 * '1 minute'::interval;
  return new;
end $$;
create trigger brune_starts_event_write before insert on brune_starts_event
  for each row execute function brune_starts_event_write();

-- Writes the head, after the row is stored: an event that is not stored has no effect and makes no entry.
create function brune_starts_event_written() returns trigger language plpgsql security definer as $$
begin
  update app_global_setting_head set epoch = new.epoch, stopped_until = new.until,
    stopped_by = case when new.event = 'stopped' then new.made_by end,
    stopped_reason = case when new.event = 'stopped' then new.reason end,
    stopped_at = case when new.event = 'stopped' then new.made_at end;
  perform brune_decision_append('(starts)', jsonb_build_object(
      'event', new.event, 'epoch', new.epoch, 'until', new.until),
    new.made_by, new.reason, new.request_id);
  return null;
end $$;
create trigger brune_starts_event_written after insert on brune_starts_event
  for each row execute function brune_starts_event_written();
create trigger brune_decision_is_permanent before update or delete or truncate on brune_starts_event
  for each statement execute function brune_decision_is_permanent();

create table brune_release (
  name               text collate "C" primary key check (name ~ '^[a-z0-9][a-z0-9._-]{0,63}$'),
  revision           bigint not null,
  -- The hash of the last entry of the revision; set by a trigger.
  digest             bytea not null,
  note               text not null check (note <> ''),
  made_by            text not null,
  made_at            timestamptz not null,
  archived_by        text,
  archived_at        timestamptz,
  archive_reason     text,
  request_id         text not null default '',
  archive_request_id text not null default '',
  constraint brune_release_archive_is_complete check (num_nulls(archived_by, archived_at, archive_reason) in (0, 3))
);

create function brune_release_write() returns trigger language plpgsql security definer as $$
begin
  perform from app_global_setting_head for update;
  if tg_op = 'INSERT' then
    perform brune_decision_check(new.made_by, new.note, new.request_id);
    select hash into new.digest from app_global_setting_audit
      where revision = new.revision order by seq desc limit 1;
    if not found then
      raise exception 'there is no revision %', new.revision using errcode = 'foreign_key_violation';
    end if;
    new.made_at := clock_timestamp();
    new.archived_by := null;
    new.archived_at := null;
    new.archive_reason := null;
    new.archive_request_id := '';
    return new;
  end if;
  if old.archived_at is not null or new.archived_by is null
    or (new.name, new.revision, new.digest, new.note, new.made_by, new.made_at, new.request_id) is distinct from
      (old.name, old.revision, old.digest, old.note, old.made_by, old.made_at, old.request_id)
  then
    raise exception 'a release can only be archived, and only once' using errcode = 'integrity_constraint_violation';
  end if;
  perform brune_decision_check(new.archived_by, new.archive_reason, new.archive_request_id);
  new.archived_at := clock_timestamp();
  return new;
end $$;
create trigger brune_release_write before insert or update on brune_release
  for each row execute function brune_release_write();

-- After the row is stored: a name that exists makes no entry.
create function brune_release_written() returns trigger language plpgsql security definer as $$
declare
  details jsonb := jsonb_build_object(
    'release', new.name, 'revision', new.revision, 'digest', encode(new.digest, 'hex'));
begin
  if tg_op = 'INSERT' then
    perform brune_decision_append('(release)', details || '{"event": "released"}'::jsonb,
      new.made_by, new.note, new.request_id);
  else
    perform brune_decision_append('(release)', details || '{"event": "archived"}'::jsonb,
      new.archived_by, new.archive_reason, new.archive_request_id);
  end if;
  return null;
end $$;
create trigger brune_release_written after insert or update on brune_release
  for each row execute function brune_release_written();
create trigger brune_decision_is_permanent before delete or truncate on brune_release
  for each statement execute function brune_decision_is_permanent();

-- Functions that run as the owner are for their triggers only.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'brune_release_write()',
    'brune_release_written()',
    'brune_starts_event_write()',
    'brune_starts_event_written()'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;
revoke execute on function brune_release_write(), brune_release_written(), brune_starts_event_write(),
  brune_starts_event_written() from public;
