-- The notification of a committed change contains the change: an instance at the revision before applies the change
-- without reading the database. Until now each of N instances ran a query for each change.
--
--   * One notification for each revision, by a deferred trigger on the head: the notification lists every key that the
--     transaction changed, in any number of statements, and a transaction that is rolled back notifies nobody.
--   * An announced revision is complete. The trigger closes the revision, so that a later statement of the same
--     transaction (after `set constraints all immediate`) opens the next one. Otherwise an instance would apply a part
--     of a revision and never read the rest.
--   * Every role that can connect may listen and notify on any channel: Postgres has no privileges for channels.
--     Therefore the content is encrypted and authenticated with keys that only the service's role can read. An instance
--     treats a payload without a valid proof as before: as a hint to read the database.
--     docs/decisions/0007-authenticated-notifications.md has the reasons.
--   * Without room for the content (Postgres accepts payloads below 8,000 bytes), the payload is the revision alone.
--
-- Safe while the release before runs: its instances ignore the payload and read the database at each notification. Its
-- startup check requires the trigger app_global_settings_notify, so the trigger stays, without an effect.

-- The keys. A materialized view, because pg_dump neither reads nor locks a materialized view: a backup by
-- brune_reader contains no keys, and a restored database gets new ones. Each key has 64 bytes, the block of SHA-256, of
-- which 488 bits are random. Rotation: `refresh materialized view brune_notification_key`.
create materialized view brune_notification_key as
select
  uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as encryption_key,
  uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as authentication_key;

-- Default privileges let brune_reader read new tables. `brune migrate` grants the service its privilege afterwards.
do $$
declare
  holder text;
begin
  for holder in
    select distinct case grantee when 0 then 'public' else grantee::regrole::text end
    from pg_class, aclexplode(relacl)
    where oid = 'brune_notification_key'::regclass and grantee <> relowner
  loop
    execute format('revoke all on brune_notification_key from %s', holder);
  end loop;
end $$;

-- Notifies of the revision that the transaction opened, and closes the revision. Every operator and function has
-- arguments of exactly its types, or is named with its schema: the function runs with the rights of its owner.
create function app_global_setting_head_notifies() returns trigger language plpgsql security definer as $$
declare
  -- In Base64, with revision, nonce and proof, shorter than 8,000 bytes.
  max_bytes constant integer := 5900;
  -- More entries do not fit.
  max_entries constant integer := 100;
  head app_global_setting_head;
  entries bigint;
  settings record;
  content bytea;
  pads bytea;
  nonce bytea;
  keystream bytea;
  ciphertext bytea;
  proof bytea;
begin
  update app_global_setting_head set opened_xid = null where singleton returning * into head;
  -- Counted first, so that an import of 10,000 settings costs no more than 100.
  select pg_catalog.count(*) into entries from (
    select from app_global_setting_audit where revision = head.revision limit 101) entry;
  if entries <= max_entries
    and (select relispopulated from pg_catalog.pg_class where oid = 'brune_notification_key'::regclass)
  then
    -- Each changed key with its row, as a reload reads the row; a deleted key has no values. Keys of other kinds are
    -- left out: no instance reads their values, and no notification may contain a secret.
    select
      pg_catalog.bool_or(pg_catalog.pg_column_size(s.value_json) > max_bytes) as is_large,
      pg_catalog.json_agg(pg_catalog.json_build_object(
        'key', changed.key,
        'value', case when pg_catalog.pg_column_size(s.value_json) <= max_bytes then s.value_json end,
        'version', s.version,
        'updated_by', s.updated_by,
        'updated_at', (extract(epoch from s.updated_at) * 1000000::numeric)::bigint)) as rows
    into settings
    from (select distinct key from app_global_setting_audit where revision = head.revision) changed
    join app_global_setting_schema d on d.key = changed.key and d.kind = 'setting'::text
    left join app_global_settings s on s.key = changed.key;
    if settings.is_large is not true then
      content := pg_catalog.convert_to(pg_catalog.json_build_object(
        'catalog_revision', head.catalog_revision,
        -- As in the statement of a reload: a notification of another timeline is not applied.
        'timeline', pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8),
        'changed_at', (extract(epoch from head.changed_at) * 1000000::numeric)::bigint,
        'settings', coalesce(settings.rows, '[]'::json))::text, 'UTF8'::name);
    end if;
  end if;
  if content is null or pg_catalog.octet_length(content) > max_bytes then
    perform pg_catalog.pg_notify('brune_settings'::text, head.revision::text);
    return null;
  end if;
  -- HMAC-SHA256 in terms of SHA-256 (RFC 2104): sha256(outer || sha256(inner || message)), where inner and outer are the
  -- key combined with two constants. Here the four pads of both keys at once.
  select pg_catalog.substr(pg_catalog.bit_send(
      ('x'::text || pg_catalog.encode(
        encryption_key || encryption_key || authentication_key || authentication_key, 'hex'::text))::varbit
      operator(pg_catalog.#) ('x'::text || pg_catalog.repeat(
        pg_catalog.repeat('36'::text, 64) || pg_catalog.repeat('5c'::text, 64), 2))::varbit), 5)
    into strict pads from brune_notification_key;
  nonce := pg_catalog.uuid_send(pg_catalog.gen_random_uuid());
  -- Counter mode: block i of the keystream is the HMAC of the nonce and i.
  keystream := ''::bytea;
  for block in 0 .. (pg_catalog.octet_length(content) - 1) / 32 loop
    keystream := keystream || pg_catalog.sha256(pg_catalog.substr(pads, 65, 64) || pg_catalog.sha256(
      pg_catalog.substr(pads, 1, 64) || nonce || pg_catalog.int4send(block)));
  end loop;
  ciphertext := pg_catalog.substr(pg_catalog.bit_send(
    ('x'::text || pg_catalog.encode(content, 'hex'::text))::varbit
    operator(pg_catalog.#) ('x'::text || pg_catalog.encode(
      pg_catalog.substr(keystream, 1, pg_catalog.octet_length(content)), 'hex'::text))::varbit), 5);
  -- The start of the server is part of the proof but not of the payload: after a restart, which may have lost commits
  -- or followed a restored copy, no recorded notification is valid.
  proof := pg_catalog.sha256(pg_catalog.substr(pads, 193, 64) || pg_catalog.sha256(
    pg_catalog.substr(pads, 129, 64) || pg_catalog.int8send(head.revision)
    || pg_catalog.int8send((extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000::numeric)::bigint)
    || nonce || ciphertext));
  perform pg_catalog.pg_notify('brune_settings'::text, head.revision::text || ' '::text || pg_catalog.translate(
    pg_catalog.encode(nonce || proof || ciphertext, 'base64'::text), E'\n'::text, ''::text));
  return null;
end $$;
revoke execute on function app_global_setting_head_notifies() from public;

create constraint trigger app_global_setting_head_notifies
  after update of revision on app_global_setting_head
  deferrable initially deferred
  for each row execute function app_global_setting_head_notifies();

create or replace function app_global_settings_notify() returns trigger language plpgsql as $$
begin
  return null;
end $$;

do $$
declare
  signature text;
  home name := (select relnamespace::regnamespace::text from pg_class where oid = 'app_global_settings'::regclass);
begin
  foreach signature in array array['app_global_setting_head_notifies()', 'app_global_settings_notify()'] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;
