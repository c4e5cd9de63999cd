//! A Kayenta config as a native one that a person goes on with: YAML, with a note for each thing that has no equal.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::aca::{Measure, NanStrategy, OutlierStrategy, Rules};
use haldane_judges::config::{BUILT_IN_VARIABLES, Direction, MAX_CONFIG_BYTES, MetricQuery, Thresholds, Variable};
use haldane_judges::{CheckedConfig, JudgeName, document};
use promql_parser::parser::{Expr, LabelModifier};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value, json};

use crate::kayenta::reading::model::{CanaryConfig, EffectSizeConfig, MetricConfig, QueryConfig, QueryKind, ScoreThresholds};
use crate::kayenta::reading::native::{self, REMOTE_JUDGE, Surface, choose_judge, native_config};
use crate::kayenta::reading::query::template::{Token, tokens};
use crate::kayenta::reading::query::{expansion, prometheus};
use crate::kayenta::wire::refusal::{Refusal, RefusalKind, shown};
use crate::source::prometheus::splice::{Lexis, Scanner};
use crate::source::prometheus::variables_of;

/// Longest line of a comment, in characters.
const COMMENT_WIDTH: usize = 110;

/// A converted config.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversion {
    /// The native config.
    pub config: CheckedConfig,
    /// Its YAML, the notes in comments at its head.
    pub yaml: String,
    /// What has no equal, each with its pointer into Kayenta's document.
    pub notes: Vec<String>,
    /// The critical metrics that lost their query: without it every canary is marginal at best.
    pub lost: Vec<String>,
}

/// Converts a config in JSON or YAML, or a request that holds one as `canaryConfig`.
///
/// # Errors
/// [`Refusal`] for what is no config of Kayenta's, and for one that no judge here could use.
pub fn convert(text: &[u8]) -> Result<Conversion, Refusal> {
    convert_with(text, None)
}

/// The same, where `${scope}` stands for label matchers, such as in `{job="shop",${scope}}`: there it becomes the value of `scope_label`.
///
/// # Errors
/// As [`convert`].
pub fn convert_with(text: &[u8], scope_label: Option<&str>) -> Result<Conversion, Refusal> {
    let config = read(text)?;
    let mut notes = Notes::default();
    let judge = judge(&config, &mut notes)?;
    let thresholds = thresholds(&config, &mut notes);
    let mut native = native_config(&config, thresholds, judge)?.into_inner();
    note_lost(&config, &mut notes);
    let mut variables = Variables { scope_label: scope_label.map(str::to_owned), ..Variables::default() };
    let mut lost = Vec::new();
    for (i, (metric, native)) in config.metrics.iter().zip(&mut native.metrics).enumerate() {
        let at = format!("/metrics/{i}");
        if judge != JudgeName::NetflixAca {
            note_analysis(metric, &format!("{at}/analysisConfigurations/canary"), &mut notes);
        }
        match native_query(&config, metric, &mut variables, &at, &mut notes)? {
            Some(text) => {
                if let Some(labels) = labels_of_series(metric, &text) {
                    let message = format!(
                        "gives a series for each {labels}, which over Kayenta's API are judged apart; a native metric is one series an arm: \
                         select or aggregate in the query, or make a metric for each"
                    );
                    notes.add(format!("{at}/query"), message);
                }
                if judge == JudgeName::HaldaneV1 && metric.query.kind == QueryKind::Prometheus && text.contains("histogram_quantile") {
                    let message = "is a quantile of a histogram, one number a point; with `kind: distribution` and the buckets as its query, \
                                   `sum by (le) (increase(x_bucket{...}[${step}]))`, each request counts, so that far smaller shifts are found, \
                                   and one metric has all quantiles";
                    notes.add(format!("{at}/query"), message);
                }
                native.queries = BTreeMap::from([(metric.query.kind.to_string(), MetricQuery::Single(text))]);
            }
            None => {
                notes.add(format!("{at}/query"), "the metric has no query now; add one to `queries`");
                if metric.analysis_configurations.canary.critical {
                    lost.push(metric.name.clone());
                }
            }
        }
    }
    native.variables = variables.declared;
    let config_name = config.name.as_str();
    let native = native.check().map_err(|invalid| Refusal::invalid(invalid.to_string()))?;
    let yaml = format!("{}{}", header(config_name, &notes.0), body(&native)?);
    if !CheckedConfig::from_yaml(&yaml).is_ok_and(|read| read == native) {
        return Err(Refusal::invalid("the config cannot be written as YAML that reads back the same"));
    }
    Ok(Conversion { config: native, yaml, notes: notes.0, lost })
}

