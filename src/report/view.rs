//! What every rendering shows, in the order in which it is shown: formatted, and safe to print as one line each.

use std::collections::BTreeMap;

use haldane_judges::Verdict;
use haldane_judges::config::{Direction, Kind};
use haldane_judges::evidence::Comparison;
use haldane_judges::scorecard::{
    Action, AppliedLimit, ArmCounts, CountNumbers, DistributionNumbers, EventNumbers, HistoryNumbers, Interval, MetricResult, Mode,
    Numbers, QuantileNumbers, Status, ThresholdNumbers,
};

use super::format::{self, Unit, clean};
use crate::analysis::{MetricProvenance, Scorecard, WindowSpan};

/// A scorecard, ready to be laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The verdict.
    pub verdict: Verdict,
    /// `score 42` or `no score`.
    pub score: String,
    /// What to do.
    pub action: Action,
    /// Service and version, where labels of these names say so.
    pub subject: Option<String>,
    /// Name of the config.
    pub config: String,
    /// Name of the judge.
    pub judge: &'static str,
    /// That the verdict only advises, and what it would be as a gate.
    pub banner: Option<String>,
    /// The verdict in a sentence.
    pub summary: String,
    /// Why, gravest first: a word and a sentence.
    pub reasons: Vec<(String, String)>,
    /// What to do in a sentence.
    pub recommendation: String,
    /// What would settle the open metrics.
    pub remedies: Vec<String>,
    /// What a person should know about the canary as a whole.
    pub warnings: Vec<String>,
    /// The metrics.
    pub rows: Vec<MetricRow>,
    /// Score groups: name, score, share of the score.
    pub groups: Vec<(String, String, String)>,
    /// Where it all came from: a label and a value.
    pub facts: Vec<(String, String)>,
}

/// One metric, ready to be laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRow {
    /// The metric's name.
    pub name: String,
    /// What the evidence supports.
    pub status: Status,
    /// The same as a word.
    pub status_word: String,
    /// Why, as a word.
    pub reason: String,
    /// `critical`, `muted`, `optional`.
    pub flags: Vec<&'static str>,
    /// What the levels of `change` are: `median`, `mean` or `rate`; empty where `change` says so itself.
    pub level: &'static str,
    /// `412 → 585 ms`.
    pub change: String,
    /// `+41.9 %`: the shift that was judged, which need not be the difference of those levels.
    pub change_percent: String,
    /// How it was decided, as a word.
    pub mode: &'static str,
    /// The limit that applied, without its smaller print.
    pub limit_short: String,
    /// The limit that applied.
    pub limit: String,
    /// Points of both arms, or requests for a ratio with counts.
    pub n: String,
    /// The finding.
    pub sentence: String,
    /// The numbers behind it, a line each.
    pub evidence: Vec<String>,
    /// Guards that kept statistics from passing it.
    pub guards: Vec<String>,
    /// What would settle it.
    pub remedies: Vec<String>,
    /// What a person should know about its data.
    pub warnings: Vec<String>,
    /// The queries: what each is, and its text.
    pub queries: Vec<(String, String)>,
}

impl MetricRow {
    /// Whether there is nothing to say beyond the table: a pass without warning.
    #[must_use]
    pub fn is_plain_pass(&self) -> bool {
        self.status == Status::Pass && self.guards.is_empty() && self.remedies.is_empty() && self.warnings.is_empty()
    }

    /// Both levels, with what they are: `median 412 → 585 ms`.
    #[must_use]
    pub fn levels(&self) -> String {
        if self.level.is_empty() || self.change == NONE { self.change.clone() } else { format!("{} {}", self.level, self.change) }
    }

    /// Whether it kept the canary from a pass, or would have if it were critical: neither a pass nor muted.
    #[must_use]
    pub fn counts_against(&self) -> bool {
        self.status != Status::Pass && !self.flags.contains(&"muted")
    }
}

/// Nothing to show.
const NONE: &str = "-";

