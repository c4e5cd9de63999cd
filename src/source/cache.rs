//! Keeps replies for a while and makes equal queries that are under way at once into one request.
//!
//! It wraps a [`MetricStore`] and outlives its callers: when one of them goes away, the request goes on for the others until the deadline
//! of who began it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moka::Expiry;
use moka::future::Cache;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::spans::{Span, Spans};
use super::{Advice, BoundsQuery, MetricStore, Query, Reply, SourceError, StoreReader, Template, Window};

/// Bytes of replies that are kept, where settings give none.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;
/// How long the reply for a complete window is kept.
const KEEP_SETTLED: Duration = Duration::from_secs(600);
/// How long the reply for a window that may still gain samples is kept: enough for one analysis and its repeats.
const KEEP_OPEN: Duration = Duration::from_secs(10);

/// How long points are kept that nobody asks for: the next look at a canary may be so far off.
const KEEP_IDLE: Duration = Duration::from_secs(3600);

/// How long to keep a reply for `window` that is asked for at `now` (Unix seconds).
fn time_to_live(window: Window, now: i64, settle: Duration) -> Duration {
    if is_settled(window, now, settle) { KEEP_SETTLED } else { KEEP_OPEN }
}

/// Whether a window gains no more samples at `now` (Unix seconds).
fn is_settled(window: Window, now: i64, settle: Duration) -> bool {
    window.end <= now.saturating_sub(i64::try_from(settle.as_secs()).unwrap_or(i64::MAX))
}

/// A query's text without what makes no difference: space around it, and runs of space outside of quotes.
fn canonical(text: &str) -> String {
    // Where a comment begins, a line's end matters.
    if text.contains('#') {
        return text.trim().to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let (mut quote, mut escaped, mut space) = (None, false, false);
    for c in text.trim().chars() {
        if quote.is_none() && c.is_whitespace() {
            space = true;
            continue;
        }
        if std::mem::take(&mut space) {
            out.push(' ');
        }
        match quote {
            Some(_) if escaped => escaped = false,
            Some(open) if c == '\\' && open != '`' => escaped = true,
            Some(open) if c == open => quote = None,
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            _ => {}
        }
        out.push(c);
    }
    out
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CacheKey {
    source: Arc<str>,
    text: String,
    window: Window,
    /// Native histograms are read for whom they are of use to.
    buckets: bool,
    /// A reply from before the window had settled is none for who comes later, and takes what is missing for missing.
    settled: bool,
}

#[derive(Debug, Clone)]
struct CacheEntry {
    reply: Arc<Reply>,
    keep: Duration,
}

struct KeepFor;

impl Expiry<CacheKey, CacheEntry> for KeepFor {
    fn expire_after_create(&self, _: &CacheKey, entry: &CacheEntry, _: std::time::Instant) -> Option<Duration> {
        Some(entry.keep)
    }
}

/// A query over any window of one grid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SpanKey {
    source: Arc<str>,
    text: String,
    step_seconds: u32,
    /// Where the grid lies, in seconds after a multiple of the step.
    phase: i64,
}

/// Memory that a reply takes, about.
fn weight(text: &str, reply: &Reply) -> u32 {
    u32::try_from(text.len().saturating_add(reply.bytes())).unwrap_or(u32::MAX)
}

/// How often replies were at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Queries answered without a request of their own: kept replies, and requests of others that were joined.
    pub hits: u64,
    /// Queries that became a request to a store.
    pub misses: u64,
    /// Requests that the store did not answer; a query that it refused is answered.
    pub failed: u64,
}

/// The replies of all sources. A clone is the same cache.
#[derive(Clone)]
pub struct ReplyCache {
    replies: Cache<CacheKey, CacheEntry>,
    /// Points of windows that may grow.
    spans: moka::sync::Cache<SpanKey, Spans>,
}

impl std::fmt::Debug for ReplyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyCache").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}

impl Default for ReplyCache {
    fn default() -> Self {
        Self::new(DEFAULT_CACHE_BYTES)
    }
}

impl ReplyCache {
    /// A cache that keeps about so many bytes. With 0 nothing is kept, but equal queries under way at once are still one request.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let replies = Cache::builder().name("replies").max_capacity(bytes / 2);
        let replies = replies.weigher(|key: &CacheKey, entry: &CacheEntry| weight(&key.text, &entry.reply)).expire_after(KeepFor).build();
        let spans = moka::sync::Cache::builder().name("spans").max_capacity(bytes / 2).time_to_idle(KEEP_IDLE);
        let spans = spans
            .weigher(|key: &SpanKey, spans: &Spans| spans.replies().map(|reply| weight(&key.text, reply)).fold(0, u32::saturating_add))
            .build();
        Self { replies, spans }
    }

    /// Memory that the replies take, about.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.replies.weighted_size() + self.spans.weighted_size()
    }
}

