use proptest::prelude::*;
use rand::{SeedableRng as _, rngs::Xoshiro256PlusPlus};

use super::*;

fn percent(share: i64) -> Share {
    Share::from_percent(share).unwrap()
}

fn counts(share: i64, candidate: u32, control: u32) -> ArmCounts {
    ArmCounts { share: percent(share), candidate, control }
}

fn evidence(share: i64, candidate: u32, control: u32) -> f64 {
    Evidence::of_harm(&[counts(share, candidate, control)]).value()
}

#[test]
fn worked_examples_of_the_documents() {
    for (share, candidate, control, expected) in [
        (10, 0, 0, 1.0),
        (10, 3, 0, 102.0),
        (10, 1, 9, 0.39),
        (10, 5, 9, 12.0),
        (10, 6, 9, 39.5),
        (10, 7, 9, 146.0),
        (10, 7, 20, 6.6),
        (10, 10, 20, 128.0),
        (50, 9, 0, 122.0),
        (50, 5, 5, 0.28),
        (50, 20, 6, 22.0),
    ] {
        let value = evidence(share, candidate, control);
        // The documents have two or three digits.
        assert!((value / expected - 1.0).abs() < 0.025, "({candidate}, {control}) → {value}");
    }
}

#[test]
fn shares_are_multiplied() {
    let stages = [counts(10, 2, 3), counts(50, 4, 1)];
    let direct: f64 = HARM
        .iter()
        .map(|r| {
            let at = |share: f64, candidate: i32, control: i32| {
                let p = share * r / (share * r + 1.0 - share);
                (p / share).powi(candidate) * ((1.0 - p) / (1.0 - share)).powi(control)
            };
            at(0.1, 2, 3) * at(0.5, 4, 1) / 6.0
        })
        .sum();
    assert!((Evidence::of_harm(&stages).value() / direct - 1.0).abs() < 1e-12);
}

#[test]
fn without_a_control_nothing_is_compared() {
    let broken = [counts(100, 1_000, 0)];
    assert_eq!(Evidence::of_harm(&broken), Evidence::NEUTRAL);
    assert_eq!(Evidence::of_wrong_assignment(&broken), Evidence::NEUTRAL);
    assert_eq!(failures_until(100.0, &broken, percent(100)), None);
}

#[test]
fn neutral_evidence_is_exactly_neutral() {
    for empty in [&[][..], &[counts(10, 0, 0)], &[counts(10, 0, 0), counts(50, 0, 0)]] {
        assert_eq!(Evidence::of_harm(empty), Evidence::NEUTRAL);
        assert_eq!(Evidence::of_wrong_assignment(empty), Evidence::NEUTRAL);
        assert!(!Evidence::of_harm(empty).speaks_for_harm());
    }
}

#[test]
fn further_failures_until_the_revert() {
    for (share, candidate, control, threshold, expected) in [
        (10, 0, 0, 100.0, 3),
        (10, 3, 0, 100.0, 0),
        (10, 6, 9, 100.0, 1),
        (50, 0, 0, 100.0, 9),
        (10, 0, 0, 200.0, 4),
    ] {
        let failing = [counts(share, candidate, control)];
        let further = failures_until(threshold, &failing, percent(share));
        assert_eq!(further, Some(expected), "{failing:?}");
    }
    // The failures of an earlier stage count too, and new ones are counted at the current share.
    assert_eq!(failures_until(100.0, &[counts(10, 2, 0)], percent(50)), Some(3));
}

#[test]
fn a_wrong_assignment_is_seen_in_both_directions() {
    let value = |candidate, control| {
        Evidence::of_wrong_assignment(&[counts(10, candidate, control)]).value()
    };
    for (candidate, control, expected) in
        [(20, 80, 25.347), (5, 95, 2.3114), (3, 97, 7.4826), (25, 75, 656.73), (30, 270, 0.056_36)]
    {
        let value = value(candidate, control);
        assert!((value / expected - 1.0).abs() < 1e-4, "({candidate}, {control}) → {value}");
    }
    assert!(value(1_000, 9_000) < 0.01);
    assert!(value(1_500, 8_500) > 1e3);
    assert!(value(500, 9_500) > 1e3);
    // A swap of the arms.
    assert!(value(9_000, 1_000) > 1e3);
}

