-- Proposals: a change of a protected setting needs the approval of other people, for every writer, psql included.
--
-- A proposal is a stored change set with a state. Its content is an edition; an edit is a new edition. An approval is
-- given for the digest of one edition, so no approval outlives an edit. The rules below hold in the database, because a
-- rule in each route is forgotten by the next route:
--   1. An edition or a verdict never changes, and no proposal is deleted. The value of a key that became a secret can be
--      removed from an edition; then the proposal is never applied.
--   2. A new edition is the next one, of a proposal that is open or failed.
--   3. A verdict is given for the current edition and its digest. Nobody approves a proposal that they wrote.
--   4. A change of a protected setting commits only with a proposal of exactly this change, with enough approvals and no
--      objection, or with a bypass, which names its author.
--   5. A proposal is applied only in the transaction that gives every setting the proposed value.
--   6. No setting changes in a freeze, except by a bypass.
--   7. Every edition, verdict, end of a proposal and freeze is an entry of the audit trail (action `decision`).
-- The owner of the tables can drop the triggers, as before. Two names of one person are two persons.
--
-- Every trigger takes the lock of the head first, then the row of the proposal: one order, so no deadlock.
--
-- Safe while the release before runs: no setting is protected until a catalog says so, and the release before reads
-- entries with an action that it does not know.

alter table app_global_setting_schema add column approvals smallint not null default 0
  constraint app_global_setting_schema_approvals check (approvals between 0 and 3 and (approvals = 0 or kind = 'setting'));

-- For the verification of history: the revision after which each change of the setting needed an approval, and the
-- revision after which each change needed as many as today. Set by a trigger.
alter table app_global_setting_schema add column protected_since bigint, add column approvals_since bigint;

create function app_global_setting_schema_protects() returns trigger language plpgsql as $$
declare
  before smallint := case when tg_op = 'UPDATE' then old.approvals else 0 end;
  current_revision bigint := (select h.revision from app_global_setting_head h);
begin
  new.protected_since := case
    when new.approvals = 0 then null when before = 0 then current_revision else old.protected_since end;
  new.approvals_since := case
    when new.approvals = 0 then null when new.approvals > before then current_revision else old.approvals_since end;
  return new;
end $$;
create trigger app_global_setting_schema_protects before insert or update on app_global_setting_schema
  for each row execute function app_global_setting_schema_protects();

create index app_global_setting_schema_protected on app_global_setting_schema (key) where approvals > 0;

create table brune_proposal (
  id               uuid primary key default gen_random_uuid(),
  -- The number that people say; set by a trigger.
  number           bigint not null unique,
  state            text not null default 'open' check (state in ('open', 'failed', 'applied', 'withdrawn')),
  -- The current edition; set by the trigger of the editions.
  edition          integer not null default 0,
  created_by       text not null,
  created_at       timestamptz not null,
  -- From when the current edition is applied by itself; set by the trigger of the editions.
  due_at           timestamptz,
  -- Who applied the proposal without its approvals.
  bypassed_by      text,
  -- Whether somebody has acknowledged the bypass; set by the trigger of the verdicts.
  is_acknowledged  boolean not null default false,
  applied_revision bigint unique,
  -- Who ended the proposal (also: the schedule), why, when, and in which request.
  ended_by         text,
  end_reason       text,
  ended_at         timestamptz,
  end_request_id   text not null default '',
  -- Of a failed proposal: the cause as a code.
  failure          text check (failure in ('stale', 'invalid', 'missed', 'not_approved', 'predecessor')),
  constraint brune_proposal_bypass_is_applied check (bypassed_by is null or state = 'applied'),
  constraint brune_proposal_acknowledged_is_bypass check (bypassed_by is not null or not is_acknowledged),
  constraint brune_proposal_has_a_revision check ((state = 'applied') = (applied_revision is not null)),
  constraint brune_proposal_has_a_failure check ((state = 'failed') = (failure is not null)),
  constraint brune_proposal_has_an_end check (
    (state = 'open') = (ended_at is null) and (state = 'open') = (ended_by is null)
    and (state = 'open') = (end_reason is null))
);
create index brune_proposal_by_state on brune_proposal (state, number);
create index brune_proposal_by_author on brune_proposal (created_by, number);
create index brune_proposal_due on brune_proposal (due_at, number) where state = 'open' and due_at is not null;
-- Lists, reminders and counts of emergencies read only those that wait, and not every emergency ever made.
create index brune_proposal_unacknowledged on brune_proposal (number) where bypassed_by is not null and not is_acknowledged;

