//! What is read beside a metric's window and its past, and never missed: the same clock of earlier days, and the bounds of the histogram
//! buckets that its values are interpolated in.
//!
//! It is asked for once the window and its past have come, so that it takes no other query's place: a store that was too slow for the
//! past, or has none, is not asked for more. Whatever fails, or comes incomplete, is left out.

use std::ops::Range;
use std::sync::Arc;

use futures::future::{join, join_all};
use haldane_judges::JudgeName;
use haldane_judges::evidence::{Arm, ArmPoints, Earlier, Instance, Points};
use tokio::time::Instant;

use super::fetch::{HISTORY_PART, QueryAnswer};
use super::query::{Part, PlannedQuery};
use super::scorecard::{AlsoRead, span};
use super::turns::QueryTurns;
use crate::source::cache::Source;
use crate::source::{BoundsQuery, Query, Reply, Series, Window};

/// What was read beside one metric's window and past.
#[derive(Debug, Default)]
pub(super) struct Beside {
    earlier: Vec<EarlierRead>,
    buckets: Option<BucketsRead>,
}

/// One arm at the same clock of an earlier day.
#[derive(Debug)]
struct EarlierRead {
    arm: Arm,
    days: u32,
    query: Query,
    /// Points of it that belong to the window of that day, the last ones.
    window_points: usize,
    /// The series, and where in them its points lie; `None` where it could not be had.
    found: Option<(Arc<Reply>, Range<usize>)>,
    /// Whether it was asked for; else the query over the window's past reaches back so far.
    asked: bool,
}

/// The buckets of the baseline's query.
#[derive(Debug)]
struct BucketsRead {
    buckets: BoundsQuery,
    reply: Option<Arc<Reply>>,
}

/// How it is asked for.
struct BesideReader<'a> {
    source: &'a Source,
    turns: &'a QueryTurns,
    /// Until when it is of use.
    deadline: Instant,
}

impl BesideReader<'_> {
    /// The reply to a query, where it comes in time and says nothing that the reply to `main` does not say too, such as that it is partial.
    async fn one(&self, query: &Query, main: &Reply) -> Option<Arc<Reply>> {
        let turn = self.turns.next(query.window, self.deadline).await.ok()?;
        match self.source.fetch(query, self.deadline).await {
            Ok(reply) => {
                if let Some(warning) = reply.warnings.iter().find(|warning| !main.warnings.contains(warning)) {
                    tracing::debug!(warning, query = %query.text, "what was read beside a window is left out");
                    return None;
                }
                turn.answered(&reply);
                Some(reply)
            }
            Err(error) => {
                tracing::debug!(%error, query = %query.text, "what was asked for beside a window could not be had");
                None
            }
        }
    }
}

impl Beside {
    /// Reads what there is beside the window of a metric, given what its queries came to, within a third of the time that is left.
    pub(super) async fn read(
        source: &Source,
        turns: &QueryTurns,
        deadline: Instant,
        judge: JudgeName,
        asked: (&[PlannedQuery], &[QueryAnswer]),
    ) -> Self {
        let (queries, replies) = asked;
        if judge != JudgeName::HaldaneV1 || replies.iter().any(|fetched| fetched.reply.is_err()) {
            return Self::default();
        }
        let now = Instant::now();
        let asking = BesideReader { source, turns, deadline: now + deadline.saturating_duration_since(now) / HISTORY_PART };
        let has_past = |fetched: &QueryAnswer| fetched.series().iter().any(|series| fetched.past_of(series).iter().any(|v| v.is_finite()));
        // Days are compared with what lies before the window; one arm without it says nothing about the two.
        let with_past = replies.iter().all(has_past);
        let mut earlier = Vec::new();
        for (planned, fetched) in queries.iter().zip(replies).filter(|_| with_past) {
            for days in &planned.earlier {
                earlier.push(EarlierRead::read(&asking, planned, fetched, *days));
            }
        }
        let (earlier, buckets) = join(join_all(earlier), BucketsRead::read(&asking, queries, replies)).await;
        Self { earlier: earlier.into_iter().flatten().collect(), buckets }
    }

