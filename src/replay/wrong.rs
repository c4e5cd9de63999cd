//! Verdicts that were wrong: healthy canaries that failed and regressed ones that passed, with what each metric showed and where they lie.

use haldane_judges::Verdict;

use super::case::Label;
use super::layout::one_decimal;
use super::result::{CaseJudgement, CaseLocation, CaseResult};
use crate::report::format::{clean, number};

/// Most of each kind that are told one by one.
const MOST_TOLD: usize = 100;
/// Most metrics of one that are told.
const MOST_METRICS: usize = 20;

/// What is wrong with a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    /// A healthy canary failed.
    FalseAlarm,
    /// A regressed canary passed.
    Miss,
}

impl Mistake {
    fn of(label: Option<Label>, verdict: Verdict) -> Option<Self> {
        match (label?, verdict) {
            (Label::Healthy, Verdict::Fail) => Some(Self::FalseAlarm),
            (Label::Regressed, Verdict::Pass) => Some(Self::Miss),
            _ => None,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::FalseAlarm => "false alarm",
            Self::Miss => "miss",
        }
    }
}

/// A verdict that was wrong.
#[derive(Debug, Clone)]
pub(super) struct WrongVerdict {
    pub(super) mistake: Mistake,
    pub(super) case: String,
    /// File and line, where they are known.
    pub(super) place: String,
    /// Why, in the words of the metric that says most.
    pub(super) why: String,
    /// What each metric showed: name, status, shift, limit, p, sentence.
    pub(super) metrics: Vec<[String; WrongVerdict::HEAD.len()]>,
}

impl WrongVerdict {
    pub(super) const HEAD: [&'static str; 6] = ["Metric", "Status", "Shift", "Limit", "p", "Finding"];

    fn of(mistake: Mistake, case: &CaseResult, judged: &CaseJudgement) -> Self {
        let mut metrics: Vec<_> = judged.counted().collect();
        // What the fault touched, and then what is furthest beyond its limit.
        metrics.sort_by(|a, b| (b.affected == Some(true)).cmp(&(a.affected == Some(true))).then(b.exceedance.total_cmp(&a.exceedance)));
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), one_decimal);
        let why = metrics.first().map_or_else(
            || "no metric was judged".to_owned(),
            |metric| {
                let finding = if metric.sentence.is_empty() { &metric.reason } else { &metric.sentence };
                format!("{}: {finding}", clean(&metric.name))
            },
        );
        let rows = metrics.into_iter().take(MOST_METRICS).map(|metric| {
            let touched = if metric.affected == Some(true) { " (affected)" } else { "" };
            [
                format!("{}{touched}", clean(&metric.name)),
                metric.status.to_string(),
                shown(metric.shift),
                shown(metric.limit),
                metric.p.map_or_else(|| "-".to_owned(), number),
                if metric.sentence.is_empty() { clean(&metric.reason) } else { metric.sentence.clone() },
            ]
        });
        Self {
            mistake,
            case: clean(&case.id),
            place: case.location.as_ref().map_or_else(|| "-".to_owned(), CaseLocation::words),
            why,
            metrics: rows.collect(),
        }
    }
}

/// The wrong verdicts of one judge, the first ones one by one.
#[derive(Debug, Clone, Default)]
pub(super) struct WrongVerdicts {
    told: Vec<WrongVerdict>,
    false_alarms: usize,
    misses: usize,
}

impl WrongVerdicts {
    pub(super) fn add(&mut self, case: &CaseResult, judged: &CaseJudgement) {
        let Some(mistake) = Mistake::of(case.label, judged.verdict) else { return };
        let count = match mistake {
            Mistake::FalseAlarm => &mut self.false_alarms,
            Mistake::Miss => &mut self.misses,
        };
        *count += 1;
        if *count <= MOST_TOLD {
            self.told.push(WrongVerdict::of(mistake, case, judged));
        }
    }

    /// Misses first, in the order of the recordings.
    pub(super) fn told(&self) -> Vec<&WrongVerdict> {
        let of = |mistake: Mistake| self.told.iter().filter(move |wrong| wrong.mistake == mistake);
        of(Mistake::Miss).chain(of(Mistake::FalseAlarm)).collect()
    }

    /// How many there are of each, and how many of them are told.
    pub(super) fn note(&self) -> String {
        let left_out = self.false_alarms + self.misses - self.told.len();
        let more = if left_out > 0 { format!("; {left_out} of them are not listed (the rows of --output are)") } else { String::new() };
        format!(
            "Misses: {} regressed canaries that passed. False alarms: {} healthy canaries that failed{more}. A marginal verdict is neither.",
            self.misses, self.false_alarms
        )
    }
}