impl View {
    /// Formats a scorecard.
    #[must_use]
    pub fn new(card: &Scorecard) -> Self {
        let judgement = &card.judgement;
        let recommendation = &judgement.recommendation;
        let provenance = |name: &str| card.data.metrics.iter().find(|metric| metric.name == name);
        Self {
            verdict: judgement.verdict,
            score: format::score(judgement.score),
            action: recommendation.action,
            subject: subject(card),
            config: clean(&judgement.config),
            judge: judgement.judge.as_str(),
            banner: judgement
                .would_be
                .filter(|_| judgement.advisory)
                .map(|would_be| format!("advisory only: as a gate this would be {would_be}")),
            summary: clean(&judgement.summary),
            reasons: judgement.reasons.iter().map(|cause| (word(&cause.reason), clean(&cause.sentence))).collect(),
            recommendation: clean(&recommendation.sentence),
            remedies: recommendation
                .remedies
                .iter()
                .map(haldane_judges::scorecard::Remedy::sentence)
                // The cheapest remedy is often the recommendation itself.
                .filter(|sentence| !recommendation.sentence.contains(sentence))
                .map(clean)
                .collect(),
            warnings: judgement.warnings.iter().map(|warning| clean(warning)).collect(),
            rows: judgement.metrics.iter().map(|metric| row(metric, provenance(&metric.name))).collect(),
            groups: judgement
                .groups
                .iter()
                .map(|group| (clean(&group.name), format::score(group.score), format::percent(group.weight)))
                .collect(),
            facts: facts(card),
        }
    }
}

