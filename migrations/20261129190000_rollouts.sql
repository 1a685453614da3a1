-- Guarded rollouts: a proposal first takes effect for a share of the users, the candidates, and is promoted to everybody
-- or reverted.
--
-- The state of a rollout is in the row of its proposal. The arm of a user follows from the salt of the rollout and the
-- user's id, so nothing is stored for users who never start a session. Triggers enforce for every writer, also for psql:
--   1. A rollout begins with enough approvals, outside of a freeze, at its first stage. One rollout runs at a time.
--   2. The share grows, stage by stage, to the share of the plan; the salt never changes, so no candidate becomes control.
--   3. While a proposal rolls, no other revision changes its settings.
--   4. A session records its arm, which follows from salt, user and share, and keeps the arm for ever.
--   5. Triggers record the failures of users, also of sessions that end by SQL; a user counts once for each guard.
--   6. Every step is an entry of the audit trail (action `decision`), and every step that changes what a start may do
--      raises the epoch of the head, which the insert of a session compares. A start after an acknowledged step never
--      has the settings from before the step, on any instance.
--
-- Safe while the release before runs: the service begins no rollout until every instance knows rollouts
-- (`feature_level` 2), and the new columns of a session are null outside of a rollout.

alter table brune_proposal
  drop constraint brune_proposal_state_check,
  drop constraint brune_proposal_has_an_end,
  -- 16 random bytes.
  add column salt            bytea,
  -- The number of the stage, from 1, and the share of the stage in basis points; kept when the rollout ends.
  add column stage           smallint,
  add column share_bp        integer check (share_bp between 1 and 10000),
  add column rolling_since   timestamptz,
  add column stage_since     timestamptz,
  -- Users and minutes of the stage count from the last resumption.
  add column resumed_at      timestamptz,
  -- Why the share stays until a person decides; null unless held.
  add column held_reason     text check (held_reason in ('person', 'inconclusive', 'max_hours', 'assignment_off',
    'completed', 'unreadable', 'invalid', 'restored', 'not_approved')),
  add column held_since      timestamptz,
  add column revert_cause    text check (revert_cause in ('guard', 'person', 'emergency', 'invalid')),
  -- The last begin, stage, hold or resumption: who, why, and in which request.
  add column step_by         text,
  add column step_reason     text,
  add column step_request_id text not null default '',
  -- The counts and the evidence of the last step that the rule took.
  add column evidence        jsonb,
  -- The database in which the rollout began or was resumed.
  add column origin          text,
  add constraint brune_proposal_state_check check (
    state in ('open', 'failed', 'rolling', 'applied', 'reverted', 'withdrawn')),
  add constraint brune_proposal_has_an_end check (
    (state in ('open', 'rolling')) = (ended_at is null) and (ended_at is null) = (ended_by is null)
    and (ended_at is null) = (end_reason is null)),
  add constraint brune_proposal_rollout_is_complete check (
    num_nulls(salt, stage, share_bp, rolling_since, stage_since, step_by, step_reason, origin)
      in (0, case when state in ('rolling', 'reverted') then 0 else 8 end)),
  add constraint brune_proposal_hold_is_complete check ((held_reason is null) = (held_since is null)),
  add constraint brune_proposal_revert_has_a_cause check ((state = 'reverted') = (revert_cause is not null));
create unique index brune_proposal_one_rolling on brune_proposal ((true)) where state = 'rolling';

-- Names the database: the cluster, the timeline and the database in the cluster. A restored dump has another name, as has
-- a database after a failover, which may have lost sessions. A plain copy of the data directory keeps the name.
create function brune_rollout_origin() returns text language sql stable as $$
  select system_identifier || '/' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) || '/' || oid
  from pg_control_system(), pg_database where datname = current_database()
$$;

-- The bucket of a user, 0 to 9,999: a candidate if less than the share in basis points.
create function brune_rollout_bucket(salt bytea, user_id text) returns integer language sql immutable as $$
  select ((get_byte(digest, 0)::bigint * 16777216 + get_byte(digest, 1) * 65536 + get_byte(digest, 2) * 256
    + get_byte(digest, 3)) % 10000)::integer
  from (select sha256(salt || convert_to(user_id, 'UTF8')) as digest) hash
$$;

