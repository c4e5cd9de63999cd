//! Judgements: starts judgements, joins those in flight, remembers those that ended, and runs again those that were forgotten.
//!
//! Nothing here has to survive: a judgement's id is its request (see [`id`]), so any replica can begin again. With a store the
//! id is short, the request is kept under it, and so is the scorecard once it has ended.

pub mod id;
mod lanes;
mod links;
mod list;
mod signature;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use moka::future::Cache;
use moka::policy::{EvictionPolicy, Expiry};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tracing::{Instrument as _, debug_span};

use crate::analysis::{AnalysisError, Analyst, Plan, Request, Samples, Scorecard};
use crate::archive::{Archive, ArchiveError, DocumentKind, is_short_id, place_before, short_id};
use crate::intake::Admitted;
use crate::pool::{self, words_of};
use crate::source::cache::Source;
use id::IdError;
pub use id::{IdKey, Identity, Key};
pub use lanes::LaneCount;
use lanes::{Lane, LanePlace, Lanes};
pub use links::Links;
pub use list::{JudgementFilter, JudgementPage, JudgementSummary};
pub use signature::LinkKey;

/// Bounds of the executions of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most analyses that run at once and read from the same source, or from none.
    pub concurrent: usize,
    /// Most of those that wait for their turn; more are refused.
    pub queue: usize,
    /// Time for one analysis, its wait included, unless the caller says otherwise.
    pub default_deadline: Duration,
    /// The same for one that is polled: no connection waits for it, and many may be started at once.
    pub background_deadline: Duration,
    /// Bytes of ended executions that are remembered.
    pub remembered_bytes: u64,
    /// How long an ended execution is remembered.
    pub remembered_for: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrent: 64,
            queue: 512,
            default_deadline: Duration::from_secs(50),
            background_deadline: Duration::from_secs(300),
            remembered_bytes: 64 << 20,
            remembered_for: Duration::from_secs(3600),
        }
    }
}

/// How long a fault of ours is remembered: long enough for whoever polls to read it, short enough to try again.
const CRASH_REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// The id of a request with more queries is made on another thread: it takes a tenth of a millisecond for so many.
const FEW_QUERIES: usize = 64;

/// Why an execution gave no scorecard.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// The analysis says why.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// Too many analyses run and wait already that read from the same source, or from none.
    #[error("too many judgements of this source are running; ask again in a few seconds")]
    Overloaded,
    /// A fault of ours. The log has the details.
    #[error("the judgement broke off because of a fault in this program; the log of the server has the details")]
    Crashed,
    /// Somebody asked for it to stop.
    #[error("the judgement was cancelled")]
    Cancelled,
}

/// Why an execution was not started.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StartError {
    /// It could only have failed.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// It could not be asked for later.
    #[error(transparent)]
    Id(#[from] IdError),
    /// It could not be kept.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Why nothing is known of an execution.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LookError {
    /// The text is no id of ours.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The store that keeps it cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// What the store keeps of a request that was accepted.
#[derive(Debug, Serialize, Deserialize)]
struct StoredRequest<'a> {
    created: Timestamp,
    request: Cow<'a, Request>,
}

/// How an execution ended.
pub type ExecutionResult = Result<Arc<Scorecard>, Failure>;

/// An execution's ending with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// How it ended.
    pub ending: ExecutionResult,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// What is known of an execution.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It has not ended yet.
    Running,
    /// It gave a scorecard.
    Done(Arc<Scorecard>),
    /// It gave none.
    Failed(Failure),
}

impl From<ExecutionResult> for Outcome {
    fn from(ending: ExecutionResult) -> Self {
        match ending {
            Ok(scorecard) => Self::Done(scorecard),
            Err(failure) => Self::Failed(failure),
        }
    }
}

/// Where an answer about an execution came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnswerOrigin {
    /// It had ended and was remembered.
    Remembered,
    /// It was running.
    Joined,
    /// It was not known here and was run again.
    RunAgain,
}

/// Digests that are remembered, and how long.
const DIGESTS: u64 = 100_000;
const DIGESTS_FOR: Duration = Duration::from_secs(24 * 3600);

/// Told of every execution that ended.
pub type Observer = dyn Fn(&ExecutionResult) + Send + Sync;

type EndWatch = watch::Receiver<Option<Run>>;