create table brune_proposal_edition (
  proposal   uuid not null references brune_proposal,
  edition    integer not null,
  written_by text not null,
  reason     text not null,
  -- By key: `{"value": …, "version": …}`, where the version is the one expected before the change, or null. A cleanup
  -- of secrets replaces the value by `"redacted": true`.
  edits      jsonb not null,
  -- `at`, `grace_minutes`, `after`, `rollout`; each may be absent.
  plan       jsonb not null default '{}',
  -- Random; set by a trigger. Removed with the value of a secret, so that nobody can guess the value by the digest.
  salt       bytea,
  -- SHA-256 of salt, edits, plan and reason; set by a trigger.
  digest     bytea not null,
  written_at timestamptz not null,
  request_id text not null default '',
  primary key (proposal, edition)
);
-- Entries waiting in a list would make every search read the list.
create index brune_proposal_edition_by_key on brune_proposal_edition using gin (edits jsonb_ops) with (fastupdate = off);
alter table brune_proposal add constraint brune_proposal_has_its_edition
  foreign key (id, edition) references brune_proposal_edition (proposal, edition) deferrable initially deferred;

create table brune_proposal_verdict (
  proposal   uuid not null,
  edition    integer not null,
  -- Set by a trigger, from 1 for each edition.
  seq        integer not null,
  given_by   text not null,
  verdict    text not null check (verdict in ('approve', 'object', 'acknowledge')),
  digest     bytea not null,
  note       text not null default '',
  given_at   timestamptz not null,
  request_id text not null default '',
  primary key (proposal, edition, seq),
  foreign key (proposal, edition) references brune_proposal_edition
);

-- When the last alert of an emergency was stored, so that one instance sends the next.
create table brune_proposal_reminder (
  proposal uuid primary key references brune_proposal,
  -- Without a bound, an infinite time would end the alerts.
  sent_at  timestamptz not null check (isfinite(sent_at))
);

-- What the release of an instance can read, so that no newer kind of entry is written while an older instance would
-- fail to read the history: 0 before this column, 1 with the action `decision` (src/fleet/level.rs).
alter table brune_instance add column feature_level smallint not null default 0;

create table brune_freeze (
  id             uuid primary key default gen_random_uuid(),
  starts_at      timestamptz not null,
  ends_at        timestamptz not null,
  reason         text not null,
  set_by         text not null,
  set_at         timestamptz not null,
  ended_by       text,
  ended_at       timestamptz,
  end_reason     text,
  request_id     text not null default '',
  end_request_id text not null default '',
  check (ends_at > starts_at),
  -- Infinite times, and times beyond the year 9999, could not be read.
  constraint brune_freeze_is_readable check (
    starts_at >= '1970-01-01 00:00:00Z' and ends_at < '10000-01-01 00:00:00Z'),
  constraint brune_freeze_is_short check (ends_at <= starts_at + interval '2208 hours'),
  constraint brune_freeze_end_is_complete check (num_nulls(ended_by, ended_at, end_reason) in (0, 3))
);
create index brune_freeze_not_ended on brune_freeze (ends_at) where ended_at is null;

-- The form in which persons are compared: `Ada`, ` ada ` and full-width letters are one person. The collation knows the
-- lower case of all letters; without ICU the collation of the database does what it can.
do $$
declare
  folding text := case when exists (select from pg_collation where collname = 'und-x-icu')
    then 'collate pg_catalog."und-x-icu"' else '' end;
begin
  execute format($body$
    create function brune_person(name text) returns text language sql immutable strict as $function$
      select pg_catalog.btrim(pg_catalog.lower(pg_catalog.normalize(name, 'NFKC'::text) %s)::text, E' \t'::text)
    $function$ $body$, folding);
end $$;

-- Requires a name, a reason or note, and a request id that a reader sees as they are.
create function brune_decision_check(person text, explanation text, request_id text) returns void
language plpgsql immutable as $$
declare
  -- Control characters, and characters that turn the direction of text or hide a line end.
  deceiving constant text := '[\u0001-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]';
begin
  if brune_person(person) = '' or person ~ deceiving or octet_length(person) > 256
    or explanation ~ deceiving or length(explanation) > 500
    or request_id !~ '^[A-Za-z0-9._-]*$' or octet_length(request_id) > 128
  then
    raise exception 'a name, a reason or a request id of a decision cannot be shown as it is'
      using errcode = 'integrity_constraint_violation',
        hint = 'a name has at most 256 bytes, a reason at most 500 characters, both without control characters';
  end if;
end $$;

