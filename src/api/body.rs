//! The body of `POST /v1/judgements`, and its translation into an [`analysis::Request`](crate::analysis::Request).

use std::collections::BTreeMap;
use std::str::FromStr;

use haldane_judges::config::{JudgingMode, Thresholds};
use haldane_judges::evidence::{Looks, Spacing};
use haldane_judges::{CanaryConfig, InvalidConfig, JudgeName, Period, document};
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::problem::Problem;
use crate::analysis::{ArmSamples, BucketSamples, EarlierSamples, Labels, MetricSamples, Request, Scope};
use crate::json::pointer_segment;
use crate::settings::{BodyLimits, ConfigStore};
use crate::source::Window;
use crate::source::cache::Source;
use crate::source::sources::Sources;

/// Step of windows that need no larger one.
const DEFAULT_STEP: i64 = 60;
/// Longest window that is read with [`DEFAULT_STEP`].
const DEFAULT_STEP_UP_TO: i64 = 12 * 3600;
/// Most points of a window whose step was not given.
const POINTS_OF_A_FITTED_STEP: i64 = 720;
/// Points that a window which lies across its grid, or is given with both ends, may have more than it has whole steps.
const ENDS_OF_A_WINDOW: usize = 1;
const MINUTES_OF_A_DAY: i64 = 24 * 60;
/// Most looks of one plan.
const MOST_LOOKS: u32 = 100;
/// Most steps of a ramp.
const MOST_STEPS: usize = 20;
/// How far ahead of ours the caller's clock may be.
const CLOCK_SKEW: i64 = 5;

/// What to judge.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgementBody {
    /// Name of a canary config on offer (see `/v1/configs`), or a config itself.
    #[schemars(schema_with = "config_schema")]
    config: Value,
    /// Judge that decides, instead of the config's: `haldane-v1`, `threshold-v1` or `NetflixACAJudge-v1.0`.
    #[serde(default)]
    judge: Option<String>,
    /// Source to read from. Left out: the only one there is.
    #[serde(default)]
    source: Option<String>,
    /// What selects the baseline.
    #[serde(default)]
    baseline: BaselineBody,
    /// What selects the canary.
    #[serde(default)]
    canary: CanaryBody,
    /// The time to judge. May be left out only where every metric carries its samples.
    #[serde(default)]
    window: Option<WindowBody>,
    /// Score limits, instead of the config's.
    #[serde(default)]
    thresholds: Option<Thresholds>,
    /// Share of the arms' traffic that goes to the canary, above 0 and below 1.
    #[serde(default)]
    canary_share: Option<f64>,
    /// When you mean to end the observation (RFC 3339). The canary may then be judged again and again while it grows: each judgement
    /// before that time is one look of a plan, whose looks lie `min_observation` apart (at least a step, and at most 100 of them), and may
    /// fail but not pass. A judgement after it with a longer window is the last look of a longer plan.
    #[serde(default)]
    planned_end: Option<Time>,
    /// When the canary's version was released (RFC 3339): what its scope did until then says what healthy looks like. Default: the start of
    /// the window, where that is given. A window that is given by its duration alone slides, and the past of its canary is then left
    /// out, since it may be that of the version that is judged.
    #[serde(default)]
    released_at: Option<Time>,
    /// Which look of a plan this is, instead of what follows from `planned_end`.
    #[serde(default)]
    looks: Option<LooksBody>,
    /// Whether a canary that nothing speaks against passes before the last look, once `min_observation` is over. For orchestrators that
    /// stop at the first answer that is not a pass; a regression that shows late is then not waited for.
    #[serde(default)]
    early_pass: bool,
    /// Shares of the traffic that the canary is to receive one after the other, such as `[0.01, 0.05, 0.25, 0.5, 1]`: above 0, at most 1,
    /// rising, at most 20. The recommendation then names the next step above `canary_share`.
    #[serde(default)]
    ramp: Vec<f64>,
    /// `advisory`: everything is judged and reported, and the answer is a pass that says which verdict it would have been. `gate`: the
    /// verdict decides, whatever the config says.
    #[serde(default)]
    mode: Option<JudgingMode>,
    /// What to write on the scorecard, such as `{"service": "checkout", "version": "1.4.2", "build": "https://ci.example/7"}`: at most 32, with
    /// names of letters, digits and `._/-`, and values of up to 512 bytes. They decide nothing; lists can be filtered by them.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Samples by metric name; these metrics are not fetched.
    #[serde(default)]
    samples: BTreeMap<String, SamplesBody>,
}

/// One look of a plan of repeated judgements.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LooksBody {
    /// Which judgement of the plan this is, from 1.
    #[schemars(range(min = 1, max = 100))]
    look: u32,
    /// Judgements in the plan.
    #[schemars(range(min = 1, max = 100))]
    looks: u32,
    /// The same as `early_pass` beside it.
    #[serde(default)]
    early_pass: bool,
}

/// What selects the baseline in the metric store.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct BaselineBody {
    /// Value of `${scope}` in queries.
    scope: Option<String>,
    /// Value of `${location}` in queries.
    location: Option<String>,
    /// Values of the config's variables.
    variables: BTreeMap<String, String>,
    /// How much earlier the baseline's window lies, such as `1d`, to compare before with after. A multiple of the step.
    offset: Option<Period>,
}

/// What selects the canary in the metric store.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct CanaryBody {
    /// Value of `${scope}` in queries.
    scope: Option<String>,
    /// Value of `${location}` in queries.
    location: Option<String>,
    /// Values of the config's variables.
    variables: BTreeMap<String, String>,
}

/// The time to judge: `start` and `end`, or a `duration` that ends at `end`. Without an `end` the window ends as late as its samples have
/// arrived: `settle` of the source ago, 60 s unless its settings say otherwise.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WindowBody {
    /// Start (RFC 3339); rounded up to a multiple of the step.
    start: Option<Time>,
    /// End (RFC 3339); rounded down to a multiple of the step. Default: `settle` of the source ago, so that every sample has arrived. One
    /// that is younger is judged as it is, with a warning which points may still come or change. A canary that is judged from its `start` on
    /// can therefore first pass at `start` + `min_observation` + `settle` + one step.
    end: Option<Time>,
    /// Length, such as `30m`, instead of `start`.
    duration: Option<Period>,
    /// Distance between points, such as `60s`. Default: the config's; else 60 s up to 12 hours, and then what gives 720 points, or, where
    /// all samples come with the request, as many as they have.
    step: Option<Period>,
}

/// Samples of one metric: for each arm an array of numbers (`null` for a missing point), `{"events": [...], "totals": [...]}` for
/// a ratio, `{"bounds": [...], "counts": [[...], ...]}` for buckets, or `{"instances": {"pod-1": [...]}}`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SamplesBody {
    /// The baseline's points, oldest first.
    #[schemars(schema_with = "arm_schema")]
    baseline: Value,
    /// The canary's points, oldest first.
    #[schemars(schema_with = "arm_schema")]
    canary: Value,
    /// The baseline's points before the window, oldest first and up to where it starts, in the same shape.
    #[serde(default)]
    #[schemars(schema_with = "optional_arm_schema")]
    baseline_history: Option<Value>,
    /// The canary's points before the window, likewise.
    #[serde(default)]
    #[schemars(schema_with = "optional_arm_schema")]
    canary_history: Option<Value>,
    /// The points at the same clock of earlier days, so that what the time of day does is not held against the canary.
    #[serde(default)]
    earlier: Vec<EarlierBody>,
    /// Upper bounds of the histogram buckets that the values are interpolated in, in the metric's unit, finite and rising.
    #[serde(default)]
    bucket_bounds: Vec<f64>,
}