/// The labels by which a query gives several series, as far as its text tells.
fn labels_of_series(metric: &MetricConfig, text: &str) -> Option<String> {
    // Labels that Kayenta's config names have a note of their own.
    if metric.query.kind != QueryKind::Prometheus || !metric.query.group_by_fields.is_empty() {
        return None;
    }
    let mut expression = crate::source::prometheus::promql::parse(text).ok()?;
    loop {
        expression = match expression {
            Expr::Binary(binary) => *binary.lhs,
            Expr::Paren(paren) => *paren.expr,
            Expr::Unary(unary) => *unary.expr,
            Expr::Aggregate(aggregate) => {
                return match aggregate.modifier? {
                    LabelModifier::Include(labels) if !labels.labels.is_empty() => Some(labels.labels.join(", ")),
                    LabelModifier::Include(_) => None,
                    LabelModifier::Exclude(labels) => Some(format!("value of the labels other than {}", labels.labels.join(", "))),
                };
            }
            _ => return None,
        };
    }
}

/// A document in JSON, or in YAML as `kayentactl` takes it.
fn document_of(text: &[u8]) -> Result<Value, Refusal> {
    // Some editors and shells put a byte order mark before it.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if text.len() > MAX_CONFIG_BYTES {
        let message = format!("{} bytes is longer than a canary config may be ({MAX_CONFIG_BYTES}); split it", text.len());
        return Err(Refusal::at("", message));
    }
    let json = match serde_json::from_slice(text) {
        Ok(document) => return Ok(document),
        Err(error) => format!("is not JSON: {error}"),
    };
    let begins_as_json = text.trim_ascii_start().starts_with(b"{");
    let text = std::str::from_utf8(text).map_err(|_| Refusal::at("", "is not UTF-8"))?;
    match serde_saphyr::from_str::<Value>(text) {
        Ok(document) if document.is_object() => Ok(document),
        Err(error) if !begins_as_json => Err(Refusal::at("", format!("is neither JSON nor YAML: {error}"))),
        _ => Err(Refusal::at("", json)),
    }
}

fn read(text: &[u8]) -> Result<CanaryConfig, Refusal> {
    let config = CanaryConfig::from_value(document_of(text)?)?;
    let (config, below) = match config.document().get("canaryConfig") {
        Some(inner) if config.metrics.is_empty() => {
            (CanaryConfig::from_value(inner.clone()).map_err(|refusal| refusal.below("/canaryConfig"))?, "/canaryConfig")
        }
        _ => (config, ""),
    };
    let metrics = config.document().get("metrics").and_then(Value::as_array);
    let Some(metrics) = metrics.filter(|metrics| !metrics.is_empty()) else {
        return Err(Refusal::at(format!("{below}/metrics"), "is missing or empty; a canary config of Kayenta's has metrics"));
    };
    if let Some(i) = metrics.iter().position(|metric| !metric.get("query").is_some_and(Value::is_object)) {
        let message = "is missing; a metric of Kayenta's has a query with a type (a native config needs no conversion)";
        return Err(Refusal::at(format!("{below}/metrics/{i}/query"), message));
    }
    config.check_metric_names().map_err(|refusal| refusal.below(below))?;
    Ok(config)
}

#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn add(&mut self, pointer: impl AsRef<str>, message: impl AsRef<str>) {
        let note = Refusal::at(pointer.as_ref(), message.as_ref()).message();
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }
}

