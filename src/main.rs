//! The `haldane` program.

use std::process::ExitCode;

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
