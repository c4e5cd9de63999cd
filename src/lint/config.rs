//! What can be said of a canary config without a metric store.

use haldane_judges::config::{Direction, Kind, Limits, Metric};
use haldane_judges::{CheckedConfig, JudgeName, units};

use super::finding::{LintFinding, Severity};
use super::queries::{Reader, TextPart, texts};
use crate::report::format::number;
use crate::source::Shape;

/// What can be said without a metric store. `asked` is the kind of the one that will be asked besides.
pub(crate) fn examine(config: &CheckedConfig, asked: Option<&str>, findings: &mut Vec<LintFinding>) {
    let mut reader = Reader::new(config, asked);
    for (i, metric) in config.metrics.iter().enumerate() {
        let at = format!("/metrics/{i}");
        let judge = config.judge.parse().unwrap_or(JudgeName::HaldaneV1);
        examine_metric(&at, metric, judge, findings);
        let mut shapes = Vec::new();
        for (store, query) in &metric.queries {
            let at = format!("{at}/queries/{store}");
            reader.knows(&at, store, findings);
            for (pointer, part, text) in texts(&at, metric.kind, query) {
                shapes.extend(reader.examine(&pointer, store, part, text, findings));
            }
        }
        // Limits alone compare no arms, but by a multiple of the baseline.
        if judge == JudgeName::HaldaneV1 || (judge == JudgeName::ThresholdV1 && metric.limits.max_ratio.is_some()) {
            follows_traffic(&at, config, metric, &shapes, findings);
        }
    }
    for (store, text) in config.population.iter().flat_map(|population| &population.queries) {
        let at = format!("/population/queries/{store}");
        reader.knows(&at, store, findings);
        reader.examine(&at, store, TextPart::Single, text, findings);
    }
    reader.unused(findings);
}

fn examine_metric(at: &str, metric: &Metric, judge: JudgeName, findings: &mut Vec<LintFinding>) {
    let kayentas = judge == JudgeName::NetflixAca;
    if !kayentas {
        findings.extend(
            units::of_config(metric).into_iter().map(|problem| LintFinding::error(&format!("{at}{}", problem.pointer), problem.message)),
        );
        bounded(at, metric, judge, findings);
    }
    if metric.queries.is_empty() {
        let message = "no query, so this metric can only be judged on samples that come with a request";
        findings.push(LintFinding::new(Severity::Warning, format!("{at}/queries"), message));
    }
    // Kayenta's judge knows no limits.
    if metric.limits.is_empty() && !kayentas {
        let no_limits = "no limits, so this metric stays inconclusive where there is too little data for statistics; give";
        if metric.kind == Kind::Distribution {
            // Few requests are enough for one, and only its owner knows what was promised.
            findings.push(LintFinding::note(&format!("{at}/limits"), format!("{no_limits} {}", quantile_limit(metric))));
        } else {
            let message = format!("{no_limits} `max`, `min` or `max_ratio`");
            findings.push(LintFinding::new(Severity::Warning, format!("{at}/limits"), message));
        }
    }
    let mut warn = |pointer: &str, message: &str| findings.push(LintFinding::new(Severity::Warning, format!("{at}{pointer}"), message));
    if metric.kind == Kind::Ratio && !metric.is_counted() {
        warn(
            "/queries",
            "a ratio read as one ready-made number loses its counts, and with them the exact tests; give `numerator` and `denominator`",
        );
    }
    let floor = match metric.unit.as_deref() {
        Some("ms" | "milliseconds") => Some("5"),
        Some("s" | "seconds") => Some("0.005"),
        Some("us" | "µs") => Some("5000"),
        _ => None,
    };
    if let Some(floor) = floor.filter(|_| metric.kind == Kind::Value && metric.tolerance.absolute.is_none()) {
        let message = format!(
            "a latency without an absolute tolerance fails on 1 ms becoming 2 ms; give one, such as 5 ms: `absolute: {floor}` (in the metric's \
             unit)"
        );
        warn("/tolerance", &message);
    }
    if metric.critical && metric.optional {
        warn(
            "/optional",
            "critical and optional contradict each other: missing evidence on a critical metric always makes the canary marginal",
        );
    }
    if metric.critical && metric.muted {
        warn("/muted", "critical and muted contradict each other: a muted metric has no effect on the verdict");
    }
}

