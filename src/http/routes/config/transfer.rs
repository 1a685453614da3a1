//! Export and import.

use axum::{
    Extension,
    extract::{FromRequest, Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    clock::Clock,
    compute,
    config::Provision,
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::Writer},
        openapi::problems,
        problem::{Code, Problem},
        request::{body, preconditions, query::Query},
        response::JsonResponse,
        serve::middleware,
        write::{Wait, WriteResponse, actor, answer, ask_usual},
    },
    idempotency,
    ids::RequestId,
    json::FieldError,
    secret_scanner::SecretScanner,
    settings::{
        self, ChangeResult, Document, Format, GlobalSettingsService, ImportOptions, ImportPlan,
        IncomingDocument, OnConflict, OnUnknown, SettingsWriter, WriteOptions,
    },
};

/// About as much as a setting takes in a document.
const BYTES_OF_A_SETTING: usize = 64;

problems! {
    ExportProblems: MalformedRequest, Unauthorized, Forbidden, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

/// Every editable setting as a document.
#[utoipa::path(
    get,
    path = "/admin/config/export",
    tag = "config",
    operation_id = "exportConfig",
    params(("format" = Option<String>, Query, description = "`json` (when left out), `yaml` or `env`")),
    responses(
        (status = 200, description = "The document, as an attachment", content_type = "application/json", body = Object),
        (status = 304, description = "The caller holds it already"),
        ExportProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn export(
    _: SuperAdmin,
    State(pool): State<Pool>,
    State(settings): State<GlobalSettingsService>,
    State(provision): State<Provision>,
    State(clock): State<Clock>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let format = query.choice("format", &Format::NAMES).and_then(Format::parse);
    query.finish()?;
    let format = format.unwrap_or(Format::Json);
    let (catalog, revision, values) = settings::values(&pool, &settings).await?;
    let tag = preconditions::revision_tag(revision);
    if let Some(response) = preconditions::not_modified(&headers, &tag)? {
        return Ok(response);
    }
    let name = format!("{catalog}-r{revision}.{}", format.extension());
    let size = values.len() * BYTES_OF_A_SETTING;
    let document =
        Document::new(catalog, revision, values, provision.instance().to_owned(), clock.now());
    let text = compute::run(size, || document.write(format)).await;
    let text = text.map_err(|err| Problem::internal(&*err))?;
    let disposition = format!("attachment; filename=\"{name}\"");
    let answer = JsonResponse::text(format.media_type(), text);
    let answer = answer.with(header::CONTENT_DISPOSITION, &disposition).with(header::ETAG, &tag);
    Ok(answer.into_response())
}

/// A document as it came in.
pub(in crate::http) struct Upload {
    incoming: IncomingDocument,
    digest: Vec<u8>,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let format = format(request.headers()).ok_or_else(|| {
            let detail =
                "a document is application/json, application/yaml or text/plain (KEY=VALUE), in UTF-8";
            Problem::new(Code::UnsupportedMediaType, detail)
        })?;
        let bytes = body::collect(request).await?;
        if bytes.is_empty() {
            let fault = FieldError::at("", "required", "a document is needed as the body");
            return Err(Problem::malformed(fault));
        }
        let digest = idempotency::fingerprint(&[format.extension().as_bytes(), &bytes]);
        let incoming = compute::run(bytes.len(), || IncomingDocument::read(format, &bytes)).await;
        let incoming = incoming.map_err(Problem::malformed)?;
        Ok(Self { incoming, digest })
    }
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let declared = middleware::only(headers, &header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = declared.split(';').map(str::trim);
    let format = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" => Format::Json,
        "application/yaml" | "application/x-yaml" | "text/yaml" => Format::Yaml,
        "text/plain" => Format::Env,
        _ => return None,
    };
    (body::is_plain(headers) && parts.all(body::is_utf8)).then_some(format)
}

/// A plan, and what the import itself would be answered.
#[derive(Serialize, ToSchema)]
#[schema(as = PlannedImport)]
pub(in crate::http) struct PlannedImport {
    #[serde(flatten)]
    plan: ImportPlan,
    /// The problem that the import would be refused with; null if it would be carried out.
    #[schema(required)]
    refusal: Option<PlanRefusal>,
}

/// The problem that an import would be refused with.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportRefusal)]
pub(in crate::http) struct PlanRefusal {
    /// Its status.
    status: u16,
    /// Its code.
    #[schema(example = "validation_failed")]
    code: &'static str,
    /// Its title.
    title: &'static str,
    /// Its detail.
    detail: String,
}

impl PlannedImport {
    fn new(plan: ImportPlan, on_conflict: OnConflict) -> Self {
        let refusal = plan.rejection(on_conflict).map(|err| PlanRefusal::of(&Problem::from(err)));
        Self { plan, refusal }
    }
}

impl PlanRefusal {
    fn of(problem: &Problem) -> Self {
        let code = problem.code();
        let (status, title) = (code.status().as_u16(), code.title());
        Self { status, code: code.as_str(), title, detail: problem.detail().to_owned() }
    }
}

/// What an import answers: a plan, or what was changed.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(in crate::http) enum Imported {
    /// With `dry_run`.
    Plan(PlannedImport),
    /// Without.
    Changed(WriteResponse<ChangeResult>),
}

