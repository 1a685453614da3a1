//! Searching the declarations of the catalog.

use crate::settings::schema::Definition;

/// A search in the catalog; a `None` field matches every declaration.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// A part of the key or of the description, in any case.
    text: Option<String>,
    category: Option<String>,
}

impl Search {
    /// Creates a search for a part of the key or of the description, and for a category.
    #[must_use]
    pub fn new(text: Option<&str>, category: Option<String>) -> Self {
        Self { text: text.map(str::to_lowercase), category }
    }

    /// Whether `definition` matches.
    #[must_use]
    pub fn matches(&self, definition: &Definition) -> bool {
        let Definition { key, description, category, .. } = definition;
        // A closure, because lower-casing all descriptions would slow a search by category alone.
        let text = || format!("{key} {description}").to_lowercase();
        self.text.as_ref().is_none_or(|part| text().contains(part))
            && self.category.as_ref().is_none_or(|name| name == category)
    }
}