/// A request that failed, and until when who began it would have waited.
#[derive(Debug, Clone)]
struct FailedRequest {
    error: SourceError,
    deadline: Instant,
}

/// A configured metric store, behind the cache that all share. A clone is the same source.
#[derive(Debug)]
pub struct Source<S = MetricStore> {
    name: Arc<str>,
    store: Arc<S>,
    cache: ReplyCache,
    settle: Duration,
    hits: Arc<AtomicU64>,
    misses: Arc<AtomicU64>,
    failed: Arc<AtomicU64>,
    last: Arc<Mutex<Option<Result<(), SourceError>>>>,
}

/// Derived, it would ask for `S: Clone`.
impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            store: Arc::clone(&self.store),
            cache: self.cache.clone(),
            settle: self.settle,
            hits: Arc::clone(&self.hits),
            misses: Arc::clone(&self.misses),
            failed: Arc::clone(&self.failed),
            last: Arc::clone(&self.last),
        }
    }
}

impl Source<MetricStore> {
    /// Puts `store` behind `cache`, which several sources may share.
    #[must_use]
    pub fn new(name: &str, store: MetricStore, cache: &ReplyCache) -> Self {
        let settle = store.settle();
        Self::over(name, store, cache, settle)
    }

    /// The store's name, under which configs keep their queries for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.store.kind()
    }

    /// Link to a page that shows a query over a window, where the settings name one.
    #[must_use]
    pub fn explore_url(&self, query: &str, window: Window) -> Option<String> {
        self.store.explore().map(|template| template.link(query, window))
    }

    /// How the requests to the store went; `None` where it is not reached over a network.
    #[must_use]
    pub fn traffic(&self) -> Option<super::http::Traffic> {
        self.store.traffic()
    }
}

