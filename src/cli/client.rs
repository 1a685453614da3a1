//! The HTTP client of `brune config` and the other commands that call a service, and its errors.

use std::{fmt, io::Write as _, process::ExitCode, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Method, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use crate::{
    clock::Clock,
    config::{self, Environment},
    http::{Grant, SUPER_ADMIN, issue},
};

/// A failed command: the exit code and the message.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// The service rejected the request, or the command failed: exit code 1.
    pub(super) fn rejected(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// Wrong usage: exit code 2.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// The service does not answer, or another program does: exit code 3.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }

    /// A version conflict: exit code 4.
    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self { code: 4, message: message.into() }
    }

    /// Returns whether a retry may succeed, because the service did not answer.
    pub(super) fn is_unreachable(&self) -> bool {
        self.code == 3
    }

    /// The change is stored but not applied by every instance: exit code 5.
    pub(super) fn not_applied(message: impl Into<String>) -> Self {
        Self { code: 5, message: message.into() }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// A client with the address and the token of a service.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    token: String,
}

/// Runs `command` with a client for the configured service. Prints an error and returns the exit code.
pub(super) fn run(
    environment: &Environment,
    command: impl AsyncFnOnce(&Client) -> Result<(), Failure>,
) -> ExitCode {
    let client = match config::Client::load(environment) {
        Ok(client) => client,
        Err(errors) => return fail(&Failure::usage(errors.to_string())),
    };
    // A command sends requests in sequence, so more threads would only cost start time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match (runtime, Client::new(&client)) {
        (Ok(runtime), Ok(client)) => runtime.block_on(command(&client)),
        (Err(err), _) => Err(Failure::usage(format!("cannot start the runtime: {err}"))),
        (_, Err(failure)) => Err(failure),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    // `eprintln!` panics if standard error is closed.
    let _ = writeln!(std::io::stderr(), "brune: {failure}");
    failure.exit_code()
}

/// A response.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    /// The time of the service.
    pub(super) date: Option<DateTime<Utc>>,
    pub(super) text: String,
    /// The body, if it is JSON.
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(service: &config::Client) -> Result<Self, Failure> {
        let invalid =
            |err: &dyn fmt::Display| Failure::usage(format!("BRUNE_URL cannot be used: {err}"));
        let mut url = Url::parse(&service.url).map_err(|err| invalid(&err))?;
        if !url.path().ends_with('/') {
            // Joining a path replaces the part after the last slash.
            url.set_path(&format!("{}/", url.path()));
        }
        let http = reqwest::Client::builder()
            // Longer than the longest `--wait` (4 s), so that a waiting write is not cut off.
            .timeout(Duration::from_secs(15))
            // A token must not follow a redirect to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|err| invalid(&err))?;
        let token = match (&service.token, &service.auth) {
            // Headers cannot hold the line end of a pasted token.
            (Some(token), _) => token.expose().trim().to_owned(),
            (None, Some(auth)) => local_token(auth)?,
            (None, None) => return Err(Failure::usage("BRUNE_TOKEN is required")),
        };
        Ok(Self { http, url, token })
    }

    /// Builds a request for `path` with the token.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self
            .url
            // A leading slash would discard the path of BRUNE_URL.
            .join(path.trim_start_matches('/'))
            .map_err(|err| Failure::usage(err.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(&self.token))
    }

    /// Sends `request` and returns the response.
    ///
    /// # Errors
    /// The service does not answer, or answers with a problem.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let reply = self.send_raw(request).await?;
        match reply.status {
            200..=299 | 304 => Ok(reply),
            _ => Err(reply.failure()),
        }
    }

    async fn send_raw(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let unreachable = |err: reqwest::Error| {
            let cause = if err.is_timeout() { "timed out".to_owned() } else { root_cause(&err) };
            Failure::unreachable(format!("{} does not answer: {cause}", self.url))
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        // Before the body is read, which consumes the response.
        let etag = header(&response, "etag").map(str::to_owned);
        let date = header(&response, "date").map(DateTime::parse_from_rfc2822);
        let date = date.and_then(Result::ok).map(|date| date.to_utc());
        if !is_from_service(&response) {
            return Err(Failure::unreachable(format!(
                "the response of {} (status {status}) is from a proxy or another program, not from Brune; check \
                 BRUNE_URL",
                self.url
            )));
        }
        let text = response.text().await.map_err(unreachable)?;
        // An export may be YAML or text; its caller reads `text`.
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, etag, date, text, body })
    }

    /// Requests `path` and returns the JSON body.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.send(self.request(Method::GET, path)?).await?.body)
    }

    /// Sends `body` to `path` and returns the JSON body of the response.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        Ok(self.send(self.request(Method::POST, path)?.json(body)).await?.body)
    }
}

