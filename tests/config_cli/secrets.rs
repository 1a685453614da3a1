//! Secrets on the command line: refused by the service, told by neither.

use sqlx::AssertSqlSafe;

use crate::{
    service::{Room, Run, Service, run, with_database},
    support::{NEVER, SECRET, TestDb},
};

const LEVELS: &str = "BRUNE_ELIGIBILITY_ALLOWED_LEVELS";

/// What nobody has ever written before.
fn core() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

impl Run {
    /// Holds it to saying nothing of `word`.
    #[track_caller]
    fn without(self, word: &str) -> Self {
        assert!(!self.out.contains(word) && !self.err.contains(word), "{self:#?}");
        self
    }
}

/// Holds database and log to having nothing of `word`.
async fn is_nowhere(service: &Service, word: &str) {
    assert!(!service.log().contains(word), "{}", service.log());
    let pool = service.pool();
    let all =
        "select table_name::text from information_schema.tables where table_schema = 'public'";
    let tables: Vec<String> = sqlx::query_scalar(all).fetch_all(&pool).await.unwrap();
    for table in tables {
        let sql = format!("select exists (select from {table} it where strpos(it::text, $1) > 0)");
        let there: bool =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(word).fetch_one(&pool).await.unwrap();
        assert!(!there, "{word} in {table}");
    }
}

#[tokio::test]
async fn a_secret_as_value_reason_or_document_is_refused_and_not_printed() {
    let service = Service::start().await;
    let core = core();
    let key = ["sk", "-proj-", &core].concat();
    for (secret, word, looks) in [
        (key.as_str(), core.as_str(), "looks like an OpenAI API key"),
        (SECRET, SECRET, "looks like a secret of this service"),
    ] {
        let refused = |arguments: &[&str]| {
            service.config(arguments).without(word).ends(1, looks);
        };
        refused(&["set", LEVELS, secret, "-r", "a test"]);
        refused(&["set", "BRUNE_PROMPT_VERSION", secret, "-r", "a test", "--dry-run"]);
        refused(&["set", LEVELS, "mid", "-r", secret]);
        refused(&["reset", LEVELS, "-r", secret]);
        refused(&["rollback", LEVELS, "--to-version", "1", "-r", secret, "-y"]);
        for (file, text) in [
            ("new.yaml", format!("format_version: 1\nsettings:\n  {LEVELS}: [\"{secret}\"]\n")),
            ("new.env", format!("{LEVELS}='{secret}'\n")),
        ] {
            service.room.write(file, &text);
            refused(&["import", file, "-r", "a test", "-y"]);
        }
        // What is of the wrong type ends here, and is not told either.
        let output = service.config(&["set", "BRUNE_COOLDOWN_MINUTES", secret, "-r", "a test"]);
        output.without(word).ends(2, "the value must be a number");
        is_nowhere(&service, word).await;
    }
    let trail = service.config(&["history", LEVELS, "--limit", "200"]).ends(0, "");
    let refused = trail.rows().into_iter().filter(|row| row[3] == "refused").count();
    // Of each a value and two reasons; a rollback and an import end with the plan that is shown first.
    assert_eq!(refused, 6, "{trail:#?}");
}

#[tokio::test]
async fn a_never_writable_key_is_refused_and_audited() {
    let service = Service::start().await;
    for key in NEVER {
        let word = core();
        let set = service.config(&["set", key, &word, "-r", "let me in"]);
        set.without(&word).ends(1, "may not be changed here");
        service
            .config(&["set", &key.to_lowercase(), &word, "-r", "let me in"])
            .ends(2, "is not a key");
        service.room.write("in.env", &format!("{key}={word}\n"));
        service.config(&["import", "in.env", "-r", "let me in", "-y"]).without(&word).ends(0, "");
        let trail = service.config(&["history", key]).ends(0, "refused");
        assert_eq!(trail.rows().len(), 1, "{trail:#?}");
        is_nowhere(&service, &word).await;
    }
}

#[tokio::test]
async fn a_secret_as_initial_value_stops_the_start_and_is_not_printed() {
    let room = Room::new();
    let core = core();
    room.write(".env", &format!("{LEVELS}=mid,{}\n", ["gh", "p_", &core, "abcd"].concat()));
    let db = TestDb::empty().await;
    let database = db.owner_url();
    let migrate = |arguments: &[&str]| {
        run(with_database(&mut room.command(arguments), &database)
            .env("BRUNE_PROMPT_VERSION", SECRET))
    };
    for arguments in [&["migrate", "--plan"][..], &["migrate"]] {
        let refusal = migrate(arguments).without(&core).without(SECRET);
        refusal
            .ends(1, "BRUNE_ELIGIBILITY_ALLOWED_LEVELS (.env): looks like a GitHub token")
            .ends(1, "BRUNE_PROMPT_VERSION (the environment): looks like a secret of this service");
    }
    let sql = "select count(*) from app_global_setting_audit";
    let entries: i64 = sqlx::query_scalar(sql).fetch_one(&db.pool()).await.unwrap();
    assert_eq!(entries, 0);
}
