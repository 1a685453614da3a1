//! A problem as JSON.

use std::iter;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        path_prefix::PathPrefix,
        problem::{
            details::{Inner, Problem},
            members::Members,
        },
    },
    ids::RequestId,
    json::FieldError,
    secret_scanner::SecretScanner,
};

/// Replaces a possible secret.
const WITHHELD: &str = "***";

/// A problem document (RFC 9457); some codes add members.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// The page that explains the code.
    #[serde(rename = "type")]
    #[schema(example = "/problems/version-conflict")]
    kind: String,
    /// A summary of the code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// A description of the occurrence.
    detail: String,
    /// The requested path.
    pub(super) instance: String,
    /// The code, for programs.
    #[schema(example = "version_conflict")]
    code: &'static str,
    /// The request id, as in `X-Request-Id` and in the log.
    request_id: String,
    /// Every error in the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
    #[serde(flatten)]
    members: Members,
}

impl ProblemDocument {
    /// Creates the document of `problem` for the request `id` of the path `instance`.
    pub(super) fn new(
        problem: Problem,
        instance: &str,
        id: &RequestId,
        path_prefix: &PathPrefix,
    ) -> Self {
        let Inner { code, detail, errors, members, .. } = *problem.0;
        Self {
            // Clients resolve `type` against the host, so the proxy's path must be included.
            kind: path_prefix.join(&code.page()),
            title: code.title(),
            status: code.status().as_u16(),
            detail,
            instance: path_prefix.join(instance),
            code: code.as_str(),
            request_id: id.as_str().to_owned(),
            errors: errors.into_reported(),
            members,
        }
    }

    /// Redacts possible secrets.
    pub(super) fn redact(&mut self, scanner: &SecretScanner) {
        // Paths and field names come from the caller, and proxies and clients log responses.
        let texts = self.errors.iter_mut().flat_map(|error| {
            let names = error.pointer.iter_mut().chain(&mut error.key);
            names.chain(iter::once(&mut error.detail))
        });
        for text in texts.chain([&mut self.instance, &mut self.detail]) {
            // The whole text is replaced, because the bounds of a secret are uncertain.
            if scanner.scan(text).is_some() {
                WITHHELD.clone_into(text);
            }
        }
    }
}

impl Problem {
    /// Serializes the document of the request `id` for `instance`, for connections without a response.
    pub(in crate::http) fn into_json(self, instance: &str, id: &RequestId) -> Vec<u8> {
        // A reverse proxy with a path rejects such requests before the service.
        let path_prefix = PathPrefix::default();
        let document = ProblemDocument::new(self, instance, id, &path_prefix);
        // No redaction: the detail is fixed, and nothing of the request was parsed.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}
