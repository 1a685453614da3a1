//! Catalogs that are published while proposals are open.

use brune::settings::{self, BRUN_E, Catalog};
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, apply, approve, blocks, catalog,
    due::{in_minutes, let_minutes_pass, schedule},
    find, judge, propose, protected, value,
};
use crate::support::{TestApp, firewall, psql};

/// A catalog with one setting of one approval.
pub(super) const ONE: &str = r#"
catalog = "one"
description = "A setting, and another that comes and goes."

[[setting]]
key = "STAYS"
category = "test"
type = "number"
default = 1
applies = "hot"
description = "A number."
"#;

/// The part of a catalog that declares `GOES` as a number.
pub(super) const GOES: &str = r#"
[[setting]]
key = "GOES"
category = "test"
type = "number"
default = 1
applies = "hot"
description = "A number."
"#;

/// The catalog of [`protected`] with another number of approvals of the cooldown.
fn with_approvals(approvals: u8) -> String {
    let line = |approvals: u8| format!("key = \"{COOLDOWN}\"\napprovals = {approvals}");
    catalog().replacen(&line(1), &line(approvals), 1)
}

async fn state(app: &TestApp, number: i64) -> (Value, Value) {
    let proposal = find(&app.instance, number).await;
    (proposal["state"].clone(), proposal["failure"].clone())
}

#[tokio::test]
async fn more_approvals_count_for_a_proposal_that_was_approved() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    assert_eq!(blocks(&find(&app.instance, number).await), [""; 0]);
    app.publish(&with_approvals(2)).await;
    // Under the lock the instance notices the declaration, even before a reload.
    let problem = apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    assert_eq!(problem["standing"]["needed"], 2, "{problem}");
    assert_eq!(blocks(&find(&app.instance, number).await), ["not_approved"]);
    approve(&app.instance, "cleo", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
}

#[tokio::test]
async fn fewer_approvals_count_and_an_objection_still_blocks() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let objection = json!({"edition": 1, "verdict": "object", "note": "too long"});
    judge(&app.instance, "ben", number, objection).await.ok();
    app.publish(BRUN_E).await;
    apply(&app.instance, "ana", number).await.problem(409, "not_approved");
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
    // Protected again, the plain write is refused, also by an instance that has not reloaded.
    app.publish(&catalog()).await;
    app.instance.change(&[(COOLDOWN, json!(50), 2)]).await.problem(403, "approval_required");
}

#[tokio::test]
async fn a_proposal_of_a_key_that_left_the_catalog_fails() {
    let app = TestApp::with_catalog(&format!("{ONE}{GOES}")).await;
    let at = json!({"at": in_minutes(60)});
    let goes = schedule(&app, "GOES", json!(2), at.clone()).await;
    let stays = schedule(&app, "STAYS", json!(2), at).await;
    let publish = async || {
        let catalog = Catalog::parse(ONE).unwrap();
        settings::publish(&app.db.owner().into(), &catalog, &|_| None, &firewall(), false).await
    };
    // A stored setting keeps its declaration.
    assert!(publish().await.is_err());
    psql::delete(&app.db.admin(), "GOES").await;
    publish().await.unwrap();
    let_minutes_pass(&app, goes, 61).await;
    let_minutes_pass(&app, stays, 61).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(state(&app, goes).await, (json!("failed"), json!("invalid")));
    assert_eq!(state(&app, stays).await.0, "applied");
}

#[tokio::test]
async fn a_proposal_of_a_key_with_another_type_fails() {
    let app = TestApp::with_catalog(&format!("{ONE}{GOES}")).await;
    let goes = schedule(&app, "GOES", json!(2), json!({"at": in_minutes(60)})).await;
    psql::delete(&app.db.admin(), "GOES").await;
    let text = GOES.replace("\"number\"\ndefault = 1", "\"string\"\ndefault = \"a\"");
    app.publish(&format!("{ONE}{text}")).await;
    assert!(find(&app.instance, goes).await["changes"][0]["value"].is_number());
    let_minutes_pass(&app, goes, 61).await;
    app.instance.apply_due_proposals().await;
    assert_eq!(state(&app, goes).await, (json!("failed"), json!("invalid")));
}

#[tokio::test]
async fn the_first_value_of_a_protected_setting_is_free() {
    let app = TestApp::with_catalog(&format!("{ONE}{GOES}")).await;
    psql::set(&app.db.admin(), "GOES", "2").await;
    psql::delete(&app.db.admin(), "GOES").await;
    // The setting is declared again, protected: the default is its third version.
    app.publish(&format!("{ONE}{GOES}approvals = 1\n")).await;
    assert_eq!(value(&app.instance, "GOES").await, (json!(1), 3));
    // Deleted and inserted by one transaction, a protected setting has a value before.
    let mut transaction = app.db.pool().begin().await.unwrap();
    let sql = "delete from app_global_settings where key = 'GOES';
        insert into app_global_setting_audit (key, action, old_value_json, changed_by, reason)
          values ('GOES', 'reset', '1', 'eve', 'by hand');
        insert into app_global_settings (key, value_type, value_json, version, updated_by, updated_at, revision)
          values ('GOES', 'number', '7', 4, 'eve', now(), 0);
        insert into app_global_setting_audit (key, action, new_value_json, version, changed_by, reason)
          values ('GOES', 'update', '7', 4, 'eve', 'by hand')";
    let result = sqlx::raw_sql(sql).execute(&mut *transaction).await;
    let refused = match result {
        Ok(_) => transaction.commit().await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    assert_eq!(value(&app.instance, "GOES").await, (json!(1), 3));
}

#[tokio::test]
async fn publishing_seeds_no_value_over_a_protected_one() {
    let app = protected().await;
    let number =
        propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1)]).await;
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "ana", number).await.ok();
    app.publish(&catalog().replace("default = 30", "default = 31")).await;
    assert_eq!(value(&app.instance, COOLDOWN).await, (json!(45), 2));
}
