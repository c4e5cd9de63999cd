//! The `haldane` program.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    haldane::cli::run().await
}
