-- The notification of a committed change contains the change: an instance at the revision before applies the change
-- without reading the database. Until now each of N instances ran a query for each change.
--
--   * One notification for each revision, by a deferred trigger on the head: the notification lists every key that the
--     transaction changed, in any number of statements, and a transaction that is rolled back notifies nobody.
--   * An announced revision is complete. The trigger closes the revision, so that a later statement of the same
--     transaction (after `set constraints all immediate`) opens the next one. Otherwise an instance would apply a part
--     of a revision and never read the rest.
--   * Every role that can connect may notify on any channel: Postgres has no privileges for channels. Therefore each
--     notification contains a secret whose digest was published with the revision before. Only the trigger knows the
--     next secret, so not even the service's own role can forge a change.
--   * Every role that can connect may listen as well. Therefore the content is encrypted with a key that only the
--     service's role can read.
--   * Without room for the content (Postgres accepts payloads below 8,000 bytes), the payload is the revision alone: a
--     hint to read the database, as before.
--
-- docs/decisions/0008-notifications-with-changes.md has the reasons.
--
-- Safe while the release before runs: its instances ignore the payload and read the database at each notification. Its
-- startup check requires the trigger app_global_settings_notify, so the trigger stays, without an effect.

-- The keys are materialized views, because pg_dump neither reads nor locks a materialized view: brune_reader makes
-- backups without access to the keys, and a restored database gets new keys. Each key has 64 bytes, the block of
-- SHA-256, of which 488 bits are random. `refresh materialized view` replaces a key; instances then read the database
-- once more.
create materialized view brune_notification_seed as
  select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as seed;
create materialized view brune_notification_key as
  select uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) as encryption_key;

-- Default privileges let brune_reader read new tables. `brune migrate` grants the service its privilege afterwards.
do $$
declare
  view_name text;
  holder text;
begin
  for view_name, holder in
    select distinct relname, case grantee when 0 then 'public' else grantee::regrole::text end
    from pg_class, aclexplode(relacl)
    where oid in ('brune_notification_seed'::regclass, 'brune_notification_key'::regclass) and grantee <> relowner
  loop
    execute format('revoke all on %I from %s', view_name, holder);
  end loop;
end $$;

-- The SHA-256 of the secret in the notification of the next revision, and the origin of the secret.
alter table app_global_setting_head add column next_digest bytea, add column digest_origin bytea;

-- The origin of secrets: this start of the server, and this database. A revision can come again after a restart (a
-- restored copy of the files, a lost commit) and in a copy of the database (`create database … template`), and a
-- notification of that revision may have been recorded. Every origin has other secrets, and a digest of another origin
-- is ignored. The identifier of the server would add nothing: copies of the files have the same identifier.
create function brune_notification_origin() returns bytea language sql stable as $$
  select pg_catalog.timestamptz_send(pg_catalog.pg_postmaster_start_time()) || pg_catalog.oidsend((
    select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()))
$$;

-- Notifies of the revision that the transaction opened, and closes the revision. Every operator and function has
-- arguments of exactly its types, or is named with its schema: the function runs with the rights of its owner.
create function app_global_setting_head_notifies() returns trigger language plpgsql security definer as $$
-- Without the parameters of a failed statement in its error, whatever the session has set.
#print_strict_params off
declare
  -- In Base64, with revision, nonce, secret and digest, shorter than 8,000 bytes.
  max_bytes constant integer := 5850;
  -- More entries do not fit.
  max_entries constant integer := 100;
  head app_global_setting_head;
  seed bytea;
  encryption_key bytea;
  origin bytea := brune_notification_origin();
  secret bytea;
  next_secret bytea;
  keys text[];
  is_large boolean;
  settings json;
  content bytea;
  nonce bytea;
  keystream bytea := ''::bytea;
  ciphertext bytea;
