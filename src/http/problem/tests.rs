use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{details::ErrorChain, members::Members, *};
use crate::{
    http::path_prefix::PathPrefix, ids::RequestId, json::FieldError, secret_scanner::SecretScanner,
};

/// Returns the pointer and code of each error of `problem`.
pub(crate) fn errors_of(problem: &Problem) -> Vec<(String, &'static str)> {
    let errors = problem.errors().reported().iter();
    errors.map(|error| (error.pointer.clone().unwrap_or_default(), error.code)).collect()
}

async fn rendered(response: Response) -> (Response<()>, Value) {
    let id = RequestId::parse("r-1").unwrap();
    let (scanner, path_prefix) = (SecretScanner::default(), PathPrefix::default());
    let response = render(response, "/here", &id, &scanner, &path_prefix, None);
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    (Response::from_parts(parts, ()), serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn a_problem_is_rendered_with_all_members() {
    let error = FieldError::at("/changes/0/value", "out_of_range", "must be at most 240");
    let problem = Problem::new(Code::VersionConflict, "1 of 2 is stale")
        .with_errors(error.for_key("K").with_constraint(json!({"max": 240})))
        .with_members(Members { current_revision: Some(7), ..Members::default() })
        .retry_after(3);
    let (head, body) = rendered(problem.into_response()).await;
    assert_eq!(head.status(), 409);
    assert_eq!(head.headers()["retry-after"], "3");
    assert_eq!(head.headers()["content-type"], "application/problem+json");
    insta::assert_json_snapshot!(body, @r#"
    {
      "code": "version_conflict",
      "current_revision": 7,
      "detail": "1 of 2 is stale",
      "errors": [
        {
          "code": "out_of_range",
          "constraint": {
            "max": 240
          },
          "detail": "must be at most 240",
          "key": "K",
          "pointer": "/changes/0/value"
        }
      ],
      "instance": "/here",
      "request_id": "r-1",
      "status": 409,
      "title": "Version conflict",
      "type": "/problems/version-conflict"
    }
    "#);
}

#[tokio::test]
async fn a_plain_text_error_becomes_a_problem_that_quotes_nothing() {
    let length = [(header::CONTENT_LENGTH, "22")];
    let response = (StatusCode::UNPROCESSABLE_ENTITY, length, "cannot parse `hunter2`");
    let (head, body) = rendered(response.into_response()).await;
    assert_eq!((head.status().as_u16(), &body["code"]), (400, &json!("malformed_request")));
    assert!(!body.to_string().contains("hunter2"));
    assert_eq!(head.headers().get(header::CONTENT_LENGTH), None);
}

#[tokio::test]
async fn a_successful_response_is_unchanged() {
    let (head, _) = rendered("fine".into_response()).await;
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-type"].as_bytes()),
        (200, &b"text/plain; charset=utf-8"[..])
    );
}

async fn explain(slug: String) -> Result<Response, Problem> {
    crate::http::explain(
        crate::http::PathSegment(slug),
        crate::http::Query(crate::http::NoParameters),
    )
    .await
}

#[tokio::test]
async fn every_code_has_its_page() {
    for code in Code::ALL {
        let slug = code.page().trim_start_matches("/problems/").to_owned();
        let page = explain(slug).await.unwrap();
        assert_eq!(page.status(), 200);
    }
    for unknown in ["nothing-of-that-name", "version_conflict"] {
        assert!(explain(unknown.into()).await.is_err());
    }
}

#[test]
fn each_cause_is_displayed_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Middle);
    #[derive(Debug, thiserror::Error)]
    #[error("middle: inner")]
    struct Middle(#[source] std::fmt::Error);
    let err = Outer(Middle(std::fmt::Error));
    assert_eq!(ErrorChain(&err).to_string(), format!("outer: middle: inner: {}", std::fmt::Error));
}

#[test]
fn texts_of_the_caller_that_resemble_a_secret_are_redacted() {
    let secret = "a-secret-of-this-service";
    let scanner =
        SecretScanner::with_known_secrets([crate::config::Secret::new(secret.to_owned())]);
    let error =
        FieldError::at(format!("/{secret}"), "unknown_field", "is not known here").for_key(secret);
    let (path, path_prefix) = (format!("/admin/{secret}"), PathPrefix::default());
    let problem = Problem::malformed(error);
    let mut document = ProblemDocument::new(problem, &path, &RequestId::default(), &path_prefix);
    document.redact(&scanner);
    let text = serde_json::to_string(&document).unwrap();
    assert!(!text.contains(secret), "{text}");
    assert_eq!(document.instance, "***");
    assert_eq!(document.errors[0].pointer.as_deref(), Some("***"));
}
