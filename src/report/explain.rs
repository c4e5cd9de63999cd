//! How one metric was judged, step by step: how its samples became a statistic, a p-value, a limit and a decision.
//!
//! A pure function of the scorecard, and every figure is one of the scorecard's, so that a saved one can be explained as well. The rule is
//! stated in `docs/METHOD.md`.

use anstyle::Style;
use haldane_judges::aca::MetricOutcome;
use haldane_judges::config::Kind;
use haldane_judges::scorecard::{
    AppliedLimit, ArmCounts, CountNumbers, Coverage, DistributionNumbers, EventNumbers, Examiner, HistoryNumbers, Interval, MetricResult,
    Mode, Numbers, QuantileNumbers, Status,
};

use super::format::{self, Unit, clean};
use super::page::{Page, Terminal};
use super::verbose::style;
use super::view::{
    OF_THE_REST, View, estimate_size, is_of_the_rest, quantile_change, quantile_name, quantile_shift, rate_within, telling,
    threshold_limits, turn, turn_of_percent, word,
};
use crate::analysis::{MetricProvenance, Scorecard};

/// Narrowest and widest layout.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;

/// Explains the metric of this name; `None` where the scorecard has none.
#[must_use]
pub fn explain(card: &Scorecard, name: &str, terminal: Terminal) -> Option<String> {
    let metric = card.judgement.metrics.iter().find(|metric| metric.name == name)?;
    let provenance = card.data.metrics.iter().find(|metric| metric.name == name);
    let mut page = Page::new(terminal, WIDTHS);
    let status = page.paint(style(metric.status).bold(), &metric.status.to_string());
    let heading = format::truncate(&clean(&metric.name), page.width.saturating_sub(metric.status.to_string().len() + 2));
    page.line(&format!("{status}  {heading}"));
    let steps = Explanation { card, metric, provenance, unit: format::unit_of(metric), turn: turn(metric) }.steps();
    for (i, (title, sentences)) in steps.into_iter().enumerate() {
        page.line("");
        let title = page.paint(Style::new().bold(), &format!("{}. {title}", i + 1));
        page.line(&title);
        for sentence in sentences {
            page.wrapped("   ", &sentence);
        }
    }
    page.line("");
    page.verdict(&View::new(card));
    Some(page.into_text())
}

/// A step: its title, and sentences of a line or more each.
type Step = (&'static str, Vec<String>);

/// A metric with what its figures are written by.
struct Explanation<'a> {
    card: &'a Scorecard,
    metric: &'a MetricResult,
    provenance: Option<&'a MetricProvenance>,
    unit: Unit,
    /// 1 where a shift above 0 is a rise, else -1.
    turn: f64,
}

