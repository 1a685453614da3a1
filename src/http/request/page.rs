//! The parameters of paginated lists.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, schema::Type};

use crate::{
    http::{
        problem::Problem,
        request::{
            query::query,
            query_string,
            rules::Bounds,
            value::{FieldType, FromText},
        },
    },
    json::FieldError,
};

const NOT_A_CURSOR: &str = "not_a_cursor";

/// The text of a cursor, not yet bound to a filter.
#[derive(Debug)]
pub(in crate::http) struct CursorText(String);

impl FieldType for CursorText {
    fn field_schema(_: Bounds) -> RefOr<Schema> {
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]+$")).into()
    }
}

impl FromText for CursorText {
    fn from_text(text: &str, _: Bounds) -> Result<Self, FieldError> {
        // The filter is known only after all parameters are read; until then, only the encoding can be checked.
        match URL_SAFE_NO_PAD.decode(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => {
                Err(FieldError::at("", NOT_A_CURSOR, "invalid cursor; omit it to start over"))
            }
        }
    }
}

query! {
    /// A page of a list.
    struct PageParameters {
        /// The most entries of a page
        // 200 entries bound the memory and the time of a page.
        #[validate(range(min = 1, max = 200))]
        limit: u16 = 50,
        /// `next_cursor` of the page before, with the same filters
        cursor: Option<CursorText>,
    }
}

impl PageParameters {
    /// Returns the cursor, if sent. `parse` reads a cursor of the request's filters.
    ///
    /// # Errors
    /// The text is not a cursor, or a cursor of other filters.
    pub(in crate::http) fn cursor<C>(
        &self,
        parse: impl FnOnce(&str) -> Option<C>,
    ) -> Result<Option<C>, Problem> {
        let Some(CursorText(text)) = &self.cursor else { return Ok(None) };
        // A cursor of other filters would skip or repeat entries without any sign.
        let detail = "invalid cursor: it was issued for other filters; omit it to start over";
        parse(text).map(Some).ok_or_else(|| query_string::invalid("cursor", NOT_A_CURSOR, detail))
    }
}
