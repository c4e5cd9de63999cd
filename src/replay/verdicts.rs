//! Which verdicts of the judge changed between two versions, case by case.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use haldane_judges::Verdict;
use serde::{Deserialize, Serialize};

use super::case::Label;
use super::error::ReplayError;
use super::layout::{ReportFormat, Table};

/// What `haldane-v1` said of one case; one line of a file of verdicts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CaseVerdicts {
    /// The case.
    pub id: String,
    /// Without history and instances.
    pub no_history: Verdict,
    /// With both.
    pub history: Verdict,
}

/// Verdicts as a file of lines.
///
/// # Errors
/// When one cannot be written as JSON.
pub fn lines(verdicts: &[CaseVerdicts]) -> Result<String, String> {
    let lines: Result<Vec<String>, _> = verdicts.iter().map(serde_json::to_string).collect();
    lines.map(|lines| lines.join("\n") + "\n").map_err(|error| error.to_string())
}

/// Reads a file of verdicts.
///
/// # Errors
/// [`ReplayError::Input`] with the line that is wrong.
pub(super) fn read(path: &Path) -> Result<Vec<CaseVerdicts>, ReplayError> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| ReplayError::Input(format!("`{shown}` cannot be read: {error}")))?;
    let parsed = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| {
        serde_json::from_str(line)
            .map_err(|error| ReplayError::Input(format!("`{shown}` line {}: {error}; give a file that --verdicts wrote", i + 1)))
    });
    parsed.collect()
}

/// Writes how many verdicts changed which way: of healthy and of faulty cases, without and with history.
pub(super) fn write_changes(before: &[CaseVerdicts], now: &[(Label, CaseVerdicts)], out: &mut String) {
    let known: BTreeMap<&str, &CaseVerdicts> = before.iter().map(|verdicts| (verdicts.id.as_str(), verdicts)).collect();
    let columns = ["healthy", "faulty", "healthy, no history", "faulty, no history"].map(str::to_owned);
    let mut counts: BTreeMap<(Verdict, Verdict), [u64; 4]> = BTreeMap::new();
    let mut shared = 0;
    for (label, verdicts) in now {
        let Some(old) = known.get(verdicts.id.as_str()) else { continue };
        shared += 1;
        let faulty = usize::from(*label == Label::Regressed);
        for (place, change) in [(faulty, (old.history, verdicts.history)), (2 + faulty, (old.no_history, verdicts.no_history))] {
            if let Some(count) = counts.entry(change).or_default().get_mut(place) {
                *count += 1;
            }
        }
    }
    let _ = writeln!(
        out,
        "\nVerdicts of haldane-v1 before and now: {shared} cases in both, {} only before, {} only now\n",
        before.len() - shared,
        now.len() - shared
    );
    let mut table = Table::new("before -> now", &columns);
    let mut changed = [0; 4];
    for ((old, new), cells) in &counts {
        if old != new {
            changed.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell);
        }
        table.push(format!("{old} -> {new}"), cells.map(|cell| cell.to_string()).to_vec());
    }
    table.push("changed".to_owned(), changed.map(|cell| cell.to_string()).to_vec());
    table.write(out, ReportFormat::Markdown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_by_what_a_case_was_in_truth() {
        let of = |id: &str, no_history: Verdict, history: Verdict| CaseVerdicts { id: id.to_owned(), no_history, history };
        let before =
            [of("a", Verdict::Fail, Verdict::Pass), of("b", Verdict::Pass, Verdict::Pass), of("gone", Verdict::Pass, Verdict::Pass)];
        let now = [
            (Label::Healthy, of("a", Verdict::Pass, Verdict::Pass)),
            (Label::Regressed, of("b", Verdict::Pass, Verdict::Fail)),
            (Label::Healthy, of("new", Verdict::Pass, Verdict::Pass)),
        ];
        let mut out = String::new();
        write_changes(&before, &now, &mut out);
        for part in [
            "2 cases in both, 1 only before, 1 only now",
            "| pass -> fail | 0 | 1 | 0 | 0 |",
            "| fail -> pass | 0 | 0 | 1 | 0 |",
            "| pass -> pass | 1 | 0 | 0 | 1 |",
            "| changed | 0 | 1 | 1 | 0 |",
        ] {
            assert!(out.contains(part), "{part} is missing:\n{out}");
        }
    }

    #[test]
    fn a_file_of_verdicts_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("verdicts.jsonl");
        let verdicts = vec![CaseVerdicts { id: "a \"b\"".to_owned(), no_history: Verdict::Fail, history: Verdict::Marginal }];
        std::fs::write(&path, lines(&verdicts).unwrap()).unwrap();
        assert_eq!(read(&path).unwrap(), verdicts);
        std::fs::write(&path, "{\"id\": \"a\"}\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("line 1: missing field"));
    }
}