/// The points of a metric some days ago, of either arm or both, in the shape of the window's: as many as the window has, which lie
/// exactly so many days before it, and before them what lay before those.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EarlierBody {
    /// How many days ago; each day once.
    #[schemars(range(min = 1, max = 14))]
    days: u32,
    /// The baseline's points, oldest first.
    #[serde(default)]
    #[schemars(schema_with = "optional_arm_schema")]
    baseline: Option<Value>,
    /// The canary's points, oldest first.
    #[serde(default)]
    #[schemars(schema_with = "optional_arm_schema")]
    canary: Option<Value>,
}

fn config_schema(generator: &mut SchemaGenerator) -> Schema {
    let config = generator.subschema_for::<haldane_judges::CanaryConfig>();
    json_schema!({
        "description": "Name of a canary config on offer (see `/v1/configs`), or a config itself.",
        "anyOf": [{ "type": "string" }, config]
    })
}

fn arm_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<ArmShape>()
}

fn optional_arm_schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Option<ArmShape>>()
}

/// The shapes in which the points of one arm may come; [`InlinePoints::arm`] reads them.
struct ArmShape;

impl JsonSchema for ArmShape {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ArmBody".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The points of one arm, oldest first.",
            "anyOf": [
                generator.subschema_for::<Vec<PointShape>>(),
                generator.subschema_for::<ArmCountsBody>(),
                generator.subschema_for::<BucketSamples>(),
                generator.subschema_for::<ArmInstancesBody>()
            ]
        })
    }
}

/// Events and totals of a ratio.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read value by value")]
struct ArmCountsBody {
    /// Events of each interval.
    events: Vec<PointShape>,
    /// Totals of each interval.
    totals: Vec<PointShape>,
}

/// One vector of points for each instance.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what is read value by value")]
struct ArmInstancesBody {
    /// The points, by the instance's name.
    instances: BTreeMap<String, Vec<PointShape>>,
}

/// One point.
struct PointShape;

impl JsonSchema for PointShape {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Point".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A point: a number, or `null` or `NaN` for a missing one.",
            "anyOf": [{ "type": "number" }, { "type": "string", "enum": ["NaN", "Infinity", "-Infinity"] }, { "type": "null" }]
        })
    }
}

/// A time as callers write it.
#[derive(Debug, Clone, Copy)]
struct Time(Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Timestamp::from_str(&text).map(Self).map_err(|_| {
            let shown: String = text.chars().take(60).collect();
            serde::de::Error::custom(format!("`{shown}` is not a time; write it like `2026-11-21T14:00:00Z`"))
        })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// Translates a body into what is analysed: the config resolved, times absolute and aligned to the step.
///
/// Of the configured stores only `settle` counts here, by which a window without an end lies back; the rest is left to
/// [`Analyst::plan`](crate::analysis::Analyst::plan).
///
/// # Errors
/// A [`Problem`] that points at the offending field.
pub fn translate(body: Value, configs: &ConfigStore, limits: &BodyLimits, sources: &Sources, now: Timestamp) -> Result<Request, Problem> {
    if !body.is_object() {
        return Err(Problem::invalid("", "the body is a JSON object with at least `config`; see /openapi.json for an example"));
    }
    for field in ["baseline", "canary", "window", "thresholds", "samples", "looks"] {
        // serde would take a list for an object, field by field.
        if body.get(field).is_some_and(Value::is_array) {
            return Err(Problem::invalid(format!("/{field}"), "is a list; give an object".to_owned()));
        }
    }
    let mut body: JudgementBody = document::read(body)?;
    let mut config = resolve_config(body.config.take(), configs)?;
    let judge = match &body.judge {
        Some(name) => JudgeName::from_str(name)
            .map_err(|unknown| Problem::unprocessable("unknown-judge", "There is no such judge", "/judge", unknown))?,
        // A checked config's judge exists.
        None => JudgeName::from_str(&config.judge)
            .map_err(|unknown| Problem::unprocessable("unknown-judge", "There is no such judge", "/config/judge", unknown))?,
    };
    // Which rules a config must keep depends on who judges by it.
    judge.as_str().clone_into(&mut config.judge);
    if let Some(thresholds) = body.thresholds.take() {
        thresholds.check().map_err(|problem| problem.below("/thresholds"))?;
        config.thresholds = thresholds;
    }
    if body.mode == Some(JudgingMode::Gate) {
        config.mode = JudgingMode::Gate;
    }
    // Of a config that breaks its rules, that is said first.
    let config_first = |problem| config.clone().check().err().map_or(problem, |invalid| invalid.below("/config").into());
    with_config(body, judge, &config, limits, sources, now).map_err(config_first)
}

fn with_config(
    body: JudgementBody,
    judge: JudgeName,
    config: &CanaryConfig,
    limits: &BodyLimits,
    sources: &Sources,
    now: Timestamp,
) -> Result<Request, Problem> {
    if let Some(share) = body.canary_share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
        return Err(Problem::invalid("/canary_share", format!("{share} is not a share of the traffic; 0.05 sends 5 % to the canary")));
    }
    check_ramp(&body.ramp, body.canary_share)?;
    let stated_look = body.looks.map(|looks| looks.checked(body.early_pass)).transpose()?;
    if body.early_pass && stated_look.is_none() && body.planned_end.is_none() {
        return Err(Problem::invalid("/early_pass", "belongs to a plan of looks; give `planned_end` or `looks` with it"));
    }
    let samples = read_samples(body.samples, config, limits)?;

    let offset = body.baseline.offset.map_or(0, Period::seconds);
    let window_body = body.window.unwrap_or_default();
    let all_inline = config.metrics.iter().all(|metric| samples.contains_key(&metric.name));
    let timeless = window_body.start.is_none() && window_body.end.is_none() && window_body.duration.is_none();
    // How much earlier than the judgement the window ends for its samples to arrive, and a word on that.
    let (mut settling, mut waiting_for) = (0, String::new());
    let (window, step_seconds) = if timeless && all_inline {
        let step = match (window_body.step, config.step) {
            (Some(step), _) => checked_step(step)?,
            (None, Some(step)) => step.seconds(),
            (None, None) => DEFAULT_STEP.unsigned_abs(),
        };
        (None, u32::try_from(step).map_err(|_| Problem::invalid("/window/step", "is too long; give at most `1d`"))?)
    } else {
        // Samples that are given need no time to arrive, and a source that does not exist is refused later.
        let source = sources.choose(body.source.as_deref()).ok().filter(|_| !all_inline);
        let settle = source.map_or(0, Source::settle_seconds);
        settling = if window_body.ends_by_itself() { settle } else { 0 };
        waiting_for = waiting(&window_body, settle);
        let longest = longest(&samples);
        let points = longest.as_ref().map(|(_, points)| *points).filter(|_| all_inline);
        let window = align(&window_body, config.step, points, limits.max_points, settle, now)?;
        if let Some((pointer, points)) = longest
            && points > window.len() + ENDS_OF_A_WINDOW
        {
            return Err(too_many_points(pointer, points, window));
        }
        (Some(window), window.step_seconds)
    };
    let baseline_offset_seconds = u32::try_from(offset).map_err(|_| Problem::invalid("/baseline/offset", "is too long"))?;
    if !baseline_offset_seconds.is_multiple_of(step_seconds) {
        let (offset, step) = (Period::from_seconds(offset), Period::from_seconds(u64::from(step_seconds)));
        let above = Period::from_seconds(u64::from(baseline_offset_seconds).next_multiple_of(u64::from(step_seconds)));
        let detail =
            format!("{offset} is not a multiple of the step ({step}), so the arms' points would not match; give `{above}` or another step");
        return Err(Problem::invalid("/baseline/offset", detail));
    }

    let planned_end = body.planned_end.map(|time| time.0);
    if let Some(end) = planned_end {
        let Some(window) = window else {
            return Err(Problem::invalid("/planned_end", "says until when a window grows; give `window` with its start"));
        };
        if end.as_second() <= window.start {
            return Err(Problem::invalid("/planned_end", format!("{end} is not after the window's start")));
        }
    }
    let stated_start = window_body.start.and(window).map(|window| window.start);
    let released_at = match body.released_at {
        Some(Time(released)) => Some(released),
        None => stated_start.and_then(|start| Timestamp::from_second(start).ok()),
    };
    if let (Some(released), Some(window)) = (released_at, window)
        && released.as_second() >= window.end
    {
        let detail = format!("{released} is not before the window's end ({}): nothing of the release is in it", written(window.end));
        return Err(Problem::invalid("/released_at", detail + &waiting_for));
    }
    // A window whose start is not stated slides, and does not grow: it is no look of a plan.
    let from_planned_end = || {
        stated_start?;
        planned_looks(window?, settling, planned_end?.as_second(), config.min_observation, body.early_pass)
    };
    let plan = stated_look.or_else(from_planned_end);

    let BaselineBody { scope, location, variables, .. } = body.baseline;
    let baseline = read_scope("/baseline", scope, location, variables)?;
    let CanaryBody { scope, location, variables } = body.canary;
    let canary = read_scope("/canary", scope, location, variables)?;
    Ok(Request {
        judge,
        config: config.clone(),
        source: body.source,
        baseline,
        canary,
        window,
        step_seconds,
        baseline_offset_seconds,
        baseline_window: None,
        canary_share: body.canary_share,
        planned_end,
        released_at,
        looks: plan,
        ramp: body.ramp,
        advisory: body.mode == Some(JudgingMode::Advisory),
        labels: Labels(body.labels),
        samples,
        queries: BTreeMap::new(),
    })
}

