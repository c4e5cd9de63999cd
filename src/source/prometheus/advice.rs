//! What a person should know about a PromQL query before trusting its points.

use std::collections::BTreeSet;
use std::time::Duration;

use haldane_judges::config::Period;
use promql_parser::parser::token::{T_ADD, T_LAND, T_LOR, T_LUNLESS, T_SUB, TokenId};
use promql_parser::parser::{BinaryExpr, Expr, VectorSelector};

use super::buckets::keeps_bounds;
use super::promql::parse;
use super::size::{MAX_TOKENS, tokens};
use crate::source::{Advice, Declaration, Query};

/// Functions that look at the last samples of their window alone, however long it is.
const LAST_SAMPLES: [&str; 3] = ["idelta", "irate", "last_over_time"];
/// Functions that give what a counter gained a second.
const RATES: [&str; 2] = ["irate", "rate"];
/// Functions that give what a counter gained from its first value in a window to the last, and so not that first one.
const GAINS: [&str; 2] = ["increase", "rate"];

/// Advice on a query; none on one that cannot be parsed, such as one in MetricsQL.
pub(super) fn advise(query: &Query) -> Vec<Advice> {
    if tokens(&query.text) > MAX_TOKENS {
        return Vec::new();
    }
    let Ok(expr) = parse(&query.text) else {
        return Vec::new();
    };
    let mut found = QueryFacts::default();
    found.visit(&expr, None);
    let step = Duration::from_secs(u64::from(query.window.step_seconds));
    let mut advice: Vec<Advice> = found
        .windows
        .iter()
        .filter(|(range, _)| *range > step)
        .map(|(range, function)| {
            let shared = percent(1.0 - step.as_secs_f64() / range.as_secs_f64());
            let (window, step) = (written(*range), written(step));
            // A count of events in overlapping windows, summed over the points, is a multiple of the events.
            let repeated = if function == "increase" { ", and each event is counted more than once" } else { "" };
            let sentence = format!(
                "{function} window {window} with step {step}: neighbours share {shared} of their data{repeated}; use [{step}] where that \
                 holds two scrapes, or a step of {window}"
            );
            Advice { sentence, about_shifts: false, unless: None, only: None }
        })
        .collect();
    if let Some(function) = found.blind_to_births() {
        let sentence = format!(
            "where no events are seen there may have been some: {function}() does not see a series' first value, and so not the events that \
             create it, such as a canary's first errors; count them with \
             `sum((x unless max_over_time(x[10m] offset ${{step}})) or increase(x[${{step}}]))`, x being the selector"
        );
        advice.push(Advice { sentence, about_shifts: false, unless: None, only: Some(Declaration::AbsentMeansZero) });
    }
    if let Some(function) = rate_at_top(&expr) {
        let sentence = format!(
            "{function}() gives rates a second, and a numerator and a denominator are events within one step: a count that is too small makes \
             the tests too weak; use increase(...[${{step}}])"
        );
        advice.push(Advice { sentence, about_shifts: false, unless: None, only: Some(Declaration::Counts("prometheus")) });
    }
    let always = |sentence: String| Advice { sentence, about_shifts: false, unless: None, only: None };
    if query.buckets {
        advice.extend(about_buckets(&expr, &found).map(always));
    } else if found.histogram_quantile {
        let sentence =
            "histogram_quantile interpolates within a bucket: a shift smaller than the bucket cannot be trusted; with its buckets and \
                        `kind: distribution` the requests themselves are judged"
                .to_owned();
        advice.push(Advice { sentence, about_shifts: true, unless: None, only: None });
    }
    advice
}

/// What keeps a query from giving the requests in each bucket within one step.
fn about_buckets(expr: &Expr, found: &QueryFacts) -> impl Iterator<Item = String> {
    let quantile = found.histogram_quantile.then(|| {
        "histogram_quantile gives one number for all requests of a step, and no buckets; ask for the buckets that it reads: \
         `sum by (le) (increase(x_bucket{...}[${step}]))`, or `sum(increase(x{...}[${step}]))` of a native histogram"
            .to_owned()
    });
    let rate = rate_at_top(expr).map(|function| {
        format!(
            "{function}() gives rates a second, and buckets are the requests within one step: a count that is too small makes the tests too weak; \
             use increase(...[${{step}}])"
        )
    });
    let mut read = Vec::new();
    selectors(expr, &mut read);
    let classic = read.iter().any(|selector| name_of(selector).ends_with("_bucket"));
    let summed = (classic && !found.histogram_quantile && !keeps_bounds(expr))
        .then(|| "the query adds up all buckets of the histogram; keep them apart with `sum by (le) (...)`".to_owned());
    [quantile, rate, summed].into_iter().flatten()
}

