-- The fleet: which instances run, and which revision each has applied, so that a writer can wait until every
-- one of them has it, and anybody can see who lags.
--
-- A row is written by its own instance alone, every two seconds and with each revision that it applies. So:
--   * unlogged: no write waits for the disk or for a standby, and none is replicated. What a crash or a failover
--     of the server loses, the next heartbeat writes again;
--   * nothing but the key is indexed, and pages are kept mostly empty: each update stays on its page (HOT) and
--     the versions before it are cleared away by the next one, without vacuum;
--   * nothing notifies: whoever waits looks, and only while they wait.
create unlogged table brune_instance (
  id               uuid primary key,
  host             text not null,
  version          text not null,
  started_at       timestamptz not null,
  -- What it serves from; goes back only if the database itself did.
  applied_revision bigint not null,
  -- By the clock of the database, which all of them share.
  seen_at          timestamptz not null
) with (fillfactor = 20);