impl LooksBody {
    fn checked(self, early_pass: bool) -> Result<Looks, Problem> {
        let Self { look, looks, early_pass: also } = self;
        if !(1..=MOST_LOOKS).contains(&looks) {
            return Err(Problem::invalid("/looks/looks", format!("{looks} is no number of looks; give 1 to {MOST_LOOKS}")));
        }
        if !(1..=looks).contains(&look) {
            let detail = format!("{look} is no look of a plan of {looks}; give 1 to {looks}, and a new plan over all looks to go on");
            return Err(Problem::invalid("/looks/look", detail));
        }
        Ok(Looks { look, looks, early_pass: early_pass || also })
    }
}

/// The look that a window is, of a plan that ends at `end` (Unix seconds) and is judged so long after the window's; `None` where the plan has
/// only one.
fn planned_looks(window: Window, settling: i64, end: i64, min_observation: Period, early_pass: bool) -> Option<Looks> {
    let length = end.max(window.end).saturating_sub(window.start).max(1);
    let apart = i64::try_from(min_observation.seconds()).unwrap_or(i64::MAX).max(i64::from(window.step_seconds));
    let looks = length.div_ceil_positive(apart).clamp(1, i64::from(MOST_LOOKS));
    let apart = apart.max(length.div_ceil_positive(looks));
    let last = window.end.saturating_add(settling).saturating_add(i64::from(window.step_seconds)) > end;
    // A plan that has not ended has a look left.
    let look = if last { looks } else { window.seconds().div_ceil_positive(apart).clamp(1, (looks - 1).max(1)) };
    let count = |n: i64| u32::try_from(n).unwrap_or(MOST_LOOKS);
    (looks > 1).then(|| Looks { look: count(look), looks: count(looks), early_pass })
}

fn check_ramp(ramp: &[f64], canary_share: Option<f64>) -> Result<(), Problem> {
    if ramp.len() > MOST_STEPS {
        return Err(Problem::invalid("/ramp", format!("has {} steps, and at most {MOST_STEPS} are read; leave some out", ramp.len())));
    }
    for (i, step) in ramp.iter().enumerate() {
        let at = format!("/ramp/{i}");
        if !(*step > 0.0 && *step <= 1.0) {
            return Err(Problem::invalid(at, format!("{step} is not a share of the traffic; 0.05 sends 5 % to the canary, 1 everything")));
        }
        if i > 0 && *step <= ramp[i - 1] {
            return Err(Problem::invalid(at, format!("{step} does not rise above the step before it ({}); order the steps", ramp[i - 1])));
        }
    }
    if !ramp.is_empty() && canary_share.is_none() {
        return Err(Problem::invalid("/canary_share", "is missing; the ramp's next step follows from the share that the canary has now"));
    }
    Ok(())
}

/// The config that is meant, or that came with the request. Its rules depend on the judge, and are checked once that is known, by whoever
/// plans the request.
fn resolve_config(config: Value, configs: &ConfigStore) -> Result<CanaryConfig, Problem> {
    match config {
        Value::String(name) => match configs.get(&name) {
            Some(entry) => Ok(CanaryConfig::clone(&entry.config)),
            None => Err(Problem::unprocessable("unknown-config", "There is no such canary config", "/config", configs.unknown(&name))),
        },
        inline @ Value::Object(_) => Ok(document::read(inline).map_err(|problem| InvalidConfig::from(problem).below("/config"))?),
        _ => Err(Problem::invalid("/config", "is neither the name of a config nor a config; see /v1/configs for the names")),
    }
}

fn read_scope(
    pointer: &str,
    scope: Option<String>,
    location: Option<String>,
    mut variables: BTreeMap<String, String>,
) -> Result<Scope, Problem> {
    for (name, value) in [("scope", scope), ("location", location)] {
        if value.as_deref() == Some("") {
            let message = format!("is empty, and would select what has no such label; give the {name}, or leave it out");
            return Err(Problem::invalid(format!("{pointer}/{name}"), message));
        }
        if let Some(value) = value
            && variables.insert(name.to_owned(), value).is_some()
        {
            return Err(Problem::invalid(
                format!("{pointer}/variables/{name}"),
                format!("is given twice; leave one of {pointer}/{name} and this out"),
            ));
        }
    }
    Ok(Scope { variables })
}

fn checked_step(step: Period) -> Result<u64, Problem> {
    match step.seconds() {
        0 => Err(Problem::invalid("/window/step", "0s is no distance between points; give at least `1s`, or leave it out")),
        seconds => Ok(seconds),
    }
}

impl WindowBody {
    /// Whether nothing says when the window ends.
    fn ends_by_itself(&self) -> bool {
        self.end.is_none() && (self.start.is_none() || self.duration.is_none())
    }
}

/// The arm with most points of those that came with the request, and how many these are.
fn longest(samples: &BTreeMap<String, MetricSamples>) -> Option<(String, usize)> {
    let arms = samples.iter().flat_map(|(name, samples)| {
        let arms = [("baseline", &samples.baseline), ("canary", &samples.canary)];
        arms.map(|(arm, samples)| (format!("/samples/{}/{arm}", pointer_segment(name)), samples.intervals()))
    });
    arms.max_by_key(|(_, points)| *points)
}

