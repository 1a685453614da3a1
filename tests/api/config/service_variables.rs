//! Documents that people have: a deployment's own `.env`, with variables of this service and of others in it.

use serde_json::{Value, json};

use super::{IMPORT, WORD, classes, import, one, plan};
use crate::{
    settings::{COOLDOWN, PER_DAY, entries},
    support::{Instance, TestApp, admin},
};

const ENV: &str = "text/plain";

async fn plan_with(instance: &Instance, query: &str, text: &str) -> Value {
    import(instance, &format!("dry_run=true&{query}"), ENV, text).send().await.ok()
}

#[tokio::test]
async fn every_variable_of_the_service_is_locked_and_its_value_is_hidden() {
    let app = TestApp::new().await;
    let secrets = brune::config::VARIABLES.iter().filter(|variable| variable.is_secret);
    let files = secrets.map(|variable| format!("{}_FILE", variable.name));
    let names: Vec<String> = brune::config::VARIABLES
        .iter()
        .map(|variable| variable.name.to_owned())
        .chain(files)
        .collect();
    assert!(names.len() > 50, "{names:?}");
    for name in ["BRUNE_LISTEN", "DATABASE_URL", "JWT_SECRET_FILE", "POSTGRES_PASSWORD_FILE"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let mut lines = String::new();
    for name in &names {
        lines.extend([name, "=postgres://u:", WORD, "-1@db/x\n"]);
    }
    let text = format!("{lines}{COOLDOWN}=45\n");
    let import_plan = plan(&app.instance, ENV, &text).await;
    for (key, class) in classes(&import_plan) {
        assert_eq!(class, if key == COOLDOWN { "change" } else { "locked" }, "{key}");
    }
    assert!(!import_plan.to_string().contains(WORD), "{import_plan}");
    let reply = import(&app.instance, "reason=moving+in", ENV, &text).send().await;
    assert!(!reply.text.contains(WORD), "{}", reply.text);
    let reply = reply.ok();
    assert_eq!(reply["ignored"].as_array().unwrap().len(), names.len(), "{reply}");
    assert_eq!(one(&app.instance, COOLDOWN).await["value"], 45);
    let trail = Value::from(entries(&app.instance, "action=refused").await).to_string();
    assert!(!trail.contains(WORD), "{trail}");
}

#[tokio::test]
async fn a_write_to_a_variable_of_the_service_is_refused_and_audited() {
    let app = TestApp::new().await;
    for name in ["POSTGRES_PASSWORD", "JWT_SECRET_FILE", "REDIS_URL"] {
        app.instance.change(&[(name, json!(WORD), 1)]).await.problem(403, "key_locked");
        let trace = entries(&app.instance, &format!("action=refused&key={name}")).await;
        assert_eq!(trace.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_catalog_may_declare_a_variable_of_the_service() {
    let text = r#"
catalog = "tiny"
description = "One setting."

[[setting]]
key = "REDIS_URL"
category = "cache"
type = "string"
default = "redis://cache"
applies = "hot"
description = "Where the cache is."
"#;
    let app = TestApp::with_catalog(text).await;
    let import_plan =
        plan(&app.instance, ENV, "REDIS_URL=redis://other\nBRUNE_LISTEN=127.0.0.1:1\n").await;
    assert_eq!(classes(&import_plan), [("BRUNE_LISTEN", "locked"), ("REDIS_URL", "change")]);
}

#[tokio::test]
async fn undeclared_keys_are_skipped_on_request() {
    let app = TestApp::new().await;
    let text = format!(
        "{COOLDOWN}=45\nAPP_NAME=shop\nSTRIPE_KEY=sk_live_{0}\nAWS_SECRET={WORD}\n",
        "4eC39HqLyjWDarjtT1zdp7dc"
    );
    let actual_import_plan = plan(&app.instance, ENV, &text).await;
    assert_eq!(actual_import_plan["refusal"]["code"], "secret_like_value", "{actual_import_plan}");
    import(&app.instance, "reason=moving+in", ENV, &text)
        .send()
        .await
        .problem(400, "secret_like_value");
    let import_plan = plan_with(&app.instance, "on_unknown=skip", &text).await;
    assert_eq!(
        classes(&import_plan),
        [
            ("APP_NAME", "unknown"),
            ("AWS_SECRET", "unknown"),
            (COOLDOWN, "change"),
            ("STRIPE_KEY", "unknown"),
        ]
    );
    for entry in import_plan["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["class"] == "unknown")
    {
        assert!(entry["detail"].as_str().unwrap().ends_with("; skipped"), "{entry}");
        assert_eq!((&entry["imported"], &entry["current"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(import_plan["refusal"], Value::Null);
    assert!(
        !import_plan.to_string().contains(WORD) && !import_plan.to_string().contains("sk_live"),
        "{import_plan}"
    );
    let id = import_plan["plan_id"].as_str().unwrap();
    // The plan was drawn up with the others left out, and holds for nothing else.
    let other = import(&app.instance, &format!("reason=moving+in&plan_id={id}"), ENV, &text);
    other.send().await.problem(400, "secret_like_value");
    let query = format!("reason=moving+in&on_unknown=skip&plan_id={id}");
    let reply = import(&app.instance, &query, ENV, &text).header("idempotency-key", "once");
    let reply = reply.send().await.ok();
    assert_eq!(reply["changed"].as_array().unwrap().len(), 1, "{reply}");
    assert_eq!(reply["ignored"], json!(["APP_NAME", "STRIPE_KEY", "AWS_SECRET"]));
    let repeat = import(&app.instance, &query, ENV, &text).header("idempotency-key", "once");
    assert_eq!(repeat.send().await.ok(), reply);
    let trail = entries(&app.instance, "action=refused").await;
    assert!(!Value::from(trail).to_string().contains("APP_NAME"));
    import(&app.instance, "on_unknown=drop", ENV, &text)
        .send()
        .await
        .problem(400, "malformed_request");
}

#[tokio::test]
async fn a_plan_predicts_the_response_of_the_import() {
    let app = TestApp::new().await;
    app.instance.change(&[(PER_DAY, json!(9), 1)]).await.ok();
    let conflict = format!("# brune:revision=1\n{PER_DAY}=7\n");
    for (query, text, status, code) in [
        ("", format!("{COOLDOWN}=45\n"), 200, ""),
        ("", format!("{COOLDOWN}=45\nJWT_SECRET={WORD}\n"), 200, ""),
        ("", "NOPE=1\n".to_owned(), 400, "validation_failed"),
        ("on_unknown=skip", "NOPE=1\n".to_owned(), 200, ""),
        ("on_unknown=refuse", "NOPE=1\n".to_owned(), 400, "validation_failed"),
        ("", format!("{COOLDOWN}=900\n"), 400, "validation_failed"),
        ("on_unknown=skip", format!("{COOLDOWN}=900\n"), 400, "validation_failed"),
        (
            "",
            format!("BRUNE_PROMPT_ID=sk_live_{}\n", "4eC39HqLyjWDarjtT1zdp7dc"),
            400,
            "secret_like_value",
        ),
        ("", conflict.clone(), 409, "version_conflict"),
        ("on_conflict=skip", conflict.clone(), 200, ""),
        ("on_conflict=overwrite", conflict, 200, ""),
    ] {
        let import_plan = plan_with(&app.instance, query, &text).await;
        let refusal = import_plan["refusal"]["code"].as_str().unwrap_or_default();
        assert_eq!(refusal, code, "{text} {import_plan}");
        let real =
            import(&app.instance, &format!("reason=a+test&{query}"), ENV, &text).send().await;
        if code.is_empty() {
            real.ok();
            let restore = format!("# brune:revision=1\n{PER_DAY}=9\n");
            let query = "reason=back&on_conflict=overwrite";
            import(&app.instance, query, ENV, &restore).send().await.ok();
        } else {
            let problem = real.problem(status, code);
            assert_eq!(import_plan["refusal"]["status"], status);
            assert_eq!(import_plan["refusal"]["title"], problem["title"]);
        }
    }
}

#[tokio::test]
async fn a_quoted_multi_line_value_is_one_error() {
    let app = TestApp::new().await;
    let key = "-----BEGIN\n".to_owned() + &"abc=def\n".repeat(18) + "-----END";
    for quote in ['"', '\''] {
        let text = format!("{COOLDOWN}=45\nTLS_KEY={quote}{key}{quote}\nnonsense\n");
        let call = app.instance.post(&format!("{IMPORT}?dry_run=true")).bearer(&admin("admin-1"));
        let reply = call.raw(text).header("content-type", ENV).send().await;
        let problem = reply.problem(400, "malformed_request");
        let details: Vec<_> = problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["detail"].as_str().unwrap())
            .collect();
        assert_eq!(details.len(), 2, "{details:?}");
        assert!(details[0].starts_with("lines 2 to 21: "), "{details:?}");
        assert!(details[1].starts_with("line 22: "), "{details:?}");
    }
}
