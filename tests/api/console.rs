//! What the console is served as; what it does is in `tests/browser`.

use axum::http::StatusCode;

use crate::support::TestApp;

#[tokio::test]
async fn the_document_is_anybodys_and_allows_nothing_from_elsewhere() {
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
async fn without_its_slash_the_address_leads_to_the_document() {
    let app = TestApp::new().await;
    for (asked, led) in [("/admin", "admin/"), ("/admin?request_id=a", "admin/?request_id=a")] {
        let reply = app.instance.get(asked).send().await;
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(reply.header("location"), led);
    }
}

#[tokio::test]
async fn its_files_are_those_that_the_document_names() {
    let app = TestApp::new().await;
    let document = app.instance.get("/admin/").send().await.text;
    let named: Vec<&str> = document.split('"').filter(|it| it.starts_with("assets/")).collect();
    assert!(10 < named.len(), "{document}");
    for path in named {
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
async fn a_file_of_another_release_is_not_kept_and_no_other_path_is_one() {
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