/// A variant's name on the wire.
pub(super) fn word(variant: &impl serde::Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(other) => other.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Service and version, or the one that is known.
fn subject(card: &Scorecard) -> Option<String> {
    let labels = ["service", "version"].into_iter().filter_map(|name| card.labels.get(name).map(|value| clean(value)));
    Some(labels.collect::<Vec<_>>().join(" ")).filter(|subject| !subject.is_empty())
}

/// What selects an arm: the scope itself, and the other variables by name.
fn scope(variables: &BTreeMap<String, String>) -> String {
    let scope = variables.get("scope").map(|scope| clean(scope));
    let others = variables.iter().filter(|(name, _)| *name != "scope").map(|(name, value)| format!("{}={}", clean(name), clean(value)));
    scope.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

fn facts(card: &Scorecard) -> Vec<(String, String)> {
    let (judgement, data) = (&card.judgement, &card.data);
    let step = format::seconds(u64::from(data.step_seconds));
    let span = |window: &WindowSpan| format!("{} to {}, {} points every {step}", window.start, window.end, window.points);
    let mut facts = Vec::new();
    for (name, value) in card.labels.iter() {
        facts.push((clean(name), clean(value)));
    }
    let mut fact = |label: &str, value: String| facts.push((label.to_owned(), value));
    for (label, variables) in [("Canary", &data.canary), ("Baseline", &data.baseline)] {
        if !variables.is_empty() {
            fact(label, scope(variables));
        }
    }
    match (&data.canary_window, &data.baseline_window) {
        (Some(canary), Some(baseline)) if canary == baseline => fact("Window", span(canary)),
        (canary, baseline) => {
            if let Some(window) = canary {
                fact("Canary at", span(window));
            }
            if let Some(window) = baseline {
                fact("Baseline at", span(window));
            }
        }
    }
    if data.canary_window.is_none() {
        fact("Step", step.clone());
    }
    let comparison = match judgement.comparison {
        Comparison::Concurrent => "both arms over the same time",
        Comparison::BeforeAfter => "the baseline before the canary",
    };
    fact("Comparison", comparison.to_owned());
    if let Some(released) = data.released_at {
        fact("Released at", released.to_string());
    }
    if let Some(plan) = judgement.looks {
        let early = if plan.early_pass { ", an early pass allowed" } else { "" };
        fact("Look", format!("{} of {}{early}", plan.look, plan.looks));
    }
    if let Some(share) = judgement.recommendation.next_share {
        fact("Next share", format!("{} of the traffic", format::percent(share)));
    }
    fact("Source", data.source.as_deref().map_or_else(|| "samples sent with the request".to_owned(), clean));
    fact(
        "Judge",
        format!("{}, {} live metric{}", judgement.judge, judgement.live_metrics, if judgement.live_metrics == 1 { "" } else { "s" }),
    );
    fact("Config", clean(&judgement.config));
    fact("Config hash", clean(&judgement.config_digest));
    fact("Samples hash", clean(&data.digest));
    fact("Judged at", card.judged_at.to_string());
    if !card.version.is_empty() {
        fact("Judged by", format!("Haldane {}", clean(&card.version)));
    }
    if let Some(id) = &card.id {
        fact("Judgement", clean(id));
    }
    if let Some(url) = &card.url {
        fact("Link", clean(url));
    }
    if card.rerun {
        fact("Note", "judged again: the samples were fetched anew and may differ from those of the first judgement".to_owned());
    }
    facts
}

fn row(metric: &MetricResult, provenance: Option<&MetricProvenance>) -> MetricRow {
    let unit = format::unit_of(metric);
    let turn = turn(metric);
    // Kayenta's judge compares means and has no other levels, and neither have events.
    let means =
        provenance.and_then(|data| data.statistics).filter(|data| metric.aca.is_some() && data.baseline.count.min(data.canary.count) > 0);
    let means = means.map(|data| (data.baseline.mean, data.canary.mean));
    let quantile = metric.distribution.as_ref().and_then(telling);
    let means = means.or(metric.events.as_ref().map(|events| (events.mean_baseline, events.mean_canary)));
    let levels = match (&metric.counts, &metric.numbers) {
        _ if quantile.is_some() => quantile.map(|one| (one.baseline, one.canary)),
        (Some(counts), _) => Some((counts.baseline.rate, counts.canary.rate)),
        (None, Some(numbers)) => Some((numbers.baseline, numbers.canary)),
        (None, None) => means,
    };
    let shift = match (&metric.counts, &metric.numbers) {
        _ if quantile.is_some() => quantile.map(|one| (one.shift, one.relative_shift)),
        (Some(counts), _) => Some((counts.shift, counts.relative_shift)),
        (None, Some(numbers)) => Some((numbers.shift, numbers.relative_shift)),
        (None, None) => means.map(|(baseline, canary)| {
            let shift = (canary - baseline) * turn;
            (shift, (baseline != 0.0).then_some(shift / baseline.abs()))
        }),
    };
    let of_quantile = |shift: String| match (&metric.distribution, quantile) {
        (Some(numbers), Some(one)) => quantile_shift(numbers, one, shift),
        _ => shift,
    };
    let change_percent = match shift {
        // A percentage of what is left to the bound reads like one of the level.
        Some((_, Some(relative))) if !is_of_the_rest(metric) => of_quantile(format::signed_percent(relative * turn)),
        // The baseline's level is 0: there is no percentage.
        Some((shift, _)) => of_quantile(unit.difference(shift * turn)),
        None => NONE.to_owned(),
    };
    let (limit_short, limit) = limits(metric, &unit);
    let n = match (&metric.counts, &metric.distribution) {
        (Some(counts), _) => format!("{}/{}", format::count(counts.baseline.total), format::count(counts.canary.total)),
        (None, Some(of)) => format!("{}/{}", format::count(of.requests_baseline), format::count(of.requests_canary)),
        (None, None) => format!("{}/{}", metric.baseline_coverage.present, metric.canary_coverage.present),
    };
    let flags = [(metric.critical, "critical"), (metric.muted, "muted"), (metric.optional, "optional")];
    MetricRow {
        name: clean(&metric.name),
        status: metric.status,
        status_word: metric.status.to_string(),
        reason: metric.reason.to_string(),
        flags: flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect(),
        level: match (&metric.counts, &metric.numbers) {
            _ if quantile.is_some() => "",
            (Some(_), _) => "rate",
            (None, Some(_)) if metric.kind != Kind::Ratio => "median",
            (None, _) => "mean",
        },
        change: levels.map_or_else(
            || NONE.to_owned(),
            |(baseline, canary)| match (&metric.distribution, quantile) {
                (Some(numbers), Some(one)) => format!("{} {}", quantile_name(one.quantile), quantile_change(numbers, one, &unit)),
                _ => unit.change(baseline, canary),
            },
        ),
        change_percent,
        mode: mode(metric.mode),
        limit_short,
        limit,
        n,
        sentence: clean(&metric.sentence),
        evidence: evidence(metric, &unit, turn),
        guards: metric.guards.iter().map(|finding| format!("{}: {}", word(&finding.guard), clean(&finding.sentence))).collect(),
        remedies: metric.remedies.iter().map(|remedy| clean(remedy.sentence())).collect(),
        warnings: metric.warnings.iter().map(|warning| clean(warning)).collect(),
        queries: provenance.map(queries).unwrap_or_default(),
    }
}

/// Where the canary's rate lies: of a distribution the share of its requests that the declared limit counts.
pub(super) fn rate_within(metric: &MetricResult, interval: Interval) -> String {
    let what = if metric.kind == Kind::Distribution { "share of the canary's requests past it" } else { "canary's rate" };
    let range = Unit::named(Kind::Ratio, None, true).range(interval.low, interval.high);
    format!("{what} lies in {range}")
}

/// The quantile that a table shows: the gravest, of equal ones the surest, and where nothing speaks the highest that was judged.
pub(super) fn telling(numbers: &DistributionNumbers) -> Option<&QuantileNumbers> {
    let flagged = numbers.quantiles.iter().filter(|one| matches!(one.status, Status::Regressed | Status::Suspect));
    // Of one above the last bucket bound in the baseline no shift is known.
    let is_untold = |one: &QuantileNumbers| numbers.is_above_last_bound(one.quantile).0;
    let gravest = flagged.min_by(|a, b| (a.status, is_untold(a)).cmp(&(b.status, is_untold(b))).then(a.p.total_cmp(&b.p)));
    gravest.or_else(|| numbers.quantiles.iter().rev().find(|one| one.required)).or(numbers.quantiles.last())
}

/// A quantile of both arms: `412 → 585 ms`, `95 → ≥ 100 ms` above the last bucket bound.
pub(super) fn quantile_change(numbers: &DistributionNumbers, one: &QuantileNumbers, unit: &Unit) -> String {
    let (baseline, canary) = numbers.is_above_last_bound(one.quantile);
    let (texts, name) = unit.table(&[one.baseline, one.canary]);
    let at_least = |is_above: bool| if is_above { AT_LEAST } else { "" };
    match &texts[..] {
        [from, to] => format!("{}{from} → {}{to} {name}", at_least(baseline), at_least(canary)).trim_end().to_owned(),
        _ => NONE.to_owned(),
    }
}

/// A shift of a quantile, as far as the buckets tell: the least that it can be, or nothing.
pub(super) fn quantile_shift(numbers: &DistributionNumbers, one: &QuantileNumbers, shift: String) -> String {
    match numbers.is_above_last_bound(one.quantile) {
        (true, _) => "unknown".to_owned(),
        (false, true) => format!("{AT_LEAST}{shift}"),
        (false, false) => shift,
    }
}

/// Before what is no more than a bound.
pub(super) const AT_LEAST: &str = "≥ ";

/// `p95`, `p99.9`.
pub(super) fn quantile_name(quantile: f64) -> String {
    format!("p{}", format::number(100.0 * quantile))
}

/// `1` where a shift above 0 is a rise, `-1` where it is a fall. Shifts come turned so that more is worse; people read the change itself.
pub(super) fn turn(metric: &MetricResult) -> f64 {
    let fell = match (&metric.counts, &metric.numbers) {
        (None, None) => metric.distribution.as_ref().and_then(telling).is_some_and(|one| one.canary < one.baseline),
        (Some(counts), _) => counts.canary.rate < counts.baseline.rate,
        (None, Some(numbers)) => numbers.canary < numbers.baseline,
    };
    match metric.direction {
        Direction::Increase => 1.0,
        Direction::Decrease => -1.0,
        Direction::Either => {
            if fell {
                -1.0
            } else {
                1.0
            }
        }
    }
}

/// Whether percentages are of what is left to a bound, such as the failures of a success rate, to which the level is nearer than to 0.
pub(super) fn is_of_the_rest(metric: &MetricResult) -> bool {
    match (&metric.counts, &metric.numbers) {
        (Some(counts), _) => 2.0 * (counts.baseline.events + counts.canary.events) > counts.baseline.total + counts.canary.total,
        (None, numbers) => numbers.as_ref().is_some_and(|numbers| numbers.mirrored_at.is_some()),
    }
}

/// `1` or `-1`, by which a relative shift is multiplied to be read. What is left grows where the level falls.
pub(super) fn turn_of_percent(metric: &MetricResult, turn: f64) -> f64 {
    match (is_of_the_rest(metric), &metric.counts) {
        (false, _) => turn,
        (true, Some(_)) => -turn,
        (true, None) => 1.0,
    }
}

pub(super) const OF_THE_REST: &str = " of what is left";

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Statistical => "statistical",
        Mode::Counts => "counts",
        Mode::Distribution => "distribution",
        Mode::Threshold => "threshold",
        Mode::None => "none",
    }
}