-- Whether `plan` has the members of `rollouts::Plan` (src/rollouts/plan.rs), each within its bounds: a plan that the
-- service cannot read would never take effect, nor fail.
create function brune_rollout_plan_is_readable(plan jsonb) returns boolean language sql immutable as $$
  select coalesce(case when jsonb_typeof(plan) = 'object' and jsonb_typeof(plan -> 'stages') = 'array'
      and jsonb_typeof(plan -> 'guards') = 'array'
    then plan - array['stages', 'guards', 'then', 'max_hours'] = '{}'
      and plan ->> 'then' in ('promote', 'hold')
      -- As text, because the service reads no number with a fraction, not even 50.0.
      and plan ->> 'max_hours' ~ '^[0-9]{1,3}$' and jsonb_typeof(plan -> 'max_hours') = 'number'
      and (plan ->> 'max_hours')::integer between 1 and 720
      and jsonb_array_length(plan -> 'guards') between 1 and 3
      and (select count(distinct name) = count(*)
          and bool_and(name in ('"start_failed"', '"cut_short"', '"refused"'))
        from (select guard::text as name from jsonb_array_elements(plan -> 'guards') guard) guards)
      and jsonb_array_length(plan -> 'stages') between 1 and 10
      and not exists (
        select from jsonb_array_elements(plan -> 'stages') with ordinality stage
        where jsonb_typeof(stage.value) <> 'object' or stage.value - array['share', 'users', 'minutes'] <> '{}'
          or not jsonb_path_exists(stage.value, 'strict $ ? (
            @.share.type() == "number" && @.share >= 1 && @.share <= 100
            && @.users.type() == "number" && @.users >= 1 && @.users <= 100000
            && @.minutes.type() == "number" && @.minutes >= 0 && @.minutes <= 10080)')
          or concat_ws(' ', stage.value ->> 'share', stage.value ->> 'users', stage.value ->> 'minutes') !~ '^[0-9 ]+$'
          or stage.ordinality > 1
            and (stage.value -> 'share') <= (plan -> 'stages' -> (stage.ordinality - 2)::integer -> 'share'))
      -- A plan whose stages take longer than the rollout may could never end by itself.
      and (select sum((stage ->> 'minutes')::numeric) from jsonb_array_elements(plan -> 'stages') stage)
        < (plan ->> 'max_hours')::numeric * 60
    end, false)
$$;

create function brune_rollout_plan_write() returns trigger language plpgsql security definer as $$
begin
  if not brune_rollout_plan_is_readable(new.plan -> 'rollout') then
    raise exception 'the rollout of the plan has unknown parts, or shares that do not grow'
      using errcode = 'integrity_constraint_violation',
        hint = 'stages with share, users and minutes; guards; then; max_hours';
  end if;
  return new;
end $$;
create trigger brune_rollout_plan_write before insert on brune_proposal_edition
  for each row when (new.plan ? 'rollout') execute function brune_rollout_plan_write();

-- Requires the conditions of a begin and of a next stage: approvals, no objection, no freeze, a setting of new sessions.
create function brune_rollout_permitted(subject brune_proposal) returns void language plpgsql as $$
declare
  content brune_proposal_edition;
  standing record;
begin
  if exists (select from brune_freeze
    where ended_at is null and ends_at > clock_timestamp() and starts_at <= clock_timestamp())
  then
    raise exception 'settings are frozen: rollout % cannot begin or widen', subject.number
      using errcode = 'integrity_constraint_violation', constraint = 'brune_freeze',
        hint = 'wait, end the freeze, or revert the rollout';
  end if;
  select * into strict content from brune_proposal_edition where proposal = subject.id and edition = subject.edition;
  select * into strict standing from brune_proposal_standing(subject.id, subject.edition);
  if standing.objections > 0 or standing.approvals < (
    select coalesce(max(d.approvals), 0) from app_global_setting_schema d where content.edits ? d.key)
  then
    raise exception 'proposal % does not have its approvals', subject.number
      using errcode = 'integrity_constraint_violation', constraint = 'brune_proposal_approvals',
        hint = 'approve the current edition, or revert the rollout';
  end if;
  if not exists (select from app_global_setting_schema d where content.edits ? d.key and d.applies = 'new_sessions')
    or exists (select from jsonb_each(content.edits) edit where not edit.value ? 'value')
  then
    raise exception 'proposal % changes no setting of new sessions', subject.number
      using errcode = 'integrity_constraint_violation';
  end if;
end $$;

-- Permits only the steps of a rollout: the begin, the next stage, a hold, a resumption, the promotion and the revert.
create function brune_rollout_write() returns trigger language plpgsql security definer as $$
declare
  head app_global_setting_head;
  stages jsonb := (select e.plan -> 'rollout' -> 'stages' from brune_proposal_edition e
    where e.proposal = new.id and e.edition = new.edition);
  expected brune_proposal := old;
  is_stage boolean := new.stage is distinct from old.stage;
