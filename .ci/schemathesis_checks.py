"""Checks of .ci/schemathesis that know the problem documents of the service."""

import schemathesis
from hypothesis import strategies

# The format of If-Match and If-None-Match: the generator makes header values of letters and digits alone.
ENTITY_TAG = r'(W/)?"[rv][0-9]{1,3}"'
schemathesis.openapi.format(
    "entity-tags",
    strategies.from_regex(rf"\A(\*|{ENTITY_TAG}(, {ENTITY_TAG}){{0,2}})\Z"),
)

# Errors of rules that OpenAPI cannot express.
BEYOND_THE_SCHEMA = {
    "two_credentials",  # one of two headers, never both
    "not_a_cursor",  # a cursor belongs to its filters
    "ambiguous",  # one of two parameters
    "one_required",  # one of two members
    "without_wait",  # one parameter requires another
    "without_emergency",  # a member requires a parameter
    "without_approval",  # a member requires a verdict
    "note_required",  # a verdict requires a member
    "secret_like_value",  # a text that looks like a secret
    "forbidden_character",  # the characters that `info.description` forbids
    "repeated_key",  # unique by one member
    "not_a_user_id",  # invisible and reserved names
    "not_a_name",  # invisible names
    "too_long",  # bytes, where a schema counts characters
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Takes conditions out of requests with a method that a route does not have.

    The service refuses a condition that it would not evaluate before it looks at the method; either error is correct.
    """
    if case.method.upper() != case.operation.method.upper():
        for name in ("If-Match", "If-None-Match"):
            case.headers.pop(name, None)


@schemathesis.check
def valid_requests_are_read(ctx, response, case):
    """A request that fits the document is not malformed."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 400:
        return
    if case.media_type == "text/plain":
        # The grammar of `KEY=VALUE` lines is beyond a schema of text.
        return
    problem = response.json()
    if "errorCode" in problem:
        # The protocol has no codes of single errors; characters are the only rule beyond the schema here.
        if "must not contain" in problem["errorDetails"]:
            return
        raise AssertionError(f"a valid request was refused: {problem}")
    if problem["code"] == "reason_required":
        # Three visible characters: a pattern can only ask for three that are not blank.
        return
    if problem["code"] != "malformed_request":
        return
    errors = problem["errors"]
    if case.operation.path == "/brun-e/start":
        # With a token the body must be empty; a schema does not know the credentials.
        errors = [error for error in errors if error["code"] != "unknown_field"]
    unexpected = [error for error in errors if error["code"] not in BEYOND_THE_SCHEMA]
    if unexpected:
        raise AssertionError(f"a valid request was refused: {unexpected}")
