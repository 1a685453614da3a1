-- Refused session starts, so that a what-if can replay them: without refusals, nobody can say whom a loosened rule would
-- admit. A row is one refusal for reasons of the user (403 `not_eligible`). Attempts beyond the rate limit, during a stop
-- or during a running session are not recorded: the rules of the settings did not decide them.
--
-- At most one row for a user and a minute of the server's clock, so a client that retries in a loop cannot fill the table.
-- The service deletes rows after 8 days.
--
-- Safe while the release before runs, which records nothing: its refusals are missing until it is replaced.
create table brune_start_refused (
  -- The time of the attempt by the clock of the service, as `started_at` of a session: the rules compare the two.
  at       timestamptz not null,
  -- The minute of the row by the clock of the server.
  minute   timestamptz not null default date_trunc('minute', clock_timestamp(), 'UTC'),
  user_id  text not null check (user_id <> ''),
  plan     text,
  level    text,
  -- The reasons, as in the response.
  codes    text[] not null check (cardinality(codes) > 0 and array_position(codes, null) is null),
  -- The settings that refused the start.
  revision bigint not null,
  -- Also finds the rows to delete.
  primary key (minute, user_id)
);

-- A what-if reads the attempts of a window. Rows are inserted in the order of time, so a summary of the pages is enough for
-- sessions, of which a start inserts one; refusals are read with an exact index.
create index brune_start_refused_by_time on brune_start_refused (at);
create index brune_session_by_start on brune_session using brin (started_at) with (pages_per_range = 32);
