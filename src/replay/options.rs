//! What to replay, and how.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::case::{Case, Label};
use super::injection::Injection;
use super::judging::Column;

/// A condition on cases, such as `source=shop,search`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    field: Field,
    values: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Source,
    Label,
    Group,
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hint = || {
            format!(
                "`{}` is no filter; use source=, label= or group= with values between commas",
                text.chars().take(60).collect::<String>()
            )
        };
        let (field, values) = text.split_once('=').ok_or_else(hint)?;
        let field = match field {
            "source" => Field::Source,
            "label" => Field::Label,
            "group" => Field::Group,
            _ => return Err(hint()),
        };
        let values: BTreeSet<String> = values.split(',').map(str::to_owned).collect();
        if field == Field::Label
            && let Some(unknown) = values.iter().find(|value| !["healthy", "regressed", "none"].contains(&value.as_str()))
        {
            return Err(format!("`{}` is no label; use healthy, regressed or none", unknown.chars().take(60).collect::<String>()));
        }
        Ok(Self { field, values })
    }
}

impl Filter {
    pub(super) fn keeps(&self, case: &Case) -> bool {
        let value = match self.field {
            Field::Source => &case.source,
            Field::Group => case.group(),
            Field::Label => match case.label {
                Some(Label::Healthy) => "healthy",
                Some(Label::Regressed) => "regressed",
                None => "none",
            },
        };
        self.values.contains(value)
    }
}

/// What to replay, and how.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Judges with their configs.
    pub columns: Vec<Column>,
    /// Faults that are put into healthy canaries, which are judged once more for each.
    pub injection: Option<Injection>,
    /// Growing windows that are judged beside the whole one.
    pub looks: Option<u32>,
    /// Conditions that a case must meet, all of them.
    pub filters: Vec<Filter>,
    /// Fewest points of the canary.
    pub min_points: usize,
    /// Seconds at the end of each arm that are the window; what a table has before them is history.
    pub window_seconds: Option<f64>,
    /// Where the rows go.
    pub output: Option<PathBuf>,
    /// Whether to go on with an output that exists.
    pub resume: bool,
    /// Threads that judge.
    pub threads: NonZeroUsize,
}