/// Times would be told of points that are none of theirs.
fn too_many_points(pointer: String, points: usize, window: Window) -> Problem {
    let Window { start, end, step_seconds } = window;
    let step = Period::from_seconds(u64::from(step_seconds));
    let fitting = u64::try_from(window.seconds()).unwrap_or_default() / (points as u64 - 1);
    let remedy = match fitting {
        0 => "give a longer window".to_owned(),
        _ => format!(
            "give a longer window, or the distance between the points as its `step`, which is `{}` at most",
            Period::from_seconds(fitting)
        ),
    };
    Problem::invalid(
        pointer,
        format!("has {points} points, and the window from {} to {} has {} of {step}; {remedy}", written(start), written(end), window.len()),
    )
}

/// The step of a window of so many seconds for which nothing states one, by the points that it is to hold where these are known.
fn default_step(length: i64, points: Option<usize>) -> i64 {
    if length <= DEFAULT_STEP_UP_TO {
        return DEFAULT_STEP;
    }
    match points.and_then(|points| i64::try_from(points).ok()) {
        // The longest that they leave room for, of those that divide a day; one of the points may stand at the window's other end.
        Some(points @ 2..) => {
            let longest = length / (points - 1) / DEFAULT_STEP;
            let divides = |minutes: &i64| *minutes <= longest && MINUTES_OF_A_DAY % minutes == 0;
            (1..=MINUTES_OF_A_DAY).rev().find(divides).unwrap_or(1) * DEFAULT_STEP
        }
        _ => round_up(length.div_ceil_positive(POINTS_OF_A_FITTED_STEP), DEFAULT_STEP),
    }
}

/// The window on the step grid, by the points that come with the request where these are known. Without an end it ends so many seconds ago.
fn align(
    body: &WindowBody,
    config_step: Option<Period>,
    points: Option<usize>,
    max_points: usize,
    settle: i64,
    now: Timestamp,
) -> Result<Window, Problem> {
    let now = now.as_second();
    let end_of_request = body.end.map(|end| end.0.as_second());
    if let Some(Time(end)) = body.end
        && end.as_second() > now.saturating_add(CLOCK_SKEW)
    {
        let detail = format!("{end} lies in the future (it is {}); leave it out to judge what has arrived", written(now));
        return Err(Problem::invalid("/window/end", detail));
    }
    let settled = now.saturating_sub(settle);
    let period = |period: Period| i64::try_from(period.seconds()).unwrap_or(i64::MAX);
    let (start, end) = match (body.start.map(|start| start.0.as_second()), end_of_request, body.duration.map(period)) {
        (Some(_), Some(_), Some(_)) => {
            return Err(Problem::invalid("/window/duration", "start and end say how long the window is; leave one of the three out"));
        }
        (Some(start), end, None) => (start, end.unwrap_or(settled)),
        (None, end, Some(duration)) => {
            let end = end.unwrap_or(settled);
            (end.saturating_sub(duration), end)
        }
        (Some(start), None, Some(duration)) => {
            let end = start.saturating_add(duration);
            if end > now.saturating_add(CLOCK_SKEW) {
                return Err(Problem::invalid(
                    "/window/duration",
                    "the window ends in the future; start earlier, or give a shorter duration",
                ));
            }
            (start, end)
        }
        (None, _, None) => {
            let detail =
                "says not when to begin; give `start`, or a `duration` such as `30m` (on the command line `--start`, or `--last 30m`)";
            return Err(Problem::invalid("/window", detail));
        }
    };
    if start < 0 {
        let field = if body.start.is_some() { "start" } else { "duration" };
        let detail = format!("the window starts at {}, before 1970, and no store has samples of then; give a later start", written(start));
        return Err(Problem::invalid(format!("/window/{field}"), detail));
    }
    let end = end.min(now);
    if end <= start {
        let pointer = if body.duration.is_some() { "/window/duration" } else { "/window/end" };
        let detail = format!("the window ends ({}) before or when it starts ({})", written(end), written(start));
        return Err(Problem::invalid(pointer, detail + &waiting(body, settle)));
    }
    let length = end.saturating_sub(start);
    let step = match (body.step, config_step) {
        (Some(step), _) => i64::try_from(checked_step(step)?).unwrap_or(i64::MAX),
        (None, Some(step)) => period(step),
        (None, None) => default_step(length, points),
    };
    let aligned_end = end.saturating_sub(end.rem_euclid(step));
    // A duration alone is that long, on whichever grid its end comes to lie.
    let start = if body.start.is_none() && body.end.is_none() { aligned_end.saturating_sub(length) } else { start };
    let aligned_start = round_up(start, step);
    let written_step = Period::from_seconds(step.unsigned_abs());
    if aligned_end <= aligned_start {
        let detail = format!("the window holds not one whole step of {written_step}; give a longer window or a shorter step");
        return Err(Problem::invalid("/window", detail + &waiting(body, settle)));
    }
    let window = u32::try_from(step).map(|step_seconds| Window { start: aligned_start, end: aligned_end, step_seconds });
    let window = window.map_err(|_| Problem::invalid("/window/step", format!("{written_step} is longer than a step may be")))?;
    if window.len() > max_points {
        let fitting = window.seconds().div_ceil_positive(i64::try_from(max_points).unwrap_or(i64::MAX));
        let fitting = if fitting > DEFAULT_STEP { round_up(fitting, DEFAULT_STEP) } else { fitting };
        let fitting = Period::from_seconds(fitting.unsigned_abs());
        let detail = format!(
            "the window has {} points of {written_step}, and at most {max_points} are read; a step of `{fitting}` fits",
            window.len()
        );
        return Err(Problem::invalid("/window/step", detail));
    }
    Ok(window)
}

/// A time in Unix seconds, as callers write it.
fn written(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// Why a window that states no end ends before now, for who wonders.
fn waiting(body: &WindowBody, settle: i64) -> String {
    if body.ends_by_itself() && settle > 0 {
        format!("; without an `end` the window ends {settle} s ago, when its samples have arrived, and on a whole step")
    } else {
        String::new()
    }
}

/// The smallest multiple of `step`, which is above 0, that is not below `value`.
fn round_up(value: i64, step: i64) -> i64 {
    match value.rem_euclid(step) {
        0 => value,
        past => value.saturating_add(step - past),
    }
}

trait DivCeil {
    fn div_ceil_positive(self, divisor: Self) -> Self;
}

impl DivCeil for i64 {
    /// `self / divisor` rounded up, for a `self` of 0 or more and a `divisor` above 0.
    fn div_ceil_positive(self, divisor: Self) -> Self {
        round_up(self, divisor) / divisor
    }
}

fn read_samples(
    bodies: BTreeMap<String, SamplesBody>,
    config: &haldane_judges::CanaryConfig,
    limits: &BodyLimits,
) -> Result<BTreeMap<String, MetricSamples>, Problem> {
    let mut left = limits.max_inline_points;
    let mut samples = BTreeMap::new();
    for (name, body) in bodies {
        let pointer = format!("/samples/{}", pointer_segment(&name));
        if !config.metrics.iter().any(|metric| metric.name == name) {
            let known = config.metrics.iter().map(|metric| format!("`{}`", metric.name)).take(20).collect::<Vec<_>>().join(", ");
            let shown: String = name.chars().take(60).collect();
            return Err(Problem::invalid(pointer, format!("the config `{}` has no metric `{shown}`; it has {known}", config.name)));
        }
        let mut arm = |field: &str, value: Value| InlinePoints { limits, left: &mut left }.arm(&format!("{pointer}/{field}"), value);
        let (baseline, canary) = (arm("baseline", body.baseline)?, arm("canary", body.canary)?);
        let baseline_history = body.baseline_history.map(|value| arm("baseline_history", value)).transpose()?;
        let canary_history = body.canary_history.map(|value| arm("canary_history", value)).transpose()?;
        let mut earlier = Vec::with_capacity(body.earlier.len());
        for (i, EarlierBody { days, baseline, canary }) in body.earlier.into_iter().enumerate() {
            let baseline = baseline.map(|value| arm(&format!("earlier/{i}/baseline"), value)).transpose()?;
            let canary = canary.map(|value| arm(&format!("earlier/{i}/canary"), value)).transpose()?;
            earlier.push(EarlierSamples { days, baseline, canary });
        }
        let bucket_bounds = body.bucket_bounds;
        samples.insert(name, MetricSamples { baseline, canary, baseline_history, canary_history, earlier, bucket_bounds });
    }
    Ok(samples)
}

/// Reads inline points and counts them.
struct InlinePoints<'a> {
    limits: &'a BodyLimits,
    left: &'a mut usize,
}

