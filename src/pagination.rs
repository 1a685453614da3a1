//! Pages of a list: the cursor after which a page starts, and its size.

use std::{array, fmt::Debug};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The bytes of a cursor that bind a position to its list and filter.
// A wrong cursor passes by chance once in 2^48 times, and the text stays short.
const TAG_BYTES: usize = 6;

/// The filter of a list. A cursor is valid only with the filter for which it was issued.
pub trait Filter: Debug {
    /// The name of the list.
    const LIST: &'static str;
    /// The key by which pages are ordered.
    type Position: Position;
}

/// The key of a row by which pages are ordered.
pub trait Position: Copy {
    /// Returns a fixed number of bytes.
    fn to_bytes(self) -> Vec<u8>;

    /// Returns the position, or `None` if the number of bytes is wrong.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Position for i64 {
    fn to_bytes(self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

impl Position for Uuid {
    fn to_bytes(self) -> Vec<u8> {
        self.into_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_slice(bytes).ok()
    }
}

/// The position after which a page starts; opaque to callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor<P>(P);

impl<P: Position> Cursor<P> {
    /// Creates the cursor after `position`.
    #[must_use]
    pub fn after(position: P) -> Self {
        Self(position)
    }

    /// Returns the position.
    #[must_use]
    pub fn position(self) -> P {
        self.0
    }

    /// Encodes the cursor for `filter`.
    #[must_use]
    pub fn encode<F: Filter<Position = P>>(self, filter: &F) -> String {
        let mut bytes = self.0.to_bytes();
        let tag = tag(&bytes, filter);
        // Not a secret: the tag detects mistakes, since a cursor grants no access.
        bytes.extend(tag);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Decodes a cursor; returns `None` if it was not issued for `filter`.
    #[must_use]
    pub fn decode<F: Filter<Position = P>>(text: &str, filter: &F) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (position, suffix) = bytes.split_last_chunk::<TAG_BYTES>()?;
        if *suffix != tag(position, filter) {
            return None;
        }
        P::from_bytes(position).map(Self)
    }
}

/// Binds a position to its list and filter.
fn tag<F: Filter>(position: &[u8], filter: &F) -> [u8; TAG_BYTES] {
    // The debug output covers every field of the filter, including fields added later.
    let digest = Sha256::digest(format!("brune {} {position:?} {filter:?}", F::LIST));
    array::from_fn(|at| digest[at])
}

/// The number of rows of a page, 1 to 200.
#[derive(Debug, Clone, Copy)]
pub struct PageSize(u16);

impl PageSize {
    /// Clamps `rows` to the permitted range.
    #[must_use]
    pub fn clamped(rows: u16) -> Self {
        Self(rows.clamp(1, 200))
    }

    /// Returns the number of rows to fetch: an extra row shows that another page follows.
    #[must_use]
    pub fn fetch_limit(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Removes the extra row, if any, and returns the cursor of the next page.
    pub fn split<T, F: Filter>(
        self,
        rows: &mut Vec<T>,
        filter: &F,
        position: impl Fn(&T) -> F::Position,
    ) -> Option<String> {
        let size = usize::from(self.0);
        if rows.len() <= size {
            return None;
        }
        rows.truncate(size);
        rows.last().map(|row| Cursor::after(position(row)).encode(filter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct History(#[expect(dead_code, reason = "the tag contains the debug output")] &'static str);

    impl Filter for History {
        const LIST: &'static str = "history";
        type Position = i64;
    }

    #[derive(Debug)]
    struct Outbox;

    impl Filter for Outbox {
        const LIST: &'static str = "outbox";
        type Position = i64;
    }

    #[derive(Debug)]
    struct Sessions;

    impl Filter for Sessions {
        const LIST: &'static str = "history";
        type Position = Uuid;
    }

    #[test]
    fn a_cursor_is_valid_for_its_list_and_filter_only() {
        let text = Cursor::after(7).encode(&History("a"));
        assert_eq!(Cursor::decode(&text, &History("a")), Some(Cursor(7)));
        assert_eq!(Cursor::decode(&text, &History("b")), None);
        assert_eq!(Cursor::decode(&text, &Outbox), None);
        assert_eq!(Cursor::decode(&text, &Sessions), None);
        let longer = format!("{text}AA");
        for text in ["", "A", "AAAA", "not base64!", "AAAAAAAAACoAAAAAAAA", &longer] {
            assert_eq!(Cursor::decode(text, &History("a")), None, "{text}");
        }
        let id = Uuid::from_u128(7);
        let text = Cursor::after(id).encode(&Sessions);
        assert_eq!(Cursor::decode(&text, &Sessions), Some(Cursor(id)));
    }

    #[test]
    fn a_full_page_with_an_extra_row_has_a_next_page() {
        let size = PageSize::clamped(2);
        assert_eq!(size.fetch_limit(), 3);
        let mut rows = vec![9, 8, 7];
        let next = size.split(&mut rows, &Outbox, |row| *row);
        assert_eq!(rows, [9, 8]);
        assert_eq!(next, Some(Cursor::after(8).encode(&Outbox)));
        assert_eq!(size.split(&mut rows, &Outbox, |row| *row), None);
        assert_eq!((PageSize::clamped(0).0, PageSize::clamped(1_000).0), (1, 200));
    }
}
