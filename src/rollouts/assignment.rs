//! The assignment of users to the two arms of a rollout.
//!
//! Nothing is stored: the arm follows from the salt of the rollout and the id of the user, so every instance computes
//! the same arm, and so does Postgres (`$1` is the salt, `$2` the user id, `$3` the share in basis points):
//!
//! ```sql
//! with hash as (select sha256($1::bytea || convert_to($2::text, 'UTF8')) as digest)
//! select (get_byte(digest, 0)::bigint * 16777216 + get_byte(digest, 1) * 65536
//!         + get_byte(digest, 2) * 256 + get_byte(digest, 3)) % 10000 < $3 as is_candidate
//!   from hash
//! ```

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The number of buckets: a share is a number of basis points.
pub const BUCKETS: u16 = 10_000;

/// The share of users who get the candidate: 1 to 10,000 basis points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Share(u16);

impl Share {
    /// Returns the share of `percent` percent; `None` unless 1 to 100.
    #[must_use]
    pub fn from_percent(percent: i64) -> Option<Self> {
        let percent = u16::try_from(percent).ok()?;
        Self::from_basis_points(percent.checked_mul(100)?)
    }

    /// Returns the share of `basis_points`; `None` unless 1 to 10,000.
    #[must_use]
    pub const fn from_basis_points(basis_points: u16) -> Option<Self> {
        match basis_points {
            1..=BUCKETS => Some(Self(basis_points)),
            _ => None,
        }
    }

    /// Returns the share in basis points.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Returns the probability that a user is a candidate user.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.0) / f64::from(BUCKETS)
    }

    /// Whether some users remain in the control.
    #[must_use]
    pub const fn has_control(self) -> bool {
        self.0 < BUCKETS
    }
}

impl TryFrom<u16> for Share {
    type Error = &'static str;

    fn try_from(basis_points: u16) -> Result<Self, Self::Error> {
        Self::from_basis_points(basis_points).ok_or("must be between 1 and 10000 basis points")
    }
}

impl From<Share> for u16 {
    fn from(share: Share) -> Self {
        share.0
    }
}

/// Returns the bucket of a user: 0 to 9,999.
///
/// The first four bytes of SHA-256 are an integer up to 2³², so the probabilities of two buckets differ by at most
/// 0.0003 percent, which no count of users could show.
#[must_use]
pub fn bucket(salt: &[u8], user_id: &str) -> u16 {
    let digest = Sha256::new().chain_update(salt).chain_update(user_id).finalize();
    let number = digest.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte));
    // The remainder is below 10,000, so the conversion cannot fail.
    u16::try_from(number % u32::from(BUCKETS)).unwrap_or_default()
}

/// Whether a user gets the candidate at `share`.
///
/// A candidate user stays one while the share grows: the bucket does not depend on the share.
#[must_use]
pub fn is_candidate(salt: &[u8], user_id: &str, share: Share) -> bool {
    bucket(salt, user_id) < share.basis_points()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn buckets_are_those_of_the_documented_expression() {
        // Computed by Postgres 15 with the expression in the documentation of this module.
        let long = "a".repeat(300);
        for (user_id, expected) in [
            ("", 5030),
            ("ada", 8117),
            ("user-1", 6374),
            ("Zoë", 4915),
            ("00000000-0000-7000-8000-000000000001", 8345),
            ("👩", 6093),
            (long.as_str(), 4044),
        ] {
            assert_eq!(bucket(&SALT, user_id), expected, "{user_id:?}");
        }
        assert_ne!(bucket(&[0; 16], "ada"), bucket(&SALT, "ada"), "the salt counts");
        let at = |points| is_candidate(&SALT, "ada", Share::from_basis_points(points).unwrap());
        assert_eq!((at(8_117), at(8_118)), (false, true));
    }

    #[test]
    fn a_share_is_1_to_100_percent() {
        for percent in [i64::MIN, -1, 0, 101, 656, 65_536, i64::MAX] {
            assert_eq!(Share::from_percent(percent), None, "{percent}");
        }
        assert_eq!(Share::from_percent(1).unwrap().basis_points(), 100);
        assert!(!Share::from_percent(100).unwrap().has_control());
        assert!(serde_json::from_str::<Share>("0").is_err());
        assert!(serde_json::from_str::<Share>("10001").is_err());
        assert!(!serde_json::from_str::<Share>("10000").unwrap().has_control());
    }

    #[test]
    fn a_share_of_the_users_is_assigned_and_a_new_salt_assigns_others() {
        let share = Share::from_percent(10).unwrap();
        let users: Vec<_> = (0..20_000).map(|number| format!("user-{number}")).collect();
        let candidates = users.iter().filter(|user| is_candidate(&SALT, user, share)).count();
        // Five standard deviations of a binomial count.
        assert!((1_788..=2_212).contains(&candidates), "{candidates}");
        let in_both = |user: &&String| {
            is_candidate(&SALT, user, share) && is_candidate(&[7; 16], user, share)
        };
        let repeated = users.iter().filter(in_both).count();
        assert!((130..=270).contains(&repeated), "{repeated}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn a_candidate_user_stays_one_while_the_share_grows(
            user_id in ".*", salt: [u8; 16], small in 1u16..=BUCKETS, growth in 0u16..BUCKETS,
        ) {
            let share = |points: u16| Share::from_basis_points(points.min(BUCKETS)).unwrap();
            let before = is_candidate(&salt, &user_id, share(small));
            prop_assert!(!before || is_candidate(&salt, &user_id, share(small + growth)));
            prop_assert!(is_candidate(&salt, &user_id, share(BUCKETS)));
        }
    }
}