-- Appends a decision to the audit trail. Only the triggers below call this.
create function brune_decision_append(
  subject text, details jsonb, person text, explanation text, request_id text
) returns void language sql as $$
  insert into app_global_setting_audit (key, action, new_value_json, changed_by, reason, request_id)
  values (subject, 'decision', details, person, coalesce(nullif(explanation, ''), '(none)'), request_id)
$$;

-- The number of approvals and of objections of an edition: the newest verdict of each person counts.
create function brune_proposal_standing(of_proposal uuid, of_edition integer, out approvals bigint, out objections bigint)
language sql stable as $$
  select count(*) filter (where verdict = 'approve'), count(*) filter (where verdict = 'object')
  from (
    select distinct on (brune_person(given_by)) verdict from brune_proposal_verdict
    where proposal = of_proposal and edition = of_edition and verdict <> 'acknowledge'
    order by brune_person(given_by), seq desc) newest
$$;

-- Numbers a proposal, and permits only the steps of its states.
create function brune_proposal_write() returns trigger language plpgsql security definer as $$
declare
  head app_global_setting_head;
begin
  select * into strict head from app_global_setting_head for update;
  if tg_op = 'INSERT' then
    perform brune_decision_check(new.created_by, '', '');
    new.number := coalesce((select max(p.number) from brune_proposal p), 0) + 1;
    new.created_at := clock_timestamp();
    if new.state <> 'open' or new.edition <> 0 or new.due_at is not null or new.is_acknowledged then
      raise exception 'a proposal begins open and without an edition'
        using errcode = 'integrity_constraint_violation';
    end if;
    return new;
  end if;
  -- A rollout has a trigger of its own.
  if 'rolling' in (old.state, new.state) then
    return new;
  end if;
  if (new.id, new.number, new.created_by, new.created_at) is distinct from
    (old.id, old.number, old.created_by, old.created_at)
  then
    raise exception 'proposal % keeps its id, number and author', old.number
      using errcode = 'integrity_constraint_violation';
  end if;
  -- The trigger of the editions opens the proposal again; its role owns the table and is not restricted by privileges.
  if new.edition = old.edition + 1 and old.state in ('open', 'failed') and new.state = 'open' then
    return new;
  end if;
  -- The trigger of the verdicts records that an emergency is acknowledged.
  if new.is_acknowledged and not old.is_acknowledged and new.state = old.state and exists (
    select from brune_proposal_verdict where proposal = new.id and edition = new.edition and verdict = 'acknowledge')
  then
    old.is_acknowledged := true;
    if new is distinct from old then
      raise exception 'an acknowledgement changes nothing else of proposal %', old.number
        using errcode = 'integrity_constraint_violation';
    end if;
    return new;
  end if;
  if (new.edition, new.due_at, new.is_acknowledged) is distinct from (old.edition, old.due_at, old.is_acknowledged)
    or not (old.state = 'open' and new.state in ('applied', 'failed', 'withdrawn')
      or old.state = 'failed' and new.state = 'withdrawn')
  then
    raise exception 'proposal % cannot become % from %', old.number, new.state, old.state
      using errcode = 'integrity_constraint_violation';
  end if;
  perform brune_decision_check(new.ended_by, new.end_reason, new.end_request_id);
  new.ended_at := clock_timestamp();
  if new.state = 'applied' then
    if new.bypassed_by is not null and brune_person(new.bypassed_by) <> brune_person(new.ended_by) then
      raise exception 'the bypass of proposal % names somebody else than its end', old.number
        using errcode = 'integrity_constraint_violation';
    end if;
    if new.bypassed_by is null
      and (select standing.objections > 0 from brune_proposal_standing(new.id, new.edition) standing)
    then
      raise exception 'somebody objects to proposal %', old.number using errcode = 'integrity_constraint_violation';
    end if;
    if new.applied_revision is distinct from head.revision
      or head.opened_xid is distinct from pg_current_xact_id() or head.opened_at <> transaction_timestamp()
    then
      raise exception 'proposal % is applied by the transaction of its revision, and revision % is not of this one',
          old.number, new.applied_revision
        using errcode = 'integrity_constraint_violation';
    end if;
  end if;
  return new;
end $$;
-- The server locks an updated row before its row triggers run, and the steps of a proposal lock the head before the row.
create function brune_proposal_lock() returns trigger language plpgsql security definer as $$
begin
  perform from app_global_setting_head for update;
  return null;
end $$;
create trigger brune_proposal_lock before update on brune_proposal
  for each statement execute function brune_proposal_lock();

create trigger brune_proposal_write before insert or update on brune_proposal
  for each row execute function brune_proposal_write();

-- Records the end of a proposal in the audit trail.
create function brune_proposal_ended() returns trigger language plpgsql security definer as $$
declare
  content brune_proposal_edition;
  standing record;
