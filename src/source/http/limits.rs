//! What a source may ask of its store: how much at once, how often, and how often again.
//!
//! Everything is shared by all analyses that read from the source. What the store itself says of its limit
//! (`X-RateLimit-*`, `Retry-After`) holds for all of them as soon as one of them is told. Where it says to wait for long, one request goes
//! ahead once a minute to see whether it still does: one reply with `Retry-After: 3600`, perhaps a proxy's, shuts no source for an hour.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::source::error::{SourceError, TOO_LATE};

/// Retries beyond this share of a source's requests are not made: they would keep down a store that is down.
const RETRY_SHARE: f32 = 0.2;
/// Retries a second that are made in any case.
const RETRIES_PER_SECOND: u32 = 10;
/// Time over which requests and their retries are weighed.
const RETRY_PERIOD: Duration = Duration::from_secs(10);
/// Longest time that a reply can make a source wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// Time after which one request is sent to see whether the store still turns them away, and between two such.
const PROBE_EVERY: Duration = Duration::from_secs(60);

/// What a reply said of the store's limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests in a period.
    pub limit: Option<u64>,
    /// Length of a period.
    pub period: Option<Duration>,
    /// Requests left in the present period.
    pub remaining: u64,
    /// Time until the next period.
    pub reset: Duration,
    /// The limit's name.
    pub name: Option<String>,
}

/// How a source's requests went, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that were sent, each try counted.
    pub requests: u64,
    /// Those among them that were tries after the first.
    pub retries: u64,
    /// Requests that had to wait for the store's or the source's rate limit.
    pub throttled: u64,
    /// Requests that are under way now.
    pub under_way: u64,
}

/// What was last said of the limit of one endpoint.
#[derive(Debug, Default)]
struct EndpointLimit {
    /// Until when a reply asked to wait, whatever others say since.
    paused: Option<Instant>,
    /// Requests left until `reset`, our own since then taken off; `None` where nothing is known.
    remaining: Option<u64>,
    reset: Option<Instant>,
    limit: Option<u64>,
    period: Option<Duration>,
    name: Option<String>,
    /// When one request may be sent although the store said to wait.
    probe: Option<Instant>,
    /// Held by whoever is next, so that those who came first go first.
    line: Arc<tokio::sync::Mutex<()>>,
}

impl EndpointLimit {
    /// Until when the store allows no more requests, by what it said; `None` where it allows some.
    fn closed_until(&self) -> Option<Instant> {
        self.paused.max(self.reset.filter(|_| self.remaining == Some(0)))
    }
}

/// The turn of one request.
#[derive(Debug)]
pub(super) struct RequestTurn<'a> {
    _place: SemaphorePermit<'a>,
    /// Whether it is sent to see if the store still turns requests away.
    pub(super) is_probe: bool,
}

/// The limits of one source.
pub(super) struct RequestLimits {
    places: Semaphore,
    max_concurrent: u32,
    rate: Option<DefaultDirectRateLimiter>,
    /// By path: a store counts the requests to each of its endpoints.
    told: Mutex<BTreeMap<String, EndpointLimit>>,
    retries: TpsBudget,
    sent: AtomicU64,
    sent_again: AtomicU64,
    throttled: AtomicU64,
}

impl std::fmt::Debug for RequestLimits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestLimits")
            .field("max_concurrent", &self.max_concurrent)
            .field("traffic", &self.traffic())
            .finish_non_exhaustive()
    }
}

