//! Brune: a settings control plane over Postgres. This page is the guide to its code.
//!
//! # The map
//!
//! The blank lines between the modules at the end of this file are **floors**. A module imports only from
//! floors earlier in the list: never from a neighbour on its own floor, never from a later one.
//! `tests/architecture.rs` holds every file to it, so the list is the diagram and cannot rot.
//!
//! A feature is found by its name in two places: the capability (what it does: [`settings`], [`sessions`])
//! and the route file of the same name in [`http`] (how it is spoken to).
//!
//! | module | what it is | what it holds to |
//! |---|---|---|
//! | [`text`], [`clock`], [`compute`], [`pagination`], [`files`], [`ids`], [`json`], [`trace_context`] | words and tools | import nothing of ours but [`text`] |
//! | [`config`] | what the process was started with | plain data; alone reads the environment; tells every fault at once |
//! | [`database`] | the pool, transactions under a deadline, the roles and what each may do, the private Postgres | a connection with something unfinished on it is closed, never pooled; nothing is left on a session that a pooler shares |
//! | [`metrics`] | what is counted | no value, no secret, no id as a label |
//! | [`outbound`] | calls of other services | bounded, redirected nowhere; an address is never told |
//! | [`telemetry`] | the log, and its lines for whoever posts them | no value, no secret; whoever logs never waits |
//! | [`audit`] | who changed what, when, why, in which request | append-only, each entry chained to the one before |
//! | [`idempotency`] | the first result of a write, for its repeat | stored in the write's own transaction |
//! | [`outbox`] | messages to other services | stored in the transaction of what they tell of; delivered afterwards |
//! | [`settings`] | the values that change while the service runs | see below |
//! | [`fleet`] | which instances run, and which revision each has applied | a row is its own instance's; a wait that is lost is no failure |
//! | [`secrets`] | which are provided, and what is left of them in the database | presence and source, never a value |
//! | [`sessions`] | who may start one, and what it keeps | a session's settings never change |
//! | [`http`] | every route on one page, problems, credentials, limits; the console (`http/ui/`) | no rule of the business |
//! | [`app`] | the parts put together, the startup guard | started in order, stopped in reverse |
//! | [`cli`] | the commands | |
//!
//! Which settings there are is data: a catalog (`config/brun-e.toml`), which `brune migrate` publishes into
//! the database. From there on the database's declarations are the truth, so that two releases can run side
//! by side. [`Catalog::parse`](settings::Catalog::parse) tells every fault of a file with its line and its key.
//!
//! # What holds
//!
//! For every writer, `psql` included, because Postgres itself holds it (`migrations/`, which say why):
//! a value is of its key's declared type; a change is a new version of its key and belongs to one
//! revision; revisions grow by one, in the order of commits; no change commits without its audit entry,
//! and none of those is ever altered; a committed change notifies. The service itself connects as a role that owns
//! nothing and has the privileges of one list ([`database::roles`]), so that this holds against it as well: a new
//! table gets its line there, with the migration that creates it. Every function resolves names by a fixed
//! `search_path`, those that number revisions run as the tables' owner, and [`database::inspect`] checks both. A new
//! function sets its path; a `security definer` also revokes `execute` from `PUBLIC` and gives every operator and
//! function the exact types of its arguments.
//!
//! For whoever writes code here:
//!
//! 1. **One write path.** Everything that changes a setting ends where [`settings::update`] and
//!    [`settings::roll_back`] do, so that a rule added there holds everywhere: a batch, one key
//!    (`http/config/`), a reset, an import.
//! 2. **The resulting whole is checked**, and before it is stored: a batch may change a value together with
//!    the list it must be in.
//! 3. **Memory after commit.** A [`Snapshot`](settings::Snapshot) is taken on from the database after the
//!    commit, never assigned before; it is complete, valid and of one revision, or it is not taken on.
//! 4. **Only forward**, unless the database itself went back: a greater revision replaces a snapshot, or any
//!    of another timeline.
//! 5. **A notification is a hint.** It can be lost, so [`settings::follow`] reads on every wake-up, after
//!    every loss of its connection, and on a timer.
//! 6. **A failed reload keeps the last good snapshot** for readers. Session starts fail at once, naming the
//!    keys, until the database's settings are valid again.
//! 7. **A lost commit is not a failure.** What may have been stored is
//!    [`OutcomeUnknown`](database::Failure::OutcomeUnknown), and only what is known not to be is tried again.
//! 8. **Session starts never notify**, nor do heartbeats or messages: commits that do queue behind one lock of the whole
//!    server.
//! 9. **No secret is ever a setting.** What looks like one, or is one of this process, ends every write before
//!    it is stored or told: the scanner is part of the handle that all writers have.
//! 10. **Reading borrows.** [`GlobalSettingsService::current`](settings::GlobalSettingsService::current)
//!     clones no shared counter; keep what it returns only for a moment.
//!
//! # A change, followed through
//!
//! `PATCH /admin/global-settings` with two keys.
//!
//! 1. [`http::serve`] has the connection and bounds every wait on it; [`http::around`] gives the request its
//!    id, its line in the log and its deadline, and checks its head.
//! 2. The handler is `http::settings::update`. It cannot be reached without a
//!    [`SuperAdmin`](http::SuperAdmin). [`Body`](http::Body) reads the JSON strictly (no key twice, no
//!    digit lost) into the struct that the route declares, and reports every error.
//! 3. It becomes [`Edit`](settings::Edit)s, an [`Actor`](audit::Actor) (who, why, in which request) and
//!    [`Terms`](settings::Terms) (`If-Match`, `dry_run`, `Prefer`, `Idempotency-Key`), and goes to
//!    [`settings::update`].
//! 4. That finds each key's declaration in the current snapshot. A key that may not be written ends it, with
//!    an audit entry that has no value, and so does what looks like a secret, be it the reason
//!    ([`Firewall`](secret_scanner::Firewall)); a value that breaks a rule of its own ends it, with all of them.
//! 5. A transaction ([`database::Work`]) locks the one row of `app_global_setting_head`: writers stand in a
//!    row from here. A repeat of an `Idempotency-Key` gets the first result. The versions are compared:
//!    each that is stale is a [`Conflict`](settings::Conflict), told three ways. The rules between keys are
//!    checked on what would result. Then the values and their audit entries are written; triggers number
//!    them, chain them and notify.
//! 6. A dry run rolls back here; else it commits. The answer is what the database returned, not what was
//!    sent. Whatever went wrong is an error of `settings`, which one table (`http/problem/mapping.rs`) turns
//!    into a [`Problem`](http::Problem).
//! 7. Every instance, this one too, hears the notification: [`settings::follow`] reads what is newer than
//!    what it holds, checks it, and lets
//!    [`GlobalSettingsService`](settings::GlobalSettingsService) point to the new snapshot.
//! 8. Each then writes the revision into its row of the [`fleet`] ([`fleet::keep`]). Whoever asked with
//!    `wait=applied` is answered when every live instance has, or when the time is over: in
//!    `http/settings/write.rs`, which every write goes through. It looks at the rows: acknowledgements
//!    do not notify.
//!
//! # A change, heard of
//!
//! `GET /admin/global-settings/stream`, and `/ofrep/v1` for services in any language.
//!
//! 1. [`settings::tell`] wakes with each snapshot that is taken on. If anyone listens it reads the new change sets
//!    from the trail, once for all of them, into the [`Feed`](settings::Feed), which holds the newest 256.
//! 2. A [`Listener`](settings::Listener) is a place in the feed and nothing more: who is slow or comes back reads on
//!    from there, and who is too far behind is told to read everything.
//! 3. [`http::Streams`] bounds how many there are. A stream ends with its token, at shutdown, and when its client
//!    stops reading (the accept loop's bound on writes).
//! 4. The page of all flags ([`http::Ofrep`]) is written once for each snapshot; its `ETag` is of its bytes. A refetch
//!    event needs no trail: it follows the snapshot alone.
//!
//! # An alert, followed through
//!
//! The same PATCH, told to a channel and to a service.
//!
//! 1. Under the lock, after the values, the write path leaves word in the [`Outbox`](outbox::Outbox) that is part of
//!    the settings' handle: one row of `brune_outbox` for each [`Sink`](outbox::Sink) that wants the topic, in the same
//!    transaction. A dry run and a repeat leave none. After the commit the worker of this instance is woken; those of
//!    others look on their timer, since nothing of this may notify.
//! 2. The [`Worker`](outbox::Worker) looks whether its sink has something that is due, takes the sink (a token, until
//!    when, by the database's clock), and reads the first messages in order. It holds no transaction while it calls.
//! 3. The sink writes the message in its own way (`outbox/sink/`) and calls through
//!    [`Outbound`](outbound::Outbound). What is not well is a [`Failed`](outbox::sink::Failed): again later, never this
//!    message, or never this address.
//! 4. The result is marked with the token in the `where`: a worker that was paused for too long marks nothing, and the
//!    message goes out again, with the same id. One that is to be tried again holds back those after it.
//!
//! # A session start, followed through
//!
//! `POST /brun-e/start` with a user's token.
//!
//! 1. As above up to the handler, `http::sessions::start`, which is reached by an
//!    [`InternalOrUser`](http::InternalOrUser): plan and level come from the token, or from the body of a
//!    service that is trusted; or, where [`Starts`](sessions::Starts) has a service that knows them
//!    ([`Plans`](sessions::Plans)), from that, before any connection is taken.
//! 2. [`sessions::start`] reads the nine settings it needs from the current snapshot, as typed fields
//!    ([`SessionSettings`](sessions::SessionSettings)). While the database's settings are invalid it ends here.
//! 3. Whether the user may start at all is decided by pure rules of account and history, every
//!    [`Refusal`](sessions::Refusal) that applies.
//! 4. One statement inserts the session if the user's history and the limit of attempts allow it **and the
//!    database's revision is still the snapshot's**. That is the fence: no notification need have arrived, and
//!    a start that begins after a change was acknowledged, on any instance, never carries older settings. A
//!    unique index keeps two starts of one user apart.
//! 5. Nothing inserted: a second statement says why. An outdated snapshot is read again and the start tried
//!    again; another start in between is looked at again; all else is told, with every reason.
//! 6. The row keeps prompt, model and duration with their revision, and a trigger keeps them as they are. With a
//!    provider it says `starting`; [`Realtime`](sessions::Realtime) asks for a client secret while no connection
//!    is held, and one more statement makes it `active` and stores the message of it, or `failed`.
//! 7. A process that dies in between leaves a row that counts for half a minute by the database's clock.
//!
//! # A document, followed through
//!
//! `POST /admin/config/import` with what [`Document`](settings::Document) wrote elsewhere.
//!
//! 1. `http::config::transfer` takes its format from the content type; [`Incoming`](settings::Incoming) reads
//!    it strictly, in each format with line and column. No fault repeats a value, which may be a secret.
//! 2. [`settings::plan_import`] classes each entry against the settings as they stand, and compares the
//!    document's revision with what was changed here since. Its id is a digest of the document and of the
//!    revision: the same id means the same plan.
//! 3. [`settings::import`] draws the plan up again, refuses if the id is another, and ends in the write path
//!    under the condition that the revision is still the plan's.
//!
//! `brune config` (`cli/config/`) is a client like any other: it speaks REST, and finds the service through
//! [`config::Client`].
//!
//! # A page, followed through
//!
//! `/admin/`, where a `SUPER_ADMIN` changes a setting (`docs/console.md`).
//!
//! 1. `http::ui` serves one document and its modules, the same for everybody; the policy it comes with allows
//!    nothing but these and the API of this service.
//! 2. `app.js` asks `/admin/me` who is there, and otherwise for a token, which `http::sign_in` turns into a cookie.
//!    From here on [`SuperAdmin`](http::SuperAdmin) takes that cookie, with writes of our own pages only.
//! 3. A page is a module that reads the API and draws; `store.js` holds the settings for all of them, and
//!    `live.js` hears of changes on the stream above.
//! 4. What is edited goes into `draft.js`, which asks the service with a dry run, as often as it changes.
//!    `review.js` sends it as one PATCH, and on a 409 shows [`Conflict`](settings::Conflict)s three ways.
//!
//! # Where to begin
//!
//! `docs/adding-a-setting.md` for a setting; [`http::router`] for a route; `migrations/` for the tables. A test
//! of a route takes a service and a database of its own from `tests/support`. `.ci/run` is all that must pass.

// Words and tools; they import nothing of ours but `text`.
pub mod text;

pub mod clock;
pub mod compute;
pub mod files;
pub mod ids;
pub mod json;
pub mod pagination;
pub mod trace_context;

// What the process was started with: plain data.
pub mod config;

// The store, other services, and the log.
pub mod database;
pub mod metrics;
pub mod outbound;
pub mod telemetry;

// The private Postgres.
pub mod embedded_postgres;

// What every change leaves behind.
pub mod audit;
pub mod idempotency;
pub mod outbox;

// The check that every stored text passes.
pub mod secret_scanner;

// The capability the service is named for.
pub mod settings;

// Capabilities that use settings.
pub mod fleet;
pub mod secrets;
pub mod sessions;

// How all of it is reached.
pub mod http;

// The parts put together.
pub mod app;

// The command line.
pub mod cli;
