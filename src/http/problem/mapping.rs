//! What the capabilities refuse, as problems. The only place that knows both.

use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    database,
    http::problem::{Code, Problem},
    json::{FieldError, FieldErrors},
    secrets, sessions,
    settings::{self, Violation},
};

/// What a problem tells beside the members that all have; each of one code.
#[derive(ToSchema)]
#[schema(as = ProblemMembers)]
#[expect(dead_code, reason = "only its schema is used: each code adds its own members")]
pub(in crate::http) struct Members {
    /// Of `version_conflict`: each setting that someone else changed first.
    conflicts: Option<Vec<settings::Conflict>>,
    /// Of `revision_mismatch`: the revision that stands.
    current_revision: Option<i64>,
    /// Of `not_eligible`: every rule that keeps the user from starting.
    reasons: Option<Vec<sessions::IneligibleReason>>,
    /// Of `session_active`: the session that runs.
    session_id: Option<Uuid>,
}

impl From<database::TransactionError> for Problem {
    fn from(err: database::TransactionError) -> Self {
        use database::TransactionError as F;
        match &err {
            F::Unavailable(_) => Self::unavailable(&err),
            F::Blocked(_) => Self::blocked(&err, "the database cannot do this now"),
            F::Unrecorded(_) => Self::blocked(&err, "the audit trail cannot record the change"),
            F::OutcomeUnknown(_) => Self::outcome_unknown(&err),
            F::Refused(_) => Self::internal(&err),
        }
    }
}

impl From<settings::ReloadError> for Problem {
    fn from(err: settings::ReloadError) -> Self {
        use settings::ReloadError as E;
        match err {
            E::Invalid(faults) => config_unavailable(violations(faults)),
            E::Database(err) => err.into(),
            E::Recovering => Self::unavailable(&E::Recovering),
        }
    }
}

/// The settings in the database cannot be used; each key is named.
fn config_unavailable(faults: FieldErrors) -> Problem {
    let detail = "the settings in the database are missing or invalid; `errors` names each";
    Problem::new(Code::ConfigUnavailable, detail).with_faults(faults).retry_after(5)
}

fn violations(violations: Vec<Violation>) -> FieldErrors {
    violations.into_iter().map(fault).collect()
}

fn fault(violation: Violation) -> FieldError {
    let constraint = Some(violation.constraint).filter(|it| *it != Value::Null);
    FieldError {
        pointer: None,
        key: Some(violation.key),
        code: violation.code,
        detail: violation.detail,
        constraint,
    }
}

fn of_keys(keys: Vec<String>, code: &'static str, detail: &str) -> FieldErrors {
    let fault = |key| FieldError { pointer: None, ..FieldError::at("", code, detail).for_key(key) };
    keys.into_iter().map(fault).collect()
}

/// What looks like a secret is named by its place and its form, and never told.
fn secret_like(found: &settings::SecretMatches) -> Problem {
    let mut faults = FieldErrors::default();
    if let Some(likeness) = found.reason {
        faults.push(FieldError::at("/reason", "secret_like_value", likeness.detail()));
    }
    faults.append(violations(found.violations()));
    let detail = match (found.reason, found.values.as_slice()) {
        (Some(likeness), []) => format!("the reason {}", likeness.detail()),
        (None, [(key, likeness)]) => format!("{key} {}", likeness.detail()),
        _ => format!("{} places look like secrets; nothing was stored", faults.count()),
    };
    Problem::new(Code::SecretLike, detail).with_faults(faults)
}

