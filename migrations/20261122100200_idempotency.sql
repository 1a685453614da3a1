-- The first result of a write that came with an `Idempotency-Key`, stored in the write's own transaction:
-- a repeat that follows a lost answer finds either the result or nothing done.
create table app_idempotency_key (
  caller      text not null,
  key         text not null,
  fingerprint bytea not null,
  body        text not null,
  created_at  timestamptz not null default now(),
  primary key (caller, key)
);
create index app_idempotency_key_by_age on app_idempotency_key (created_at);