begin
  if new.state = old.state then
    return null;
  end if;
  if new.state = 'open' then
    return null;
  end if;
  select * into strict content from brune_proposal_edition where proposal = new.id and edition = new.edition;
  select * into strict standing from brune_proposal_standing(new.id, new.edition);
  perform brune_decision_append('(proposal)', jsonb_strip_nulls(jsonb_build_object(
      'proposal', new.number, 'edition', new.edition,
      'event', case when new.bypassed_by is not null then 'bypassed' else new.state end,
      'digest', encode(content.digest, 'hex'), 'revision', new.applied_revision, 'failure', new.failure,
      'approvals', standing.approvals, 'objections', standing.objections)),
    new.ended_by, new.end_reason, new.end_request_id);
  return null;
end $$;
create trigger brune_proposal_ended after update of state on brune_proposal
  for each row execute function brune_proposal_ended();

-- Requires the effect of an applied proposal, at the commit: every setting has the proposed value, of its revision.
create function brune_proposal_is_applied() returns trigger language plpgsql security definer as $$
declare
  missing text;
begin
  if new.state <> 'applied' then
    return null;
  end if;
  select min(edit.key) into missing
  from brune_proposal_edition e, jsonb_each(e.edits) edit
  where e.proposal = new.id and e.edition = new.edition and not exists (
    select from app_global_settings s where s.key = edit.key and s.value_json = edit.value -> 'value');
  if missing is not null then
    raise exception 'proposal % is not applied: % does not have the proposed value', new.number, missing
      using errcode = 'integrity_constraint_violation', hint = 'use POST /admin/proposals/{number}/apply';
  end if;
  return null;
end $$;
create constraint trigger brune_proposal_is_applied after update of state on brune_proposal
  deferrable initially deferred
  for each row execute function brune_proposal_is_applied();

-- Makes an edition the current one of its proposal. Approvals of the edition before no longer count.
create function brune_proposal_edition_write() returns trigger language plpgsql security definer as $$
declare
  subject brune_proposal;
begin
  perform from app_global_setting_head for update;
  select * into subject from brune_proposal where id = new.proposal for update;
  if not found then
    raise exception 'an edition of no proposal' using errcode = 'foreign_key_violation';
  end if;
  perform brune_decision_check(new.written_by, new.reason, new.request_id);
  if new.edition <> subject.edition + 1 or subject.state not in ('open', 'failed') then
    raise exception 'proposal % is % at edition %: edition % cannot follow',
        subject.number, subject.state, subject.edition, new.edition
      using errcode = 'integrity_constraint_violation';
  end if;
  if new.edition = 1 and brune_person(new.written_by) <> brune_person(subject.created_by) then
    raise exception 'the first edition of proposal % is written by its author', subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
  if jsonb_typeof(new.edits) <> 'object' or new.edits = '{}' or length(btrim(new.reason)) < 3
    or exists (
      select from jsonb_each(new.edits) edit
      where jsonb_typeof(edit.value) <> 'object' or not edit.value ? 'value'
        or edit.value - array['value', 'version'] <> '{}'
        or coalesce(edit.value ->> 'version', '0') !~ '^\d{1,18}$'
        or coalesce(jsonb_typeof(edit.value -> 'version'), 'null') not in ('null', 'number')
        or not exists (select from app_global_setting_schema d where d.key = edit.key and d.kind = 'setting'))
  then
    raise exception 'the edits of proposal % are not by setting, each with its value and the expected version',
        subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
  -- The rule of `app_global_settings`: a value that the service cannot read would never be applied, nor fail.
  if exists (
    select from jsonb_each(new.edits) edit
    join app_global_setting_schema d on d.key = edit.key,
    lateral (select edit.value -> 'value' as proposed) content
    where not coalesce(case d.value_type
      when 'string' then jsonb_typeof(proposed) = 'string'
      when 'number' then case when jsonb_typeof(proposed) = 'number'
        then abs(proposed::text::numeric) < 1e300 else false end
      when 'boolean' then jsonb_typeof(proposed) = 'boolean'
      when 'string_array' then jsonb_typeof(proposed) = 'array'
        and not jsonb_path_exists(proposed, 'strict $[*] ? (@.type() != "string")')
      end, false))
  then
    raise exception 'a value of proposal % is not of the declared type', subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
  -- A trigger of its own checks the part `rollout`.
  if jsonb_typeof(new.plan) <> 'object' or new.plan - array['at', 'grace_minutes', 'after', 'rollout'] <> '{}'
    -- Whole numbers only: a plan that the service cannot read would never be applied, nor fail.
    or jsonb_path_exists(new.plan - 'rollout'::text, '$.* ? (@.type() != "number" && @.type() != "string")')
    or jsonb_typeof(new.plan -> 'at') <> 'string'
    or new.plan ->> 'after' !~ '^\d{1,18}$' or jsonb_typeof(new.plan -> 'after') <> 'number'
    or (new.plan ->> 'after')::numeric >= subject.number
    or new.plan ->> 'grace_minutes' !~ '^\d{1,5}$' or jsonb_typeof(new.plan -> 'grace_minutes') <> 'number'
    -- Without an offset, the time would depend on the settings of the session.
    or new.plan ->> 'at' !~ '^\d{4}-\d\d-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$'
  then
    raise exception 'the plan of proposal % has unknown parts, or follows a proposal that does not precede it',
        subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
  new.written_at := clock_timestamp();
  new.salt := uuid_send(gen_random_uuid());
  new.digest := sha256(new.salt || convert_to(
    octet_length(new.edits::text) || ':' || new.edits::text || ','
    || octet_length(new.plan::text) || ':' || new.plan::text || ','
    || octet_length(new.reason) || ':' || new.reason || ',', 'UTF8'));
  return new;
