//! A scorecard as a JUnit test report, which every CI system shows.
//!
//! One test case a metric: `regressed` is a failure, `error` an error, `suspect`, `inconclusive` and `no_data` are skipped, and so is
//! whatever a muted metric finds, and every metric where the verdict only advises. Skipped cases leave a report green, so a first case named `verdict` stands for the canary: it
//! succeeds only on `pass`, and `fail` and `marginal` are failures of that type.

use haldane_judges::Verdict;
use haldane_judges::scorecard::Status;
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::view::{MetricRow, View};
use crate::analysis::Scorecard;

/// The XML could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the JUnit report could not be written")]
pub struct UnwritableReport(#[from] quick_junit::SerializeError);

/// Renders JUnit XML.
///
/// # Errors
/// [`UnwritableReport`] when the XML writer fails, which no scorecard is known to cause.
pub fn junit(card: &Scorecard) -> Result<String, UnwritableReport> {
    let view = View::new(card);
    let mut suite = TestSuite::new(format!("canary {}", view.config));
    suite.add_property(Property::new("verdict", view.verdict.to_string()));
    if let Some(score) = card.judgement.score {
        suite.add_property(Property::new("score", score.to_string()));
    }
    if let Some(would_be) = card.judgement.would_be {
        suite.add_property(Property::new("advisory", "true"));
        suite.add_property(Property::new("would_be", would_be.to_string()));
    }
    suite.add_property(Property::new("recommendation", view.action.to_string()));
    for (label, value) in &view.facts {
        suite.add_property(Property::new(label.to_lowercase().replace(' ', "_"), value.as_str()));
    }
    suite.add_test_case(verdict(&view));
    for row in &view.rows {
        suite.add_test_case(metric(&view, row));
    }
    let mut report = Report::new("haldane");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn verdict(view: &View) -> TestCase {
    let mut status = match view.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Marginal | Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if view.verdict != Verdict::Pass {
        let mut lines = view.reasons.iter().map(|(reason, sentence)| format!("{reason}: {sentence}")).collect::<Vec<_>>();
        lines.push(view.recommendation.clone());
        lines.extend(view.remedies.iter().map(|remedy| format!("- {remedy}")));
        status.set_type(view.verdict.to_string()).set_message(view.summary.as_str()).set_description(lines.join("\n"));
    }
    let mut case = TestCase::new("verdict", status);
    case.set_classname(view.config.as_str());
    if let Some(banner) = &view.banner {
        case.set_system_out(format!("{banner}\n{}", view.summary));
    }
    case
}

fn metric(view: &View, row: &MetricRow) -> TestCase {
    // A verdict that only advises leaves the report green, as a muted metric does.
    let is_muted = row.flags.contains(&"muted") || view.banner.is_some();
    let mut status = match row.status {
        Status::Pass => TestCaseStatus::success(),
        _ if is_muted => TestCaseStatus::skipped(),
        Status::Regressed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Status::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        Status::Suspect | Status::Inconclusive | Status::NoData => TestCaseStatus::skipped(),
    };
    let mut lines = vec![row.sentence.clone(), format!("{}, shift {}, limit {}, n {}", row.levels(), row.change_percent, row.limit, row.n)];
    lines.extend(row.evidence.iter().cloned());
    for (label, list) in [("guard", &row.guards), ("to settle it", &row.remedies), ("warning", &row.warnings)] {
        lines.extend(list.iter().map(|line| format!("{label}: {line}")));
    }
    lines.extend(row.queries.iter().map(|(what, query)| format!("query, {what}: {query}")));
    if row.status != Status::Pass {
        let muted = match (is_muted, &view.banner) {
            (_, Some(_)) => "advisory; ",
            (true, None) => "muted; ",
            (false, None) => "",
        };
        status
            .set_type(format!("{}/{}", row.status, row.reason))
            .set_message(format!("{muted}{}: {}", row.status, row.sentence))
            .set_description(lines.join("\n"));
    }
    let is_pass = row.status == Status::Pass;
    let mut case = TestCase::new(row.name.as_str(), status);
    case.set_classname(view.config.as_str());
    if is_pass {
        case.set_system_out(lines.join("\n"));
    }
    case
}
