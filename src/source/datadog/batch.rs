//! Makes the queries of one window that come at about the same time into one request.
//!
//! A metric set is a few dozen queries over one window, and Datadog counts requests. Each caller waits for its own answer alone: who goes
//! away, or whose query is refused, takes no other's with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, join};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::Instrument as _;

use super::query::Formula;
use crate::source::{Reply, SourceError, Window};

/// How long the first query of a window waits for others.
const COLLECT: Duration = Duration::from_millis(10);
/// Most queries of one request. No limit is documented; this keeps replies and their errors of a size.
const MAX_QUERIES: usize = 40;
/// What is left after a caller's deadline for the request to say why it has no answer.
const GRACE: Duration = Duration::from_millis(25);

/// What one caller asks.
#[derive(Debug, Clone)]
pub(super) struct BatchQuery {
    pub(super) formula: Formula,
    /// Length of the intervals that it asks for, in seconds.
    pub(super) interval_seconds: u32,
    pub(super) window: Window,
    pub(super) deadline: Instant,
}

/// What can be asked several formulas at once.
pub(super) trait AskTogether: Send + Sync + 'static {
    /// The answers in order, or why there is none at all. `splits` says that a failure is answered by asking for fewer at once.
    fn ask_together(
        &self,
        asked: &[BatchQuery],
        deadline: Instant,
        splits: bool,
    ) -> impl Future<Output = Result<Vec<BatchAnswer>, SourceError>> + Send;
}

/// What a request gives for one of its formulas.
#[derive(Debug)]
pub(super) enum BatchAnswer {
    /// A reply, or an error of this formula's own.
    Own(Result<Reply, SourceError>),
    /// An error that may be another's, which makes what came of it doubtful.
    Unclear,
}

struct BatchCaller {
    asked: BatchQuery,
    answer: oneshot::Sender<Result<Reply, SourceError>>,
}

/// What goes into one request: one window, one `interval`, and callers who wait about as long as each other, by doublings. One with much
/// less time would else be told of the time, where it should be told what the others wait for.
type BatchKey = (Window, u32, u32);

#[derive(Debug)]
struct Open {
    number: u64,
    queries: usize,
    join: mpsc::UnboundedSender<BatchCaller>,
}

/// The requests that still take queries.
#[derive(Debug)]
pub(super) struct Batches {
    open: Mutex<(u64, HashMap<BatchKey, Open>)>,
    /// Most queries of one request: fewer for a while after one that was too much for the store or for us.
    most: AtomicUsize,
}

impl Default for Batches {
    fn default() -> Self {
        Self { open: Mutex::default(), most: AtomicUsize::new(MAX_QUERIES) }
    }
}

impl Batches {
    /// Asks together with others, and waits for the answer until the deadline.
    pub(super) async fn ask<S: AskTogether>(self: &Arc<Self>, store: &Arc<S>, asked: BatchQuery) -> Result<Reply, SourceError> {
        let (deadline, began) = (asked.deadline, Instant::now());
        let (answer, answered) = oneshot::channel();
        self.join(store, BatchCaller { asked, answer });
        match timeout_at(deadline + GRACE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(SourceError::Unreachable("the request ended without an answer".to_owned())),
            Err(_) => Err(SourceError::TimedOut { after: began.elapsed(), stage: "no reply was complete".to_owned() }),
        }
    }

    /// Joins the request that is open for the window, or opens one.
    fn join<S: AskTogether>(self: &Arc<Self>, store: &Arc<S>, waiting: BatchCaller) {
        let patience = waiting.asked.deadline.saturating_duration_since(Instant::now()).as_secs();
        let key = (waiting.asked.window, waiting.asked.interval_seconds, patience.checked_ilog2().unwrap_or(0));
        let queries = waiting.asked.formula.queries.len();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (opened, open) = &mut *open;
        if open.get(&key).is_some_and(|batch| batch.queries + queries > self.most.load(Ordering::Relaxed)) {
            // Its task sees the channel closed, and goes ahead.
            open.remove(&key);
        }
        let batch = open.entry(key).or_insert_with(|| {
            *opened += 1;
            let (join, joined) = mpsc::unbounded_channel();
            let (batches, store, number) = (Arc::clone(self), Arc::clone(store), *opened);
            tokio::spawn(async move { batches.answer_all(&*store, key, number, joined).await }.in_current_span());
            Open { number, queries: 0, join }
        });
        batch.queries += queries;
        // It is taken off the map, under this lock, before its task stops listening.
        drop(batch.join.send(waiting));
    }

    /// Asks the queries that come, and tells each caller its answer.
    async fn answer_all<S: AskTogether>(&self, store: &S, key: BatchKey, number: u64, joined: mpsc::UnboundedReceiver<BatchCaller>) {
        let mut waiting = self.collect(key, number, joined).await;
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let answers = ask(store, &waiting).await;
        self.learn(waiting.iter().map(|waiting| waiting.asked.formula.queries.len()).sum(), &answers);
        tell(store, waiting, answers).await;
    }

