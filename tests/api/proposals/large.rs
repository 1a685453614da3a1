//! Emergencies with more changes than a proposal by people may have.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{PROPOSALS, find, get, judge, post, proposal};
use crate::support::{Call, TestApp, admin};

/// More than the 500 changes of a proposal.
const COUNT: usize = 512;

fn key(index: usize) -> String {
    format!("SETTING_{index:03}")
}

/// A catalog of [`COUNT`] numbers, of which the first one is protected.
fn catalog() -> String {
    let mut text = "catalog = \"large\"\ndescription = \"Many settings.\"\n".to_owned();
    for index in 0..COUNT {
        let approvals = u8::from(index == 0);
        let key = key(index);
        write!(
            text,
            "\n[[setting]]\nkey = \"{key}\"\napprovals = {approvals}\ncategory = \"test\"\ntype = \"number\"\n\
             default = 1\napplies = \"hot\"\ndescription = \"A number.\"\n"
        )
        .unwrap();
    }
    text
}

async fn emergency(call: Call<'_>) -> i64 {
    call.bearer(&admin("ana")).send().await.ok()["proposal"].as_i64().unwrap()
}

#[tokio::test]
async fn an_emergency_may_exceed_the_limit_of_proposals_and_every_reader_copes() {
    let app = TestApp::with_catalog(&catalog()).await;
    let instance = &app.instance;
    let settings: serde_json::Map<_, _> = (0..COUNT).map(|index| (key(index), json!(2))).collect();
    let path = "/admin/config/import?reason=on+fire&on_conflict=overwrite&emergency=true";
    let call = instance.post(path).json(&json!({"format_version": 1, "settings": settings}));
    let imported = emergency(call).await;
    let body = json!({"reason": "back", "to_revision": 1, "revision": 2});
    let path = "/admin/global-settings/rollback?emergency=true";
    let restored = emergency(instance.post(path).json(&body)).await;
    for (number, value) in [(imported, 2), (restored, 1)] {
        let stored = find(instance, number).await;
        let changes = stored["changes"].as_array().unwrap();
        assert_eq!(changes.len(), COUNT);
        assert!(changes.iter().all(|change| change["value"] == value), "{stored}");
        let editions = get(instance, &format!("{PROPOSALS}/{number}/editions/1")).send().await;
        assert_eq!(editions.ok()["changes"].as_array().unwrap().len(), COUNT);
        let acknowledged = json!({"edition": 1, "verdict": "acknowledge"});
        judge(instance, "ben", number, acknowledged).await.ok();
    }
    let list = get(instance, PROPOSALS).send().await.ok();
    assert_eq!(list["proposals"][0]["keys"].as_array().unwrap().len(), COUNT);
    let verification = brune::proposals::verify(&app.db.pool().into()).await.unwrap();
    assert_eq!(verification.breaches, []);
    // A proposal by people keeps the limit: somebody has to read each change.
    let keys: Vec<_> = (0..COUNT).map(key).collect();
    let changes: Vec<_> = keys.iter().map(|key| (key.as_str(), json!(3), 3)).collect();
    let problem = post(instance, "ana", PROPOSALS, &proposal(&changes)).await;
    let problem = problem.problem(400, "malformed_request");
    assert_eq!(problem["errors"][0]["pointer"], Value::from("/changes"), "{problem}");
}
