//! Kayenta's canary config: the document as it was sent, and what is read of it.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::JudgeName;
use haldane_judges::aca::{Measure, NanStrategy, OutlierStrategy};
use haldane_judges::config::{Direction, MAX_CONFIG_BYTES, MAX_METRICS, MAX_QUERY_BYTES};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::kayenta::wire::lenient;
use crate::kayenta::wire::refusal::{Refusal, shown};
use crate::kayenta::wire::values::{number as number_text, read_number, without_nulls};

/// The types of queries that Kayenta knows; a config with another cannot be stored there.
const QUERY_TYPES: [&str; 9] =
    ["prometheus", "datadog", "stackdriver", "newrelic", "signalfx", "influxdb", "graphite", "wavefront", "atlas"];

/// A canary config in Kayenta's JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct CanaryConfig {
    document: Value,
    view: ConfigFields,
}

/// What is read of a config; the rest is kept in the document alone.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ConfigFields {
    /// Its id in the config store.
    #[serde(deserialize_with = "lenient::text")]
    pub id: String,
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "lenient::text")]
    pub description: String,
    /// The applications that it belongs to.
    #[serde(deserialize_with = "lenient::texts")]
    pub applications: Vec<String>,
    /// When it was made, in milliseconds since 1970.
    #[serde(deserialize_with = "lenient::optional_whole")]
    pub created_timestamp: Option<i64>,
    /// When it was last changed, likewise.
    #[serde(deserialize_with = "lenient::optional_whole")]
    pub updated_timestamp: Option<i64>,
    /// Which judge decides.
    #[serde(deserialize_with = "lenient::object")]
    pub judge: JudgeConfig,
    /// What is judged.
    #[serde(deserialize_with = "lenient::objects")]
    pub metrics: Vec<MetricConfig>,
    /// Texts that queries refer to by name.
    #[serde(deserialize_with = "lenient::text_map")]
    pub templates: BTreeMap<String, String>,
    /// How the score is made.
    #[serde(deserialize_with = "lenient::optional_object")]
    pub classifier: Option<Classifier>,
}

/// Which judge decides.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JudgeConfig {
    /// Its name; empty means the first one there is.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// Free space; see `translate` for what is read of it.
    pub judge_configurations: Map<String, Value>,
}

/// How the score is made.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Classifier {
    /// Weight of each metric group.
    #[serde(deserialize_with = "lenient::number_map")]
    pub group_weights: BTreeMap<String, f64>,
    /// What a user interface proposes; a run takes the request's.
    #[serde(deserialize_with = "lenient::optional_object")]
    pub score_thresholds: Option<ScoreThresholds>,
}

/// Score limits.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct ScoreThresholds {
    /// A score of at least this passes.
    #[serde(deserialize_with = "lenient::number")]
    pub pass: f64,
    /// A score of at least this is marginal.
    #[serde(deserialize_with = "lenient::number")]
    pub marginal: f64,
}

/// One metric.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricConfig {
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// What to ask the metric store.
    #[serde(deserialize_with = "lenient::object")]
    pub query: QueryConfig,
    /// The groups that it counts in.
    #[serde(deserialize_with = "lenient::texts")]
    pub groups: Vec<String>,
    /// How it is judged, below `canary`.
    #[serde(deserialize_with = "lenient::object")]
    pub analysis_configurations: AnalysisConfigurations,
    /// Which of the request's scopes it is asked for.
    #[serde(deserialize_with = "lenient::text")]
    pub scope_name: String,
}

/// How a metric is judged, by kind of analysis.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AnalysisConfigurations {
    /// The only kind there is.
    #[serde(deserialize_with = "lenient::object")]
    pub canary: Analysis,
}

/// How a metric is judged. Here Kayenta itself takes no text for a boolean or a number.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Analysis {
    /// `increase`, `decrease`, and `either` for any other text.
    #[serde(deserialize_with = "direction")]
    pub direction: Direction,
    /// `replace`, and `remove` for any other text.
    #[serde(deserialize_with = "nan_strategy")]
    pub nan_strategy: NanStrategy,
    /// Whether a finding fails the canary.
    pub critical: bool,
    /// Whether having no data is a failure.
    pub must_have_data: bool,
    /// Whether it has no effect on the score.
    pub muted: bool,
    /// What is done with outliers.
    #[serde(deserialize_with = "lenient::object")]
    pub outliers: OutlierConfig,
    /// How large a shift must be.
    #[serde(deserialize_with = "lenient::object")]
    pub effect_size: EffectSizeConfig,
}