const ARM_SHAPES: &str = "give an array of numbers, {\"events\": [...], \"totals\": [...]}, {\"bounds\": [...], \"counts\": [[...], ...]} \
                          or {\"instances\": {\"pod-1\": [...]}}";

impl InlinePoints<'_> {
    fn arm(&mut self, pointer: &str, value: Value) -> Result<ArmSamples, Problem> {
        match value {
            values @ Value::Array(_) => Ok(ArmSamples::Values(self.points(pointer, values)?)),
            Value::Object(mut fields) => {
                if let Some(Value::Object(instances)) = only(&mut fields, "instances") {
                    let read = |(name, values): (String, Value)| {
                        let points = self.points(&format!("{pointer}/instances/{}", pointer_segment(&name)), values)?;
                        Ok((name, points))
                    };
                    return Ok(ArmSamples::Instances(instances.into_iter().map(read).collect::<Result<_, Problem>>()?));
                }
                if fields.contains_key("bounds") || fields.contains_key("counts") {
                    return self.buckets(pointer, fields);
                }
                match (fields.remove("events"), fields.remove("totals")) {
                    (Some(events), Some(totals)) if fields.is_empty() => {
                        let events = self.points(&format!("{pointer}/events"), events)?;
                        let totals = self.points(&format!("{pointer}/totals"), totals)?;
                        if events.len() != totals.len() {
                            let detail = format!(
                                "has {} entries, and events has {}; give one of each for every interval",
                                totals.len(),
                                events.len()
                            );
                            return Err(Problem::invalid(format!("{pointer}/totals"), detail));
                        }
                        Ok(ArmSamples::Counts { events, totals })
                    }
                    _ => Err(Problem::invalid(pointer, format!("has other fields than samples have; {ARM_SHAPES}"))),
                }
            }
            _ => Err(Problem::invalid(pointer, format!("is no samples; {ARM_SHAPES}"))),
        }
    }

    /// The buckets of a histogram: bounds, and a row of counts for each interval.
    fn buckets(&mut self, pointer: &str, mut fields: Map<String, Value>) -> Result<ArmSamples, Problem> {
        let (bounds, counts, spacing) = (fields.remove("bounds"), fields.remove("counts"), fields.remove("spacing"));
        let (Some(bounds), Some(counts), true) = (bounds, counts, fields.is_empty()) else {
            let detail =
                "buckets are `bounds`, `counts` and, where they are those of a native histogram, `spacing: exponential`; give those";
            return Err(Problem::invalid(pointer, detail));
        };
        let spacing = match spacing.as_ref().map(Value::as_str) {
            None | Some(Some("linear")) => Spacing::Linear,
            Some(Some("exponential")) => Spacing::Exponential,
            Some(_) => return Err(Problem::invalid(format!("{pointer}/spacing"), "is neither `linear` nor `exponential`")),
        };
        let number = |at: String, value: &Value| {
            value.as_f64().filter(|number| number.is_finite()).ok_or_else(|| {
                let shown: String = value.to_string().chars().take(40).collect();
                Problem::invalid(at, format!("{shown} is not a finite number"))
            })
        };
        let Value::Array(bounds) = bounds else {
            return Err(Problem::invalid(format!("{pointer}/bounds"), "is not an array of numbers, the buckets' upper bounds"));
        };
        let bounds = bounds.iter().enumerate().map(|(i, bound)| number(format!("{pointer}/bounds/{i}"), bound));
        let bounds = bounds.collect::<Result<Vec<f64>, Problem>>()?;
        let Value::Array(counts) = counts else {
            return Err(Problem::invalid(format!("{pointer}/counts"), "is not an array, of a row of counts for each interval"));
        };
        self.take(&format!("{pointer}/counts"), counts.len())?;
        let row = |(i, row): (usize, &Value)| match row {
            Value::Null => Ok(None),
            Value::Array(row) => {
                let count = |(j, count): (usize, &Value)| number(format!("{pointer}/counts/{i}/{j}"), count);
                row.iter().enumerate().map(count).collect::<Result<Vec<f64>, Problem>>().map(Some)
            }
            _ => Err(Problem::invalid(format!("{pointer}/counts/{i}"), "is not an array of counts; null where the interval is missing")),
        };
        let counts = counts.iter().enumerate().map(row).collect::<Result<Vec<_>, Problem>>()?;
        let samples = BucketSamples { bounds, counts, spacing };
        match samples.problem() {
            Some((at, detail)) => Err(Problem::invalid(format!("{pointer}/{at}"), detail)),
            None => Ok(ArmSamples::Buckets(samples)),
        }
    }

    fn points(&mut self, pointer: &str, values: Value) -> Result<Vec<Option<f64>>, Problem> {
        let Value::Array(values) = values else {
            return Err(Problem::invalid(pointer, "is not an array of numbers"));
        };
        self.take(pointer, values.len())?;
        values.into_iter().enumerate().map(|(i, value)| point(pointer, i, &value)).collect()
    }

    /// Counts so many intervals against what is read.
    fn take(&mut self, pointer: &str, points: usize) -> Result<(), Problem> {
        let max = self.limits.max_points;
        if points > max {
            return Err(Problem::invalid(pointer, format!("has {points} points, and at most {max} are judged; send fewer, farther apart")));
        }
        *self.left = self.left.checked_sub(points).ok_or_else(|| {
            let max = self.limits.max_inline_points;
            Problem::invalid(
                "/samples",
                format!("hold more than {max} points together; judge fewer metrics at once, or farther apart points"),
            )
        })?;
        Ok(())
    }
}

/// The field of that name, where it is the only one.
fn only(fields: &mut Map<String, Value>, name: &str) -> Option<Value> {
    if fields.len() == 1 { fields.remove(name) } else { None }
}