impl<S: StoreReader + 'static> Source<S> {
    /// Puts any store behind `cache`. A window that ended `settle` ago is taken to gain no more samples.
    #[must_use]
    pub fn over(name: &str, store: S, cache: &ReplyCache, settle: Duration) -> Self {
        let (hits, misses, failed, last) = Default::default();
        Self { name: name.into(), store: Arc::new(store), cache: cache.clone(), settle, hits, misses, failed, last }
    }

    /// The name that callers choose it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long after its end a window may still gain samples.
    #[must_use]
    pub fn settle(&self) -> Duration {
        self.settle
    }

    /// The same in whole seconds, a begun one counted.
    #[must_use]
    pub fn settle_seconds(&self) -> i64 {
        i64::try_from(self.settle.as_secs()).unwrap_or(i64::MAX).saturating_add(i64::from(self.settle.subsec_nanos() > 0))
    }

    /// How often replies were at hand, since the start.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        CacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Whether the store answered the last request, and if not, why; `None` before the first. A query that it refused is answered.
    #[must_use]
    pub fn health(&self) -> Option<Result<(), SourceError>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`StoreReader::resolve`].
    ///
    /// # Errors
    /// Those of [`StoreReader::resolve`].
    pub fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        self.store.resolve(template)
    }

    /// See [`StoreReader::advise`].
    #[must_use]
    pub fn advise(&self, query: &Query) -> Vec<Advice> {
        self.store.advise(query)
    }

    /// See [`StoreReader::depends_on_range`].
    #[must_use]
    pub fn depends_on_range(&self, text: &str) -> bool {
        self.store.depends_on_range(text)
    }

    /// See [`StoreReader::without_buckets`].
    #[must_use]
    pub fn without_buckets(&self) -> Option<&'static str> {
        self.store.without_buckets()
    }

    /// See [`StoreReader::buckets`].
    #[must_use]
    pub fn buckets(&self, query: &Query) -> Option<BoundsQuery> {
        self.store.buckets(query)
    }

    /// See [`StoreReader::metric_names`].
    ///
    /// # Errors
    /// Those of [`StoreReader::metric_names`], and [`SourceError::TimedOut`] at the deadline.
    pub async fn metric_names(&self, deadline: Instant) -> Result<Vec<String>, SourceError> {
        let began = Instant::now();
        tokio::time::timeout_at(deadline, self.store.metric_names(deadline)).await.unwrap_or_else(|_| Err(late(began)))
    }

    /// Reads the series of a query until `deadline`: from the cache, by joining a request that is under way, or by asking the store.
    ///
    /// Dropping the future leaves the request running for whoever else waits for it, and for the cache. Failures are not kept.
    ///
    /// # Errors
    /// Those of [`StoreReader::fetch`], and [`SourceError::TimedOut`] at the deadline.
    pub async fn fetch(&self, query: &Query, deadline: Instant) -> Result<Arc<Reply>, SourceError> {
        self.fetch_at(query, unix_now(), deadline).await
    }

    /// The same at a given time, in Unix seconds. Of a window whose points were read before in part, only the rest is asked for.
    async fn fetch_at(&self, query: &Query, now: i64, deadline: Instant) -> Result<Arc<Reply>, SourceError> {
        let Some(key) = self.span_key(query) else { return self.fetch_whole(query, now, deadline).await };
        let spans = self.cache.spans.get(&key).unwrap_or_default();
        let (window, at) = (query.window, std::time::Instant::now());
        if let Some((span, missing)) = spans.of_use(window, at) {
            let part = async |part: Option<Window>| match part {
                Some(window) => self.fetch_whole(&Query { window, ..query.clone() }, now, deadline).await.map(Some),
                None => Ok(None),
            };
            let (before, after) = futures::future::try_join(part(missing.before), part(missing.after)).await?;
            if missing.before.is_none() && missing.after.is_none() {
                self.hits.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(reply) = span.complete(window, missing, before.as_deref(), after.as_deref()) {
                return Ok(Arc::new(reply));
            }
        }
        self.fetch_whole(query, now, deadline).await
    }

    /// Keeps the points of a reply for the windows to come that hold them. To be called for what was judged by them alone: a store that
    /// is not well may answer with nothing, with points of another time or with what is not meant, and is then to be asked again.
    pub fn keep(&self, query: &Query, reply: &Arc<Reply>) {
        self.keep_at(query, reply, unix_now());
    }

    fn keep_at(&self, query: &Query, reply: &Arc<Reply>, now: i64) {
        let Some(key) = self.span_key(query) else { return };
        let settled_until = now.saturating_sub(i64::try_from(self.settle.as_secs()).unwrap_or(i64::MAX));
        if let Some(span) = Span::of(query.window, reply, settled_until, std::time::Instant::now()) {
            // In one step: other stretches of the same query may be kept at the same time.
            let with = |kept: Option<moka::Entry<SpanKey, Spans>>| kept.map(moka::Entry::into_value).unwrap_or_default().with(span);
            self.cache.spans.entry(key).and_upsert_with(with);
        }
    }

    /// What the points of a query are kept under; `None` where they depend on the window over which they are asked.
    fn span_key(&self, query: &Query) -> Option<SpanKey> {
        let step_seconds = query.window.step_seconds;
        // The buckets of native histograms depend on what lies in the window.
        let is_kept = !query.buckets && step_seconds > 0 && self.store.is_pointwise(&query.text);
        is_kept.then(|| SpanKey {
            source: Arc::clone(&self.name),
            text: canonical(&query.text),
            step_seconds,
            phase: query.window.start.rem_euclid(i64::from(step_seconds)),
        })
    }

    /// Reads a query's window as one.
    async fn fetch_whole(&self, query: &Query, now: i64, deadline: Instant) -> Result<Arc<Reply>, SourceError> {
        let key = CacheKey {
            source: Arc::clone(&self.name),
            text: canonical(&query.text),
            window: query.window,
            buckets: query.buckets,
            settled: is_settled(query.window, now, self.settle),
        };
        if let Some(entry) = self.cache.replies.get(&key).await {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(entry.reply);
        }
        let began = Instant::now();
        loop {
            let (this, key, query) = (self.clone(), key.clone(), query.clone());
            let task = async move {
                let asked = AtomicBool::new(false);
                let entry = this.cache.replies.try_get_with(key, this.ask(&query, now, deadline, &asked)).await;
                if !asked.load(Ordering::Relaxed) {
                    this.hits.fetch_add(1, Ordering::Relaxed);
                }
                entry
            };
            // A task of its own: a caller that gives up must not take the request with it.
            let joined = match tokio::time::timeout_at(deadline + 2 * GRACE, tokio::spawn(task.in_current_span())).await {
                Ok(Ok(Ok(entry))) => return Ok(entry.reply),
                Ok(Ok(Err(failed))) => failed,
                Ok(Err(error)) => return Err(SourceError::Unreachable(format!("reading from the store was broken off: {error}"))),
                // Who began it waits longer than this caller.
                Err(_) => return Err(late(began)),
            };
            // Who began it had so much less time that it is worth another request.
            let short = joined.error.lacked_time() || matches!(joined.error, SourceError::RateLimited(_));
            if !short || joined.deadline + WORTHWHILE > deadline || Instant::now() + WORTHWHILE > deadline {
                return Err(joined.error.clone());
            }
        }
    }

    async fn ask(&self, query: &Query, now: i64, deadline: Instant, asked: &AtomicBool) -> Result<CacheEntry, FailedRequest> {
        asked.store(true, Ordering::Relaxed);
        self.misses.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        // A store keeps the deadline itself, and names what it waited for. This is for one that does not.
        let patience = deadline + GRACE;
        let reply = tokio::time::timeout_at(patience, self.store.fetch(query, deadline)).await.unwrap_or_else(|_| Err(late(began)));
        if reply.as_ref().is_err_and(SourceError::is_of_store) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let health = reply.as_ref().map(|_| ()).or_else(|error| if error.is_of_store() { Err(error.clone()) } else { Ok(()) });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(health);
        let reply = reply.map_err(|error| FailedRequest { error, deadline })?;
        Ok(CacheEntry { reply: Arc::new(reply), keep: time_to_live(query.window, now, self.settle) })
    }
}

