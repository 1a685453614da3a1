-- The limit of start attempts per minute is counted from the sessions themselves, plus `brune_start_attempt` for
-- attempts that were refused. A successful start writes one row instead of two.
--
-- While the release before runs, that release stores every attempt in `brune_start_attempt` and leaves the new column
-- null, so no attempt counts twice. The release before does not count the successful starts of this release, so a user
-- with starts by both releases in the same minute may exceed the limit until the old release is gone.

-- The time of the attempt by the server's clock. `started_at` is the service's clock, which differs between instances.
-- Null if the attempt is counted in `brune_start_attempt`. No default: a session that is inserted by SQL is not an
-- attempt.
alter table brune_session add column attempted_at timestamptz;