fn point(pointer: &str, i: usize, value: &Value) -> Result<Option<f64>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Number(number) if number.as_f64().is_some() => Ok(number.as_f64()),
        Value::String(word) => match word.as_str() {
            "NaN" => Ok(None),
            // The judge counts infinite points and then takes them for missing.
            "Infinity" | "+Infinity" | "Inf" | "+Inf" => Ok(Some(f64::INFINITY)),
            "-Infinity" | "-Inf" => Ok(Some(f64::NEG_INFINITY)),
            _ => {
                let shown: String = word.chars().take(40).collect();
                let detail = format!("`{shown}` is not a number; a point is a number, null, \"NaN\", \"Infinity\" or \"-Infinity\"");
                Err(Problem::invalid(format!("{pointer}/{i}"), detail))
            }
        },
        _ => Err(Problem::invalid(format!("{pointer}/{i}"), "is not a number; a point is a number or null")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::analysis::{AnalysisLimits, Analyst};
    use crate::source::cache::ReplyCache;

    fn now() -> Timestamp {
        "2026-11-21T12:00:30Z".parse().unwrap()
    }

    fn config() -> Value {
        json!({ "name": "c", "metrics": [{ "name": "latency" }, { "name": "a/b" }] })
    }

    fn read(body: Value) -> Result<Request, Problem> {
        translate(body, &ConfigStore::shipped(), &BodyLimits::default(), &Sources::default(), now())
    }

    fn refused(body: Value) -> (String, String) {
        let problem = read(body).unwrap_err();
        assert_eq!(problem.status, 422, "{problem}");
        (problem.pointer.unwrap(), problem.detail)
    }

    fn with_window(window: Value) -> Value {
        json!({ "config": config(), "window": window })
    }

    #[test]
    fn a_duration_ends_now_on_the_step_grid() {
        let window = read(with_window(json!({ "duration": "30m" }))).unwrap().window.unwrap();
        let end: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!((window.end, window.step_seconds), (end.as_second(), 60));
        assert_eq!(window.len(), 30, "as long as it says, whatever the time is");
    }

    /// Read where one source settles after a minute, and another after ten.
    fn settled(body: Value) -> Result<Request, Problem> {
        let source =
            |settle: &str| serde_json::from_value(json!({ "kind": "prometheus", "url": "http://127.0.0.1:1", "settle": settle })).unwrap();
        let settings = BTreeMap::from([("main".to_owned(), source("60s")), ("slow".to_owned(), source("10m"))]);
        let sources = Sources::open(&settings, ReplyCache::default()).unwrap();
        translate(body, &ConfigStore::shipped(), &BodyLimits::default(), &sources, now())
    }

    fn ends(window: Value, source: Value) -> String {
        let end = settled(json!({ "config": config(), "window": window, "source": source })).unwrap().window.unwrap().end;
        Timestamp::from_second(end).unwrap().to_string()
    }

    #[test]
    fn a_window_without_an_end_ends_where_its_account_has_settled() {
        // It is 12:00:30.
        assert_eq!(ends(json!({ "duration": "30m" }), json!("main")), "2026-11-21T11:59:00Z");
        assert_eq!(ends(json!({ "start": "2026-11-21T11:00:00Z" }), json!("main")), "2026-11-21T11:59:00Z");
        assert_eq!(ends(json!({ "duration": "30m", "step": "15s" }), json!("main")), "2026-11-21T11:59:30Z");
        assert_eq!(ends(json!({ "duration": "30m" }), json!("slow")), "2026-11-21T11:50:00Z");
        assert_eq!(ends(json!({ "duration": "30m" }), json!(null)), "2026-11-21T12:00:00Z", "which source is asked is not known");
    }

    #[test]
    fn an_end_that_is_stated_is_kept() {
        assert_eq!(ends(json!({ "duration": "30m", "end": "2026-11-21T12:00:10Z" }), json!("main")), "2026-11-21T12:00:00Z");
        assert_eq!(ends(json!({ "start": "2026-11-21T11:30:00Z", "duration": "30m" }), json!("main")), "2026-11-21T12:00:00Z");
    }

    #[test]
    fn given_samples_need_no_time_to_arrive() {
        let samples = json!({ "latency": { "baseline": [1], "canary": [1] }, "a/b": { "baseline": [1], "canary": [1] } });
        let request = settled(json!({ "config": config(), "window": { "duration": "30m" }, "source": "main", "samples": samples }));
        assert_eq!(request.unwrap().window.unwrap().end % 3600, 0);
    }

    #[test]
    fn a_window_without_an_end_that_is_refused_says_why_it_ends_before_now() {
        // It is 12:00:30, and such a window ends at 11:59:00.
        for (window, released_at, pointer) in [
            (json!({ "start": "2026-11-21T11:59:40Z" }), json!(null), "/window/end"),
            (json!({ "start": "2026-11-21T11:58:40Z" }), json!(null), "/window"),
            (json!({ "duration": "40s" }), json!(null), "/window"),
            (json!({ "duration": "10m" }), json!("2026-11-21T11:59:30Z"), "/released_at"),
            (json!({ "start": "2026-11-21T11:50:00Z" }), json!("2026-11-21T11:59:00Z"), "/released_at"),
        ] {
            let body = json!({ "config": config(), "window": window, "source": "main", "released_at": released_at });
            let problem = settled(body).unwrap_err();
            assert_eq!(problem.pointer.as_deref(), Some(pointer), "{problem}");
            let why = "; without an `end` the window ends 60 s ago, when its samples have arrived, and on a whole step";
            assert!(problem.detail.ends_with(why), "{problem}");
        }
    }

    #[test]
    fn a_window_that_states_its_end_is_refused_without_a_word_on_others() {
        let ended = json!({ "duration": "10m", "end": "2026-11-21T11:59:00Z" });
        let body = json!({ "config": config(), "window": ended, "source": "main", "released_at": "2026-11-21T11:59:30Z" });
        let problem = settled(body).unwrap_err();
        let detail = "2026-11-21T11:59:30Z is not before the window's end (2026-11-21T11:59:00Z): nothing of the release is in it";
        assert_eq!((problem.pointer.as_deref(), problem.detail.as_str()), (Some("/released_at"), detail));
    }

    #[test]
    fn the_judgement_at_the_planned_end_is_the_last_look_although_its_window_ends_earlier() {
        let look = |planned: &str| {
            let config = json!({ "name": "c", "min_observation": "5m", "metrics": [{ "name": "latency" }] });
            let window = json!({ "start": "2026-11-21T11:00:00Z" });
            settled(json!({ "config": config, "window": window, "source": "main", "planned_end": planned }))
                .unwrap()
                .looks
                .map(|plan| (plan.look, plan.looks))
        };
        assert_eq!(look("2026-11-21T12:00:00Z"), Some((12, 12)));
        assert_eq!(look("2026-11-21T12:05:00Z"), Some((12, 13)));
    }

    #[test]
    fn long_windows_get_at_most_720_points() {
        for (duration, step) in [("12h", 60), ("13h", 120), ("1d", 120), ("7d", 840), ("30d", 3600)] {
            let window = read(with_window(json!({ "duration": duration }))).unwrap().window.unwrap();
            assert_eq!(window.step_seconds, step, "{duration}");
            assert!(window.len() <= 720);
        }
    }

    #[test]
    fn a_clock_five_seconds_ahead_is_allowed_for() {
        let ahead = json!({ "start": "2026-11-21T11:00:00Z", "end": "2026-11-21T12:00:35Z", "step": "1s" });
        assert_eq!(read(with_window(ahead)).unwrap().window.unwrap().end, now().as_second());
    }

    #[test]
    fn windows_that_cannot_be_judged_are_refused_at_their_field() {
        for (window, pointer, part) in [
            (json!({ "start": "2026-11-21T11:00:00Z", "end": "2026-11-21T10:00:00Z" }), "/window/end", "before or when it starts"),
            (json!({ "start": "2026-11-21T11:00:00Z", "end": "2026-11-21T11:00:00Z" }), "/window/end", "before or when it starts"),
            (json!({ "start": "2026-11-21T11:00:00Z", "end": "2026-11-21T13:00:00Z" }), "/window/end", "future"),
            (json!({ "start": "2026-11-21T11:30:00Z", "duration": "1h" }), "/window/duration", "future"),
            (json!({ "duration": "0s" }), "/window/duration", "before or when it starts"),
            (json!({ "start": "0000-01-01T00:00:00Z" }), "/window/start", "starts at 0000-01-01T00:00:00Z, before 1970"),
            (json!({ "start": "1969-12-31T23:59:59Z", "step": "365d" }), "/window/start", "before 1970"),
            (json!({ "end": "1970-01-01T00:10:00Z", "duration": "1h" }), "/window/duration", "before 1970"),
            (json!({ "duration": "30m", "step": "0s" }), "/window/step", "0s is no distance"),
            (json!({ "duration": "30m", "step": "1h" }), "/window", "not one whole step"),
            (json!({ "duration": "10d", "step": "1s" }), "/window/step", "a step of `2m` fits"),
            (json!({ "duration": "30m", "step": 60 }), "/window/step", "invalid type"),
            (json!({ "start": "yesterday" }), "/window/start", "2026-11-21T14:00:00Z"),
            (json!({ "end": "2026-11-21T11:00:00Z" }), "/window", "give `start`"),
            (json!({ "start": "2026-11-21T10:00:00Z", "end": "2026-11-21T11:00:00Z", "duration": "1h" }), "/window/duration", "leave one"),
            (json!({ "duration": "30m", "stpe": "1s" }), "/window/stpe", "did you mean `step`?"),
            (json!({}), "/window", "give `start`"),
        ] {
            let (at, detail) = refused(with_window(window.clone()));
            assert!(at == pointer && detail.contains(part), "{window}: {at}: {detail}");
        }
        assert_eq!(refused(json!({ "config": config() })).0, "/window");
    }

    #[test]
    fn a_planned_end_makes_the_window_one_look_of_a_plan() {
        let look = |start: &str, planned: &str, observe: &str| {
            let config = json!({ "name": "c", "min_observation": observe, "metrics": [{ "name": "latency" }] });
            let body = json!({ "config": config, "window": { "start": start }, "planned_end": planned });
            read(body).unwrap().looks.map(|plan| (plan.look, plan.looks))
        };
        // It is 12:00.
        assert_eq!(look("2026-11-21T11:30:00Z", "2026-11-21T12:30:00Z", "5m"), Some((6, 12)));
        assert_eq!(look("2026-11-21T11:58:00Z", "2026-11-21T12:58:00Z", "5m"), Some((1, 12)));
        assert_eq!(look("2026-11-21T11:03:00Z", "2026-11-21T12:03:00Z", "5m"), Some((11, 12)), "a look is left before the end");
        assert_eq!(look("2026-11-21T11:00:00Z", "2026-11-21T12:00:00Z", "5m"), Some((12, 12)));
        assert_eq!(look("2026-11-21T10:00:00Z", "2026-11-21T11:00:00Z", "5m"), Some((24, 24)), "past its end a plan has grown");
        assert_eq!(look("2026-11-21T11:00:00Z", "2026-11-21T13:00:00Z", "0s"), Some((50, 100)), "a step apart, and at most 100");
        assert_eq!(look("2026-11-21T11:58:00Z", "2026-11-21T12:02:00Z", "5m"), None, "one look is no plan");
        assert_eq!(look("2026-11-20T12:00:00Z", "2200-01-01T00:00:00Z", "5m"), Some((1, 100)));
    }

    #[test]
    fn a_stated_look_wins_over_what_the_planned_end_says() {
        let body = json!({
            "config": config(), "window": { "start": "2026-11-21T11:30:00Z" }, "planned_end": "2026-11-21T12:30:00Z",
            "looks": { "look": 3, "looks": 4 }, "early_pass": true, "mode": "advisory", "canary_share": 0.05, "ramp": [0.05, 0.25, 1]
        });
        let request = read(body).unwrap();
        assert_eq!(request.looks, Some(Looks { look: 3, looks: 4, early_pass: true }));
        assert!(request.advisory && request.ramp == [0.05, 0.25, 1.0]);
    }

    #[test]
    fn a_request_may_turn_an_advisory_config_into_a_gate() {
        let advisory = json!({ "name": "c", "mode": "advisory", "metrics": [{ "name": "latency" }] });
        let body = |mode: Value| json!({ "config": advisory, "window": { "duration": "1h" }, "mode": mode });
        let of = |mode: Value| read(body(mode)).unwrap().config.mode;
        assert_eq!((of(json!("gate")), of(json!(null))), (JudgingMode::Gate, JudgingMode::Advisory));
    }

    #[test]
    fn an_offset_must_lie_on_the_step_grid() {
        let body = |offset: &str| json!({ "config": config(), "window": { "duration": "1h" }, "baseline": { "offset": offset } });
        assert_eq!(read(body("1d")).unwrap().baseline_offset_seconds, 86_400);
        let (pointer, detail) = refused(body("90s"));
        assert!(pointer == "/baseline/offset" && detail.contains("`2m`"), "{detail}");
    }

    #[test]
    fn samples_are_read_in_each_shape_and_need_no_window() {
        let body = json!({
            "config": config(),
            "samples": {
                "latency": { "baseline": [1, null, "NaN", "Infinity", 1e308], "canary": { "instances": { "pod-1": [1.5] } } },
                "a/b": { "baseline": { "events": [1], "totals": [10] }, "canary": { "events": [], "totals": [] } }
            }
        });
        let request = read(body).unwrap();
        assert_eq!((request.window, request.step_seconds), (None, 60));
        let expected = ArmSamples::Values(vec![Some(1.0), None, None, Some(f64::INFINITY), Some(1e308)]);
        assert_eq!(request.samples["latency"].baseline, expected);
        assert!(matches!(&request.samples["latency"].canary, ArmSamples::Instances(pods) if pods["pod-1"] == [Some(1.5)]));
        assert!(matches!(&request.samples["a/b"].baseline, ArmSamples::Counts { totals, .. } if totals == &[Some(10.0)]));
    }

    #[test]
    fn the_points_that_come_with_a_request_lie_in_its_window() {
        let body = |duration: &str, points: usize| {
            let samples = json!({ "baseline": [1], "canary": vec![1; points] });
            json!({ "config": config(), "window": { "end": "2026-11-21T00:00:00Z", "duration": duration },
                    "samples": { "latency": samples, "a/b": { "baseline": [1], "canary": [1] } } })
        };
        for (duration, points, step) in [
            ("1h", 30, 60),
            ("1h", 61, 60),
            ("24h", 1_440, 60),
            ("24h", 1_441, 60),
            ("24h", 1_439, 60),
            ("24h", 24, 3_600),
            ("24h", 475, 180),
            ("7d", 10_080, 60),
            ("30d", 720, 3_600),
            ("30d", 1, 3_600),
        ] {
            let window = read(body(duration, points)).unwrap().window.unwrap();
            assert_eq!(window.step_seconds, step, "{points} points in {duration}");
        }
        let (pointer, detail) = refused(body("1h", 120));
        assert_eq!(pointer, "/samples/latency/canary");
        for part in ["has 120 points", "2026-11-20T23:00:00Z to 2026-11-21T00:00:00Z has 60 of 1m", "which is `30s` at most"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        let mut finer = body("1h", 120);
        finer["window"]["step"] = json!("30s");
        assert_eq!(read(finer).unwrap().window.unwrap().step_seconds, 30);
    }

    #[test]
    fn samples_of_earlier_days_come_in_the_same_shapes() {
        let body = |earlier: Value| {
            json!({ "config": config(), "samples": {
                "latency": { "baseline": [1], "canary": [2], "earlier": earlier, "bucket_bounds": [0.5, 2] },
                "a/b": { "baseline": [1], "canary": [2] }
            } })
        };
        let request = read(body(json!([{ "days": 7, "canary": [3, null] }, { "days": 1, "baseline": ["NaN"] }]))).unwrap();
        let samples = &request.samples["latency"];
        let day = |days, baseline, canary| EarlierSamples { days, baseline, canary };
        let expected = [day(7, None, Some(ArmSamples::Values(vec![Some(3.0), None]))), day(1, Some(ArmSamples::Values(vec![None])), None)];
        assert_eq!((samples.earlier.as_slice(), samples.bucket_bounds.as_slice()), (&expected[..], &[0.5, 2.0][..]));
        for (earlier, pointer) in [
            (json!([{ "days": 1, "canary": [1, "high"] }]), "/samples/latency/earlier/0/canary/1"),
            (json!([{ "days": -1 }]), "/samples/latency/earlier/0/days"),
            (json!([{ "day": 1 }]), "/samples/latency/earlier/0"),
        ] {
            let found = refused(body(earlier)).0;
            assert!(found.starts_with(pointer), "{found}");
        }
    }

    #[test]
    fn samples_that_cannot_be_read_are_refused_at_their_place() {
        let body = |name: &str, arm: Value| json!({ "config": config(), "samples": { name: { "baseline": [1], "canary": arm } } });
        for (name, arm, pointer, part) in [
            ("latencyy", json!([1]), "/samples/latencyy", "it has `latency`, `a/b`"),
            ("a/b", json!([1, "high"]), "/samples/a~1b/canary/1", "`high` is not a number"),
            ("latency", json!([1, [2]]), "/samples/latency/canary/1", "not a number"),
            ("latency", json!(3), "/samples/latency/canary", "is no samples"),
            ("latency", json!({ "events": [1] }), "/samples/latency/canary", "other fields"),
            ("latency", json!({ "events": [1], "totals": [1, 2] }), "/samples/latency/canary/totals", "has 2 entries"),
            ("latency", json!({ "instances": { "a/b": 3 } }), "/samples/latency/canary/instances/a~1b", "not an array"),
            ("latency", json!(vec![0; 11_001]), "/samples/latency/canary", "at most 11000"),
        ] {
            let (at, detail) = refused(body(name, arm));
            assert!(at == pointer && detail.contains(part), "{at}: {detail}");
        }
        let many = json!({ "instances": (0..50).map(|i| (i.to_string(), json!(vec![0; 11_000]))).collect::<Map<_, _>>() });
        assert_eq!(refused(body("latency", many)).0, "/samples");
    }

    #[test]
    fn names_and_fields_that_do_not_exist_are_refused_with_a_suggestion() {
        for (body, pointer, part) in [
            (json!([]), "", "JSON object"),
            (json!({}), "", "missing field `config`"),
            (json!({ "config": 3 }), "/config", "neither"),
            (json!({ "config": "no-such-config" }), "/config", "unknown config `no-such-config`"),
            (json!({ "config": config(), "cannary": {} }), "/cannary", "did you mean `canary`?"),
            (json!({ "config": config(), "judge": "haldane-v9" }), "/judge", "unknown judge `haldane-v9`"),
            (json!({ "config": config(), "thresholds": { "marginal": 90, "pass": 80 } }), "/thresholds/marginal", "must not exceed"),
            (json!({ "config": config(), "thresholds": { "marginal": 90 } }), "/thresholds", "missing field `pass`"),
            (json!({ "config": config(), "canary_share": 5 }), "/canary_share", "0.05"),
            (json!({ "config": config(), "looks": { "look": 0, "looks": 12 } }), "/looks/look", "give 1 to 12"),
            (json!({ "config": config(), "looks": { "look": 13, "looks": 12 } }), "/looks/look", "a new plan"),
            (json!({ "config": config(), "looks": { "look": 1, "looks": 101 } }), "/looks/looks", "1 to 100"),
            (json!({ "config": config(), "looks": { "look": -1, "looks": 12 } }), "/looks/look", "invalid value"),
            (json!({ "config": config(), "looks": [1, 12] }), "/looks", "is a list"),
            (json!({ "config": config(), "early_pass": true }), "/early_pass", "planned_end"),
            (json!({ "config": config(), "canary_share": 0.1, "ramp": [0.1, 0.1] }), "/ramp/1", "does not rise"),
            (json!({ "config": config(), "canary_share": 0.1, "ramp": [5, 25] }), "/ramp/0", "0.05"),
            (json!({ "config": config(), "canary_share": 0.1, "ramp": vec![0.5; 21] }), "/ramp", "21 steps"),
            (json!({ "config": config(), "ramp": [0.1, 1] }), "/canary_share", "is missing"),
            (json!({ "config": config(), "mode": "observe" }), "/mode", "unknown variant"),
            (
                json!({ "config": { "name": "c", "metrics": [{ "name": "m", "crticial": true }] } }),
                "/config/metrics/0/crticial",
                "critical",
            ),
        ] {
            let (at, detail) = refused(body.clone());
            assert!(at == pointer && detail.contains(part), "{body}: {at}: {detail}");
        }
    }

    #[test]
    fn every_problem_of_an_inline_config_is_listed() {
        let metric = json!({ "name": "m", "min_points": 1 });
        let document = json!({ "config": { "name": "C", "metrics": [metric, metric] }, "window": { "duration": "1h" } });
        let request = read(document).unwrap();
        let planned = Problem::from(&Analyst::new(Sources::default(), AnalysisLimits::default()).plan(request).unwrap_err());
        let problem = read(json!({ "config": { "name": "C", "metrics": [metric, metric] } })).unwrap_err();
        assert_eq!(planned.errors, problem.errors);
        let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        for pointer in ["/config/name", "/config/metrics/1/name", "/config/metrics/0/min_points", "/config/metrics/1/min_points"] {
            assert!(pointers.contains(&pointer), "{pointers:?}");
        }
    }

    #[test]
    fn scope_and_location_are_variables_that_are_given_once() {
        let body = |variables: Value| json!({ "config": config(), "window": { "duration": "1h" }, "canary": { "scope": "checkout", "variables": variables } });
        let scope = read(body(json!({ "zone": "a" }))).unwrap().canary;
        assert_eq!(scope.variables, BTreeMap::from([("scope".into(), "checkout".into()), ("zone".into(), "a".into())]));
        assert_eq!(refused(body(json!({ "scope": "x" }))).0, "/canary/variables/scope");
    }

    proptest! {
        #[test]
        fn an_aligned_window_lies_within_what_was_asked_for(start in 0..2_000_000_000_i64, length in 1..10_000_000_u64, step in prop::option::of(1..100_000_u64)) {
            let time = |seconds| Time(Timestamp::from_second(seconds).unwrap());
            let end = start + length as i64;
            let body = WindowBody { start: Some(time(start)), end: Some(time(end)), duration: None, step: step.map(Period::from_seconds) };
            if let Ok(window) = align(&body, None, None, 11_000, 60, Timestamp::from_second(4_000_000_000).unwrap()) {
                let step = i64::from(window.step_seconds);
                prop_assert!(start <= window.start && window.start < window.end && window.end <= end);
                prop_assert!(window.start % step == 0 && window.end % step == 0);
                prop_assert!(window.start - start < step && end - window.end < step && window.len() <= 11_000);
            }
        }

        #[test]
        fn no_document_panics(text in "[\\[\\]{}:,\"a-z0-9 ]{0,60}", window in "\\PC{0,20}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                let _ = read(value);
            }
            let refused = read(with_window(json!({ "start": window }))).is_err();
            prop_assert!(refused);
        }
    }
}