/// Least time that is worth a request: callers who come one after another to a store that hangs must not ask one after another.
const WORTHWHILE: Duration = Duration::from_secs(1);
/// Time for a store to say why it is late.
const GRACE: Duration = Duration::from_millis(50);

fn late(began: Instant) -> SourceError {
    SourceError::TimedOut { after: began.elapsed(), stage: "the time for it ran out".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::Semaphore;

    use super::super::query::DEFAULT_SETTLE;
    use super::*;
    use crate::source::Series;

    /// Counts its requests, and answers each once it is let.
    struct Gate {
        asked: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
        started: Semaphore,
        open: Semaphore,
        refuse: AtomicBool,
    }

    impl Gate {
        async fn started(&self) {
            self.started.acquire().await.unwrap().forget();
        }

        fn answer_one(&self) {
            self.open.add_permits(1);
        }
    }

    impl StoreReader for Arc<Gate> {
        fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
            Ok(template.text.to_owned())
        }

        fn advise(&self, _: &Query) -> Vec<Advice> {
            Vec::new()
        }

        fn depends_on_range(&self, _: &str) -> bool {
            false
        }

        async fn fetch(&self, query: &Query, _: Instant) -> Result<Reply, SourceError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
            self.most.fetch_max(now, Ordering::SeqCst);
            self.started.add_permits(1);
            self.open.acquire().await.unwrap().forget();
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            if self.refuse.load(Ordering::SeqCst) {
                return Err(SourceError::Refused("no".to_owned()));
            }
            let series = Series { labels: BTreeMap::new(), values: vec![1.0; query.window.len()] };
            Ok(Reply { series: vec![series], warnings: Vec::new() })
        }
    }

    fn query(text: &str) -> Query {
        Query { text: text.to_owned(), window: Window { start: 0, end: 600, step_seconds: 60 }, buckets: false }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn gated(bytes: u64) -> (Arc<Gate>, Source<Arc<Gate>>) {
        let gate = Arc::new(Gate {
            asked: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            started: Semaphore::new(0),
            open: Semaphore::new(0),
            refuse: AtomicBool::new(false),
        });
        (Arc::clone(&gate), Source::over("main", gate, &ReplyCache::new(bytes), DEFAULT_SETTLE))
    }

    #[tokio::test]
    async fn equal_queries_at_once_are_one_request_and_then_a_kept_reply() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.fetch(&query("up"), soon()).await })
            })
            .collect();
        gate.started().await;
        gate.answer_one();
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap().series[0].values.len(), 10);
        }
        assert_eq!(source.fetch(&query("up"), soon()).await.unwrap().series.len(), 1);
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
        assert_eq!(source.counts(), CacheCounts { hits: 10, misses: 1, failed: 0 });
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_take_the_request_with_it() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        let caller = tokio::spawn({
            let source = source.clone();
            async move { source.fetch(&query("up"), soon()).await }
        });
        gate.started().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        gate.answer_one();
        assert!(source.fetch(&query("up"), soon()).await.is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        gate.refuse.store(true, Ordering::SeqCst);
        gate.answer_one();
        assert_eq!(source.fetch(&query("up"), soon()).await, Err(SourceError::Refused("no".to_owned())));
        gate.refuse.store(false, Ordering::SeqCst);
        gate.answer_one();
        assert!(source.fetch(&query("up"), soon()).await.is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn sources_do_not_see_each_others_replies() {
        let (gate, first) = gated(DEFAULT_CACHE_BYTES);
        let second = Source::over("other", Arc::clone(&gate), &first.cache, DEFAULT_SETTLE);
        for source in [&first, &second] {
            gate.answer_one();
            assert!(source.fetch(&query("up"), soon()).await.is_ok());
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_joins_a_request_with_less_time_goes_on_alone() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        let hasty = tokio::spawn({
            let source = source.clone();
            async move { source.fetch(&query("up"), Instant::now() + Duration::from_secs(1)).await }
        });
        gate.started().await;
        let patient = tokio::spawn({
            let source = source.clone();
            async move { source.fetch(&query("up"), soon()).await }
        });
        assert_eq!(hasty.await.unwrap().unwrap_err().reason(), "timeout");
        gate.started().await;
        gate.answer_one();
        assert!(patient.await.unwrap().is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn callers_who_come_one_after_another_to_a_store_that_hangs_ask_it_once() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        let callers = (0..50).map(|n| {
            let source = source.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(10 * n)).await;
                source.fetch(&query("up"), soon()).await.map(drop)
            }
        });
        assert!(futures::future::join_all(callers).await.iter().all(Result::is_err));
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_from_before_the_window_had_settled_is_none_for_later() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        let early = tokio::spawn({
            let source = source.clone();
            async move { source.fetch_at(&query("up"), 655, soon()).await }
        });
        gate.started().await;
        let late = tokio::spawn({
            let source = source.clone();
            async move { source.fetch_at(&query("up"), 665, soon()).await }
        });
        gate.started().await;
        gate.answer_one();
        gate.answer_one();
        assert!(early.await.unwrap().is_ok() && late.await.unwrap().is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_is_given_up_at_the_deadline() {
        let (_gate, source) = gated(DEFAULT_CACHE_BYTES);
        let began = Instant::now();
        assert_eq!(source.fetch(&query("up"), soon()).await.unwrap_err().reason(), "timeout");
        assert!(began.elapsed() < Duration::from_secs(21));
    }

    #[tokio::test]
    async fn buckets_and_numbers_of_one_text_are_two_replies() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        gate.answer_one();
        assert!(source.fetch(&query("up"), soon()).await.is_ok());
        gate.answer_one();
        assert!(source.fetch(&Query { buckets: true, ..query("up") }, soon()).await.is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn space_makes_no_difference_outside_of_quotes() {
        let (gate, source) = gated(DEFAULT_CACHE_BYTES);
        gate.answer_one();
        for text in ["sum(up)  by\n (pod) ", " sum(up) by (pod)"] {
            assert!(source.fetch(&query(text), soon()).await.is_ok());
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
        assert_ne!(canonical(r#"up{a="x  y"}"#), canonical(r#"up{a="x y"}"#));
        assert_eq!(canonical(r#"up{a="\"  "}  + 1"#), r#"up{a="\"  "} + 1"#);
        assert_ne!(canonical("up # a\n + 1"), canonical("up # a + 1"));
    }

    #[tokio::test]
    async fn a_reply_larger_than_the_cache_is_handed_out_and_not_kept() {
        let (gate, source) = gated(100);
        for _ in 0..2 {
            gate.answer_one();
            assert!(source.fetch(&query("up"), soon()).await.is_ok());
            source.cache.replies.run_pending_tasks().await;
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_window_is_kept_long_once_its_samples_have_arrived() {
        let window = query("up").window;
        let keep = |now| time_to_live(window, now, DEFAULT_SETTLE);
        assert_eq!([600, 650, 660, i64::MIN].map(keep), [KEEP_OPEN, KEEP_OPEN, KEEP_SETTLED, KEEP_OPEN]);
    }

    #[test]
    fn the_weight_counts_every_point() {
        let reply = |points: usize| {
            let series = Series { labels: BTreeMap::new(), values: vec![0.0; points] };
            Reply { series: vec![series], warnings: Vec::new() }
        };
        assert_eq!(weight("up", &reply(1_000)) - weight("up", &reply(0)), 8_000);
    }
}