    /// An arm's points at the same clock of earlier days; with `per_instance` the mean of whichever instances reported.
    pub(super) fn earlier(&self, arm: Arm, per_instance: bool) -> Vec<Earlier> {
        let of_arm = self.earlier.iter().filter(|read| read.arm == arm);
        let points = |read: &EarlierRead| {
            let (reply, range) = read.found.as_ref()?;
            let points = points_of(&reply.series, range, read.window_points, per_instance)?;
            Some(Earlier { days: read.days, points })
        };
        of_arm.filter_map(points).collect()
    }

    /// The bounds of the buckets that both arms' values are interpolated in.
    pub(super) fn bounds(&self) -> Vec<f64> {
        let read = |read: &BucketsRead| read.reply.as_ref().map(|reply| read.buckets.bounds(reply));
        self.buckets.as_ref().and_then(read).unwrap_or_default()
    }

    /// What was asked for, and the reply where one came.
    pub(super) fn by_query(&self) -> impl Iterator<Item = (Query, &Arc<Reply>)> {
        let asked = self.earlier.iter().filter(|read| read.asked);
        asked.filter_map(|read| Some((read.query.clone(), &read.found.as_ref()?.0)))
    }

    /// What was asked for, as the scorecard shows it.
    pub(super) fn provenance(&self) -> Vec<AlsoRead> {
        let earlier = self.earlier.iter().filter(|read| read.asked).map(|read| AlsoRead {
            arm: read.arm,
            part: "earlier".to_owned(),
            days: Some(read.days),
            window: span(read.query.window),
            query: read.query.text.clone(),
            series: read.found.as_ref().map(|(reply, _)| reply.series.len()),
            points: read.found.as_ref().map(|(reply, _)| known(reply)),
        });
        let buckets = self.buckets.iter().map(|read| AlsoRead {
            arm: Arm::Baseline,
            part: "buckets".to_owned(),
            days: None,
            window: span(read.buckets.query.window),
            query: read.buckets.query.text.clone(),
            series: read.reply.as_ref().map(|reply| reply.series.len()),
            points: read.reply.as_deref().map(known),
        });
        earlier.chain(buckets).collect()
    }
}

/// Points that came back.
fn known(reply: &Reply) -> usize {
    reply.series.iter().flat_map(|series| &series.values).filter(|value| !value.is_nan()).count()
}

impl EarlierRead {
    async fn read(asking: &BesideReader<'_>, planned: &PlannedQuery, fetched: &QueryAnswer, days: u32) -> Option<Self> {
        let main = fetched.reply.as_ref().ok()?;
        let query = planned.days_ago(days, fetched.history_points);
        let own = Self { arm: planned.arm, days, window_points: planned.query.window.len(), found: None, asked: false, query };
        if let Some(range) = within(own.query.window, planned.query.window.with_past(fetched.history_points)) {
            return Some(Self { found: Some((Arc::clone(main), range)), ..own });
        }
        let points = own.query.window.len();
        let reply = asking.one(&own.query, main).await;
        Some(Self { found: reply.map(|reply| (reply, 0..points)), asked: true, ..own })
    }
}

impl BucketsRead {
    async fn read(asking: &BesideReader<'_>, queries: &[PlannedQuery], replies: &[QueryAnswer]) -> Option<Self> {
        let baseline = |(planned, _): &(&PlannedQuery, &QueryAnswer)| planned.arm == Arm::Baseline && planned.part == Part::Value;
        let (planned, fetched) = queries.iter().zip(replies).find(baseline)?;
        if fetched.reporting().is_empty() {
            return None;
        }
        let main = fetched.reply.as_ref().ok()?;
        let buckets = asking.source.buckets(&planned.query)?;
        let reply = asking.one(&buckets.query, main).await;
        Some(Self { buckets, reply })
    }
}

/// Where in a longer window another one lies, which is on its grid; `None` where it does not.
fn within(window: Window, longer: Window) -> Option<Range<usize>> {
    if window.start < longer.start || window.end > longer.end {
        return None;
    }
    let before = Window { end: window.start, ..longer }.len();
    Some(before..before + window.len())
}