begin
  select * into strict head from app_global_setting_head for update;
  if old.state = 'rolling' and new.state in ('applied', 'reverted') then
    perform brune_decision_check(new.ended_by, new.end_reason, new.end_request_id);
    new.ended_at := clock_timestamp();
    expected.state := new.state;
    expected.ended_by := new.ended_by;
    expected.end_reason := new.end_reason;
    expected.end_request_id := new.end_request_id;
    expected.ended_at := new.ended_at;
    expected.evidence := new.evidence;
    expected.revert_cause := new.revert_cause;
    expected.applied_revision := new.applied_revision;
    if new.state = 'applied' and (new.applied_revision is distinct from head.revision
      or head.opened_xid is distinct from pg_current_xact_id() or head.opened_at <> transaction_timestamp())
    then
      raise exception 'proposal % is applied by the transaction of its revision, and revision % is not of this one',
          old.number, new.applied_revision
        using errcode = 'integrity_constraint_violation';
    end if;
    if new.state = 'applied' and (select objections > 0 from brune_proposal_standing(new.id, new.edition)) then
      raise exception 'somebody objects to proposal %', old.number
        using errcode = 'integrity_constraint_violation', constraint = 'brune_proposal_approvals',
          hint = 'wait until the objection is withdrawn by an approval, or revert the rollout';
    end if;
  elsif new.state = 'rolling' and old.state in ('open', 'rolling') then
    perform brune_decision_check(new.step_by, new.step_reason, new.step_request_id);
    expected.state := new.state;
    expected.step_by := new.step_by;
    expected.step_reason := new.step_reason;
    expected.step_request_id := new.step_request_id;
    expected.evidence := new.evidence;
    if is_stage then
      if new.stage is distinct from coalesce(old.stage, 0) + 1
        or stages -> (new.stage - 1)::integer -> 'share' is distinct from to_jsonb(new.share_bp / 100.0)
      then
        raise exception 'the next stage of proposal % is stage % of its plan, with its share',
            old.number, coalesce(old.stage, 0) + 1
          using errcode = 'integrity_constraint_violation';
      end if;
      perform brune_rollout_permitted(new);
      new.stage_since := clock_timestamp();
      new.held_reason := null;
      if old.state = 'open' then
        new.salt := uuid_send(gen_random_uuid());
        new.rolling_since := new.stage_since;
      end if;
      expected.stage := new.stage;
      expected.share_bp := new.share_bp;
      expected.stage_since := new.stage_since;
      expected.salt := new.salt;
      expected.rolling_since := new.rolling_since;
    elsif old.state <> 'rolling' or new.held_reason is not distinct from old.held_reason then
      raise exception 'a step of rollout % begins a stage, holds or resumes', old.number
        using errcode = 'integrity_constraint_violation';
    elsif new.held_reason is null then
      new.resumed_at := clock_timestamp();
    end if;
    -- A hold keeps the name: after a failover, only the resumption by a person accepts the new database.
    new.origin := case when is_stage or new.held_reason is null then brune_rollout_origin() else old.origin end;
    new.held_since := case when new.held_reason is not null then clock_timestamp() end;
    expected.held_reason := new.held_reason;
    expected.held_since := new.held_since;
    expected.resumed_at := new.resumed_at;
    expected.origin := new.origin;
  end if;
  if new is distinct from expected or old.state <> 'rolling' and new.state <> 'rolling' then
    raise exception 'proposal % cannot become % from %, or the update changes more than the step', old.number,
        new.state, old.state
      using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;

create trigger brune_rollout_write before update on brune_proposal
  for each row when (old.state = 'rolling' or new.state = 'rolling'
    or (old.salt, old.stage, old.share_bp, old.rolling_since, old.stage_since, old.resumed_at, old.held_reason,
        old.held_since, old.revert_cause, old.step_by, old.step_reason, old.step_request_id, old.evidence, old.origin)
      is distinct from
      (new.salt, new.stage, new.share_bp, new.rolling_since, new.stage_since, new.resumed_at, new.held_reason,
        new.held_since, new.revert_cause, new.step_by, new.step_reason, new.step_request_id, new.evidence, new.origin))
  execute function brune_rollout_write();
drop trigger brune_proposal_ended on brune_proposal;
create trigger brune_proposal_ended after update of state on brune_proposal
  for each row when (old.state <> 'rolling' and new.state <> 'rolling') execute function brune_proposal_ended();

