//! What a PromQL query is, as far as its text tells without a store: whether it can be read, a rate where a count may be meant, a
//! quantity that follows the traffic.

use promql_parser::parser::Expr;
use promql_parser::parser::token::{T_ADD, T_DIV, T_EQLC, T_GTE, T_GTR, T_LOR, T_LSS, T_LTE, T_MUL, T_NEQ, T_SUB, T_SUM};

use super::promql::parse;
use super::size::{MAX_TOKENS, tokens};
use crate::source::Shape;

/// Reads a query whose variables have been put in; `None` for one that is too long to be looked at.
///
/// # Errors
/// What Prometheus' grammar has against it; in MetricsQL it may be right all the same.
#[must_use]
pub fn shape(text: &str) -> Option<Result<Shape, String>> {
    (tokens(text) <= MAX_TOKENS).then(|| parse(text).map(|expr| shape_of(&expr)))
}

/// The same of an expression.
pub(super) fn shape_of(expr: &Expr) -> Shape {
    let (follows_traffic, divided) = extent(expr);
    Shape { rate: rate(expr), follows_traffic, divided }
}

/// The function of a sum of rates, or of a rate alone. What is multiplied may have been made a count again.
fn rate(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::Paren(paren) => rate(&paren.expr),
        Expr::Aggregate(aggregate) if aggregate.op.id() == T_SUM => rate(&aggregate.expr),
        Expr::Binary(binary) if matches!(binary.op.id(), T_LOR | T_ADD) || is_comparison(binary.op.id()) => rate(&binary.lhs),
        Expr::Call(call) => ["rate", "irate"].into_iter().find(|name| *name == call.func.name),
        _ => None,
    }
}

/// Whether it follows the traffic, and whether it is divided by more than a number.
fn extent(expr: &Expr) -> (bool, bool) {
    match expr {
        Expr::Paren(paren) => extent(&paren.expr),
        Expr::Unary(unary) => extent(&unary.expr),
        Expr::Aggregate(aggregate) if aggregate.op.id() == T_SUM => extent(&aggregate.expr),
        Expr::Binary(binary) => match (binary.op.id(), is_number(&binary.lhs), is_number(&binary.rhs)) {
            (T_MUL | T_DIV, false, true) | (T_LOR | T_ADD | T_SUB, ..) => extent(&binary.lhs),
            (T_MUL, true, false) => extent(&binary.rhs),
            (T_DIV, ..) => (false, true),
            (op, ..) if is_comparison(op) => extent(&binary.lhs),
            _ => (false, false),
        },
        Expr::Call(call) => (matches!(call.func.name, "rate" | "irate" | "increase"), false),
        _ => (false, false),
    }
}

fn is_comparison(op: u16) -> bool {
    matches!(op, T_GTR | T_LSS | T_GTE | T_LTE | T_EQLC | T_NEQ)
}

fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(_) => true,
        Expr::Paren(paren) => is_number(&paren.expr),
        Expr::Unary(unary) => is_number(&unary.expr),
        Expr::Binary(binary) => is_number(&binary.lhs) && is_number(&binary.rhs),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Shape {
        shape(text).unwrap().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_rate_where_a_count_is_meant_is_recognised() {
        for (text, expected) in [
            ("sum(rate(x[1m]))", Some("rate")),
            ("(sum by (a) (irate(x[1m])) or vector(0))", Some("irate")),
            ("sum(rate(x[1m])) + sum(rate(y[1m]))", Some("rate")),
            ("sum(increase(x[1m]))", None),
            ("sum(rate(x[1m])) * 60", None),
            ("sum(rate(x[1m])) / sum(rate(y[1m]))", None),
            ("max_over_time(rate(x[1m])[5m:1m])", None),
        ] {
            assert_eq!(read(text).rate, expected, "{text}");
        }
    }

    #[test]
    fn sums_of_what_counters_rise_by_follow_the_traffic_until_they_are_divided() {
        for text in [
            "sum(rate(x[1m]))",
            "rate(x[1m])",
            "60 * sum(increase(x{code=~\"5..\"}[1m])) > 0",
            "sum(rate(x[1m])) / (1024 * 1024)",
            "sum by (a) (rate(x[1m])) or vector(0)",
        ] {
            assert_eq!((read(text).follows_traffic, read(text).divided), (true, false), "{text}");
        }
        for text in ["sum(rate(x[1m])) / sum(rate(y[1m]))", "1000 * sum(rate(x[1m])) / sum(rate(y[1m]))"] {
            assert_eq!((read(text).follows_traffic, read(text).divided), (false, true), "{text}");
        }
        for text in ["avg(rate(x[1m]))", "sum(up)", "histogram_quantile(0.9, sum by (le) (rate(x_bucket[1m])))", "1", "1 - sum(up)"] {
            assert_eq!((read(text).follows_traffic, read(text).divided), (false, false), "{text}");
        }
    }

    #[test]
    fn what_prometheus_cannot_read_is_told_and_what_is_endless_is_not_looked_at() {
        for text in ["sum(rate(x[5m])", "avg(rate(x))", "sum(x{resources`cpu`})", "rate(x[5m]) default 0"] {
            assert!(shape(text).unwrap().is_err(), "{text}");
        }
        assert_eq!(shape(&"(".repeat(1_000_000)), None);
    }
}