    /// Halves what later requests ask for after one of so many queries that was too much, and adds one after each that was not.
    fn learn(&self, queries: usize, answers: &Result<Vec<BatchAnswer>, SourceError>) {
        let most = self.most.load(Ordering::Relaxed);
        let learnt = match answers {
            Err(SourceError::TooLarge(_) | SourceError::TooManySeries(_) | SourceError::GaveUp(_)) => most.min(queries / 2).max(1),
            Ok(_) if queries >= most => (most + 1).min(MAX_QUERIES),
            _ => most,
        };
        self.most.store(learnt, Ordering::Relaxed);
    }

    /// The queries that come while a request is open.
    async fn collect(&self, key: BatchKey, number: u64, mut joined: mpsc::UnboundedReceiver<BatchCaller>) -> Vec<BatchCaller> {
        let mut all = Vec::new();
        let end = sleep(COLLECT);
        tokio::pin!(end);
        loop {
            tokio::select! {
                waiting = joined.recv() => match waiting {
                    Some(waiting) => all.push(waiting),
                    None => return all,
                },
                () = &mut end => break,
            }
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.1.get(&key).is_some_and(|batch| batch.number == number) {
            open.1.remove(&key);
        }
        while let Ok(waiting) = joined.try_recv() {
            all.push(waiting);
        }
        all
    }
}

/// Whether a request of fewer queries may not have failed so: one of them may be bad, too much, or what brings the store down.
fn may_be_anothers(error: &SourceError) -> bool {
    !matches!(
        error,
        SourceError::Account(_)
            | SourceError::RateLimited(_)
            | SourceError::NoTime { limited: true, .. }
            | SourceError::Template(_)
            | SourceError::UnknownVariable { .. }
    )
}

/// Whether it is the store that fails: both halves of a request failing so are no two bad queries.
fn is_trouble(answers: &Result<Vec<BatchAnswer>, SourceError>) -> bool {
    matches!(answers, Err(SourceError::Unreachable(_) | SourceError::NoTime { limited: false, .. } | SourceError::TimedOut { .. }))
}

/// Asks for several at once, or with all patience for one alone.
async fn ask<S: AskTogether>(store: &S, waiting: &[BatchCaller]) -> Result<Vec<BatchAnswer>, SourceError> {
    ask_so(store, waiting, waiting.len() > 1).await
}

async fn ask_so<S: AskTogether>(store: &S, waiting: &[BatchCaller], splits: bool) -> Result<Vec<BatchAnswer>, SourceError> {
    let Some(deadline) = waiting.iter().map(|waiting| waiting.asked.deadline).max() else { return Ok(Vec::new()) };
    let asked: Vec<BatchQuery> = waiting.iter().map(|waiting| waiting.asked.clone()).collect();
    store.ask_together(&asked, deadline, splits).await
}

/// Tells each caller its answer. Those whose failure may be another's fault are asked again in halves, until the bad one is alone, or
/// the store itself is seen to fail: then all together once more, with the retries that were left out so far.
fn tell<S: AskTogether>(store: &S, waiting: Vec<BatchCaller>, answers: Result<Vec<BatchAnswer>, SourceError>) -> BoxFuture<'_, ()> {
    async move {
        let several = waiting.len() > 1;
        let (mut again, error) = match answers {
            Ok(answers) => {
                let mut unclear = Vec::new();
                for (waiting, answer) in waiting.into_iter().zip(answers) {
                    match answer {
                        // Who has gone away wants no answer.
                        BatchAnswer::Own(answer) => drop(waiting.answer.send(answer)),
                        BatchAnswer::Unclear => unclear.push(waiting),
                    }
                }
                (unclear, SourceError::Unreadable("it has no answer to the query".to_owned()))
            }
            Err(error) => (waiting, error),
        };
        again.retain(|waiting| !waiting.answer.is_closed());
        if again.is_empty() {
            return;
        }
        if !several || !may_be_anothers(&error) {
            again.into_iter().for_each(|waiting| drop(waiting.answer.send(Err(error.clone()))));
            return;
        }
        let second = again.split_off(again.len() / 2);
        let (of_first, of_second) = join(ask(store, &again), ask(store, &second)).await;
        if is_trouble(&of_first) && is_trouble(&of_second) {
            // No query's fault: all of them once more, and now with patience.
            again.extend(second);
            let answers = ask_so(store, &again, false).await;
            let error = answers.as_ref().err().cloned().unwrap_or(error);
            let answers = answers.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat_with(|| None));
            for (waiting, answer) in again.into_iter().zip(answers) {
                drop(waiting.answer.send(match answer {
                    Some(BatchAnswer::Own(answer)) => answer,
                    Some(BatchAnswer::Unclear) | None => Err(error.clone()),
                }));
            }
            return;
        }
        join(tell(store, again, of_first), tell(store, second, of_second)).await;
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::super::query::Expression;
    use super::*;

    const WINDOW: Window = Window { start: 0, end: 600, step_seconds: 60 };

    /// Refuses what holds `bad`, breaks down over `poison`, however many others are asked with it, and counts requests.
    struct Fussy {
        /// Most formulas whose reply is not too long.
        room: AtomicUsize,
        requests: AtomicUsize,
        formulas: AtomicUsize,
    }

