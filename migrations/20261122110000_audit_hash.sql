-- The hash of an audit row, of the same text as before: fields joined in one loop. A call of a function for
-- each field took five sixths of the time of a great import.
create or replace function app_global_setting_audit_hash(entry app_global_setting_audit) returns bytea
language plpgsql immutable as $$
declare
  field text;
  hashed text := '';
begin
  -- Each field is its length in bytes and itself, so that no two rows read the same.
  foreach field in array array[
    entry.seq::text,
    entry.id::text,
    entry.revision::text,
    entry.key,
    entry.action,
    encode(entry.old_value_digest, 'hex'),
    encode(entry.new_value_digest, 'hex'),
    entry.version::text,
    entry.changed_by,
    entry.reason,
    entry.request_id,
    to_char(entry.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
  ] loop
    hashed := hashed || coalesce(octet_length(field) || ':' || field, '-') || ',';
  end loop;
  return sha256(entry.prev_hash || convert_to(hashed, 'UTF8'));
end $$;
drop function app_global_setting_audit_field(text);
