//! Reset of a setting to the default of the catalog.

use crate::{
    audit::{Action, Actor},
    json::StrictJson,
    settings::{
        change::{ChangeResult, Edit, Error, WriteOptions},
        read,
        rules::Violation,
        schema::KeyClass,
        writer::SettingsWriter,
    },
};

impl SettingsWriter {
    /// Writes the default of `key` as a new version, if `version` is current.
    pub async fn reset(
        &self,
        actor: &Actor,
        key: &str,
        version: Option<i64>,
        options: &WriteOptions,
    ) -> Result<ChangeResult, Error> {
        // The default may have changed since the last reload of this instance.
        let head = read::head(&self.pool).await?;
        let schema = read::schema_at(&self.pool, &self.settings, head.catalog_revision).await?;
        let value = match schema.classify(key) {
            KeyClass::Editable(definition) => {
                let missing = || Error::Invalid(vec![Violation::missing(key)]);
                StrictJson::from(definition.default.as_ref().ok_or_else(missing)?)
            }
            // The write path refuses and audits the key for every value.
            KeyClass::Locked(_) | KeyClass::Unknown => StrictJson::Null,
        };
        let edits = [Edit { key: key.to_owned(), value, version }];
        self.write(Action::Reset, actor, &edits, options).await
    }
}