impl From<settings::Error> for Problem {
    fn from(err: settings::Error) -> Self {
        use settings::Error as E;
        let detail = err.to_string();
        match err {
            E::Locked(keys) => {
                let why =
                    "is a secret, or infrastructure's; change it where the service is deployed";
                Self::new(Code::KeyLocked, format!("{detail}; nothing was stored"))
                    .with_faults(of_keys(keys, "key_locked", why))
            }
            E::Invalid(broken) => {
                let detail = match broken.as_slice() {
                    [one] => format!("{} {}; nothing was stored", one.key, one.detail),
                    all => format!("{} faults; nothing was stored", all.len()),
                };
                Self::new(Code::ValidationFailed, detail).with_faults(violations(broken))
            }
            E::SecretLike(found) => secret_like(&found),
            E::VersionRequired(keys) => Self::new(Code::VersionRequired, detail)
                .with_faults(of_keys(keys, "version_required", "its current version is needed")),
            E::RevisionRequired => {
                let fault =
                    FieldError::at("/revision", "version_required", "the current one is needed");
                Self::new(Code::VersionRequired, detail).with_faults(fault)
            }
            E::Mismatch { current } => {
                Self::new(Code::RevisionMismatch, detail).with("current_revision", &current)
            }
            E::Stale(conflicts) => {
                Self::new(Code::VersionConflict, detail).with("conflicts", &conflicts)
            }
            E::VersionNotFound(detail) => Self::new(Code::VersionNotFound, detail),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            E::CatalogMoved => Self::unavailable(&E::CatalogMoved),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

impl From<secrets::Error> for Problem {
    fn from(err: secrets::Error) -> Self {
        use secrets::Error as E;
        let detail = format!("{err}; nothing was removed");
        match err {
            E::SecretLike(likeness) => {
                let fault = FieldError::at("/reason", "secret_like_value", likeness.detail());
                Self::new(Code::SecretLike, detail).with_faults(fault)
            }
            E::NoSuchSecret(names) => Self::new(Code::UnknownKey, detail).with_faults(of_keys(
                names,
                "unknown_key",
                "is no secret of the catalog",
            )),
            E::Database(err) => err.into(),
        }
    }
}

impl From<settings::ReadError> for Problem {
    fn from(err: settings::ReadError) -> Self {
        use settings::ReadError as E;
        let detail = err.to_string();
        match err {
            E::NoSuchRevision(_) => Self::new(Code::RevisionNotFound, detail),
            E::UnknownKey(_) => Self::new(Code::UnknownKey, detail),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

impl From<settings::ImportError> for Problem {
    fn from(err: settings::ImportError) -> Self {
        use settings::ImportError as E;
        let detail = err.to_string();
        match err {
            E::OtherCatalog { .. } => {
                let fault = FieldError::at("/catalog", "other_catalog", detail.clone());
                Self::new(Code::ValidationFailed, detail).with_faults(fault)
            }
            E::PlanOutdated => Self::new(Code::PlanOutdated, detail),
            E::Conflict(entries) => Self::new(
                Code::VersionConflict,
                format!("{detail}; choose `on_conflict=overwrite` or `skip`"),
            )
            .with("conflicts", &entries),
            E::Change(err) => err.into(),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

const PLAN_UNKNOWN: &str =
    "the service that knows the user's plan does not answer; nothing was started";

impl From<sessions::RealtimeError> for Problem {
    /// What an operator must mend is in the log; the client is told that, and which settings are at fault.
    fn from(fault: sessions::RealtimeError) -> Self {
        use sessions::RealtimeError as F;
        let detail = match &fault {
            F::Setting(_) => "the realtime provider refused the settings that `errors` names",
            F::Busy(_) => "the realtime provider is busy",
            _ => "the realtime provider cannot be used now",
        };
        let problem =
            Self::new(Code::RealtimeUnavailable, format!("{detail}; nothing was started"));
        match &fault {
            F::Setting(keys) => {
                let keys = keys.iter().map(|&key| key.to_owned()).collect();
                problem.with_faults(of_keys(
                    keys,
                    "refused_by_provider",
                    "was refused by the provider",
                ))
            }
            F::Busy(wait) => {
                let wait = wait.map_or(5, |it| it.as_secs().clamp(1, 3600));
                problem.retry_after(u32::try_from(wait).unwrap_or(5))
            }
            _ => problem,
        }
    }
}

impl From<sessions::Error> for Problem {
    fn from(err: sessions::Error) -> Self {
        use sessions::Error as E;
        let detail = err.to_string();
        match err {
            E::NotEligible(reasons) => {
                Self::new(Code::NotEligible, detail).with("reasons", &reasons)
            }
            E::Active(id) => Self::new(Code::SessionActive, detail).with("session_id", &id),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            E::Settings(faults) => {
                let fault = |(key, detail): (String, String)| FieldError {
                    pointer: None,
                    ..FieldError::at("", "unusable", detail).for_key(key)
                };
                config_unavailable(faults.into_iter().map(fault).collect())
            }
            E::InProgress => Self::new(Code::IdempotencyInProgress, detail).retry_after(1),
            E::RateLimited { wait, .. } => Self::new(Code::RateLimited, detail).retry_after(wait),
            E::Plan(_) => Self::new(Code::PlanUnavailable, PLAN_UNKNOWN).retry_after(5),
            E::Realtime(fault) => fault.into(),
            E::Unsettled | E::GivenUp => Self::unavailable(&err),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

impl From<sessions::SecretInReason> for Problem {
    fn from(err: sessions::SecretInReason) -> Self {
        let error = FieldError::at("/reason", "secret_like_value", err.0.detail());
        Self::new(Code::SecretLike, format!("{err}; nothing was ended")).with_faults(error)
    }
}

impl From<sessions::LookupError> for Problem {
    fn from(err: sessions::LookupError) -> Self {
        match err {
            sessions::LookupError::NotFound(_) => Self::not_found(err.to_string()),
            sessions::LookupError::Database(err) => err.into(),
        }
    }
}
