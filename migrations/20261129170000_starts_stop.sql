-- The stop of all session starts.
--
-- A stop and a resumption are events; a trigger numbers each event (`epoch`) and writes the head. The statement that
-- starts a session reads the head anyway, so a start after an acknowledged stop never begins, on any instance, and no
-- notification is needed. A stop ends by itself, by the clock of the database. Every event is an entry of the audit trail
-- (action `decision`, key `(starts)`). Running sessions continue.
--
-- The service may insert events, and may not write the head: psql under the role of the service can do no more than the
-- route.
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

-- Writes the head. Without a stop in force, a resumption is not stored: two people may resume at once.
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
  new.epoch := head.epoch + 1;
  new.until := new.made_at + new.minutes::float8 * '1 minute'::interval;
  update app_global_setting_head set epoch = new.epoch, stopped_until = new.until,
    stopped_by = case when new.event = 'stopped' then new.made_by end,
    stopped_reason = case when new.event = 'stopped' then new.reason end,
    stopped_at = case when new.event = 'stopped' then new.made_at end;
  perform brune_decision_append('(starts)', jsonb_build_object(
      'event', new.event, 'epoch', new.epoch, 'until', new.until),
    new.made_by, new.reason, new.request_id);
  return new;
end $$;
create trigger brune_starts_event_write before insert on brune_starts_event
  for each row execute function brune_starts_event_write();
create trigger brune_decision_is_permanent before update or delete or truncate on brune_starts_event
  for each statement execute function brune_decision_is_permanent();

-- Functions that run as the owner are for their triggers only.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'brune_starts_event_write()'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;
revoke execute on function brune_starts_event_write() from public;