/// An arm's points of an earlier day from where the first is known, but never less than that day's window, the last `window_points`; `None`
/// where nothing is known of that, or several series are one arm's.
fn points_of(series: &[Series], range: &Range<usize>, window_points: usize, per_instance: bool) -> Option<Points> {
    let cut: Vec<&[f64]> = series.iter().filter_map(|one| one.values.get(range.clone())).collect();
    let of_window = range.len().checked_sub(window_points)?;
    let known = |values: &[f64]| values.iter().any(|value| value.is_finite());
    let mut values = if per_instance {
        let instances = cut.iter().map(|values| Instance { name: String::new(), values: values.to_vec() });
        match ArmPoints::from_instances(instances.collect()).points {
            Points::Values(values) => values,
            Points::Counts { .. } | Points::Buckets(_) => return None,
        }
    } else {
        let mut reporting = cut.into_iter().filter(|values| known(&values[of_window..]));
        match (reporting.next(), reporting.next()) {
            (Some(one), None) => one.to_vec(),
            _ => return None,
        }
    };
    if !values.get(of_window..).is_some_and(known) {
        return None;
    }
    let first = values.iter().position(|value| !value.is_nan())?;
    Some(Points::Values(values.split_off(first.min(of_window))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use haldane_judges::evidence::ABSENT;

    use super::*;

    fn series(pods: &[(&str, [f64; 6])]) -> Vec<Series> {
        let one = |(pod, values): &(&str, [f64; 6])| Series {
            labels: BTreeMap::from([("pod".to_owned(), (*pod).to_owned())]),
            values: values.to_vec(),
        };
        pods.iter().map(one).collect()
    }

    /// The points as text, `NaN` among them; two belong to the window.
    fn values(pods: &[(&str, [f64; 6])], range: Range<usize>, per_instance: bool) -> Option<Vec<String>> {
        match points_of(&series(pods), &range, 2, per_instance)? {
            Points::Values(values) => Some(values.iter().map(f64::to_string).collect()),
            other => panic!("{other:?}"),
        }
    }

    const A: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];

    #[test]
    fn an_earlier_day_is_one_series_or_the_mean_of_instances() {
        let gone = ("gone", [9.0, 9.0, 9.0, ABSENT, ABSENT, ABSENT]);
        assert_eq!(values(&[("a", A), gone], 0..6, false).unwrap(), ["1", "2", "3", "4", "5", "6"]);
        assert_eq!(values(&[("a", A), gone], 0..6, true).unwrap(), ["5", "5.5", "6", "4", "5", "6"]);
        assert_eq!(values(&[("a", A), gone], 1..5, true).unwrap(), ["5.5", "6", "4", "5"]);
        assert_eq!(values(&[("a", A), ("b", A)], 0..6, false), None);
    }

    #[test]
    fn an_earlier_day_begins_with_a_point_and_has_one_in_its_window() {
        assert_eq!(values(&[("a", [ABSENT, ABSENT, 3.0, ABSENT, 5.0, ABSENT])], 0..6, false).unwrap(), ["3", "NaN", "5", "NaN"]);
        assert_eq!(values(&[("a", [ABSENT, ABSENT, ABSENT, ABSENT, ABSENT, 6.0])], 0..6, false).unwrap(), ["NaN", "6"]);
        for per_instance in [false, true] {
            assert_eq!(values(&[("a", [1.0, 2.0, 3.0, 4.0, ABSENT, f64::INFINITY])], 0..6, per_instance), None);
            assert_eq!(values(&[], 0..6, per_instance), None);
            // A reply that is shorter than it was asked for.
            assert_eq!(values(&[("a", A)], 3..8, per_instance), None);
        }
    }

    #[test]
    fn a_past_that_reaches_back_a_day_holds_the_day() {
        let window = Window { start: 86_400, end: 90_000, step_seconds: 60 };
        let longer = window.with_past(2_000);
        assert_eq!(within(window.earlier(86_400), longer), Some(560..620));
        assert_eq!(within(window, window), Some(0..60));
        assert_eq!(within(window.earlier(120_001), longer), None);
    }
}