/// What is done with outliers.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutlierConfig {
    /// `remove`, and `keep` for any other text.
    #[serde(deserialize_with = "outlier_strategy")]
    pub strategy: OutlierStrategy,
    /// How far out a value must lie, in interquartile ranges.
    pub outlier_factor: Option<f64>,
}

/// How large a shift must be.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EffectSizeConfig {
    /// `cles`, and `meanRatio` for any other text.
    #[serde(deserialize_with = "measure")]
    pub measure: Measure,
    /// A rise must reach this.
    pub allowed_increase: Option<f64>,
    /// A fall must reach this.
    pub allowed_decrease: Option<f64>,
    /// A rise that fails the canary must reach this.
    pub critical_increase: Option<f64>,
    /// A fall that fails the canary must reach this.
    pub critical_decrease: Option<f64>,
}

fn direction<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Direction, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "increase" => Direction::Increase,
        "decrease" => Direction::Decrease,
        _ => Direction::Either,
    })
}

fn nan_strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NanStrategy, D::Error> {
    Ok(if String::deserialize(deserializer)? == "replace" { NanStrategy::Replace } else { NanStrategy::Remove })
}

fn outlier_strategy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OutlierStrategy, D::Error> {
    Ok(if String::deserialize(deserializer)? == "remove" { OutlierStrategy::Remove } else { OutlierStrategy::Keep })
}

fn measure<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Measure, D::Error> {
    Ok(if String::deserialize(deserializer)? == "cles" { Measure::Cles } else { Measure::MeanRatio })
}

/// Which kind of store a query is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub enum QueryKind {
    /// PromQL.
    Prometheus,
    /// Datadog's metric queries.
    Datadog,
    /// One that is not read here; empty where none is given.
    Other(String),
}

impl From<String> for QueryKind {
    fn from(name: String) -> Self {
        match name.as_str() {
            "prometheus" => Self::Prometheus,
            "datadog" => Self::Datadog,
            _ => Self::Other(name),
        }
    }
}

impl Default for QueryKind {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl QueryKind {
    /// Kayenta's name of it, which is also that of the account's type.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Datadog => "datadog",
            Self::Other(name) => name,
        }
    }

    /// Why a query of this kind is not built.
    pub(crate) fn refusal(&self) -> Refusal {
        let name = self.as_str();
        let given = if name.is_empty() { "no query.type is given".to_owned() } else { format!("query.type is `{}`", shown(name)) };
        Refusal::invalid(format!("{given}; the types read here are prometheus and datadog"))
    }
}

impl std::fmt::Display for QueryKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to ask the metric store; which fields are used depends on `kind`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueryConfig {
    /// Which kind of store speaks it.
    #[serde(rename = "type")]
    pub kind: QueryKind,
    /// The metric's name in the store.
    #[serde(deserialize_with = "lenient::text")]
    pub metric_name: String,
    /// What the metric is about, such as `gce_instance`.
    #[serde(deserialize_with = "lenient::text")]
    pub resource_type: String,
    /// Label matchers.
    #[serde(deserialize_with = "lenient::texts")]
    pub label_bindings: Vec<String>,
    /// Labels that tell several series apart.
    #[serde(deserialize_with = "lenient::texts")]
    pub group_by_fields: Vec<String>,
    /// A query's text.
    #[serde(deserialize_with = "lenient::text")]
    pub custom_inline_template: String,
    /// The same by the name that Kayenta's newer documentation has for it; this one wins.
    #[serde(deserialize_with = "lenient::text")]
    pub template: String,
    /// The name of a query's text among the config's templates.
    #[serde(deserialize_with = "lenient::text")]
    pub custom_filter_template: String,
    /// ErrorReply wherever it is given.
    #[serde(deserialize_with = "lenient::optional_text")]
    pub custom_filter: Option<String>,
}