problems! {
    ImportProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, RequestTimeout,
    VersionConflict, PlanOutdated, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited,
    Internal, Unavailable, OutcomeUnknown
}

/// Imports a document: `dry_run` plans, and the same body with the plan's id applies it.
#[utoipa::path(
    post,
    path = "/admin/config/import",
    tag = "config",
    operation_id = "importConfig",
    params(
        ("dry_run" = Option<bool>, Query, description = "Answer with the plan, store nothing"),
        ("wait" = Option<String>, Query, description = "`applied`: answer when every live instance has the change; not of a dry run"),
        ("timeout_ms" = Option<i64>, Query, description = "How long that may take: 100 to 4000, 2000 when left out"),
        ("reason" = Option<String>, Query, description = "Why, in 3 to 500 characters on one line, 3 of them visible; needed to apply"),
        ("plan_id" = Option<String>, Query, description = "The plan that was reviewed"),
        ("on_conflict" = Option<String>, Query, description = "`overwrite` or `skip`; refused when left out"),
        ("on_unknown" = Option<String>, Query, description = "Keys that the catalog does not declare: `skip` leaves them out, whatever their values are; `refuse` when left out"),
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat within 24 hours answers as the first time"),
    ),
    request_body(content = Object, description = "A document, as `application/json`, `application/yaml` or `text/plain`, of at most 20,000 settings"),
    responses(
        (status = 200, description = "The plan, or what was changed", body = Imported),
        (status = 202, description = "It is stored, and the instances that `applied.laggards` names did not have it in time", body = WriteResponse<ChangeResult>),
        ImportProblems,
    ),
    security(("bearer" = []))
)]
#[expect(clippy::too_many_arguments, reason = "a handler takes what it is given, part by part")]
pub(in crate::http) async fn import(
    Writer(caller): Writer,
    State(writer): State<SettingsWriter>,
    State(scanner): State<SecretScanner>,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
    mut query: Query,
    wait: Wait,
    Upload { incoming, digest }: Upload,
) -> Result<JsonResponse, Problem> {
    let (dry_run, reason) = (ask_usual(&mut query), query.text("reason"));
    let plan_id = query.text("plan_id");
    let on_conflict = on_conflict(&mut query);
    let on_unknown = on_unknown(&mut query);
    query.finish()?;
    if dry_run {
        let plan = writer.plan_import(&incoming, &digest, on_unknown).await?;
        let planned = PlannedImport::new(plan, on_conflict);
        return JsonResponse::list(planned.plan.entries.len(), &planned).await;
    }
    let actor = actor(&caller, reason, request)?;
    let conditions = format!("import {plan_id:?} {on_conflict:?} {on_unknown:?}");
    let key = preconditions::idempotency_key(&headers, &scanner)?.map(|key| {
        idempotency::Key::new(caller.user.clone(), key, &[conditions.as_bytes(), &digest])
    });
    let terms = ImportOptions { plan_id, on_conflict, on_unknown, idempotency: key };
    let changed = writer.import(&actor, &incoming, &digest, &terms).await?;
    answer(&changed, &WriteOptions::default(), wait).await
}

fn on_conflict(query: &mut Query) -> OnConflict {
    match query.choice("on_conflict", &["overwrite", "skip"]) {
        Some("overwrite") => OnConflict::Overwrite,
        Some(_) => OnConflict::Skip,
        None => OnConflict::Refuse,
    }
}

fn on_unknown(query: &mut Query) -> OnUnknown {
    match query.choice("on_unknown", &["refuse", "skip"]) {
        Some("skip") => OnUnknown::Skip,
        _ => OnUnknown::Refuse,
    }
}