end $$;
create trigger brune_proposal_edition_write before insert on brune_proposal_edition
  for each row execute function brune_proposal_edition_write();

create function brune_proposal_edition_written() returns trigger language plpgsql security definer as $$
declare
  subject brune_proposal;
begin
  update brune_proposal set edition = new.edition, state = 'open', due_at = (new.plan ->> 'at')::timestamptz,
      failure = null, ended_by = null, end_reason = null, ended_at = null, end_request_id = ''
    where id = new.proposal returning * into strict subject;
  perform brune_decision_append('(proposal)', jsonb_build_object(
      'proposal', subject.number, 'edition', new.edition, 'event', 'written', 'digest', encode(new.digest, 'hex')),
    new.written_by, new.reason, new.request_id);
  return null;
end $$;
create trigger brune_proposal_edition_written after insert on brune_proposal_edition
  for each row execute function brune_proposal_edition_written();

-- Accepts a verdict on the current edition. Whoever wrote an edition or applied the proposal past its approvals can
-- object, and cannot approve or acknowledge.
create function brune_proposal_verdict_write() returns trigger language plpgsql security definer as $$
declare
  subject brune_proposal;
begin
  perform from app_global_setting_head for update;
  select * into subject from brune_proposal where id = new.proposal for update;
  if not found then
    raise exception 'a verdict on no proposal' using errcode = 'foreign_key_violation';
  end if;
  perform brune_decision_check(new.given_by, new.note, new.request_id);
  if new.edition <> subject.edition or not exists (
    select from brune_proposal_edition where proposal = new.proposal and edition = new.edition and digest = new.digest)
  then
    raise exception 'the current edition of proposal % is %, with another content', subject.number, subject.edition
      using errcode = 'integrity_constraint_violation', hint = 'read the current edition before the verdict';
  end if;
  if new.verdict = 'acknowledge' and subject.bypassed_by is null
    -- A verdict counts also while the proposal rolls out: the next stage and the promotion need the approvals of then.
    or new.verdict <> 'acknowledge' and subject.state not in ('open', 'rolling')
  then
    raise exception 'proposal % is %, and takes no verdict `%`', subject.number, subject.state, new.verdict
      using errcode = 'integrity_constraint_violation';
  end if;
  if brune_person(new.given_by) like 'brune:%' or new.verdict <> 'object' and (
    brune_person(new.given_by) in (
      brune_person(subject.created_by), brune_person(coalesce(subject.bypassed_by, subject.created_by)))
    or exists (
      select from brune_proposal_edition
      where proposal = new.proposal and brune_person(written_by) = brune_person(new.given_by)))
  then
    raise exception '% cannot % proposal %: somebody else has to', new.given_by, new.verdict, subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
  new.seq := coalesce((
    select max(seq) from brune_proposal_verdict where proposal = new.proposal and edition = new.edition), 0) + 1;
  new.given_at := clock_timestamp();
  return new;
end $$;
create trigger brune_proposal_verdict_write before insert on brune_proposal_verdict
  for each row execute function brune_proposal_verdict_write();

create function brune_proposal_verdict_written() returns trigger language plpgsql security definer as $$
begin
  perform brune_decision_append('(proposal)', jsonb_build_object(
      'proposal', (select number from brune_proposal where id = new.proposal), 'edition', new.edition,
      'event', new.verdict, 'digest', encode(new.digest, 'hex')),
    new.given_by, new.note, new.request_id);
  if new.verdict = 'acknowledge' then
    update brune_proposal set is_acknowledged = true where id = new.proposal and not is_acknowledged;
  end if;
  return null;
