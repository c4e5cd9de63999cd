//! What a connection is doing: whether it has a request, since when not, and whether its caller takes what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::counts::Closing;
use super::limits::ConnectionLimits;

/// Bytes that a caller which lets answers wait must take within the time for it.
pub(super) const LEAST_PROGRESS: usize = 16 << 10;

/// The state of one connection, kept by its stream and its requests.
#[derive(Debug)]
pub(super) struct Pulse {
    state: Mutex<PulseState>,
    /// Tells the connection to make room for another one.
    pub(super) replaced: Notify,
}

#[derive(Debug)]
struct PulseState {
    in_flight: usize,
    requests: u64,
    quiet_since: Instant,
    /// When the first byte came that belongs to no request yet.
    head_since: Option<Instant>,
    /// Since when an answer waits for the caller, and what it has taken since.
    stalled: Option<(Instant, usize)>,
    /// Answers that wait to be taken, by the number of their request, and since when. Over HTTP/2 the caller says how much of each it takes,
    /// and may take none while the socket takes all.
    untaken: BTreeMap<u64, Instant>,
    /// Whether the caller was still sending a body when its answer was ready.
    unread: bool,
    /// Whether what still waits to be sent is to be thrown away.
    abandoned: bool,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Arc<Self> {
        let state = PulseState {
            in_flight: 0,
            requests: 0,
            quiet_since: now,
            head_since: None,
            stalled: None,
            untaken: BTreeMap::new(),
            unread: false,
            abandoned: false,
        };
        Arc::new(Self { state: Mutex::new(state), replaced: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, PulseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came.
    pub(super) fn received(&self) {
        let mut state = self.state();
        if state.in_flight == 0 {
            state.head_since.get_or_insert_with(Instant::now);
        }
    }

    /// Of `offered` bytes so many were taken; `None` when the caller takes none now.
    pub(super) fn sent(&self, offered: usize, taken: Option<usize>) {
        let mut state = self.state();
        match (taken, &mut state.stalled) {
            (None, None) => state.stalled = Some((Instant::now(), 0)),
            (Some(taken), Some(_)) if taken >= offered => state.stalled = None,
            (Some(taken), Some((since, progress))) => {
                *progress += taken;
                if *progress >= LEAST_PROGRESS {
                    (*since, *progress) = (Instant::now(), 0);
                }
            }
            (None, Some(_)) | (Some(_), None) => {}
        }
    }

    /// A request has begun, which lasts until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Flight {
        let mut state = self.state();
        state.in_flight += 1;
        state.requests += 1;
        state.head_since = None;
        Flight { pulse: Arc::clone(self), number: state.requests }
    }

    /// The rest of a body was not read: who still sends it must have its answer before the connection ends.
    pub(super) fn leave_unread(&self) {
        self.state().unread = true;
    }

    /// Whether the caller may still be sending what nobody reads.
    pub(super) fn is_unread(&self) -> bool {
        let state = self.state();
        state.unread || state.head_since.is_some()
    }

    /// Nobody takes what waits to be sent: it is thrown away when the socket closes, also by the system.
    pub(super) fn abandon(&self) {
        self.state().abandoned = true;
    }

    /// Whether it was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.state().abandoned
    }

    /// Since when it has had no request and owes nothing; `None` while it is busy.
    pub(super) fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0 && state.stalled.is_none()).then_some(state.quiet_since)
    }

    /// Why it is to end by now, if it is. Over HTTP/2 bytes come without a request, so only `heads` of HTTP/1 are timed.
    pub(super) fn overdue(&self, limits: &ConnectionLimits, heads: bool, now: Instant) -> Option<Closing> {
        let state = self.state();
        let over = |since: Instant, time| now.saturating_duration_since(since) > time;
        if state.untaken.values().any(|since| over(*since, limits.write_time)) {
            return Some(Closing::Stalled);
        }
        if let Some((since, _)) = state.stalled {
            return over(since, limits.write_time).then_some(Closing::Stalled);
        }
        if state.in_flight > 0 {
            return None;
        }
        if let Some(since) = state.head_since.filter(|_| heads) {
            return over(since, limits.head_time).then_some(Closing::Head);
        }
        if state.requests == 0 && over(state.quiet_since, limits.head_time) {
            return Some(Closing::Head);
        }
        over(state.quiet_since, limits.idle_time).then_some(Closing::Idle)
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Flight {
    pulse: Arc<Pulse>,
    number: u64,
}

impl Flight {
    /// Whether from now on there is a part of its answer to be taken; none is while it is being made.
    pub(super) fn offers(&self, something: bool) {
        let mut state = self.pulse.state();
        if something {
            state.untaken.insert(self.number, Instant::now());
        } else {
            state.untaken.remove(&self.number);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut state = self.pulse.state();
        state.untaken.remove(&self.number);
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.quiet_since = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_limit_is_kept_for_what_it_is_for() {
        let limits = ConnectionLimits::default();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let pulse = Pulse::new(Instant::now());
        // Nothing came at all.
        assert_eq!(pulse.overdue(&limits, true, after(10)), None);
        assert_eq!(pulse.overdue(&limits, true, after(11)), Some(Closing::Head));
        // A request may take as long as it does.
        let flight = pulse.begin();
        assert_eq!((pulse.overdue(&limits, true, after(1_000)), pulse.quiet_since()), (None, None));
        drop(flight);
        assert_eq!(pulse.overdue(&limits, true, after(75)), None);
        assert_eq!(pulse.overdue(&limits, true, after(76)), Some(Closing::Idle));
        // Another head has begun, which its later bytes do not make younger.
        pulse.received();
        tokio::time::advance(Duration::from_secs(8)).await;
        pulse.received();
        assert_eq!(pulse.overdue(&limits, true, after(3)), Some(Closing::Head));
        assert_eq!(pulse.overdue(&limits, false, after(3)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn each_answer_is_taken_in_time_however_well_others_are() {
        let limits = ConnectionLimits::default();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let pulse = Pulse::new(Instant::now());
        let (first, second) = (pulse.begin(), pulse.begin());
        first.offers(true);
        tokio::time::advance(Duration::from_secs(15)).await;
        second.offers(true);
        assert_eq!(pulse.overdue(&limits, false, after(5)), None);
        assert_eq!(pulse.overdue(&limits, false, after(6)), Some(Closing::Stalled));
        first.offers(true);
        assert_eq!(pulse.overdue(&limits, false, after(6)), None, "a part was taken");
        first.offers(false);
        drop(second);
        assert_eq!(pulse.overdue(&limits, false, after(1_000)), None, "the rest is being made");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_takes_an_answer_slowly_is_told_from_one_that_does_not() {
        let limits = ConnectionLimits::default();
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        let pulse = Pulse::new(Instant::now());
        pulse.sent(1 << 20, Some(LEAST_PROGRESS));
        pulse.sent(1 << 20, None);
        assert_eq!(pulse.overdue(&limits, true, after(21)), Some(Closing::Stalled));
        tokio::time::advance(Duration::from_secs(15)).await;
        pulse.sent(1 << 20, Some(1));
        assert_eq!(pulse.overdue(&limits, true, after(6)), Some(Closing::Stalled), "a byte is no progress");
        pulse.sent(1 << 20, Some(LEAST_PROGRESS));
        assert_eq!(pulse.overdue(&limits, true, after(6)), None);
        pulse.sent(10, Some(10));
        assert!(pulse.quiet_since().is_some());
    }
}