/// Returns the path of `key`. Text other than a key could lead to another route.
pub(super) fn path_of(key: &str) -> Result<String, Failure> {
    let is_key = key.starts_with(|c: char| c.is_ascii_uppercase())
        && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !is_key {
        return Err(Failure::usage(format!(
            "{key:?} is not a key: use capitals, digits and `_`; see `brune config list`"
        )));
    }
    Ok(format!("/admin/config/{key}"))
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// Returns whether the response is from the service and not from a proxy.
fn is_from_service(response: &Response) -> bool {
    let media_type = header(response, "content-type").unwrap_or_default();
    // A proxy may pass the request's id on, but its errors have another media type.
    let has_expected_type = match response.status().as_u16() {
        // A 304 has no body, and therefore no media type.
        304 => true,
        200..=299 => !media_type.starts_with("text/html"),
        _ => media_type.starts_with("application/problem+json"),
    };
    has_expected_type && response.headers().contains_key("x-request-id")
}

/// Returns the innermost cause: the outer errors say only that the request failed.
fn root_cause(err: &reqwest::Error) -> String {
    let mut err: &dyn std::error::Error = err;
    while let Some(cause) = err.source() {
        err = cause;
    }
    err.to_string()
}

impl Reply {
    /// Formats the problem for a terminal: the detail, every error and every conflict.
    fn failure(&self) -> Failure {
        let text = |name: &str| self.body[name].as_str().unwrap_or_default();
        // The service's detail is about headers; the command line has a variable.
        if self.status == 401 {
            return Failure::rejected(
                "the token is invalid or expired; set BRUNE_TOKEN to a valid token",
            );
        }
        let mut message = match text("detail") {
            "" => format!("the service responded with status {}", self.status),
            detail => detail.to_owned(),
        };
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        for error in errors {
            // Errors of settings have a key, errors of a body a JSON pointer (RFC 6901).
            let key = error["key"].as_str().or(error["pointer"].as_str()).unwrap_or_default();
            let name = option_of(key).unwrap_or(key);
            let detail = error["detail"].as_str().unwrap_or_default();
            let line = format!("{name} {detail}");
            // The detail of a problem with a single error is that error, with or without its key.
            let is_repeated = errors.len() == 1 && message.ends_with(detail);
            // A missing reason is described as `the reason must …`.
            let sentence = format!("the {} {detail}", key.trim_start_matches('/'));
            if message == detail || (is_repeated && name != key) {
                message = line;
            } else if message != sentence && !message.contains(&line) {
                message.push_str("\n  ");
                message.push_str(&line);
            }
        }
        for conflict in self.body["conflicts"].as_array().into_iter().flatten() {
            message.push_str("\n  ");
            message.push_str(&describe_conflict(conflict));
        }
        if let Some(fix) = fix(text("code")) {
            message.push_str("; ");
            message.push_str(fix);
        }
        match self.status {
            409 if is_waiting(text("code")) => Failure::rejected(message),
            // A failed precondition is a version conflict as well.
            409 | 412 => Failure::conflict(message),
            // As unreachable, so that `watch` continues while the service restarts.
            503 => Failure::unreachable(format!("the service is unavailable: {message}")),
            _ => Failure::rejected(message),
        }
    }
}

/// Returns the option that sends the member of a body at `pointer`, if the command line has one.
fn option_of(pointer: &str) -> Option<&'static str> {
    match pointer {
        "/plan/at" => Some("--at"),
        "/plan/grace_minutes" => Some("--grace"),
        "/plan/after" => Some("--after"),
        "/plan/rollout" => Some("--rollout"),
        "/starts_at" => Some("--from"),
        "/ends_at" => Some("--until"),
        _ => None,
    }
}

