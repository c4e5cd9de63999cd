//! Which histogram buckets a query's values are interpolated in: a query that asks for their bounds.

use promql_parser::parser::token::{T_ADD, T_DIV, T_MUL, T_SUB, TokenType};
use promql_parser::parser::{AggregateExpr, BinaryExpr, Call, Expr, LabelModifier};

use super::promql::parse;
use super::size::{MAX_TOKENS, tokens};
use crate::source::{BoundsQuery, Query, Window};

/// The label that holds a bucket's upper bound.
const BOUND: &str = "le";

/// Asks which buckets a `histogram_quantile` is interpolated in: at the window's end and in its middle, since a scrape may be missing.
///
/// `None` where the query's values are no quantiles of a classic histogram, apart from a constant factor, where they are several, and where
/// the query cannot be parsed.
pub(super) fn buckets(query: &Query) -> Option<BoundsQuery> {
    if tokens(&query.text) > MAX_TOKENS {
        return None;
    }
    let expr = parse(&query.text).ok()?;
    let (histogram, factor) = quantile(&expr)?;
    if !(factor.is_finite() && factor > 0.0 && keeps_bounds(histogram)) {
        return None;
    }
    let inner = histogram.to_string();
    // What is asked must be what stands in the query, whatever its writer made of it.
    if parse(&inner).ok()? != *histogram {
        return None;
    }
    let query = Query { text: format!("group by ({BOUND}) ({inner})"), window: instants(query.window), buckets: false };
    Some(BoundsQuery { query, label: BOUND, factor })
}

/// Two points of the window: in its middle and at its end; one where there are no two.
fn instants(window: Window) -> Window {
    let points = window.len();
    let half = u32::try_from(points / 2).unwrap_or(u32::MAX).max(1);
    let step_seconds = window.step_seconds.saturating_mul(half);
    let start = window.end.saturating_sub(i64::from(step_seconds).saturating_mul(if points > 1 { 2 } else { 1 }));
    Window { start, end: window.end, step_seconds }
}