begin
  begin
    select s.seed, k.encryption_key into strict seed, encryption_key
      from brune_notification_seed s, brune_notification_key k;
  exception when object_not_in_prerequisite_state then
    -- Refreshed `with no data`: no keys, so no content.
    null;
  end;
  -- A secret is SHA-256(seed || origin || revision), and all inputs have the same length.
  seed := seed || origin;
  secret := pg_catalog.sha256(seed || pg_catalog.int8send(new.revision));
  next_secret := pg_catalog.sha256(seed || pg_catalog.int8send(new.revision + 1::bigint));
  update app_global_setting_head
    set opened_xid = null, next_digest = pg_catalog.sha256(next_secret), digest_origin = origin
    where singleton returning * into head;
  if seed is not null then
    -- An import of 10,000 settings costs no more than one of 101. No revision is greater; the condition and the order
    -- let the planner use the index whatever the statistics say, and never read the trail for the one entry.
    keys := array(
      select key from app_global_setting_audit where revision >= head.revision order by revision limit 101);
    if pg_catalog.cardinality(keys) <= max_entries then
      -- Each changed key with its row, as a reload reads the row; a deleted key has no values. Keys of other kinds are
      -- left out: no instance reads their values, and no notification may contain a secret.
      select
        pg_catalog.bool_or(pg_catalog.pg_column_size(s.value_json) > max_bytes),
        pg_catalog.json_agg(pg_catalog.json_build_object(
          'key', d.key,
          'value', case when pg_catalog.pg_column_size(s.value_json) <= max_bytes then s.value_json end,
          'version', s.version,
          'updated_by', s.updated_by,
          'updated_at', (extract(epoch from s.updated_at) * 1000000::numeric)::bigint))
      into is_large, settings
      from app_global_setting_schema d
      left join app_global_settings s on s.key = d.key
      where d.key = any (keys) and d.kind = 'setting'::text;
      if is_large is not true then
        content := pg_catalog.convert_to(pg_catalog.json_build_object(
          'catalog_revision', head.catalog_revision,
          -- As in the statement of a reload: a notification of another timeline is not applied.
          'timeline', pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8),
          'changed_at', (extract(epoch from head.changed_at) * 1000000::numeric)::bigint,
          -- Whether the writer waits until every instance has applied the change.
          'is_awaited', coalesce(pg_catalog.current_setting('brune.is_awaited'::text, true) = 'true'::text, false),
          'settings', coalesce(settings, '[]'::json))::text, 'UTF8'::name);
      end if;
    end if;
  end if;
  if content is null or pg_catalog.octet_length(content) > max_bytes then
    perform pg_catalog.pg_notify('brune_settings'::text, head.revision::text);
    return null;
  end if;
  content := secret || head.next_digest || content;
  -- Counter mode: block i of the keystream is SHA-512(key || nonce || i), of one length for every i.
  nonce := pg_catalog.uuid_send(pg_catalog.gen_random_uuid());
  encryption_key := encryption_key || nonce;
  for block in 0 .. (pg_catalog.octet_length(content) - 1) / 64 loop
    keystream := keystream || pg_catalog.sha512(encryption_key || pg_catalog.int4send(block));
  end loop;
  -- Postgres combines bit strings, not bytes: the bytes become bits in hexadecimal, and four bytes of length precede the
  -- bytes of the result.
  ciphertext := pg_catalog.substr(pg_catalog.bit_send(
    ('x'::text || pg_catalog.encode(content, 'hex'::text))::varbit
    operator(pg_catalog.#) ('x'::text || pg_catalog.encode(
      pg_catalog.substr(keystream, 1, pg_catalog.octet_length(content)), 'hex'::text))::varbit), 5);
  perform pg_catalog.pg_notify('brune_settings'::text, head.revision::text || ' '::text || pg_catalog.replace(
    pg_catalog.encode(nonce || ciphertext, 'base64'::text), E'\n'::text, ''::text));
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
  foreach signature in array array[
    'app_global_setting_head_notifies()', 'app_global_settings_notify()', 'brune_notification_origin()'
  ] loop
    execute format('alter function %s set search_path = pg_catalog, %s, pg_temp', signature::regprocedure, home);
  end loop;
end $$;

-- A session could otherwise read the secret before the commit: `debug_print_plan` sends every plan to a client with
-- `client_min_messages = log`, and a custom plan contains the payload as a constant. A generic plan has no values, and
-- nothing below an error reaches the client. src/database/inspect.rs lists the same settings.
alter function app_global_setting_head_notifies() set plan_cache_mode = force_generic_plan;
alter function app_global_setting_head_notifies() set client_min_messages = error;
alter function app_global_setting_head_notifies() set debug_print_parse = off;
alter function app_global_setting_head_notifies() set debug_print_rewritten = off;
alter function app_global_setting_head_notifies() set debug_print_plan = off;
