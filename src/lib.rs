//! Brune: a settings control plane over Postgres. This page is the guide to the code.
//!
//! # Modules
//!
//! The blank lines between the modules at the end of this file separate **floors**. A module imports only from earlier
//! floors: never from a module of its own floor, never from a later floor. `http/mod.rs` and `settings/mod.rs` list
//! floors of their own in the same way. `tests/architecture.rs` checks every file, so the lists are the diagram.
//!
//! A feature has its name in two places: the capability ([`settings`], [`sessions`], …) and the folder of routes with
//! the same name in `http/routes/`. `docs/glossary.md` explains the terms.
//!
//! | module | purpose | rules |
//! |---|---|---|
//! | [`text`], [`clock`], [`compute`], [`pagination`], [`files`], [`ids`], [`json`], [`trace_context`] | basic types | import nothing but [`text`] |
//! | [`request_context`] | the id, the trace and the log span of the request that a task works for | created on demand: most requests log nothing |
//! | [`config`] | the configuration of the process | plain data; the only reader of the environment; reports all errors at once |
//! | [`database`] | pool, transactions with a deadline, roles and privileges | a connection with an unfinished statement is closed, never reused; no state is left on a session behind a pooler |
//! | [`metrics`] | counters, gauges and histograms | no value, secret or id as a label |
//! | [`outbound`] | calls of other services | limited in time and size, no redirects; addresses are never logged |
//! | [`telemetry`] | the log, and its forwarding | no value, no secret; logging never blocks |
//! | [`embedded_postgres`] | the private Postgres of a development machine and of the tests | cannot outlive its owner |
//! | [`audit`] | who changed what, when, why, in which request | append-only, each entry chained to the previous one |
//! | [`idempotency`] | the first response to a write, for repeated requests | stored in the transaction of the write |
//! | [`outbox`] | messages to other services | enqueued in the transaction of the change, delivered afterwards |
//! | [`rollouts`] | the rule of a guarded rollout: the arm of a user, the evidence of harm, the next step | pure: counts in, a decision out |
//! | [`proposals`] | records of changes that wait for approval or for their time, and of rollouts | the database enforces who approves what |
//! | [`releases`] | names of revisions | hold no values: the audit trail has them |
//! | [`secret_scanner`] | detection of secrets in texts | every stored text is scanned first |
//! | [`settings`] | values that change while the service runs | see below |
//! | [`fleet`] | the running instances and the revision each has applied | an instance writes only its own row |
//! | [`secrets`] | which secrets are provided, and their remains in the database | presence and source, never a value |
//! | [`sessions`] | who may start a session, and its pinned settings | pinned settings never change |
//! | [`http`] | routes, problems, credentials, limits, the console (`http/ui/`) | no business rule |
//! | [`app`] | start, stop, and the startup guard | parts start in order and stop in reverse order |
//! | [`cli`] | the commands | |
//!
//! The set of settings is data: a catalog (`config/brun-e.toml`), which `brune migrate` publishes into the database.
//! From then on the declarations in the database are authoritative, so that two releases can run side by side.
//! [`Catalog::parse`](settings::Catalog::parse) reports all errors of a file with line and key.
//!
//! # Invariants
//!
//! Postgres enforces the following for every writer, `psql` included (`migrations/` give the reasons): a value has the
//! declared type of its key; a change is a new version of its key and belongs to one revision; revisions grow by one in
//! commit order; no change commits without its audit entry, and no entry is ever altered; a committed change notifies,
//! with its content if there is room. The service connects as a role that owns nothing and has the privileges of one
//! list ([`database::roles`]), so the rules bind the service as well. A migration that creates a table adds a line to
//! that list. Every function has a fixed `search_path`; functions that number revisions, chain entries or notify run as
//! the owner of the tables. [`database::inspect`] checks both. A `security definer` function also revokes `execute`
//! from `PUBLIC` and calls operators and functions with the exact types of their arguments.
//!
//! Rules for the code:
//!
//! 1. **One write path.** Every method of [`SettingsWriter`](settings::SettingsWriter) (`update`, `roll_back`, `reset`,
//!    `import`) ends in one function of `settings/writer.rs`, so that a rule added there holds for all.
//! 2. **Validate the result.** The settings after the change are checked as a whole before they are stored: a batch may
//!    change a value together with the list that must contain the value.
//! 3. **Memory after commit.** A [`Snapshot`](settings::Snapshot) has values of committed changes that the database
//!    returned or notified, never values of a request. A snapshot is complete, valid and of one revision, or it is rejected.
//! 4. **Only forward**, unless the database itself went back: a snapshot is replaced by a greater revision, by any revision
//!    of another timeline, or by the result of a read that began after the snapshot was committed and shows that the
//!    database lost the revision of the snapshot.
//! 5. **A notification can be lost or forged.** [`settings::follow`] applies an authenticated notification of the next
//!    revision without a query. The database is read at every other notification, after every reconnect, and on a timer.
//! 6. **A failed reload keeps the last good snapshot** for readers. Session starts fail at once and name the keys, until
//!    the settings in the database are valid again.
//! 7. **An unacknowledged commit is not a failure** but an
//!    [`OutcomeUnknown`](database::TransactionError::OutcomeUnknown). Only work that is known not to be stored is retried.
//! 8. **Session starts, heartbeats and messages never notify**: commits that notify queue behind one lock of the server.
//! 9. **No secret is ever a setting.** A text that looks like a secret, or equals a secret of this process, is rejected
//!    before it is stored or logged: [`SettingsWriter`](settings::SettingsWriter) holds the
//!    [`SecretScanner`](secret_scanner::SecretScanner).
//! 10. **Readers borrow.** [`GlobalSettingsService::current`](settings::GlobalSettingsService::current) clones no shared
//!     counter; hold the guard only briefly.
//!
//! # A change, step by step
//!
//! `PATCH /admin/global-settings` with two keys.
//!
//! 1. [`http::serve`] accepts the connection and limits every wait. [`http::with_middleware`] assigns the request id,
//!    logs, checks the headers and sets the deadline.
//! 2. The handler is `update` in `http/routes/settings/update.rs`. Its argument [`SuperAdmin`](http::SuperAdmin) makes
//!    authentication unavoidable. The body is read strictly, and all errors are reported at once.
//! 3. The body becomes [`Edit`](settings::Edit)s and an [`Actor`](audit::Actor) (user, reason, request id); headers and
//!    query become [`WriteOptions`](settings::WriteOptions) (`If-Match`, `dry_run`, `Prefer`, `Idempotency-Key`).
//! 4. [`SettingsWriter::update`](settings::SettingsWriter::update) looks up the declaration of each key. A locked key
//!    or a secret, even in the reason, ends the request with an audit entry without values; an invalid value ends it
//!    with all violations.
//! 5. If the rules hold for the values of the current [`Snapshot`](settings::Snapshot), one statement locks the head, stores
//!    everything below, and commits, unless the database is at another revision (`settings/change/checked.rs`). Otherwise
//!    a [`Transaction`](database::Transaction) locks the row of `app_global_setting_head`, which serializes writers. A
//!    repeated `Idempotency-Key` gets the first response. The versions are compared: a stale one is a
//!    [`Conflict`](settings::Conflict) with base, current and requested value. The rules between keys are checked on the
//!    result. Values and audit entries are written; triggers number and chain them, and notify.
//! 6. A dry run rolls back, otherwise the transaction commits. The response is built from the stored rows. One table
//!    (`http/problem/mapping.rs`) maps errors to a [`Problem`](http::Problem).
//! 7. The instance of the request applies the rows that its statement returned. Every other instance receives the
//!    notification: [`settings::follow`] decrypts the change (`settings/notification.rs`), or reads the changes from the
//!    database, validates the result and replaces the snapshot of
//!    [`GlobalSettingsService`](settings::GlobalSettingsService).
//! 8. Each instance writes the applied revision into its row of the [`fleet`] ([`fleet::keep`]): at once if the
//!    notification says that a caller waits, otherwise a little later. A caller with `wait=applied` is answered when
//!    every live instance has applied the revision, or after a timeout (`http/write.rs`). The wait polls the rows:
//!    acknowledgements do not notify.
//!
//! # A change, received by clients
//!
//! `GET /admin/global-settings/stream`, and `/ofrep/v1` for services in any language.
//!
//! 1. Each new snapshot wakes [`settings::publish_changes`], which reads the new change sets from the audit trail once
//!    for all listeners into the [`Feed`](settings::Feed), a ring of the newest 256.
//! 2. A [`Listener`](settings::Listener) is a position in the feed. A slow or reconnecting client continues from its
//!    position; a client too far behind receives an event to reload everything.
//! 3. [`http::Streams`] limits the number of streams. A stream ends when its token expires, at shutdown, and when its
//!    client stops reading.
//! 4. The response with all flags ([`http::Ofrep`]) is rendered once per snapshot; its `ETag` is a digest of the bytes.
//!
//! # An alert, step by step
//!
//! The same PATCH, delivered to a channel and to a service.
//!
//! 1. Under the lock, after the values, the write path enqueues one row of `brune_outbox` for each subscribed
//!    [`Sink`](outbox::Sink), in the same transaction. A dry run and a repeated request enqueue nothing. The commit wakes
//!    the worker of this instance; the workers of other instances poll on a timer, since the outbox never notifies.
//! 2. The [`Worker`](outbox::Worker) claims a sink with a due message (a token with an expiry, by the database's clock)
//!    and reads the first messages in order. No transaction is open during the call.
//! 3. The sink renders the message (`outbox/sink/`) and calls through [`Outbound`](outbound::Outbound). A
//!    [`DeliveryError`](outbox::sink::DeliveryError) is retried later, drops the message, or disables the sink.
//! 4. The result is stored under the token: a worker whose claim expired stores nothing, and the message is delivered
//!    again with the same id. A message waiting for its retry holds back the later ones.
//!
//! # A proposal, step by step
//!
//! `POST /admin/proposals` with a protected setting, approved by another person, and due at 02:00.
//!
//! 1. The handlers are in `http/routes/proposals/`; each calls a method of [`SettingsWriter`](settings::SettingsWriter)
//!    in `settings/proposal/`. Values, reason and notes are scanned for secrets when they are written.
//! 2. A step is a [`Transaction`](database::Transaction) that locks the row of `app_global_setting_head` first, like every
//!    write, so an approval and an edit have an order. The draft is validated as the change would be if it were applied
//!    now, and becomes an immutable edition ([`proposals`]).
//! 3. A verdict names the edition that the person read. Triggers compare its digest and the names of the authors. "Approved"
//!    is no state: [`ApprovalStatus`](proposals::ApprovalStatus) is counted from the verdicts of the current edition.
//! 4. [`settings::apply_due_proposals`] runs on every instance. A query without a lock finds what is due; under the lock
//!    the state is read again, so one instance acts. The edits then go through the write path of a PATCH
//!    (`settings/change/apply.rs`), as does `…/apply`.
//! 5. At the commit, a deferred trigger requires a proposal with exactly this change and enough approvals, or an
//!    emergency: a proposal that is applied at once and names who bypassed the approvals.
//! 6. Each step enqueues its message in its transaction (`settings/proposal/message.rs`). The time of the last alert of an
//!    emergency is a row, so one instance sends each reminder (`settings/proposal/remind.rs`).
//!
//! # A session start, step by step
//!
//! `POST /brun-e/start` with a user's token.
//!
//! 1. The handler is `start` in `http/routes/sessions/`, with the argument [`InternalOrUser`](http::InternalOrUser). Plan
//!    and level come from the token, from the body of a trusted service, or from the configured
//!    [`Plans`](sessions::Plans) service, which is called before a connection is taken.
//! 2. [`sessions::start`] reads the nine relevant settings from the current snapshot into
//!    [`SessionSettings`](sessions::SessionSettings). Invalid settings in the database end the start here. While a rollout
//!    runs, a hash of the user's id selects the arm (`sessions/start/arm.rs`); a candidate user gets the current settings
//!    with the values of the proposal. The snapshot and the rollout are in memory
//!    ([`RunningRollout`](settings::RunningRollout)), and may be outdated.
//! 3. Pure rules decide on the account and the history, and collect every
//!    [`IneligibleReason`](sessions::IneligibleReason).
//! 4. One statement inserts the session if history and rate limit permit **and the revision of the database is still
//!    that of the snapshot**, and the epoch that of the rollout: every begin, next stage and end of a rollout is a new
//!    epoch. This fence needs no notification: a start after an acknowledged change or step, on any instance, never has
//!    older settings. A unique index prevents two concurrent sessions of one user. Under load, concurrent starts share
//!    a statement (`sessions/start/queue.rs`).
//! 5. If no row was inserted, a second statement finds the reason. With an outdated snapshot the settings are reloaded
//!    and the start is retried; other reasons are reported together.
//! 6. The row pins prompt, model and duration with their revision; a trigger prevents changes. With a provider the row
//!    begins as `starting`: [`Realtime`](sessions::Realtime) requests a client secret without holding a connection, and
//!    one more statement sets `active` and enqueues the message, or sets `failed`.
//! 7. A row of a process that died in between expires after half a minute by the database's clock.
//!
//! 8. A refusal by the settings is recorded for a what-if (`sessions/refusal/`), in a statement of its own. The response does
//!    not depend on the record.
//!
//! # A rollout, step by step
//!
//! `POST /admin/proposals/{number}/apply` with `plan.rollout` in the edition (`docs/rollouts.md`).
//!
//! 1. The application begins the first stage (`settings/proposal/rollout/`). Triggers draw the salt, record the step in the
//!    audit trail, and raise the epoch of the head. Each reload reads epoch and rollout as one value.
//! 2. A start picks the arm of the user by a hash of salt and user id, and decides with the settings of the arm. The insert
//!    compares revision **and** epoch with the database, so no start has the settings from before an acknowledged step.
//! 3. The session records the arm. Triggers record the first failure of each user for each guard, whoever ends the session.
//! 4. [`sessions::guard_rollouts`] looks about every second on every instance, without the lock of the head. A look
//!    marks abandoned starts, counts users (`sessions/guards/`), and asks the pure rule ([`rollouts::decide`]). A count
//!    that cannot be read blocks every step except a hold and a revert.
//! 5. A step takes the lock of the head and compares stage and hold again, so one of several instances acts. A promotion is
//!    a change like any other (`settings/change/apply.rs`).
//! 6. `GET /admin/proposals/{number}/rollout` counts with the code of the worker, so the page shows the numbers of the
//!    rule.
//!
//! # A what-if, step by step
//!
//! `POST /admin/what-if` with a changed setting, or with the number of a proposal (`docs/what-if.md`).
//!
//! 1. [`SettingsWriter::preview`](settings::SettingsWriter::preview) validates the change like a dry run, on the current
//!    snapshot, and returns the settings before and after.
//! 2. [`WhatIfRunner`](sessions::WhatIfRunner) opens a read-only transaction, one at a time on an instance. It reads the
//!    versions of the five deciding settings from the audit trail, their values in rollouts, and streams the attempts user
//!    by user.
//! 3. `sessions/what_if/replay.rs` judges each attempt by the rules of a start (step 3 above): with the settings of its
//!    revision, to see whether the records can be explained, and with the changed settings.
//! 4. Two simulations bound what nobody recorded: newly admitted sessions that end at once, and of the full length.
//!
//! # An import, step by step
//!
//! `POST /admin/config/import` with a [`Document`](settings::Document) that was exported elsewhere.
//!
//! 1. `http/routes/config/transfer.rs` takes the format from the content type.
//!    [`IncomingDocument`](settings::IncomingDocument) parses strictly, with line and column of errors. No error quotes
//!    a value, which may be a secret.
//! 2. [`SettingsWriter::plan_import`](settings::SettingsWriter::plan_import) classifies each entry against the current
//!    settings, and finds changes since the revision of the document. The plan's id is a digest of document and
//!    revision.
//! 3. [`SettingsWriter::import`](settings::SettingsWriter::import) makes the plan again, rejects a different id, and
//!    ends in the write path under the condition that the revision is still the plan's.
//!
//! `brune config` (`cli/config/`) is a REST client; [`config::Client`] finds the service.
//!
//! # The console, step by step
//!
//! `/admin/`, where a `SUPER_ADMIN` changes a setting (`docs/console.md`).
//!
//! 1. `http::ui` serves one document and its modules, which are the same for every user. The content security policy
//!    allows these files and the API of this service only.
//! 2. `app.js` requests `/admin/me`, and without a session asks for a token, which `http/routes/sign_in.rs` stores in a
//!    cookie. [`SuperAdmin`](http::SuperAdmin) accepts the cookie for requests of the console's own pages.
//! 3. A page is a module that reads the API and renders. `store.js` holds the settings for all pages, and `live.js`
//!    receives changes from the stream above.
//! 4. Edits are collected in `draft.js`, which validates them by dry runs. `review.js` sends one PATCH, and shows a 409
//!    as [`Conflict`](settings::Conflict)s with base, current and requested value.
//!
//! # Where to begin
//!
//! `docs/adding-a-setting.md` for a setting; [`http::router`] for a route; `migrations/` for the tables. A test of a
//! route starts a service with its own database (`tests/README.md`). `.ci/run` runs all checks.

// Basic types; they import nothing of ours but `text`.
pub mod text;

pub mod clock;
pub mod compute;
pub mod files;
pub mod ids;
pub mod json;
pub mod pagination;
pub mod trace_context;

// The request that a task works for.
pub mod request_context;

// The configuration of the process.
pub mod config;

// Database, other services, log.
pub mod database;
pub mod metrics;
pub mod outbound;
pub mod telemetry;

// The private Postgres, which the app starts.
pub mod embedded_postgres;

// The records of every change.
pub mod audit;
pub mod idempotency;
pub mod outbox;

// The rule of changes that take effect for some users first.
pub mod rollouts;

// Changes that wait for other people, or for their time, and names of revisions.
pub mod proposals;
pub mod releases;

// The check of every text before it is stored.
pub mod secret_scanner;

// The main capability.
pub mod settings;

// Capabilities that use settings.
pub mod fleet;
pub mod secrets;
pub mod sessions;

// The HTTP interface.
pub mod http;

// Start and stop.
pub mod app;

// The command line.
pub mod cli;