fn judge(config: &CanaryConfig, notes: &mut Notes) -> Result<JudgeName, Refusal> {
    let name = shown(&config.judge.name);
    match choose_judge(config, Surface::Canary) {
        Err(refusal) if refusal.kind == RefusalKind::UnknownJudge => {
            notes.add("/judge/name", format!("`{name}` is no judge here; haldane-v1 decides instead"));
            Ok(JudgeName::HaldaneV1)
        }
        Ok(judge) if config.judge.name == REMOTE_JUDGE => {
            notes.add("/judge/name", format!("`{name}` stands for {judge} here"));
            Ok(judge)
        }
        other => other,
    }
}

fn thresholds(config: &CanaryConfig, notes: &mut Notes) -> ScoreThresholds {
    let given = config.classifier.as_ref().and_then(|classifier| classifier.score_thresholds);
    given.unwrap_or_else(|| {
        let Thresholds { marginal, pass } = Thresholds::default();
        let message =
            format!("is missing, and Kayenta takes the thresholds from each request; {pass} and {marginal} are put in, set your own");
        notes.add("/classifier/scoreThresholds", message);
        ScoreThresholds { marginal, pass }
    })
}

/// Keys of a config that are carried over, or mean nothing outside of a store.
const CARRIED: [&str; 13] = [
    "name",
    "description",
    "judge",
    "metrics",
    "templates",
    "classifier",
    "id",
    "configVersion",
    "isNew",
    "createdTimestamp",
    "createdTimestampIso",
    "updatedTimestamp",
    "updatedTimestampIso",
];
/// The same of a metric.
const CARRIED_OF_METRIC: [&str; 6] = ["name", "query", "groups", "analysisConfigurations", "scopeName", "isNew"];

fn note_lost(config: &CanaryConfig, notes: &mut Notes) {
    for key in config.document().as_object().into_iter().flat_map(Map::keys).filter(|key| !CARRIED.contains(&key.as_str())) {
        let why = if key == "applications" { "a native config belongs to no application" } else { "has no equal" };
        notes.add(format!("/{}", crate::json::pointer_segment(key)), format!("{why}; it is left out"));
    }
    if native::native_name(&config.name) != config.name {
        notes.add(
            "/name",
            format!("`{}` is not a native config name; it is `{}` now", shown(&config.name), native::native_name(&config.name)),
        );
    }
    for key in config.judge.judge_configurations.keys().filter(|key| !matches!(key.as_str(), "haldane" | "judge")) {
        notes.add(format!("/judge/judgeConfigurations/{}", crate::json::pointer_segment(key)), "has no equal; it is left out");
    }
    for (i, metric) in config.document()["metrics"].as_array().into_iter().flatten().enumerate() {
        for key in metric.as_object().into_iter().flat_map(Map::keys).filter(|key| !CARRIED_OF_METRIC.contains(&key.as_str())) {
            notes.add(format!("/metrics/{i}/{}", crate::json::pointer_segment(key)), "has no equal; it is left out");
        }
    }
    let scopes: BTreeSet<&str> = config.metrics.iter().map(|metric| metric.scope_name.as_str()).collect();
    if scopes.len() > 1 {
        let scopes: Vec<String> = scopes.into_iter().map(shown).collect();
        let message =
            format!("the metrics name the scopes {}; a native request has one for each arm, so make a config for each", scopes.join(", "));
        notes.add("/metrics", message);
    }
}

