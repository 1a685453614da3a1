//! The verification of history: it finds what the owner of the tables changed without the triggers.

use brune::proposals::{Breach, Verification};
use serde_json::{Value, json};

use super::{
    COOLDOWN, PER_DAY, apply, approve, catalog, edit,
    invariants::{applied, change},
    judge, proposal, propose, protected, withdraw,
};
use crate::support::{TestApp, admin, psql};

async fn verify(app: &TestApp) -> Verification {
    brune::proposals::verify(&app.db.pool().into()).await.unwrap()
}

/// Runs `sql` as the owner, without the triggers of `table`.
async fn without_triggers(app: &TestApp, table: &str, sql: &str) {
    let sql = format!(
        "alter table {table} disable trigger user; {sql}; alter table {table} enable trigger user"
    );
    psql::run(&app.db.admin(), sql).await;
}

/// Applies a change of the cooldown to `minutes` with an approval; returns the number.
async fn change_by_the_rules(app: &TestApp, minutes: i64, version: i64) -> i64 {
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(minutes), version)]).await;
    approve(&app.instance, "ben", number).await.ok();
    apply(&app.instance, "cleo", number).await.ok();
    number
}

async fn emergency(app: &TestApp, body: &Value) -> i64 {
    let call = app.instance.patch("/admin/global-settings?emergency=true").bearer(&admin("ana"));
    call.json(body).send().await.ok()["proposal"].as_i64().unwrap()
}

#[tokio::test]
async fn a_history_by_the_rules_is_verified() {
    let app = protected().await;
    change_by_the_rules(&app, 45, 1).await;
    let edited = propose(&app.instance, "ana", &[(COOLDOWN, json!(50), 2)]).await;
    judge(
        &app.instance,
        "ben",
        edited,
        json!({"edition": 1, "verdict": "object", "note": "too long"}),
    )
    .await
    .ok();
    let content = proposal(&[(COOLDOWN, json!(55), 2), (PER_DAY, json!(5), 1)]);
    edit(&app.instance, "dora", edited, 1, &content).await.ok();
    judge(
        &app.instance,
        "ben",
        edited,
        json!({"edition": 2, "verdict": "object", "note": "too long"}),
    )
    .await
    .ok();
    let approval = json!({"edition": 2, "verdict": "approve", "apply": true});
    judge(&app.instance, "ben", edited, approval).await.ok();
    let withdrawn = propose(&app.instance, "ana", &[(COOLDOWN, json!(60), 3)]).await;
    withdraw(&app.instance, "ana", withdrawn).await.ok();
    let first = emergency(&app, &proposal(&[(COOLDOWN, json!(65), 3)])).await;
    judge(&app.instance, "ben", first, json!({"edition": 1, "verdict": "acknowledge"})).await.ok();
    emergency(&app, &proposal(&[(COOLDOWN, json!(70), 4)])).await;
    // More approvals from now on do not count for the past.
    let line = |approvals: u8| format!("key = \"{COOLDOWN}\"\napprovals = {approvals}");
    app.publish(&catalog().replacen(&line(1), &line(2), 1)).await;
    let verification = verify(&app).await;
    assert_eq!(verification.breaches, []);
    assert_eq!((verification.editions, verification.emergencies), (6, 2));
    assert_eq!(verification.unacknowledged, 1);
}

#[tokio::test]
async fn an_altered_edition_is_found() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    for sql in [
        format!("edits = jsonb_set(edits, '{{{COOLDOWN},value}}', '99')"),
        "reason = 'another'".to_owned(),
        "plan = '{\"after\": 1}'".to_owned(),
        "salt = null".to_owned(),
    ] {
        let app = protected().await;
        propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
        let sql = format!("update brune_proposal_edition set {sql}");
        without_triggers(&app, "brune_proposal_edition", &sql).await;
        let breaches = verify(&app).await.breaches;
        assert_eq!(breaches, [Breach::Altered { proposal: 1, edition: 1 }], "{sql}");
    }
    let value = format!("(edits -> '{COOLDOWN}') - 'value' || '{{\"redacted\": true}}'");
    let sql = format!(
        "update brune_proposal_edition set salt = null, edits = jsonb_build_object('{COOLDOWN}', {value})"
    );
    without_triggers(&app, "brune_proposal_edition", &sql).await;
    let breaches = verify(&app).await.breaches;
    assert_eq!(breaches, [Breach::Redacted { proposal: number, edition: 1 }]);
}

#[tokio::test]
async fn a_content_with_a_new_digest_is_found() {
    let app = protected().await;
    propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    let sql = format!(
        "update brune_proposal_edition
         set edits = jsonb_set(edits, '{{{COOLDOWN},value}}', '99');
         update brune_proposal_edition set digest = sha256(salt || convert_to(
           octet_length(edits::text) || ':' || edits::text || ',' || octet_length(plan::text) || ':' || plan::text
           || ',' || octet_length(reason) || ':' || reason || ',', 'UTF8'))"
    );
    without_triggers(&app, "brune_proposal_edition", &sql).await;
    let mut texts: Vec<_> = verify(&app).await.breaches.iter().map(ToString::to_string).collect();
    texts.sort();
    assert_eq!(
        texts,
        [
            "proposal 1 lost or altered `written` by ana of edition 1, which the audit trail records",
            "the audit trail has no entry `written` by ana of edition 1 of proposal 1"
        ]
        .map(str::to_owned)
    );
}

#[tokio::test]
async fn an_altered_verdict_and_a_missing_one_are_found() {
    let app = protected().await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(45), 1)]).await;
    judge(
        &app.instance,
        "ben",
        number,
        json!({"edition": 1, "verdict": "object", "note": "too long"}),
    )
    .await
    .ok();
    let sql = "update brune_proposal_verdict set verdict = 'approve'";
    without_triggers(&app, "brune_proposal_verdict", sql).await;
    let breach = |event: &str| (1, 1, event.to_owned(), "ben".to_owned());
    let (proposal, edition, event, person) = breach("approve");
    let unrecorded = Breach::Unrecorded { proposal, edition, event, person };
    let (proposal, edition, event, person) = breach("object");
    let lost = Breach::Lost { proposal, edition, event, person };
    assert_eq!(verify(&app).await.breaches, [unrecorded, lost.clone()]);
    without_triggers(&app, "brune_proposal_verdict", "delete from brune_proposal_verdict").await;
    assert_eq!(verify(&app).await.breaches, [lost]);
}

#[tokio::test]
async fn a_protected_change_without_its_proposal_or_approvals_is_found() {
    let app = protected().await;
    change_by_the_rules(&app, 40, 1).await;
    let head = "app_global_setting_head";
    let owner_writes = async |sql: &str| {
        let off = format!("alter table {head} disable trigger app_global_setting_head_is_approved");
        let on = format!("alter table {head} enable trigger app_global_setting_head_is_approved");
        psql::run(&app.db.admin(), off).await;
        psql::run(&app.db.admin(), sql).await;
        psql::run(&app.db.admin(), on).await;
    };
    owner_writes(&change(COOLDOWN, "45", 3)).await;
    let number = propose(&app.instance, "ana", &[(COOLDOWN, json!(50), 3)]).await;
    owner_writes(&format!("{}; {}", change(COOLDOWN, "50", 4), applied(number))).await;
    let breaches = verify(&app).await.breaches;
    let [
        Breach::NoProposal { key, .. },
        Breach::NotApproved { proposal, approvals: 0, needed: 1, objections: 0, .. },
    ] = breaches.as_slice()
    else {
        panic!("{breaches:?}")
    };
    assert_eq!((key.as_str(), *proposal), (COOLDOWN, number));
}
