-- A session is started in two steps where a provider takes part: its row is written as `starting`, the provider
-- is asked while no connection is held, and then it is `active`, or `failed`. One that failed counts nowhere:
-- not as running, not for the cooldown, not for the daily maximum. Nor does one whose process died on the way;
-- that is decided by this server's clock, once `starting_until` is over, and whoever meets it marks it.
--
-- Sessions that need no provider are `active` at once, as before, and so are those of the release before.
alter table brune_session
  -- Set once and kept: how long the first step may last. Null for what was active at once.
  add column starting_until      timestamptz,
  -- The provider's own names for the session and for the request that made it. Never its client secret.
  add column provider_session_id text,
  add column provider_request_id text,
  -- Which administrator ended it, and why.
  add column ended_by            text,
  add column end_reason          text check ((end_reason is null) = (ended_by is null)),
  drop constraint brune_session_status_check,
  drop constraint brune_session_check3,
  add constraint brune_session_status_check
    check (status in ('starting', 'active', 'ended', 'expired', 'failed')),
  add constraint brune_session_ended_at_check check ((status in ('starting', 'active')) = (ended_at is null)),
  add constraint brune_session_starting_check check (status <> 'starting' or starting_until is not null);

-- One of a user, on its way or running. The name stays: the release before knows it.
drop index brune_session_one_active;
create unique index brune_session_one_active on brune_session (user_id) where status in ('starting', 'active');
-- A request whose start failed may be repeated under the same key.
drop index brune_session_by_idempotency_key;
create unique index brune_session_by_idempotency_key on brune_session (user_id, idempotency_key)
  where idempotency_key is not null and status <> 'failed';
-- For whoever looks for the sessions of a revision. Revisions grow with the table, so a summary of its pages is
-- enough, and costs a start nothing.
create index brune_session_by_revision on brune_session using brin (settings_revision);

-- The starts that each user tried in the last minute, refused ones too. Instances share it, so that a limit is a
-- limit however many there are. Unlogged: what a crash or a failover loses of it is a minute's worth, and no
-- start waits for the disk because of it.
create unlogged table brune_start_attempt (
  user_id  text primary key check (user_id <> ''),
  -- In order, the newest last; never empty.
  tried_at timestamptz[] not null check (cardinality(tried_at) > 0)
) with (fillfactor = 50);

-- Of the times that a user tried, those within a minute.
create function brune_within_a_minute(timestamptz[]) returns timestamptz[] language sql volatile as $$
  select array(select t from unnest($1) t where t > clock_timestamp() - interval '1 minute' order by t)
$$;

-- The sessions that count: for the cooldown, for the daily maximum, as running.
create view brune_session_counted as
  select * from brune_session
  where status <> 'failed' and (status <> 'starting' or starting_until > statement_timestamp());
