//! The `haldane` program.

use std::process::ExitCode;

/// The C library's keeps what a burst has taken for as long as the process runs; this one gives it back within seconds (docs/BENCHMARKS.md).
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::FAILURE,
    };
    let code = runtime.block_on(haldane::cli::run());
    // What still runs on other threads has nobody left to answer: the process does not wait for it.
    runtime.shutdown_background();
    code
}
