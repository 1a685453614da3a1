//! Freezes by administrators, with a scanned reason.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit::Actor,
    proposals::{self, Freeze},
    settings::{proposal::error::Error, writer::SettingsWriter},
};

impl SettingsWriter {
    /// Freezes all settings from `starts_at`, or from now, until `ends_at`.
    pub async fn freeze(
        &self,
        actor: &Actor,
        starts_at: Option<DateTime<Utc>>,
        ends_at: DateTime<Utc>,
    ) -> Result<Freeze, Error> {
        self.refuse_secret_reason(actor, false).await?;
        Ok(proposals::freeze(&self.pool, actor, starts_at, ends_at).await?)
    }

    /// Ends the freeze `id` before its end.
    pub async fn end_freeze(&self, actor: &Actor, id: Uuid) -> Result<Freeze, Error> {
        self.refuse_secret_reason(actor, false).await?;
        Ok(proposals::end_freeze(&self.pool, actor, id).await?)
    }
}
