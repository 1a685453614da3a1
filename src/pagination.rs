//! Where a page of a list ended, for whoever reads on: opaque, and good only with the list and the filter it was
//! made for.

use std::{array, fmt::Debug};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// The cursor of `place` in the `list` under `filter`.
#[must_use]
pub fn encode<const N: usize>(place: [u8; N], list: &str, filter: &impl Debug) -> String {
    let mut bytes = place.to_vec();
    bytes.extend(mark(place, list, filter));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The place that `text` is the cursor of; `None` if it is none, or one of another list or filter.
#[must_use]
pub fn decode<const N: usize>(text: &str, list: &str, filter: &impl Debug) -> Option<[u8; N]> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (place, found) = bytes.split_first_chunk::<N>()?;
    (found == mark(*place, list, filter)).then_some(*place)
}

/// What ties a place to its list and filter.
fn mark<const N: usize>(place: [u8; N], list: &str, filter: &impl Debug) -> [u8; 6] {
    let digest = Sha256::digest(format!("brune {list} {place:?} {filter:?}"));
    array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_filter_alone() {
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
