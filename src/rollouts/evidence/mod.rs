//! The evidence that a change does harm: a test martingale over the arms of failing users.
//!
//! If the change does nothing, a newly failing user is a candidate user with the probability of the share, at any
//! failure rate. The evidence is the factor by which the counts are more probable if the candidate fails more often.
//! Without an effect it exceeds `1 / α` at any time with a probability of at most `α` (Ville's inequality), so the
//! counts may be judged as often as wanted. `docs/rollouts-evidence.md` has the derivation.

use crate::rollouts::assignment::Share;

/// How many times as often as the control the candidate fails, if the change does harm.
///
/// The evidence is the mean over these alternatives: a small one gathers evidence of a small harm, a large one
/// reverts a broken change after few users.
const HARM: [f64; 6] = [1.5, 2.0, 3.0, 5.0, 10.0, 25.0];

/// By how much an incorrect assignment changes the odds of being a candidate user, in both directions.
const IMBALANCE: [f64; 4] = [1.0 / 2.0, 2.0 / 3.0, 3.0 / 2.0, 2.0];

/// Users at one share, by arm. Each user counts once in a rollout, at the share of the start that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArmCounts {
    /// The share at the start.
    pub share: Share,
    /// Candidate users.
    pub candidate: u32,
    /// Users of the control.
    pub control: u32,
}

/// The evidence against "no effect", as a logarithm: the value itself may exceed every number.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Evidence(f64);

impl Evidence {
    /// The evidence without any counts.
    pub const NEUTRAL: Self = Self(0.0);

    /// Returns the evidence that the candidate fails more often, from the failing users of one guard by share.
    #[must_use]
    pub fn of_harm(failing: &[ArmCounts]) -> Self {
        Self(ln_mean_likelihood_ratio(&HARM, failing))
    }

    /// Returns the evidence that users are assigned with another probability than the share, from all users by
    /// share.
    #[must_use]
    pub fn of_wrong_assignment(users: &[ArmCounts]) -> Self {
        Self(ln_mean_likelihood_ratio(&IMBALANCE, users))
    }

    /// Returns the natural logarithm.
    #[must_use]
    pub const fn ln(self) -> f64 {
        self.0
    }

    /// Returns the value: 1 says nothing, a greater one speaks for harm, a smaller one against. Always finite.
    #[must_use]
    pub fn value(self) -> f64 {
        self.0.exp().min(f64::MAX)
    }

    /// Whether the value is at least `threshold`.
    #[must_use]
    pub fn reaches(self, threshold: f64) -> bool {
        self.0 >= threshold.ln()
    }

    /// Whether the counts speak for harm, however weakly.
    #[must_use]
    pub fn speaks_for_harm(self) -> bool {
        self.0 > 0.0
    }
}

/// Returns the smallest number of further failing candidate users, without a failing user in the control, after
/// which the evidence reaches `threshold`. `None` if no number does: at a share of 100 % nothing is compared.
#[must_use]
pub fn failures_until(threshold: f64, failing: &[ArmCounts], share: Share) -> Option<u32> {
    let reaches = |further: u32| {
        let mut counts = failing.to_vec();
        counts.push(ArmCounts { share, candidate: further, control: 0 });
        Evidence::of_harm(&counts).reaches(threshold)
    };
    if !reaches(u32::MAX) {
        return None;
    }
    // The evidence grows with each failing candidate user, so a binary search finds the first number.
    let mut below = 0;
    let mut reaching = u32::MAX;
    if reaches(below) {
        return Some(below);
    }
    while reaching - below > 1 {
        let middle = below + (reaching - below) / 2;
        if reaches(middle) {
            reaching = middle;
        } else {
            below = middle;
        }
    }
    Some(reaching)
}

/// Returns the logarithm of the mean of the likelihood ratios of `alternatives` against "no effect".
fn ln_mean_likelihood_ratio<const N: usize>(alternatives: &[f64; N], counts: &[ArmCounts]) -> f64 {
    let logarithms = alternatives
        .map(|odds| counts.iter().map(|counts| ln_likelihood_ratio(odds, *counts)).sum::<f64>());
    // The greatest term is taken out of the sum: no exponential overflows, and at least one is 1.
    let greatest = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logarithms.iter().map(|logarithm| (logarithm - greatest).exp()).sum();
    let terms: f64 = alternatives.iter().map(|_| 1.0).sum();
    greatest + (sum / terms).ln()
}

/// Returns the logarithm of the likelihood ratio of one alternative.
///
/// With the share π and odds changed by `odds`, a user is a candidate user with the probability
/// `odds·π / (1 + π·(odds − 1))`. Divided by π, and for the control by 1 − π, both have the same denominator.
fn ln_likelihood_ratio(odds: f64, counts: ArmCounts) -> f64 {
    // Without a control every user is a candidate user under each alternative.
    if !counts.share.has_control() {
        return 0.0;
    }
    let candidate = f64::from(counts.candidate);
    let users = candidate + f64::from(counts.control);
    candidate * odds.ln() - users * (counts.share.probability() * (odds - 1.0)).ln_1p()
}

#[cfg(test)]
mod tests;