/// An execution under way.
#[derive(Clone)]
struct RunningExecution {
    started: Timestamp,
    ended: EndWatch,
    cancel: Arc<Notify>,
}

/// The executions of one process.
#[derive(Clone)]
pub struct Judgements(Arc<Inner>);

struct Inner {
    analyst: Arc<Analyst>,
    key: IdKey,
    store: Option<Archive>,
    options: Options,
    links: Links,
    observer: Box<Observer>,
    lanes: Lanes,
    running: Mutex<HashMap<Key, RunningExecution>>,
    ended: Cache<Key, Run>,
    /// The digests of samples, for longer than the scorecards: a run of the same request can then say that its samples are others.
    digests: Cache<Key, String>,
}

impl fmt::Debug for Judgements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judgements").field("options", &self.0.options).field("unfinished", &self.unfinished()).finish_non_exhaustive()
    }
}

impl Judgements {
    /// Judgements of `analyst`, whose ids are signed with `key`, or short where there is a store, and which people read at `links`. `observer`
    /// is told of each that ended.
    #[must_use]
    pub fn new(analyst: Arc<Analyst>, key: IdKey, store: Option<Archive>, options: Options, links: Links, observer: Box<Observer>) -> Self {
        let lanes = Lanes::new(analyst.sources().iter().map(Source::name), options.concurrent, options.queue);
        let ended = Cache::builder()
            .max_capacity(options.remembered_bytes)
            // The default policy turns newcomers away in favour of what was asked for often; a poller needs the newest.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_: &Key, run: &Run| weight(&run.ending))
            .expire_after(Remembering { done: options.remembered_for })
            .build();
        Self(Arc::new(Inner {
            analyst,
            key,
            store,
            options,
            links,
            observer,
            lanes,
            running: Mutex::default(),
            ended,
            digests: Cache::builder().max_capacity(DIGESTS).time_to_live(DIGESTS_FOR).build(),
        }))
    }

    /// The analyst that runs them.
    #[must_use]
    pub fn analyst(&self) -> &Arc<Analyst> {
        &self.0.analyst
    }

    /// The bounds they keep.
    #[must_use]
    pub fn options(&self) -> Options {
        self.0.options
    }

    /// Time for one judgement that is not polled.
    #[must_use]
    pub fn default_deadline(&self) -> Duration {
        self.0.options.default_deadline
    }