/// The limit of the mode that decided, in a short and in a complete form.
fn limits(metric: &MetricResult, unit: &Unit) -> (String, String) {
    let threshold = metric.threshold.as_ref().filter(|_| metric.mode == Mode::Threshold).map(|t| threshold_limits(t, unit));
    if let Some(text) = threshold.filter(|text| !text.is_empty()) {
        return (text.clone(), text);
    }
    let Some(limit) = metric.limit.as_ref().filter(|_| matches!(metric.mode, Mode::Statistical | Mode::Counts | Mode::Distribution)) else {
        return (NONE.to_owned(), NONE.to_owned());
    };
    let sign = match metric.direction {
        Direction::Increase => "+",
        Direction::Decrease => "-",
        Direction::Either => "±",
    };
    // What is left to a bound rises where the value falls.
    let (rest, of_relative) = match (is_of_the_rest(metric), metric.direction) {
        (true, Direction::Either) => (OF_THE_REST, sign),
        (true, _) => (OF_THE_REST, "+"),
        (false, _) => ("", sign),
    };
    let relative = format!("{of_relative}{}{rest}", format::percent(limit.relative));
    let absolute = unit.distance(limit.absolute);
    // A shift must exceed both; one that is 0 says nothing.
    match (limit.relative > 0.0, limit.absolute > 0.0) {
        (false, true) => (format!("{sign}{absolute}"), format!("{sign}{absolute}")),
        (_, true) => (relative.clone(), format!("{relative} and {absolute}")),
        (_, false) => (relative.clone(), relative),
    }
}

