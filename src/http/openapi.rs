//! The OpenAPI document: written with the routes, and the problems of each from the one table of codes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use axum::http::StatusCode;
use serde_json::Value;
use utoipa::{
    Modify, OpenApi, PartialSchema, ToSchema as _,
    openapi::{
        ContentBuilder, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

use crate::http::problem::{Code, ProblemDocument};

/// Responses of a problem's kind, for `responses(...)` of a route: `problems! { Name: Code, Code }`.
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

/// One response for each status, naming its codes and what each means.
pub(in crate::http) fn responses(codes: &[Code]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<String, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(*code);
    }
    let response = |(status, codes): (String, Vec<Code>)| (status, RefOr::T(response(&codes)));
    by_status.into_iter().map(response).collect()
}

fn told(code: Code) -> String {
    format!("`{}`: {}", code.as_str(), code.title())
}

fn response(codes: &[Code]) -> Response {
    let description = codes.iter().map(|it| told(*it)).collect::<Vec<_>>().join("; ");
    let schema = Ref::from_schema_name(ProblemDocument::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content);
    let response = match codes.first().map(|code| code.status()) {
        Some(StatusCode::UNAUTHORIZED) => {
            response.header("WWW-Authenticate", header::<String>("The scheme that is asked for"))
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

/// What the document says beside its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Brune",
        description = "Run-time settings: typed, checked, locked against lost updates, explained, audited, \
            reversible.\n\nEvery failure is an RFC 9457 problem whose `code` is explained under its `type`, with \
            every fault of the request in `errors`. Every answer has an `X-Request-Id`: the caller's own if it \
            is 1 to 128 letters, digits, `.`, `_` and `-`, else a new one. A `traceparent` (W3C Trace Context) is \
            continued in the log and in calls of other services. What any route may also answer, \
            before it looks at the request: `malformed_request` (400, a head that cannot be read), \
            `not_found` (404), `method_not_allowed` (405) and `headers_too_large` (431).",
    ),
    servers((url = ".", description = "Where this document is: the service may be mounted under a path")),
    tags(
        (name = "settings", description = "Settings of a SUPER_ADMIN, in batches"),
        (name = "config", description = "The same settings key by key, and as documents"),
        (name = "secrets", description = "What is provisioned outside: presence and source, never a value"),
        (name = "sessions", description = "Sessions that keep the settings they started with"),
        (name = "fleet", description = "The instances, and which revision each has applied"),
        (name = "outbox", description = "Messages to other services, and those that were given up"),
        (name = "ofrep", description = "Settings as flags, for any OpenFeature client (OFREP 0.3); failures have its form"),
        (name = "sign-in", description = "A browser's way in to `/admin`: the token in a cookie"),
        (name = "health", description = "Whether the service runs, and whether it can serve"),
        (name = "problems", description = "What a problem's `type` leads to"),
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
            "How a trusted service proves itself: `INTERNAL_API_KEY`",
        ));
        components.add_security_scheme("internal_key", SecurityScheme::ApiKey(internal));
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(
            "brune",
            "The token as `POST /admin/sign-in` keeps it; `__Host-brune` where `BRUNE_PUBLIC_URL` is https, `__Secure-brune` where it has a path as well. What may \
             change something must then come from a page of this service: `Sec-Fetch-Site: same-origin`, or an \
             `Origin` that equals `Host`",
        ));
        components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(cookie));
    }
}

const COOKIE: &str = "cookie";

/// The tag of the routes of sessions.
const SESSIONS: &str = "sessions";

/// Wherever an administrator asks, the cookie does as well.
pub(super) struct CookieToo;

impl Modify for CookieToo {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let admin = document.paths.paths.iter_mut().filter(|(path, _)| path.starts_with("/admin/"));
        for (_, item) in admin {
            let reading = item.get.iter_mut();
            let writing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
            reading.for_each(offer_cookie);
            for operation in writing.into_iter().flatten().filter(|it| it.security.is_some()) {
                offer_cookie(operation);
                tell_cross_origin(operation);
            }
        }
    }
}

fn offer_cookie(operation: &mut Operation) {
    if let Some(ways) = &mut operation.security {
        ways.push(SecurityRequirement::new::<_, [&str; 0], &str>(COOKIE, []));
    }
}

/// Beside whatever else its 403 may mean.
fn tell_cross_origin(operation: &mut Operation) {
    if let Some(RefOr::T(refusal)) = operation.responses.responses.get_mut("403") {
        let code = Code::CrossOrigin;
        let _ = write!(refusal.description, "; {}", told(code));
    }
}

/// `document` without sessions, for a catalog that has none: without their routes, and what only these refer to.
pub(super) fn without_sessions(mut document: Value) -> Value {
    let of_sessions = |operation: &Value| {
        let tags = operation["tags"].as_array().into_iter().flatten();
        tags.into_iter().any(|tag| tag == SESSIONS)
    };
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.retain(|_, item| !item.as_object().into_iter().flatten().any(|it| of_sessions(it.1)));
    }
    if let Some(tags) = document["tags"].as_array_mut() {
        tags.retain(|tag| tag["name"] != SESSIONS);
    }
    loop {
        let mut used = BTreeSet::new();
        collect_references(&document, &mut used);
        let Some(schemas) = document["components"]["schemas"].as_object_mut() else { break };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            break;
        }
    }
    document
}

/// The names of the schemas that `value` refers to.
fn collect_references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str);
            names.extend(name.and_then(|it| it.rsplit('/').next()).map(str::to_owned));
            members.values().for_each(|it| collect_references(it, names));
        }
        Value::Array(items) => items.iter().for_each(|it| collect_references(it, names)),
        _ => (),
    }
}