/// A share in per cent, which is never rounded up to all.
fn percent(share: f64) -> String {
    let decimals = usize::from(share > 0.99);
    let shown = format!("{:.decimals$}", (share * 1000.0).floor() / 10.0);
    format!("{shown} %")
}

/// A length of time as PromQL writes it.
fn written(range: Duration) -> String {
    if range.subsec_nanos() == 0 { Period::from_seconds(range.as_secs()).to_string() } else { format!("{}ms", range.as_millis()) }
}

/// The function that gives the points of a query their unit, where that is a rate a second. Sums of rates are rates; what is multiplied
/// or divided may be anything.
fn rate_at_top(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Aggregate(aggregate) => rate_at_top(&aggregate.expr),
        Expr::Unary(unary) => rate_at_top(&unary.expr),
        Expr::Paren(paren) => rate_at_top(&paren.expr),
        Expr::Binary(binary) => match binary.op.id() {
            T_LUNLESS | T_LAND => rate_at_top(&binary.lhs),
            T_LOR | T_ADD | T_SUB => rate_at_top(&binary.lhs).or_else(|| rate_at_top(&binary.rhs)),
            _ => None,
        },
        Expr::Call(call) => RATES.into_iter().find(|name| *name == call.func.name),
        _ => None,
    }
}

/// Whether the right side of an operation only says which of the left side's series there are.
fn selects(operation: TokenId) -> bool {
    matches!(operation, T_LUNLESS | T_LAND)
}

/// The name of what a selector selects.
fn name_of(selector: &VectorSelector) -> String {
    selector.name.clone().unwrap_or_else(|| selector.matchers.to_string())
}

#[derive(Default)]
struct QueryFacts {
    /// Ranges with the function that reads them.
    windows: BTreeSet<(Duration, String)>,
    histogram_quantile: bool,
    /// Counters, with the function that reads what they gained.
    gains: BTreeSet<(String, &'static str)>,
    /// What is read where it was not there earlier: `x unless ... offset`.
    births: BTreeSet<String>,
}

impl QueryFacts {
    /// The function that reads a counter whose first values are read nowhere in the query.
    fn blind_to_births(&self) -> Option<&'static str> {
        self.gains.iter().find(|(name, _)| !self.births.contains(name)).map(|(_, function)| *function)
    }

    /// Notes what an `unless` leaves of series that were not there earlier.
    fn note_births(&mut self, binary: &BinaryExpr) {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        selectors(&binary.lhs, &mut left);
        selectors(&binary.rhs, &mut right);
        let earlier: BTreeSet<String> = right.into_iter().filter(|selector| selector.offset.is_some()).map(name_of).collect();
        self.births.extend(left.into_iter().map(name_of).filter(|name| earlier.contains(name)));
    }

