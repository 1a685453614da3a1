-- The sessions whose time is over, for whoever marks them, oldest first. Without it each look would read every
-- running session: `brune_session_one_active` knows which run, and not until when. A start pays for one more entry,
-- at the end of the index as a rule, because sessions last about equally long; ending one costs nothing more, since
-- its status was in an index's condition before.
create index brune_session_due on brune_session (expires_at) where status = 'active';

-- What is told of a session whose time is over, whoever marks it: the worker, or its user's next start.
create function brune_session_over(id uuid, user_id text, settings_revision bigint, model text, prompt_id text,
    prompt_version text, started_at timestamptz, expires_at timestamptz)
returns jsonb language sql stable as $$
  select jsonb_build_object(
    'session_id', id, 'user_id', user_id, 'revision', settings_revision, 'model', model,
    'prompt_id', prompt_id, 'prompt_version', prompt_version,
    'started_at', to_char(started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'expires_at', to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'ended_at', to_char(expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
$$;
