//! The trail verified: whole after everything that may happen, and every tampering named.

use brune::{
    audit::{ChainBreak, Verification, verify, verify_after},
    database::{self, TransactionError},
};
use serde_json::json;

use super::{COOLDOWN, PER_DAY, ROLLBACK, at, faults, patch, psql, read, rollback, set_by_sql};
use crate::support::TestApp;

async fn verified(app: &TestApp) -> (i64, Vec<ChainBreak>) {
    verify(&app.db.pool().into()).await.unwrap()
}

/// One of everything that writes to the trail.
async fn lived_in() -> TestApp {
    let app = TestApp::new().await;
    let words = json!(["é", "漢字", "a,b:c", "\"quoted\"", "back\\slash"]);
    let levels = ("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", words, 1);
    app.instance.change(&[(COOLDOWN, json!(45), 1), (PER_DAY, json!(5), 1), levels]).await.ok();
    let locked =
        json!([{"key": "JWT_SECRET", "value": "x"}, {"key": COOLDOWN, "value": 50, "version": 2}]);
    patch(&app.instance, &locked).send().await.problem(403, "key_locked");
    patch(&app.instance, &locked).header("prefer", "handling=lenient").send().await.ok();
    set_by_sql(&app.db.pool(), PER_DAY, &json!(6)).await.unwrap();
    let actual_rollback = json!({"to_revision": 1, "revision": 4});
    rollback(&app.instance, ROLLBACK, actual_rollback).send().await.ok();
    psql(&app.db.pool(), "begin;
        delete from app_global_settings where key = 'BRUNE_MAX_SESSIONS_PER_DAY';
        insert into app_global_setting_audit (key, action, old_value_json, changed_by, reason, changed_at)
          values ('BRUNE_MAX_SESSIONS_PER_DAY', 'reset', '3', 'psql', 'by hand', now());
        commit").await.unwrap();
    app
}

#[tokio::test]
async fn the_audit_chain_is_intact_after_every_operation() {
    let app = lived_in().await;
    // 9 seeds, 3 changes, 1 refused, 1 refused and 1 change, 1 by hand, 3 back, 1 deletion.
    assert_eq!(verified(&app).await, (20, vec![]));
}

/// Runs `sql` as a superuser would who first switches the triggers off.
async fn tamper(app: &TestApp, sql: &'static str) {
    let pool = app.db.admin();
    for table in ["app_global_setting_audit", "app_global_setting_head", "app_global_settings"] {
        let off = format!("alter table {table} disable trigger all");
        sqlx::raw_sql(sqlx::AssertSqlSafe(off)).execute(&pool).await.unwrap();
    }
    psql(&pool, sql).await.unwrap();
}

#[tokio::test]
async fn every_tampering_is_reported() {
    for (sql, expected) in [
        ("update app_global_setting_audit set reason = 'better' where seq = 10", ChainBreak::Altered(10)),
        ("update app_global_setting_audit set changed_by = 'eve' where seq = 10", ChainBreak::Altered(10)),
        ("update app_global_setting_audit set new_value_json = '46' where seq = 11", ChainBreak::Altered(11)),
        ("update app_global_setting_audit set old_value_json = null where seq = 12", ChainBreak::Altered(12)),
        ("update app_global_setting_audit set changed_at = changed_at - interval '1 microsecond'
            where seq = 10", ChainBreak::Altered(10)),
        ("update app_global_setting_audit set request_id = '' where seq = 10", ChainBreak::Altered(10)),
        ("update app_global_setting_audit set revision = 1 where seq = 10", ChainBreak::Altered(10)),
        // The forger who computes the hash anew breaks the next link.
        ("update app_global_setting_audit set reason = 'better' where seq = 10;
          update app_global_setting_audit a set hash = app_global_setting_audit_hash(a) where seq = 10",
            ChainBreak::Unchained(11)),
        ("delete from app_global_setting_audit where seq = 13", ChainBreak::Gap(13)),
        ("update app_global_settings set value_json = '99' where key = 'BRUNE_COOLDOWN_MINUTES'",
            ChainBreak::Stray(COOLDOWN.to_owned())),
        ("delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'",
            ChainBreak::Stray(COOLDOWN.to_owned())),
        ("insert into app_global_settings
            (key, value_json, value_type, updated_by, updated_at, version, revision)
            values ('BRUNE_MAX_SESSIONS_PER_DAY', '3', 'number', 'psql', now(), 9, 5)",
            ChainBreak::Stray(PER_DAY.to_owned())),
    ] {
        let app = lived_in().await;
        tamper(&app, sql).await;
        assert_eq!(verified(&app).await.1, [expected], "{sql}");
    }
    // Of a key that changed later, the first version is missed as well.
    let app = lived_in().await;
    tamper(&app, "delete from app_global_setting_audit where seq <= 1").await;
    let version = ChainBreak::VersionGap { entry: 10, key: COOLDOWN.to_owned(), version: 2 };
    assert_eq!(verified(&app).await.1, [ChainBreak::Gap(1), version]);
}

/// What the holes that were open until the migration `least_privilege` left behind, and no later change can hide.
#[tokio::test]
async fn gaps_in_versions_and_revisions_are_found_in_spite_of_later_entries() {
    let gap =
        |entry, key: &str, version| ChainBreak::VersionGap { entry, key: key.to_owned(), version };
    for (sql, expected) in [
        // The change of a session that shadowed the trail, which had no entry.
        (
            "update app_global_settings set value_json = '99', version = version + 1
               where key = 'BRUNE_MAX_SESSIONS_PER_DAY'",
            vec![gap(10, PER_DAY, 3)],
        ),
        // The head was set to another revision.
        (
            "update app_global_setting_head set revision = 900",
            vec![ChainBreak::RevisionGap { entry: 10, revision: 901, after: 1 }],
        ),
        (
            "update app_global_setting_head set revision = -1",
            vec![ChainBreak::RevisionGap { entry: 10, revision: 0, after: 1 }],
        ),
    ] {
        let app = TestApp::new().await;
        tamper(&app, sql).await;
        for table in ["app_global_setting_audit", "app_global_setting_head", "app_global_settings"]
        {
            let on = format!("alter table {table} enable trigger all");
            sqlx::raw_sql(sqlx::AssertSqlSafe(on)).execute(&app.db.admin()).await.unwrap();
        }
        set_by_sql(&app.db.pool(), PER_DAY, &json!(5)).await.unwrap();
        assert_eq!(verified(&app).await.1, expected, "{sql}");
        // In parts it is the same, wherever a part ends.
        for most in [1, 9, 10, 20_000] {
            let parts = in_parts(&app, most).await;
            let breaks: Vec<ChainBreak> = parts.into_iter().flat_map(|part| part.breaks).collect();
            assert_eq!(breaks, expected, "{most}: {sql}");
        }
    }
}

#[tokio::test]
async fn a_head_that_is_not_the_newest_entry_is_found() {
    let app = lived_in().await;
    for revision in [900, 0] {
        let set = format!(
            "alter table app_global_setting_head disable trigger all;
             update app_global_setting_head set revision = {revision}"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&app.db.admin()).await.unwrap();
        let expected = ChainBreak::Head { revision, newest: 6 };
        assert_eq!(verified(&app).await.1, [expected]);
    }
    let broken = read(&app.instance, "/admin/audit/verify").await.ok();
    let detail = "the head has revision 0, but the newest audit entry has revision 6";
    let expected = json!([{"code": "head", "entry": null, "key": null, "detail": detail}]);
    assert_eq!(broken["breaks"], expected);
}

#[tokio::test]
async fn a_value_can_be_erased_with_its_salt() {
    let app = lived_in().await;
    tamper(
        &app,
        "update app_global_setting_audit
        set old_value_json = null, new_value_json = null, salt = null where seq = 10",
    )
    .await;
    assert_eq!(verified(&app).await.1, []);
}

/// The trail in parts of `most` entries, each going on from the one before.
async fn in_parts(app: &TestApp, most: i64) -> Vec<Verification> {
    let pool = app.db.pool().into();
    let mut parts: Vec<Verification> = Vec::new();
    while parts.last().is_none_or(|part| !part.is_end) {
        let after = parts.last().map_or(0, |part| part.last);
        let part = database::read_with_retry(&pool, async |conn| {
            Ok::<_, TransactionError>(verify_after(conn, after, most).await?)
        });
        parts.push(part.await.unwrap().unwrap());
    }
    parts
}

#[tokio::test]
async fn verification_in_parts_equals_verification_at_once() {
    let app = lived_in().await;
    for (most, expected) in
        [(1, vec![1; 20]), (7, vec![7, 7, 6]), (10, vec![10, 10, 0]), (20_000, vec![20])]
    {
        let parts = in_parts(&app, most).await;
        let mut checked: Vec<_> = parts.iter().map(|part| part.checked).collect();
        if most == 1 {
            assert_eq!(checked.pop(), Some(0));
        }
        assert_eq!(checked, expected);
        assert!(parts.iter().all(|part| part.breaks.is_empty()), "{parts:?}");
        assert_eq!(parts.last().unwrap().last, 20);
    }
    tamper(
        &app,
        "update app_global_setting_audit set reason = 'better' where seq = 10;
        update app_global_setting_audit a set hash = app_global_setting_audit_hash(a) where seq = 10;
        delete from app_global_setting_audit where seq = 13;
        update app_global_setting_audit set changed_by = 'eve' where seq = 15;
        update app_global_settings set value_json = '99' where key = 'BRUNE_COOLDOWN_MINUTES'",
    )
    .await;
    let expected = [
        ChainBreak::Unchained(11),
        ChainBreak::Gap(13),
        ChainBreak::Altered(15),
        ChainBreak::Stray(COOLDOWN.to_owned()),
    ];
    for most in [1, 2, 3, 4, 5, 7, 10, 20_000] {
        let parts = in_parts(&app, most).await;
        let actual: Vec<ChainBreak> = parts.into_iter().flat_map(|part| part.breaks).collect();
        assert_eq!(actual, expected, "{most}");
    }
}

#[tokio::test]
async fn an_administrator_can_verify_the_audit_chain() {
    let app = lived_in().await;
    let path = "/admin/audit/verify";
    let whole = json!({"checked": 20, "last": 20, "next": null, "breaks": []});
    assert_eq!(read(&app.instance, path).await.ok(), whole);
    let rest = json!({"checked": 3, "last": 20, "next": null, "breaks": []});
    assert_eq!(read(&app.instance, &format!("{path}?after=17")).await.ok(), rest);
    let none = json!({"checked": 0, "last": 20, "next": null, "breaks": []});
    assert_eq!(read(&app.instance, &format!("{path}?after=20")).await.ok(), none);
    read(&app.instance, &format!("{path}?after=21")).await.problem(404, "not_found");
    let wrong = read(&app.instance, &format!("{path}?after=-1")).await;
    let wrong = wrong.problem(400, "malformed_request");
    assert_eq!(faults(&wrong), at([("?after", "out_of_range")]));

    tamper(
        &app,
        "delete from app_global_setting_audit where seq = 13;
        update app_global_setting_audit set changed_by = 'eve' where seq = 15;
        delete from app_global_settings where key = 'BRUNE_COOLDOWN_MINUTES'",
    )
    .await;
    let broken = read(&app.instance, path).await.ok();
    let expected = json!({"checked": 19, "last": 20, "next": null, "breaks": [
        {"code": "missing", "entry": 13, "key": null, "detail": "entry 13 is missing from the audit trail"},
        {"code": "altered", "entry": 15, "key": null, "detail": "audit entry 15 was altered"},
        {"code": "stray", "entry": null, "key": COOLDOWN,
            "detail": format!("setting {COOLDOWN} differs from its last audit entry")},
    ]});
    assert_eq!(broken, expected);
    read(&app.instance, &format!("{path}?after=13")).await.problem(404, "not_found");
}
