//! The rate of a statement by pgbench, the benchmark client of Postgres.

use std::{fs, path::Path};

use brune::embedded_postgres::Server;
use tokio::process::Command;

/// Inserts the row of a session start.
pub(crate) const SESSION: &str = "insert into brune_session (id, user_id, plan, level, started_at, expires_at, \
     settings_revision, prompt_id, prompt_version, model, session_max_minutes) \
     values (gen_random_uuid(), gen_random_uuid()::text, 'pro', 'senior', now(), now() + interval '30 minutes', \
     1, 'pmpt_brune_default', '1', 'gpt-realtime', 30);\n";

/// The rows of a change of one setting; triggers write the head, and notify.
pub(crate) const CHANGE: &str = "with updated as (update app_global_settings \
     set value_json = to_jsonb(version % 200), version = version + 1, updated_by = 'admin' \
     where key = 'BENCH_SETTING_00004' returning key, value_json, version) \
     insert into app_global_setting_audit (id, key, action, new_value_json, version, changed_by, reason, request_id) \
     select gen_random_uuid(), key, 'update', value_json, version, 'admin', 'measuring', gen_random_uuid()::text \
     from updated;\n";

/// Returns how often `clients` clients execute `sql` in a second, measured for `seconds`; `None` if the directory of the
/// server's program has no `pgbench`.
pub(crate) async fn rate(
    server: &Server,
    database: &str,
    clients: usize,
    (script, sql): (&Path, &str),
    seconds: u32,
) -> Option<f64> {
    let program = fs::read_link(format!("/proc/{}/exe", server.postmaster()?)).ok()?;
    let program = program.with_file_name("pgbench");
    fs::write(script, sql).unwrap();
    let options = server.options();
    let output = Command::new(program)
        .args(["-n", "-M", "prepared", "-j", &clients.min(2).to_string()])
        .args(["-T", &seconds.to_string(), "-c", &clients.to_string(), "-f"])
        .arg(script)
        .arg("-h")
        .arg(options.get_socket()?)
        .args(["-p", &options.get_port().to_string(), "-U", options.get_username(), database])
        .output()
        .await
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
    let rate = rate.and_then(|value| value.split(' ').next()?.parse().ok());
    assert!(
        rate.is_some(),
        "unexpected output of pgbench: {text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    rate
}
