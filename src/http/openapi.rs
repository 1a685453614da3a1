//! The OpenAPI document, from the descriptions of the routes and the table of problem codes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use axum::http::StatusCode;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi, PartialSchema, ToSchema as _,
    openapi::{
        ContentBuilder, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder, Schema,
        path::Operation,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

use crate::http::problem::{Code, ProblemDocument};

/// Declares the problems of a route for `responses(...)`: `problems! { Name: Code, Code }`.
macro_rules! problems {
    ($name:ident: $($code:ident),+ $(,)?) => {
        #[doc = "The problems of the route."]
        pub(in crate::http) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::http::openapi::responses(&[$($crate::http::problem::Code::$code),+])
            }
        }
    };
}
pub(in crate::http) use problems;

/// Describes an untagged enum: a value may match several of the schemas, so `oneOf` would be wrong.
macro_rules! any_of {
    ($name:ty: $($component:literal = $schema:ty),+;) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::schema::AnyOfBuilder::new()
                    $(.item(utoipa::openapi::Ref::from_schema_name($component)))+
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn schemas(
                schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
            ) {
                $(
                    let schema = <$schema as utoipa::PartialSchema>::schema();
                    schemas.push(($component.to_owned(), schema));
                    <$schema as utoipa::ToSchema>::schemas(schemas);
                )+
            }
        }
    };
}
pub(in crate::http) use any_of;

/// Returns a response for each status, with codes and titles.
pub(in crate::http) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    // OpenAPI has a single response for each status, so codes share a response.
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(*code);
    }
    let response = |(status, codes): (String, Vec<Code>)| (status, RefOr::T(response(&codes)));
    by_status.into_iter().map(response).collect()
}

fn describe(code: Code) -> String {
    format!("`{}`: {}", code.as_str(), code.title())
}

fn response(codes: &[Code]) -> Response {
    let description = codes.iter().copied().map(describe).collect::<Vec<_>>().join("; ");
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    // All codes of a response have the same status, so the first decides the headers.
    let response = match codes.first().map(|code| code.status()) {
        Some(StatusCode::UNAUTHORIZED) => {
            response.header("WWW-Authenticate", header::<String>("The expected scheme"))
        }
        Some(StatusCode::SERVICE_UNAVAILABLE) => {
            response.header("Retry-After", header::<u32>("Seconds to wait"))
        }
        _ => response,
    };
    response.build()
}

fn header<T: PartialSchema>(description: &str) -> Header {
    HeaderBuilder::new().schema(Some(T::schema())).description(Some(description)).build()
}

/// The parts of the document beside the paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Brune",
        description = "Run-time settings: typed, validated, with optimistic locking, reasons, an audit trail and \
            rollback.\n\nEvery failure is an RFC 9457 problem: `type` links to the page of its `code`, and `errors` \
            has every error of the request. Every response has an `X-Request-Id`: the caller's own if it has 1 to 128 \
            letters, digits, `.`, `_` and `-`, otherwise a new one. A `traceparent` (W3C Trace Context) is continued \
            in the log and in calls of other services. No text may contain control characters, characters that \
            change the direction of text, line or paragraph separators, byte order marks or noncharacters. Every \
            route may also respond, before it reads the request: `malformed_request` (400, an invalid head), \
            `not_found` (404), `method_not_allowed` (405) and `headers_too_large` (431).",
    ),
    servers((url = ".", description = "The address of this document: the service may be mounted under a path")),
    tags(
        (name = "settings", description = "Settings of a SUPER_ADMIN, in batches"),
        (name = "config", description = "The same settings one by one, and as documents"),
        (name = "secrets", description = "Secrets and controls of the environment: presence and source, never a secret value"),
        (name = "sessions", description = "Sessions that keep the settings they started with"),
        (name = "fleet", description = "The instances, and the revision that each has applied"),
        (name = "proposals", description = "Changes that wait for approval or for their time, and freezes"),
        (name = "releases", description = "Names of revisions, to compare and to restore"),
        (name = "outbox", description = "Messages to other services, and dead letters"),
        (name = "ofrep", description = "Settings as flags, for any OpenFeature client (OFREP 0.3); failures have the protocol's form"),
        (name = "sign-in", description = "A browser's session for `/admin`: the token in a cookie"),
        (name = "health", description = "Liveness, readiness and metrics"),
        (name = "problems", description = "The pages of problem codes"),
    ),
    components(schemas(ProblemDocument)),
    modifiers(&Credentials)
)]
pub(super) struct Document;

