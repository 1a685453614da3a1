//! The service as `brune config` and `brune secrets` speak to it, and how that fails.

use std::{fmt, io::Write as _, process::ExitCode, time::Duration};

use chrono::TimeDelta;
use reqwest::{Method, RequestBuilder, Response, Url, redirect};
use serde_json::Value;

use crate::{
    clock::Clock,
    config::{self, Environment},
    http::{Grant, SUPER_ADMIN, issue},
};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    told: String,
}

impl Failure {
    /// The service said no: exit code 1.
    pub(super) fn refused(told: impl Into<String>) -> Self {
        Self { code: 1, told: told.into() }
    }

    /// The command was called wrongly: exit code 2.
    pub(super) fn usage(told: impl Into<String>) -> Self {
        Self { code: 2, told: told.into() }
    }

    /// Nobody answers, or not the service: exit code 3.
    pub(super) fn unreachable(told: impl Into<String>) -> Self {
        Self { code: 3, told: told.into() }
    }

    /// Somebody else was faster: exit code 4.
    pub(super) fn conflict(told: impl Into<String>) -> Self {
        Self { code: 4, told: told.into() }
    }

    /// Whether nobody answered, who may do so later.
    pub(super) fn is_unreachable(&self) -> bool {
        self.code == 3
    }

    /// It is stored, and some instance does not have it yet: exit code 5.
    pub(super) fn not_everywhere(told: impl Into<String>) -> Self {
        Self { code: 5, told: told.into() }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

/// A service to speak to.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    token: String,
}

/// Carries out what is asked of the service that `environment` leads to, and says how it went.
pub(super) fn run(
    environment: &Environment,
    command: impl AsyncFnOnce(&Client) -> Result<(), Failure>,
) -> ExitCode {
    let client = match config::Client::load(environment) {
        Ok(client) => client,
        Err(faults) => return fail(&Failure::usage(faults.to_string())),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match (runtime, Client::new(&client)) {
        (Ok(runtime), Ok(client)) => runtime.block_on(command(&client)),
        (Err(err), _) => Err(Failure::usage(format!("cannot start the runtime: {err}"))),
        (_, Err(failure)) => Err(failure),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "brune: {failure}");
    failure.exit_code()
}

/// What was answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) text: String,
    /// The body, if it is JSON.
    pub(super) body: Value,
}

impl Client {
    pub(super) fn new(service: &config::Client) -> Result<Self, Failure> {
        let told =
            |err: &dyn fmt::Display| Failure::usage(format!("BRUNE_URL cannot be used: {err}"));
        let mut url = Url::parse(&service.url).map_err(|err| told(&err))?;
        if !url.path().ends_with('/') {
            // Paths are joined to it, and would take the place of what follows the last slash.
            url.set_path(&format!("{}/", url.path()));
        }
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(15))
            // A token must not follow a redirect to another host.
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|err| told(&err))?;
        let token = match (&service.token, &service.auth) {
            (Some(token), _) => token.expose().trim().to_owned(),
            (None, Some(auth)) => own_token(auth)?,
            (None, None) => return Err(Failure::usage("BRUNE_TOKEN is not set")),
        };
        Ok(Self { http, url, token })
    }

    /// A request for `path`, with the token.
    pub(super) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, Failure> {
        let url = self
            .url
            .join(path.trim_start_matches('/'))
            .map_err(|err| Failure::usage(err.to_string()))?;
        Ok(self.http.request(method, url).bearer_auth(&self.token))
    }

    /// What the service answers, if it is the service that does: a problem is a [`Failure`].
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let reply = self.send_raw(request).await?;
        match reply.status {
            200..=299 | 304 => Ok(reply),
            _ => Err(reply.failure()),
        }
    }

    async fn send_raw(&self, request: RequestBuilder) -> Result<Reply, Failure> {
        let away = |err: reqwest::Error| {
            let cause =
                if err.is_timeout() { "it took too long".to_owned() } else { innermost(&err) };
            Failure::unreachable(format!("{} does not answer: {cause}", self.url))
        };
        let response = request.send().await.map_err(away)?;
        let status = response.status().as_u16();
        let etag = header(&response, "etag").map(str::to_owned);
        if !is_ours(&response) {
            let told = "is not Brune's: a proxy's, or another program's; is BRUNE_URL right?";
            return Err(Failure::unreachable(format!(
                "the answer of {} (status {status}) {told}",
                self.url
            )));
        }
        let text = response.text().await.map_err(away)?;
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, etag, text, body })
    }

    /// What GET `path` answers, as JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        Ok(self.send(self.request(Method::GET, path)?).await?.body)
    }
}

