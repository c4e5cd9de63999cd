//! A Kayenta config as a native one, for the judge that is to decide.

use std::collections::{BTreeMap, BTreeSet};

use haldane_judges::aca::{EffectSize, Measure, NanStrategy, Outliers, Rules};
use haldane_judges::config::{DEFAULT_GROUP, Direction, Metric, Thresholds};
use haldane_judges::{CheckedConfig, ConfigProblem, JudgeName, document};
use serde_json::{Value, json};

use super::model::{Analysis, CanaryConfig, EffectSizeConfig, ScoreThresholds};
use crate::kayenta::wire::refusal::{Refusal, RefusalKind, shown};

/// The judge that a config names to have another service decide; here it names the judge in its own options.
pub const REMOTE_JUDGE: &str = "RemoteJudge-v1.0";
/// The judge of Kayenta's own samples, whose scores are random.
const RANDOM_JUDGE: &str = "dredd-v1.0";
/// Where a config says what only Haldane's own judges read.
const OPTIONS: &str = "/judge/judgeConfigurations/haldane";

/// By which of Kayenta's addresses a judgement is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `POST /canary`, and a standalone analysis: an empty judge is Kayenta's first one.
    Canary,
    /// `POST /judge`, by which a Kayenta asks: an empty judge is the one in the judge's options.
    RemoteJudge,
}

/// The judge that decides by a config.
///
/// # Errors
/// [`Refusal`] of the kind [`RefusalKind::UnknownJudge`] for a name that no judge has.
pub fn choose_judge(config: &CanaryConfig, surface: Surface) -> Result<JudgeName, Refusal> {
    let name = config.judge.name.as_str();
    let (pointer, name) = if name == REMOTE_JUDGE || (name.is_empty() && surface == Surface::RemoteJudge) {
        let inner = match config.judge.judge_configurations.get("judge") {
            None => "",
            Some(Value::String(inner)) => inner,
            Some(other) => {
                let message = format!("{} is not the name of a judge; give a text", shown(&other.to_string()));
                return Err(Refusal::at("/judge/judgeConfigurations/judge", message));
            }
        };
        ("/judge/judgeConfigurations/judge", if inner.is_empty() { JudgeName::HaldaneV1.as_str() } else { inner })
    } else if name.is_empty() {
        ("/judge/name", JudgeName::NetflixAca.as_str())
    } else {
        ("/judge/name", name)
    };
    name.parse().map_err(|unknown: haldane_judges::UnknownJudge| {
        let remedy = if name == RANDOM_JUDGE {
            format!("; Kayenta's judge of that name draws lots, for trying Kayenta out: write {} instead", JudgeName::NetflixAca)
        } else {
            String::new()
        };
        Refusal::at(pointer, format!("{unknown}{remedy}")).of_kind(RefusalKind::UnknownJudge)
    })
}

/// The native config that judges as this one does, without its queries.
///
/// # Errors
/// [`Refusal`] with every rule of the judge that the config breaks, by pointers into Kayenta's documents.
pub fn native_config(config: &CanaryConfig, thresholds: ScoreThresholds, judge: JudgeName) -> Result<CheckedConfig, Refusal> {
    let mut native: haldane_judges::CanaryConfig = document::read(json!({
        "name": native_name(&config.name),
        "description": config.description,
        "judge": judge.as_str(),
        "metrics": [],
    }))
    .map_err(|problem| Refusal::invalid(problem.to_string()))?;
    native.thresholds = Thresholds { marginal: thresholds.marginal, pass: thresholds.pass };
    native.groups = group_weights(config, judge);
    for metric in &config.metrics {
        let mut translated: Metric =
            document::read(json!({ "name": metric.name })).map_err(|problem| Refusal::invalid(problem.to_string()))?;
        translated.groups.clone_from(&metric.groups);
        translate_analysis(&metric.analysis_configurations.canary, judge, &mut translated);
        native.metrics.push(translated);
    }
    let document = serde_json::to_value(&native).map_err(|error| Refusal::invalid(error.to_string()))?;
    let checked = native.check().map_err(|invalid| refused(invalid.problems, in_kayentas_words))?;
    if judge == JudgeName::NetflixAca {
        return Ok(checked);
    }
    match config.judge.judge_configurations.get("haldane") {
        None => Ok(checked),
        Some(options) => with_options(config, document, options),
    }
}

fn refused(problems: Vec<ConfigProblem>, pointer: impl Fn(&str) -> String) -> Refusal {
    let refusals = problems.into_iter().map(|problem| Refusal::at(pointer(&problem.pointer), problem.message));
    Refusal::of_all(refusals).unwrap_or_else(|| Refusal::invalid("the config cannot be used"))
}

/// A native pointer, as a pointer into what Kayenta's client sent.
fn in_kayentas_words(pointer: &str) -> String {
    if let Some(rest) = pointer.strip_prefix("/groups") {
        return format!("/classifier/groupWeights{rest}");
    }
    let analysis = |name: &str| format!("/analysisConfigurations/canary/{name}");
    pointer
        .replace("/tolerance/relative", &analysis("effectSize"))
        .replace("/aca/outliers/factor", &analysis("outliers/outlierFactor"))
        .replace("/aca/effect_size", &analysis("effectSize"))
}

/// A name that a native config may have.
pub(crate) fn native_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().take(100).map(plain).collect();
    if name.is_empty() { "kayenta".to_owned() } else { name }
}

