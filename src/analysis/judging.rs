//! Judges on threads for that, metric by metric and until a deadline: no judgement outlives who asked for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use haldane_judges::{JudgeName, Judgement, Judging};
use tokio::time::Instant;

use super::assemble::Assembly;
use super::error::AnalysisError;
use crate::pool;

/// Until when there is time to judge, and whether anybody waits still.
#[derive(Debug, Clone)]
pub(super) struct Patience {
    deadline: Instant,
    gone: Arc<AtomicBool>,
    /// What is judged, in bytes.
    bytes: usize,
}

impl Patience {
    fn is_over(&self) -> bool {
        self.gone.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    /// Judges metric by metric, as many at once as there are threads. What there is no time for any more is an error of that metric, with
    /// reason `deadline`.
    pub(super) fn judge(&self, name: JudgeName, assembly: &Assembly) -> Judgement {
        let judging = Judging::new(name, &assembly.config, &assembly.evidence);
        let examine = |metric| if self.is_over() { None } else { judging.examine(metric) };
        let results = pool::spread(self.bytes, judging.metrics(), examine);
        judging.conclude(results)
    }
}

/// Says that nobody waits any more, when it is dropped.
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does `work` about so many bytes on the pool, with patience until `deadline` or until this future is dropped.
///
/// # Errors
/// [`AnalysisError::Broken`] where the work panicked.
pub(super) async fn on_the_pool<T: Send + 'static>(
    bytes: usize,
    deadline: Instant,
    work: impl FnOnce(&Patience) -> T + Send + 'static,
) -> Result<T, AnalysisError> {
    let gone = Arc::<AtomicBool>::default();
    let _caller = Caller(Arc::clone(&gone));
    let patience = Patience { deadline, gone, bytes };
    pool::run(bytes, move || work(&patience)).await.map_err(|panic| AnalysisError::Broken(pool::words_of(&*panic).to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use haldane_judges::evidence::{ArmPoints, Evidence, Observation};
    use haldane_judges::scorecard::{Reason, Status};
    use haldane_judges::{CheckedConfig, Verdict};

    use super::*;

    fn assembly() -> Assembly {
        let arm = || ArmPoints::values((0..60).map(|i| f64::from(i % 7)).collect());
        let evidence = Evidence {
            observations: (0..3).map(|_| Observation::Sampled { baseline: arm(), canary: arm() }).collect(),
            step_seconds: 60.0,
            observed_seconds: 3600.0,
            ..Evidence::default()
        };
        let config = CheckedConfig::from_yaml("{name: c, metrics: [{name: a}, {name: b}, {name: c}]}").unwrap();
        Assembly { config, evidence, metrics: Vec::new(), population: Vec::new(), warnings: Vec::new() }
    }

    #[tokio::test]
    async fn what_is_judged_on_the_pool_is_what_is_judged_in_turn() {
        let name = JudgeName::HaldaneV1;
        let soon = Instant::now() + Duration::from_secs(600);
        for bytes in [0, usize::MAX] {
            let judged = on_the_pool(bytes, soon, move |patience| patience.judge(name, &assembly())).await.unwrap();
            let assembly = assembly();
            assert_eq!(judged, haldane_judges::judge(name, &assembly.config, &assembly.evidence));
        }
    }

    #[tokio::test]
    async fn what_there_is_no_time_to_judge_is_an_error_that_says_so_and_no_pass() {
        let judged = on_the_pool(0, Instant::now(), |patience| patience.judge(JudgeName::HaldaneV1, &assembly())).await.unwrap();
        assert!(judged.metrics.iter().all(|metric| (metric.status, metric.reason) == (Status::Error, Reason::Deadline)));
        assert_ne!(judged.verdict, Verdict::Pass);
    }

    #[tokio::test]
    async fn work_ends_once_nobody_waits_for_it() {
        let (begin, begun) = oneshot::channel();
        let (go_on, gone_on) = std::sync::mpsc::channel();
        let (tell, told) = oneshot::channel();
        let later = Instant::now() + Duration::from_secs(600);
        let work = move |patience: &Patience| {
            _ = begin.send(());
            _ = gone_on.recv();
            _ = tell.send(patience.is_over());
        };
        let waiting = tokio::spawn(on_the_pool(0, later, work));
        begun.await.unwrap();
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        assert!(told.await.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_of_this_judgement_alone() {
        let later = Instant::now() + Duration::from_secs(600);
        let broken = on_the_pool(0, later, |_| panic!("a fault")).await;
        assert_eq!(broken, Err::<(), _>(AnalysisError::Broken("a fault".to_owned())));
        assert_eq!(on_the_pool(0, later, |_| 7).await, Ok(7));
    }
}
