//! What can be said of a query's text before any store is asked: what a judgement would refuse, and what would mislead it.

use std::collections::BTreeSet;

use haldane_judges::CheckedConfig;
use haldane_judges::config::{BUILT_IN_VARIABLES, Kind, MetricQuery};
use haldane_judges::text::nearest;

use super::finding::{LintFinding, Severity};
use crate::source::leftovers::{leftovers, native_of};
use crate::source::{Shape, SourceError, datadog, prometheus};

/// Metric stores that queries are kept for.
const STORES: [&str; 3] = ["prometheus", "datadog", "dataset"];

/// What a text is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextPart {
    /// The whole of it.
    Single,
    /// Events within a step, or all there could have been.
    Count,
}

/// The texts of a query, each with where it stands.
pub(super) fn texts<'a>(at: &str, kind: Kind, query: &'a MetricQuery) -> Vec<(String, TextPart, &'a str)> {
    match query {
        MetricQuery::Single(text) if kind == Kind::Distribution => vec![(at.to_owned(), TextPart::Count, text)],
        MetricQuery::Single(text) => vec![(at.to_owned(), TextPart::Single, text)],
        MetricQuery::Buckets(query) => vec![(format!("{at}/buckets"), TextPart::Count, query.buckets.as_str())],
        MetricQuery::Counts(counts) => {
            let count = |field: &str, text: &'a str| (format!("{at}/{field}"), TextPart::Count, text);
            vec![count("numerator", &counts.numerator), count("denominator", &counts.denominator)]
        }
    }
}

/// Reads the queries of one config.
pub(super) struct Reader<'a> {
    config: &'a CheckedConfig,
    /// The store that will be asked, and then says for itself what it refuses.
    asked: Option<&'a str>,
    /// The variables that were come across.
    used: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(config: &'a CheckedConfig, asked: Option<&'a str>) -> Self {
        Self { config, asked, used: BTreeSet::new() }
    }

    /// Whether there is a store of that name; says so where there is none.
    pub(super) fn knows(&self, at: &str, store: &str, findings: &mut Vec<LintFinding>) -> bool {
        let known = STORES.contains(&store);
        if !known {
            let hint = match nearest(store, STORES) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("the names are `{}`", STORES.join("`, `")),
            };
            findings.push(LintFinding::error(at, format!("`{store}` is no metric store, so that nothing ever asks this; {hint}")));
        }
        known
    }

    /// What there is to say of one text, and what it is where that can be told.
    pub(super) fn examine(
        &mut self,
        at: &str,
        store: &str,
        part: TextPart,
        text: &'a str,
        findings: &mut Vec<LintFinding>,
    ) -> Option<Shape> {
        let names = variables(text);
        self.used.extend(&names);
        let mut explained = self.undeclared(at, text, &names, findings);
        let read = match store {
            "prometheus" => prometheus::sampled(text).map(|sampled| prometheus::shape(&sampled)),
            "datadog" => datadog::shape(text, self.step_seconds()).map(|shape| Some(Ok(shape))),
            _ => Ok(None),
        };
        let will_ask = self.asked == Some(store);
        let left = leftovers(text);
        let refused = |error: &SourceError, explained: &[String]| explained.iter().any(|name| error.to_string().contains(name));
        match &read {
            // Datadog's query is not read for what is left in it; otherwise these are two things.
            Err(_) if store == "datadog" && !left.is_empty() => {
                if !will_ask {
                    findings.extend(left.iter().map(|leftover| LintFinding::error(at, leftover.to_string())));
                }
            }
            read => {
                if let Err(error) = read
                    && !will_ask
                    && !refused(error, &explained)
                {
                    findings.push(LintFinding::error(at, error.to_string()));
                }
                // The refusal may have named it.
                let named = |text: &str| read.as_ref().is_err_and(|error| error.to_string().contains(&format!("`{text}`")));
                let others = left.iter().filter(|leftover| !named(&leftover.text));
                findings.extend(others.map(|leftover| LintFinding::warning(at, leftover.to_string())));
            }
        }
        // What should have been replaced may well have told the arms apart.
        if !will_ask && left.is_empty() {
            self.same_for_both(at, store, &names, findings);
        }
        explained.extend(left.into_iter().map(|leftover| leftover.text));
        match read.ok()?? {
            Ok(shape) => {
                if let Some(rate) = shape.rate.filter(|_| part == TextPart::Count) {
                    findings.push(LintFinding::warning(at, rate_of_events(store, rate)));
                }
                Some(shape)
            }
            Err(error) => {
                if explained.is_empty() && !will_ask {
                    let message = format!("Prometheus cannot read this query: {error}; unless it is MetricsQL, no store will answer it");
                    findings.push(LintFinding::warning(at, message));
                }
                None
            }
        }
    }

    /// Variables that no query uses.
    pub(super) fn unused(&self, findings: &mut Vec<LintFinding>) {
        for name in self.config.variables.keys().filter(|name| !self.used.contains(name.as_str())) {
            findings.push(LintFinding::new(Severity::Warning, format!("/variables/{name}"), "no query uses this variable"));
        }
    }

    fn step_seconds(&self) -> Option<u32> {
        u32::try_from(self.config.step?.seconds()).ok()
    }

    /// Says which variables are not there; their names, in backticks.
    fn undeclared(&self, at: &str, text: &str, names: &[&str], findings: &mut Vec<LintFinding>) -> Vec<String> {
        let mut found = Vec::new();
        for name in names {
            let quoted = format!("`{name}`");
            if BUILT_IN_VARIABLES.contains(name) || self.config.variables.contains_key(*name) || found.contains(&quoted) {
                continue;
            }
            let known = BUILT_IN_VARIABLES.into_iter().chain(self.config.variables.keys().map(String::as_str));
            let message = format!("`${{{name}}}` is not built in and not declared; {}", suggestion(name, text, known));
            findings.push(LintFinding::error(at, message));
            found.push(quoted);
        }
        found
    }

    /// Whether nothing in the query can differ between the arms.
    fn same_for_both(&self, at: &str, store: &str, names: &[&str], findings: &mut Vec<LintFinding>) {
        let has_default = |name: &str| self.config.variables.get(name).is_some_and(|variable| variable.default.is_some());
        let tells_apart = |name: &&str| !matches!(*name, "step" | "window") && !has_default(name);
        if names.iter().any(tells_apart) {
            return;
        }
        let defaults: Vec<String> = names.iter().filter(|name| has_default(name)).map(|name| format!("`${{{name}}}`")).collect();
        let but = match defaults.as_slice() {
            [] => String::new(),
            names => format!(" ({} is the same for both arms unless each request says otherwise)", names.join(", ")),
        };
        let example = if store == "datadog" { "version:${scope}" } else { "app=\"${scope}\"" };
        let message = format!(
            "nothing in this query tells the arms apart{but}, so that the canary is compared with itself; put `${{scope}}` where it selects \
             an arm, such as `{example}`"
        );
        findings.push(LintFinding::warning(at, message));
    }
}