impl std::ops::Deref for CanaryConfig {
    type Target = ConfigFields;
    fn deref(&self) -> &ConfigFields {
        &self.view
    }
}

impl CanaryConfig {
    /// Reads JSON text.
    ///
    /// # Errors
    /// [`Refusal`] for a text that is too long, not JSON, or of another shape.
    pub fn from_json(text: &[u8]) -> Result<Self, Refusal> {
        check_length(text.len())?;
        let document =
            serde_json::from_slice(crate::json::without_mark(text)).map_err(|error| Refusal::at("", format!("is not JSON: {error}")))?;
        Self::from_value(document)
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Refusal`] for one that is too large, or of another shape.
    pub fn from_value(document: Value) -> Result<Self, Refusal> {
        if !document.is_object() {
            return Err(Refusal::at("", "a canary config is an object with `name` and `metrics`"));
        }
        check_length(serde_json::to_vec(&document).map_or(0, |text| text.len()))?;
        let view: ConfigFields = lenient::read(&document)?;
        if view.metrics.len() > MAX_METRICS {
            let message = format!("{} metrics are more than the {MAX_METRICS} a config may have; split it", view.metrics.len());
            return Err(Refusal::at("/metrics", message));
        }
        for (pointer, text) in view.templates() {
            if text.len() > MAX_QUERY_BYTES {
                let message = format!("{} bytes are more than the {MAX_QUERY_BYTES} a query may have; record it as a rule", text.len());
                return Err(Refusal::at(pointer, message));
            }
        }
        Ok(Self { document, view })
    }

    /// The document as it was sent, unknown keys and all.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The document as Kayenta gives it out: absent parts filled in, weights and thresholds as numbers with a point.
    #[must_use]
    pub fn shown(&self) -> Value {
        let mut document = without_nulls(self.document.clone());
        let Some(fields) = document.as_object_mut() else { return document };
        fill(fields, &["applications", "metrics"], &["templates"]);
        if let Some(judge) = fields.get_mut("judge").and_then(Value::as_object_mut) {
            fill(judge, &[], &["judgeConfigurations"]);
        }
        if let Some(classifier) = fields.get_mut("classifier").and_then(Value::as_object_mut) {
            fill(classifier, &[], &["groupWeights"]);
            for numbers in ["groupWeights", "scoreThresholds"] {
                let numbers = classifier.get_mut(numbers).and_then(Value::as_object_mut);
                for value in numbers.into_iter().flat_map(Map::values_mut) {
                    if let Some(number) = read_number(value) {
                        *value = number_text(number);
                    }
                }
            }
        }
        for metric in fields.get_mut("metrics").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut) {
            fill(metric, &["groups"], &["analysisConfigurations"]);
            if let Some(query) = metric.get_mut("query").and_then(Value::as_object_mut)
                && let Some(kind) = query.get("type").cloned()
            {
                query.entry("serviceType").or_insert(kind);
            }
        }
        document
    }

    /// The same as Kayenta shows it with an execution, `${` of templates written `$\{`, and a classifier in any case.
    #[must_use]
    pub fn shown_with_execution(&self) -> Value {
        let mut document = self.shown();
        let Some(fields) = document.as_object_mut() else { return document };
        let classifier = fields.entry("classifier").or_insert_with(|| Value::Object(Map::new()));
        if let Some(classifier) = classifier.as_object_mut() {
            fill(classifier, &[], &["groupWeights"]);
        }
        let escape = |text: &mut Value| {
            if let Value::String(text) = text {
                *text = text.replace("${", "$\\{");
            }
        };
        if let Some(templates) = fields.get_mut("templates").and_then(Value::as_object_mut) {
            templates.values_mut().for_each(escape);
        }
        for metric in fields.get_mut("metrics").and_then(Value::as_array_mut).into_iter().flatten() {
            for name in ["customInlineTemplate", "template"] {
                if let Some(text) = metric.get_mut("query").and_then(|query| query.get_mut(name)) {
                    escape(text);
                }
            }
        }
        document
    }

    /// The same config for another judge.
    ///
    /// # Errors
    /// [`Refusal`] as [`CanaryConfig::from_value`] has it.
    pub(crate) fn judged_by(&self, judge: JudgeName) -> Result<Self, Refusal> {
        let mut document = self.document.clone();
        document["judge"] = serde_json::json!({ "name": judge.as_str(), "judgeConfigurations": {} });
        Self::from_value(document)
    }

    /// Checks what Kayenta checks before it stores a config, in its order.
    ///
    /// # Errors
    /// [`Refusal`] with the first rule that is broken.
    pub fn check_for_storage(&self) -> Result<(), Refusal> {
        for (i, metric) in self.document["metrics"].as_array().into_iter().flatten().enumerate() {
            let Some(query) = metric.get("query").and_then(Value::as_object) else { continue };
            let kind = query.get("type").and_then(Value::as_str).unwrap_or_default();
            if !QUERY_TYPES.contains(&kind) {
                let given = if kind.is_empty() { "is missing".to_owned() } else { format!("`{}` is no type of query", shown(kind)) };
                let message = format!("{given}; Kayenta's are {}", QUERY_TYPES.join(", "));
                return Err(Refusal::at(format!("/metrics/{i}/query/type"), message));
            }
        }
        if self.name.is_empty() {
            return Err(Refusal::at("/name", "a canary config needs a name; give it one"));
        }
        if self.applications.is_empty() {
            return Err(Refusal::at("/applications", "a canary config belongs to at least one application; name one"));
        }
        // Kayenta's own pattern lets a comma through.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ',');
        if !self.name.chars().all(plain) {
            return Err(Refusal::at(
                "/name",
                format!("`{}` is not a config name; use ASCII letters, digits, `-` and `_`", shown(&self.name)),
            ));
        }
        self.check_metric_names()
    }

    /// Whether every metric has a name of its own.
    ///
    /// # Errors
    /// [`Refusal`] with the first metric that has none, or another's.
    pub(crate) fn check_metric_names(&self) -> Result<(), Refusal> {
        let mut seen = BTreeSet::new();
        for (i, metric) in self.metrics.iter().enumerate() {
            let pointer = format!("/metrics/{i}/name");
            if metric.name.is_empty() {
                return Err(Refusal::at(pointer, "a metric needs a name; give it one"));
            }
            if !seen.insert(&metric.name) {
                return Err(Refusal::at(pointer, format!("`{}` names two metrics; names must be unique", shown(&metric.name))));
            }
        }
        Ok(())
    }
}

impl ConfigFields {
    /// Every text that may become a query, with its pointer.
    fn templates(&self) -> impl Iterator<Item = (String, &str)> {
        let named = self.templates.iter().map(|(name, text)| (format!("/templates/{}", crate::json::pointer_segment(name)), text.as_str()));
        let inline = self.metrics.iter().enumerate().flat_map(|(i, metric)| {
            let at = move |field: &str| format!("/metrics/{i}/query/{field}");
            let query = &metric.query;
            let lists = [("labelBindings", &query.label_bindings), ("groupByFields", &query.group_by_fields)];
            let lists = lists.into_iter().flat_map(move |(field, list)| list.iter().map(move |text| (at(field), text.as_str())));
            let single = [
                ("customInlineTemplate", &query.custom_inline_template),
                ("template", &query.template),
                ("metricName", &query.metric_name),
            ];
            single.into_iter().map(move |(field, text)| (at(field), text.as_str())).chain(lists)
        });
        named.chain(inline)
    }
}

/// Puts empty lists and objects where nothing is.
fn fill(fields: &mut Map<String, Value>, lists: &[&str], objects: &[&str]) {
    for name in lists {
        fields.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
    }
    for name in objects {
        fields.entry(*name).or_insert_with(|| Value::Object(Map::new()));
    }
}

fn check_length(bytes: usize) -> Result<(), Refusal> {
    if bytes > MAX_CONFIG_BYTES {
        return Err(Refusal::at("", format!("{bytes} bytes is longer than a canary config may be ({MAX_CONFIG_BYTES}); split it")));
    }
    Ok(())
}