fn note_analysis(metric: &MetricConfig, at: &str, notes: &mut Notes) {
    let analysis = &metric.analysis_configurations.canary;
    let EffectSizeConfig { allowed_increase, allowed_decrease, critical_increase, critical_decrease, .. } = &analysis.effect_size;
    let effect = |name: &str| format!("{at}/effectSize/{name}");
    if analysis.effect_size.measure == Measure::Cles {
        notes.add(effect("measure"), "cles has no equal under this judge; set `tolerance` to the smallest shift worth acting on");
    } else {
        for (name, limit, kept) in
            [("allowedIncrease", allowed_increase, 1.0..f64::INFINITY), ("allowedDecrease", allowed_decrease, 0.0..1.0 + f64::EPSILON)]
        {
            if let Some(limit) = limit.filter(|limit| !kept.contains(limit)) {
                notes.add(effect(name), format!("{limit} has no equal under this judge; it is left out"));
            }
        }
        if let (Some(rise), Some(fall)) = (allowed_increase, allowed_decrease)
            && (rise - 1.0 - (1.0 - fall)).abs() > 1e-9
            && metric_is_either(metric)
        {
            notes.add(effect("allowedDecrease"), "a rise and a fall have one `tolerance` under this judge, the smaller of the two");
        }
    }
    for (name, limit) in [("criticalIncrease", critical_increase), ("criticalDecrease", critical_decrease)] {
        if let Some(limit) = limit {
            notes.add(
                effect(name),
                format!("{limit} has no equal under this judge: a critical metric fails the canary with any regression"),
            );
        }
    }
    if analysis.outliers.strategy == OutlierStrategy::Remove {
        notes.add(format!("{at}/outliers"), "has no equal under this judge, which compares ranks; it is left out");
    }
    if analysis.nan_strategy == NanStrategy::Replace {
        notes.add(
            format!("{at}/nanStrategy"),
            "became `absent_means_zero`, which holds only while another metric shows that the target was up",
        );
    }
}

fn metric_is_either(metric: &MetricConfig) -> bool {
    metric.analysis_configurations.canary.direction == Direction::Either
}

/// The variables that the queries use beside those that are built in.
#[derive(Default, Clone)]
struct Variables {
    declared: BTreeMap<String, Variable>,
    /// The name in Kayenta of each.
    names: BTreeMap<String, String>,
    /// The label whose value `${scope}` is where it stands for label matchers.
    scope_label: Option<String>,
}

impl Variables {
    /// The native name of a variable; declares it.
    fn declare(&mut self, name: &str, default: Option<&str>, at: &str, notes: &mut Notes) -> String {
        if matches!(name, "scope" | "location") {
            if default.is_some() {
                notes.add(at, format!("`${{{name}}}` is built in and takes no default; each request must give it"));
            }
            return name.to_owned();
        }
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut native: String = name.chars().take(60).map(word).collect();
        while BUILT_IN_VARIABLES.contains(&native.as_str())
            || native.is_empty()
            || self.names.get(&native).is_some_and(|other| other != name)
        {
            native.push('_');
        }
        if native != name {
            notes.add(at, format!("the variable `{}` is named `{native}` now", shown(name)));
        }
        let first = self.names.insert(native.clone(), name.to_owned()).is_none();
        let declared = self.declared.entry(native.clone()).or_default();
        if first {
            declared.default = default.map(str::to_owned);
        } else if declared.default.as_deref() != default {
            notes.add(at, format!("`{native}` has another default, or none, elsewhere; a native variable has one, the first"));
        }
        native
    }
}

/// The native text of a metric's query; `None`, with a note, where there is none.
fn native_query(
    config: &CanaryConfig,
    metric: &MetricConfig,
    variables: &mut Variables,
    at: &str,
    notes: &mut Notes,
) -> Result<Option<String>, Refusal> {
    let query = &metric.query;
    let at = format!("{at}/query");
    let template = expansion::template(config, metric).map_err(|refusal| refusal.or_at(&at))?;
    let mut declared = variables.clone();
    let text = template.map(|text| native_text(&text, query, &mut declared, &at, notes)).filter(|text| !text.is_empty());
    let text = match (&query.kind, text) {
        (QueryKind::Prometheus, Some(text)) if text.starts_with(prometheus::WHOLE_QUERY) => text.replacen(prometheus::WHOLE_QUERY, "", 1),
        (QueryKind::Prometheus, filter) => {
            let Some(text) = native_selector(metric, filter.as_deref(), &at, notes) else { return Ok(None) };
            text
        }
        (QueryKind::Datadog, Some(text)) => text,
        (QueryKind::Datadog, None) if query.metric_name.is_empty() => {
            notes.add(&at, "has neither a metricName nor a template");
            return Ok(None);
        }
        (QueryKind::Datadog, None) => format!("{}{{${{scope}}}}", literal(&query.metric_name)),
        (other, _) => {
            notes.add(format!("{at}/type"), format!("`{}` is not converted; write the query for your metric store", shown(other.as_str())));
            return Ok(None);
        }
    };
    if text.trim().is_empty() {
        notes.add(&at, "the query is empty");
        return Ok(None);
    }
    if query.kind == QueryKind::Prometheus {
        match variables_of(&text) {
            Err(error) => {
                let remedy = if declared.scope_label.is_none() && names_scope_as_matchers(&text) {
                    "; where `${scope}` stands for label matchers, say by `--scope-label` whose value it is"
                } else {
                    ""
                };
                notes.add(&at, format!("{error}{remedy}; the query was `{text}`"));
                return Ok(None);
            }
            Ok(_) if matches_by_variable(&text) => {
                let message = "native queries escape a variable's value in a regular expression; where requests gave a pattern as the \
                               scope, write the pattern into the query";
                notes.add("/metrics", message);
            }
            Ok(_) => {}
        }
    }
    *variables = declared;
    Ok(Some(text.trim().to_owned()))
}

