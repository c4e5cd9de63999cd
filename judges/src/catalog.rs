//! The configs that ship with Haldane, by name.

use crate::config::CheckedConfig;

/// A shipped config.
#[derive(Debug, Clone, Copy)]
pub struct ShippedConfig {
    /// Its name.
    pub name: &'static str,
    /// Its YAML.
    pub yaml: &'static str,
}

/// Every shipped config, by name.
pub const SHIPPED: &[ShippedConfig] = &[
    ShippedConfig { name: "business-conversion", yaml: include_str!("../configs/business-conversion.yaml") },
    ShippedConfig { name: "http-golden-signals", yaml: include_str!("../configs/http-golden-signals.yaml") },
    ShippedConfig { name: "http-low-traffic", yaml: include_str!("../configs/http-low-traffic.yaml") },
    ShippedConfig { name: "istio-golden-signals", yaml: include_str!("../configs/istio-golden-signals.yaml") },
    ShippedConfig { name: "nginx-ingress-golden-signals", yaml: include_str!("../configs/nginx-ingress-golden-signals.yaml") },
    ShippedConfig { name: "schema-contract-gate", yaml: include_str!("../configs/schema-contract-gate.yaml") },
];

/// The shipped config of that name.
#[must_use]
pub fn shipped(name: &str) -> Option<CheckedConfig> {
    let shipped = SHIPPED.iter().find(|config| config.name == name)?;
    CheckedConfig::from_yaml(shipped.yaml).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::{SHIPPED, shipped};
    use crate::config::{BUILT_IN_VARIABLES, CheckedConfig, Direction, Kind, Metric, MetricQuery, Period, PopulationRule};

    fn configs() -> Vec<CheckedConfig> {
        SHIPPED.iter().map(|s| CheckedConfig::from_yaml(s.yaml).unwrap_or_else(|e| panic!("{}: {e}", s.name))).collect()
    }

    /// The query's text, or its numerator's and denominator's.
    fn texts(metric: &Metric) -> Vec<&str> {
        match &metric.queries["prometheus"] {
            MetricQuery::Single(text) => vec![text],
            MetricQuery::Counts(counts) => vec![&counts.numerator, &counts.denominator],
            MetricQuery::Buckets(query) => vec![&query.buckets],
        }
    }

    /// Names between `${` and `}`.
    fn variables(text: &str) -> BTreeSet<&str> {
        text.split("${").skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_file_is_shipped_under_its_own_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .expect("the configs are beside the sources")
            .map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned())
            .collect();
        let listed: BTreeSet<String> = SHIPPED.iter().map(|config| format!("{}.yaml", config.name)).collect();
        assert_eq!(files, listed);
        assert!(SHIPPED.windows(2).all(|pair| pair[0].name < pair[1].name), "listed by name");
        for config in SHIPPED {
            assert_eq!(shipped(config.name).map(|c| c.name.clone()).as_deref(), Some(config.name));
        }
        assert_eq!(shipped("no-such-config"), None);
    }

    #[test]
    fn every_config_and_metric_says_what_it_is_for() {
        for config in configs() {
            assert!(!config.description.is_empty(), "{}", config.name);
            for metric in &config.metrics {
                assert!(!metric.description.is_empty(), "{}: {} has no description", config.name, metric.name);
                assert!(metric.unit.is_some(), "{}: {} has no unit", config.name, metric.name);
                assert_ne!(metric.direction, Direction::Either, "{}: {} has no worse direction", config.name, metric.name);
            }
            for (name, variable) in &config.variables {
                assert!(!variable.description.is_empty(), "{}: variable {name}", config.name);
            }
        }
    }

    #[test]
    fn every_metric_asks_prometheus_and_can_be_decided_by_a_limit() {
        for config in configs() {
            for metric in &config.metrics {
                assert!(metric.queries.contains_key("prometheus"), "{}: {}", config.name, metric.name);
                // Few requests decide about a distribution by themselves.
                let decides = !metric.limits.is_empty() || metric.kind == Kind::Distribution;
                assert!(decides, "{}: {}", config.name, metric.name);
            }
        }
    }

    #[test]
    fn queries_use_declared_variables_and_every_declared_one_is_used() {
        for config in configs() {
            let mut used = BTreeSet::new();
            let queries = config.metrics.iter().flat_map(|metric| texts(metric).into_iter().map(|text| (metric.name.as_str(), text)));
            let population = config.population.iter().map(|check| ("population", check.queries["prometheus"].as_str()));
            for (asked, text) in queries.chain(population) {
                let names = variables(text);
                let selects_an_arm = names.contains("scope") || names.contains("canary_backend");
                assert!(selects_an_arm, "{}: {asked} would read the same for both arms", config.name);
                for name in &names {
                    let known = BUILT_IN_VARIABLES.contains(name) || config.variables.contains_key(*name);
                    assert!(known, "{}: {asked} uses ${{{name}}}, which is not declared", config.name);
                }
                used.extend(names.into_iter().map(str::to_owned));
            }
            for name in config.variables.keys() {
                assert!(used.contains(name), "{}: variable {name} is declared and not used", config.name);
            }
        }
    }

    #[test]
    fn a_population_query_returns_the_labels_that_name_instance_and_version() {
        let checks: Vec<_> = configs().into_iter().filter_map(|config| config.into_inner().population).collect();
        assert!(!checks.is_empty());
        for check in checks {
            for text in check.queries.values() {
                assert!(text.contains(&format!("by ({}, {})", check.instance, check.version)), "{text}");
            }
        }
    }

    #[test]
    fn nothing_old_may_be_left_before_a_contract_phase_change() {
        let config = shipped("schema-contract-gate").expect("shipped").into_inner();
        assert_eq!(config.population.expect("a check").rule, PopulationRule::BaselineGone);
        // With the old instances gone the arms are the same pods, and a comparison would pass whatever they do.
        assert_eq!(config.judge, "threshold-v1");
        assert!(config.metrics.iter().all(|metric| metric.critical && !metric.limits.is_empty()));
    }

    /// A wider window would make neighbouring points share samples; a fixed one would not follow a request's own step.
    #[test]
    fn every_range_is_one_step() {
        for config in configs() {
            assert!(config.step.is_some(), "{}", config.name);
            for metric in &config.metrics {
                for text in texts(metric) {
                    // Ranges open after a selector; the other brackets are character classes of its regular expressions.
                    for range in text.split("}[").skip(1) {
                        // How long a series must have been away for its next point to be a birth.
                        if range.starts_with("10m] offset ${step})") {
                            continue;
                        }
                        assert!(range.starts_with("${step}]"), "{}: {}: {text}", config.name, metric.name);
                    }
                }
            }
        }
    }

    #[test]
    fn golden_signals_have_the_same_metrics_and_rules_for_every_source_of_names() {
        let expected = ["error-ratio", "latency", "throughput", "cpu", "memory"];
        let names = ["http-golden-signals", "istio-golden-signals", "nginx-ingress-golden-signals"];
        let rules = |name: &str| -> Vec<Metric> {
            let mut metrics = shipped(name).expect("shipped").into_inner().metrics;
            for metric in &mut metrics {
                metric.queries.clear();
                metric.description.clear();
                // Istio's bounds are milliseconds.
                metric.bucket_unit = None;
            }
            metrics
        };
        for name in names {
            let config = shipped(name).expect("shipped");
            assert_eq!(config.metrics.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), expected, "{name}");
            assert_eq!(rules(name), rules(names[0]), "{name}");
            assert_eq!(config.groups, shipped(names[0]).expect("shipped").groups, "{name}");
        }
    }

    #[test]
    fn the_release_practices_are_in_the_configs() {
        let metric = |config: &str, metric: &str| -> Metric {
            let config = shipped(config).expect("shipped").into_inner();
            config.metrics.into_iter().find(|m| m.name == metric).expect("a metric of the config")
        };
        for config in configs() {
            assert!(config.min_observation >= Period::from_seconds(300), "{} passes before five minutes", config.name);
        }
        for name in ["http-golden-signals", "istio-golden-signals", "nginx-ingress-golden-signals", "http-low-traffic"] {
            let errors = metric(name, "error-ratio");
            assert!(errors.critical && errors.kind == Kind::Ratio && errors.is_counted(), "{name}");
            assert_eq!((errors.tolerance.absolute, errors.tolerance.relative), (Some(0.01), Some(0.0)), "{name}: one point");
            let throughput = metric(name, "throughput");
            assert!(throughput.direction == Direction::Decrease && throughput.traffic, "{name}: a sudden fall");
        }
        // Requests are judged as requests, and up to 200 ms a quarter is at most 50 ms.
        let latency = metric("http-golden-signals", "latency");
        assert!(latency.kind == Kind::Distribution && latency.bucket_factor() == 1000.0, "{latency:?}");
        assert!(latency.tolerance.relative.is_some_and(|r| r * 200.0 <= 50.0) && latency.tolerance.absolute.is_some_and(|a| a <= 50.0));
        let conversion = metric("business-conversion", "conversion");
        assert_eq!((conversion.direction, conversion.tolerance.relative), (Direction::Decrease, Some(0.05)));
    }
}
