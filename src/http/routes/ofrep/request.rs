//! The body of an evaluation. No value depends on the body, so the service only validates.

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::{http::problem::Problem, json::FieldError};

/// The code of the protocol's `INVALID_CONTEXT`.
pub(in crate::http) const INVALID_CONTEXT: &str = "invalid_context";

/// A request for an evaluation; other members are ignored.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct EvaluationRequest<'a> {
    /// The user; no value depends on the context.
    #[serde(borrow)]
    #[schema(value_type = Option<EvaluationContext>)]
    context: Option<&'a RawValue>,
}

/// The context of an evaluation, with any other members.
#[derive(Deserialize, ToSchema)]
struct EvaluationContext {
    /// Identifies the user.
    #[serde(rename = "targetingKey")]
    _targeting_key: Option<String>,
}

/// Validates the body of an evaluation; an absent body has no context. A context may have any members, texts of several
/// lines too.
pub(in crate::http) fn validate(body: Option<&[u8]>) -> Result<(), Problem> {
    let Some(body) = body else { return Ok(()) };
    let invalid = || {
        let error = FieldError::at("", "invalid_json", "the body must be a JSON object");
        Problem::malformed(error)
    };
    // Not the strict reader: a context may hold texts with line breaks.
    let json: &RawValue = serde_json::from_slice(body).map_err(|_| invalid())?;
    // The derived reader accepts a list in place of an object.
    if !json.get().starts_with('{') {
        return Err(invalid());
    }
    let request: EvaluationRequest<'_> = serde_json::from_str(json.get()).map_err(|_| invalid())?;
    let Some(context) = request.context else { return Ok(()) };
    let is_object = context.get().starts_with('{');
    if is_object && serde_json::from_str::<EvaluationContext>(context.get()).is_ok() {
        return Ok(());
    }
    let detail = "must be an object, and its targetingKey a string";
    Err(Problem::malformed(FieldError::at("/context", INVALID_CONTEXT, detail)))
}