/// How a limit of a quantile is written, in the metric's unit.
fn quantile_limit(metric: &Metric) -> String {
    let unit = metric.unit.as_deref().map(str::trim).filter(|unit| !unit.is_empty());
    let example = match unit {
        Some("ms" | "milliseconds") => ", such as `p99: {max: 800}`",
        Some("s" | "seconds") => ", such as `p99: {max: 0.8}`",
        Some("us" | "µs") => ", such as `p99: {max: 800000}`",
        _ => ", as `p99: {max: ...}`",
    };
    format!("what your users are promised of a quantile, in {}{example}", unit.unwrap_or("the histogram's unit"))
}

/// What is bounded above, as a share of all requests is: how it is compared, and that it should say so.
fn bounded(at: &str, metric: &Metric, judge: JudgeName, findings: &mut Vec<LintFinding>) {
    if metric.kind == Kind::Value && metric.unit.is_none() && units::is_named_share(&metric.name) {
        let message = format!(
            "`{}` sounds like a share of all, where 0.995 becoming 0.95 is ten times the failures and not -4.5 %; say `kind: ratio` (and \
             `unit: percent` where 100 is all)",
            metric.name
        );
        findings.push(LintFinding::warning(&format!("{at}/kind"), message));
    }
    let whole = match metric.kind {
        Kind::Ratio if metric.is_counted() => 1.0,
        Kind::Ratio => metric.percentage_point() * 100.0,
        Kind::Value if matches!(metric.unit.as_deref(), Some("percent" | "%")) && metric.direction == Direction::Decrease => 100.0,
        Kind::Value if metric.unit.as_deref() == Some("ratio") && metric.direction == Direction::Decrease => {
            let message = "a share of all of which less is worse is judged by its own size, where 0.995 becoming 0.95 is -4.5 %; say `kind: \
                           ratio`, and it is judged by what is left to 1, ten times as much";
            findings.push(LintFinding::warning(&format!("{at}/kind"), message.to_owned()));
            return;
        }
        Kind::Value | Kind::Events | Kind::Distribution => return,
    };
    let Limits { min, max, .. } = metric.limits;
    // A conversion of 3 % is nearer to 0, as its limits tell, and an error ratio is.
    let is_low = metric.direction == Direction::Increase || [min, max].into_iter().flatten().any(|limit| limit < whole / 2.0);
    if let Some(relative) = metric.tolerance.relative.filter(|relative| *relative > 0.0 && !is_low && judge == JudgeName::HaldaneV1) {
        let relative = number(relative);
        let message = format!(
            "a relative tolerance of {relative} is a fraction of the distance to the nearer end of 0 to 100 %: on an availability of 99 % it \
             is {relative} percentage points"
        );
        findings.push(LintFinding::note(&format!("{at}/tolerance/relative"), message));
    }
}

/// A quantity that is larger where there is more traffic, compared as if both arms had the same.
fn follows_traffic(at: &str, config: &CheckedConfig, metric: &Metric, shapes: &[Shape], findings: &mut Vec<LintFinding>) {
    if metric.kind != Kind::Value || metric.traffic || metric.per.is_some() || metric.per_instance.is_some() {
        return;
    }
    let unit = metric.unit.as_deref().unwrap_or_default();
    // CPU time is a rate too, and a percentage of what there is.
    let is_share = matches!(unit, "percent" | "%" | "ratio");
    let by_query = shapes.iter().any(|shape| shape.follows_traffic) && !is_share;
    let by_unit = is_rate(unit) && !shapes.iter().any(|shape| shape.divided);
    if !(by_query || by_unit) {
        return;
    }
    let what = if is_rate(unit) { format!("a metric in {unit}") } else { "a sum of what a counter rises by".to_owned() };
    let is_traffic = metric.direction != Direction::Increase
        && (unit.starts_with("req")
            || matches!(unit, "rps" | "qps" | "rpm")
            || metric.name.contains("throughput")
            || metric.name.contains("traffic"));
    let counted = config.metrics.iter().any(|other| other.traffic);
    let remedy = match (is_traffic && !counted, counted) {
        (true, _) => "if it measures the traffic say `traffic: true`, else make it `kind: ratio`".to_owned(),
        (false, true) => "make it `kind: ratio`, or say `per: request`".to_owned(),
        (false, false) => {
            "make it `kind: ratio`, or say `per: request`, and `traffic: true` of a metric that measures the requests".to_owned()
        }
    };
    let message = format!("{what} follows the traffic, so that a canary with less of it looks better than it is; {remedy}");
    findings.push(LintFinding::warning(&format!("{at}/per"), message));
}

