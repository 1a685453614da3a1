//! `/openapi.json`, which says all there is to say, and `/docs`, which shows it.

use std::{collections::BTreeSet, fs};

use axum::http::Method;
use brune::http::Code;
use serde_json::Value;

use crate::support::{TestApp, admin};

const COMMITTED: &str = "docs/openapi.json";

/// What any request may be answered before a route is reached; the document says so of all of them.
const OF_EVERY_ROUTE: [Code; 2] = [Code::MethodNotAllowed, Code::HeadersTooLarge];

fn document() -> Value {
    serde_json::to_value(brune::http::openapi()).unwrap()
}

struct Operation<'d> {
    method: Method,
    path: &'d str,
    definition: &'d Value,
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE] {
            if let Some(definition) = item.get(method.as_str().to_lowercase()) {
                operations.push(Operation { method, path, definition });
            }
        }
    }
    assert!(!operations.is_empty());
    operations
}

#[tokio::test]
async fn the_committed_document_is_the_served_one() {
    let app = TestApp::new().await;
    let served = app.instance.get("/openapi.json").send().await;
    assert_eq!(served.header("content-type"), "application/json");
    let served = served.ok();
    assert_eq!(served, document());
    #[expect(clippy::disallowed_methods, reason = "an option of the test run, not of the service")]
    let update = std::env::var_os("UPDATE").is_some();
    if update {
        let text = serde_json::to_string_pretty(&served).unwrap();
        fs::write(COMMITTED, text + "\n").unwrap();
    }
    let committed = fs::read_to_string(COMMITTED).unwrap();
    let committed: Value = serde_json::from_str(&committed).unwrap();
    assert!(
        committed == served,
        "the contract has changed: run `UPDATE=1 cargo test --test documents` and read the diff of {COMMITTED}"
    );
}

#[test]
fn every_operation_has_a_unique_name() {
    let document = document();
    let tags: Vec<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    let mut names = BTreeSet::new();
    for Operation { method, path, definition } in operations(&document) {
        let name = definition["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{name} stands twice");
        let has_object = name.bytes().any(|b| b.is_ascii_uppercase());
        assert!(has_object, "{name} of {method} {path} does not say of what");
        assert!(
            definition["summary"].as_str().is_some_and(|summary| summary.ends_with('.')),
            "{name}"
        );
        assert!(tags.contains(&&definition["tags"][0]), "{name} has a tag that is not explained");
    }
}

#[test]
fn every_problem_code_is_documented_with_its_status() {
    let document = document();
    let mut results = BTreeSet::new();
    for Operation { method, path, definition: operation } in operations(&document) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            if response["content"].get("application/problem+json").is_none() {
                continue;
            }
            for part in response["description"].as_str().unwrap().split("; ") {
                let code = part.strip_prefix('`').and_then(|rest| rest.split_once('`')).unwrap().0;
                let known = Code::ALL.iter().find(|code_definition| {
                    code_definition.as_str() == code && code_definition.status().as_str() == status
                });
                assert!(known.is_some(), "{method} {path} tells of {status} {code}");
                results.insert((code.to_owned(), status.clone()));
            }
        }
    }
    for code in Code::ALL {
        let is_told =
            results.contains(&(code.as_str().to_owned(), code.status().as_str().to_owned()));
        let elsewhere = OF_EVERY_ROUTE.contains(code);
        assert_ne!(is_told, elsewhere, "{code:?}");
    }
    let of_all = document["info"]["description"].as_str().unwrap();
    for code in OF_EVERY_ROUTE {
        assert!(of_all.contains(&format!("`{}` ({})", code.as_str(), code.status().as_u16())));
    }
}

#[tokio::test]
async fn every_operation_exists_and_requires_its_documented_credentials() {
    let app = TestApp::new().await;
    let document = document();
    for Operation { method, path, definition } in operations(&document) {
        let there =
            path.replace("{code}", "not-found").replace("{id}", &uuid::Uuid::nil().to_string());
        let actual = app.instance.call(method.clone(), &there).send().await.status.as_u16();
        let is_open = definition["security"].as_array().is_none_or(Vec::is_empty);
        if definition["tags"][0] == "sign-in" && is_open {
            // What these ask for is a page of the service.
            assert_eq!(actual, 403, "{method} {path}");
            continue;
        }
        assert_eq!(actual, if is_open { 200 } else { 401 }, "{method} {path}");
        assert_ne!(is_open, definition["responses"].get("401").is_some(), "{method} {path}");
        let of_administrators = path.starts_with("/admin/");
        let takes_cookie = definition["security"].to_string().contains("\"cookie\"");
        assert_eq!(takes_cookie, of_administrators, "{method} {path}");
        let may_be_foreign = definition["responses"]["403"].to_string().contains("`cross_origin`");
        assert_eq!(may_be_foreign, of_administrators && !method.is_safe(), "{method} {path}");
    }
}

#[tokio::test]
async fn every_operation_refuses_an_unknown_parameter() {
    let app = TestApp::new().await;
    let document = document();
    let token = admin("parameters");
    for Operation { method, path, definition } in operations(&document) {
        // Probes and scrapes pass caches and load balancers that add parameters of their own.
        if definition["tags"][0] == "health" && path != "/problems/{code}" {
            continue;
        }
        let path =
            path.replace("{code}", "not-found").replace("{id}", &uuid::Uuid::nil().to_string());
        let call = app.instance.call(method.clone(), &format!("{path}?unexpected=1"));
        let call = call.header("authorization", &format!("Bearer {token}"));
        let reply = call.header("sec-fetch-site", "same-origin").send().await;
        assert_eq!(reply.status.as_u16(), 400, "{method} {path}: {}", reply.text);
        let is_refused = reply.text.contains("unknown_parameter")
            || (path.starts_with("/ofrep/")
                && reply.text.contains("?unexpected unknown parameter"));
        assert!(is_refused, "{method} {path}: {}", reply.text);
    }
}

#[test]
fn every_reference_resolves() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let targets: BTreeSet<&str> =
        text.split("\"$ref\":\"#").skip(1).map(|part| part.split('"').next().unwrap()).collect();
    assert!(targets.len() > 5, "{targets:?}");
    for target in targets {
        assert!(document.pointer(target).is_some(), "{target}");
    }
}

#[tokio::test]
async fn the_viewer_loads_nothing_from_other_hosts() {
    let app = TestApp::new().await;
    let page = app.instance.get("/docs/").send().await;
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    let mut loaded = vec!["/docs/swagger-initializer.js".to_owned()];
    for attribute in ["src=\"", "href=\""] {
        for target in page.text.split(attribute).skip(1).map(|part| part.split('"').next().unwrap())
        {
            assert!(!target.contains("//"), "{target} is elsewhere");
            loaded.push(format!("/docs/{}", target.trim_start_matches("./")));
        }
    }
    assert!(loaded.len() > 4, "nothing was found in {}", page.text);
    for target in loaded {
        let part = app.instance.get(&target).send().await;
        assert!(part.status.is_success(), "{target}");
        if target.ends_with("initializer.js") {
            assert!(part.text.contains("\"../openapi.json\""), "{}", part.text);
        }
    }
}
