//! The parameters of paginated lists.

use crate::http::{
    problem::Problem,
    request::query::{self, query},
};

query! {
    /// A page of a list.
    struct PageParameters {
        /// The most entries of a page
        #[validate(range(min = 1, max = 200))]
        limit: u16 = 50,
        /// `next_cursor` of the page before, with the same filters
        cursor: Option<String>,
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
        let Some(text) = &self.cursor else { return Ok(None) };
        let detail = "invalid cursor: it was issued for other filters; omit it to start over";
        parse(text).map(Some).ok_or_else(|| query::invalid("cursor", "not_a_cursor", detail))
    }
}