/// Kayenta's judge has its own rule for groups without a weight; the others are told it as numbers.
fn group_weights(config: &CanaryConfig, judge: JudgeName) -> BTreeMap<String, f64> {
    let mut weights = config.classifier.as_ref().map(|classifier| classifier.group_weights.clone()).unwrap_or_default();
    let used: BTreeSet<&String> = config.metrics.iter().flat_map(|metric| &metric.groups).collect();
    if judge == JudgeName::NetflixAca || used.is_empty() {
        return weights;
    }
    let unweighted: Vec<&String> = used.into_iter().filter(|group| !weights.contains_key(*group)).collect();
    let share = ((100.0 - weights.values().sum::<f64>()) / unweighted.len() as f64).max(0.0);
    weights.extend(unweighted.into_iter().map(|group| (group.clone(), share)));
    if config.metrics.iter().any(|metric| metric.groups.is_empty()) {
        // A metric without a group is not scored.
        weights.entry(DEFAULT_GROUP.to_owned()).or_insert(0.0);
    }
    weights
}

fn translate_analysis(analysis: &Analysis, judge: JudgeName, metric: &mut Metric) {
    metric.direction = analysis.direction;
    metric.critical = analysis.critical;
    metric.muted = analysis.muted;
    if judge == JudgeName::NetflixAca {
        metric.aca = Some(rules(analysis)).filter(|rules| *rules != Rules::default());
        return;
    }
    metric.absent_means_zero = analysis.nan_strategy == NanStrategy::Replace;
    metric.optional = !analysis.must_have_data && !analysis.critical;
    metric.tolerance.relative = relative_tolerance(&analysis.effect_size, metric.direction);
}

fn rules(analysis: &Analysis) -> Rules {
    let effect = &analysis.effect_size;
    let outliers = Outliers::default();
    Rules {
        nan_strategy: analysis.nan_strategy,
        must_have_data: analysis.must_have_data,
        outliers: Outliers { strategy: analysis.outliers.strategy, factor: analysis.outliers.outlier_factor.unwrap_or(outliers.factor) },
        effect_size: EffectSize {
            measure: effect.measure,
            allowed_increase: effect.allowed_increase,
            allowed_decrease: effect.allowed_decrease,
            critical_increase: effect.critical_increase,
            critical_decrease: effect.critical_decrease,
        },
    }
}

/// The shift that Kayenta's limits on the ratio of the means let pass, as a fraction of the baseline's level.
fn relative_tolerance(effect: &EffectSizeConfig, direction: Direction) -> Option<f64> {
    if effect.measure == Measure::Cles {
        return None;
    }
    let rise = effect.allowed_increase.filter(|limit| *limit > 1.0).map(|limit| limit - 1.0);
    let fall = effect.allowed_decrease.filter(|limit| (0.0..1.0).contains(limit)).map(|limit| 1.0 - limit);
    let shift = match direction {
        Direction::Increase => rise,
        Direction::Decrease => fall,
        Direction::Either => rise.into_iter().chain(fall).reduce(f64::min),
    };
    // 1.1 - 1.0 is not quite 0.1, and a person reads it.
    shift.map(|shift| (shift * 1e12).round() / 1e12)
}

/// What a config may set for Haldane's own judges.
const SETTABLE: [&str; 5] = ["fail_on", "min_observation", "warmup", "mode", "metrics"];
/// What of a metric follows from Kayenta's own fields, and is not set again.
const TAKEN: [&str; 5] = ["name", "queries", "aca", "groups", "per_instance"];

/// The native document with the config's options for Haldane's own judges over it.
fn with_options(config: &CanaryConfig, mut document: Value, options: &Value) -> Result<CheckedConfig, Refusal> {
    let Value::Object(options) = options else {
        return Err(Refusal::at(OPTIONS, format!("is an object with {}", SETTABLE.join(", "))));
    };
    for (key, value) in options {
        if !SETTABLE.contains(&key.as_str()) {
            let message = format!("is not an option; the options are {}", SETTABLE.join(", "));
            return Err(Refusal::at(format!("{OPTIONS}/{}", crate::json::pointer_segment(key)), message));
        }
        if key != "metrics" {
            document[key.as_str()] = value.clone();
            continue;
        }
        let Value::Object(metrics) = value else {
            return Err(Refusal::at(format!("{OPTIONS}/metrics"), "is an object of metric names"));
        };
        for (name, fields) in metrics {
            let pointer = format!("{OPTIONS}/metrics/{}", crate::json::pointer_segment(name));
            let Some(i) = config.metrics.iter().position(|metric| metric.name == *name) else {
                return Err(Refusal::at(pointer, "names no metric of this config"));
            };
            let Value::Object(fields) = fields else {
                return Err(Refusal::at(pointer, "is an object of the metric's fields, such as `tolerance` and `limits`"));
            };
            if let Some(taken) = fields.keys().find(|field| TAKEN.contains(&field.as_str())) {
                return Err(Refusal::at(format!("{pointer}/{taken}"), "follows from the metric itself and cannot be set here"));
            }
            for (field, value) in fields {
                merge(&mut document["metrics"][i][field.as_str()], value);
            }
        }
    }
    let below_options = |pointer: &str| {
        let rest = pointer.strip_prefix("/metrics/").map(|rest| rest.split_once('/').unwrap_or((rest, "")));
        match rest.and_then(|(i, field)| Some((config.metrics.get(i.parse::<usize>().ok()?)?, field))) {
            Some((metric, field)) => format!("{OPTIONS}/metrics/{}/{field}", crate::json::pointer_segment(&metric.name)),
            None => format!("{OPTIONS}{pointer}"),
        }
    };
    CheckedConfig::from_value(document).map_err(|invalid| refused(invalid.problems, below_options))
}

/// Puts `value` over `target`, field by field where both are objects.
fn merge(target: &mut Value, value: &Value) {
    match (target, value) {
        (Value::Object(target), Value::Object(fields)) => {
            for (field, value) in fields {
                merge(target.entry(field).or_insert(Value::Null), value);
            }
        }
        (target, value) => *target = value.clone(),
    }
}