/// Whether a unit is so much in a time.
fn is_rate(unit: &str) -> bool {
    matches!(unit, "rps" | "qps" | "rpm" | "tps" | "ops")
        || ["/s", "/sec", "/second", "/min", "/minute"].iter().any(|per| unit.ends_with(per))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(yaml: &str) -> Vec<LintFinding> {
        let mut findings = Vec::new();
        examine(&CheckedConfig::from_yaml(yaml).unwrap(), None, &mut findings);
        findings
    }

    fn findings(yaml: &str) -> Vec<(Severity, String)> {
        all(yaml).into_iter().map(|finding| (finding.severity, finding.pointer)).collect()
    }

    #[test]
    fn what_would_surprise_later_is_said_now() {
        let yaml = r#"
name: x
variables: {zone: {}, unused: {}}
metrics:
  - {name: errors, kind: ratio, critical: true, optional: true, limits: {max: 0.01}, queries: {prometheus: "a{z=\"${zone}\"}"}}
  - {name: latency, unit: ms, critical: true, muted: true, queries: {prometheus: "b{z=\"${zne}\", s=\"${scope}\"}[${step"}}
  - {name: typo, limits: {max: 1}, queries: {promtheus: "a{z=\"${scope}\"}"}}
"#;
        let at = |severity, pointer: &str| (severity, pointer.to_owned());
        let expected = [
            at(Severity::Warning, "/metrics/0/queries"),
            at(Severity::Warning, "/metrics/0/optional"),
            at(Severity::Warning, "/metrics/1/limits"),
            at(Severity::Warning, "/metrics/1/tolerance"),
            at(Severity::Warning, "/metrics/1/muted"),
            at(Severity::Error, "/metrics/1/queries/prometheus"),
            at(Severity::Error, "/metrics/1/queries/prometheus"),
            at(Severity::Error, "/metrics/2/queries/promtheus"),
            at(Severity::Warning, "/variables/unused"),
        ];
        assert_eq!(findings(yaml), expected);
    }

    #[test]
    fn a_sound_config_gives_no_finding() {
        let yaml = r#"
name: x
metrics:
  - {name: latency, unit: ms, tolerance: {absolute: 5}, limits: {max: 500}, queries: {prometheus: "b{s=\"${scope}\"}"}}
"#;
        assert_eq!(findings(yaml), []);
    }

    #[test]
    fn a_populations_queries_are_examined_too() {
        let yaml = r#"
name: x
variables: {zone: {}}
population: {instance: pod, version: version, queries: {prometheus: "build_info{s=\"${scope}\", z=\"${zone}\", a=\"${zne}\"}"}}
"#;
        assert_eq!(findings(yaml), [(Severity::Error, "/population/queries/prometheus".to_owned())]);
    }

    /// What is said at one place of a metric that is sound but for these settings, beside another metric.
    fn said_of(settings: &str, beside: &str) -> Vec<(Severity, String, String)> {
        let yaml = format!("{{name: x, metrics: [{{name: m, limits: {{max: 0.4}}, {settings}}}{beside}]}}");
        let findings = all(&yaml).into_iter().filter(|finding| finding.pointer.starts_with("/metrics/0"));
        findings.map(|finding| (finding.severity, finding.pointer, finding.message)).collect()
    }

    #[test]
    fn mistaken_units_are_errors_of_the_config_alone() {
        let said = said_of(
            "kind: ratio, tolerance: {absolute: 1}, queries: {prometheus: {numerator: 'a{b=\"${scope}\"}', denominator: 'c{b=\"${scope}\"}'}}",
            "",
        );
        assert!(said.len() == 1 && said[0].0 == Severity::Error && said[0].1 == "/metrics/0/tolerance/absolute", "{said:?}");
        // Kayenta's judge has its own rules.
        let yaml = "{name: x, judge: NetflixACAJudge-v1.0, metrics: [{name: m, tolerance: {relative: 20}}]}";
        assert!(all(yaml).iter().all(|finding| finding.severity == Severity::Warning));
    }

    #[test]
    fn a_floor_for_latencies_is_proposed_in_the_metrics_own_unit() {
        for (unit, floor) in [("ms", "`absolute: 5`"), ("s", "`absolute: 0.005`"), ("µs", "`absolute: 5000`")] {
            let said = said_of(&format!("unit: {unit}, queries: {{prometheus: 'a{{b=\"${{scope}}\"}}'}}"), "");
            assert!(said.len() == 1 && said[0].2.contains(floor), "{said:?}");
        }
    }

    #[test]
    fn what_follows_the_traffic_says_what_it_is_per() {
        let query = |text: &str| format!("queries: {{prometheus: '{text}'}}");
        let (sum, average) = (query("sum(rate(x{a=\"${scope}\"}[1m]))"), query("avg(rate(x{a=\"${scope}\"}[1m]))"));
        let traffic = ", {name: rps, traffic: true}";
        let remedy = "make it `kind: ratio`, or say `per: request`";
        for (settings, beside, begins, ends) in [
            (sum.clone(), traffic, "a sum of what a counter rises by follows the traffic", remedy),
            (format!("unit: errors/s, {average}"), traffic, "a metric in errors/s follows the traffic", remedy),
            (format!("unit: errors/s, {sum}"), "", "a metric in errors/s", "`traffic: true` of a metric that measures the requests"),
            (format!("unit: requests/s, direction: decrease, {sum}"), "", "a metric in requests/s", "else make it `kind: ratio`"),
        ] {
            let said = said_of(&settings, beside);
            assert!(said.len() == 1 && said[0].0 == Severity::Warning && said[0].1 == "/metrics/0/per", "{settings}: {said:?}");
            assert!(said[0].2.starts_with(begins) && said[0].2.ends_with(ends), "{said:?}");
        }
        for (settings, beside) in [
            (format!("per: request, {sum}"), traffic),
            (format!("traffic: true, unit: requests/s, {sum}"), ""),
            (format!("unit: percent, {sum}"), ""),
            (format!("unit: bytes/s, {}", query("sum(rate(x{a=\"${scope}\"}[1m])) / sum(rate(y{a=\"${scope}\"}[1m]))")), traffic),
            (average, traffic),
            (format!("per_instance: pod, {}", query("sum by (pod) (rate(x{a=\"${scope}\"}[1m]))")), traffic),
            (format!("kind: events, {}", query("sum(increase(x{a=\"${scope}\"}[1m]))")), traffic),
        ] {
            assert_eq!(said_of(&settings, beside), [], "{settings}");
        }
    }

    #[test]
    fn a_share_that_does_not_say_so_is_advised_to() {
        let yaml = |name: &str, settings: &str| {
            format!(
                "{{name: x, metrics: [{{name: {name}, limits: {{min: 0.9}}, {settings} queries: {{prometheus: 'a{{b=\"${{scope}}\"}}'}}}}]}}"
            )
        };
        let said = all(&yaml("success-rate", ""));
        assert!(said.len() == 1 && said[0].pointer == "/metrics/0/kind" && said[0].message.contains("`kind: ratio`"), "{said:?}");
        assert_eq!(all(&yaml("success-rate", "unit: percent,")), []);
        assert_eq!(all(&yaml("hits", "")), []);
    }

    #[test]
    fn a_relative_tolerance_near_the_end_is_told_what_it_is_a_fraction_of() {
        let counts = "queries: {prometheus: {numerator: 'a{b=\"${scope}\"}', denominator: 'c{b=\"${scope}\"}'}}";
        let yaml = |settings: &str| format!("{{name: x, metrics: [{{name: m, {settings}, tolerance: {{relative: 0.05}}, {counts}}}]}}");
        let said = all(&yaml("kind: ratio, direction: decrease, limits: {min: 0.99}"));
        assert!(
            said.len() == 1 && said[0].severity == Severity::Note && said[0].message.ends_with("99 % it is 0.05 percentage points"),
            "{said:?}"
        );
        for settings in ["kind: ratio, direction: increase, limits: {max: 0.01}", "kind: ratio, direction: decrease, limits: {min: 0.005}"]
        {
            assert_eq!(all(&yaml(settings)), [], "{settings}");
        }
    }
}