/// Whether `${scope}` stands in the braces of a selector and outside of quotes.
fn names_scope_as_matchers(text: &str) -> bool {
    text.match_indices("${scope}").filter_map(|(at, _)| text.get(..at)).any(|before| {
        let mut scanner = Scanner::default();
        scanner.read(before);
        scanner.lexis() == Lexis::Code && scanner.in_braces()
    })
}

/// Whether a variable stands in a regular expression.
fn matches_by_variable(text: &str) -> bool {
    let patterns = text.split("=~").chain(text.split("!~")).map(str::trim_start);
    let mut quoted = patterns.filter_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\'' | '`'))?;
        rest.split(quote).nth(1)
    });
    quoted.any(|pattern| pattern.contains("${"))
}

/// A template's text with native variables. Where a variable cannot stand in PromQL, its default is written in.
fn native_text(text: &str, query: &QueryConfig, variables: &mut Variables, at: &str, notes: &mut Notes) -> String {
    let mut native = String::new();
    let mut scanner = Scanner::default();
    for token in tokens(text) {
        match token {
            Token::Fixed(fixed) => {
                scanner.read(fixed);
                native.push_str(&literal(fixed));
            }
            Token::Variable { name, default } => {
                let own = Some(query.resource_type.as_str()).filter(|own| name == "resourceType" && !own.is_empty());
                match own.or(default) {
                    Some(default) if query.kind == QueryKind::Prometheus && scanner.lexis() == Lexis::Code => {
                        let message = format!(
                            "`${{{}}}` stands outside of quotes, where no variable may; `{}` is written in",
                            shown(name),
                            shown(default)
                        );
                        notes.add(at, message);
                        scanner.read(default);
                        native.push_str(&literal(default));
                    }
                    None if name == "scope"
                        && query.kind == QueryKind::Prometheus
                        && scanner.lexis() == Lexis::Code
                        && (!text.starts_with(prometheus::WHOLE_QUERY) || scanner.in_braces())
                        && variables.scope_label.is_some() =>
                    {
                        let label = variables.scope_label.clone().unwrap_or_default();
                        let message = format!(
                            "`${{scope}}` stood for label matchers; it is the value of the label `{label}` now, and requests must give that value \
                             alone"
                        );
                        notes.add("/metrics", message);
                        native.push_str(&format!("{label}=\"${{scope}}\""));
                    }
                    default => {
                        let name = variables.declare(name, default, at, notes);
                        native.push_str(&format!("${{{name}}}"));
                    }
                }
            }
        }
    }
    native
}