    /// Number of analyses that run or wait.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.0.lanes.unfinished()
    }

    /// Number of analyses that wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.lanes.waiting()
    }

    /// Both for each source.
    #[must_use]
    pub fn lanes(&self) -> Vec<LaneCount> {
        self.0.lanes.counts()
    }

    /// The key that ids are signed with.
    #[must_use]
    pub fn key(&self) -> &IdKey {
        &self.0.key
    }

    /// Checks a request; see [`Analyst::plan`].
    ///
    /// # Errors
    /// Those of [`Analyst::plan`].
    pub fn plan(&self, request: Request) -> Result<Arc<Plan>, AnalysisError> {
        self.0.analyst.plan(request)
    }

    /// Starts a judgement and returns its id at once. It keeps its request's `place` until it has ended.
    ///
    /// # Errors
    /// [`StartError`] when the request has no id, cannot be kept, or there is no room.
    pub(crate) async fn start(&self, plan: Arc<Plan>, place: Option<Arc<Admitted>>) -> Result<String, StartError> {
        let identity = self.identity(&plan).await?;
        let id = identity.id.clone();
        self.launch(Some(identity), plan, place, self.0.options.background_deadline, false)?;
        Ok(id)
    }

    async fn identity(&self, plan: &Arc<Plan>) -> Result<Identity, StartError> {
        let created = Timestamp::now();
        if let Some(store) = &self.0.store {
            let id = short_id(created, rand::random());
            store.create(DocumentKind::Execution, &id, &StoredRequest { created, request: Cow::Borrowed(plan.request()) }).await?;
            return Ok(Identity::short(&id));
        }
        if !plan.request().samples.is_empty() {
            return Err(IdError::InlineSamples.into());
        }
        if plan.queries() <= FEW_QUERIES {
            return Ok(id::encode(plan.request(), &self.0.key, created, rand::random())?);
        }
        let (plan, key) = (Arc::clone(plan), self.0.key.clone());
        let encoding = pool::run(0, move || id::encode(plan.request(), &key, created, rand::random()));
        Ok(encoding.await.unwrap_or_else(|panic| Err(IdError::Unwritable(words_of(&*panic).to_owned())))?)
    }

    /// Judges and waits for the end, at most `deadline`. The judgement ends, and is remembered, also when the caller goes away; it keeps its
    /// request's `place` until then.
    ///
    /// # Errors
    /// [`Failure`] when there is no scorecard.
    pub(crate) async fn run_to_end(&self, plan: Arc<Plan>, place: Option<Arc<Admitted>>, deadline: Duration) -> ExecutionResult {
        // Whoever waits for the scorecard needs no id.
        let identity = self.identity(&plan).await;
        let identity = identity
            .inspect_err(|error| match error {
                StartError::Archive(error) => tracing::error!(%error, "a judgement is made that is not kept"),
                error => tracing::debug!(%error, "judging without an id"),
            })
            .ok();
        let running = self.launch(identity, plan, place, deadline, false)?;
        end_of(running.ended).await.ending
    }

    /// Judges and waits for the end, at most `deadline`; nothing is remembered or kept.
    ///
    /// # Errors
    /// [`Failure`] when there is no scorecard.
    pub(crate) async fn calculate(&self, request: Request, place: Option<Arc<Admitted>>, deadline: Duration) -> ExecutionResult {
        end_of(self.launch(None, self.plan(request)?, place, deadline, false)?.ended).await.ending
    }

    /// Waits for the end of an execution, at most `how_long`: joins it, remembers it, or runs it again.
    ///
    /// # Errors
    /// [`LookError`] when the text is no id of ours, or the store cannot be read.
    pub async fn wait(&self, id: &str, how_long: Duration) -> Result<(Outcome, AnswerOrigin), LookError> {
        let identity = if is_short_id(id) { Identity::short(id) } else { id::identify(id, &self.0.key)? };
        let (run, found) = match self.find(&identity).await? {
            Some(ExecutionLookup::Ended(run)) => return Ok((run.ending.into(), AnswerOrigin::Remembered)),
            Some(ExecutionLookup::Running(running)) => (running, AnswerOrigin::Joined),
            None => {
                let request = self.request_of(id).await?;
                match self.begin(identity, request, true) {
                    Ok(running) => (running, AnswerOrigin::RunAgain),
                    Err(failure) => return Ok((Outcome::Failed(failure), AnswerOrigin::RunAgain)),
                }
            }
        };
        let outcome = timeout(how_long, end_of(run.ended)).await.map_or(Outcome::Running, |run| run.ending.into());
        Ok((outcome, found))
    }

    /// Begins a judgement whose id another edge has made, or joins the one under way. `again` says that it was begun before, here
    /// or elsewhere.
    ///
    /// # Errors
    /// [`Failure`] when the request cannot be judged with today's settings, or there is no room.
    pub fn follow(&self, identity: Identity, request: Request, again: bool) -> Result<(), Failure> {
        self.begin(identity, request, again).map(|_| ())
    }

    /// What is known of an execution, once `how_long` has passed or it has ended; `None` where it is not known here and the store, if
    /// there is one, has no scorecard of it.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store cannot be read.
    pub async fn look(&self, identity: &Identity, how_long: Duration) -> Result<Option<Snapshot>, ArchiveError> {
        Ok(match self.find(identity).await? {
            None => None,
            Some(ExecutionLookup::Ended(run)) => Some(Snapshot::Ended(run)),
            Some(ExecutionLookup::Running(running)) => Some(match timeout(how_long, end_of(running.ended)).await {
                Ok(run) => Snapshot::Ended(run),
                Err(_) => Snapshot::Running { started: running.started },
            }),
        })
    }

    /// Judgements that ended and are meant, newest first, at most `limit` and what else was judged in the last one's instant: those in the
    /// store, or without one those that this process remembers.
    ///
    /// # Errors
    /// [`ArchiveError`] when the store cannot be read.
    pub async fn list(&self, filter: &JudgementFilter, limit: usize) -> Result<JudgementPage, ArchiveError> {
        let Some(store) = &self.0.store else {
            let remembered = self.0.ended.iter().filter_map(|(_, run)| JudgementSummary::of(run.ending.as_deref().ok()?));
            return Ok(JudgementPage::newest(remembered.filter(|one| filter.takes(one)).collect(), limit));
        };
        let (mut found, mut after) = (Vec::new(), filter.until.map(place_before));
        let mut oldest = None;
        // Where each page is a look at everything there is, one must do.
        let (size, pages) = if store.lists_in_order() { (STORE_PAGE, MOST_STORE_PAGES) } else { (STORE_PAGE * MOST_STORE_PAGES, 1) };
        for _ in 0..pages {
            let page = store.newest_documents::<JudgementSummary>(DocumentKind::Summary, after.as_deref(), size).await?;
            let is_last = page.len() < size;
            for (place, summary) in page {
                after = Some(place);
                let Some(summary) = summary else { continue };
                oldest = Some(summary.judged_at);
                found.extend(filter.takes(&summary).then_some(summary));
            }
            let too_old = oldest.is_some_and(|oldest| filter.since.is_some_and(|since| oldest < since));
            if is_last || too_old || found.len() > limit {
                return Ok(JudgementPage::newest(found, limit));
            }
        }
        // What is older is for the next page, also where nothing was found for this one.
        let mut page = JudgementPage::newest(found, limit);
        page.until = page.until.or(oldest);
        Ok(page)
    }

    /// Stops an execution that runs here; where it does not, nothing happens and the answer is false.
    #[must_use]
    pub fn cancel(&self, key: &Key) -> bool {
        self.running(key).is_some_and(|running| {
            running.cancel.notify_one();
            true
        })
    }

    async fn find(&self, identity: &Identity) -> Result<Option<ExecutionLookup>, ArchiveError> {
        if let Some(running) = self.running(&identity.key) {
            return Ok(Some(ExecutionLookup::Running(running)));
        }
        if let Some(run) = self.0.ended.get(&identity.key).await {
            return Ok(Some(ExecutionLookup::Ended(run)));
        }
        let Some(store) = self.0.store.as_ref().filter(|_| is_short_id(&identity.id)) else { return Ok(None) };
        let Some(kept) = store.get::<Scorecard>(DocumentKind::Scorecard, &identity.id).await? else { return Ok(None) };
        let (started, ended) = (kept.value.judged_at, kept.value.judged_at);
        let run = Run { ending: Ok(Arc::new(self.0.fitting(kept.value))), started, ended };
        self.0.ended.insert(identity.key, run.clone()).await;
        Ok(Some(ExecutionLookup::Ended(run)))
    }

    /// What an id is of. Nothing is run.
    ///
    /// # Errors
    /// As [`Judgements::wait`].
    pub(crate) async fn request_of(&self, id: &str) -> Result<Request, LookError> {
        if is_short_id(id) { self.kept(id).await } else { Ok(id::decode::<Request>(id, &self.0.key)?.request) }
    }

    /// The request that the store keeps under a short id.
    async fn kept(&self, id: &str) -> Result<Request, LookError> {
        let Some(store) = &self.0.store else {
            return Err(IdError::Unknown("the id is that of a judgement in a store, and this replica runs without `--store`").into());
        };
        match store.get::<StoredRequest<'static>>(DocumentKind::Execution, id).await? {
            Some(stored) => Ok(stored.value.request.into_owned()),
            None => Err(IdError::Unknown("the store has none with this id").into()),
        }
    }

    /// Settings may have changed since the id was given out, and another replica may have other sources: the request is planned again.
    fn begin(&self, identity: Identity, request: Request, again: bool) -> Result<RunningExecution, Failure> {
        self.launch(Some(identity), self.plan(request)?, None, self.0.options.background_deadline, again)
    }

    /// Waits until no analysis runs or waits, at most `how_long`; none begins meanwhile. Returns the number left behind.
    pub async fn finish(&self, how_long: Duration) -> usize {
        match timeout(how_long, self.0.lanes.close()).await {
            Ok(()) => 0,
            Err(_) => self.unfinished(),
        }
    }

    fn running(&self, key: &Key) -> Option<RunningExecution> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Runs a plan on a task of its own, which ends whether or not somebody waits; or joins the one with the same key.
    fn launch(
        &self,
        identity: Option<Identity>,
        plan: Arc<Plan>,
        place: Option<Arc<Admitted>>,
        deadline: Duration,
        rerun: bool,
    ) -> Result<RunningExecution, Failure> {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = identity.as_ref().and_then(|identity| running.get(&identity.key)) {
            return Ok(one.clone());
        }
        let lane = Arc::clone(self.0.lanes.of(plan.source().map(Source::name)));
        let admitted = lane.enter().ok_or(Failure::Overloaded)?;
        let (sender, ended) = watch::channel(None);
        let cancel = Arc::new(Notify::new());
        let one = RunningExecution { started: Timestamp::now(), ended, cancel };
        let key = identity.as_ref().map(|identity| identity.key);
        if let Some(key) = key {
            running.insert(key, one.clone());
        }
        drop(running);
        let inner = Arc::clone(&self.0);
        let leave = Leave { inner: Arc::clone(&self.0), key };
        let (started, cancel) = (one.started, Arc::clone(&one.cancel));
        let (archiver, archived) = (Arc::clone(&self.0), identity.as_ref().map(|identity| identity.id.clone()));
        let task = async move {
            let run = async {
                let ending = tokio::select! {
                    ending = inner.run(identity, &plan, &lane, deadline, rerun) => ending,
                    () = cancel.notified() => Err(Failure::Cancelled),
                };
                Run { ending, started, ended: Timestamp::now() }
            };
            let run = match key {
                // Single flight once more: an execution that ended between a caller's two looks is not run twice.
                Some(key) => inner.ended.get_with(key, run).await,
                None => run.await,
            };
            // Whoever waits need not wait for the store as well.
            sender.send_replace(Some(run.clone()));
            drop(leave);
            archiver.archive(archived, &run).await;
            drop::<(LanePlace, Option<Arc<Admitted>>)>((admitted, place));
        };
        tokio::spawn(task.in_current_span());
        Ok(one)
    }
}

