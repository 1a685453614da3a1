"""Checks of .ci/schemathesis that know the problem documents of the service."""

import schemathesis

# Errors of rules that OpenAPI cannot express.
BEYOND_THE_SCHEMA = {
    "two_credentials",  # one of two headers, never both
    "not_a_cursor",  # a cursor belongs to its filters
    "ambiguous",  # one of two parameters
    "without_wait",  # one parameter requires another
    "secret_like_value",  # a text that looks like a secret
    "forbidden_character",  # the characters that `info.description` forbids
    "repeated_key",  # unique by one member
    "not_a_user_id",  # invisible and reserved names
    "not_a_name",  # invisible names
    "too_long",  # bytes, where a schema counts characters
}


@schemathesis.check
def valid_requests_are_read(ctx, response, case):
    """A request that fits the document is not malformed."""
    meta = case.meta
    if meta is None or not meta.generation.mode.is_positive or response.status_code != 400:
        return
    if case.media_type in ("application/yaml", "text/plain"):
        # The grammar of a document that is not JSON is beyond a schema of text.
        return
    problem = response.json()
    if "errorCode" in problem:
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