impl Explanation<'_> {
    fn steps(&self) -> Vec<Step> {
        let metric = self.metric;
        let mut steps = vec![("Samples", self.samples())];
        if let Some(numbers) = &metric.numbers {
            steps.push(("Statistic", self.shift(numbers)));
            steps.push(("p-value", self.ranks(numbers)));
            steps.push(("Estimate and its error", self.estimate(numbers)));
        }
        if let Some(counts) = &metric.counts {
            steps.push(("Statistic", self.rates(counts)));
            steps.push(("p-value", self.bursts(counts)));
        }
        if let Some(distribution) = &metric.distribution {
            steps.push(("Statistic", self.quantiles(distribution)));
            steps.push(("p-value", self.requests(distribution)));
        }
        if let Some(events) = &metric.events {
            // Beside a level of 0, events among values are looked at as well.
            let titles = if metric.kind == Kind::Events { ("Statistic", "p-value") } else { ("Events", "p-value of the events") };
            steps.push((titles.0, self.events(events)));
            steps.push((titles.1, self.intervals(events)));
        }
        if let Some(outcome) = &metric.aca {
            steps.push(("Statistic", self.kayenta(outcome)));
        }
        let limit = self.limit();
        if !limit.is_empty() {
            steps.push(("Limit", limit));
        }
        let others = self.others();
        if !others.is_empty() {
            steps.push(("What else was looked at", others));
        }
        steps.push(("Decision", self.decision()));
        steps
    }

    fn is_rate(&self) -> bool {
        self.metric.kind == Kind::Ratio && self.metric.counts.is_none()
    }

    fn rest(&self) -> &'static str {
        if is_of_the_rest(self.metric) { OF_THE_REST } else { "" }
    }

    /// A fraction of the level as a change that people read.
    fn relative(&self, fraction: f64) -> String {
        format!("{}{}", format::signed_percent(fraction * turn_of_percent(self.metric, self.turn)), self.rest())
    }

    /// An estimate: a fraction of the level, of ratios without counts an amount.
    fn effect(&self, effect: f64) -> String {
        if self.is_rate() { self.unit.difference(effect * self.turn) } else { self.relative(effect) }
    }

    /// An interval of shifts, which come turned so that more is worse.
    fn differences(&self, interval: Interval) -> String {
        let (low, high) = self.turned(interval, self.turn);
        format!("{} interval {}", format::percent(interval.level), self.unit.differences(low, high))
    }

    fn turned(&self, interval: Interval, turn: f64) -> (Option<f64>, Option<f64>) {
        let Interval { low, high, .. } = interval;
        if turn < 0.0 { (high.map(|v| -v), low.map(|v| -v)) } else { (low, high) }
    }

    fn samples(&self) -> Vec<String> {
        let metric = self.metric;
        let step = self.provenance.and_then(|p| p.step_seconds).unwrap_or(self.card.data.step_seconds);
        let arm = |name: &str, coverage: Coverage| {
            let Coverage { present, expected, infinite, filled_with_zero, fraction } = coverage;
            let notes = [(infinite, "infinite, taken for missing"), (filled_with_zero, "missing, taken for 0")];
            let notes: String = notes.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("; {n} {what}")).collect();
            format!(
                "{name}: {present} of {expected} points ({}), one every {}{notes}.",
                format::percent(fraction),
                format::seconds(step.into())
            )
        };
        let mut sentences = vec![arm("baseline", metric.baseline_coverage), arm("canary", metric.canary_coverage)];
        if let Some(statistics) = self.provenance.and_then(|p| p.statistics) {
            let of = match (&metric.counts, &metric.distribution) {
                (Some(_), _) => ", rates of an interval each,",
                (None, Some(_)) => ", medians of an interval each,",
                (None, None) => "",
            };
            let unit = format::unit_as_read(metric);
            for (name, arm) in [("baseline", statistics.baseline), ("canary", statistics.canary)].iter().filter(|(_, arm)| arm.count > 0) {
                sentences.push(format!(
                    "The {name}'s {}{of} have a mean of {}, from {} to {}, and a standard deviation of {}.",
                    format_args!("{} point{}", arm.count, if arm.count == 1 { "" } else { "s" }),
                    unit.value(arm.mean),
                    unit.value(arm.min),
                    unit.value(arm.max),
                    unit.distance(arm.std)
                ));
            }
        }
        if metric.per.is_some() {
            sentences.push("Each point is divided by its arm's traffic at the time before it is compared.".to_owned());
        }
        if let Some(history) = &metric.history {
            let HistoryNumbers { windows, window_points, .. } = history;
            let enough = HistoryNumbers::ENOUGH_WINDOWS;
            let worth =
                if *windows >= enough || metric.counts.is_some() { String::new() } else { format!("; fewer than {enough} decide nothing") };
            let plural = if *windows == 1 { "" } else { "s" };
            sentences.push(format!("Before the window: {windows} placebo window{plural} of {window_points} points each{worth}."));
        }
        sentences.extend(metric.warnings.iter().map(|warning| format!("Warning: {}.", clean(warning))));
        sentences
    }

    fn shift(&self, numbers: &Numbers) -> Vec<String> {
        let Numbers { n_baseline, n_canary, baseline, canary, level, shift, relative_shift, .. } = *numbers;
        let amount = self.unit.difference(shift * self.turn);
        let interval = numbers.shift_interval.map(|interval| format!(", {}", self.differences(interval))).unwrap_or_default();
        let mut sentences = Vec::new();
        if let Some(bound) = numbers.mirrored_at {
            let bound = self.unit.value(bound);
            sentences.push(format!("The baseline is nearer to {bound} than to 0, so that what is left to {bound} is judged."));
        }
        if self.is_rate() {
            let means = self.unit.range(Some(baseline), Some(canary)).replace(" to ", " and ");
            sentences.push(format!("The means are {means}; the shift is their difference, {amount}{interval}."));
        } else {
            sentences.push(format!(
                "The shift is the median of all {n_canary} x {n_baseline} differences of a canary point and a baseline point (Hodges-Lehmann): \
                 {amount}{interval}."
            ));
            let medians = self.unit.range(Some(baseline), Some(canary)).replace(" to ", " and ");
            let is_other = (canary - baseline).abs() != shift.abs();
            let other = if is_other { "; the shift is not their difference" } else { "" };
            sentences.push(format!("The arms' medians are {medians}{other}."));
        }
        sentences.push(match relative_shift {
            Some(relative) => {
                format!("The baseline's level is {}, so that this is {}.", self.unit.distance(level), self.relative(relative))
            }
            _ => "The baseline's level is 0, so that no percentage can be told.".to_owned(),
        });
        sentences
    }

    fn ranks(&self, numbers: &Numbers) -> Vec<String> {
        let Numbers { u, z, p, p_ess, cles, variance_inflation, rho_baseline, rho_canary, .. } = *numbers;
        let mut sentences = vec![
            format!(
                "A canary point is worse than a baseline point in {} of all pairs, ties counting half (U {}). If nothing had changed, that much \
                 or more would come with p {} (Mann-Whitney, one-sided, z {}).",
                format::percent(cles),
                format::number(u),
                format::p_value(p),
                format::number(z)
            ),
            if variance_inflation > 1.0 {
                format!(
                    "Neighbouring points resemble each other (lag-1 autocorrelation {} in the baseline, {} in the canary), which makes the \
                     variance {} times as large: p {}.",
                    format::number(rho_baseline),
                    format::number(rho_canary),
                    format::number(variance_inflation),
                    format::p_value(p_ess)
                )
            } else {
                "Neighbouring points do not resemble each other (lag-1 autocorrelation), so that the points count as independent."
                    .to_owned()
            },
        ];
        if let Some(paired) = numbers.paired {
            sentences.push(format!(
                "Paired by timestamp p {} ({} pairs worth {} independent ones); nothing is decided by it.",
                format::p_value(paired.p),
                paired.pairs,
                format::number(paired.effective)
            ));
        }
        sentences
    }

    fn estimate(&self, numbers: &Numbers) -> Vec<String> {
        let history = self.metric.history.as_ref();
        let effect = self.effect(numbers.effect);
        let clock = history
            .and_then(|history| history.clock)
            .map(|clock| format!(", against this clock time on earlier days, when the arms differed by {}", format::signed_percent(clock)));
        let mut sentences = vec![format!("What decides is {effect}{}.", clock.unwrap_or_default())];
        let Some(sigma) = numbers.sigma else {
            sentences.push("It has no standard error that is finite, so that nothing is proved by it.".to_owned());
            return sentences;
        };
        let size = |value: f64| estimate_size(value, &self.unit, self.is_rate());
        let parts = [("the baseline's own drift", numbers.drift), ("sampling", numbers.sampling), ("fresh instances", numbers.pods)];
        let of_window = parts.into_iter().filter_map(|(name, part)| Some(format!("{name} {}", size(part.filter(|part| *part > 0.0)?))));
        let of_past = history.filter(|history| {
            history.windows >= HistoryNumbers::ENOUGH_WINDOWS && self.metric.counts.is_none() && self.metric.distribution.is_none()
        });
        let of_past = of_past.and_then(|history| Some(format!("the placebo windows {}", size(history.spread?))));
        let parts: Vec<String> = of_window.chain(of_past).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        if sigma > 0.0 {
            let ends = numbers.effect_interval.map(|interval| {
                let turn = if self.is_rate() { self.turn } else { turn_of_percent(self.metric, self.turn) };
                let (low, high) = self.turned(interval, turn);
                let end = |end: Option<f64>| end.map(|v| if self.is_rate() { self.unit.difference(v) } else { format::signed_percent(v) });
                format!(", so that its {} interval is {}", format::percent(interval.level), format::interval(end(low), end(high)))
            });
            sentences.push(format!(
                "While nothing is released it strays with a standard error of {}{parts}{}.",
                size(sigma),
                ends.unwrap_or_default()
            ));
        } else {
            sentences.push("Without a past it has no standard error of its own; the rank test above is the evidence.".to_owned());
        }
        if let (Some(effect), Some(sigma)) = (numbers.mean_effect, numbers.mean_sigma) {
            sentences.push(format!("The means moved by {}, with a standard error of {}.", self.effect(effect), size(sigma)));
        }
        sentences
    }

    fn rates(&self, counts: &CountNumbers) -> Vec<String> {
        let arm = |name: &str, arm: &ArmCounts| {
            let interval = self.unit.range(arm.interval.low, arm.interval.high);
            format!(
                "{name}: {} of {} requests are events, a rate of {} ({} interval {interval}, Clopper-Pearson).",
                format::events(arm.events),
                format::events(arm.total),
                self.unit.value(arm.rate),
                format::percent(arm.interval.level)
            )
        };
        let by = if counts.aligned { "interval by interval, so that traffic that varies does no harm" } else { "over the whole windows" };
        let relative = counts.relative_shift.map(|relative| format!(" ({})", self.relative(relative))).unwrap_or_default();
        vec![
            arm("baseline", &counts.baseline),
            arm("canary", &counts.canary),
            format!("The rates differ by {}{relative}, compared {by}.", self.unit.difference(counts.shift * self.turn)),
        ]
    }

    fn bursts(&self, counts: &CountNumbers) -> Vec<String> {
        let mut sentences = vec![
            format!(
                "If requests were independent, and nothing had changed, that much or more would come with p {} (z {}).",
                format::p_value(counts.p_independent),
                format::number(counts.z)
            ),
            format!(
                "Events come in bursts: they vary {} times as much as independent ones. Averaged over what that leaves open, p {}.",
                format::number(counts.inflation),
                format::p_value(counts.p)
            ),
        ];
        if let Some(p) = counts.p_looks {
            sentences.push(format!("Over all looks of the plan so far p {}, which decides.", format::p_value(p)));
        }
        sentences.push(format!(
            "A pass takes that a rate of {} or worse in the canary is excluded; the p-value of such a rate is {}.",
            self.unit.value(counts.detectable_rate),
            format::p_value(counts.p_detectable)
        ));
        sentences
    }

    fn quantiles(&self, distribution: &DistributionNumbers) -> Vec<String> {
        let DistributionNumbers { requests_baseline, requests_canary, cles, aligned, .. } = *distribution;
        let by = if aligned { ", interval by interval" } else { "" };
        let of_all = format!(
            "{} requests of the baseline and {} of the canary; one of the canary is slower than one of the baseline with chance {}{by}.",
            format::count(requests_baseline),
            format::count(requests_canary),
            format::number(cles)
        );
        let of_one = |one: &QuantileNumbers| {
            let relative = one.relative_shift.map(|relative| format!(" ({})", format::signed_percent(relative * self.turn)));
            let interval = one.shift_interval.map(|interval| format!(", {}", self.differences(interval)));
            if distribution.is_above_last_bound(one.quantile) != (false, false) {
                let shift = format!("{}{}", self.unit.difference(one.shift * self.turn), relative.unwrap_or_default());
                return format!(
                    "{}: {}, where the last bucket bound is all that is known of what lies above it; the shift is {}.",
                    quantile_name(one.quantile),
                    quantile_change(distribution, one, &self.unit),
                    quantile_shift(distribution, one, shift)
                );
            }
            format!(
                "{}: {} in the baseline, {} in the canary, interpolated within their buckets; the shift is {}{}{}.",
                quantile_name(one.quantile),
                self.unit.value(one.baseline),
                self.unit.value(one.canary),
                self.unit.difference(one.shift * self.turn),
                relative.unwrap_or_default(),
                interval.unwrap_or_default()
            )
        };
        std::iter::once(of_all).chain(distribution.quantiles.iter().map(of_one)).collect()
    }

    fn requests(&self, distribution: &DistributionNumbers) -> Vec<String> {
        let of_one = |one: &QuantileNumbers| {
            let share =
                |share: haldane_judges::scorecard::Share| format!("{} ({})", format::percent(share.share), format::count(share.requests));
            let tells = match (one.resolved, distribution.is_above_last_bound(one.quantile)) {
                (true, _) => "",
                (false, (true, _)) => " It lies above the last bucket bound, so that the share of slower requests decides.",
                (false, _) => " No bucket bound is near enough to tell of it, so that it convicts nobody.",
            };
            let looks = one.p_looks.map(|p| format!("; over all looks so far p {}, which decides", format::p_value(p))).unwrap_or_default();
            let required = if one.required { "" } else { "; too few requests for it to stand in the way of a pass" };
            format!(
                "{}: slower than {} are {} of the canary's requests and {} of the baseline's. If requests were independent that would come with p {}; \
                 with bursts allowed for (variance times {}) p {}{looks}. The p-value of {}, which a pass excludes, is {}{required}. By itself \
                 {}.{tells}",
                quantile_name(one.quantile),
                self.unit.value(one.bound),
                share(one.slower_canary),
                share(one.slower_baseline),
                format::p_value(one.p_independent),
                format::number(one.inflation),
                format::p_value(one.p),
                self.unit.value(one.detectable),
                format::p_value(one.p_detectable),
                one.status
            )
        };
        distribution.quantiles.iter().map(of_one).collect()
    }

    fn events(&self, events: &EventNumbers) -> Vec<String> {
        let relative = events.relative_shift.map(|relative| format!(", {}", format::signed_percent(relative * self.turn)));
        vec![
            format!(
                "{} intervals of the baseline and {} of the canary have any event.",
                events.intervals_baseline, events.intervals_canary
            ),
            format!(
                "There are {} an interval in the baseline and {} in the canary{}.",
                self.unit.value(events.mean_baseline),
                self.unit.value(events.mean_canary),
                relative.unwrap_or_default()
            ),
        ]
    }

    fn intervals(&self, events: &EventNumbers) -> Vec<String> {
        vec![format!(
            "If nothing had changed, so many intervals with any would come with p {} (Fisher's exact test), with runs of them allowed for with p \
             {}, and such a difference of the means with p {}.",
            format::p_value(events.p),
            format::p_value(events.p_dependent),
            format::p_value(events.p_sum)
        )]
    }

    /// What Kayenta's judge computes of the points that it keeps.
    fn kayenta(&self, outcome: &MetricOutcome) -> Vec<String> {
        let mut sentences = Vec::new();
        let ratio = outcome.ratio.map(|ratio| format!("The canary's mean is {} times the baseline's.", format::number(ratio.0)));
        let size = outcome.effect_size.map(|size| format!("The effect size is {}.", format::number(size.0)));
        sentences.extend(ratio.into_iter().chain(size));
        if let (Some(estimate), Some(lower), Some(upper)) = (outcome.estimate, outcome.lower, outcome.upper) {
            sentences.push(format!(
                "The shift is {} by the rank test, 98 % interval {}.",
                self.unit.difference(estimate.0),
                self.unit.differences(Some(lower.0), Some(upper.0))
            ));
        }
        sentences.push(format!("Kayenta's judge calls that {}.", outcome.classification));
        sentences
    }

    fn limit(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(limit) = &self.metric.limit {
            sentences.push(self.tolerances(limit));
        }
        if let Some(threshold) = &self.metric.threshold {
            let declared = threshold_limits(threshold, &self.unit);
            if !declared.is_empty() {
                sentences.push(format!("Declared is {declared}."));
            }
            if let (Some(past), Some(points), false) = (threshold.points_past, threshold.points, declared.is_empty()) {
                sentences.push(format!("{past} of the canary's {points} points are past it."));
            }
            if let Some(interval) = threshold.rate_interval {
                sentences.push(format!("The {} ({} interval).", rate_within(self.metric, interval), format::percent(interval.level)));
            }
        }
        sentences
    }

    fn tolerances(&self, limit: &AppliedLimit) -> String {
        let relative = format!("{}{} ({})", format::percent(limit.relative), self.rest(), clean(&limit.from));
        let absolute = self.unit.distance(limit.absolute);
        let tolerance = match (limit.relative > 0.0, limit.absolute > 0.0) {
            (true, true) => format!("of at least {relative} and {absolute}"),
            (true, false) => format!("of at least {relative}"),
            (false, true) => format!("of at least {absolute}"),
            (false, false) => "of any size".to_owned(),
        };
        let proved = limit.proved_from.filter(|proved| *proved > 0.0).map(|proved| {
            let size = estimate_size(proved, &self.unit, self.is_rate());
            format!(", which with this standard error takes at least {size}")
        });
        format!(
            "A regression is a shift {tolerance}, with p at most {} (shared among the canary's metrics and looks){}.",
            format::p_value(limit.p),
            proved.unwrap_or_default()
        )
    }

    fn others(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if let Some(trend) = &self.metric.trend {
            sentences.push(format!(
                "Leak: over the window the canary drifted {} from the baseline and {} by itself; a leak takes {} and {}, and p at most {}, which is \
                 {} here ({} placebo windows).",
                format::signed_percent(trend.drift * self.turn),
                format::signed_percent(trend.drift_of_canary * self.turn),
                format::percent(trend.limit),
                format::percent(trend.limit_of_canary),
                format::p_value(trend.p_limit),
                format::p_value(trend.p),
                trend.windows
            ));
        }
        if let Some(worst) = &self.metric.worst_instance {
            sentences.push(format!(
                "Instance: {} is least like all others, {} from their level, with p {} where a regression takes at most {}.",
                clean(&worst.name),
                format::signed_percent(worst.relative * self.turn),
                format::p_value(worst.p),
                format::p_value(worst.p_limit)
            ));
        }
        for found in &self.metric.findings {
            sentences.push(format!("`{}` by itself: {}, {}.", word(&found.examiner), found.status, clean(&found.sentence)));
        }
        sentences
    }

    fn decision(&self) -> Vec<String> {
        let metric = self.metric;
        let mut sentences = Vec::new();
        if matches!(metric.mode, Mode::Statistical | Mode::Counts | Mode::Distribution) && metric.examiner == Examiner::Level {
            sentences.extend(self.comparisons());
        }
        for guard in &metric.guards {
            sentences.push(format!("Statistics leave it open ({}): {}.", word(&guard.guard), clean(&guard.sentence)));
        }
        let by = match metric.mode {
            Mode::Statistical => "by statistics",
            Mode::Counts => "by counts of requests",
            Mode::Distribution => "by the requests in the buckets",
            Mode::Threshold => "by the declared limits",
            Mode::None => "without a test",
        };
        sentences.push(format!(
            "{}, {by}, examiner `{}`, reason {}: {}.",
            metric.status,
            word(&metric.examiner),
            metric.reason,
            clean(&metric.sentence)
        ));
        let muted = if metric.muted { Some("It is muted, and counts for nothing.".to_owned()) } else { None };
        sentences.extend(muted);
        if metric.status != Status::Pass {
            sentences.extend(metric.remedies.iter().map(|remedy| format!("To settle it: {}.", clean(remedy.sentence()))));
        }
        sentences
    }

    /// Each condition of a regression, and whether it holds.
    fn comparisons(&self) -> Option<String> {
        let limit = self.metric.limit.as_ref()?;
        let (amount, relative) = match (&self.metric.counts, &self.metric.numbers) {
            (Some(counts), _) => (counts.shift, counts.relative_shift),
            (None, Some(numbers)) if self.is_rate() => (numbers.effect, (numbers.level > 0.0).then_some(numbers.effect / numbers.level)),
            (None, Some(numbers)) if numbers.level > 0.0 => (numbers.effect * numbers.level, Some(numbers.effect)),
            (None, Some(numbers)) => (numbers.shift, None),
            (None, None) => self.metric.distribution.as_ref().and_then(telling).map(|one| (one.shift, one.relative_shift))?,
        };
        let reaches = |shift: f64, limit: f64| if shift * (1.0 + 1e-9) >= limit { "reaches" } else { "is below" };
        let mut parts = Vec::new();
        if let Some(relative) = relative.filter(|_| limit.relative > 0.0) {
            parts.push(format!("{} {} {}", self.relative(relative), reaches(relative, limit.relative), format::percent(limit.relative)));
        }
        if limit.absolute > 0.0 {
            let (shift, limit) = (self.unit.difference(amount * self.turn), (limit.absolute, self.unit.distance(limit.absolute)));
            parts.push(format!("{shift} {} {}", reaches(amount, limit.0), limit.1));
        }
        if let (Some(proved), Some(numbers)) = (limit.proved_from.filter(|proved| *proved > 0.0), &self.metric.numbers) {
            let size = estimate_size(proved, &self.unit, self.is_rate());
            parts.push(format!("{} {} {size}", self.effect(numbers.effect), reaches(numbers.effect, proved)));
        }
        let p = match (&self.metric.counts, self.metric.distribution.as_ref().and_then(telling)) {
            (Some(counts), _) => Some(counts.p_looks.unwrap_or(counts.p)),
            (None, Some(one)) => Some(one.p_looks.unwrap_or(one.p)),
            (None, None) => None,
        };
        if let Some(p) = p {
            let holds = if p <= limit.p { "is at most" } else { "is above" };
            parts.push(format!("p {} {holds} {}", format::p_value(p), format::p_value(limit.p)));
        }
        (!parts.is_empty()).then(|| format!("In the worse direction, {}.", parts.join("; ")))
    }
}
