//! Points that are kept beyond the reply they came in, so that a window that grows asks only for what is new.
//!
//! A look at a canary asks for the window of the look before, some steps more, and some more of the time before it. Where each point of a
//! query depends on nothing of the range over which it is asked ([`StoreReader::is_pointwise`](super::StoreReader::is_pointwise)), what was
//! read is what would be read again, and the rest is put beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use haldane_judges::evidence::ABSENT;

use super::{MAX_SERIES, MAX_VALUES, Reply, Series, Window};

/// How long points are kept after they were read, however often they are of use: a store that was mended is asked again some time.
const KEEP: Duration = Duration::from_secs(2 * 3600);
/// A window of which less than one part in so many is at hand is read as a whole, by one request instead of two.
const WORTHWHILE_PART: usize = 2;

/// The points of one query over one stretch of time, all of which had settled.
#[derive(Debug, Clone)]
pub(super) struct Span {
    window: Window,
    reply: Arc<Reply>,
    read_at: Instant,
}

/// Most points of a stretch: those of the longest window, and as many before it.
const MOST_POINTS: usize = 22_000;
/// Stretches of one query that are kept: a window and the same clock of two earlier days, for each of two arms.
const MOST_SPANS: usize = 6;

/// The stretches of one query that are at hand, the newest read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// The one that holds most of a window, with what it lacks.
    pub(super) fn of_use(&self, wanted: Window, now: Instant) -> Option<(&Span, SpanGaps)> {
        let of_use = self.0.iter().filter_map(|span| Some((span, span.missing(wanted, now)?)));
        of_use.max_by_key(|(span, _)| span.at_hand(wanted).len())
    }

    /// The same with one more, as one with those that it meets; where that is too long, it takes their place.
    pub(super) fn with(self, span: Span) -> Self {
        let (met, mut kept): (Vec<Span>, Vec<Span>) = self.0.into_iter().partition(|other| other.meets(&span));
        let joined = met.into_iter().fold(span, |span, other| other.and(&span).unwrap_or(span));
        kept.push(joined);
        kept.drain(..kept.len().saturating_sub(MOST_SPANS));
        Self(kept)
    }

    /// Their replies, for what they weigh.
    pub(super) fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.0.iter().map(|span| span.reply.as_ref())
    }
}

/// What is to be asked for, so that a span covers a window: the time before it, and the time after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanGaps {
    pub(super) before: Option<Window>,
    pub(super) after: Option<Window>,
}

impl Span {
    /// What of a reply over `window` will not change any more, where the window's points have settled up to `settled_until` (Unix seconds).
    /// What a store has a word on is not kept: it may be partial.
    pub(super) fn of(window: Window, reply: &Arc<Reply>, settled_until: i64, read_at: Instant) -> Option<Self> {
        let step = i64::from(window.step_seconds.max(1));
        let end = window.end.min(settled_until);
        let end = window.start + (end - window.start).div_euclid(step) * step;
        let kept = Window { end, ..window };
        if kept.is_empty() || reply.series.is_empty() || !reply.warnings.is_empty() {
            return None;
        }
        let reply = if kept == window { Arc::clone(reply) } else { Arc::new(cut(reply, window, kept)) };
        Some(Self { window: kept, reply, read_at })
    }

    /// What lacks for a window on the same grid; `None` where too little of it is at hand, or what is has become old.
    pub(super) fn missing(&self, wanted: Window, now: Instant) -> Option<SpanGaps> {
        if now.duration_since(self.read_at) > KEEP || self.at_hand(wanted).len() * WORTHWHILE_PART < wanted.len() {
            return None;
        }
        let part = |start: i64, end: i64| (start < end).then_some(Window { start, end, ..wanted });
        Some(SpanGaps { before: part(wanted.start, self.window.start), after: part(self.window.end, wanted.end) })
    }

