//! What a person should know about a Datadog query before trusting its points.
//!
//! Sources: <https://docs.datadoghq.com/metrics/custom_metrics/type_modifiers/>, <https://docs.datadoghq.com/dashboards/functions/>.

use super::query::{Expression, MetricExpression};
use crate::source::{Advice, Declaration};

/// Functions whose points depend on the whole range; the rest of their names varies.
///
/// Sources: <https://docs.datadoghq.com/dashboards/functions/arithmetic/> (`cumsum`, `integral`), `/rank/` (`top`, `bottom`, with offsets and
/// fixed counts), `/algorithms/`, `/regression/`, `/smoothing/` (`autosmooth` chooses its span by the range).
const WHOLE_RANGE: [&str; 12] = [
    "cumsum",
    "integral",
    "top",
    "bottom",
    "anomalies",
    "forecast",
    "outliers",
    "trend_line",
    "robust_trend",
    "piecewise_constant",
    "autosmooth",
    "cusum",
];

/// Functions whose points depend on those before.
const LOOKS_BACK: [&str; 12] = [
    "ewma_",
    "median_",
    "moving_rollup",
    "diff",
    "dt",
    "derivative",
    "monotonic_diff",
    "per_second",
    "per_minute",
    "per_hour",
    "timeshift",
    "calendar_shift",
];

/// Functions that average over neighbouring points.
const MOVING: [&str; 4] = ["ewma_", "median_", "moving_rollup", "autosmooth"];

fn named(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name == *known || (known.ends_with('_') && name.starts_with(known)))
}

/// Whether points depend on the range that is asked for.
pub(super) fn depends_on_range(expression: &Expression<'_>) -> bool {
    expression.functions().any(|name| {
        WHOLE_RANGE.iter().any(|known| match name.strip_prefix(known) {
            // `top5`, `top_offset`, `bottom10_max`, but not `topology`.
            Some(rest) => rest.is_empty() || rest.starts_with('_') || rest.starts_with(|c: char| c.is_ascii_digit()),
            None => false,
        })
    })
}

/// Whether points depend on those before, and so are different where a request begins.
pub(super) fn looks_back(expression: &Expression<'_>) -> bool {
    // A gap is filled from the points before it.
    let fills = |metric: &MetricExpression<'_>| {
        metric.modifiers.iter().any(|modifier| modifier.name == "fill" && !modifier.arguments.contains("null"))
    };
    expression.functions().any(|name| named(name, &LOOKS_BACK)) || expression.metrics().any(fills)
}

pub(super) fn advise(text: &str) -> Vec<Advice> {
    let Ok(expression) = Expression::parse(text) else { return Vec::new() };
    let mut advice = Vec::new();
    let mut say =
        |about_shifts, unless, sentence: &str| advice.push(Advice { sentence: sentence.to_owned(), about_shifts, unless, only: None });
    let functions: Vec<&str> = expression.functions().collect();
    let any = |holds: fn(&MetricExpression<'_>) -> bool| expression.metrics().any(holds);
    let fills = functions.contains(&"default_zero");
    if fills {
        say(
            false,
            None,
            "default_zero writes 0 where there is no data: an arm that stopped reporting looks like one in which nothing happened; \
             `absent_means_zero` tells them apart",
        );
    }
    if !fills && any(|metric| metric.has("as_count") && !metric.has("fill")) {
        say(
            true,
            Some(Declaration::AbsentMeansZero),
            "as_count has no point where nothing happened, so means are of the busy times alone; say `absent_means_zero` if that means 0",
        );
    }
    if any(|metric| !metric.is_percentile() && !["as_count", "as_rate", "fill"].iter().any(|modifier| metric.has(modifier))) {
        say(
            true,
            None,
            "gauges are interpolated over gaps of up to 5 minutes where series are taken together; `.fill(null)` leaves gaps as they are",
        );
    }
    if any(|metric| metric.has("as_rate")) {
        say(
            true,
            None,
            "as_rate is scaled by Datadog from the metric's own interval: compare its level once with the graph before limits rest on it, or ask \
             as_count for events a step",
        );
    }
    if any(|metric| metric.aggregator == "avg" && is_percentile_name(metric.head)) {
        say(false, None, "the average of percentiles is no percentile; ask a distribution for `p95:` itself");
    }
    if any(|metric| metric.by.is_some_and(|tags| !tags.trim().is_empty())) && !functions.iter().any(|name| is_space(name)) {
        say(
            true,
            Some(Declaration::PerInstance),
            "`by {...}` gives a series for each value of the tag; name the tag in `per_instance`, or leave it out",
        );
    }
    if let Some(name) = functions.iter().find(|name| named(name, &MOVING)) {
        say(false, None, &format!("{name} averages over neighbouring points, which so share most of their data"));
    }
    advice
}

/// Functions that take series together again.
fn is_space(name: &str) -> bool {
    matches!(name, "avg" | "sum" | "min" | "max" | "count_nonzero" | "count_not_null")
}

/// Whether a metric's name ends as agents name the percentiles of histograms: `.95percentile`, and `.median`.
fn is_percentile_name(head: &str) -> bool {
    let name = head.split('{').next().unwrap_or_default().trim();
    name.ends_with("percentile") || name.ends_with(".median")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begins(text: &str) -> Vec<String> {
        advise(text).into_iter().map(|advice| advice.sentence.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn each_query_is_advised_of_what_its_points_are() {
        for (text, expected) in [
            ("sum:e{*}.as_count()", &["as_count has"][..]),
            ("default_zero(sum:e{*}.as_count())", &["default_zero writes"]),
            ("avg:m{*}", &["gauges are"]),
            ("avg:m{*}.fill(null)", &[]),
            ("p95:m{*}", &[]),
            ("avg:m.95percentile{*}.fill(null)", &["the average"]),
            ("p95:m{*} by {host}", &["`by {...}`"]),
            ("max(p95:m{*} by {host})", &[]),
            ("ewma_5(p95:m{*})", &["ewma_5 averages"]),
            ("no query", &[]),
        ] {
            assert_eq!(begins(text), expected, "{text}");
        }
    }

    #[test]
    fn functions_over_the_whole_range_are_known_and_others_not() {
        let depends = |text: &str| depends_on_range(&Expression::parse(text).unwrap());
        for text in
            ["cumsum(m{*})", "top(m{*} by {a}, 5, 'mean', 'desc')", "1 + top5_max(m{*})", "anomalies(m{*}, 'basic', 2)", "autosmooth(m{*})"]
        {
            assert!(depends(text), "{text}");
        }
        for text in ["m{*}", "top:m{*}", "default_zero(m{*})", "topology(m{*})", "ewma_5(m{*})", "avg:cumsum{*}"] {
            assert!(!depends(text), "{text}");
        }
    }
}