/// What is known of an execution here.
enum ExecutionLookup {
    Running(RunningExecution),
    Ended(Run),
}

/// What a look at an execution showed.
#[derive(Debug, Clone, PartialEq)]
pub enum Snapshot {
    /// It has not ended yet.
    Running {
        /// When it began.
        started: Timestamp,
    },
    /// It has ended.
    Ended(Run),
}

/// Strikes an execution off the running ones, however its task ends.
struct Leave {
    inner: Arc<Inner>,
    key: Option<Key>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(key) = &self.key {
            self.inner.running.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        }
    }
}

impl Inner {
    async fn run(&self, identity: Option<Identity>, plan: &Arc<Plan>, lane: &Lane, deadline: Duration, rerun: bool) -> ExecutionResult {
        let now = Instant::now();
        let ending = AssertUnwindSafe(async {
            // Half of the time for the wait leaves half for the metric stores; a later turn would only give errors.
            let turn = lane.turn(now + deadline / 2).instrument(debug_span!("queue")).await;
            let queue = now.elapsed();
            let Some(_turn) = turn else { return Err(Failure::Overloaded) };
            let mut scorecard = self.analyst.run(plan, now + deadline, &|_| {}).await?;
            scorecard.rerun = rerun;
            scorecard.times.queue = queue;
            if let Some(Identity { key, id }) = identity {
                let digest = &scorecard.data.digest;
                let before = self.digests.get(&key).await;
                if before.is_some_and(|before| before != *digest) {
                    scorecard.judgement.warnings.push(SAMPLES_CHANGED.to_owned());
                }
                self.digests.insert(key, digest.clone()).await;
                scorecard.url = self.links.of(&id);
                scorecard.id = Some(id);
            }
            Ok(scorecard)
        })
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let message = words_of(&*panic);
            tracing::error!(panic = message, config = %plan.request().config.name, "a judgement panicked");
            Err(Failure::Crashed)
        })
        .map(|scorecard| Arc::new(self.fitting(scorecard)));
        if let Err(error @ Failure::Analysis(AnalysisError::Broken(_))) = &ending {
            tracing::error!(%error, config = %plan.request().config.name, "a judgement broke off");
        }
        (self.observer)(&ending);
        ending
    }

    /// Keeps the scorecard of what has a short id. What cannot be kept is not lost: the request is there to be run again.
    async fn archive(&self, id: Option<String>, run: &Run) {
        let (Some(store), Some(id), Ok(scorecard)) = (&self.store, id.filter(|id| is_short_id(id)), &run.ending) else { return };
        let mut written = store.create(DocumentKind::Scorecard, &id, &Scorecard::clone(scorecard).with_samples()).await;
        if matches!(written, Err(ArchiveError::TooLarge { .. })) {
            tracing::warn!(id, "the samples of a judgement are too many to be kept; it is kept without them");
            written = store.create(DocumentKind::Scorecard, &id, scorecard.as_ref()).await;
        }
        match written {
            // Another replica was quicker.
            Ok(()) | Err(ArchiveError::Exists { .. }) => {}
            Err(error) => {
                tracing::error!(%error, id, "a scorecard was not kept");
                return;
            }
        }
        let Some(summary) = JudgementSummary::of(scorecard) else { return };
        if let Err(error) = store.put_in_time(DocumentKind::Summary, summary.judged_at, &id, &summary).await {
            tracing::error!(%error, id, "a scorecard was kept that no list has");
        }
    }

    /// The scorecard itself; one without the samples of the past, where it would leave room for few others; or one without any samples,
    /// where these alone are more than is remembered.
    fn fitting(&self, mut scorecard: Scorecard) -> Scorecard {
        let remembered = self.options.remembered_bytes;
        if scorecard.id.is_none() || scorecard.size() as u64 <= remembered / FEWEST_WITH_HISTORY {
            return scorecard;
        }
        scorecard.samples = scorecard.samples.of_window();
        if scorecard.size() as u64 > remembered {
            tracing::warn!(config = %scorecard.judgement.config, "the samples of a judgement are too many to be remembered; it is kept without them");
            scorecard.samples = Samples::default();
            scorecard = scorecard.without_samples();
        }
        scorecard
    }
}