/// Returns whether a conflict waits for approvals, a time or a rollout, or the step is never possible: nobody was faster.
fn is_waiting(code: &str) -> bool {
    matches!(
        code,
        "not_approved"
            | "proposal_not_due"
            | "predecessor_not_applied"
            | "change_frozen"
            | "rollout_running"
            | "rollout_conflict"
            | "rollout_step_impossible"
    )
}

/// Returns the fix for a problem in terms of commands, if the command line has one.
pub(super) fn fix(code: &str) -> Option<&'static str> {
    match code {
        "approval_required" => Some("add --propose; in an emergency add --emergency"),
        "change_frozen" => {
            Some("wait, end the freeze (`brune freeze list`), or in an emergency add --emergency")
        }
        "edition_outdated" | "edition_mismatch" => {
            Some("read the current edition (`brune proposal show`), then repeat with its number")
        }
        "not_approved" => Some(
            "the proposal is not approved: `brune proposal show` lists the verdicts, and another person can approve, also \
             while the proposal rolls out; in an emergency, before a rollout has begun, use `brune proposal apply \
             --emergency --reason`",
        ),
        "proposal_not_due" => {
            Some("wait, or write an edition with another time (`brune proposal edit`)")
        }
        "predecessor_not_applied" => Some("`brune proposal show` prints the next step"),
        "rollout_running" => Some(
            "wait for the end of the rollout (`brune rollout status`), promote or revert the rollout, or in an \
             emergency add --emergency",
        ),
        "rollout_conflict" => Some(
            "write other values, promote or revert the rollout (`brune rollout status`), or in an emergency add \
             --emergency",
        ),
        "rollout_not_running" | "rollout_step_impossible" => {
            Some("`brune rollout status` shows the rollout")
        }
        "stage_outdated" => {
            Some("somebody has moved the rollout: read `brune rollout status`, then decide again")
        }
        "rollout_not_found" => {
            Some("`brune proposal show` prints whether the proposal has a rollout that has begun")
        }
        "proposal_not_found" => Some("`brune proposal list` prints the proposals"),
        "release_not_found" => Some("`brune release list` prints the releases"),
        "release_exists" => Some("a name is used only once: choose another name"),
        _ => None,
    }
}

/// Describes the current value of a conflict, and its author.
fn describe_conflict(conflict: &Value) -> String {
    let text = |name: &str| conflict[name].as_str().unwrap_or_default();
    match (text("updated_by"), text("detail")) {
        ("", detail) => format!("{} {detail}", text("key")),
        (author, _) => format!(
            "{} is {} at version {} since {}, by {author}",
            text("key"),
            conflict["current_value"],
            conflict["current_version"],
            text("updated_at"),
        ),
    }
}

/// Signs a token for the local service, in development.
fn local_token(auth: &config::Auth) -> Result<String, Failure> {
    // A token for one command, so ten minutes suffice.
    let role = Some(SUPER_ADMIN.to_owned());
    let grant = Grant { sub: "developer".to_owned(), role, ..Grant::default() };
    issue(auth, &grant, Clock::system().now(), auth.cap_life(TimeDelta::minutes(10)))
        .map_err(|err| Failure::usage(format!("cannot sign a token: {err}")))
}
