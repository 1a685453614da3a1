//! The problem of each error of the capabilities.

use serde_json::Value;

use crate::{
    database,
    http::problem::{
        code::Code,
        details::Problem,
        members::{Conflicts, Keys, Members},
    },
    json::{FieldError, FieldErrors},
    proposals::{Freeze, FreezeError},
    secrets, sessions,
    settings::{self, Violation},
};

impl From<database::TransactionError> for Problem {
    fn from(err: database::TransactionError) -> Self {
        use database::TransactionError as F;
        match &err {
            F::Unavailable(_) => Self::unavailable(&err),
            F::Blocked(_) => Self::operator_required(&err, "the database rejected the statement"),
            F::Unrecorded(_) => {
                Self::operator_required(&err, "the audit entry could not be inserted")
            }
            F::OutcomeUnknown(_) => Self::outcome_unknown(&err),
            // Postgres rejects a statement only because of a bug.
            F::Refused(_) => Self::internal(&err),
        }
    }
}

impl From<settings::ReloadError> for Problem {
    fn from(err: settings::ReloadError) -> Self {
        use settings::ReloadError as E;
        match err {
            E::Invalid(violations) => config_unavailable(field_errors(violations)),
            E::Database(err) => err.into(),
            E::Recovering => Self::unavailable(&E::Recovering),
        }
    }
}

fn config_unavailable(errors: FieldErrors) -> Problem {
    let detail = "settings in the database are missing or invalid; `errors` lists them";
    // An operator must act first, hence a longer pause than after an outage.
    Problem::new(Code::ConfigUnavailable, detail).with_errors(errors).retry_after(5)
}

fn field_errors(violations: Vec<Violation>) -> FieldErrors {
    violations.into_iter().map(field_error).collect()
}

fn field_error(violation: Violation) -> FieldError {
    // Null means no constraint, and the document omits absent members.
    let constraint = Some(violation.constraint).filter(|rule| *rule != Value::Null);
    FieldError {
        // The route sets the pointer later: only the route knows the form of the body.
        pointer: None,
        key: Some(violation.key),
        code: violation.code,
        detail: violation.detail,
        constraint,
    }
}

/// Returns the same error for each of `keys`.
fn errors_of_keys(keys: Vec<String>, code: &'static str, detail: &str) -> FieldErrors {
    let error = |key| FieldError { pointer: None, ..FieldError::at("", code, detail).for_key(key) };
    keys.into_iter().map(error).collect()
}

/// Names the place and the form of each possible secret.
fn secret_like(secrets: &settings::SecretMatches) -> Problem {
    // Never the value: responses are logged and cached.
    let mut errors = FieldErrors::default();
    if let Some(likeness) = secrets.reason {
        errors.push(FieldError::at("/reason", "secret_like_value", likeness.detail()));
    }
    errors.append(field_errors(secrets.violations()));
    let detail = match (secrets.reason, secrets.values.as_slice()) {
        (Some(likeness), []) => format!("the reason {}", likeness.detail()),
        (None, [(key, likeness)]) => format!("{key} {}", likeness.detail()),
        _ => format!("{} possible secrets; nothing was stored", errors.count()),
    };
    Problem::new(Code::SecretLike, detail).with_errors(errors)
}

