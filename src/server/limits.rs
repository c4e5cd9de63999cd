//! How much one process takes on from its callers' side: connections, and how long each may take over what it does.

use std::time::Duration;

use super::descriptors;

/// Descriptors that are left for metric stores, the archive, files and whatever else is no caller.
const RESERVED_DESCRIPTORS: u64 = 64;
/// Connections where the system sets no bound, or one beyond any need.
const MOST_CONNECTIONS: usize = 10_000;
/// Connections where the system does not say how many descriptors there are.
const CONNECTIONS_UNKNOWN: usize = 512;

/// Bounds of the connections of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections at once; `None` for what the system's descriptors allow.
    pub most: Option<usize>,
    /// Most connections of one address at once; `None` for half of all, so that no address keeps every other one out.
    pub most_per_peer: Option<usize>,
    /// Time for the TLS handshake, for the first request to begin, and for the head of each to arrive once it has begun.
    pub head_time: Duration,
    /// Time without a request after which a connection is closed. Longer than load balancers keep theirs (a minute).
    pub idle_time: Duration,
    /// Time in which a caller that lets an answer wait must have taken some of it.
    pub write_time: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            most: None,
            most_per_peer: None,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            write_time: Duration::from_secs(20),
        }
    }
}

impl ConnectionLimits {
    /// Most connections in all and of one address, where the process may have so many descriptors.
    #[must_use]
    pub fn connections(&self, descriptors: Option<u64>) -> (usize, usize) {
        let allowed = descriptors.map_or(CONNECTIONS_UNKNOWN, |all| {
            let left = all.saturating_sub(RESERVED_DESCRIPTORS.max(all / 4));
            usize::try_from(left).unwrap_or(MOST_CONNECTIONS).clamp(1, MOST_CONNECTIONS)
        });
        let most = self.most.unwrap_or(allowed).max(1);
        (most, self.most_per_peer.unwrap_or(most.div_ceil(2)).clamp(1, most))
    }

    /// The same for this process, whose bound of descriptors is raised as far as the system lets it.
    pub(crate) fn in_this_process(&self) -> (usize, usize) {
        self.connections(descriptors::raise())
    }

    /// How often a connection is looked at: a quarter of the shortest time.
    pub(super) fn tick(&self) -> Duration {
        let shortest = self.head_time.min(self.idle_time).min(self.write_time);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        let limits = ConnectionLimits::default();
        assert_eq!(limits.connections(Some(256)), (192, 96));
        assert_eq!(limits.connections(Some(1024)), (768, 384));
        assert_eq!(limits.connections(Some(1 << 30)), (MOST_CONNECTIONS, MOST_CONNECTIONS / 2));
        assert_eq!(limits.connections(Some(3)), (1, 1));
        assert_eq!(limits.connections(None), (512, 256));
        let stated = ConnectionLimits { most: Some(10), most_per_peer: Some(50), ..limits };
        assert_eq!(stated.connections(Some(256)), (10, 10));
    }
}