-- Records a step in the audit trail, and raises the epoch if starts differ after the step.
create function brune_rollout_written() returns trigger language plpgsql security definer as $$
declare
  standing record;
  step text := case
    when old.state = 'open' then 'rolling'
    when new.state <> 'rolling' then new.state
    when new.stage <> old.stage then 'widened'
    when new.held_reason is null then 'resumed'
    else 'held' end;
begin
  select * into strict standing from brune_proposal_standing(new.id, new.edition);
  perform brune_decision_append('(proposal)', jsonb_strip_nulls(jsonb_build_object(
      'proposal', new.number, 'edition', new.edition, 'event', step,
      'digest', (select encode(digest, 'hex') from brune_proposal_edition
        where proposal = new.id and edition = new.edition),
      'stage', new.stage, 'share_bp', new.share_bp, 'held_reason', new.held_reason, 'cause', new.revert_cause,
      'evidence', new.evidence, 'revision', new.applied_revision,
      'approvals', standing.approvals, 'objections', standing.objections)),
    case when new.state = 'rolling' then new.step_by else new.ended_by end,
    case when new.state = 'rolling' then new.step_reason else new.end_reason end,
    case when new.state = 'rolling' then new.step_request_id else new.end_request_id end);
  if new.state <> old.state or new.share_bp <> old.share_bp then
    update app_global_setting_head set epoch = epoch + 1;
    -- A hint to read the database: the revision is the same, and a notification proves changes of settings only.
    perform pg_notify('brune_settings', revision::text) from app_global_setting_head;
  end if;
  return null;
end $$;
create trigger brune_rollout_written after update on brune_proposal
  for each row when (old.state = 'rolling' or new.state = 'rolling') execute function brune_rollout_written();

-- Requires, at the commit of a revision, that the revision changes no setting of a rollout: a candidate would lose the
-- change by the promotion, or the rollout would compare something else than was approved. A promotion and a revert end
-- the rollout in the same transaction.
create function app_global_setting_head_is_not_rolling() returns trigger language plpgsql security definer as $$
declare
  subject brune_proposal;
  changed_key text;
begin
  select * into subject from brune_proposal where state = 'rolling';
  if not found then
    return null;
  end if;
  -- A later statement of the transaction opens the next revision, which is checked again.
  update app_global_setting_head set opened_xid = null where singleton;
  select min(a.key) into changed_key
  from app_global_setting_audit a join brune_proposal_edition e on e.edits ? a.key
  where a.revision = new.revision and e.proposal = subject.id and e.edition = subject.edition;
  if changed_key is not null then
    raise exception '% is part of the rollout of proposal %', changed_key, subject.number
      using errcode = 'integrity_constraint_violation', constraint = 'brune_rollout_running',
        hint = 'promote or revert the rollout first';
  end if;
  return null;
end $$;
create constraint trigger app_global_setting_head_is_not_rolling
  after update of revision on app_global_setting_head
  deferrable initially deferred
  for each row execute function app_global_setting_head_is_not_rolling();

-- The arm of a session: null outside of a rollout. Both arms are recorded.
alter table brune_session
  add column proposal  uuid,
  add column candidate boolean,
  -- The share at the start, in basis points.
  add column share_bp  integer,
  -- How the session went, as reported with its end.
  add column outcome   text,
  add constraint brune_session_arm_is_complete check (num_nulls(proposal, candidate, share_bp) in (0, 3)) not valid,
  add constraint brune_session_outcome check (outcome is null or outcome = 'failed' and status = 'ended') not valid;
create index brune_session_by_rollout on brune_session (proposal, user_id, started_at) include (candidate, share_bp)
  where proposal is not null;
-- Finds abandoned starts, which every instance looks for every second while a proposal rolls.
create index brune_session_rollout_starting on brune_session (starting_until)
  where status = 'starting' and proposal is not null;

alter table brune_start_refused
  add column proposal  uuid,
  add column candidate boolean,
  add column share_bp  integer,
  add constraint brune_start_refused_arm_is_complete check (num_nulls(proposal, candidate, share_bp) in (0, 3)) not valid;
create index brune_start_refused_by_rollout on brune_start_refused (proposal, user_id) include (candidate, share_bp)
  where proposal is not null;

