//! Looks up the names of stores, each once at a time. The system's resolver cannot be broken off: each lookup holds a thread until it
//! gives up, which with a dead name server takes longer than anybody waits, so that those who come meanwhile wait for the one under way.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

type Lookup = Shared<BoxFuture<'static, Result<Vec<SocketAddr>, String>>>;
type Resolver = fn(&str) -> std::io::Result<Vec<SocketAddr>>;

/// The lookups under way.
#[derive(Clone)]
pub(super) struct NameLookups {
    under_way: Arc<Mutex<HashMap<String, Lookup>>>,
    resolver: Resolver,
}

/// Those of all sources of a process.
static ALL: LazyLock<NameLookups> = LazyLock::new(|| NameLookups::by(|host| (host, 0).to_socket_addrs().map(Iterator::collect)));

impl NameLookups {
    /// Those that all sources share.
    pub(super) fn shared() -> Arc<Self> {
        Arc::new(ALL.clone())
    }

    fn by(resolver: Resolver) -> Self {
        Self { under_way: Arc::default(), resolver }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, Lookup>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lookup(&self, host: &str) -> Lookup {
        let mut under_way = self.under_way();
        if let Some(known) = under_way.get(host) {
            return known.clone();
        }
        let (this, name) = (self.clone(), host.to_owned());
        // A task of its own, since nobody may wait for its end.
        let task = tokio::spawn(async move {
            let asked = name.clone();
            let found = tokio::task::spawn_blocking(move || (this.resolver)(&asked)).await;
            let found = found.map_err(std::io::Error::other).flatten().map_err(|error| error.to_string());
            this.under_way().remove(&name);
            found
        });
        let lookup = async move { task.await.unwrap_or_else(|error| Err(error.to_string())) }.boxed().shared();
        under_way.insert(host.to_owned(), lookup.clone());
        lookup
    }
}

impl Resolve for NameLookups {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup(name.as_str());
        async move { Ok(Box::new(lookup.await?.into_iter()) as Addrs) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time_and_anew_afterwards() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static GO_ON: Mutex<()> = Mutex::new(());
        let lookups = NameLookups::by(|host| {
            let _turn = GO_ON.lock();
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            if host == "unknown" {
                Err(std::io::Error::other("no such name"))
            } else {
                Ok(vec![address; ASKED.fetch_add(1, Ordering::Relaxed) + 1])
            }
        });
        let held = GO_ON.lock();
        let waiting: Vec<Lookup> = (0..100).map(|_| lookups.lookup("store")).collect();
        let given_up = lookups.lookup("store");
        drop((given_up, held));
        for found in futures::future::join_all(waiting).await {
            assert_eq!(found.unwrap().len(), 1);
        }
        assert_eq!(lookups.lookup("store").await.unwrap().len(), 2, "another lookup");
        assert!(lookups.lookup("unknown").await.unwrap_err().contains("no such name"));
        assert!(lookups.under_way().is_empty());
    }
}
