//! Freezes by administrators, with a scanned reason.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    audit::Actor,
    database::Connection,
    proposals::{self, Freeze},
    settings::{change::WriteOptions, proposal::error::Error, writer::SettingsWriter},
};

impl SettingsWriter {
    /// Freezes all settings from `starts_at`, or from now, until `ends_at`.
    pub async fn freeze(
        &self,
        actor: &Actor,
        starts_at: Option<DateTime<Utc>>,
        ends_at: DateTime<Utc>,
        options: &WriteOptions,
    ) -> Result<Freeze, Error> {
        self.refuse_secret_reason(actor, options.dry_run).await?;
        let freeze = async |conn: &mut Connection| {
            Ok::<_, Error>(proposals::freeze(conn, actor, starts_at, ends_at).await?)
        };
        self.run_once(options, freeze).await
    }

    /// Ends the freeze `id` before its end.
    pub async fn end_freeze(
        &self,
        actor: &Actor,
        id: Uuid,
        options: &WriteOptions,
    ) -> Result<Freeze, Error> {
        self.refuse_secret_reason(actor, options.dry_run).await?;
        let end = async |conn: &mut Connection| {
            Ok::<_, Error>(proposals::end_freeze(conn, actor, id).await?)
        };
        self.run_once(options, end).await
    }
}
