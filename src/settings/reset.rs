//! Back to the catalog's default: a change like every other.

use crate::{
    audit::{Action, Actor},
    database::{self, Pool, TransactionError},
    json::StrictJson,
    settings::{
        change::{self, Changed, Edit, Error, WriteOptions},
        read,
        rules::Violation,
        schema::KeyClass,
        service::GlobalSettingsService,
        store,
    },
};

/// Gives `key` its default, as a new version; a key that may not be written is refused on the way.
pub async fn reset(
    pool: &Pool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    key: &str,
    version: Option<i64>,
    terms: &WriteOptions,
) -> Result<Changed, Error> {
    let head = database::read_with_retry(pool, async |conn| {
        Ok::<_, TransactionError>(store::head(conn).await?)
    });
    // The default of the catalog as it is, not as this instance last heard of it.
    let schema = read::declared(pool, settings, head.await?.catalog_revision).await?;
    let value = match schema.classify(key) {
        KeyClass::Editable(definition) => {
            let missing = || Error::Invalid(vec![Violation::missing(key)]);
            StrictJson::from(definition.default.as_ref().ok_or_else(missing)?)
        }
        // Refused on the way, whatever the value, with the trace that it leaves.
        KeyClass::Locked(_) | KeyClass::Unknown => StrictJson::Null,
    };
    let edits = [Edit { key: key.to_owned(), value, version }];
    change::update_as(Action::Reset, pool, settings, actor, &edits, terms).await
}
