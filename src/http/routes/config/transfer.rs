//! Export and import.

use std::borrow::Cow;

use axum::{
    extract::{FromRequest, Request, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, RefOr, Schema,
        schema::{AdditionalProperties, Type},
    },
};

use crate::{
    clock::Clock,
    compute,
    config::Provision,
    database::Pool,
    http::{
        auth::{SuperAdmin, write_quota::RateLimitedAdmin},
        openapi::{any_of, problems},
        problem::{Code, Problem},
        request::{
            body,
            headers::{IdempotencyKey, single_value},
            preconditions::{self, ReadConditions},
            query::{Query, query},
            value::{REASON_REQUIRED, choices},
        },
        response::JsonResponse,
        write::{ChangeNote, WriteParameters, WriteResponder, WriteResponse},
    },
    idempotency,
    ids::RequestId,
    json::FieldError,
    settings::{
        self, ChangeResult, Document, FORMAT_VERSION, Format, GlobalSettingsService, ImportOptions,
        ImportPlan, IncomingDocument, OnConflict, OnUnknown, SettingsWriter,
    },
};

/// The approximate size of a setting in a document.
const BYTES_OF_A_SETTING: usize = 64;

problems! {
    ExportProblems: MalformedRequest, Unauthorized, Forbidden, RevisionMismatch, Internal, Unavailable, ConfigUnavailable
}

choices! {
    Format: [("json", Self::Json), ("yaml", Self::Yaml), ("env", Self::Env)];
    OnConflict: [("overwrite", Self::Overwrite), ("skip", Self::Skip)];
    OnUnknown: [("refuse", Self::Refuse), ("skip", Self::Skip)];
}

query! {
    /// The parameters of an export.
    struct ExportParameters {
        /// The format of the document; `json` by default
        format: Option<Format>,
    }
}

query! {
    /// The parameters of an import.
    struct ImportParameters {
        /// `dry_run` answers with the plan
        write: WriteParameters,
        /// The reason; required to apply the document
        note: Option<ChangeNote>,
        /// The reviewed plan
        plan_id: Option<String>,
        /// The handling of settings with changes since the export; refused by default
        on_conflict: Option<OnConflict>,
        /// The handling of undeclared keys: `skip` ignores their values; `refuse` by default
        on_unknown: Option<OnUnknown>,
    }
}

/// Every editable setting as a document.
#[utoipa::path(
    get,
    path = "/admin/config/export",
    tag = "config",
    operation_id = "exportConfig",
    params(ExportParameters, ReadConditions),
    responses(
        (status = 200, description = "The document, as an attachment", content(
            (Upload = "application/json"),
            (Upload = "application/yaml"),
            (String = "text/plain"),
        )),
        (status = 304, description = "The state is that of `If-None-Match`"),
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
    Query(ExportParameters { format }): Query<ExportParameters>,
    conditions: ReadConditions,
) -> Result<Response, Problem> {
    let format = format.unwrap_or(Format::Json);
    let (catalog, revision, values) = settings::values(&pool, &settings).await?;
    let tag = preconditions::revision_tag(revision);
    // Before the serialization, which costs more than the read.
    if let Some(response) = conditions.not_modified(&tag)? {
        return Ok(response);
    }
    let name = format!("{catalog}-r{revision}.{}", format.extension());
    let size = values.len() * BYTES_OF_A_SETTING;
    let document =
        Document::new(catalog, revision, values, provision.instance().to_owned(), clock.now());
    let text = compute::run(size, || document.write(format)).await;
    let text = text.map_err(|err| Problem::internal(&*err))?;
    let disposition = format!("attachment; filename=\"{name}\"");
    let response = JsonResponse::text(format.media_type(), text);
    let response = response.with(header::CONTENT_DISPOSITION, &disposition);
    Ok(response.with(header::ETAG, &tag).into_response())
}

/// An uploaded document.
pub(in crate::http) struct Upload {
    incoming: IncomingDocument,
    digest: Vec<u8>,
}

/// The document as JSON. YAML has the same structure; a text has `KEY=VALUE` lines.
impl PartialSchema for Upload {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let number = || ObjectBuilder::new().schema_type(Type::Integer);
        let closed = AdditionalProperties::<Schema>::FreeForm(false);
        ObjectBuilder::new()
            .description(Some("Settings as an export writes them"))
            .property("format_version", number().enum_values(Some([FORMAT_VERSION])))
            .property("exported_at", text())
            .property("source", text())
            .property(
                "revision",
                number().minimum(Some(1)).description(Some(
                    "The revision of the export: settings that have changed since are conflicts",
                )),
            )
            .property("catalog", text())
            .property("settings", ObjectBuilder::new().description(Some("The values, by key")))
            .required("format_version")
            .required("settings")
            .additional_properties(Some(closed))
            .into()
    }
}

impl ToSchema for Upload {
    fn name() -> Cow<'static, str> {
        "SettingsDocument".into()
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let format = format(request.headers()).ok_or_else(|| {
            let detail =
                "a document must be application/json, application/yaml or text/plain (KEY=VALUE), in UTF-8";
            Problem::new(Code::UnsupportedMediaType, detail)
        })?;
        let bytes = body::collect(request).await?;
        if bytes.is_empty() {
            let fault = FieldError::at("", "required", "a document is required as the body");
            return Err(Problem::malformed(fault));
        }
        // The same bytes may be two different documents in two formats.
        let digest = idempotency::fingerprint(&[format.extension().as_bytes(), &bytes]);
        let incoming = compute::run(bytes.len(), || IncomingDocument::read(format, &bytes)).await;
        let incoming = incoming.map_err(Problem::malformed)?;
        Ok(Self { incoming, digest })
    }
}

