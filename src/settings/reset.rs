//! Back to the catalog's default: a change like every other.

use sqlx::PgPool;

use crate::{
    audit::{Action, Actor},
    json::Json,
    settings::{
        change::{self, Changed, Edit, Error, Terms},
        rules::Violation,
        schema::Named,
        service::GlobalSettingsService,
    },
};

/// Gives `key` its default, as a new version; a key that may not be written is refused on the way.
pub async fn reset(
    pool: &PgPool,
    settings: &GlobalSettingsService,
    actor: &Actor,
    key: &str,
    version: Option<i64>,
    terms: &Terms,
) -> Result<Changed, Error> {
    let snapshot = settings.snapshot();
    let value = match snapshot.schema.classify(key) {
        Named::Editable(definition) => {
            let missing = || Error::Invalid(vec![Violation::missing(key)]);
            Json::from(definition.default.as_ref().ok_or_else(missing)?)
        }
        Named::Locked(_) => Json::Null,
        Named::Unknown => return Err(Error::Invalid(vec![Violation::unknown(key)])),
    };
    let edits = [Edit { key: key.to_owned(), value, version }];
    change::update_as(Action::Reset, pool, settings, actor, &edits, terms).await
}
