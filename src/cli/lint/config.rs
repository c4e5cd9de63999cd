//! What can be said of a canary config without a metric store.

use std::collections::BTreeSet;

use haldane_judges::CheckedConfig;
use haldane_judges::config::{BUILT_IN_VARIABLES, Kind, Metric, MetricQuery};

use super::finding::{Finding, Severity};

/// What can be said without a metric store.
pub(super) fn examine(config: &CheckedConfig, findings: &mut Vec<Finding>) {
    let mut used = BTreeSet::new();
    for (i, metric) in config.metrics.iter().enumerate() {
        let at = format!("/metrics/{i}");
        examine_metric(&at, metric, config.judge == haldane_judges::JudgeName::NetflixAca.as_str(), findings);
        for (pointer, text) in metric.queries.iter().flat_map(|(store, query)| texts(&format!("{at}/queries/{store}"), query)) {
            examine_variables(config, &pointer, text, &mut used, findings);
        }
    }
    for (store, text) in config.population.iter().flat_map(|population| &population.queries) {
        examine_variables(config, &format!("/population/queries/{store}"), text, &mut used, findings);
    }
    for name in config.variables.keys().filter(|name| !used.contains(name.as_str())) {
        findings.push(Finding::new(Severity::Warning, format!("/variables/{name}"), "no query uses this variable"));
    }
}

fn examine_variables<'a>(config: &CheckedConfig, pointer: &str, text: &'a str, used: &mut BTreeSet<&'a str>, findings: &mut Vec<Finding>) {
    for name in variables(text) {
        let Some(name) = name else {
            findings.push(Finding::new(Severity::Error, pointer, "a `${` is not closed by `}`"));
            continue;
        };
        used.insert(name);
        if !BUILT_IN_VARIABLES.contains(&name) && !config.variables.contains_key(name) {
            let known = BUILT_IN_VARIABLES.into_iter().chain(config.variables.keys().map(String::as_str));
            let message = format!("`${{{name}}}` is not built in and not declared; {}", suggestion(name, known));
            findings.push(Finding::new(Severity::Error, pointer, message));
        }
    }
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    match nearest.filter(|(distance, known)| *distance <= 1 + known.len() / 3) {
        Some((_, known)) => format!("did you mean `${{{known}}}`?"),
        None => format!("declare it in /variables as `{name}: {{}}`, and each request must give it"),
    }
}

/// `kayentas` says that Kayenta's judge decides, which knows no limits.
fn examine_metric(at: &str, metric: &Metric, kayentas: bool, findings: &mut Vec<Finding>) {
    let mut warn = |pointer: &str, message: &str| findings.push(Finding::new(Severity::Warning, format!("{at}{pointer}"), message));
    if metric.queries.is_empty() {
        warn("/queries", "no query, so this metric can only be judged on samples that come with a request");
    }
    if metric.limits.is_empty() && !kayentas {
        warn(
            "/limits",
            "no limits, so this metric stays inconclusive where there is too little data for statistics; give `max`, `min` or `max_ratio`",
        );
    }
    if metric.kind == Kind::Ratio && !metric.is_counted() {
        warn(
            "/queries",
            "a ratio read as one ready-made number loses its counts, and with them the exact tests; give `numerator` and `denominator`",
        );
    }
    let is_time = matches!(metric.unit.as_deref(), Some("ms" | "s" | "us" | "µs" | "seconds" | "milliseconds"));
    if is_time && metric.kind == Kind::Value && metric.tolerance.absolute.is_none() {
        warn(
            "/tolerance",
            "a latency without an absolute tolerance fails on 1 ms becoming 2 ms; give one, such as 5 ms: `absolute: 5` (in the metric's unit)",
        );
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

/// The texts of a query, each with where it stands.
fn texts<'a>(at: &str, query: &'a MetricQuery) -> Vec<(String, &'a str)> {
    match query {
        MetricQuery::Single(text) => vec![(at.to_owned(), text)],
        MetricQuery::Counts(counts) => {
            vec![(format!("{at}/numerator"), &counts.numerator), (format!("{at}/denominator"), &counts.denominator)]
        }
    }
}

/// The names between `${` and `}`; `None` for one that is not closed.
fn variables(text: &str) -> Vec<Option<&str>> {
    text.split("${").skip(1).map(|rest| rest.split_once('}').map(|(name, _)| name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(yaml: &str) -> Vec<(Severity, String)> {
        let mut findings = Vec::new();
        examine(&CheckedConfig::from_yaml(yaml).unwrap(), &mut findings);
        findings.into_iter().map(|finding| (finding.severity, finding.pointer)).collect()
    }

    #[test]
    fn what_would_surprise_later_is_said_now() {
        let yaml = r#"
name: x
variables: {zone: {}, unused: {}}
metrics:
  - {name: errors, kind: ratio, critical: true, optional: true, limits: {max: 0.01}, queries: {prometheus: "a{z=\"${zone}\"}"}}
  - {name: latency, unit: ms, critical: true, muted: true, queries: {prometheus: "b{z=\"${zne}\", s=\"${scope}\"}[${step"}}
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

    #[test]
    fn a_misspelt_variable_is_recognised() {
        let known = || ["scope", "namespace"].into_iter();
        assert_eq!(suggestion("namespce", known()), "did you mean `${namespace}`?");
        assert!(suggestion("region", known()).starts_with("declare it"));
    }
}