/// The histogram whose quantile an expression is, and the constant that it is multiplied by.
fn quantile(expr: &Expr) -> Option<(&Expr, f64)> {
    match expr {
        Expr::Paren(paren) => quantile(&paren.expr),
        Expr::Call(Call { func, args }) if func.name == "histogram_quantile" => Some((args.args.get(1)?, 1.0)),
        Expr::Binary(BinaryExpr { op, lhs, rhs, modifier }) => {
            if op.id() == T_MUL
                && let Some(factor) = constant(lhs)
            {
                return quantile(rhs).map(|(histogram, inner)| (histogram, inner * factor));
            }
            let (histogram, inner) = quantile(lhs)?;
            let keeps =
                op.is_set_operator() || op.is_comparison_operator() && modifier.as_ref().is_none_or(|modifier| !modifier.return_bool);
            match op.id() {
                T_MUL => Some((histogram, inner * constant(rhs)?)),
                T_DIV => Some((histogram, inner / constant(rhs)?)),
                // Which of its values there are changes, and not what they are.
                _ if keeps && quantile(rhs).is_none() => Some((histogram, inner)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The value of an expression of numbers alone.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::NumberLiteral(number) => Some(number.val),
        Expr::Paren(paren) => constant(&paren.expr),
        Expr::Unary(unary) => constant(&unary.expr).map(|value| -value),
        Expr::Binary(BinaryExpr { op, lhs, rhs, .. }) => calculated(*op, constant(lhs)?, constant(rhs)?),
        _ => None,
    }
}

fn calculated(op: TokenType, left: f64, right: f64) -> Option<f64> {
    match op.id() {
        T_ADD => Some(left + right),
        T_SUB => Some(left - right),
        T_MUL => Some(left * right),
        T_DIV => Some(left / right),
        _ => None,
    }
}

/// Whether a histogram's series keep their buckets' bounds; those of a native histogram, which has none, are added up without them.
pub(super) fn keeps_bounds(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(paren) => keeps_bounds(&paren.expr),
        Expr::Aggregate(AggregateExpr { modifier, .. }) => match modifier {
            Some(LabelModifier::Include(labels)) => labels.labels.iter().any(|label| label == BOUND),
            Some(LabelModifier::Exclude(labels)) => labels.labels.iter().all(|label| label != BOUND),
            None => false,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::source::{Reply, Series};

    fn asked(text: &str) -> Option<BoundsQuery> {
        buckets(&Query { text: text.to_owned(), window: Window { start: 600, end: 1800, step_seconds: 60 }, buckets: false })
    }

    const HISTOGRAM: &str = r#"sum by (le) (rate(x_bucket{app="a\"b",path=~"/v[12]"}[1m]))"#;

    #[test]
    fn the_histogram_of_a_quantile_is_asked_for_its_bounds_with_the_factor() {
        for (query, factor) in [
            ("histogram_quantile(0.99, H)", 1.0),
            ("1000 * histogram_quantile(0.99, H)", 1000.0),
            ("histogram_quantile(0.99, (H)) * 1e3 / 10", 100.0),
            ("(60 * (10 + 5)) * (histogram_quantile(0.5, H) > 0)", 900.0),
            ("1000 * histogram_quantile(0.99, H) or vector(0)", 1000.0),
        ] {
            let found = asked(&query.replace('H', HISTOGRAM)).unwrap_or_else(|| panic!("{query}"));
            assert_eq!(found.factor, factor, "{query}");
            let text = found.query.text;
            assert_eq!(
                text.replace("((", "(").replace("))))", ")))").replace(", ", ","),
                format!("group by (le) ({})", HISTOGRAM.replace(", ", ",")),
                "{query}"
            );
            // The window's middle and its end.
            assert_eq!(found.query.window, Window { start: 600, end: 1800, step_seconds: 600 });
        }
    }

    #[test]
    fn what_is_no_quantile_of_a_classic_histogram_has_no_bounds() {
        for query in [
            "rate(x[1m])",
            "-histogram_quantile(0.99, H)",
            "histogram_quantile(0.99, H) + 1",
            "histogram_quantile(0.99, H) / histogram_quantile(0.5, H)",
            "histogram_quantile(0.99, H) or histogram_quantile(0.5, H)",
            "histogram_quantile(0.99, H) > bool 0",
            "histogram_quantile(0.99, H) * on() x",
            "0 * histogram_quantile(0.99, H)",
            "histogram_quantile(0.99, sum(rate(x[1m])))",
            "histogram_quantile(0.99, sum without (le) (rate(x[1m])))",
            "histogram_quantile(0.99, H",
            "histogram_quantile(0.99, H) default 0",
            "",
        ] {
            assert_eq!(asked(&query.replace('H', HISTOGRAM)), None, "{query}");
        }
        assert_eq!(asked(&"-".repeat(100_000)), None);
    }

    #[test]
    fn a_window_of_few_points_is_asked_at_those_it_has() {
        let window = |points: i64| Window { start: 600, end: 600 + 60 * points, step_seconds: 60 };
        assert_eq!(instants(window(1)), window(1));
        assert_eq!(instants(window(2)), window(2));
        assert_eq!(instants(window(3)), Window { start: 660, end: 780, step_seconds: 60 });
    }

    #[test]
    fn bounds_are_finite_and_rise_in_the_metrics_unit() {
        let series = |bound: Option<&str>| Series {
            labels: bound.map(|bound| ("le".to_owned(), bound.to_owned())).into_iter().collect::<BTreeMap<_, _>>(),
            values: vec![1.0],
        };
        let reply = |bounds: &[Option<&str>]| Reply { series: bounds.iter().map(|bound| series(*bound)).collect(), warnings: Vec::new() };
        let found = asked(&format!("1000 * histogram_quantile(0.9, {HISTOGRAM})")).unwrap();
        let bounds = ["+Inf", "0.25", "1", "5e-2", "0.250", "x"].map(Some);
        assert_eq!(found.bounds(&reply(&bounds)), [50.0, 250.0, 1000.0]);
        // Native histograms have no such label.
        assert_eq!(found.bounds(&reply(&[None])), Vec::<f64>::new());
    }
}
