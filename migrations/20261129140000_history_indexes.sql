-- Indexes for two filters of the history at once. Until now a page of a key and a person, of a key and an action, or of
-- a person and an action used the index of one of the two, or none, and filtered: half a second among a million entries
-- where both are common and never occur together.
--
-- The two indexes that begin with a key omit the first 100 versions of each key. A query reads these versions through
-- the index by version, at most 100 entries. Without the omission, an import into 10,000 keys would write to 10,000
-- places of four indexes by key, instead of two as before. Entries without a version are included.
--
-- Safe while the release before runs: its queries use the same indexes as before. Writers wait while the indexes are
-- created: about 4 s for a million entries, while readers continue.
create index app_global_setting_audit_by_key_and_person
  on app_global_setting_audit (key, changed_by, seq, action) where coalesce(version, 101) > 100;
create index app_global_setting_audit_by_key_and_action
  on app_global_setting_audit (key, action, seq) where coalesce(version, 101) > 100;
create index app_global_setting_audit_by_person_and_action on app_global_setting_audit (changed_by, action, seq);