impl From<settings::Error> for Problem {
    fn from(err: settings::Error) -> Self {
        use settings::Error as E;
        let detail = err.to_string();
        match err {
            E::Locked(keys) => {
                let advice =
                    "is a secret or part of the infrastructure; change it in the deployment";
                Self::new(Code::KeyLocked, format!("{detail}; nothing was stored"))
                    .with_errors(errors_of_keys(keys, "key_locked", advice))
            }
            E::Invalid(violations) => {
                let detail = match violations.as_slice() {
                    [single] => format!("{} {}; nothing was stored", single.key, single.detail),
                    all => format!("{} errors; nothing was stored", all.len()),
                };
                Self::new(Code::ValidationFailed, detail).with_errors(field_errors(violations))
            }
            E::SecretLike(secrets) => secret_like(&secrets),
            E::VersionRequired(keys) => Self::new(Code::VersionRequired, detail).with_errors(
                errors_of_keys(keys, "version_required", "requires the current version"),
            ),
            E::RevisionRequired => {
                let error =
                    FieldError::at("/revision", "version_required", "must be the current revision");
                Self::new(Code::VersionRequired, detail).with_errors(error)
            }
            E::Mismatch { current } => Self::new(Code::RevisionMismatch, detail)
                .with_members(Members { current_revision: Some(current), ..Members::default() }),
            E::Stale(conflicts) => Self::new(Code::VersionConflict, detail).with_members(Members {
                conflicts: Some(Conflicts::Changes(conflicts)),
                ..Members::default()
            }),
            E::Delegated => Self::new(Code::DelegatedToken, detail),
            E::ApprovalRequired(keys) => {
                Self::new(Code::ApprovalRequired, detail).with_members(Members {
                    keys: Some(Keys::Protected(keys)),
                    propose: Some("/admin/proposals"),
                    ..Members::default()
                })
            }
            E::Frozen(freeze) => frozen(&freeze, detail),
            E::RolloutRunning { proposal, keys } => {
                // Without keys, the proposal of the request itself rolls out.
                let keys = (!keys.is_empty()).then_some(Keys::Rolling(keys));
                Self::new(Code::RolloutRunning, detail)
                    .with_members(Members::of_rollout(proposal, keys))
            }
            E::RolloutConflict { proposal, violations } => Self::new(Code::RolloutConflict, detail)
                .with_members(Members::of_rollout(proposal, None))
                .with_errors(field_errors(violations)),
            E::VersionNotFound(detail) => Self::new(Code::VersionNotFound, detail),
            E::ReleaseNotFound => Self::new(Code::ReleaseNotFound, detail),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            // A concurrent migration changed the declarations, so a retry uses the new ones.
            E::CatalogMoved => Self::unavailable(&E::CatalogMoved),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

fn frozen(freeze: &Freeze, detail: String) -> Problem {
    let seconds = u32::try_from(freeze.seconds_left.max(1)).unwrap_or(u32::MAX);
    let (until, freeze) = (Some(freeze.ends_at), Some(freeze.id));
    let members = Members { until, freeze, ..Members::default() };
    Problem::new(Code::ChangeFrozen, detail).with_members(members).retry_after(seconds)
}

impl From<settings::ProposalError> for Problem {
    fn from(err: settings::ProposalError) -> Self {
        use settings::ProposalError as E;
        let detail = err.to_string();
        match err {
            E::NotFound(_) | E::EditionNotFound { .. } => Self::new(Code::ProposalNotFound, detail),
            E::EditionOutdated { edition, written_by } => Self::new(Code::EditionOutdated, detail)
                .with_members(Members {
                    edition: Some(edition),
                    written_by: Some(written_by),
                    ..Members::default()
                }),
            E::Closed { revision, .. } => Self::new(Code::ProposalClosed, detail)
                .with_members(Members { applied_revision: revision, ..Members::default() }),
            E::NoEmergency => Self::new(Code::ValidationFailed, detail.clone())
                .with_errors(FieldError::at("/verdict", "no_emergency", detail)),
            E::SelfApproval | E::OwnRollout => Self::new(Code::SelfApproval, detail),
            E::NotApproved(status) => Self::new(Code::NotApproved, detail)
                .with_members(Members { standing: Some(*status), ..Members::default() }),
            E::NotDue(at) => Self::new(Code::ProposalNotDue, detail)
                .with_members(Members { until: Some(at), ..Members::default() }),
            E::Predecessor(..) => Self::new(Code::PredecessorNotApplied, detail),
            E::Plan { field, detail } => Self::new(Code::ValidationFailed, detail.clone())
                .with_errors(FieldError::at(format!("/plan/{field}"), "invalid_plan", detail)),
            E::NotRollable(_) => Self::new(Code::ValidationFailed, detail.clone())
                .with_errors(FieldError::at("/plan/rollout", "not_rollable", detail)),
            E::RolloutNotRunning(_) => Self::new(Code::RolloutNotRunning, detail),
            E::RolloutNotFound(_) => Self::new(Code::RolloutNotFound, detail),
            E::StepNotPossible(_) => Self::new(Code::RolloutStepImpossible, detail),
            E::StageOutdated(stage) => Self::new(Code::StageOutdated, detail)
                .with_members(Members { stage: Some(stage), ..Members::default() }),
            E::NothingChanges => Self::new(Code::ValidationFailed, detail.clone())
                .with_errors(FieldError::at("/changes", "nothing_changes", detail)),
            E::SecretInNote(kind) => Self::new(Code::SecretLike, detail)
                .with_errors(FieldError::at("/note", "secret_like_value", kind.detail())),
            E::Freeze(err) => match err {
                FreezeError::Times { field, rule } => Self::new(Code::ValidationFailed, detail)
                    .with_errors(FieldError::at(format!("/{field}"), "invalid_times", rule)),
                FreezeError::NotFound(_) => Self::not_found(detail),
                FreezeError::Over => Self::new(Code::FreezeOver, detail),
                FreezeError::Database(err) => err.into(),
            },
            E::Change(err) => err.into(),
        }
    }
}

impl From<settings::ReleaseError> for Problem {
    fn from(err: settings::ReleaseError) -> Self {
        use settings::ReleaseError as E;
        let detail = err.to_string();
        match err {
            E::NotFound => Self::new(Code::ReleaseNotFound, detail),
            E::Exists => Self::new(Code::ReleaseExists, detail),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            E::SecretLike { field, kind } => Self::new(Code::SecretLike, detail).with_errors(
                FieldError::at(format!("/{field}"), "secret_like_value", kind.detail()),
            ),
            E::Read(err) => err.into(),
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
                let error = FieldError::at("/reason", "secret_like_value", likeness.detail());
                Self::new(Code::SecretLike, detail).with_errors(error)
            }
            E::NoSuchSecret(names) => Self::new(Code::UnknownKey, detail).with_errors(
                errors_of_keys(names, "unknown_key", "is not a secret of the catalog"),
            ),
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
                let error = FieldError::at("/catalog", "other_catalog", detail.clone());
                Self::new(Code::ValidationFailed, detail).with_errors(error)
            }
            E::PlanOutdated => Self::new(Code::PlanOutdated, detail),
            E::Conflict(entries) => Self::new(
                Code::VersionConflict,
                format!("{detail}; set `on_conflict` to `overwrite` or `skip`"),
            )
            .with_members(Members {
                conflicts: Some(Conflicts::Import(entries)),
                ..Members::default()
            }),
            E::Change(err) => err.into(),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

const PLAN_UNKNOWN: &str = "the plan service did not respond; no session was started";

impl From<sessions::RealtimeError> for Problem {
    fn from(error: sessions::RealtimeError) -> Self {
        use sessions::RealtimeError as F;
        // The log has the cause; the client learns only which settings the provider rejected.
        let detail = match &error {
            F::Setting(_) => "the realtime provider rejected the settings in `errors`",
            F::Busy(_) => "the realtime provider is busy",
            _ => "the realtime provider is unavailable",
        };
        let problem =
            Self::new(Code::RealtimeUnavailable, format!("{detail}; no session was started"));
        match &error {
            F::Setting(keys) => {
                let keys = keys.iter().map(|&key| key.to_owned()).collect();
                problem.with_errors(errors_of_keys(
                    keys,
                    "refused_by_provider",
                    "was rejected by the provider",
                ))
            }
            F::Busy(wait) => {
                // The provider chooses the pause, but a client should not wait for more than an hour.
                let wait = wait.map_or(5, |duration| duration.as_secs().clamp(1, 3600));
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
            E::NotEligible(reasons) => Self::new(Code::NotEligible, detail)
                .with_members(Members { reasons: Some(reasons), ..Members::default() }),
            E::Active(id) => Self::new(Code::SessionActive, detail)
                .with_members(Members { session_id: Some(id), ..Members::default() }),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            E::Settings(unusable) => {
                let error = |(key, detail): (String, String)| FieldError {
                    pointer: None,
                    ..FieldError::at("", "unusable", detail).for_key(key)
                };
                config_unavailable(unusable.into_iter().map(error).collect())
            }
            // The first request finishes within seconds, so a short pause suffices.
            E::InProgress => Self::new(Code::IdempotencyInProgress, detail).retry_after(1),
            E::RateLimited { wait, .. } => Self::new(Code::RateLimited, detail).retry_after(wait),
            // Without the reason, which is for administrators.
            E::Stopped { wait } => Self::new(Code::StartsStopped, detail).retry_after(wait),
            // The cause may contain the address of the plan service.
            E::Plan(_) => Self::new(Code::PlanUnavailable, PLAN_UNKNOWN).retry_after(5),
            E::Realtime(err) => err.into(),
            // A retry may succeed: neither error depends on the request.
            E::Unsettled | E::GivenUp => Self::unavailable(&err),
            E::Reload(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

impl From<sessions::WhatIfError> for Problem {
    fn from(err: sessions::WhatIfError) -> Self {
        use sessions::WhatIfError as E;
        let detail = err.to_string();
        match err {
            // A what-if takes up to four seconds, and most take less.
            E::Busy => Self::new(Code::WhatIfBusy, detail).retry_after(2),
            E::Period(invalid) => Self::new(Code::ValidationFailed, detail).with_errors(
                FieldError::at(format!("/{}", invalid.field), "invalid_period", invalid.detail),
            ),
            E::Settings(err) => err.into(),
            E::Database(err) => err.into(),
        }
    }
}

impl From<sessions::EndReasonError> for Problem {
    fn from(err: sessions::EndReasonError) -> Self {
        use sessions::EndReasonError as E;
        let detail = format!("{err}; nothing was ended");
        match err {
            E::Secret(kind) => Self::new(Code::SecretLike, detail).with_errors(FieldError::at(
                "/reason",
                "secret_like_value",
                kind.detail(),
            )),
            E::Database(err) => err.into(),
        }
    }
}

impl From<sessions::StopError> for Problem {
    fn from(err: sessions::StopError) -> Self {
        use sessions::StopError as E;
        let detail = format!("{err}; nothing was stored");
        match err {
            E::SecretInReason(kind) => Self::new(Code::SecretLike, detail)
                .with_errors(FieldError::at("/reason", "secret_like_value", kind.detail())),
            E::Idempotency(_) => Self::new(Code::IdempotencyKeyReused, detail),
            E::Database(err) => err.into(),
        }
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
