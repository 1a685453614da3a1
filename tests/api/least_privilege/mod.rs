//! What the service's own role can do to settings, trail, head, declarations, triggers and functions: nothing that
//! the trail does not record.

mod attacks;
mod on_schema;
mod on_settings;
mod on_trail;
mod schema;
mod shadows;

use brune::audit::{self, ChainBreak};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, postgres::PgConnectOptions,
};

use crate::support::{
    TestApp,
    roles::{let_create, service_role},
};
use attacks::{Attack, Outcome};
use on_schema::ON_SCHEMA;
use on_settings::ON_SETTINGS;
use on_trail::ON_TRAIL;
use shadows::SHADOWS;

/// Everything that an attack could have changed. Without the trail's entries and the head's counter, which every
/// ordinary change adds to: `settings` compares those.
const CATALOGS: &str = "select json_build_object(
    'declarations', (select json_agg(d order by key) from app_global_setting_schema d),
    'catalog', (select json_build_array(catalog, catalog_revision) from app_global_setting_head),
    'migrations', (select json_agg(m order by version) from _sqlx_migrations m),
    'sessions', (select json_agg(s order by id) from brune_session s),
    'triggers', (select json_agg(json_build_array(tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(oid))
        order by tgrelid::regclass::text, tgname) from pg_trigger),
    'rules', (select json_agg(json_build_array(ev_class::regclass::text, rulename) order by 1::text) from pg_rewrite
        where ev_class::regclass::text ~ '^(app|brune)_'),
    'tables', (select json_agg(json_build_array(relname, relkind, relowner::regrole, relacl::text, relhasrules, relhassubclass)
        order by relname) from pg_class where relname ~ '^(app|brune|_sqlx)_' and relnamespace = 'public'::regnamespace),
    'functions', (select json_agg(json_build_array(oid::regprocedure::text, md5(prosrc), proconfig, prosecdef, proacl::text)
        order by oid::regprocedure::text) from pg_proc where proname ~ '^(app|brune)_'),
    'sequences', (select json_agg(json_build_array(sequencename, last_value)) from pg_sequences),
    'role', (select json_agg(json_build_array(rolsuper, rolcreaterole, rolreplication, rolbypassrls)) from pg_roles
        where rolname = 'brune_serve'),
    'memberships', (select count(*) from pg_auth_members where member = 'brune_serve'::regrole))::text";

/// What every change adds to, and the trail has to record.
const SETTINGS: &str = "select json_build_object(
    'head', (select json_build_array(revision, changed_at, opened_xid, opened_at) from app_global_setting_head),
    'settings', (select json_agg(s order by key) from app_global_settings s))::text";

const TRAIL: &str =
    "select coalesce(json_agg(a order by seq)::text, '') from app_global_setting_audit a";

struct Attacked {
    app: TestApp,
    role: PgConnectOptions,
}

#[derive(Debug, PartialEq, Eq)]
struct State {
    catalogs: Value,
    settings: String,
    trail: String,
}

