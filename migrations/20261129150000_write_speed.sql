-- Changes of one setting in less time: in a new database, most of the time went into outdated plans and dead rows.
--   * A connection keeps the plans of the trigger functions. Plans made while the trail was empty read the whole trail for
--     each change, until autovacuum had analyzed the table. Every lookup of the functions has an index, so the functions
--     now plan with index scans only. Without just-in-time compilation, too: Postgres adds a penalty to the cost of a scan
--     that is off and cannot be avoided, and such a cost would start the compiler.
--   * Each change of a setting changed the index by revision, which no query uses. Without the index, and with room on
--     each page, the new row goes beside the old one (HOT): no index changes, and the next reader of the page removes the
--     dead row, without a vacuum.
--
-- Safe while the release before runs: its queries do not use the index, and names, arguments and results are the same.

drop index app_global_settings_by_revision;

-- Full pages stay as they are until a vacuum makes room.
alter table app_global_settings set (fillfactor = 50);

-- Takes the lock that serializes writers, and opens the revision of this transaction, once.
create or replace function app_global_setting_open_revision() returns app_global_setting_head
language plpgsql security definer as $$
declare
  head app_global_setting_head;
begin
  -- By the index: a scan of the whole table is off.
  select * into strict head from app_global_setting_head where singleton for update;
  if head.opened_xid = pg_current_xact_id() and head.opened_at = transaction_timestamp() then
    return head;
  end if;
  update app_global_setting_head
    set revision = revision + 1,
        changed_at = greatest(changed_at, clock_timestamp()),
        opened_xid = pg_current_xact_id(),
        opened_at = transaction_timestamp()
    where singleton
    returning * into head;
  return head;
end $$;

-- A replaced function loses its settings: the fixed path is set again, as for every function of ours.
do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  execute format(
    'alter function app_global_setting_open_revision() set search_path = pg_catalog, %s, pg_temp', home);
  foreach signature in array array[
    'app_global_setting_open_revision()',
    'app_global_setting_audit_chain()',
    'app_global_setting_audit_is_true()',
    'app_global_setting_head_is_audited()',
    'app_global_setting_head_notifies()',
    'app_global_settings_write()',
    'app_global_settings_is_audited()'
  ] loop
    execute format('alter function %s set enable_seqscan = off', signature::regprocedure);
    execute format('alter function %s set enable_bitmapscan = off', signature::regprocedure);
    execute format('alter function %s set jit = off', signature::regprocedure);
  end loop;
end $$;
