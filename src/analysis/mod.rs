//! The use case: plan the queries, read both arms, align them on the step grid, judge, and keep the evidence.
//!
//! Every edge translates what it is told into a [`Request`], has [`Analyst::plan`] check it, and renders the [`Scorecard`] that
//! [`Analyst::run`] answers with. Each file imports only those above it here:
//!
//! | file | what it is |
//! | --- | --- |
//! | `limits`, `error`, `labels` | bounds of one analysis; why there is no verdict; what a caller writes on it |
//! | `samples`, `request`, `times`, `scorecard` | samples on the wire; what is asked; how long it took; what is answered |
//! | `query` | a planned query and its windows |
//! | `align/` | what is told of two arms' points on one grid; knows no plan |
//! | `plan` | a checked request with every query |
//! | `observer` | who is told of every judgement |
//! | `turns`, `fetch`, `beside`, `read` | which query may be asked; one of them; what is of use beside a window; all that a plan asks for |
//! | `pairing`, `arms`, `population`, `assemble` | replies to evidence |
//! | `provenance`, `annotate` | digest and statistics; what is said beside the judge |
//! | `judging`, `run` | judges on a pool of threads; the whole |

mod align;
mod annotate;
mod arms;
mod assemble;
mod beside;
mod error;
mod fetch;
mod judging;
mod labels;
mod limits;
mod observer;
mod pairing;
mod plan;
mod population;
mod provenance;
mod query;
mod read;
mod request;
mod run;
mod samples;
mod scorecard;
mod times;
mod turns;

pub(crate) use align::resolution::{least_common_multiple, repeats, stride};
pub(crate) use arms::{AnsweredQuery, arm_points, histogram_points};
pub use assemble::name_of_series;
pub use error::AnalysisError;
pub(crate) use fetch::QueryAnswer;
pub use labels::Labels;
pub use limits::AnalysisLimits;
pub use observer::JudgementObserver;
pub use plan::Plan;
pub(crate) use query::{Part, PlannedQuery, parts};
pub use read::FetchProgress;
pub use request::{ArmQueries, Request, Scope};
pub use run::Analyst;
pub use samples::{ArmSamples, BucketSamples, EarlierSamples, MetricSamples};
pub use scorecard::{
    AlsoRead, MetricProvenance, MetricStatistics, Provenance, QueryProvenance, Samples, Scorecard, Statistics, WindowSpan,
};
pub use times::StageTimes;