/// Documents of a store that are read at once for a list, and how often for one page of it.
const STORE_PAGE: usize = 100;
const MOST_STORE_PAGES: usize = 10;

/// Scorecards that are remembered at least, with the samples of the past: those can be a hundred times as long as the window's.
const FEWEST_WITH_HISTORY: u64 = 256;

/// What a judgement says that was made again on other samples.
const SAMPLES_CHANGED: &str =
    "this judgement was made again, and its samples are not those of the time before: points arrived late, or were thrown away";

async fn end_of(mut ended: EndWatch) -> Run {
    // The sender is dropped without a word only when the runtime drops the task.
    let run = ended.wait_for(Option::is_some).await;
    let now = Timestamp::now();
    run.ok().and_then(|run| run.clone()).unwrap_or(Run { ending: Err(Failure::Crashed), started: now, ended: now })
}

struct Remembering {
    done: Duration,
}

impl Expiry<Key, Run> for Remembering {
    fn expire_after_create(&self, _: &Key, run: &Run, _: std::time::Instant) -> Option<Duration> {
        Some(match &run.ending {
            // Whoever polled a failure is not to see it begin again.
            Ok(_) | Err(Failure::Cancelled | Failure::Analysis(_)) => self.done,
            Err(Failure::Overloaded) => Duration::ZERO,
            Err(Failure::Crashed) => CRASH_REMEMBERED_FOR,
        })
    }
}

