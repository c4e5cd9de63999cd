//! What starts one judgement in Kayenta's API: scopes with their times, and thresholds.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::model::{QueryKind, ScoreThresholds};
use crate::kayenta::wire::instant::Instant;
use crate::kayenta::wire::lenient;
use crate::kayenta::wire::refusal::Refusal;
use crate::source::Window;

/// Distance between points where a scope gives none, in seconds.
const DEFAULT_STEP: u32 = 60;

/// Kayenta's `CanaryExecutionRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionRequest {
    document: Value,
    /// What selects the arms, by the name that metrics use.
    pub scopes: BTreeMap<String, ScopePair>,
    /// Score limits of this judgement.
    pub thresholds: Option<ScoreThresholds>,
}

/// Both arms of one scope.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopePair {
    /// The baseline's.
    #[serde(deserialize_with = "lenient::optional_object")]
    pub control_scope: Option<CanaryScope>,
    /// The canary's.
    #[serde(deserialize_with = "lenient::optional_object")]
    pub experiment_scope: Option<CanaryScope>,
}

/// One arm.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CanaryScope {
    /// What to select.
    #[serde(deserialize_with = "lenient::text")]
    pub scope: String,
    /// Where it runs.
    #[serde(deserialize_with = "lenient::text")]
    pub location: String,
    /// When its window starts.
    pub start: Option<Instant>,
    /// When its window ends.
    pub end: Option<Instant>,
    /// Distance between points, in seconds; 0 leaves it to us.
    #[serde(deserialize_with = "lenient::whole")]
    pub step: i64,
    /// More template variables.
    #[serde(deserialize_with = "lenient::text_map")]
    pub extended_scope_params: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestFields {
    #[serde(deserialize_with = "lenient::object_map")]
    scopes: BTreeMap<String, ScopePair>,
    #[serde(deserialize_with = "lenient::optional_object")]
    thresholds: Option<ScoreThresholds>,
}

impl ExecutionRequest {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Refusal`] with the pointer of the first field that does not fit.
    pub fn from_value(document: Value) -> Result<Self, Refusal> {
        if !document.is_object() {
            return Err(Refusal::at("", "an execution request is an object with `scopes` and `thresholds`"));
        }
        let RequestFields { scopes, thresholds } = lenient::read(&document)?;
        Ok(Self { document, scopes, thresholds })
    }

    /// The document as it was sent, metadata and site-local fields and all.
    #[must_use]
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The thresholds, which every judgement needs.
    ///
    /// # Errors
    /// [`Refusal`] where there are none, or they are not finite.
    pub fn thresholds(&self) -> Result<ScoreThresholds, Refusal> {
        required(self.thresholds)
    }

    /// Both arms of a scope.
    ///
    /// # Errors
    /// [`Refusal`] where the scope, or one of its arms, is missing.
    pub fn pair(&self, name: &str) -> Result<(&CanaryScope, &CanaryScope), Refusal> {
        let pointer = format!("/scopes/{}", crate::json::pointer_segment(name));
        let Some(pair) = self.scopes.get(name) else {
            let known: Vec<&str> = self.scopes.keys().map(String::as_str).take(20).collect();
            let known = if known.is_empty() { "there are none".to_owned() } else { format!("there are {}", known.join(", ")) };
            return Err(Refusal::at(pointer, format!("is missing, and a metric names it; {known}")));
        };
        let missing = |arm: &str| Refusal::at(format!("{pointer}/{arm}"), "is missing; a scope needs both arms");
        let control = pair.control_scope.as_ref().ok_or_else(|| missing("controlScope"))?;
        let experiment = pair.experiment_scope.as_ref().ok_or_else(|| missing("experimentScope"))?;
        Ok((control, experiment))
    }
}

/// The thresholds, which every judgement needs.
pub(crate) fn required(thresholds: Option<ScoreThresholds>) -> Result<ScoreThresholds, Refusal> {
    let Some(thresholds) = thresholds else {
        return Err(Refusal::at("/thresholds", "is missing; give `pass` and `marginal`"));
    };
    for (field, value) in [("pass", thresholds.pass), ("marginal", thresholds.marginal)] {
        if !value.is_finite() {
            return Err(Refusal::at(format!("/thresholds/{field}"), format!("{value} is not a score; give a number")));
        }
    }
    Ok(thresholds)
}

impl CanaryScope {
    /// The points that Kayenta asks for: `start`, `start + step`, ... up to `end`, in whole seconds.
    ///
    /// # Errors
    /// [`Refusal`] with a pointer below the scope, where the times make no window.
    pub fn window(&self) -> Result<Window, Refusal> {
        let missing = |field: &str| Refusal::at(format!("/{field}"), "is missing; give an instant such as `2026-03-01T10:00:00Z`");
        let start = self.start.ok_or_else(|| missing("start"))?;
        let end = self.end.ok_or_else(|| missing("end"))?;
        if end <= start {
            return Err(Refusal::at("/end", format!("{} must be later than the start {}", end.0, start.0)));
        }
        let step_seconds = match u32::try_from(self.step) {
            Ok(0) => DEFAULT_STEP,
            Ok(step) => step,
            Err(_) => return Err(Refusal::at("/step", format!("{} is no distance between points; give seconds above 0", self.step))),
        };
        let step = i64::from(step_seconds);
        let (start, end) = (start.seconds(), end.seconds());
        // Our windows are named by what their points speak of: the first point is a step after the start.
        Ok(Window { start: start - step, end: start + (end - start) / step * step, step_seconds })
    }

    /// The window over which a store of this kind is asked. A point of Datadog's speaks of the step that follows it, so its first one,
    /// which is at the start as any store's, ends a step later; and its points lie at multiples of the step since 1970, wherever the scope
    /// begins, so that the window begins and ends at the next of those.
    ///
    /// # Errors
    /// Those of [`CanaryScope::window`].
    pub fn window_of(&self, kind: &QueryKind) -> Result<Window, Refusal> {
        let window = self.window()?;
        if *kind != QueryKind::Datadog || window.len() < 2 {
            return Ok(window);
        }
        let step = i64::from(window.step_seconds);
        let next = |at: i64| at.saturating_add((step - at.rem_euclid(step)) % step);
        Ok(Window { start: next(window.first_point()), end: next(window.end), ..window })
    }
}