struct Credentials;

impl Modify for Credentials {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").description(
            Some("HS256 over `JWT_SECRET`, with `sub` and `exp`; `/admin` needs the role `SUPER_ADMIN`"),
        );
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer.build()));
        let internal = ApiKey::Header(ApiKeyValue::with_description(
            "X-Internal-Api-Key",
            "The credential of a trusted service: `INTERNAL_API_KEY`",
        ));
        components.add_security_scheme("internal_key", SecurityScheme::ApiKey(internal));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            "brune",
            "The token, set by `POST /admin/sign-in`; `__Host-brune` if `BRUNE_PUBLIC_URL` is https, `__Secure-brune` if \
             it has a path as well. A request with an unsafe method must then come from a page of this service: \
             `Sec-Fetch-Site: same-origin`, or an `Origin` that equals `Host`. `X-Brune-Subject`, if sent, must be the \
             percent-encoded subject of the token: a page sends the header because another tab may sign in as another user",
        ));
        components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(cookie));
    }
}

const COOKIE: &str = "cookie";

/// The tag of the routes of sessions.
const SESSIONS: &str = "sessions";

/// Rules of many routes: the routes of administrators also accept the cookie, and no body may be null.
pub(super) struct RouteRules;

impl Modify for RouteRules {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for item in document.paths.paths.values_mut() {
            // Only POST has routes with an optional body.
            item.post.iter_mut().for_each(refuse_null);
        }
        let admin = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/admin/"));
        for (_, item) in admin {
            let writes = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            item.get.iter_mut().for_each(accept_cookie);
            // Sign-in and sign-out declare no security: neither authenticates by the cookie.
            for operation in writes.into_iter().flatten().filter(|write| write.security.is_some()) {
                accept_cookie(operation);
                describe_refusal(operation, Code::CrossOrigin);
            }
        }
    }
}

/// Removes null from the schema of an optional body: the body is either absent or an object.
fn refuse_null(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for content in body.content.values_mut() {
        let RefOr::T(content) = content else { continue };
        let Some(RefOr::T(Schema::OneOf(one_of))) = &content.schema else { continue };
        // utoipa describes `Option<T>` as `oneOf` null and a reference.
        let mut items = one_of.items.iter();
        let reference = items.find(|item| matches!(item, RefOr::Ref(_))).cloned();
        let is_optional = one_of.items.iter().any(|item| matches!(item, RefOr::T(_)));
        if is_optional {
            content.schema = reference;
        }
    }
}

fn accept_cookie(operation: &mut Operation) {
    if let Some(schemes) = &mut operation.security {
        schemes.push(SecurityRequirement::new::<_, [&str; 0], &str>(COOKIE, []));
        describe_refusal(operation, Code::SubjectMismatch);
    }
}

/// Adds `code` to the description of the 403.
fn describe_refusal(operation: &mut Operation, code: Code) {
    if let Some(RefOr::T(refusal)) = operation.responses.responses.get_mut("403") {
        // Writing into a String cannot fail.
        let _ = write!(refusal.description, "; {}", describe(code));
    }
}

/// Removes the routes of sessions from `document`, and the schemas of no other route, for a catalog without sessions.
pub(super) fn without_sessions(mut document: Value) -> Value {
    let is_of_sessions = |operation: &Value| {
        let tags = operation["tags"].as_array().into_iter().flatten();
        tags.into_iter().any(|tag| tag == SESSIONS)
    };
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.retain(|_, item| {
            !item.as_object().into_iter().flatten().any(|(_, value)| is_of_sessions(value))
        });
    }
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.retain(|tag| tag["name"] != SESSIONS);
    }
    // Removing a schema may leave others without references, so the removal repeats until nothing changes.
    loop {
        let mut references = BTreeSet::new();
        collect_references(&document, &mut references);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { break };
        let before = schemas.len();
        schemas.retain(|name, _| references.contains(name));
        if schemas.len() == before {
            break;
        }
    }
    document
}

/// Collects the names of the schemas referenced in `value`.
fn collect_references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            // A reference ends with the name: `#/components/schemas/Name`.
            let name = members.get("$ref").and_then(Value::as_str);
            names.extend(name.and_then(|path| path.rsplit('/').next()).map(str::to_owned));
            members.values().for_each(|member| collect_references(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, names)),
        _ => (),
    }
}
