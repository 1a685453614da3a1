-- Brun-E sessions: each keeps the settings that were current when its row was written, whatever changes
-- afterwards. The columns below "pinned" are that snapshot and are never updated.
create table brune_session (
  id                  uuid primary key,
  user_id             text not null check (user_id <> ''),
  status              text not null default 'active' check (status in ('active', 'ended', 'expired')),
  plan                text,
  level               text,
  started_at          timestamptz not null,
  expires_at          timestamptz not null check (expires_at > started_at),
  ended_at            timestamptz check (ended_at >= started_at),
  -- pinned
  settings_revision   bigint not null,
  prompt_id           text not null,
  prompt_version      text not null,
  model               text not null,
  session_max_minutes integer not null,
  -- What makes a repeated request the same request.
  idempotency_key     text,
  idempotency_digest  bytea check ((idempotency_key is null) = (idempotency_digest is null)),
  check ((status = 'active') = (ended_at is null))
);

-- Two starts of one user at the same instant can never both pass.
create unique index brune_session_one_active on brune_session (user_id) where status = 'active';
-- Cooldown and daily maximum look at a user's newest sessions.
create index brune_session_by_user on brune_session (user_id, started_at);
create unique index brune_session_by_idempotency_key on brune_session (user_id, idempotency_key)
  where idempotency_key is not null;

create function brune_session_keeps_its_settings() returns trigger language plpgsql as $$
begin
  if (old.id, old.user_id, old.started_at, old.expires_at, old.settings_revision, old.prompt_id,
      old.prompt_version, old.model, old.session_max_minutes)
     is distinct from
     (new.id, new.user_id, new.started_at, new.expires_at, new.settings_revision, new.prompt_id,
      new.prompt_version, new.model, new.session_max_minutes) then
    raise exception 'session % keeps the settings it started with', old.id
      using errcode = 'integrity_constraint_violation';
  end if;
  return new;
end $$;
create trigger brune_session_keeps_its_settings before update on brune_session
  for each row execute function brune_session_keeps_its_settings();
