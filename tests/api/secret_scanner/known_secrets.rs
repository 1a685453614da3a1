//! What this process itself holds as a secret is a secret whatever it looks like.

use brune::{
    config::Secret,
    metrics::Metrics,
    outbox::Outbox,
    secret_scanner::SecretScanner,
    settings::{self, BRUN_E, Catalog, PublishError},
};
use serde_json::json;

use super::{LEVELS, places, refusals_of, tells_nothing_of};
use crate::{
    config::{document, import, put},
    settings::{COOLDOWN, patch, stored},
    support::{INTERNAL_KEY, SECRET, TestApp, TestDb},
};

#[tokio::test]
async fn a_secret_of_the_process_is_refused_also_inside_a_longer_text() {
    let app = TestApp::new().await;
    for secret in [SECRET, INTERNAL_KEY] {
        for text in
            [secret.to_owned(), format!("see {secret}, for now"), format!("{secret}{secret}")]
        {
            let changes = json!([{"key": LEVELS, "value": ["mid", text], "version": 1}]);
            let reply = patch(&app.instance, &changes).send().await;
            tells_nothing_of(&reply, secret);
            let problem = reply.problem(400, "secret_like_value");
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("looks like a secret of this service"), "{detail}");
            let body = json!({"value": [text], "version": 1});
            put(&app.instance, LEVELS, body).send().await.problem(422, "secret_like_value");
            let text = document(&json!({LEVELS: [text]}));
            let call = import(&app.instance, "reason=a+test", "application/json", &text);
            call.send().await.problem(400, "secret_like_value");
        }
        assert!(places(&app.db.pool(), secret).await.is_empty());
        // All but its last letter is no secret.
        let part = &secret[..secret.len() - 1];
        let body = json!({"value": [part], "version": 1});
        put(&app.instance, &format!("{LEVELS}?dry_run=true"), body).send().await.ok();
    }
    assert_eq!(refusals_of(&app.db.pool(), LEVELS).await, 18);
}

#[tokio::test]
async fn a_numeric_secret_is_found_in_a_number() {
    let app = TestApp::new().await;
    let digits = SecretScanner::with_known_secrets([Secret::new("8273645546372819".to_owned())]);
    let snapshot = settings::load(&app.db.pool().into()).await.unwrap();
    let service = settings::GlobalSettingsService::new(snapshot, &Metrics::default());
    let pool = app.db.pool().into();
    let writer = settings::SettingsWriter::new(pool, service, digits, Outbox::default());
    let before = stored(&app).await;
    let edit = settings::Edit {
        key: COOLDOWN.to_owned(),
        value: brune::json::StrictJson::Number("8273645546372819".to_owned()),
        version: Some(1),
    };
    let actor = brune::audit::Actor {
        user: brune::ids::UserId::parse("admin-1").unwrap(),
        reason: brune::audit::Reason::parse("a test").unwrap(),
        request: brune::ids::RequestId::new(),
    };
    let terms = settings::WriteOptions { dry_run: true, ..settings::WriteOptions::default() };
    let outcome = writer.update(&actor, &[edit], &terms).await;
    assert!(matches!(outcome, Err(settings::Error::SecretLike(_))), "{outcome:?}");
    assert_eq!(stored(&app).await, before);
}

/// Publishes the built-in catalog, whose keys the environment gives `given` as their first value.
async fn publish(given: &str, firewall: &SecretScanner) -> (TestDb, String) {
    let db = TestDb::new().await;
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let provided = |key: &str| (key == LEVELS).then(|| (Ok(given.to_owned()), ".env"));
    let Err(err) =
        settings::publish(&db.owner().into(), &catalog, &provided, firewall, false).await
    else {
        panic!("{given} was published");
    };
    assert!(matches!(err, PublishError::Conflict(_)), "{err}");
    let planned = settings::plan_of_empty(&catalog, &provided, firewall).unwrap_err();
    assert_eq!(planned.to_string(), err.to_string());
    (db, err.to_string())
}

#[tokio::test]
async fn a_secret_as_first_value_stops_the_start_and_is_not_repeated() {
    let core = super::core();
    let connections = "what this process holds";
    let firewall = SecretScanner::with_known_secrets([Secret::new(connections.to_owned())]);
    for (secret, looks) in [
        (["sk", "-proj-", &core].concat(), "an OpenAI API key"),
        (format!("mid,{connections}"), "a secret of this service"),
    ] {
        let (db, actual) = publish(&secret, &firewall).await;
        let expected = format!("{LEVELS} (.env): looks like {looks}; secrets are never stored");
        assert!(actual.contains(&expected), "{actual}");
        assert!(!actual.contains(&core) && !actual.contains(connections), "{actual}");
        assert!(places(&db.pool(), LEVELS).await.is_empty(), "nothing was published");
    }
}

#[tokio::test]
async fn a_default_that_is_a_secret_of_the_process_is_not_published() {
    let db = TestDb::new().await;
    let catalog = Catalog::parse(BRUN_E).unwrap();
    let firewall =
        SecretScanner::with_known_secrets([Secret::new("pmpt_brune_default".to_owned())]);
    let outcome =
        settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall, false).await;
    let text = outcome.unwrap_err().to_string();
    let expected = "BRUNE_PROMPT_ID: default looks like a secret of this service";
    assert!(text.contains(expected) && !text.contains("pmpt_brune_default"), "{text}");
    assert!(places(&db.pool(), "BRUNE_PROMPT_ID").await.is_empty());
}

#[tokio::test]
async fn a_common_word_as_password_may_still_be_a_value() {
    let words = ["database", "password", "postgres", "settings", "provider", "standard"];
    let firewall =
        SecretScanner::with_known_secrets(words.map(|word| Secret::new(word.to_owned())));
    for path in ["config/brun-e.toml", "config/mcp-gateway.toml", "config/nexus.toml"] {
        let db = TestDb::new().await;
        let text = std::fs::read_to_string(path).unwrap();
        let catalog = Catalog::parse(&text).unwrap();
        settings::publish(&db.owner().into(), &catalog, &|_| None, &firewall, false).await.unwrap();
    }
    assert_eq!(firewall.scan("the password of the database is another one now"), None);
    assert!(firewall.scan("password").is_some());
}

#[tokio::test]
async fn a_reset_to_a_default_that_is_a_secret_is_refused() {
    let app = TestApp::new().await;
    let core = super::core();
    let secret = ["gh", "p_", &core, "abcd"].concat();
    let sql = "update app_global_setting_schema set default_json = to_jsonb(array[$1::text]) where key = $2";
    let pool = app.db.pool();
    sqlx::query(sql).bind(&secret).bind(LEVELS).execute(&app.db.owner()).await.unwrap();
    let path = format!("{LEVELS}?reason=a+test&version=1");
    let reply = crate::config::reset(&app.instance, &path).send().await;
    tells_nothing_of(&reply, &core);
    reply.problem(422, "secret_like_value");
    assert_eq!(refusals_of(&pool, LEVELS).await, 1);
    assert_eq!(places(&pool, &core).await, ["app_global_setting_schema"]);
}