    fn visit(&mut self, expr: &Expr, function: Option<&str>) {
        match expr {
            Expr::Aggregate(aggregate) => {
                self.visit(&aggregate.expr, None);
                if let Some(parameter) = &aggregate.param {
                    self.visit(parameter, None);
                }
            }
            Expr::Unary(unary) => self.visit(&unary.expr, None),
            Expr::Binary(binary) => {
                self.visit(&binary.lhs, None);
                if binary.op.id() == T_LUNLESS {
                    self.note_births(binary);
                }
                // Of what selects, no point is read.
                if !selects(binary.op.id()) {
                    self.visit(&binary.rhs, None);
                }
            }
            Expr::Paren(paren) => self.visit(&paren.expr, function),
            Expr::Subquery(subquery) => {
                self.window(subquery.range, function);
                self.visit(&subquery.expr, None);
            }
            Expr::MatrixSelector(selector) => {
                self.window(selector.range, function);
                if let Some(function) = function.and_then(|function| GAINS.into_iter().find(|name| *name == function)) {
                    self.gains.insert((name_of(&selector.vs), function));
                }
            }
            Expr::Call(call) => {
                self.histogram_quantile |= call.func.name == "histogram_quantile";
                for argument in &call.args.args {
                    self.visit(argument, Some(call.func.name));
                }
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::Extension(_) => {}
        }
    }

    fn window(&mut self, range: Duration, function: Option<&str>) {
        if let Some(function) = function.filter(|name| !LAST_SAMPLES.contains(name)) {
            self.windows.insert((range, function.to_owned()));
        }
    }
}

/// The selectors of an expression.
fn selectors<'a>(expr: &'a Expr, found: &mut Vec<&'a VectorSelector>) {
    match expr {
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr, found),
        Expr::Unary(unary) => selectors(&unary.expr, found),
        Expr::Binary(binary) => {
            selectors(&binary.lhs, found);
            selectors(&binary.rhs, found);
        }
        Expr::Paren(paren) => selectors(&paren.expr, found),
        Expr::Subquery(subquery) => selectors(&subquery.expr, found),
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(selector) => found.push(&selector.vs),
        Expr::Call(call) => call.args.args.iter().for_each(|argument| selectors(argument, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use haldane_judges::config::Metric;
    use serde_json::{Value, json};

    use super::*;
    use crate::source::Window;

    fn all(text: &str) -> Vec<Advice> {
        advise(&Query { text: text.to_owned(), window: Window { start: 0, end: 3600, step_seconds: 60 }, buckets: false })
    }

    /// What concerns a metric that declares nothing.
    fn advice(text: &str) -> Vec<String> {
        all(text).into_iter().filter(|advice| advice.only.is_none()).map(|advice| advice.sentence).collect()
    }

    /// What concerns this metric alone.
    fn of_metric(text: &str, metric: &Value) -> Vec<String> {
        let metric: Metric = serde_json::from_value(metric.clone()).unwrap();
        let only = all(text).into_iter().filter(|advice| advice.only.is_some() && advice.concerns(&metric));
        only.map(|advice| advice.sentence).collect()
    }

    #[test]
    fn what_creates_a_series_is_not_seen_by_increase_and_the_gap_is_named_where_absence_counts_as_zero() {
        let sparse = json!({ "name": "m", "absent_means_zero": true });
        let births = "sum((x{a=\"b\"} unless max_over_time(x{a=\"b\"}[10m] offset 1m)) or increase(x{a=\"b\"}[1m]))";
        for (text, blind) in [
            ("sum(increase(x[1m]))", Some("increase()")),
            ("sum(rate(x[1m]))", Some("rate()")),
            ("sum(increase(x[1m])) or vector(0)", Some("increase()")),
            ("sum(increase(x[1m])) + sum(y unless y offset 1m)", Some("increase()")),
            ("sum(increase(x[1m])) + sum(x unless x)", Some("increase()")),
            ("sum(increase(x[1m])) + sum(increase(y[1m])) + sum(x unless x offset 1m)", Some("increase()")),
            (births, None),
            ("sum(increase(x[1m])) + (sum(x unless x offset 1m) or vector(0))", None),
            ("sum({__name__=\"x\"} unless {__name__=\"x\"} offset 1m) + sum(increase({__name__=\"x\"}[1m]))", None),
            ("count_over_time(x[1m])", None),
            ("sum(x)", None),
        ] {
            let found = of_metric(text, &sparse);
            assert_eq!(found.len(), usize::from(blind.is_some()), "{text}: {found:?}");
            assert!(found.iter().all(|sentence| sentence.contains(blind.unwrap())), "{text}: {found:?}");
            assert_eq!(of_metric(text, &json!({ "name": "m" })), Vec::<String>::new(), "{text}");
        }
        assert_eq!(advice(births), Vec::<String>::new(), "the ten minutes only say what is new");
    }

    #[test]
    fn rates_are_no_counts() {
        let counts = |store: &str| json!({ "name": "m", "kind": "ratio", "queries": { store: { "numerator": "a", "denominator": "b" } } });
        for (text, function) in [
            ("sum(rate(x[1m]))", Some("rate()")),
            ("sum by (pod) (irate(x[1m])) or vector(0)", Some("irate()")),
            ("vector(0) + (sum(rate(x[1m]) - rate(y[1m])))", Some("rate()")),
            ("sum(rate(x[1m])) * 60", None),
            ("sum(increase(x[1m]))", None),
            ("sum(increase(x[1m]) unless rate(x[1m]) == 0)", None),
            ("histogram_count(rate(x[1m]))", None),
        ] {
            let found = of_metric(text, &counts("prometheus"));
            assert_eq!(found.len(), usize::from(function.is_some()), "{text}: {found:?}");
            assert!(found.iter().all(|sentence| sentence.starts_with(function.unwrap())), "{text}: {found:?}");
            for other in [json!({ "name": "m" }), counts("datadog")] {
                assert_eq!(of_metric(text, &other), Vec::<String>::new(), "{text}");
            }
        }
    }

    #[test]
    fn a_window_longer_than_the_step_is_named_with_what_is_shared() {
        let said =
            "rate window 5m with step 1m: neighbours share 80 % of their data; use [1m] where that holds two scrapes, or a step of 5m";
        assert_eq!(advice("sum(rate(x[5m]))"), [said]);
        let several = advice("max_over_time((rate(x[1m]))[10m:1m]) + increase(x[90s]) / increase(y[90s])");
        let expected = [
            "increase window 1m30s with step 1m: neighbours share 33 % of their data, and each event is counted more than once; use [1m] ",
            "max_over_time window 10m with step 1m: neighbours share 90 % of their data; use [1m] ",
        ];
        assert_eq!(several.len(), expected.len());
        for (said, begins) in several.iter().zip(expected) {
            assert!(said.starts_with(begins), "{said}");
        }
    }

    #[test]
    fn what_is_shared_is_the_part_of_the_window_beyond_the_step() {
        let query = |window: &str, step_seconds| Query {
            text: format!("rate(x[{window}])"),
            window: Window { start: 0, end: 3600, step_seconds },
            buckets: false,
        };
        for (window, step_seconds, shared) in [("5m", 15, "95 %"), ("1m", 15, "75 %"), ("3d", 1, "99.9 %"), ("20m", 10, "99.1 %")] {
            let advice = advise(&query(window, step_seconds));
            assert!(advice[0].sentence.contains(&format!("share {shared} of")), "{window} {step_seconds}: {}", advice[0].sentence);
        }
    }

    #[test]
    fn a_window_as_long_as_the_step_and_a_lookback_need_no_advice() {
        for text in ["rate(x[1m])", "rate(x[30s])", "irate(x[5m])", "up", "1", "last_over_time(x[1h])"] {
            assert_eq!(advice(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn quantiles_of_histograms_are_only_as_fine_as_their_buckets() {
        let advice = advice("topk(1, histogram_quantile(0.99, sum by (le) (rate(x_bucket[1m]))))");
        assert_eq!(advice.len(), 1);
        assert!(advice[0].starts_with("histogram_quantile interpolates"));
    }

    #[test]
    fn what_gives_no_requests_in_buckets_is_named_where_they_are_judged() {
        let of_buckets = |text: &str| -> Vec<String> {
            let query = Query { text: text.to_owned(), window: Window { start: 0, end: 3600, step_seconds: 60 }, buckets: true };
            advise(&query).into_iter().filter(|advice| advice.only.is_none()).map(|advice| advice.sentence).collect()
        };
        for (text, begins) in [
            ("sum by (le) (increase(x_bucket[1m]))", None),
            ("sum(increase(x[1m]))", None),
            ("sum by (le, pod) (increase(x_bucket[1m]))", None),
            ("histogram_quantile(0.99, sum by (le) (increase(x_bucket[1m])))", Some("histogram_quantile gives one number")),
            ("sum by (le) (rate(x_bucket[1m]))", Some("rate() gives rates a second")),
            ("sum(rate(x[1m]))", Some("rate() gives rates a second")),
            ("sum(increase(x_bucket[1m]))", Some("the query adds up all buckets")),
        ] {
            let said = of_buckets(text);
            assert_eq!(said.len(), usize::from(begins.is_some()), "{text}: {said:?}");
            assert!(said.iter().all(|sentence| sentence.starts_with(begins.unwrap())), "{text}: {said:?}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_parsed_or_is_endless_gives_no_advice() {
        for text in ["rate(x[5m]) default 0", "", "\"", "rate(x[5m]"] {
            assert_eq!(advice(text), Vec::<String>::new(), "{text}");
        }
        for endless in
            [format!("{}rate(x[5m])", "-".repeat(1_000_000)), format!("rate(x[5m]){}", "+1".repeat(500_000)), "(".repeat(1_000_000)]
        {
            assert_eq!(advice(&endless), Vec::<String>::new());
        }
    }

    #[test]
    fn the_deepest_query_that_is_looked_at_fits_the_stack() {
        for deep in [
            format!("{}rate(x[5m])", "-".repeat(900)),
            format!("rate(x[5m]){}", "+1".repeat(490)),
            format!("{}rate(x[5m]){}", "(".repeat(450), ")".repeat(450)),
        ] {
            assert_eq!(advice(&deep).len(), 1);
        }
    }
}
