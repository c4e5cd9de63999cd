//! How many files and sockets the process may have open.

/// Raises the process' own bound as far as the system lets it, and says what it is then; `None` where there is none.
#[cfg(unix)]
pub(super) fn raise() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        // macOS refuses what Linux allows; then it stays as it is.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    limit.current
}

/// The system has no such bound.
#[cfg(not(unix))]
pub(super) fn raise() -> Option<u64> {
    None
}
