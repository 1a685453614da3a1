//! What is sent to be evaluated with. No value depends on it, so it is only held to be what it should be.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{http::problem::Problem, json::FieldError};

/// The kind of fault that the protocol calls `INVALID_CONTEXT`.
pub(in crate::http) const INVALID_CONTEXT: &str = "invalid_context";

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow)]
    context: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Context {
    #[serde(rename = "targetingKey")]
    _targeting_key: Option<String>,
}

/// Holds `body` to be a request for evaluation; none at all is one without a context. A context may hold
/// whatever its service knows of whom it asks for, texts of many lines too.
pub(in crate::http) fn check(body: Option<&[u8]>) -> Result<(), Problem> {
    let Some(body) = body else { return Ok(()) };
    let unreadable = || {
        let fault = FieldError::at("", "invalid_json", "the body is to be a JSON object");
        Problem::malformed(fault)
    };
    let whole: &RawValue = serde_json::from_slice(body).map_err(|_| unreadable())?;
    // What is derived takes a list for an object.
    if !whole.get().starts_with('{') {
        return Err(unreadable());
    }
    let request: Request<'_> = serde_json::from_str(whole.get()).map_err(|_| unreadable())?;
    let Some(context) = request.context else { return Ok(()) };
    let is_context =
        context.get().starts_with('{') && serde_json::from_str::<Context>(context.get()).is_ok();
    if is_context {
        return Ok(());
    }
    let detail = "is to be an object, and its targetingKey a string";
    Err(Problem::malformed(FieldError::at("/context", INVALID_CONTEXT, detail)))
}
