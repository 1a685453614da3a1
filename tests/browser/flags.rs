//! A page that reads settings with the `OpenFeature` client for browsers, from another origin.

use std::{fs, net::SocketAddr};

use axum::{Router, http::header, response::Html, routing::get};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::{
    run, scripts,
    support::{TestApp, binary::Home},
};

/// Serves `page` and its `script` from a separate origin.
async fn serve(page: String, script: String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = ([(header::CONTENT_TYPE, "text/javascript")], script);
    let router =
        Router::new().route("/", get(async || Html(page))).route("/page.js", get(async || script));
    TaskTracker::new().spawn(axum::serve(listener, router).into_future());
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_changes_that_are_saved_through_another_instance() {
    let dir = scripts();
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let port = serve(text("flags.html"), text("flags.page.js")).await.port();
    let page = format!("http://127.0.0.1:{port}");
    let stranger = format!("http://localhost:{port}");
    let app = TestApp::new().await;
    let home = || {
        let home = Home::on(&app.db).with("BRUNE_CORS_ORIGINS", &page);
        // An interval longer than the test: only notifications can deliver the change.
        home.with("BRUNE_RELOAD_POLL_MS", "60000")
    };
    let homes = [home(), home()];
    let [written, read] = homes.each_ref().map(Home::serve);
    let at = |address: &str| format!("http://{address}");
    let variables = [
        ("PAGE", &*page),
        ("STRANGER", &stranger),
        ("WRITTEN", &at(written.address())),
        ("READ", &at(read.address())),
        ("ADMIN", &written.token),
        ("USER", &read.token),
        ("NO_PROXY", "127.0.0.1,localhost"),
    ];
    let output = run(&dir, "flags.mjs", &variables).await;
    assert!(output.contains("shown after"), "{output}");
}