/// Where the key stands, under `/admin/config`. Anything else than a key would be another path.
pub(super) fn path_of(key: &str) -> Result<String, Failure> {
    let is_key = key.starts_with(|it: char| it.is_ascii_uppercase())
        && key.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_');
    if !is_key {
        let told = format!("{key:?} is no key: capitals, digits and `_`; see `brune config list`");
        return Err(Failure::usage(told));
    }
    Ok(format!("/admin/config/{key}"))
}

fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// Whether the service answered, and nothing between: a proxy may pass the request's id on, but it does not
/// speak of problems as the service does.
fn is_ours(response: &Response) -> bool {
    let media_type = header(response, "content-type").unwrap_or_default();
    let speaks = match response.status().as_u16() {
        304 => true,
        200..=299 => !media_type.starts_with("text/html"),
        _ => media_type.starts_with("application/problem+json"),
    };
    speaks && response.headers().contains_key("x-request-id")
}

/// The first cause, which names the fault: what wraps it only says that there was one.
fn innermost(err: &reqwest::Error) -> String {
    let mut err: &dyn std::error::Error = err;
    while let Some(cause) = err.source() {
        err = cause;
    }
    err.to_string()
}

impl Reply {
    /// The problem, for a terminal: what happened, every fault, and who was faster.
    fn failure(&self) -> Failure {
        let text = |name: &str| self.body[name].as_str().unwrap_or_default();
        if self.status == 401 {
            return Failure::refused(
                "the token is not valid (any more?); set BRUNE_TOKEN to another",
            );
        }
        let mut told = match text("detail") {
            "" => format!("the service answered {}", self.status),
            detail => detail.to_owned(),
        };
        for fault in self.body["errors"].as_array().into_iter().flatten() {
            let key = fault["key"].as_str().or(fault["pointer"].as_str()).unwrap_or_default();
            let line = format!("{key} {}", fault["detail"].as_str().unwrap_or_default());
            // A single fault is the detail already, with or without where it stands.
            if told == fault["detail"].as_str().unwrap_or_default() {
                told = line;
            } else if !told.contains(&line) {
                told.push_str("\n  ");
                told.push_str(&line);
            }
        }
        for conflict in self.body["conflicts"].as_array().into_iter().flatten() {
            told.push_str("\n  ");
            told.push_str(&faster(conflict));
        }
        match self.status {
            409 | 412 => Failure::conflict(told),
            503 => Failure::unreachable(format!("the service cannot work at the moment: {told}")),
            _ => Failure::refused(told),
        }
    }
}

/// Who was faster, with what.
fn faster(conflict: &Value) -> String {
    let text = |name: &str| conflict[name].as_str().unwrap_or_default();
    match (text("updated_by"), text("detail")) {
        ("", detail) => format!("{} {detail}", text("key")),
        (who, _) => format!(
            "{} is {} at version {} since {}, by {who}",
            text("key"),
            conflict["current_value"],
            conflict["current_version"],
            text("updated_at"),
        ),
    }
}

/// A token for the service of this machine, in development.
fn own_token(auth: &config::Auth) -> Result<String, Failure> {
    let role = Some(SUPER_ADMIN.to_owned());
    let grant = Grant { sub: "developer".to_owned(), role, ..Grant::default() };
    issue(auth, &grant, Clock::system().now(), auth.cap_life(TimeDelta::minutes(10)))
        .map_err(|err| Failure::usage(format!("no token can be made: {err}")))
}