/// What an ending costs the cache, in bytes.
fn weight(ending: &ExecutionResult) -> u32 {
    match ending {
        Ok(scorecard) => u32::try_from(scorecard.size()).unwrap_or(u32::MAX),
        Err(_) => 1024,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt as _;

    use super::*;
    use crate::analysis::{AnalysisLimits, ArmSamples, MetricSamples};
    use crate::source::sources::Sources;

    fn request() -> Request {
        serde_json::from_value(serde_json::json!({
            "judge": "haldane-v1",
            "config": { "name": "c", "metrics": [{ "name": "m" }] },
            "baseline": {},
            "canary": {},
            "step_seconds": 60,
            "samples": { "m": { "baseline": { "values": [1.0, 2.0] }, "canary": { "values": [1.0, 2.0] } } }
        }))
        .unwrap()
    }

    fn samples_of(scorecard: &Scorecard) -> Option<MetricSamples> {
        scorecard.clone().with_samples().data.metrics.remove(0).samples
    }

    fn plan() -> Arc<Plan> {
        executions(Options::default(), Box::new(|_| {})).plan(request()).unwrap()
    }

    fn executions(options: Options, observer: Box<Observer>) -> Judgements {
        let analyst = Arc::new(Analyst::new(Sources::default(), AnalysisLimits::default()));
        Judgements::new(analyst, IdKey::random(), None, options, Links::default(), observer)
    }

    #[tokio::test]
    async fn a_panic_in_a_run_reaches_who_waits_and_frees_its_place() {
        let options = Options { concurrent: 1, queue: 0, ..Options::default() };
        let executions = executions(options, Box::new(|_| panic!("a fault")));
        for _ in 0..3 {
            assert_eq!(executions.run_to_end(plan(), None, Duration::from_secs(60)).await, Err(Failure::Crashed));
        }
        // The same for a run with an id, whose place among the running ones others look at.
        let ended =
            executions.launch(Some(Identity { key: [1; 32], id: "id".to_owned() }), plan(), None, Duration::from_secs(60), false).unwrap();
        assert_eq!(end_of(ended.ended).await.ending, Err(Failure::Crashed));
        assert_eq!(executions.finish(Duration::from_secs(60)).await, 0);
        assert!(executions.running(&[1; 32]).is_none());
    }

    #[tokio::test]
    async fn equal_keys_run_once() {
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let executions = executions(Options::default(), Box::new(move |_| _ = count.fetch_add(1, Ordering::Relaxed)));
        let launch = || {
            executions.launch(Some(Identity { key: [1; 32], id: "id".to_owned() }), plan(), None, Duration::from_secs(60), false).unwrap()
        };
        let (first, second) = tokio::join!(end_of(launch().ended), end_of(launch().ended));
        let third = end_of(launch().ended).await;
        assert!(first.ending.is_ok() && first == second && second == third, "{first:?}");
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_does_not_stop_the_run() {
        let (told, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let executions = executions(Options::default(), Box::new(move |ending| _ = told.send(ending.is_ok())));
        let caller = executions.run_to_end(plan(), None, Duration::from_secs(60));
        // Polled once, which starts the run, and dropped: nothing else runs on this thread meanwhile, however slow the machine is.
        assert!(caller.now_or_never().is_none());
        assert_eq!(ended.recv().await, Some(true));
    }

    #[tokio::test]
    async fn no_place_is_overload_and_nothing_begins_after_the_end() {
        let options = Options { concurrent: 1, queue: 0, ..Options::default() };
        let executions = executions(options, Box::new(|_| {}));
        let first = executions.launch(None, plan(), None, Duration::from_secs(60), false).unwrap();
        assert_eq!(executions.run_to_end(plan(), None, Duration::from_secs(60)).await, Err(Failure::Overloaded));
        assert!(end_of(first.ended).await.ending.is_ok());
        assert_eq!(executions.finish(Duration::from_secs(60)).await, 0);
    }

    #[tokio::test]
    async fn what_is_too_large_to_remember_is_remembered_without_its_samples() {
        let options = Options { remembered_bytes: 1, ..Options::default() };
        let executions = executions(options, Box::new(|_| {}));
        let ended =
            executions.launch(Some(Identity { key: [1; 32], id: "id".to_owned() }), plan(), None, Duration::from_secs(60), false).unwrap();
        assert!(samples_of(&end_of(ended.ended).await.ending.unwrap()).is_none());
        let whole = executions.run_to_end(plan(), None, Duration::from_secs(60)).await.unwrap();
        assert!(samples_of(&whole).is_some());
    }

    #[tokio::test]
    async fn the_samples_of_the_past_are_remembered_while_they_leave_room() {
        let mut request = request();
        for samples in request.samples.values_mut() {
            let past: Vec<Option<f64>> = (0..200).map(|i| Some(f64::from(i))).collect();
            (samples.baseline_history, samples.canary_history) = (Some(ArmSamples::Values(past.clone())), Some(ArmSamples::Values(past)));
        }
        for (remembered_bytes, kept) in [(64 << 20, true), (64 << 10, false)] {
            let executions = executions(Options { remembered_bytes, ..Options::default() }, Box::new(|_| {}));
            let identity = Identity { key: [1; 32], id: "id".to_owned() };
            let ended =
                executions.launch(Some(identity), executions.plan(request.clone()).unwrap(), None, Duration::from_secs(60), false).unwrap();
            let scorecard = end_of(ended.ended).await.ending.unwrap();
            let samples = samples_of(&scorecard).unwrap();
            assert_eq!((samples.baseline_history.is_some(), samples.canary_history.is_some()), (kept, kept));
        }
    }
}
