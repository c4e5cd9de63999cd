//! The figures: one Markdown table for people, JSON for whoever compares runs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// What a figure is counted in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    PerSecond,
    Seconds,
    Bytes,
    Count,
}

/// What was measured, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<Row>);

#[derive(Debug)]
struct Row {
    name: String,
    unit: Unit,
    rounds: Vec<f64>,
}

impl Report {
    /// Adds a round's figure to a row, which is made where there is none.
    pub(crate) fn add(&mut self, name: &str, unit: Unit, figure: f64) {
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(figure),
            None => self.0.push(Row { name: name.to_owned(), unit, rounds: vec![figure] }),
        }
    }

    /// The rows, each with its median and its rounds in the order in which they were measured; seconds, bytes, numbers a second.
    pub(crate) fn json(&self) -> Value {
        let row = |row: &Row| (row.name.clone(), json!({ "median": median(&row.rounds), "rounds": row.rounds }));
        Value::Object(self.0.iter().map(row).collect::<Map<_, _>>())
    }

    /// A row for each measure: the median of its rounds, and between what they lay.
    pub(crate) fn markdown(&self) -> String {
        let mut text = "| what | median | lowest | highest | rounds |\n| --- | ---: | ---: | ---: | ---: |\n".to_owned();
        for Row { name, unit, rounds } in &self.0 {
            let [low, middle, high] = [
                rounds.iter().copied().fold(f64::INFINITY, f64::min),
                median(rounds),
                rounds.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ]
            .map(|figure| written(figure, *unit));
            // A string takes everything.
            let _ = writeln!(text, "| {name} | {middle} | {low} | {high} | {} |", rounds.len());
        }
        text
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (n, half) if n % 2 == 1 => sorted[half],
        (_, half) => (sorted[half - 1] + sorted[half]) / 2.0,
    }
}

/// A figure with its unit, to three digits or the whole number.
fn written(figure: f64, unit: Unit) -> String {
    let (scaled, unit) = match unit {
        Unit::PerSecond => (figure, " /s"),
        Unit::Count => (figure, ""),
        Unit::Bytes if figure < 1e6 => (figure / 1e3, " kB"),
        Unit::Bytes => (figure / 1e6, " MB"),
        Unit::Seconds if figure.abs() < 1e-3 => (figure * 1e6, " µs"),
        Unit::Seconds if figure.abs() < 1.0 => (figure * 1e3, " ms"),
        Unit::Seconds => (figure, " s"),
    };
    let decimals = match scaled.abs() {
        size if size >= 100.0 || scaled.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{scaled:.decimals$}{unit}")
}
