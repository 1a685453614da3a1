-- The sessions whose time is over, for whoever marks them, oldest first. Without it each look would read every
-- running session: `brune_session_one_active` knows which run, and not until when. A start pays for one more entry,
-- at the end of the index as a rule, because sessions last about equally long; ending one costs nothing more, since
-- its status was in an index's condition before.
create index brune_session_due on brune_session (expires_at) where status = 'active';