/// Without an effect, the mean of the evidence after the next user is the evidence before.
fn assert_martingale(of: impl Fn(&[ArmCounts]) -> Evidence, before: &[ArmCounts]) {
    for at in 0..before.len() {
        let probability = before[at].share.probability();
        let ratio = |candidate: u32, control: u32| {
            let mut after = before.to_vec();
            after[at].candidate += candidate;
            after[at].control += control;
            (of(&after).ln() - of(before).ln()).exp()
        };
        let mean = probability * ratio(1, 0) + (1.0 - probability) * ratio(0, 1);
        assert!((mean - 1.0).abs() < 1e-9, "{before:?}: {mean}");
    }
}

fn any_counts() -> impl Strategy<Value = Vec<ArmCounts>> {
    let one_share = (1u16..10_000, 0u32..2_000, 0u32..2_000);
    let shares = prop::collection::vec(one_share, 1..5);
    shares.prop_map(|shares| {
        let share = |points| Share::from_basis_points(points).unwrap();
        let counts =
            |(points, candidate, control)| ArmCounts { share: share(points), candidate, control };
        shares.into_iter().map(counts).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn evidence_is_a_martingale(before in any_counts()) {
        assert_martingale(Evidence::of_harm, &before);
        assert_martingale(Evidence::of_wrong_assignment, &before);
    }

    #[test]
    fn evidence_grows_with_candidates_and_falls_with_the_control(before in any_counts(), at: prop::sample::Index) {
        let at = at.index(before.len());
        let mut candidate = before.clone();
        candidate[at].candidate += 1;
        let mut control = before.clone();
        control[at].control += 1;
        prop_assert!(Evidence::of_harm(&candidate) > Evidence::of_harm(&before));
        prop_assert!(Evidence::of_harm(&control) < Evidence::of_harm(&before));
    }

    #[test]
    fn evidence_depends_on_no_order(before in any_counts(), split in 0u32..2_000) {
        let mut shuffled = before.clone();
        shuffled.reverse();
        // The users of one share in two parts are the same users.
        let first = shuffled[0];
        let part = split.min(first.candidate);
        shuffled[0].candidate -= part;
        shuffled.push(ArmCounts { candidate: part, control: 0, ..first });
        let difference = Evidence::of_harm(&shuffled).ln() - Evidence::of_harm(&before).ln();
        prop_assert!(difference.abs() < 1e-8, "{difference}");
    }

    #[test]
    fn evidence_is_a_number_for_any_counts(points in 1u16..=10_000, candidate: u32, control: u32) {
        let share = Share::from_basis_points(points).unwrap();
        for (candidate, control) in [(candidate, control), (100_000, 0), (0, 100_000), (u32::MAX, u32::MAX)] {
            let counts = [ArmCounts { share, candidate, control }, counts(50, candidate, control)];
            for evidence in [Evidence::of_harm(&counts), Evidence::of_wrong_assignment(&counts)] {
                prop_assert!(evidence.ln().is_finite());
                prop_assert!(evidence.value().is_finite());
            }
        }
    }

    #[test]
    fn the_number_of_failures_is_the_smallest(before in any_counts(), points in 1u16..10_000) {
        let share = Share::from_basis_points(points).unwrap();
        let reaches = |further: u32| {
            let mut counts = before.clone();
            counts.push(ArmCounts { share, candidate: further, control: 0 });
            Evidence::of_harm(&counts).reaches(200.0)
        };
        if let Some(further) = failures_until(200.0, &before, share) {
            prop_assert!(reaches(further));
            prop_assert!(further == 0 || !reaches(further - 1));
        }
    }
}

/// Ville's bound, at any of 500 failing users: the seed is fixed, so the test has one outcome.
#[test]
fn without_an_effect_evidence_seldom_reaches_100() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(1);
    for share in [5, 10, 50] {
        let runs = 2_000;
        let mut reached = 0;
        for _ in 0..runs {
            let mut failing = [counts(share, 0, 0)];
            reached += u32::from((0..500).any(|_| {
                let is_candidate = rng.random_bool(percent(share).probability());
                failing[0].candidate += u32::from(is_candidate);
                failing[0].control += u32::from(!is_candidate);
                is_candidate && Evidence::of_harm(&failing).reaches(100.0)
            }));
        }
        assert!(reached <= runs / 100, "{reached} of {runs} at {share} %");
        assert!(reached > 0, "a bound that is never approached tests nothing");
    }
}