end $$;
create trigger brune_proposal_verdict_written after insert on brune_proposal_verdict
  for each row execute function brune_proposal_verdict_written();

create function brune_decision_is_permanent() returns trigger language plpgsql as $$
begin
  raise exception '% of % is refused: decisions are permanent', lower(tg_op), tg_table_name
    using errcode = 'insufficient_privilege';
end $$;
create trigger brune_decision_is_permanent before delete or truncate on brune_proposal
  for each statement execute function brune_decision_is_permanent();
create trigger brune_decision_is_permanent before delete or truncate on brune_proposal_edition
  for each statement execute function brune_decision_is_permanent();
create trigger brune_decision_is_permanent before update or delete or truncate on brune_proposal_verdict
  for each statement execute function brune_decision_is_permanent();
create trigger brune_decision_is_permanent before delete or truncate on brune_freeze
  for each statement execute function brune_decision_is_permanent();

-- The edits without the values of `names`.
create function brune_edits_redacted(edits jsonb, names text[]) returns jsonb language sql immutable as $$
  select jsonb_object_agg(edit.key, case when edit.key = any(names) and edit.value ? 'value'
    then edit.value - 'value'::text || '{"redacted": true}'::jsonb else edit.value end)
  from jsonb_each(edits) edit
$$;

-- The one change of an edition: the transaction that records the cleanup of a secret removes its value. The digest stays,
-- and so do the approvals, which are of no use: without a value, the change is never applied.
create function brune_proposal_edition_redact() returns trigger language plpgsql as $$
declare
  redacted brune_proposal_edition := old;
begin
  redacted.salt := null;
  redacted.edits := brune_edits_redacted(old.edits, array(
    select d.key from app_global_setting_schema d
    where d.kind = 'secret' and old.edits ? d.key and exists (
      select from app_global_setting_audit a
      where a.key = d.key and a.action = 'secret_cleanup' and a.xmin = pg_current_xact_id()::xid)));
  if new is distinct from redacted or redacted.edits = old.edits then
    raise exception 'update of brune_proposal_edition is refused: decisions are permanent'
      using errcode = 'insufficient_privilege', hint = 'to remove a secret, use POST /admin/secrets/cleanup';
  end if;
  return new;
end $$;
create trigger brune_proposal_edition_redact before update on brune_proposal_edition
  for each row execute function brune_proposal_edition_redact();

-- A message or the stored response of a request without the values of `names`. Both list changes of settings as
-- `changed` or `changes`.
create function brune_changes_redacted(content jsonb, names text[]) returns jsonb language sql immutable as $$
  select case when jsonb_typeof(content) = 'object' and content ?| '{changed,changes}'::text[] then content || (
    select coalesce(jsonb_object_agg(list.key, (
      select coalesce(jsonb_agg(case when change.value ->> 'key' = any(names) then change.value || (
          select coalesce(jsonb_object_agg(member.key, '"(withheld: a secret)"'::jsonb), '{}'::jsonb)
          from jsonb_each(change.value) member
          where member.key in ('value', 'old_value', 'new_value') and member.value <> 'null'::jsonb)
        else change.value end order by change.ordinality), '[]'::jsonb)
      from jsonb_array_elements(list.value) with ordinality change)), '{}'::jsonb)
    from jsonb_each(content) list
    where list.key in ('changed', 'changes') and jsonb_typeof(list.value) = 'array')
  else content end
$$;

-- The keys of `names` whose values are in a proposal, in a message, or in the stored response of a request.
create function brune_values_outside_trail(names text[]) returns setof text language sql stable as $$
  select name from unnest(names) name
  where exists (select from brune_proposal_edition e where e.edits ? name and (e.edits -> name) ? 'value')
  union
  -- One pass over the messages and responses, whatever the number of names.
  select change ->> 'key' from (
    select jsonb_path_query(o.payload, '$.changed[*]'::jsonpath) as change from brune_outbox o
    union all
    select jsonb_path_query(o.payload, '$.changes[*]'::jsonpath) from brune_outbox o
    union all
    select jsonb_path_query(k.body::jsonb, '$.changed[*]'::jsonpath) from app_idempotency_key k
    where k.body like '{%"changed":%') changes
  where change ->> 'key' = any(names)
    and brune_changes_redacted(jsonb_build_object('changes', jsonb_build_array(change)), names)
      <> jsonb_build_object('changes', jsonb_build_array(change))
