//! Plan and level from the service that knows them.

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{net::TcpListener, task::JoinSet};

use crate::support::{INTERNAL_KEY, Instance, Reply, TestApp, services::Services, token, user};
use brune::http::Grant;

/// A service that answers each user's name as it is told.
struct Talent {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Talent {
    async fn new() -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let router = Router::new()
            .route("/api/internal/users/{id}", get(answer))
            .with_state(Arc::clone(&requests));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, requests, _tasks: tasks }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn answer(
    State(requests): State<Arc<Mutex<Vec<String>>>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    requests.lock().unwrap().push(name.clone());
    if headers["x-internal-api-key"] != INTERNAL_KEY {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match name.as_str() {
        "ana" => json!({"id": 1, "plan": "pro", "level": "senior"}).to_string().into_response(),
        "ben" => json!({"plan": null, "level": null}).to_string().into_response(),
        "html" => "<html>".into_response(),
        "half" => json!({"plan": "pro"}).to_string().into_response(),
        "list" => json!(["pro", "senior"]).to_string().into_response(),
        "huge" => vec![b' '; 10 * 1024 * 1024].into_response(),
        "failing" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "locked" => StatusCode::UNAUTHORIZED.into_response(),
        "elsewhere" => {
            (StatusCode::FOUND, [(header::LOCATION, "/api/internal/users/ana")]).into_response()
        }
        "hanging" => std::future::pending().await,
        "a/b" => json!({"plan": "slash", "level": "x"}).to_string().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn with(app: &TestApp, url: &str) -> Instance {
    let services = Services { plans: Some(url.to_owned()), ..Services::default() };
    Instance::builder(app.db.pool()).services(services).without_listener().start().await
}

async fn start_for(instance: &Instance, body: &Value) -> Reply {
    let call = instance.post("/brun-e/start").header("x-internal-api-key", INTERNAL_KEY);
    call.json(body).send().await
}

#[tokio::test]
async fn plan_and_level_come_from_the_plan_service() {
    let app = TestApp::new().await;
    let talent = Talent::new().await;
    let instance = with(&app, &talent.url).await;
    app.instance.change(&[("BRUNE_ELIGIBILITY_ALLOWED_LEVELS", json!(["senior"]), 1)]).await.ok();
    let bare = |sub: &str| token(&Grant { sub: sub.to_owned(), ..Grant::default() });
    instance.start_session(&bare("ana")).await.ok();
    let level = Some("senior".to_owned());
    let claims =
        Grant { sub: "ben".to_owned(), plan: Some("pro".to_owned()), level, ..Grant::default() };
    for reply in [
        instance.start_session(&token(&claims)).await,
        start_for(&instance, &json!({"user_id": "ben", "plan": "pro", "level": "senior"})).await,
        // Whom it does not know has neither.
        instance.start_session(&user("nobody")).await,
        instance.start_session(&user("..")).await,
    ] {
        let problem = reply.problem(403, "not_eligible");
        assert_eq!(
            problem["reasons"],
            json!([{"code": "plan_required"}, {"code": "level_not_allowed"}])
        );
    }
    assert_eq!(talent.requests(), ["ana", "ben", "ben", "nobody"]);
    let stored: Vec<(String, Option<String>)> =
        sqlx::query_as("select user_id, plan from brune_session")
            .fetch_all(&app.db.pool())
            .await
            .unwrap();
    assert_eq!(stored, [("ana".to_owned(), Some("pro".to_owned()))]);
}

#[tokio::test]
async fn a_user_id_is_one_path_segment_of_the_plan_service() {
    let app = TestApp::new().await;
    let talent = Talent::new().await;
    let instance = with(&app, &talent.url).await;
    instance.start_session(&user("a/b")).await.ok();
    assert_eq!(talent.requests(), ["a/b"]);
}

#[tokio::test]
async fn a_failing_plan_service_answers_503_with_retry_after() {
    let app = TestApp::new().await;
    let talent = Talent::new().await;
    let instance = with(&app, &talent.url).await;
    for name in ["html", "half", "list", "huge", "failing", "locked", "elsewhere", "hanging"] {
        let reply = instance.start_session(&user(name)).await;
        assert_eq!(reply.header("retry-after"), "5", "{name}");
        reply.problem(503, "plan_unavailable");
    }
    let away = with(&app, "http://127.0.0.1:1").await;
    away.start_session(&user("ana")).await.problem(503, "plan_unavailable");
    let stored: i64 = sqlx::query_scalar("select count(*) from brune_session")
        .fetch_one(&app.db.pool())
        .await
        .unwrap();
    assert_eq!(stored, 0);
}