    /// The reply over `wanted` from this span and the replies to what it lacked. `None` where they are too much for one reply.
    pub(super) fn complete(&self, wanted: Window, missing: SpanGaps, before: Option<&Reply>, after: Option<&Reply>) -> Option<Reply> {
        let at_hand = self.at_hand(wanted);
        let middle = cut(&self.reply, self.window, at_hand);
        let parts = [missing.before.zip(before), Some((at_hand, &middle)), missing.after.zip(after)];
        join(wanted, parts.into_iter().flatten())
    }

    /// Whether nothing lies between the two.
    fn meets(&self, other: &Self) -> bool {
        self.window.start <= other.window.end && other.window.start <= self.window.end
    }

    /// Both stretches as one, by the points of `newer` where both have them. `None` where that is longer than is kept.
    fn and(&self, newer: &Self) -> Option<Self> {
        let (start, end) = (self.window.start.min(newer.window.start), self.window.end.max(newer.window.end));
        let window = Window { start, end, ..newer.window };
        if window.len() > MOST_POINTS {
            return None;
        }
        let reply = join(window, [(self.window, &*self.reply), (newer.window, &*newer.reply)].into_iter())?;
        Some(Self { window, reply: Arc::new(reply), read_at: self.read_at.min(newer.read_at) })
    }

    /// What of a window lies in it.
    fn at_hand(&self, wanted: Window) -> Window {
        Window { start: self.window.start.max(wanted.start), end: self.window.end.min(wanted.end), ..wanted }
    }
}

/// The points of a reply over `window` that lie in `part` of it; series without one of them are left out.
fn cut(reply: &Reply, window: Window, part: Window) -> Reply {
    let first = Window { end: part.start, ..window }.len();
    let places = first..first + part.len();
    let series = reply.series.iter().filter_map(|one| {
        let values = one.values.get(places.clone())?;
        let reports = values.iter().any(|value| value.to_bits() != ABSENT.to_bits());
        reports.then(|| Series { labels: one.labels.clone(), values: values.to_vec() })
    });
    Reply { series: series.collect(), warnings: reply.warnings.clone() }
}