create or replace function brune_session_keeps_its_settings() returns trigger language plpgsql as $$
begin
  if (old.id, old.user_id, old.started_at, old.expires_at, old.settings_revision, old.prompt_id,
      old.prompt_version, old.model, old.session_max_minutes, old.proposal, old.candidate, old.share_bp)
     is distinct from
     (new.id, new.user_id, new.started_at, new.expires_at, new.settings_revision, new.prompt_id,
      new.prompt_version, new.model, new.session_max_minutes, new.proposal, new.candidate, new.share_bp) then
    raise exception 'session % keeps the settings it started with', old.id
      using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;

-- Requires the arm that follows from salt, user and share. The state is not compared: the rollout may have ended during
-- the insert, which has compared the epoch.
create function brune_rollout_arm_is_true() returns trigger language plpgsql security definer as $$
declare
  digest bytea;
  max_share integer;
begin
  select sha256(p.salt || convert_to(new.user_id, 'UTF8')), p.share_bp into digest, max_share
    from brune_proposal p where p.id = new.proposal;
  -- The expression of `brune_rollout_bucket`: every start waits, and a call would cost three times as much.
  if digest is null or new.share_bp not between 1 and max_share
    or new.candidate <> ((get_byte(digest, 0)::bigint * 16777216 + get_byte(digest, 1) * 65536
      + get_byte(digest, 2) * 256 + get_byte(digest, 3)) % 10000 < new.share_bp)
  then
    raise exception 'user % is not in this arm of the rollout', new.user_id
      using errcode = 'integrity_constraint_violation', constraint = 'brune_rollout_arm';
  end if;
  return new;
end $$;
create trigger brune_rollout_arm_is_true before insert on brune_session
  for each row when (new.proposal is not null) execute function brune_rollout_arm_is_true();
create trigger brune_rollout_arm_is_true before insert on brune_start_refused
  for each row when (new.proposal is not null) execute function brune_rollout_arm_is_true();

-- The failing users of a rollout, each once for a guard: counting starts would revert harmless changes because of a few
-- users who try again and again.
create table brune_rollout_failure (
  proposal  uuid not null,
  guard     text not null check (guard in ('start_failed', 'cut_short', 'refused')),
  user_id   text not null,
  candidate boolean not null,
  -- The share at the start that failed.
  share_bp  integer not null,
  at        timestamptz not null default clock_timestamp(),
  primary key (proposal, guard, user_id)
);

create function brune_rollout_failure_write() returns trigger language plpgsql security definer as $$
begin
  insert into brune_rollout_failure (proposal, guard, user_id, candidate, share_bp)
  values (new.proposal,
    case when tg_table_name = 'brune_start_refused' then 'refused'
      -- By name, because a refusal has no column `status`.
      when to_jsonb(new) ->> 'status' = 'failed' then 'start_failed'
      else 'cut_short' end,
    new.user_id, new.candidate, new.share_bp)
  on conflict do nothing;
  return null;
end $$;
-- A start that failed or was abandoned, and a session that was ended by its user within a minute, or reported as failed.
create trigger brune_rollout_failure_write after update on brune_session
  for each row when (new.proposal is not null and new.status <> old.status and (new.status = 'failed'
    or new.status = 'ended' and (new.outcome = 'failed'
      or new.ended_by is null and new.ended_at < new.started_at + interval '1 minute')))
  execute function brune_rollout_failure_write();
create trigger brune_rollout_failure_write after insert on brune_start_refused
  for each row when (new.proposal is not null) execute function brune_rollout_failure_write();
create trigger brune_decision_is_permanent before update or delete or truncate on brune_rollout_failure
  for each statement execute function brune_decision_is_permanent();

-- Functions that run as the owner are for their triggers only.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array[
    'app_global_setting_head_is_not_rolling()',
    'brune_rollout_arm_is_true()',
    'brune_rollout_bucket(bytea, text)',
    'brune_rollout_failure_write()',
    'brune_rollout_origin()',
    'brune_rollout_permitted(brune_proposal)',
    'brune_rollout_plan_is_readable(jsonb)',
    'brune_rollout_plan_write()',
    'brune_rollout_write()',
    'brune_rollout_written()',
    'brune_session_keeps_its_settings()'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
  -- As for the other functions of a change: the plans use indexes, whatever the statistics say.
  alter function app_global_setting_head_is_not_rolling() set enable_seqscan = off;
  alter function app_global_setting_head_is_not_rolling() set enable_bitmapscan = off;
  alter function app_global_setting_head_is_not_rolling() set jit = off;
end $$;
revoke execute on function app_global_setting_head_is_not_rolling(), brune_rollout_arm_is_true(),
  brune_rollout_failure_write(), brune_rollout_plan_write(), brune_rollout_write(), brune_rollout_written() from public;
