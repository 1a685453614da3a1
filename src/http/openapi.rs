//! The OpenAPI document: written with the routes, and the problems of each from the one table of codes.

use std::collections::BTreeMap;

use utoipa::{
    Modify, OpenApi, PartialSchema as _,
    openapi::{
        ContentBuilder, RefOr, Response, ResponseBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
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
    let mut by_status: BTreeMap<String, Vec<&Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status().as_str().to_owned()).or_default().push(code);
    }
    let told = |code: &&Code| format!("`{}`: {}", code.as_str(), code.title());
    let response = |codes: Vec<&Code>| {
        let description = codes.iter().map(told).collect::<Vec<_>>().join("; ");
        let content = ContentBuilder::new().schema(Some(ProblemDocument::schema())).build();
        RefOr::T(
            ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content)
                .build(),
        )
    };
    by_status.into_iter().map(|(status, codes)| (status, response(codes))).collect()
}

/// What the document says beside its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Brune",
        description = "Run-time settings: typed, checked, locked against lost updates, explained, audited, \
            reversible. Every failure is an RFC 9457 problem whose `code` is explained under its `type`.",
    ),
    tags(
        (name = "settings", description = "Settings of a SUPER_ADMIN, in batches"),
        (name = "config", description = "The same settings key by key, and as documents"),
        (name = "sessions", description = "Sessions that keep the settings they started with"),
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
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
        let internal = ApiKey::Header(ApiKeyValue::new("X-Internal-Api-Key"));
        components.add_security_scheme("internal_key", SecurityScheme::ApiKey(internal));
    }
}
