//! Many at once: nothing is lost, nothing is half done, nobody is served what is out of date.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::http::StatusCode;
use brune::{
    audit,
    database::{Pool, Topology},
};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::{Instance, Reply, TestApp, admin, user};

const PATH: &str = "/admin/global-settings";
const CLIENTS: usize = 16;
const TRIES: usize = 125;

const COOLDOWN: &str = "BRUNE_COOLDOWN_MINUTES";
const MINUTES: &str = "BRUNE_SESSION_MAX_MINUTES";
const PER_DAY: &str = "BRUNE_MAX_SESSIONS_PER_DAY";
const PROMPT: &str = "BRUNE_PROMPT_ID";
const VERSION: &str = "BRUNE_PROMPT_VERSION";

/// What one client was told it had changed: by revision, each key with its value and version.
type Acknowledged = BTreeMap<i64, Vec<(String, Value, i64)>>;

/// Two instances with connections of their own.
async fn two(app: &TestApp) -> [Arc<Instance>; 2] {
    let other = Instance::builder(Pool::open(app.db.options(), Topology::Direct, 5).await.unwrap())
        .start()
        .await;
    [Arc::new(app.another_instance().await), Arc::new(other)]
}

/// Batches that overlap. The prompt and its version are always written together, and so are cooldown and
/// minutes, so that half of a batch would show.
fn batch(client: usize, n: usize) -> Vec<(&'static str, Value)> {
    let mark = format!("{client}_{n}");
    let minutes = json!(1 + (client * 31 + n * 7) % 120);
    let prompt = [(PROMPT, json!(format!("pmpt_{mark}"))), (VERSION, json!(mark))];
    let times = [(COOLDOWN, minutes.clone()), (MINUTES, minutes)];
    let per_day = [(PER_DAY, json!(1 + (client + n) % 20))];
    match (client + n) % 4 {
        0 => prompt.to_vec(),
        1 => times.to_vec(),
        2 => [&prompt[..], &times[..]].concat(),
        _ => [&times[..], &per_day[..]].concat(),
    }
}

fn by_key(listing: &Value) -> HashMap<&str, &Value> {
    let settings = listing["settings"].as_array().unwrap();
    settings.iter().map(|setting| (setting["key"].as_str().unwrap(), setting)).collect()
}

/// That no batch shows by half.
#[track_caller]
fn is_whole(listing: &Value) {
    let settings = by_key(listing);
    let value = |key: &str| &settings[key]["value"];
    assert_eq!(value(COOLDOWN), value(MINUTES), "{listing}");
    let prompt = value(PROMPT).as_str().unwrap();
    let version = value(VERSION).as_str().unwrap();
    assert!(prompt == "pmpt_brune_default" || prompt == format!("pmpt_{version}"), "{listing}");
}

/// One client: reads, changes what it read, and writes down what it was told. A conflict is told with what
/// stands, and is then another try.
async fn client(instance: Arc<Instance>, number: usize, acknowledged: &mut Acknowledged) -> usize {
    let token = admin(&format!("admin-{number}"));
    let mut conflicts = 0;
    for n in 0..TRIES {
        let listing = instance.get(PATH).bearer(&token).send().await.ok();
        is_whole(&listing);
        let settings = by_key(&listing);
        let change = |(key, value): (&str, Value)| json!({"key": key, "value": value, "version": settings[key]["version"]});
        let changes: Vec<_> = batch(number, n).into_iter().map(change).collect();
        let body = json!({"reason": "a race", "changes": changes});
        let reply = instance.patch(PATH).bearer(&token).json(&body).send().await;
        if reply.status == StatusCode::CONFLICT {
            reply.problem(409, "version_conflict");
            conflicts += 1;
            continue;
        }
        let actual_body = reply.ok();
        let entry = |entry: &Value| {
            let key = entry["key"].as_str().unwrap().to_owned();
            (key, entry["new_value"].clone(), entry["version"].as_i64().unwrap())
        };
        let changed: Vec<_> =
            actual_body["changed"].as_array().unwrap().iter().map(entry).collect();
        if !changed.is_empty() {
            let other = acknowledged.insert(actual_body["revision"].as_i64().unwrap(), changed);
            assert!(other.is_none(), "two changes of one revision: {actual_body}");
        }
    }
    conflicts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_concurrent_changes_are_atomic_and_not_lost() {
    let app = TestApp::new().await;
    let instances = two(&app).await;
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let instance = Arc::clone(&instances[number % 2]);
        clients.spawn(async move {
            let mut acknowledged = Acknowledged::new();
            (client(instance, number, &mut acknowledged).await, acknowledged)
        });
    }
    let mut conflicts = 0;
    let mut acknowledged = Acknowledged::new();
    while let Some(outcome) = clients.join_next().await {
        let (lost, mut actual) = outcome.unwrap();
        conflicts += lost;
        let before = acknowledged.len() + actual.len();
        acknowledged.append(&mut actual);
        assert_eq!(acknowledged.len(), before, "two clients were told the same revision");
    }
    assert!(conflicts > 100 && acknowledged.len() > 100, "no race: {conflicts} conflicts");
    every_acknowledged_change_is_there(&instances[0], &acknowledged).await;
    for instance in &instances {
        let newest = *acknowledged.keys().last().unwrap();
        instance.wait_for_revision(newest).await;
    }
    let (entries, breaks) = audit::verify(&app.db.pool().into()).await.unwrap();
    let changes: usize = acknowledged.values().map(Vec::len).sum();
    assert_eq!((usize::try_from(entries).unwrap(), breaks), (9 + changes, vec![]));
}

