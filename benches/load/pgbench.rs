//! What Postgres itself can do: the same insert, from its own client.

use std::{fs, path::Path};

use brune::embedded_postgres::Server;
use tokio::process::Command;

const SQL: &str = "insert into brune_session (id, user_id, plan, level, started_at, expires_at, \
     settings_revision, prompt_id, prompt_version, model, session_max_minutes) \
     values (gen_random_uuid(), gen_random_uuid()::text, 'pro', 'senior', now(), now() + interval '30 minutes', \
     1, 'pmpt_brune_default', '1', 'gpt-realtime', 30);\n";

/// Inserts per second of `clients` clients; `None` where there is no `pgbench` beside the server's program.
pub(crate) async fn inserts(
    server: &Server,
    database: &str,
    clients: usize,
    script: &Path,
) -> Option<f64> {
    let program = fs::read_link(format!("/proc/{}/exe", server.postmaster()?)).ok()?;
    let program = program.with_file_name("pgbench");
    fs::write(script, SQL).unwrap();
    let options = server.options();
    let output = Command::new(program)
        .args(["-n", "-M", "prepared", "-j", "2", "-T", "5", "-c", &clients.to_string(), "-f"])
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
    assert!(rate.is_some(), "pgbench said {text} {}", String::from_utf8_lossy(&output.stderr));
    rate
}
