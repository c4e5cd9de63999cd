//! Keeps replies for a while and makes equal queries that are under way at once into one request.
//!
//! It wraps a [`Source`], bounds the requests an account's store sees at the same time, and outlives its callers: when a caller's deadline
//! passes, the request goes on for the others, bounded by its own timeout.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use moka::Expiry;
use moka::future::Cache;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{Advice, MetricSource, Query, Reply, Source, SourceError, Template, Window};

/// Bytes of replies that are kept, where settings give none.
pub const DEFAULT_CACHE_BYTES: u64 = 64 << 20;
/// A window that ended this long ago is complete: scrapes and remote writes have arrived.
const SETTLED_AFTER_SECONDS: i64 = 300;
/// How long the reply for a complete window is kept.
const KEEP_SETTLED: Duration = Duration::from_secs(600);
/// How long the reply for a window that may still gain samples is kept: enough for one analysis and its repeats.
const KEEP_OPEN: Duration = Duration::from_secs(10);
/// How long a query waits for one of the account's places. Without a bound, abandoned queries could queue for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to keep a reply for `window` that is asked for at `now` (Unix seconds).
fn time_to_live(window: Window, now: i64) -> Duration {
    if window.end < now.saturating_sub(SETTLED_AFTER_SECONDS) { KEEP_SETTLED } else { KEEP_OPEN }
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    account: Arc<str>,
    query: Query,
}

#[derive(Debug, Clone)]
struct Entry {
    reply: Arc<Reply>,
    keep: Duration,
}

struct KeepFor;

impl Expiry<Key, Entry> for KeepFor {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.keep)
    }
}

/// Memory that an entry takes, about.
fn weight(key: &Key, entry: &Entry) -> u32 {
    const OVERHEAD: usize = 200;
    let series = entry.reply.series.iter().map(|series| {
        let labels: usize = series.labels.iter().map(|(name, value)| name.len() + value.len() + 2 * size_of::<String>()).sum();
        OVERHEAD + labels + series.values.len() * size_of::<f64>()
    });
    let warnings = entry.reply.warnings.iter().map(String::len);
    let bytes = OVERHEAD + key.query.text.len() + series.sum::<usize>() + warnings.sum::<usize>();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// How often replies were at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheCounts {
    /// Queries answered without a request of their own: kept replies, and requests of others that were joined.
    pub hits: u64,
    /// Queries that became a request to a store.
    pub misses: u64,
}

/// The replies of all accounts. A clone is the same cache.
#[derive(Clone)]
pub struct ReplyCache {
    replies: Cache<Key, Entry>,
    hits: Arc<AtomicU64>,
    misses: Arc<AtomicU64>,
}

impl std::fmt::Debug for ReplyCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplyCache").field("counts", &self.counts()).finish_non_exhaustive()
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
        let replies = Cache::builder().name("replies").max_capacity(bytes).weigher(weight).expire_after(KeepFor).build();
        Self { replies, hits: Arc::default(), misses: Arc::default() }
    }

    /// How often replies were at hand, since the start.
    #[must_use]
    pub fn counts(&self) -> CacheCounts {
        CacheCounts { hits: self.hits.load(Ordering::Relaxed), misses: self.misses.load(Ordering::Relaxed) }
    }
}

/// A store behind the cache and the bound on concurrent requests. A clone is the same store.
#[derive(Debug)]
pub struct CachedSource<S = Source> {
    account: Arc<str>,
    source: Arc<S>,
    cache: ReplyCache,
    places: Arc<Semaphore>,
    max_concurrent: u32,
}

/// Derived, it would ask for `S: Clone`.
impl<S> Clone for CachedSource<S> {
    fn clone(&self) -> Self {
        Self {
            account: Arc::clone(&self.account),
            source: Arc::clone(&self.source),
            cache: self.cache.clone(),
            places: Arc::clone(&self.places),
            max_concurrent: self.max_concurrent,
        }
    }
}

impl CachedSource<Source> {
    /// Puts `source` behind `cache`, which several accounts may share; the account's settings bound its concurrent requests.
    #[must_use]
    pub fn new(account: String, source: Source, cache: &ReplyCache) -> Self {
        let max_concurrent = source.max_concurrent();
        Self::bounded(account, source, cache, max_concurrent)
    }

    /// The store's name, under which configs keep their queries for it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.source.kind()
    }
}

