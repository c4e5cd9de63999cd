//! The ladder: the only place where a status comes from numbers.
//!
//! Every examiner reduces what it looked at to one [`Claim`] and walks these four rungs. Only the first knows how many metrics and looks
//! there are, so that neither healthy neighbours nor a plan acquit what one metric shows by itself.

use super::rule::{self, Levels};

/// How large a worsening is, against the tolerance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Size {
    /// Less than the smaller tolerance, or no worsening.
    Small,
    /// At least the smaller tolerance, in every unit that one is stated in.
    Near,
    /// At least the tolerance, likewise.
    Beyond,
}

impl Size {
    pub(super) fn of(near: bool, beyond: bool) -> Self {
        match (near, beyond) {
            (_, true) => Self::Beyond,
            (true, false) => Self::Near,
            (false, false) => Self::Small,
        }
    }
}

/// What an examiner found, as the ladder reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) size: Size,
    /// p-value that nothing changed for the worse, with whatever the examiner must allow for: for a regression.
    pub(super) p: f64,
    /// The same of this look alone: for a suspicion.
    pub(super) p_alone: f64,
    /// The same with dependence allowed for where `p` does not; 0 where it does.
    pub(super) p_dependent: f64,
    pub(super) levels: Levels,
    /// Metrics times looks that the level of a regression is shared among.
    pub(super) chances: f64,
    /// Metrics that the level of a suspicion below the tolerance is shared among; 1 where it is not.
    pub(super) neighbours: f64,
    /// Whether the data may convict: enough points and events, in enough intervals.
    pub(super) admissible: bool,
    /// Whether a plan is too young for proof. It takes no suspicion away.
    pub(super) early: bool,
    /// Whether it may raise a suspicion.
    pub(super) visible: bool,
    /// Beyond the tolerance by evidence that chance in independent data does not explain.
    pub(super) unexplained: bool,
    /// p-value that a worsening as large as must be detectable is there, where the examiner may acquit and has enough data to.
    pub(super) p_detectable: Option<f64>,
    /// Level of that, shared among the looks at which the canary may pass.
    pub(super) p_pass: f64,
}

impl Claim {
    /// A claim that rests on size alone: no test, no acquittal.
    pub(super) fn certain(size: Size) -> Self {
        Self {
            size,
            p: 0.0,
            p_alone: 0.0,
            p_dependent: 0.0,
            levels: rule::POINT_LEVELS,
            chances: 1.0,
            neighbours: 1.0,
            admissible: true,
            early: false,
            visible: true,
            unexplained: false,
            p_detectable: None,
            p_pass: rule::P_PASS,
        }
    }
}

/// Where a claim ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rung {
    /// Nothing speaks, and nothing is acquitted.
    Open,
    /// A worsening that must be detectable is excluded.
    Acquitted,
    /// Chance does not explain it, or it is beyond the smaller tolerance.
    Suspect,
    /// Proved.
    Regressed,
}

/// Walks the ladder.
pub(super) fn walk(claim: &Claim) -> Rung {
    let Levels { regressed, suspect } = claim.levels;
    let proved = claim.p <= regressed.0 / claim.chances.max(1.0) && claim.p_dependent <= regressed.1;
    if claim.size == Size::Beyond && claim.admissible && !claim.early && claim.visible && proved {
        return Rung::Regressed;
    }
    let shared = if claim.size == Size::Near { claim.neighbours.max(1.0) } else { 1.0 };
    let seen = claim.size >= Size::Near && claim.p_alone <= suspect.0 / shared && claim.p_dependent <= suspect.1;
    if claim.visible && (seen || claim.unexplained) {
        return Rung::Suspect;
    }
    match claim.p_detectable {
        Some(p) if p <= claim.p_pass => Rung::Acquitted,
        _ => Rung::Open,
    }
}