/// Text that is no variable, as a native template writes it.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// The selector that Kayenta makes of a metric's name, label matchers and grouping.
fn native_selector(metric: &MetricConfig, filter: Option<&str>, at: &str, notes: &mut Notes) -> Option<String> {
    let query = &metric.query;
    if query.metric_name.is_empty() {
        notes.add(at, "has neither a metricName nor a template that starts with `PromQL:`");
        return None;
    }
    let bindings = query.label_bindings.iter().map(|binding| literal(binding));
    let filters: Vec<String> = match (filter, query.resource_type.as_str()) {
        (Some(filter), _) => std::iter::once(filter.trim_end_matches(',').to_owned()).filter(|f| !f.is_empty()).chain(bindings).collect(),
        (None, kind @ ("gce_instance" | "aws_ec2_instance")) => {
            if kind == "gce_instance" {
                notes
                    .add(format!("{at}/resourceType"), "a project given as scope parameter is not selected by; add it to the zone matcher");
            }
            bindings.chain(prometheus::resource_matchers(kind, "${scope}", "${location}", "")).collect()
        }
        (None, other) => {
            let message = format!("`{}` does not say how to select a scope; write the query", shown(other));
            notes.add(format!("{at}/resourceType"), message);
            return None;
        }
    };
    if !query.group_by_fields.is_empty() {
        let message = "a native metric is one series an arm: name the label that tells instances apart as `per_instance`, or make a metric \
                       for each value";
        notes.add(format!("{at}/groupByFields"), message);
    }
    Some(prometheus::assembled(metric, &filters))
}

fn header(name: &str, notes: &[String]) -> String {
    let mut header = format!("# Converted from Kayenta's canary config `{}`.\n", shown(name));
    if !notes.is_empty() {
        header.push_str("#\n# What has no equal, by its place in Kayenta's document:\n");
    }
    for note in notes {
        let note: String = note.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let options = textwrap::Options::new(COMMENT_WIDTH).initial_indent("# - ").subsequent_indent("#   ");
        header.push_str(&textwrap::fill(&note, options));
        header.push('\n');
    }
    header
}

/// The config as YAML a person would write: in reading order, without what is the default anyway.
fn body(config: &CheckedConfig) -> Result<String, Refusal> {
    let unwritable = |error: &dyn std::fmt::Display| Refusal::invalid(format!("the config cannot be written: {error}"));
    let mut document = serde_json::to_value(config).map_err(|error| unwritable(&error))?;
    let defaults = |document: Value| {
        let config: haldane_judges::CanaryConfig = document::read(document).map_err(|error| unwritable(&error))?;
        serde_json::to_value(config).map_err(|error| unwritable(&error))
    };
    let usual = defaults(json!({ "name": "", "metrics": [{ "name": "" }] }))?;
    let rules = serde_json::to_value(Rules::default()).map_err(|error| unwritable(&error))?;
    for metric in document["metrics"].as_array_mut().into_iter().flatten() {
        prune(metric, &usual["metrics"][0]);
        if let Some(aca) = metric.get_mut("aca") {
            prune(aca, &rules);
            for part in ["outliers", "effect_size"] {
                if let Some(part_of) = aca.get_mut(part) {
                    prune(part_of, &rules[part]);
                }
            }
        }
    }
    let always = ["judge", "thresholds"].map(|key| (key, document[key].clone()));
    prune(&mut document, &usual);
    for (key, value) in always {
        document[key] = value;
    }
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX, compact_list_indent: false };
    serde_saphyr::to_string_with_options(&ReadingOrder(&document), options).map_err(|error| unwritable(&error))
}

/// Takes out of an object what is the same in `usual`.
fn prune(value: &mut Value, usual: &Value) {
    if let Value::Object(fields) = value {
        fields.retain(|key, value| usual.get(key) != Some(value));
    }
}

/// Order of the keys; others follow by name.
const ORDER: [&str; 24] = [
    "name",
    "description",
    "judge",
    "fail_on",
    "thresholds",
    "groups",
    "min_observation",
    "warmup",
    "variables",
    "metrics",
    "kind",
    "unit",
    "direction",
    "critical",
    "muted",
    "optional",
    "absent_means_zero",
    "min_points",
    "detectable",
    "tolerance",
    "limits",
    "aca",
    "default",
    "queries",
];

/// A document in reading order, whole numbers without a fraction.
struct ReadingOrder<'a>(&'a Value);

impl Serialize for ReadingOrder<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len()));
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, &ReadingOrder(value))?;
                }
                map.end()
            }
            Value::Array(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&ReadingOrder(item))?;
                }
                list.end()
            }
            Value::Number(number) => match number.as_f64() {
                Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => serializer.serialize_i64(float as i64),
                _ => number.serialize(serializer),
            },
            other => other.serialize(serializer),
        }
    }
}