/// A rate where events within a step are asked for.
fn rate_of_events(store: &str, rate: &str) -> String {
    let remedy = if store == "datadog" { "`.as_count()`" } else { "`increase(...[${step}])`" };
    format!(
        "`{rate}` is events a second, and the events within a step are asked for: with a step of 60 s 3,600 requests count as 60; use {remedy}"
    )
}

fn suggestion<'a>(name: &str, text: &str, known: impl Iterator<Item = &'a str>) -> String {
    let is_range = || text.contains(&format!("[${{{name}}}]")) || text.contains(&format!("[${{{name}}}:"));
    if let Some(native) = native_of(name).or_else(|| is_range().then_some("${step}")) {
        return format!("write `{native}`");
    }
    match nearest(name, known) {
        Some(known) => format!("did you mean `${{{known}}}`?"),
        None => format!("declare it in /variables as `{name}: {{}}`, and each request must give it"),
    }
}

/// The names between `${` and `}`, where `$${` is text; what is not closed, or no name, has none.
fn variables(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, found) = rest.split_at(at);
        rest = found.get(2..).unwrap_or_default();
        if before.ends_with('$') {
            continue;
        }
        if let Some((name, after)) = rest.split_once('}')
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            names.push(name);
            rest = after;
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of one query of that store.
    fn said_in(settings: &str, store: &str, part: TextPart, text: &str) -> Vec<(Severity, String)> {
        let config = CheckedConfig::from_yaml(&format!("{{name: x, {settings} metrics: [{{name: m}}]}}")).unwrap();
        let mut findings = Vec::new();
        Reader::new(&config, None).examine("", store, part, text, &mut findings);
        findings.into_iter().map(|finding| (finding.severity, finding.message)).collect()
    }

    #[track_caller]
    fn says(store: &str, text: &str, severity: Severity, parts: &[&str]) {
        let said = said_in("variables: {ns: {default: d}, be: {}}, step: 60s,", store, TextPart::Single, text);
        let as_expected = |(found, message): &(Severity, String)| *found == severity && parts.iter().all(|part| message.contains(part));
        assert!(said.len() == 1 && as_expected(&said[0]), "{text}: {said:#?}");
    }

    #[test]
    fn what_a_judgement_refuses_is_an_error() {
        use Severity::Error;
        says("prometheus", "up{${scope}}", Error, &["`scope`", "outside of a string", "put it in a label matcher"]);
        says("prometheus", "up{a=\"${scope}\", b=\"${scope\"}", Error, &["is not a variable"]);
        says("prometheus", "rate(up{a=\"${scope}\"}[${be}])", Error, &["`be`", "`[${step}]`"]);
        says("prometheus", "up{a=“${scope}”}", Error, &["`“` is a typographic quote"]);
        says("datadog", "avg:foo{version:${scope}", Error, &["the brace at character 8"]);
        says("datadog", "avg:foo{${scope}}.rollup(avg, 30)", Error, &["`30`", "the step of 60 s"]);
        says("prometheus", "up{a=\"${scoep}\"}", Error, &["`${scoep}` is not built in", "did you mean `${scope}`?"]);
        let interval = ["`${__rate_interval}` is not built in", "write `${step}`"];
        says("prometheus", "rate(up{a=\"${scope}\"}[${__rate_interval}])", Error, &interval);
        says("prometheus", "rate(up{a=\"${scope}\"}[${w}])", Error, &["`${w}`", "write `${step}`"]);
    }

    #[test]
    fn what_is_left_of_other_tools_is_told_where_it_came_from() {
        use Severity::{Error, Warning};
        says("prometheus", "rate(x{a=\"${scope}\"}[$__rate_interval])", Warning, &["Grafana's", "write `${step}`"]);
        says("prometheus", "rate(x{a=\"${scope}\"}[{{ interval }}])", Warning, &["`{{ interval }}`", "write `${step}`"]);
        says("prometheus", "x{a=“web”,b=\"${scope}\"}", Warning, &["`“`", "write `\"`"]);
        says("prometheus", "x{a=\"[[job]]\",b=\"${scope}\"}", Warning, &["`[[job]]`"]);
        for (text, left) in [("avg:foo{version:{{args.version}}}", "Argo"), ("avg:foo{$be,${scope}}", "variable of a dashboard")] {
            let said = said_in("", "datadog", TextPart::Single, text);
            assert!(said[0].0 == Error && said[0].1.contains(left), "{text}: {said:?}");
        }
    }

    #[test]
    fn what_prometheus_cannot_read_is_doubtful_for_metricsql_may_be_meant() {
        for text in ["sum(rate(x{a=\"${scope}\"}[5m])", "avg(rate(x{a=\"${scope}\"}))", "sum(x{a=\"${scope}\", r`cpu`})"] {
            says("prometheus", text, Severity::Warning, &["Prometheus cannot read this query: ", "MetricsQL"]);
        }
    }

    #[test]
    fn a_query_that_is_the_same_for_both_arms_is_named_with_the_remedy() {
        says("prometheus", "up{a=\"web\"}", Severity::Warning, &["nothing in this query tells the arms apart,", "`${scope}`"]);
        says("prometheus", "up{a=\"${ns}\"}", Severity::Warning, &["(`${ns}` is the same for both arms", "`app=\"${scope}\"`"]);
        says("datadog", "avg:m{*}", Severity::Warning, &["nothing in this query tells the arms apart,", "`version:${scope}`"]);
        for text in ["up{a=\"${scope}\"}", "up{a=\"${be}\"}", "up{a=\"${location}\"}"] {
            assert_eq!(said_in("variables: {be: {}},", "prometheus", TextPart::Single, text), [], "{text}");
        }
    }

    #[test]
    fn rates_where_events_are_counted_are_named() {
        let rates = |store: &str, part, text: &str| said_in("", store, part, text);
        let text = "sum(rate(x{a=\"${scope}\"}[1m]))";
        let said = rates("prometheus", TextPart::Count, text);
        assert!(said.len() == 1 && said[0].0 == Severity::Warning && said[0].1.ends_with("use `increase(...[${step}])`"), "{said:?}");
        assert_eq!(rates("prometheus", TextPart::Single, text), []);
        assert!(rates("datadog", TextPart::Count, "sum:x{${scope}}.as_rate()")[0].1.ends_with("use `.as_count()`"));
        assert_eq!(rates("datadog", TextPart::Count, "sum:x{${scope}}.as_count()"), []);
    }

    #[test]
    fn a_store_that_will_be_asked_says_itself_what_it_refuses() {
        let config = CheckedConfig::from_yaml("{name: x, metrics: [{name: m}]}").unwrap();
        for text in ["sum(rate(x[5m])", "up{${scope}}"] {
            let mut findings = Vec::new();
            Reader::new(&config, Some("prometheus")).examine("", "prometheus", TextPart::Single, text, &mut findings);
            assert_eq!(findings, [], "{text}");
        }
    }

    #[test]
    fn an_unknown_store_is_named_with_the_nearest() {
        let config = CheckedConfig::from_yaml("{name: x, metrics: [{name: m}]}").unwrap();
        let reader = Reader::new(&config, None);
        let said = |store: &str| {
            let mut findings = Vec::new();
            let known = reader.knows("", store, &mut findings);
            (known, findings.pop().map(|finding| finding.message).unwrap_or_default())
        };
        assert!(said("promtheus").1.ends_with("did you mean `prometheus`?"), "{:?}", said("promtheus"));
        assert!(said("graphite").1.ends_with("the names are `prometheus`, `datadog`, `dataset`"), "{:?}", said("graphite"));
        assert_eq!(said("datadog"), (true, String::new()));
    }

    #[test]
    fn a_misspelt_variable_is_recognised() {
        let known = || ["scope", "namespace"].into_iter();
        assert_eq!(suggestion("namespce", "", known()), "did you mean `${namespace}`?");
        assert!(suggestion("region", "", known()).starts_with("declare it"));
        assert_eq!(variables("a ${b} $${c} ${d ${e}"), ["b", "e"]);
    }
}
