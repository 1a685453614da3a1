//! SQL of the schema table.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    database::Connection,
    settings::{
        schema::definition::Definition,
        value::{SettingValue, ValueType},
    },
};

struct Row {
    key: String,
    kind: String,
    value_type: String,
    category: String,
    constraints_json: Value,
    default_json: Option<Value>,
    applies: String,
    required: String,
    approvals: i16,
    description: String,
}

/// A declaration that this release cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the declaration of {key} cannot be read by this release: {error}")]
pub struct Unreadable {
    pub(in crate::settings) key: String,
    pub(in crate::settings) error: serde_json::Error,
}

impl Row {
    fn definition(self) -> Result<Definition, Unreadable> {
        let Self { key, category, description, .. } = self;
        let unreadable = |error| Unreadable { key: key.clone(), error };
        let value_type: ValueType = variant(&self.value_type).map_err(unreadable)?;
        Ok(Definition {
            kind: variant(&self.kind).map_err(unreadable)?,
            applies: variant(&self.applies).map_err(unreadable)?,
            required: variant(&self.required).map_err(unreadable)?,
            constraints: serde_json::from_value(self.constraints_json).map_err(unreadable)?,
            // An unreadable default is dropped, because only a reset needs the default.
            default: self
                .default_json
                .as_ref()
                .and_then(|json| SettingValue::from_stored(value_type, json).ok()),
            category,
            value_type,
            approvals: self.approvals,
            description,
            key,
        })
    }
}

/// Parses the name of a variant.
fn variant<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    // Through serde, so that the database and the API use the same names.
    serde_json::from_value(Value::String(text.to_owned()))
}

/// Returns the name of a variant.
fn name_of(variant: impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(Value::String(text)) => text,
        // Every variant serializes to a string, and the table refuses an empty name anyway.
        _ => String::new(),
    }
}

/// Returns every declaration, sorted by key.
pub(in crate::settings) async fn all(
    conn: &mut Connection,
) -> sqlx::Result<Result<Vec<Definition>, Unreadable>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select key, kind, value_type, category, constraints_json, default_json, applies, required,
          approvals, description
        from app_global_setting_schema
        order by key
        "#,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(Row::definition).collect())
}

/// Inserts or replaces declarations.
pub(in crate::settings) async fn write(
    conn: &mut Connection,
    definitions: &[&Definition],
) -> sqlx::Result<()> {
    let texts = |of: &dyn Fn(&Definition) -> String| -> Vec<String> {
        definitions.iter().map(|definition| of(definition)).collect()
    };
    let constraints: Vec<Value> = definitions
        .iter()
        .map(|definition| {
            serde_json::to_value(&definition.constraints)
                .map_err(|err| sqlx::Error::Encode(err.into()))
        })
        .collect::<sqlx::Result<_>>()?;
    let defaults: Vec<Option<Value>> = definitions
        .iter()
        .map(|definition| definition.default.as_ref().map(SettingValue::to_json))
        .collect();
    let approvals: Vec<i16> = definitions.iter().map(|definition| definition.approvals).collect();
    sqlx::query!(
        r#"
        insert into app_global_setting_schema
          (key, kind, value_type, category, editable, constraints_json, default_json, default_source,
           applies, required, description, approvals)
        select key, kind, value_type, category, kind = 'setting', constraints_json, default_json,
          case kind when 'setting' then 'seed' else 'hardcoded' end, applies, required, description, approvals
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::text[],
                    $8::text[], $9::text[], $10::smallint[])
          as it (key, kind, value_type, category, constraints_json, default_json, applies, required,
                 description, approvals)
        on conflict (key) do update set kind = excluded.kind, value_type = excluded.value_type,
          category = excluded.category, editable = excluded.editable,
          constraints_json = excluded.constraints_json, default_json = excluded.default_json,
          default_source = excluded.default_source, applies = excluded.applies,
          required = excluded.required, description = excluded.description, approvals = excluded.approvals
        "#,
        &texts(&|definition| definition.key.clone()),
        &texts(&|definition| name_of(definition.kind)),
        &texts(&|definition| definition.value_type.as_str().to_owned()),
        &texts(&|definition| definition.category.clone()),
        &constraints,
        &defaults as _,
        &texts(&|definition| name_of(definition.applies)),
        &texts(&|definition| name_of(definition.required)),
        &texts(&|definition| definition.description.clone()),
        &approvals,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deletes the declarations of `keys`, which must not have stored values.
pub(in crate::settings) async fn delete(
    conn: &mut Connection,
    keys: &[String],
) -> sqlx::Result<()> {
    sqlx::query!("delete from app_global_setting_schema where key = any($1)", keys)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores the name of the catalog.
pub(in crate::settings) async fn name_catalog(
    conn: &mut Connection,
    catalog: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update app_global_setting_head set catalog = $1 where catalog is distinct from $1",
        catalog
    )
    .execute(conn)
    .await?;
    Ok(())
}
