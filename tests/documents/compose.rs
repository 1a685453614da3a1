//! What `docker-compose.yml` runs in its Postgres, and what its services log in as.

use std::process::Command;

use sqlx::Row as _;

use crate::support::{cluster::Cluster, programs::need};

const COMPOSE: &str = include_str!("../../docker-compose.yml");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The script of the config `roles`, as the shell gets it.
fn script() -> String {
    let (_, block) = COMPOSE.split_once("    content: |\n").unwrap();
    let lines = block.lines().take_while(|line| line.is_empty() || line.starts_with("      "));
    let lines = lines.map(|line| line.strip_prefix("      ").unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n").replace("$$", "$")
}

/// The lines of the service `name`.
fn service(name: &str) -> &'static str {
    let (_, rest) = COMPOSE.split_once(&format!("\n  {name}:\n")).unwrap();
    rest.split("\n\n").next().unwrap()
}

/// Runs `script` as the image does: knowing the superuser and the database.
fn run(cluster: &Cluster, script: &str) {
    let mut command = Command::new("sh");
    let command = command.args(["-e", "-c", script]).env("PGHOST", cluster.socket());
    let output = command.env("POSTGRES_USER", "postgres").env("POSTGRES_DB", "mine").output();
    let output = output.unwrap();
    let actual_output = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && actual_output.is_empty(), "{actual_output}");
}

#[tokio::test]
async fn compose_roles_migrate_and_serve_on_new_and_older_volumes() {
    need("command -v psql");
    for older in [false, true] {
        let mut cluster = Cluster::new().await;
        if older {
            cluster.command("postgres", &["migrate"]).ok();
        }
        let owner = cluster.home.write("postgres_owner_password", "the owner's\n");
        cluster.home.write("postgres_service_password", "the service's\n");
        let secrets = owner.parent().unwrap().to_str().unwrap().to_owned();
        // Under the names of the private Postgres nobody would be asked for a password.
        let script = script().replace("/run/secrets", &secrets);
        let script =
            script.replace("brune_migrate", "c_migrate").replace("brune_serve'", "c_serve'");
        let script = script.replace("alter role brune_serve ", "alter role c_serve ");
        run(&cluster, &script);
        // A second time, with another password.
        cluster.home.write("postgres_service_password", "another\n");
        run(&cluster, &script);
        let mut service = |user: &str, secret: &str, arguments: &[&str]| {
            let socket = cluster.socket();
            let file = format!("{secrets}/{secret}");
            for (name, value) in [
                ("DATABASE_URL", ""),
                ("POSTGRES_HOST", socket.as_str()),
                ("POSTGRES_USER", user),
                ("POSTGRES_DB", "mine"),
                ("POSTGRES_PASSWORD_FILE", file.as_str()),
            ] {
                cluster.home.set(name, value);
            }
            cluster.home.run(arguments)
        };
        service("c_migrate", "postgres_owner_password", &["migrate"]).ok();
        let output = service("c_migrate", "postgres_owner_password", &["migrate", "--roles"]).ok();
        assert!(output.starts_with("nothing to do"), "{output}");
        let output = service("c_serve", "postgres_service_password", &["doctor"]).ok();
        assert!(
            output.contains("database role: c_serve has only the privileges of brune_service"),
            "{output}"
        );
        let other = service("c_serve", "postgres_owner_password", &["doctor"]);
        other.refused(&["password authentication failed"]);
        let owners = "select distinct pg_get_userbyid(relowner)::text from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'm', 'S')";
        let rows = sqlx::query(owners).fetch_all(&cluster.admin()).await.unwrap();
        assert_eq!((rows.len(), rows[0].get::<&str, _>(0)), (1, "brune_owner"));
        cluster.stop().await;
    }
}

#[test]
fn each_compose_service_has_only_the_password_of_its_role() {
    let migrate = service("migrate");
    let serve = service("service");
    for (lines, user, secret, others) in [
        (
            migrate,
            "brune_migrate",
            "postgres_owner_password",
            ["service_password", "postgres_password"],
        ),
        (
            serve,
            "brune_serve",
            "postgres_service_password",
            ["owner_password", "postgres_password"],
        ),
    ] {
        assert!(lines.contains(&format!("POSTGRES_USER: {user}\n")), "{lines}");
        assert!(lines.contains(&format!("POSTGRES_PASSWORD_FILE: /run/secrets/{secret}\n")));
        assert!(lines.contains(&format!("secrets: [{secret}, ")), "{lines}");
        assert!(others.iter().all(|other| !lines.contains(other)), "{lines}");
    }
    // Each secret is made as the documents say.
    let secrets =
        COMPOSE.split("file: ./").skip(1).map(|rest| rest.split_whitespace().next().unwrap());
    for secret in secrets {
        assert!(OPERATIONS.contains(&format!(" > {secret}")), "{secret}");
    }
}
