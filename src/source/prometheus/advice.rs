//! What a person should know about a PromQL query before trusting its points.

use std::collections::BTreeSet;
use std::time::Duration;

use haldane_judges::config::Period;
use promql_parser::parser::{Expr, parse};

use crate::source::{Advice, Query};

/// Most words and signs of a query that is looked at. Its tree is walked, and dropped, recursively, and is at most so deep.
pub(super) const MAX_TOKENS: usize = 1000;

/// Functions that look at the last samples of their window alone, however long it is.
const LAST_SAMPLES: [&str; 3] = ["idelta", "irate", "last_over_time"];

/// Advice on a query; none on one that cannot be parsed, such as one in MetricsQL.
pub(super) fn advise(query: &Query) -> Vec<Advice> {
    if tokens(&query.text) > MAX_TOKENS {
        return Vec::new();
    }
    let Ok(expr) = parse(&query.text) else {
        return Vec::new();
    };
    let mut found = Found::default();
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
            Advice { sentence, about_shifts: false, unless: None }
        })
        .collect();
    if found.histogram_quantile {
        let sentence = "histogram_quantile interpolates within a bucket: a shift smaller than the bucket cannot be trusted".to_owned();
        advice.push(Advice { sentence, about_shifts: true, unless: None });
    }
    advice
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

/// An upper bound for the words and signs of a query, and so for the depth of its tree.
pub(super) fn tokens(text: &str) -> usize {
    let mut in_word = false;
    text.chars()
        .filter(|c| {
            let is_word = c.is_alphanumeric() || matches!(c, '_' | ':' | '.');
            let begins = (is_word && !in_word) || !(is_word || c.is_whitespace());
            in_word = is_word;
            begins
        })
        .count()
}

#[derive(Default)]
struct Found {
    /// Ranges with the function that reads them.
    windows: BTreeSet<(Duration, String)>,
    histogram_quantile: bool,
}

impl Found {
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
                self.visit(&binary.rhs, None);
            }
            Expr::Paren(paren) => self.visit(&paren.expr, function),
            Expr::Subquery(subquery) => {
                self.window(subquery.range, function);
                self.visit(&subquery.expr, None);
            }
            Expr::MatrixSelector(selector) => self.window(selector.range, function),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Window;

    fn advice(text: &str) -> Vec<String> {
        let query = Query { text: text.to_owned(), window: Window { start: 0, end: 3600, step_seconds: 60 } };
        advise(&query).into_iter().map(|advice| advice.sentence).collect()
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
        let query =
            |window: &str, step_seconds| Query { text: format!("rate(x[{window}])"), window: Window { start: 0, end: 3600, step_seconds } };
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
