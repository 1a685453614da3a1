//! What an attack is, and what has to become of it.

/// One attack.
#[derive(Clone, Copy)]
pub(super) struct Attack {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
    pub(super) outcome: Outcome,
}

/// What has to become of an attack.
#[derive(Clone, Copy)]
pub(super) enum Outcome {
    /// The server refuses it, with these words, and nothing is changed.
    Refused(&'static str),
    /// It passes, the trail records what it changed, and whoever verifies the trail finds nothing wrong.
    Audited,
    /// It passes and changes nothing.
    Harmless,
}

pub(super) const fn attack(name: &'static str, sql: &'static str, outcome: Outcome) -> Attack {
    Attack { name, sql, outcome }
}

/// A session that attacks can try to change.
pub(super) const SESSION: &str = "insert into brune_session (id, user_id, started_at, expires_at, settings_revision,
      prompt_id, prompt_version, model, session_max_minutes)
    values ('00000000-0000-7000-8000-000000000001', 'ana', now(), now() + interval '1 hour', 1, 'pmpt_1', '1', 'm', 20)";