$$;

-- A freeze ends early at most once, and nothing else of it changes.
create function brune_freeze_write() returns trigger language plpgsql security definer as $$
begin
  perform from app_global_setting_head for update;
  if tg_op = 'INSERT' then
    perform brune_decision_check(new.set_by, new.reason, new.request_id);
    new.set_at := clock_timestamp();
    new.ended_by := null;
    new.ended_at := null;
    new.end_reason := null;
    new.end_request_id := '';
    return new;
  end if;
  if old.ended_at is not null or new.ended_by is null
    or (new.id, new.starts_at, new.ends_at, new.reason, new.set_by, new.set_at, new.request_id) is distinct from
      (old.id, old.starts_at, old.ends_at, old.reason, old.set_by, old.set_at, old.request_id)
  then
    raise exception 'a freeze can only be ended, and only once' using errcode = 'integrity_constraint_violation';
  end if;
  perform brune_decision_check(new.ended_by, new.end_reason, new.end_request_id);
  if length(btrim(new.end_reason)) < 3 then
    raise exception 'the end of a freeze has a reason of 3 characters' using errcode = 'integrity_constraint_violation';
  end if;
  new.ended_at := clock_timestamp();
  return new;
end $$;
create trigger brune_freeze_write before insert or update on brune_freeze
  for each row execute function brune_freeze_write();

-- After the row is stored: an id that exists makes no entry.
create function brune_freeze_written() returns trigger language plpgsql security definer as $$
begin
  if tg_op = 'INSERT' then
    perform brune_decision_append('(freeze)', jsonb_build_object(
        'freeze', new.id, 'event', 'frozen', 'starts_at', new.starts_at, 'ends_at', new.ends_at),
      new.set_by, new.reason, new.request_id);
  else
    perform brune_decision_append('(freeze)', jsonb_build_object('freeze', new.id, 'event', 'freeze_ended'),
      new.ended_by, new.end_reason, new.end_request_id);
  end if;
  return null;
end $$;
create trigger brune_freeze_written after insert or update on brune_freeze
  for each row execute function brune_freeze_written();

-- Requires, at the commit of a revision, the proposal of each protected change, and a bypass in a freeze. Closes the
-- revision, so that a later statement of the transaction (after `set constraints … immediate`) opens the next one and is
-- checked again. The first value of a setting is free, also after a deletion or the cleanup of a secret: the catalog gives
-- it.
create function app_global_setting_head_is_approved() returns trigger language plpgsql security definer as $$
declare
  subject brune_proposal;
  content brune_proposal_edition;
  standing record;
  frozen brune_freeze;
  entry record;
begin
  select * into frozen from brune_freeze
    where ended_at is null and ends_at > clock_timestamp() and starts_at <= clock_timestamp()
    order by ends_at desc limit 1;
  if frozen.id is null and not exists (select from app_global_setting_schema where approvals > 0) then
    return null;
  end if;
  update app_global_setting_head set opened_xid = null where singleton;
  select * into subject from brune_proposal where applied_revision = new.revision;
  if frozen.id is not null and subject.bypassed_by is null and exists (
    select from app_global_setting_audit a
    where a.revision = new.revision and a.version is distinct from 1 and (
        select earlier.version is not null from app_global_setting_audit earlier
        where earlier.key = a.key and earlier.seq < a.seq and earlier.action <> 'refused'
        order by earlier.seq desc limit 1))
  then
    raise exception 'settings are frozen until %', frozen.ends_at
      using errcode = 'integrity_constraint_violation', constraint = 'brune_freeze',
        hint = 'wait, end the freeze, or write with `emergency`';
  end if;
  select * into content from brune_proposal_edition where proposal = subject.id and edition = subject.edition;
  select * into strict standing from brune_proposal_standing(subject.id, subject.edition);
  for entry in
    select a.key, a.version, a.new_value_json as value, d.approvals as needed
    from app_global_setting_audit a join app_global_setting_schema d on d.key = a.key and d.approvals > 0
    where a.revision = new.revision and a.version is distinct from 1 and (
        select earlier.version is not null from app_global_setting_audit earlier
        where earlier.key = a.key and earlier.seq < a.seq and earlier.action <> 'refused'
        order by earlier.seq desc limit 1)
  loop
    if entry.value is null or content.edits -> entry.key -> 'value' is distinct from entry.value
      or subject.bypassed_by is null and (standing.approvals < entry.needed or standing.objections > 0)
      -- The proposal was written for the version before this one, or for what its predecessor wrote.
      or entry.version - 1 is distinct from coalesce((
          select a.version from brune_proposal p join app_global_setting_audit a on a.revision = p.applied_revision
          where p.number = (content.plan ->> 'after')::bigint and a.key = entry.key
          order by a.seq desc limit 1), (content.edits -> entry.key ->> 'version')::integer)
    then
      raise exception 'the change of % needs % approvals of a proposal with exactly this value', entry.key, entry.needed
        using errcode = 'integrity_constraint_violation', constraint = 'brune_proposal_approvals',
          hint = 'use POST /admin/proposals, or write with `emergency`';
    end if;
  end loop;
  return null;
