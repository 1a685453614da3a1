-- Messages to other services (alerts, webhooks). A message is stored in the transaction of what it tells of, so
-- that neither can be without the other, and delivered afterwards, at least once: no transaction waits for a
-- network.
--
-- One row for each message and sink, so that a sink that fails holds up no other. Within a sink messages go out
-- in the order of `seq`. Nothing here notifies: commits that do queue behind one lock of the whole server.
create table brune_outbox (
  -- The message's own, the same at every sink and with every repeat: whoever gets it twice can tell.
  id         uuid not null,
  sink       text not null check (sink <> ''),
  seq        bigint generated always as identity,
  topic      text not null check (topic <> ''),
  -- What is told; never a secret.
  payload    jsonb not null check (jsonb_typeof(payload) = 'object'),
  created_at timestamptz not null default clock_timestamp(),
  status     text not null default 'waiting' check (status in ('waiting', 'delivered', 'dead')),
  attempts   integer not null default 0 check (attempts >= 0),
  -- Not tried before.
  due_at     timestamptz not null default clock_timestamp(),
  last_error text,
  settled_at timestamptz check ((settled_at is null) = (status = 'waiting')),
  primary key (id, sink)
) with (fillfactor = 70);

-- The next of a sink.
create index brune_outbox_waiting on brune_outbox (sink, seq) where status = 'waiting';
-- What was given up, for whoever looks and retries; what was delivered, to be cleared away.
create index brune_outbox_settled on brune_outbox (status, settled_at) where status <> 'waiting';
create index brune_outbox_by_seq on brune_outbox (seq);

-- Who delivers for a sink: one worker at a time, or the order would be lost. A worker that was paused and goes on
-- finds another token here, and its results are not taken.
create table brune_outbox_sink (
  sink         text primary key check (sink <> ''),
  lease        uuid,
  leased_until timestamptz check ((leased_until is null) = (lease is null)),
  -- The other side said that it is gone for good; of which address, by its digest, so that a new one is tried.
  dead_since   timestamptz,
  dead_reason  text,
  dead_address bytea
);
