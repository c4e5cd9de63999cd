//! Replays recorded canaries through the judges: how often would they have been right, and what would another config have done?
//!
//! [`run()`] reads files case by case, judges each under every [`Column`] on all processors, and hands the small results over in
//! the files' order, so that the same files give the same output on any number of threads. Recorded points are never kept.
//! [`ReplaySummary`] makes the rates of them, [`Calibration`] the report on what each metric's noise allows.
//!
//! * `run`: batches of cases over the threads. `options`: what to replay.
//! * [`Case`]: a recorded canary's shape. `input`: files; `table`: long-format tables as CSV and NDJSON, `parquet`: as Parquet, with the
//!   feature `datasets`; `long_format`: their rows.
//! * `points`, `provenance`: points on the wire, and where a case is from. `recording`: a case of a judgement. `recorder`: a folder of them. `incidents`: what
//!   labels them.
//! * `rule`: what can judge. `judging`: a case under a judge, `result`: what comes of it. `rows`, `row`: the flat output, which a later replay resumes.
//! * `faults`, `injection`: faults that are put into recorded canaries, and what is then found.
//! * `rates`: rates with intervals; `worth`: what they are worth at a stated defect rate.
//! * `sweep`: wider tolerances; `wrong`: verdicts that were wrong; `page`, `roc_chart`: the report as a page.
//! * `layout`: tables and words. `evaluate`: the measurement on the labelled corpus.

mod calibration;
mod case;
mod error;
pub mod evaluate;
mod faults;
mod incidents;
mod injection;
mod input;
mod judging;
mod layout;
mod long_format;
mod options;
mod page;
#[cfg(feature = "datasets")]
mod parquet;
mod points;
mod provenance;
mod rates;
mod recorder;
mod recording;
mod result;
mod roc_chart;
mod row;
mod rows;
mod rule;
mod run;
mod summary;
mod sweep;
mod table;
pub mod verdicts;
mod worth;
mod wrong;

pub use calibration::{Assumptions, Calibration};
pub use case::{Case, CaseMetric, Instances, Label};
pub use error::ReplayError;
pub use faults::Fault;
pub use incidents::Incidents;
pub use injection::{Injection, Target};
pub use judging::Column;
pub use layout::ReportFormat;
pub use options::{Filter, ReplayOptions};
pub use provenance::CaseProvenance;
pub use recorder::{RecordCounts, RecordFolder, Recorder};
pub use result::{CaseJudgement, CaseLocation, CaseResult, Detection, FOUND_WITHIN_MINUTES, FaultResult, JudgedMetric};
pub use row::ReplayRow;
pub use rule::Rule;
pub use run::{MAX_LOOKS, ReplayCounts, ReplayProgress, default_threads, run};
pub use summary::ReplaySummary;