fn format(headers: &HeaderMap) -> Option<Format> {
    let content_type = single_value(headers, &header::CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = content_type.split(';').map(str::trim);
    let format = match parts.next()?.to_ascii_lowercase().as_str() {
        "application/json" => Format::Json,
        // RFC 9512 registered `application/yaml` in 2024; older tools send the other names.
        "application/yaml" | "application/x-yaml" | "text/yaml" => Format::Yaml,
        "text/plain" => Format::Env,
        _ => return None,
    };
    (body::is_uncompressed(headers) && parts.all(body::is_utf8)).then_some(format)
}

/// A plan, with the outcome of the import.
#[derive(Serialize, ToSchema)]
#[schema(as = PlannedImport)]
pub(in crate::http) struct PlannedImport {
    #[serde(flatten)]
    plan: ImportPlan,
    /// The problem of the import; null if the import would succeed.
    #[schema(required)]
    refusal: Option<PlanRefusal>,
}

/// The problem of a planned import.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportRefusal)]
pub(in crate::http) struct PlanRefusal {
    /// The status.
    status: u16,
    /// The code.
    #[schema(example = "validation_failed")]
    code: &'static str,
    /// The title.
    title: &'static str,
    /// The detail.
    detail: String,
}

impl PlannedImport {
    fn new(plan: ImportPlan, rejection: Option<settings::ImportError>) -> Self {
        // The same mapping as in the import, so the plan predicts the real status.
        let refusal = rejection.map(|err| PlanRefusal::of(&Problem::from(err)));
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

/// The response of an import.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::http) enum Imported {
    /// With `dry_run`.
    Plan(Box<PlannedImport>),
    /// Without.
    Changed(WriteResponse<ChangeResult>),
}

any_of! {
    Imported: "PlannedImport" = PlannedImport, "WriteResponse_ChangeResult" = WriteResponse<ChangeResult>;
}

problems! {
    ImportProblems: MalformedRequest, ReasonRequired, ValidationFailed, SecretLike, Unauthorized, Forbidden, ApprovalRequired, DelegatedToken, ChangeFrozen, RolloutRunning, RolloutConflict, RequestTimeout,
    VersionConflict, PlanOutdated, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReused, RateLimited,
    Internal, Unavailable, OutcomeUnknown
}

/// Imports a document. `dry_run` makes a plan; the same body with the plan's id applies the plan.
#[utoipa::path(
    post,
    path = "/admin/config/import",
    tag = "config",
    operation_id = "importConfig",
    params(ImportParameters, IdempotencyKey),
    request_body(description = "A document of at most 20,000 settings", content(
        (Upload = "application/json"),
        (Upload = "application/yaml"),
        (String = "text/plain"),
    )),
    responses(
        (status = 200, description = "The plan, or the changes as they are stored", body = Imported),
        (status = 202, description = "The changes are stored, and the instances in `applied.laggards` did not apply them in time", body = WriteResponse<ChangeResult>),
        ImportProblems,
    ),
    security(("bearer" = []))
)]
pub(in crate::http) async fn import(
    RateLimitedAdmin(caller): RateLimitedAdmin,
    State(writer): State<SettingsWriter>,
    request: RequestId,
    Query(parameters): Query<ImportParameters>,
    IdempotencyKey(key): IdempotencyKey,
    responder: WriteResponder,
    Upload { incoming, digest }: Upload,
) -> Result<JsonResponse, Problem> {
    let ImportParameters { write, note, plan_id, on_conflict, on_unknown } = parameters;
    // Refusal is the safe default: no import overwrites newer changes silently.
    let on_conflict = on_conflict.unwrap_or(OnConflict::Refuse);
    let on_unknown = on_unknown.unwrap_or(OnUnknown::Refuse);
    // A plan needs no reason: the reviewer of the plan gives one.
    if write.dry_run {
        let plan = writer.plan_import(&incoming, &digest, on_unknown).await?;
        let entries = plan.entries.len();
        let rejection = writer
            .find_rejection(&plan, on_conflict, write.approval(), caller.is_delegated)
            .await?;
        let planned = Imported::Plan(Box::new(PlannedImport::new(plan, rejection)));
        // A plan may have 20,000 entries, too many to serialize on a worker of the runtime.
        return JsonResponse::list(entries, &planned).await;
    }
    let note = note.ok_or_else(missing_reason)?;
    // A repeat with other options is another request, even with the same document.
    let conditions = format!("import {plan_id:?} {on_conflict:?} {on_unknown:?}");
    let idempotency = key.map(|key| {
        idempotency::Key::new(caller.user.clone(), key, &[conditions.as_bytes(), &digest])
    });
    let options = ImportOptions {
        plan_id,
        on_conflict,
        on_unknown,
        approval: write.approval(),
        idempotency,
        is_awaited: write.is_awaited(),
        is_delegated: caller.is_delegated,
    };
    let actor = note.actor(caller, request);
    let outcome = writer.import(&actor, &incoming, &digest, &options).await?;
    // An import has no lenient handling: `on_unknown` decides instead.
    responder.respond_with_changes(&write, outcome, false, Imported::Changed).await
}

fn missing_reason() -> Problem {
    // The body is the document, so the reason is a parameter.
    let error = FieldError::at("?reason", REASON_REQUIRED, "is missing");
    Problem::new(Code::ReasonRequired, "the reason is missing").with_errors(error)
}
