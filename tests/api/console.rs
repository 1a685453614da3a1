//! What the console is served as; what it does is in `tests/browser`.

use axum::http::StatusCode;

use crate::support::TestApp;

#[tokio::test]
async fn the_page_is_public_and_its_policy_allows_no_other_origin() {
    let app = TestApp::new().await;
    for asked in ["/admin/", "/admin/?x=1"] {
        let reply = app.instance.get(asked).send().await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(reply.header("cache-control"), "no-cache");
        assert_eq!(reply.header("cross-origin-opener-policy"), "same-origin");
        let policy = reply.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(policy.contains("connect-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("require-trusted-types-for 'script'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    }
}

#[tokio::test]
async fn the_address_without_a_slash_redirects_to_the_page() {
    let app = TestApp::new().await;
    for (asked, led) in [("/admin", "admin/"), ("/admin?request_id=a", "admin/?request_id=a")] {
        let reply = app.instance.get(asked).send().await;
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(reply.header("location"), led);
    }
}

#[tokio::test]
async fn every_asset_that_the_page_names_is_served() {
    let app = TestApp::new().await;
    let document = app.instance.get("/admin/").send().await.text;
    let names: Vec<&str> = document.split('"').filter(|part| part.starts_with("assets/")).collect();
    assert!(10 < names.len(), "{document}");
    for path in names {
        let reply = app.instance.get(&format!("/admin/{path}")).send().await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        let expected = match path.rsplit_once('.').unwrap().1 {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => "image/svg+xml",
        };
        assert_eq!(reply.header("content-type"), expected, "{path}");
        let cache = reply.header("cache-control");
        assert_eq!(cache, "public, max-age=31536000, immutable", "{path}");
    }
}

#[tokio::test]
async fn an_asset_of_another_release_is_not_cached_and_other_paths_are_404() {
    let app = TestApp::new().await;
    let other = app.instance.get("/admin/assets/000000000000/app.js").send().await;
    assert_eq!((other.status, other.header("cache-control")), (StatusCode::OK, "no-store"));
    for path in [
        "/admin/assets/000000000000/nothing.js",
        "/admin/assets/000000000000/..%2Fmod.rs",
        "/admin/assets/000000000000/%2Fetc%2Fpasswd",
        "/admin/assets/000000000000/",
        "/admin/assets/",
        "/admin/nothing",
    ] {
        app.instance.get(path).send().await.problem(404, "not_found");
    }
}