    impl Default for Fussy {
        fn default() -> Self {
            Self { room: AtomicUsize::new(usize::MAX), requests: AtomicUsize::new(0), formulas: AtomicUsize::new(0) }
        }
    }

    impl AskTogether for Fussy {
        async fn ask_together(&self, asked: &[BatchQuery], _: Instant, _: bool) -> Result<Vec<BatchAnswer>, SourceError> {
            self.requests.fetch_add(1, Ordering::Relaxed);
            self.formulas.fetch_add(asked.len(), Ordering::Relaxed);
            if asked.iter().flat_map(|asked| &asked.formula.queries).any(|query| query.contains("bad")) {
                return Err(SourceError::Refused("bad".to_owned()));
            }
            if asked.iter().flat_map(|asked| &asked.formula.queries).any(|query| query.contains("poison")) {
                return Err(SourceError::Unreachable("500".to_owned()));
            }
            if asked.len() > self.room.load(Ordering::Relaxed) {
                return Err(SourceError::TooLarge(1));
            }
            Ok(asked
                .iter()
                .map(|asked| BatchAnswer::Own(Ok(Reply { series: Vec::new(), warnings: asked.formula.queries.clone() })))
                .collect())
        }
    }

    fn asked(text: &str) -> BatchQuery {
        let formula = Formula::of(&Expression::parse(text).unwrap());
        BatchQuery { formula, interval_seconds: 60, window: WINDOW, deadline: Instant::now() + Duration::from_secs(60) }
    }

    #[tokio::test(start_paused = true)]
    async fn queries_of_one_window_are_one_request_and_a_bad_one_fails_alone() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        let answers = join_all((0..10).map(|i| batches.ask(&store, asked(&format!("m{i}{{*}}"))))).await;
        assert_eq!(store.requests.load(Ordering::Relaxed), 1);
        for (i, answer) in answers.into_iter().enumerate() {
            assert_eq!(answer.unwrap().warnings, [format!("m{i}{{*}}")]);
        }
        let answers = join_all(["a{*}", "bad{*}", "c{*}"].map(|text| batches.ask(&store, asked(text)))).await;
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(store.requests.load(Ordering::Relaxed), 1 + 1 + 2 + 2, "in halves");
    }

    #[tokio::test(start_paused = true)]
    async fn a_query_that_brings_the_store_down_fails_alone_and_a_store_that_is_down_is_soon_given_up() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        let texts = |poison: &[usize]| (0..40).map(|i| format!("{}{i}{{*}}", if poison.contains(&i) { "poison" } else { "m" })).collect();
        let one: Vec<String> = texts(&[11]);
        let answers = join_all(one.iter().map(|text| batches.ask(&store, asked(text)))).await;
        assert_eq!(answers.iter().position(Result::is_err), Some(11));
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 39);
        // All, then twice for each of the halvings of 40.
        assert!(store.requests.swap(0, Ordering::Relaxed) <= 1 + 2 * 6);

        let all: Vec<String> = texts(&(0..40).collect::<Vec<_>>());
        let answers = join_all(all.iter().map(|text| batches.ask(&store, asked(text)))).await;
        assert!(answers.iter().all(|answer| matches!(answer, Err(SourceError::Unreachable(_)))));
        assert_eq!(store.requests.load(Ordering::Relaxed), 4, "all, both halves, and all with patience");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_too_much_at_once_is_asked_for_in_smaller_requests_from_then_on() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        store.room.store(20, Ordering::Relaxed);
        for requests in [3, 2, 2] {
            let answers = join_all((0..MAX_QUERIES).map(|i| batches.ask(&store, asked(&format!("m{i}{{*}}"))))).await;
            assert!(answers.iter().all(Result::is_ok));
            // All and both halves; then the halves alone. It is tried again with one more, which here is one too many.
            let sent = store.requests.swap(0, Ordering::Relaxed);
            assert!((requests..=requests + 2).contains(&sent), "{sent}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_little_time_is_told_what_the_store_said() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        let short = BatchQuery { deadline: Instant::now() + Duration::from_secs(5), ..asked("a{*}") };
        let (first, second) = join(batches.ask(&store, short), batches.ask(&store, asked("b{*}"))).await;
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(store.requests.load(Ordering::Relaxed), 2, "they do not wait for each other");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_takes_so_many_queries_and_others_the_next() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        let answers = join_all((0..=MAX_QUERIES).map(|i| batches.ask(&store, asked(&format!("m{i}{{*}}"))))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(store.requests.load(Ordering::Relaxed), 2);
        assert!(batches.open.lock().unwrap().1.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_away_takes_no_others_answer_and_is_not_asked_for() {
        let (store, batches) = (Arc::new(Fussy::default()), Arc::new(Batches::default()));
        let mut first = Box::pin(batches.ask(&store, asked("a{*}")));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let mut second = Box::pin(batches.ask(&store, asked("b{*}")));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(first);
        assert_eq!(second.await.unwrap().warnings, ["b{*}"]);
        assert_eq!((store.requests.load(Ordering::Relaxed), store.formulas.load(Ordering::Relaxed)), (1, 1));
    }
}
