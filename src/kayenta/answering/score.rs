//! One whole score from which every client comes to the verdict, whatever it compares it with.
//!
//! Orca fails at or below the marginal threshold and truncates; Argo Rollouts passes at or above the pass threshold and is inconclusive at
//! or above the marginal one. So a fail lies below the marginal threshold, a marginal verdict between the two, and a pass at or above the
//! pass threshold and above the marginal one.

use haldane_judges::Verdict;

/// The request's thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RequestThresholds {
    pub(crate) pass: f64,
    pub(crate) marginal: f64,
}

/// A score moved into the band of its verdict.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ClientScore {
    pub(crate) score: f64,
    /// Which client comes to another decision all the same, because the thresholds leave no room for the verdict.
    pub(crate) warning: Option<String>,
}

/// The whole score nearest to `score` that says `verdict` at these thresholds, which are 0 to 100 with `marginal <= pass`.
pub(crate) fn shown(verdict: Verdict, score: Option<f64>, thresholds: RequestThresholds) -> ClientScore {
    let RequestThresholds { pass, marginal } = thresholds;
    let (lowest, highest) = match verdict {
        Verdict::Fail => (0.0, marginal.ceil() - 1.0),
        Verdict::Marginal => (marginal.floor() + 1.0, pass.ceil() - 1.0),
        Verdict::Pass => (pass.ceil().max(marginal.floor() + 1.0), 100.0),
    };
    let no_room = |score: f64, warning: String| ClientScore { score, warning: Some(warning) };
    if lowest > highest {
        let between = format!("no whole score is {verdict} at the thresholds {pass} and {marginal}");
        return match verdict {
            Verdict::Fail => no_room(0.0, format!("{between}: Argo Rollouts will not fail on the score 0")),
            Verdict::Marginal if marginal == pass => {
                no_room(marginal, format!("{between}: Orca will fail on the score {marginal}, and Argo Rollouts will pass"))
            }
            Verdict::Marginal => no_room(marginal, format!("{between}: Orca will fail on the score {marginal}")),
            Verdict::Pass => no_room(100.0, format!("{between}: Orca will fail on the score 100")),
        };
    }
    // Where nothing was scored, the end of the band that is farthest from a pass.
    let score = score.filter(|score| score.is_finite()).map_or(lowest, f64::round);
    ClientScore { score: score.clamp(lowest, highest), warning: None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq)]
    enum ArgoDecision {
        Successful,
        Inconclusive,
        Failed,
    }

    /// Argo Rollouts truncates the score and compares with `>=`.
    fn argo(score: f64, thresholds: RequestThresholds) -> ArgoDecision {
        let score = score.trunc();
        if score >= thresholds.pass {
            ArgoDecision::Successful
        } else if score >= thresholds.marginal {
            ArgoDecision::Inconclusive
        } else {
            ArgoDecision::Failed
        }
    }

    /// Orca truncates the score; an interval fails at or below the marginal threshold, the last one also below the pass threshold.
    fn orca_fails(score: f64, thresholds: RequestThresholds) -> bool {
        score.trunc() <= thresholds.marginal
    }

    fn orca_promotes(score: f64, thresholds: RequestThresholds) -> bool {
        !orca_fails(score, thresholds) && score.trunc() >= thresholds.pass
    }

    const ALL: [Verdict; 3] = [Verdict::Fail, Verdict::Marginal, Verdict::Pass];

    fn agree(verdict: Verdict, score: f64, thresholds: RequestThresholds) -> bool {
        let (argo, fails, promotes) = (argo(score, thresholds), orca_fails(score, thresholds), orca_promotes(score, thresholds));
        match verdict {
            Verdict::Fail => argo == ArgoDecision::Failed && fails,
            Verdict::Marginal => argo == ArgoDecision::Inconclusive && !fails && !promotes,
            Verdict::Pass => argo == ArgoDecision::Successful && promotes,
        }
    }

    #[test]
    fn every_client_decides_as_the_verdict_says_wherever_a_whole_score_can() {
        for (pass, marginal) in [(75.0, 50.0), (95.0, 75.0), (100.0, 50.0), (90.5, 60.2)] {
            let thresholds = RequestThresholds { pass, marginal };
            for verdict in ALL {
                for score in [None, Some(0.0), Some(50.0), Some(50.7), Some(74.99), Some(94.999), Some(100.0)] {
                    let shown = shown(verdict, score, thresholds);
                    assert!(agree(verdict, shown.score, thresholds), "{verdict} {score:?} at {thresholds:?}: {shown:?}");
                    assert_eq!(shown.warning, None);
                }
            }
        }
    }

    #[test]
    fn a_score_that_says_the_verdict_already_is_only_rounded() {
        let thresholds = RequestThresholds { pass: 75.0, marginal: 50.0 };
        assert_eq!(shown(Verdict::Pass, Some(87.4), thresholds).score, 87.0);
        assert_eq!(shown(Verdict::Marginal, Some(60.5), thresholds).score, 61.0);
        assert_eq!(shown(Verdict::Fail, Some(12.0), thresholds).score, 12.0);
        assert_eq!(shown(Verdict::Fail, Some(96.0), thresholds).score, 49.0);
        assert_eq!(shown(Verdict::Marginal, Some(100.0), thresholds).score, 74.0);
    }

    #[test]
    fn thresholds_without_room_between_them_give_marginal_and_a_warning_about_orca() {
        for (pass, marginal) in [(95.0, 94.0), (100.0, 99.0)] {
            let thresholds = RequestThresholds { pass, marginal };
            let one = shown(Verdict::Marginal, Some(97.0), thresholds);
            assert_eq!(one.score, marginal);
            assert!(one.warning.as_deref().is_some_and(|warning| warning.contains("Orca will fail")), "{one:?}");
            // Argo still holds; only Orca cannot be told.
            assert_eq!(argo(one.score, thresholds), ArgoDecision::Inconclusive);
            for verdict in [Verdict::Fail, Verdict::Pass] {
                let one = shown(verdict, Some(97.0), thresholds);
                assert!(agree(verdict, one.score, thresholds) && one.warning.is_none(), "{one:?}");
            }
        }
    }

    #[test]
    fn thresholds_of_zero_cannot_tell_argo_of_a_failure_and_say_so() {
        let thresholds = RequestThresholds { pass: 0.0, marginal: 0.0 };
        let (fail, marginal, pass) = (
            shown(Verdict::Fail, Some(0.0), thresholds),
            shown(Verdict::Marginal, None, thresholds),
            shown(Verdict::Pass, None, thresholds),
        );
        assert!(fail.score == 0.0 && orca_fails(fail.score, thresholds) && fail.warning.is_some());
        assert!(marginal.score == 0.0 && marginal.warning.is_some());
        assert!(agree(Verdict::Pass, pass.score, thresholds) && pass.warning.is_none(), "{pass:?}");
    }

    proptest! {
        #[test]
        fn a_score_is_whole_and_agrees_or_warns(a in 0.0..=100.0_f64, b in 0.0..=100.0_f64, score in prop::option::of(-10.0..200.0_f64), whole in any::<bool>()) {
            let (a, b) = if whole { (a.round(), b.round()) } else { (a, b) };
            let thresholds = RequestThresholds { pass: a.max(b), marginal: a.min(b) };
            for verdict in ALL {
                let shown = shown(verdict, score, thresholds);
                prop_assert!((0.0..=100.0).contains(&shown.score));
                prop_assert!(shown.warning.is_some() || (agree(verdict, shown.score, thresholds) && shown.score.fract() == 0.0));
            }
        }
    }
}