pub(super) fn threshold_limits(threshold: &ThresholdNumbers, unit: &Unit) -> String {
    let max = threshold.max.map(|max| format!("≤ {}", unit.value(max)));
    let min = threshold.min.map(|min| format!("≥ {}", unit.value(min)));
    [min, max].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn evidence(metric: &MetricResult, unit: &Unit, turn: f64) -> Vec<String> {
    let mut lines = Vec::new();
    // Estimates of ratios are in the unit, those of everything else fractions of the level.
    let is_rate = metric.kind == Kind::Ratio && metric.counts.is_none();
    if let Some(numbers) = &metric.numbers {
        numbers_evidence(&mut lines, numbers, unit, turn, turn_of_percent(metric, turn));
        let turn = if is_rate { turn } else { turn_of_percent(metric, turn) };
        estimate_evidence(&mut lines, numbers, metric.history.as_ref(), unit, turn, is_rate);
    }
    if let Some(counts) = &metric.counts {
        counts_evidence(&mut lines, counts, unit, turn, (turn_of_percent(metric, turn), is_of_the_rest(metric)));
    }
    if let Some(distribution) = &metric.distribution {
        distribution_evidence(&mut lines, distribution, unit, turn);
    }
    if let Some(events) = &metric.events {
        lines.push(events_evidence(events, unit));
    }
    if let Some(limit) = &metric.limit {
        lines.push(limit_evidence(limit, unit, is_rate, is_of_the_rest(metric)));
    }
    if let Some(history) = &metric.history {
        lines.push(history_evidence(metric, history, unit, is_rate));
    }
    for found in &metric.findings {
        lines.push(format!("also {}, by `{}`: {}", found.status, word(&found.examiner), clean(&found.sentence)));
    }
    if let Some(trend) = &metric.trend {
        lines.push(format!(
            "trend: the canary drifted {} from the baseline over the window, a leak from {} (p {}, at most {}; {} placebo windows)",
            format::signed_percent(trend.drift * turn),
            format::percent(trend.limit),
            format::p_value(trend.p),
            format::p_value(trend.p_limit),
            trend.windows
        ));
    }
    if let Some(worst) = &metric.worst_instance {
        lines.push(format!(
            "instance furthest from the others: {}, {} from their mean (p {}, regressed from {})",
            clean(&worst.name),
            format::signed_percent(worst.relative * turn),
            format::p_value(worst.p),
            format::p_value(worst.p_limit)
        ));
    }
    if let Some(threshold) = &metric.threshold {
        let limits = threshold_limits(threshold, unit);
        let rate = threshold
            .rate_interval
            .map(|interval| format!("the {} ({} interval)", rate_within(metric, interval), format::percent(interval.level)));
        let past = threshold.points_past.zip(threshold.points).map(|(past, all)| format!("{past} of {all} points past it"));
        // Without a limit there is nothing to be past.
        let said = [(!limits.is_empty()).then(|| format!("declared limit {limits}")), past.filter(|_| !limits.is_empty()), rate];
        let said = said.into_iter().flatten().collect::<Vec<_>>();
        if !said.is_empty() {
            lines.push(said.join("; "));
        }
    }
    for (arm, coverage) in [("baseline", metric.baseline_coverage), ("canary", metric.canary_coverage)] {
        if coverage.present < coverage.expected || coverage.infinite > 0 || coverage.filled_with_zero > 0 {
            let mut line = format!("{arm} has {} of {} points", coverage.present, coverage.expected);
            for (n, what) in [(coverage.infinite, "infinite, taken for missing"), (coverage.filled_with_zero, "missing, taken for zero")] {
                if n > 0 {
                    line.push_str(&format!("; {n} {what}"));
                }
            }
            lines.push(line);
        }
    }
    lines
}

fn distribution_evidence(lines: &mut Vec<String>, numbers: &DistributionNumbers, unit: &Unit, turn: f64) {
    lines.push(format!(
        "a canary request is slower than a baseline request with chance {} ({} requests against {}{})",
        format::number(numbers.cles),
        format::count(numbers.requests_canary),
        format::count(numbers.requests_baseline),
        if numbers.aligned { ", interval by interval" } else { "" }
    ));
    for one in &numbers.quantiles {
        let relative = one.relative_shift.map(|relative| format!(" ({})", format::signed_percent(relative * turn)));
        let interval = one.shift_interval.map(|interval| {
            let (low, high) =
                if turn < 0.0 { (interval.high.map(|v| -v), interval.low.map(|v| -v)) } else { (interval.low, interval.high) };
            format!(", {} interval {}", format::percent(interval.level), unit.differences(low, high))
        });
        let share =
            |share: haldane_judges::scorecard::Share| format!("{} ({})", format::percent(share.share), format::count(share.requests));
        let coarse = match (one.resolved, one.status) {
            (true, _) => String::new(),
            _ if numbers.is_above_last_bound(one.quantile).0 => {
                "; above the last bucket bound the share of slower requests decides".to_owned()
            }
            (false, Status::Pass) => {
                format!(", for it has not come to {}: no bucket bound is near enough to tell of less", unit.value(one.detectable))
            }
            (false, _) => "; no bucket bound is near enough to tell of it".to_owned(),
        };
        let left = if one.required { "" } else { "; too few requests for it to stand in the way of a pass" };
        lines.push(format!(
            "{}: {}, shift {}{}; slower than {}: {} of the canary's, {} of the baseline's; p {} ({} if requests were independent; variance times {}); {}{coarse}{left}",
            quantile_name(one.quantile),
            quantile_change(numbers, one, unit),
            quantile_shift(numbers, one, format!("{}{}", unit.difference(one.shift * turn), relative.unwrap_or_default())),
            interval.filter(|_| numbers.is_above_last_bound(one.quantile) == (false, false)).unwrap_or_default(),
            unit.value(one.bound),
            share(one.slower_canary),
            share(one.slower_baseline),
            format::p_value(one.p),
            format::p_value(one.p_independent),
            format::number(one.inflation),
            one.status,
        ));
    }
    let shown = numbers.curve.iter().filter(|point| point.baseline.max(point.canary) >= 0.001 && point.baseline.min(point.canary) < 0.9999);
    let points: Vec<String> = shown
        .map(|point| {
            // What rounding leaves of no request.
            let share = |share: f64| format::number(if share < 1e-9 { 0.0 } else { 100.0 * share });
            format!("{} {}/{}", unit.value(point.bound), share(point.baseline), share(point.canary))
        })
        .collect();
    if !points.is_empty() {
        lines.push(format!("at or below, % of the baseline's and the canary's requests: {}", points.join(", ")));
    }
}

/// A standard error or limit of an estimate.
pub(super) fn estimate_size(value: f64, unit: &Unit, is_rate: bool) -> String {
    if is_rate { unit.distance(value) } else { format::percent(value) }
}

fn numbers_evidence(lines: &mut Vec<String>, numbers: &Numbers, unit: &Unit, turn: f64, turn_of_percent: f64) {
    let of = numbers.mirrored_at.map_or_else(String::new, |bound| format!("{OF_THE_REST} to {}", unit.value(bound)));
    let relative = numbers.relative_shift.map(|relative| format!(" ({}{of})", format::signed_percent(relative * turn_of_percent)));
    let mut shift = format!("shift {}{}", unit.difference(numbers.shift * turn), relative.unwrap_or_default());
    if let Some(interval) = numbers.shift_interval {
        let (low, high) = if turn < 0.0 { (interval.high.map(|v| -v), interval.low.map(|v| -v)) } else { (interval.low, interval.high) };
        shift.push_str(&format!(", {} interval {}", format::percent(interval.level), unit.differences(low, high)));
    }
    lines.push(shift);
    let scatter = numbers.shift_in_noise.map(|g| format!(", the shift is {} times that", format::number(g.abs())));
    lines.push(format!("scatter within the arms {}{}", unit.distance(numbers.noise), scatter.unwrap_or_default()));
    lines.push(format!(
        "a canary point is worse than a baseline point with chance {} (U {}, z {}, p {})",
        format::number(numbers.cles),
        format::number(numbers.u),
        format::number(numbers.z),
        format::p_value(numbers.p),
    ));
    lines.push(format!(
        "corrected for autocorrelation p {} (baseline {}, canary {}; variance times {})",
        format::p_value(numbers.p_ess),
        format::number(numbers.rho_baseline),
        format::number(numbers.rho_canary),
        format::number(numbers.variance_inflation),
    ));
    if let Some(paired) = numbers.paired {
        let pairs = format!("{} pairs worth {}", paired.pairs, format::number(paired.effective));
        lines.push(format!("paired by timestamp p {} ({pairs} independent ones; evidence only)", format::p_value(paired.p)));
    }
}

/// The estimate that decides, and what its standard error is made of.
fn estimate_evidence(lines: &mut Vec<String>, numbers: &Numbers, history: Option<&HistoryNumbers>, unit: &Unit, turn: f64, is_rate: bool) {
    let amount = |value: f64| if is_rate { unit.difference(value) } else { format::signed_percent(value) };
    // Next to a level of 0 an estimate is no fraction of anything.
    let estimate = numbers.sigma.zip(numbers.effect_interval).filter(|_| is_rate || numbers.level > 0.0);
    if let Some((sigma, interval)) = estimate {
        let ends = if turn < 0.0 { (interval.high.map(|v| -v), interval.low.map(|v| -v)) } else { (interval.low, interval.high) };
        let end = |end: Option<f64>| end.map(amount);
        let size = |value: f64| estimate_size(value, unit, is_rate);
        let parts = [("the baseline's drift", numbers.drift), ("sampling", numbers.sampling), ("fresh instances", numbers.pods)]
            .into_iter()
            .filter_map(|(name, part)| Some(format!("{name} {}", size(part.filter(|part| *part > 0.0)?))))
            .chain(
                history.filter(|history| history.windows >= HistoryNumbers::ENOUGH_WINDOWS).map(|_| "what placebo windows show".to_owned()),
            )
            .collect::<Vec<_>>();
        let rest = if numbers.mirrored_at.is_some() && !is_rate { OF_THE_REST } else { "" };
        let of = match parts.split_last() {
            None => String::new(),
            Some((only, [])) => format!(" ({only})"),
            Some((last, rest)) => format!(" ({} and {last})", rest.join(", ")),
        };
        lines.push(format!(
            "what decides: {}{rest}, {} interval {}; standard error {}{of}",
            amount(numbers.effect * turn),
            format::percent(interval.level),
            format::interval(end(ends.0), end(ends.1)),
            size(sigma),
        ));
    }
    if let (Some(effect), Some(sigma)) = (numbers.mean_effect, numbers.mean_sigma) {
        lines.push(format!("the same of means: {}, standard error {}", amount(effect * turn), estimate_size(sigma, unit, is_rate)));
    }
}

fn counts_evidence(lines: &mut Vec<String>, counts: &CountNumbers, unit: &Unit, turn: f64, (turn_of_percent, of_rest): (f64, bool)) {
    let arm = |name: &str, arm: &ArmCounts| {
        let interval = unit.range(arm.interval.low, arm.interval.high);
        let (events, total) = (format::events(arm.events), format::events(arm.total));
        format!("{name} {events} of {total}: {}, {} interval {interval}", unit.value(arm.rate), format::percent(arm.interval.level))
    };
    lines.push(arm("baseline", &counts.baseline));
    lines.push(arm("canary", &counts.canary));
    let of = if of_rest { OF_THE_REST } else { "" };
    let relative = counts.relative_shift.map(|relative| format!(" ({}{of})", format::signed_percent(relative * turn_of_percent)));
    // Where traffic varies, and more so between the arms, that is not the difference of the rates above.
    let by = if counts.aligned { "within the intervals" } else { "over the whole windows" };
    lines.push(format!("difference {by} {}{}", unit.difference(counts.shift * turn), relative.unwrap_or_default()));
    lines.push(format!(
        "p {} with bursts allowed for (z {}; p {} if requests were independent; events vary {} times as much as that)",
        format::p_value(counts.p),
        format::number(counts.z),
        format::p_value(counts.p_independent),
        format::number(counts.inflation),
    ));
    if let Some(p) = counts.p_looks {
        lines.push(format!("p {} over the looks of the plan so far, which decides", format::p_value(p)));
    }
    let excluded = unit.value(counts.detectable_rate);
    lines.push(format!("a pass excludes a rate of {excluded} or worse in the canary: p {}", format::p_value(counts.p_detectable)));
}

fn events_evidence(events: &EventNumbers, unit: &Unit) -> String {
    let (before, after) = (events.mean_baseline, events.mean_canary);
    let change = (before > 0.0).then(|| format!(" ({})", format::signed_percent(after / before - 1.0)));
    format!(
        "intervals with any: {} in the baseline, {} in the canary; {} and {} an interval{}; p {} by intervals ({} with runs allowed for), {} \
         by sums",
        events.intervals_baseline,
        events.intervals_canary,
        unit.value(before),
        unit.value(after),
        change.unwrap_or_default(),
        format::p_value(events.p),
        format::p_value(events.p_dependent),
        format::p_value(events.p_sum),
    )
}

fn limit_evidence(limit: &AppliedLimit, unit: &Unit, is_rate: bool, of_rest: bool) -> String {
    let rest = if of_rest { OF_THE_REST } else { "" };
    let (relative, absolute) = (format!("{}{rest}", format::percent(limit.relative)), unit.distance(limit.absolute));
    let tolerance = match (limit.relative > 0.0, limit.absolute > 0.0) {
        (false, true) => absolute,
        (_, true) => format!("{relative} ({}) and {absolute}", clean(&limit.from)),
        (_, false) => format!("{relative} ({})", clean(&limit.from)),
    };
    let mut line = format!("a regression is a shift of at least {tolerance}, with p at most {}", format::p_value(limit.p));
    if let Some(effect) = limit.proved_from.filter(|effect| *effect > 0.0) {
        line.push_str(&format!(", which here takes at least {}", estimate_size(effect, unit, is_rate)));
    }
    if let Some(spread) = limit.instance_spread {
        line.push_str(&format!("; fresh instances differ by {} (one standard deviation)", format::percent(spread)));
    }
    line
}

/// What placebo windows say: of values relative shifts, of ratios differences of rates, of counts and distributions how their deviates
/// scatter.
fn history_evidence(metric: &MetricResult, history: &HistoryNumbers, unit: &Unit, is_rate: bool) -> String {
    let windows = format!("{} placebo window{}", history.windows, if history.windows == 1 { "" } else { "s" });
    let mut line = format!("history: {windows} of {} points", history.window_points);
    match history.spread {
        Some(spread) if metric.counts.is_some() || metric.distribution.is_some() => {
            line.push_str(&format!(
                "; their deviates have a standard deviation of {} (1 if requests were independent)",
                format::number(spread)
            ));
        }
        Some(spread) => line.push_str(&format!("; their shifts have a standard deviation of {}", estimate_size(spread, unit, is_rate))),
        None => line.push_str("; they differ without bound"),
    }
    if metric.counts.is_none() && metric.distribution.is_none() && history.windows < HistoryNumbers::ENOUGH_WINDOWS {
        line.push_str(&format!("; fewer than {} decide nothing", HistoryNumbers::ENOUGH_WINDOWS));
    }
    if let Some(clock) = history.clock {
        line.push_str(&format!("; compared with this hour on earlier days, when the arms differed by {}", format::signed_percent(clock)));
    }
    line
}

fn queries(provenance: &MetricProvenance) -> Vec<(String, String)> {
    let describe = |query: &crate::analysis::QueryProvenance| {
        let part = if query.part == "value" { String::new() } else { format!(" {}", clean(&query.part)) };
        let came_back = match (query.series, query.points) {
            (Some(series), Some(points)) => format!(" ({series} series, {points} points)"),
            (Some(series), None) => format!(" ({series} series)"),
            (None, _) => " (failed)".to_owned(),
        };
        (format!("{}{part}{came_back}", query.arm), format::clean_query(&query.query))
    };
    provenance.queries.iter().map(describe).collect()
}