impl Attacked {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let role = service_role(&app.db).await;
        sqlx::raw_sql(attacks::SESSION).execute(&app.db.admin()).await.unwrap();
        Self { app, role }
    }

    async fn state(&self) -> State {
        let text = async |sql: &'static str| -> String {
            sqlx::query_scalar(sql).fetch_one(&self.app.db.admin()).await.unwrap()
        };
        State {
            catalogs: serde_json::from_str(&text(CATALOGS).await).unwrap(),
            settings: text(SETTINGS).await,
            trail: text(TRAIL).await,
        }
    }

    async fn breaks(&self) -> Vec<ChainBreak> {
        audit::verify(&self.app.db.admin().into()).await.unwrap().1
    }

    /// Runs `sql` as the service's role in a session of its own; returns the server's refusal, if there was one.
    async fn attack(&self, sql: &str) -> Option<String> {
        let mut session = self.role.connect().await.unwrap();
        let outcome = session.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
        session.close().await.unwrap();
        outcome.err().map(|err| err.to_string())
    }

    /// Makes the attack and returns what is wrong with its outcome.
    async fn outcome(&self, attack: &Attack) -> Vec<String> {
        let before = self.state().await;
        let refusal = self.attack(attack.sql).await;
        let after = self.state().await;
        let mut wrong = Vec::new();
        match (&attack.outcome, refusal) {
            (Outcome::Refused(words), Some(refusal)) if refusal.contains(words) => {}
            (Outcome::Refused(words), Some(refusal)) => {
                wrong.push(format!("refused with {refusal:?}, not {words:?}"));
            }
            (Outcome::Refused(_), None) => wrong.push("not refused".to_owned()),
            (Outcome::Audited | Outcome::Harmless, Some(refusal)) => {
                wrong.push(format!("refused: {refusal}"));
            }
            (Outcome::Audited, None) if after.trail == before.trail => {
                wrong.push("the trail has no entry of it".to_owned());
            }
            (Outcome::Audited | Outcome::Harmless, None) => {}
        }
        for (part, is_now) in after.catalogs.as_object().into_iter().flatten() {
            let was = &before.catalogs[part];
            if is_now != was {
                wrong.push(format!("changed {part} from {was} to {is_now}"));
            }
        }
        let may_change = matches!(attack.outcome, Outcome::Audited);
        if !may_change && (&after.settings, &after.trail) != (&before.settings, &before.trail) {
            wrong.push("settings, head or trail changed".to_owned());
        }
        if !after.trail.starts_with(before.trail.trim_end_matches(']')) {
            wrong.push("an entry of the trail is not what it was".to_owned());
        }
        wrong.extend(self.breaks().await.iter().map(|fault| format!("found afterwards: {fault}")));
        wrong.into_iter().map(|fault| format!("{}: {fault}", attack.name)).collect()
    }
}

#[tokio::test]
async fn the_service_role_cannot_change_anything_without_an_audit_entry() {
    let attacks = [ON_SETTINGS, ON_TRAIL, ON_SCHEMA].concat();
    assert!(attacks.len() >= 40, "{}", attacks.len());
    let database = Attacked::new().await;
    let mut wrong = Vec::new();
    for attack in &attacks {
        wrong.extend(database.outcome(attack).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_service_role_cannot_create_shadowing_objects() {
    let database = Attacked::new().await;
    let mut wrong = Vec::new();
    for attack in SHADOWS {
        let refusal = Attack { outcome: Outcome::Refused("permission denied"), ..*attack };
        wrong.extend(database.outcome(&refusal).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Neither of the two measures may rest on the other: a database whose temporary tables were not revoked holds, too.
#[tokio::test]
async fn shadowing_objects_are_ignored() {
    let mut wrong = Vec::new();
    // A database for each: what one of them leaves in `public` would be in the way of the next.
    for attack in SHADOWS {
        let database = Attacked::new().await;
        let_create(&database.app.db).await;
        wrong.extend(database.outcome(attack).await);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn copy_into_audit_or_settings_obeys_the_same_rules() {
    let database = Attacked::new().await;
    let before = database.state().await;
    let mut session = database.role.connect().await.unwrap();
    let mut copy = session
        .copy_in_raw(
            "copy app_global_setting_audit (key, action, new_value_json, version, changed_by, reason) from stdin",
        )
        .await
        .unwrap();
    copy.send(b"BRUNE_COOLDOWN_MINUTES\tupdate\t99\t2\teve\tcopied\n".as_slice()).await.unwrap();
    let refusal = copy.finish().await.unwrap_err().to_string();
    assert!(refusal.contains("tells of no change"), "{refusal}");
    let mut copy = session
        .copy_in_raw(
            "copy app_global_settings (key, value_json, value_type, updated_by, updated_at, version, revision) from stdin",
        )
        .await
        .unwrap();
    copy.send(b"PORTE_TALENT_BASE_URL\t\"x\"\tstring\teve\t2026-01-01\t1\t7\n".as_slice())
        .await
        .unwrap();
    let refusal = copy.finish().await.unwrap_err().to_string();
    assert!(refusal.contains("has no audit row"), "{refusal}");
    assert_eq!(database.state().await, before);
}