impl RequestLimits {
    /// # Errors
    /// A message that names the setting.
    pub(super) fn new(max_concurrent: u32, requests_per_second: Option<f64>) -> Result<Self, String> {
        let rate = match requests_per_second {
            None => None,
            Some(rate) if rate.is_finite() && (1e-4..=1e6).contains(&rate) => {
                let burst = NonZeroU32::new(rate.ceil() as u32).unwrap_or(NonZeroU32::MIN);
                Quota::with_period(Duration::from_secs_f64(1.0 / rate)).map(|quota| RateLimiter::direct(quota.allow_burst(burst)))
            }
            Some(rate) => return Err(format!("connection.requests_per_second: {rate} is not between 0.0001 and 1000000")),
        };
        let places = usize::try_from(max_concurrent).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Ok(Self {
            places: Semaphore::new(places),
            max_concurrent,
            rate,
            told: Mutex::default(),
            retries: TpsBudget::new(RETRY_PERIOD, RETRIES_PER_SECOND, RETRY_SHARE),
            sent: AtomicU64::new(0),
            sent_again: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        })
    }

    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.sent.load(Ordering::Relaxed),
            retries: self.sent_again.load(Ordering::Relaxed),
            throttled: self.throttled.load(Ordering::Relaxed),
            under_way: self.under_way(),
        }
    }

    fn under_way(&self) -> u64 {
        u64::from(self.max_concurrent).saturating_sub(self.places.available_permits() as u64)
    }

    /// Adds a request to what retries are weighed against.
    pub(super) fn begin(&self) {
        self.retries.deposit();
    }

    /// Whether there may be one more retry.
    pub(super) fn may_retry(&self) -> bool {
        self.retries.withdraw()
    }

    /// Waits for the turn of one request to `endpoint` until `deadline`.
    ///
    /// # Errors
    /// [`SourceError::NoTime`] at once where the turn is later than that, and [`SourceError::TimedOut`] where all places stay taken.
    pub(super) async fn turn(&self, endpoint: &str, deadline: Instant, again: bool) -> Result<RequestTurn<'_>, SourceError> {
        let began = Instant::now();
        let too_late = || match self.used_up_until(endpoint) {
            Some(until) => self.used_up(endpoint, until, deadline),
            None => SourceError::TimedOut {
                after: began.elapsed(),
                stage: format!(
                    "the source's {} concurrent requests were all taken; ask for less at once, or raise `max_concurrent`",
                    self.max_concurrent
                ),
            },
        };
        if self.used_up_until(endpoint).is_some_and(|until| until > deadline) {
            return Err(too_late());
        }
        let line = self.with_told(endpoint, |told, _| Arc::clone(&told.line));
        let Ok(_first) = timeout_at(deadline, line.lock()).await else { return Err(too_late()) };
        let mut waited = false;
        // Whoever waits for the limit holds no place: others would be told of places that are taken, in place of the limit.
        let (place, is_probe) = loop {
            if let Some(until) = self.used_up_until(endpoint) {
                if until > deadline {
                    return Err(too_late());
                }
                waited = true;
                sleep_until(until).await;
            }
            let Ok(Ok(place)) = timeout_at(deadline, self.places.acquire()).await else { return Err(too_late()) };
            if let Some(is_probe) = self.take(endpoint) {
                break (place, is_probe);
            }
        };
        if let Some(rate) = &self.rate
            && rate.check().is_err()
        {
            waited = true;
            if timeout_at(deadline, rate.until_ready()).await.is_err() {
                let said = "the source's `connection.requests_per_second` asks to wait";
                return Err(SourceError::NoTime { limited: true, said: format!("{said}, {TOO_LATE}") });
            }
        }
        self.throttled.fetch_add(u64::from(waited), Ordering::Relaxed);
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.sent_again.fetch_add(u64::from(again), Ordering::Relaxed);
        Ok(RequestTurn { _place: place, is_probe })
    }

    /// Does something with what is known of an endpoint's limit now.
    fn with_told<T>(&self, endpoint: &str, act: impl FnOnce(&mut EndpointLimit, Instant) -> T) -> T {
        // Nothing that holds it can panic.
        let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = all.entry(endpoint.to_owned()).or_default();
        let now = Instant::now();
        if told.reset.is_some_and(|reset| reset <= now) {
            told.remaining = told.limit;
            told.reset = told.period.map(|period| now + period.min(LONGEST_PAUSE));
        }
        told.paused = told.paused.filter(|paused| *paused > now);
        told.probe = told.closed_until().map(|_| told.probe.unwrap_or(now + PROBE_EVERY));
        act(told, now)
    }

    /// Where the store allows no more requests, the time from which on it does, or may be asked whether it does.
    fn used_up_until(&self, endpoint: &str) -> Option<Instant> {
        self.with_told(endpoint, |told, _| {
            let closed = told.closed_until()?;
            Some(told.probe.map_or(closed, |probe| probe.min(closed)))
        })
    }

    /// Takes one of the requests that the store allows, or the one that sees whether it does; says whether it is that one.
    fn take(&self, endpoint: &str) -> Option<bool> {
        self.with_told(endpoint, |told, now| {
            if told.closed_until().is_none() {
                told.remaining = told.remaining.map(|remaining| remaining.saturating_sub(1));
                return Some(false);
            }
            told.probe.filter(|at| *at <= now)?;
            told.probe = Some(now + PROBE_EVERY);
            Some(true)
        })
    }

    fn used_up(&self, endpoint: &str, until: Instant, deadline: Instant) -> SourceError {
        let (closed, which, of, per) = self.with_told(endpoint, |told, _| {
            (
                told.closed_until().unwrap_or(until),
                told.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default(),
                told.limit.map(|limit| format!(" of {limit} requests")).unwrap_or_default(),
                told.period.map(|period| format!(" in {} s", period.as_secs())).unwrap_or_default(),
            )
        });
        let now = Instant::now();
        let said = format!(
            "the store's limit{which}{of}{per} is used up for another {:.0} s, {TOO_LATE}: {:.0} s are left; share fewer queries, or ask for a \
             higher limit",
            closed.saturating_duration_since(now).as_secs_f64().ceil(),
            deadline.saturating_duration_since(now).as_secs_f64().floor()
        );
        SourceError::NoTime { limited: true, said }
    }

    /// Notes what a reply of `endpoint` says of its limit.
    pub(super) fn note(&self, endpoint: &str, said: &RateLimit) {
        let others = self.under_way().saturating_sub(1);
        self.with_told(endpoint, |told, now| {
            // It is said in whole seconds, which may be cut.
            let reset = now + said.reset.min(LONGEST_PAUSE) + Duration::from_secs(1);
            let same = Duration::from_secs(2);
            if told.reset.is_some_and(|known| known > reset + same) && told.remaining.is_some() {
                // A late reply, of a period that is over.
                return;
            }
            // Replies overtake each other; those under way are not counted in what this one says.
            let left = said.remaining.saturating_sub(others);
            let same_period = told.reset.is_some_and(|known| reset <= known + same);
            told.remaining = Some(match told.remaining {
                Some(known) if same_period => known.min(left),
                _ => left,
            });
            (told.reset, told.limit, told.period) = (Some(reset), said.limit, said.period);
            told.name.clone_from(&said.name);
        });
    }

    /// Lets no request to `endpoint` begin for a while, but for those that see whether it still has to be.
    pub(super) fn pause(&self, endpoint: &str, how_long: Duration) {
        self.with_told(endpoint, |told, now| {
            told.paused = told.paused.max(Some(now + how_long.min(LONGEST_PAUSE)));
            told.probe = Some(now + PROBE_EVERY);
        });
    }

    /// Forgets what the store said: a request that saw whether it still turns them away was answered.
    pub(super) fn reopen(&self, endpoint: &str) {
        self.with_told(endpoint, |told, _| (told.paused, told.remaining, told.reset) = (None, None, None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(places: u32) -> RequestLimits {
        RequestLimits::new(places, None).unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn said(remaining: u64, reset: u64) -> RateLimit {
        RateLimit {
            limit: Some(2),
            period: Some(Duration::from_secs(10)),
            remaining,
            reset: Duration::from_secs(reset),
            name: Some("metrics".to_owned()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_store_says_is_left_is_shared_by_all_who_ask() {
        let limits = limits(8);
        limits.note("/query", &said(2, 5));
        let began = Instant::now();
        // A second more than is said, then period by period.
        for seconds in [0, 0, 6, 6, 16, 16] {
            drop(limits.turn("/query", soon(), false).await.unwrap());
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
        assert_eq!(limits.traffic(), Traffic { requests: 6, retries: 0, throttled: 2, under_way: 0 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_that_outlasts_the_deadline_is_said_at_once() {
        let limits = limits(8);
        limits.note("/query", &said(0, 60));
        let began = Instant::now();
        let error = limits.turn("/query", soon(), false).await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::ZERO);
        let SourceError::NoTime { limited: true, said } = error else { panic!("{error:?}") };
        for part in ["`metrics`", "of 2 requests in 10 s", "another 61 s", "20 s are left"] {
            assert!(said.contains(part), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_under_way_are_not_counted_in_what_a_reply_says() {
        let limits = limits(8);
        let held = [limits.turn("/query", soon(), false).await.unwrap(), limits.turn("/query", soon(), false).await.unwrap()];
        limits.note("/query", &said(2, 5));
        drop(held);
        assert!(limits.take("/query").is_some());
        assert!(limits.take("/query").is_none(), "the other that was under way has taken the second");
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_goes_first() {
        let limits = Arc::new(limits(8));
        limits.note("/query", &said(0, 5));
        let order = Arc::new(Mutex::new(Vec::new()));
        let callers: Vec<_> = (0..8)
            .map(|i| {
                let (limits, order) = (Arc::clone(&limits), Arc::clone(&order));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(i)).await;
                    drop(limits.turn("/query", Instant::now() + Duration::from_secs(600), false).await.unwrap());
                    order.lock().unwrap().push(i);
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), (0..8).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn each_endpoint_has_a_limit_of_its_own() {
        let limits = limits(8);
        limits.note("/metrics", &said(0, 1800));
        assert!(limits.used_up_until("/metrics").is_some());
        assert!(limits.turn("/query", soon(), false).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_late_reply_says_changes_neither_the_next_period_nor_a_pause() {
        let limits = limits(8);
        limits.note("/query", &said(0, 10));
        tokio::time::sleep(Duration::from_secs(11)).await;
        assert!(limits.take("/query").is_some() && limits.take("/query").is_some());
        limits.note("/query", &said(2, 0));
        assert!(limits.take("/query").is_none(), "the new period's two are taken");
        limits.pause("/query", Duration::from_secs(100));
        limits.note("/query", &said(2, 50));
        let closed = limits.with_told("/query", |told, _| told.closed_until());
        assert!(closed.unwrap() > Instant::now() + Duration::from_secs(90));
    }

    #[tokio::test(start_paused = true)]
    async fn no_header_makes_it_panic_or_wait_for_more_than_an_hour() {
        let limits = limits(8);
        for (limit, period, remaining, reset) in [(0, 0, 0, u64::MAX), (u64::MAX, u64::MAX, u64::MAX, u64::MAX), (1, u64::MAX, 0, 0)] {
            let seconds = Duration::from_secs;
            limits.note(
                "/query",
                &RateLimit { limit: Some(limit), period: Some(seconds(period)), remaining, reset: seconds(reset), name: None },
            );
            assert!(limits.used_up_until("/query").is_none_or(|until| until <= Instant::now() + LONGEST_PAUSE + seconds(1)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_for_everybody_and_ends() {
        let limits = limits(8);
        limits.pause("/query", Duration::from_secs(7));
        let began = Instant::now();
        drop(limits.turn("/query", soon(), true).await.unwrap());
        assert_eq!(began.elapsed().as_secs(), 7);
        // Nothing is known of how many there may be from then on.
        drop(limits.turn("/query", soon(), false).await.unwrap());
        assert_eq!((began.elapsed().as_secs(), limits.traffic().retries), (7, 1));
        limits.pause("/query", Duration::MAX);
        assert!(limits.with_told("/query", |told, _| told.closed_until()).unwrap() <= Instant::now() + LONGEST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_to_wait_for_an_hour_is_asked_for_once_a_minute_whether_it_is_still_so() {
        let limits = limits(8);
        limits.pause("/query", Duration::from_secs(3600));
        let error = limits.turn("/query", soon(), false).await.unwrap_err();
        assert!(error.to_string().contains("another 3600 s"), "{error}");
        for _ in 0..3 {
            tokio::time::sleep(PROBE_EVERY).await;
            assert!(limits.turn("/query", soon(), false).await.unwrap().is_probe);
            assert!(limits.turn("/query", soon(), false).await.is_err(), "one goes ahead, and no other");
        }
        // The last of them was answered.
        limits.reopen("/query");
        for _ in 0..3 {
            assert!(!limits.turn("/query", soon(), false).await.unwrap().is_probe);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_before_the_deadline_is_told_of_the_setting() {
        let limits = limits(1);
        let _held = limits.turn("/query", soon(), false).await.unwrap();
        let error = limits.turn("/query", soon(), false).await.unwrap_err();
        assert!(error.to_string().contains("`max_concurrent`") && error.reason() == "timeout", "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_share_of_the_requests() {
        let limits = limits(8);
        let kept = (0..1_000).filter(|_| limits.may_retry()).count();
        assert_eq!(kept, 100, "ten a second, over ten seconds");
        (0..1_000).for_each(|_| limits.begin());
        let more = (0..1_000).filter(|_| limits.may_retry()).count();
        assert_eq!(more, 200, "and a fifth of what is asked");
    }

    #[test]
    fn rates_that_cannot_be_kept_are_refused() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(RequestLimits::new(1, Some(rate)).unwrap_err().starts_with("connection.requests_per_second"), "{rate}");
        }
        for rate in [0.001, 0.4, 1.0, 250.5] {
            assert!(RequestLimits::new(1, Some(rate)).is_ok(), "{rate}");
        }
    }
}
