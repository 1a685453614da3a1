//! The service under a path prefix, behind nginx.

use reqwest::{Client, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::{
    run, scripts,
    support::{SECRET, TestApp, admin, binary::Home, nginx::Nginx, port::Port, user},
};

#[tokio::test(flavor = "multi_thread")]
async fn redirects_links_and_the_console_work_under_a_path_prefix() {
    let app = TestApp::new().await;
    let port = Port::reserve();
    let url = format!("http://{}/brune", port.address());
    let home = Home::on(&app.db).with("JWT_SECRET", SECRET).with("BRUNE_PUBLIC_URL", &url);
    let service = home.serve();
    let nginx = Nginx::before(service.address(), "/brune", port).await;
    assert_eq!(nginx.url, url);

    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    // Clients resolve a location against the URL of the request.
    for (path, target) in [("/", "/admin/"), ("/admin", "/admin/"), ("/docs", "/docs/")] {
        let reply = client.get(format!("{url}{path}")).send().await.unwrap();
        assert!(reply.status().is_redirection(), "{path}");
        let location = reply.headers()["location"].to_str().unwrap();
        assert_eq!(reply.url().join(location).unwrap().as_str(), format!("{url}{target}"));
    }
    let start_result = client.post(format!("{url}/brun-e/start")).bearer_auth(user("ana"));
    let start_result = start_result.send().await.unwrap();
    let location = start_result.headers()["location"].to_str().unwrap();
    let session = start_result.url().join(location).unwrap();
    let session = client.get(session).bearer_auth(user("ana")).send().await.unwrap();
    assert_eq!(session.status(), StatusCode::OK);
    let reply = client.get(format!("{url}/nothing")).send().await.unwrap();
    let at = reply.url().clone();
    let problem: Value = reply.json().await.unwrap();
    let explained = client.get(at.join(problem["type"].as_str().unwrap()).unwrap());
    assert_eq!(explained.send().await.unwrap().status(), StatusCode::OK);
    // The web provider resolves the URL of the event stream against the origin, without the prefix.
    let page = client.post(format!("{url}/ofrep/v1/evaluate/flags")).bearer_auth(user("ana"));
    let page = page.json(&json!({"context": {}})).send().await.unwrap();
    let origin = page.url().join("/").unwrap();
    let page: Value = page.json().await.unwrap();
    let events = page["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap();
    let mut events = client.get(origin.join(events).unwrap()).send().await.unwrap();
    assert_eq!(events.status(), StatusCode::OK);
    let head = events.chunk().await.unwrap().unwrap();
    assert!(head.starts_with(b": connected"), "{head:?}");

    let ada = admin("ada");
    let ben = admin("ben");
    let variables = [("BASE", &*url), ("ADMIN", &ada), ("OTHER", &ben), ("NO_PROXY", "127.0.0.1")];
    run(&scripts(), "prefix.mjs", &variables).await;
    service.stop().await;
}
