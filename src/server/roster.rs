//! The connections that are open, and whose place another may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::counts::{Closing, ConnectionCounts};
use super::pulse::Pulse;

/// The open connections of one process.
#[derive(Debug, Clone)]
pub(super) struct Roster(Arc<RosterInner>);

#[derive(Debug)]
struct RosterInner {
    most: usize,
    most_per_peer: usize,
    counts: ConnectionCounts,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    next: u64,
    all: HashMap<u64, (IpAddr, Arc<Pulse>)>,
    of_peer: HashMap<IpAddr, usize>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct RosterPlace {
    roster: Roster,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
}

/// An address as connections are counted by: of IPv6 the network, since a caller has as many addresses in it as it likes.
fn counted(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        v4 => v4,
    }
}

impl Roster {
    pub(super) fn new((most, most_per_peer): (usize, usize), counts: ConnectionCounts) -> Self {
        Self(Arc::new(RosterInner { most, most_per_peer, counts, open: Mutex::default() }))
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection of `peer`. Where there is none, the one that has been without a request the longest is told to end, of the
    /// same address where that has too many; `None` where every one has a request.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<RosterPlace> {
        let peer = counted(peer);
        let mut open = self.open();
        let crowded = open.of_peer.get(&peer).is_some_and(|own| *own >= self.0.most_per_peer);
        if crowded || open.all.len() >= self.0.most {
            let whose = crowded.then_some(peer);
            let number = open.longest_quiet(whose)?;
            open.leave(number);
            self.0.counts.closed(Closing::Replaced);
        }
        let pulse = Pulse::new(Instant::now());
        let number = open.next;
        open.next += 1;
        open.all.insert(number, (peer, Arc::clone(&pulse)));
        *open.of_peer.entry(peer).or_default() += 1;
        self.0.counts.open(open.all.len());
        Some(RosterPlace { roster: self.clone(), number, pulse })
    }

    /// Ends the connection that has been without a request the longest, so that its descriptor is free.
    pub(super) fn make_room(&self) {
        let mut open = self.open();
        if let Some(number) = open.longest_quiet(None) {
            open.leave(number);
            self.0.counts.closed(Closing::Replaced);
        }
    }
}

impl OpenConnections {
    fn longest_quiet(&self, of: Option<IpAddr>) -> Option<u64> {
        let candidates = self.all.iter().filter(|(_, (peer, _))| of.is_none_or(|of| of == *peer));
        candidates.filter_map(|(number, (_, pulse))| Some((pulse.quiet_since()?, *number))).min().map(|(_, number)| number)
    }

    fn leave(&mut self, number: u64) {
        let Some((peer, pulse)) = self.all.remove(&number) else { return };
        pulse.replaced.notify_one();
        if let Some(own) = self.of_peer.get_mut(&peer) {
            *own -= 1;
            if *own == 0 {
                self.of_peer.remove(&peer);
            }
        }
    }
}

impl Drop for RosterPlace {
    fn drop(&mut self) {
        let mut open = self.roster.open();
        open.leave(self.number);
        self.roster.0.counts.open(open.all.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_without_a_request_the_longest_makes_room_and_one_with_a_request_never() {
        let roster = Roster::new((3, 2), ConnectionCounts::default());
        let (a, b) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = roster.enter(a).unwrap();
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        let second = roster.enter(a).unwrap();
        let _busy = first.pulse.begin();
        // Too many of one address: its own quiet one ends, although there is room for others.
        let third = roster.enter(a).unwrap();
        second.pulse.replaced.notified().await;
        let _busy_too = third.pulse.begin();
        assert!(roster.enter(a).is_none());
        let other = roster.enter(b).unwrap();
        let _busy_as_well = other.pulse.begin();
        assert!(roster.enter(b).is_none(), "all have a request");
        drop(second);
        assert!(roster.enter(b).is_none(), "a place is given back once");
        drop((first, third, other));
        assert!(roster.open().all.is_empty() && roster.open().of_peer.is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_caller() {
        assert_eq!(counted(address("2001:db8::1")), counted(address("2001:db8::ffff:1")));
        assert_ne!(counted(address("2001:db8::1")), counted(address("2001:db8:0:1::1")));
        assert_eq!(counted(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }
}