/// Replays what the clients were told over the first settings, and holds every revision to it.
async fn every_acknowledged_change_is_there(instance: &Instance, acknowledged: &Acknowledged) {
    let now = instance.get(PATH).bearer(&admin("a")).send().await.ok();
    // Revisions without gaps: each belongs to a change that somebody was told of.
    let revisions: Vec<_> = acknowledged.keys().copied().collect();
    let newest = now["revision"].as_i64().unwrap();
    assert_eq!(revisions, (2..=newest).collect::<Vec<_>>());
    let first = instance.get(&format!("{PATH}?revision=1")).bearer(&admin("a")).send().await.ok();
    let told = |setting: &Value| (setting["value"].clone(), setting["version"].as_i64().unwrap());
    let state = |listing: &Value| -> BTreeMap<String, (Value, i64)> {
        by_key(listing).into_iter().map(|(key, it)| (key.to_owned(), told(it))).collect()
    };
    let mut expected = state(&first);
    for (revision, changed) in acknowledged {
        for (key, value, version) in changed {
            let (_, before) = expected.insert(key.clone(), (value.clone(), *version)).unwrap();
            assert_eq!(*version, before + 1, "{key} at {revision}");
        }
        // Each costs a query over the whole trail.
        if revision % 10 == 0 || *revision == newest {
            let path = format!("{PATH}?revision={revision}");
            let then = instance.get(&path).bearer(&admin("a")).send().await.ok();
            is_whole(&then);
            assert_eq!(state(&then), expected, "{revision}");
        }
    }
    assert_eq!(state(&now), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_of_two_concurrent_starts_of_a_user_succeeds() {
    let app = TestApp::new().await;
    let instances = two(&app).await;
    for race in 0..200 {
        let line = Arc::new(Barrier::new(2));
        let mut starts = JoinSet::new();
        for instance in &instances {
            let instance = Arc::clone(instance);
            let line = Arc::clone(&line);
            starts.spawn(async move {
                let token = user(&format!("user-{race}"));
                line.wait().await;
                instance.start_session(&token).await
            });
        }
        let (passed, refusal): (Vec<_>, Vec<_>) = starts
            .join_all()
            .await
            .into_iter()
            .partition(|reply| reply.status == StatusCode::CREATED);
        assert_eq!((passed.len(), refusal.len()), (1, 1), "{race}: {passed:?} {refusal:?}");
        let passed: Vec<_> = passed.into_iter().map(Reply::ok).collect();
        for refusal in refusal {
            let problem = refusal.problem(409, "session_active");
            assert_eq!(problem["session_id"], passed[0]["session_id"]);
        }
    }
    let start_result: i64 = sqlx::query_scalar("select count(*) from brune_session")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(start_result, 200);
}

/// Changes through one instance and at once starts through another, `tries` times.
async fn fence(writer: &Instance, reader: &Instance, tries: std::ops::Range<i64>) {
    for n in tries {
        let mark = format!("v{n}");
        let change_reply = writer.change(&[(VERSION, json!(mark), n)]).await.ok();
        let session = reader.start_session(&user(&format!("user-{n}"))).await.ok();
        assert_eq!(session["config"]["prompt_version"], mark, "{session}");
        assert_eq!(session["config"]["revision"], change_reply["revision"], "{session}");
    }
}

#[tokio::test]
async fn a_start_after_a_change_on_another_instance_has_the_new_settings() {
    let app = TestApp::new().await;
    let deaf = Instance::builder(app.db.pool()).without_listener().start().await;
    let following = app.another_instance().await;
    // 500 tries: an instance that hears nothing, and one that may be about to hear.
    fence(&app.instance, &deaf, 1..251).await;
    fence(&app.instance, &following, 251..501).await;
    assert_eq!(deaf.settings.revision(), 251);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_during_changes_have_the_settings_of_one_revision() {
    let app = TestApp::new().await;
    let instances = two(&app).await;
    let writer = Arc::clone(&instances[0]);
    let changed = Arc::new(AtomicI64::new(1));
    let mut starters = JoinSet::new();
    for (number, instance) in instances.iter().enumerate() {
        let instance = Arc::clone(instance);
        let changed = Arc::clone(&changed);
        starters.spawn(async move {
            let mut last = 0;
            let mut n = 0;
            // However slow changes are on this machine: until there was a race.
            while n < 100 || changed.load(Ordering::Relaxed) < 20 {
                n += 1;
                let session =
                    instance.start_session(&user(&format!("user-{number}-{n}"))).await.ok();
                let config = &session["config"];
                let revision = config["revision"].as_i64().unwrap();
                assert!(last <= revision, "from {last} to {revision}");
                last = revision;
                let mark = config["prompt_version"].as_str().unwrap();
                if revision > 1 {
                    assert_eq!(config["prompt_id"], format!("pmpt_{mark}"));
                    assert_eq!(mark, format!("v{revision}"));
                }
            }
        });
    }
    let mut n = 1;
    while !starters.is_empty() {
        let mark = format!("v{}", n + 1);
        let changes = [(PROMPT, json!(format!("pmpt_{mark}")), n), (VERSION, json!(mark), n)];
        writer.change(&changes).await.ok();
        n += 1;
        changed.store(n, Ordering::Relaxed);
        while let Some(outcome) = starters.try_join_next() {
            outcome.unwrap();
        }
    }
}