impl<S: MetricSource + 'static> CachedSource<S> {
    /// Puts any store behind `cache`, with at most `max_concurrent` (0 counts as 1) requests at the same time.
    #[must_use]
    pub fn bounded(account: String, source: S, cache: &ReplyCache, max_concurrent: u32) -> Self {
        let max_concurrent = max_concurrent.max(1);
        let places = usize::try_from(max_concurrent).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self {
            account: account.into(),
            source: Arc::new(source),
            cache: cache.clone(),
            places: Arc::new(Semaphore::new(places)),
            max_concurrent,
        }
    }

    /// The account's name.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// See [`MetricSource::resolve`].
    ///
    /// # Errors
    /// Those of [`MetricSource::resolve`].
    pub fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
        self.source.resolve(template)
    }

    /// See [`MetricSource::advise`].
    #[must_use]
    pub fn advise(&self, query: &Query) -> Vec<Advice> {
        self.source.advise(query)
    }

    /// See [`MetricSource::depends_on_range`].
    #[must_use]
    pub fn depends_on_range(&self, text: &str) -> bool {
        self.source.depends_on_range(text)
    }

    /// See [`MetricSource::metric_names`].
    ///
    /// # Errors
    /// Those of [`MetricSource::metric_names`].
    pub async fn metric_names(&self) -> Result<Vec<String>, SourceError> {
        let _place = self.places.acquire().await;
        self.source.metric_names().await
    }

    /// Reads the series of a query: from the cache, by joining a request that is under way, or by asking the store.
    ///
    /// Dropping the future leaves the request running for whoever else waits for it, and for the cache. Failures are not kept.
    ///
    /// # Errors
    /// Those of [`MetricSource::fetch`], and [`SourceError::Unreachable`] when the account has had no free place for a minute.
    pub async fn fetch(&self, query: &Query) -> Result<Arc<Reply>, SourceError> {
        self.fetch_at(query, unix_now(), None).await
    }

    /// [`CachedSource::fetch`] of what is worth waiting for until `end` alone: then the request itself is given up, and the place that
    /// it has or waits for is free. Callers that joined it share its end.
    ///
    /// # Errors
    /// Those of [`CachedSource::fetch`], and [`SourceError::TimedOut`] at the end.
    pub async fn fetch_until(&self, query: &Query, end: tokio::time::Instant) -> Result<Arc<Reply>, SourceError> {
        self.fetch_at(query, unix_now(), Some(end)).await
    }

    /// Both at a given time, in Unix seconds.
    async fn fetch_at(&self, query: &Query, now: i64, end: Option<tokio::time::Instant>) -> Result<Arc<Reply>, SourceError> {
        let key = Key { account: Arc::clone(&self.account), query: query.clone() };
        if let Some(entry) = self.cache.replies.get(&key).await {
            self.cache.hits.fetch_add(1, Ordering::Relaxed);
            return Ok(entry.reply);
        }
        let this = self.clone();
        let task = async move {
            let asked = AtomicBool::new(false);
            let entry = this.cache.replies.try_get_with(key.clone(), this.ask_until(end, &key.query, now, &asked)).await;
            if !asked.load(Ordering::Relaxed) {
                this.cache.hits.fetch_add(1, Ordering::Relaxed);
            }
            entry
        };
        // A task of its own: a caller that gives up must not take the request with it.
        match tokio::spawn(task.in_current_span()).await {
            Ok(Ok(entry)) => Ok(entry.reply),
            Ok(Err(error)) => Err(Arc::unwrap_or_clone(error)),
            Err(error) => Err(SourceError::Unreachable(format!("reading from the store was broken off: {error}"))),
        }
    }

    async fn ask_until(
        &self,
        end: Option<tokio::time::Instant>,
        query: &Query,
        now: i64,
        asked: &AtomicBool,
    ) -> Result<Entry, SourceError> {
        let Some(end) = end else { return self.ask(query, now, asked).await };
        let patience = end.saturating_duration_since(tokio::time::Instant::now());
        tokio::time::timeout_at(end, self.ask(query, now, asked)).await.unwrap_or(Err(SourceError::TimedOut(patience)))
    }

    async fn ask(&self, query: &Query, now: i64, asked: &AtomicBool) -> Result<Entry, SourceError> {
        asked.store(true, Ordering::Relaxed);
        let place = tokio::time::timeout(LONGEST_WAIT, self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(SourceError::Unreachable(format!(
                "its {} concurrent requests were all taken for {} s; ask for less at once, or raise `max_concurrent`",
                self.max_concurrent,
                LONGEST_WAIT.as_secs()
            )));
        };
        self.cache.misses.fetch_add(1, Ordering::Relaxed);
        let reply = self.source.fetch(query).await?;
        Ok(Entry { reply: Arc::new(reply), keep: time_to_live(query.window, now) })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicUsize;

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

    impl MetricSource for Arc<Gate> {
        fn resolve(&self, template: &Template<'_>) -> Result<String, SourceError> {
            Ok(template.text.to_owned())
        }

        fn advise(&self, _: &Query) -> Vec<Advice> {
            Vec::new()
        }

        fn depends_on_range(&self, _: &str) -> bool {
            false
        }

        async fn fetch(&self, query: &Query) -> Result<Reply, SourceError> {
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
        Query { text: text.to_owned(), window: Window { start: 0, end: 600, step_seconds: 60 } }
    }

    fn gated(max_concurrent: u32, bytes: u64) -> (Arc<Gate>, CachedSource<Arc<Gate>>) {
        let gate = Arc::new(Gate {
            asked: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            started: Semaphore::new(0),
            open: Semaphore::new(0),
            refuse: AtomicBool::new(false),
        });
        (Arc::clone(&gate), CachedSource::bounded("main".to_owned(), gate, &ReplyCache::new(bytes), max_concurrent))
    }

    #[tokio::test]
    async fn equal_queries_at_once_are_one_request_and_then_a_kept_reply() {
        let (gate, source) = gated(4, DEFAULT_CACHE_BYTES);
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let source = source.clone();
                tokio::spawn(async move { source.fetch(&query("up")).await })
            })
            .collect();
        gate.started().await;
        gate.answer_one();
        for caller in callers {
            assert_eq!(caller.await.unwrap().unwrap().series[0].values.len(), 10);
        }
        assert_eq!(source.fetch(&query("up")).await.unwrap().series.len(), 1);
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
        assert_eq!(source.cache.counts(), CacheCounts { hits: 10, misses: 1 });
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_does_not_take_the_request_with_it() {
        let (gate, source) = gated(4, DEFAULT_CACHE_BYTES);
        let caller = tokio::spawn({
            let source = source.clone();
            async move { source.fetch(&query("up")).await }
        });
        gate.started().await;
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        gate.answer_one();
        assert!(source.fetch(&query("up")).await.is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
        let (gate, source) = gated(4, DEFAULT_CACHE_BYTES);
        gate.refuse.store(true, Ordering::SeqCst);
        gate.answer_one();
        assert_eq!(source.fetch(&query("up")).await, Err(SourceError::Refused("no".to_owned())));
        gate.refuse.store(false, Ordering::SeqCst);
        gate.answer_one();
        assert!(source.fetch(&query("up")).await.is_ok());
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn accounts_do_not_see_each_others_replies() {
        let (gate, first) = gated(4, DEFAULT_CACHE_BYTES);
        let second = CachedSource::bounded("other".to_owned(), Arc::clone(&gate), &first.cache, 4);
        for source in [&first, &second] {
            gate.answer_one();
            assert!(source.fetch(&query("up")).await.is_ok());
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn no_more_requests_than_places_are_under_way() {
        let (gate, source) = gated(2, DEFAULT_CACHE_BYTES);
        let callers: Vec<_> = (0..8)
            .map(|n| {
                let source = source.clone();
                tokio::spawn(async move { source.fetch(&query(&format!("up{n}"))).await })
            })
            .collect();
        for _ in 0..8 {
            gate.started().await;
            gate.answer_one();
        }
        for caller in callers {
            assert!(caller.await.unwrap().is_ok());
        }
        assert_eq!(gate.most.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_reply_larger_than_the_cache_is_handed_out_and_not_kept() {
        let (gate, source) = gated(4, 100);
        for _ in 0..2 {
            gate.answer_one();
            assert!(source.fetch(&query("up")).await.is_ok());
            source.cache.replies.run_pending_tasks().await;
        }
        assert_eq!(gate.asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_window_is_kept_long_once_its_samples_have_arrived() {
        let window = query("up").window;
        assert_eq!(time_to_live(window, 600), KEEP_OPEN);
        assert_eq!(time_to_live(window, 900), KEEP_OPEN);
        assert_eq!(time_to_live(window, 901), KEEP_SETTLED);
        assert_eq!(time_to_live(window, i64::MIN), KEEP_OPEN);
    }

    #[test]
    fn the_weight_counts_every_point() {
        let key = Key { account: "a".into(), query: query("up") };
        let entry = |points: usize| {
            let series = Series { labels: BTreeMap::new(), values: vec![0.0; points] };
            Entry { reply: Arc::new(Reply { series: vec![series], warnings: Vec::new() }), keep: KEEP_OPEN }
        };
        assert_eq!(weight(&key, &entry(1_000)) - weight(&key, &entry(0)), 8_000);
    }
}