/// One reply over `wanted` of replies over parts of it that lie side by side.
fn join<'a>(wanted: Window, parts: impl Iterator<Item = (Window, &'a Reply)>) -> Option<Reply> {
    let (mut all, mut warnings, length) = (BTreeMap::<_, Vec<f64>>::new(), BTreeSet::new(), wanted.len());
    for (window, reply) in parts {
        warnings.extend(reply.warnings.iter().cloned());
        let first = Window { end: window.start, ..wanted }.len();
        for series in &reply.series {
            if all.len() > MAX_SERIES || all.len().saturating_mul(length) > MAX_VALUES {
                return None;
            }
            let values = all.entry(series.labels.clone()).or_insert_with(|| vec![ABSENT; length]);
            for (place, value) in values.iter_mut().skip(first).zip(&series.values) {
                *place = *value;
            }
        }
    }
    let series = all.into_iter().map(|(labels, values)| Series { labels, values }).collect();
    Some(Reply { series, warnings: warnings.into_iter().collect() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEP: u32 = 60;

    fn window(from: i64, to: i64) -> Window {
        Window { start: from * i64::from(STEP), end: to * i64::from(STEP), step_seconds: STEP }
    }

    /// A store whose value at each place is the place's number, with series that come and go.
    fn reply(over: Window) -> Reply {
        let places = (over.start / i64::from(STEP) + 1)..=(over.end / i64::from(STEP));
        let value = |place: i64, k: i64| if (place / 7 + k) % (k + 2) == 0 { place as f64 + k as f64 / 10.0 } else { ABSENT };
        let one = |k: i64| Series {
            labels: BTreeMap::from([("pod".to_owned(), k.to_string())]),
            values: places.clone().map(|place| value(place, k)).collect(),
        };
        let series = (0..4).map(one).filter(|one| one.values.iter().any(|v| !v.is_nan()));
        Reply { series: series.collect(), warnings: Vec::new() }
    }

    fn bits(reply: &Reply) -> Vec<(BTreeMap<String, String>, Vec<u64>)> {
        reply.series.iter().map(|one| (one.labels.clone(), one.values.iter().map(|v| v.to_bits()).collect())).collect()
    }

    proptest! {
        #[test]
        fn what_is_put_together_is_what_would_have_been_read_at_once(
            from in 0i64..60, length in 1i64..60, start in 0i64..60, points in 1i64..60, settled in 0i64..130,
        ) {
            let (kept, wanted) = (window(from, from + length), window(start, start + points));
            let now = Instant::now();
            if let Some(span) = Span::of(kept, &Arc::new(reply(kept)), settled * i64::from(STEP), now)
                && let Some(missing) = span.missing(wanted, now)
            {
                let (before, after) = (missing.before.map(reply), missing.after.map(reply));
                let whole = span.complete(wanted, missing, before.as_ref(), after.as_ref()).unwrap();
                prop_assert_eq!(bits(&whole), bits(&reply(wanted)));
                if let Some(newer) = Span::of(wanted, &Arc::new(whole), i64::MAX, now) {
                    let both = Spans::default().with(span).with(newer);
                    prop_assert_eq!(bits(&both.0[0].reply), bits(&reply(both.0[0].window)));
                }
            }
        }
    }

    #[test]
    fn a_look_asks_for_what_is_new_on_both_sides() {
        let now = Instant::now();
        let span = Span::of(window(100, 220), &Arc::new(reply(window(100, 220))), 210 * i64::from(STEP), now).unwrap();
        let missing = span.missing(window(80, 230), now).unwrap();
        // The last ten minutes had not settled, and are read again.
        assert_eq!(missing, SpanGaps { before: Some(window(80, 100)), after: Some(window(210, 230)) });
        assert_eq!(span.missing(window(105, 200), now), Some(SpanGaps { before: None, after: None }));
    }

    #[test]
    fn what_is_mostly_new_or_old_is_read_as_a_whole() {
        let now = Instant::now();
        let span = Span::of(window(0, 100), &Arc::new(reply(window(0, 100))), i64::MAX, now).unwrap();
        assert_eq!(span.missing(window(51, 150), now), None);
        assert!(span.missing(window(50, 150), now).is_some());
        assert_eq!(span.missing(window(200, 300), now), None);
        assert_eq!(span.missing(window(0, 100), now + KEEP + Duration::from_secs(1)), None);
    }

    #[test]
    fn stretches_that_lie_apart_are_kept_and_one_takes_the_place_of_what_it_continues() {
        let now = Instant::now();
        let span = |from, to| Span::of(window(from, to), &Arc::new(reply(window(from, to))), i64::MAX, now).unwrap();
        let kept = |spans: &Spans| spans.0.iter().map(|span| (span.window.start / 60, span.window.end / 60)).collect::<Vec<_>>();
        let spans = Spans::default().with(span(100, 120)).with(span(0, 20)).with(span(95, 130));
        assert_eq!(kept(&spans), [(0, 20), (95, 130)]);
        assert!(spans.of_use(window(5, 25), now).is_some_and(|(span, _)| span.window == window(0, 20)));
        let many = (0..20).fold(Spans::default(), |spans, i| spans.with(span(40 * i, 40 * i + 10)));
        assert_eq!(kept(&many).len(), MOST_SPANS);
        assert_eq!(kept(&many)[MOST_SPANS - 1], (760, 770));
    }

    #[test]
    fn nothing_that_may_change_or_is_partial_is_kept() {
        let now = Instant::now();
        assert!(Span::of(window(10, 20), &Arc::new(reply(window(10, 20))), 10 * i64::from(STEP), now).is_none());
        let partial = Reply { warnings: vec!["a store was down".to_owned()], ..reply(window(10, 20)) };
        assert!(Span::of(window(10, 20), &Arc::new(partial), i64::MAX, now).is_none());
    }
}