end $$;
create constraint trigger app_global_setting_head_is_approved
  after update of revision on app_global_setting_head
  deferrable initially deferred
  for each row execute function app_global_setting_head_is_approved();

-- The trail accepts decisions, from the triggers above only, so that no decision is told that was not made. They run as
-- the owner of the tables.
alter table app_global_setting_audit
  drop constraint app_global_setting_audit_action_check,
  drop constraint app_global_setting_audit_refused_has_no_values,
  drop constraint app_global_setting_audit_change_has_its_version,
  add constraint app_global_setting_audit_action_check check (action in
    ('seed', 'import', 'update', 'reset', 'rollback', 'refused', 'secret_cleanup', 'decision')) not valid,
  add constraint app_global_setting_audit_refused_has_no_values check (
    action not in ('refused', 'secret_cleanup')
    or (old_value_json is null and new_value_json is null and version is null and revision is null)) not valid,
  add constraint app_global_setting_audit_change_has_its_version check (
    action in ('refused', 'secret_cleanup', 'decision') or new_value_json is null or version is not null) not valid,
  add constraint app_global_setting_audit_decision_is_no_change check (
    action <> 'decision' or (revision is null and version is null and key in ('(proposal)', '(freeze)', '(starts)', '(release)'))) not valid;

create function app_global_setting_audit_as_owner() returns trigger language plpgsql as $$
begin
  if current_user <> (select relowner::regrole::name from pg_class where oid = tg_relid) then
    raise exception 'a decision is recorded by the triggers of its table'
      using errcode = 'insufficient_privilege', hint = 'insert into the table of the decision, such as brune_proposal_edition or brune_freeze';
  end if;
  return new;
end $$;
-- Its name comes before that of the chain: triggers run in the order of their names.
create trigger app_global_setting_audit_as_owner before insert on app_global_setting_audit
  for each row when (new.action = 'decision') execute function app_global_setting_audit_as_owner();

-- A decision is true by the trigger that recorded it.
drop trigger app_global_setting_audit_is_true on app_global_setting_audit;
create constraint trigger app_global_setting_audit_is_true
  after insert on app_global_setting_audit
  deferrable initially deferred
  for each row when (new.action <> 'decision') execute function app_global_setting_audit_is_true();

-- Functions that run as the owner are for their triggers only.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'app_global_setting_audit_as_owner()',
    'app_global_setting_head_is_approved()',
    'app_global_setting_schema_protects()',
    'brune_decision_append(text, jsonb, text, text, text)',
    'brune_decision_check(text, text, text)',
    'brune_decision_is_permanent()',
    'brune_changes_redacted(jsonb, text[])',
    'brune_edits_redacted(jsonb, text[])',
    'brune_freeze_write()',
    'brune_freeze_written()',
    'brune_person(text)',
    'brune_proposal_edition_redact()',
    'brune_proposal_edition_write()',
    'brune_proposal_edition_written()',
    'brune_proposal_ended()',
    'brune_proposal_is_applied()',
    'brune_proposal_lock()',
    'brune_proposal_standing(uuid, integer)',
    'brune_proposal_verdict_write()',
    'brune_proposal_verdict_written()',
    'brune_proposal_write()',
    'brune_values_outside_trail(text[])'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;
do $$
declare
  signature text;
begin
  -- As for the other functions of a change: their plans use indexes, whatever the statistics say.
  foreach signature in array array['app_global_setting_head_is_approved()'] loop
    execute format('alter function %s set enable_seqscan = off', signature::regprocedure);
    execute format('alter function %s set enable_bitmapscan = off', signature::regprocedure);
    execute format('alter function %s set jit = off', signature::regprocedure);
  end loop;
end $$;
revoke execute on function app_global_setting_head_is_approved(), brune_freeze_write(), brune_freeze_written(), brune_proposal_edition_write(),
  brune_proposal_edition_written(), brune_proposal_ended(), brune_proposal_is_applied(), brune_proposal_lock(), brune_proposal_verdict_write(),
  brune_proposal_verdict_written(), brune_proposal_write() from public;
