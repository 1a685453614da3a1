//! Opaque cursors, valid only for the list and the filter of the page that returned the cursor.

use std::{array, fmt::Debug};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Encodes the cursor of `position` in `list` under `filter`.
#[must_use]
pub fn encode<const N: usize>(position: [u8; N], list: &str, filter: &impl Debug) -> String {
    let mut bytes = position.to_vec();
    bytes.extend(checksum(position, list, filter));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a cursor. Returns `None` for an invalid cursor, and for a cursor of another list or filter.
#[must_use]
pub fn decode<const N: usize>(text: &str, list: &str, filter: &impl Debug) -> Option<[u8; N]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (position, sum) = bytes.split_first_chunk::<N>()?;
    (sum == checksum(*position, list, filter)).then_some(*position)
}

/// Returns a checksum that binds a position to its list and filter.
fn checksum<const N: usize>(position: [u8; N], list: &str, filter: &impl Debug) -> [u8; 6] {
    // Six bytes detect mistakes; a cursor grants no access, so forgery is harmless.
    let digest = Sha256::digest(format!("brune {list} {position:?} {filter:?}"));
    array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_valid_for_its_list_and_filter_only() {
        let text = encode(7_i64.to_be_bytes(), "history", &("a", 1));
        assert_eq!(decode(&text, "history", &("a", 1)).map(i64::from_be_bytes), Some(7));
        assert_eq!(decode::<8>(&text, "outbox", &("a", 1)), None);
        assert_eq!(decode::<8>(&text, "history", &("a", 2)), None);
        assert_eq!(decode::<16>(&text, "history", &("a", 1)), None);
        for text in ["", "A", "AAAA", "not base64!", &format!("{text}AA")] {
            assert_eq!(decode::<8>(text, "history", &("a", 1)), None, "{text}");
        }
    }
}
