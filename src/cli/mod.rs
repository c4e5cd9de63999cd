//! The command line: what `haldane` understands, and how it ends.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::settings::{ServeArgs, Settings};

mod client;
mod convert;
mod demo;
mod failure;
mod judge;
mod lint;
mod output;
mod progress;
mod reference;
mod replay;
pub mod serve;
mod store;

pub(crate) use failure::{CommandFailure, CommandOutcome};

/// A statistical canary-analysis service: is this canary worse than this baseline?
///
/// A canary is a new version that gets a little of the traffic beside the old one, the baseline. Haldane reads the metrics of both from a
/// metric store such as Prometheus, compares them metric by metric, and answers pass, marginal or fail with the evidence. It
/// never changes anything in production.
#[derive(Debug, Parser)]
#[command(name = "haldane", version, propagate_version = true, arg_required_else_help = true, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  See it judge three canaries, with nothing set up:
    haldane demo --once

  Compare two deployments in your Prometheus over the last half hour:
    haldane judge --prometheus http://localhost:9090 --config http-golden-signals \\
      --baseline checkout --canary checkout-canary --last 30m

  Run the service, and ask it from a pipeline:
    haldane serve --listen 0.0.0.0:8090 --prometheus http://prometheus:9090
    haldane judge --server http://haldane:8090 --config http-golden-signals \\
      --baseline checkout --canary checkout-canary --last 30m --output junit --output-file canary.xml

  Check a canary config of your own, and its queries against the store:
    haldane lint canary.yaml
    haldane lint canary.yaml --prometheus http://localhost:9090 --baseline checkout --canary checkout-canary

Exit codes:
  0  pass (or done)      1  fail      3  marginal
  2  wrong usage, request or config   4  the server or the metric store could not be reached";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the HTTP service.
    Serve(Box<ServeArgs>),
    /// Judge one canary, in this process or by a server, and exit with the verdict.
    Judge(Box<judge::JudgeArgs>),
    /// Judge a bad, a healthy and a low-traffic canary from built-in samples, through the real HTTP service.
    Demo(demo::DemoArgs),
    /// Check canary configs, and with a metric store their queries.
    Lint(lint::LintArgs),
    /// Turn a canary config of Kayenta's into a native one, with a note for each thing that has no equal.
    Convert(convert::ConvertArgs),
    /// Judge recorded canaries again: how often is each judge right, and what would another config have done?
    Replay(Box<replay::ReplayArgs>),
    /// Measure the judges on the labelled corpus.
    #[command(hide = true)]
    Evaluate(replay::EvaluateArgs),
    /// Print the OpenAPI document of the HTTP service.
    Openapi,
    /// Print the JSON Schema of the canary config, for editors.
    Schema {
        /// Print it as a page for people instead.
        #[arg(long)]
        markdown: bool,
    },
    /// Print a completion script, such as `haldane completions bash > /etc/bash_completion.d/haldane`.
    Completions {
        /// The shell to complete in.
        shell: clap_complete::Shell,
    },
}

/// Reads the arguments, runs the command and says how it ended.
pub async fn run() -> ExitCode {
    let outcome = match execute(Cli::parse().command).await {
        Ok(outcome) => outcome,
        Err(failure) => {
            // Messages may carry a server's or a metric store's words.
            output::say(&format!("error: {}", crate::report::format::clean_lines(&failure.to_string())));
            match failure {
                CommandFailure::Usage(_) => CommandOutcome::Usage,
                CommandFailure::Unreachable(_) => CommandOutcome::Unreachable,
            }
        }
    };
    ExitCode::from(outcome as u8)
}

async fn execute(command: Command) -> Result<CommandOutcome, CommandFailure> {
    match command {
        Command::Serve(args) => {
            let settings = Settings::load(*args).map_err(|error| CommandFailure::usage(error.to_string()))?;
            serve::serve(settings).await.map_err(|error| CommandFailure::usage(error.to_string()))?;
        }
        Command::Judge(args) => return judge::command(*args).await,
        Command::Demo(args) => return demo::command(args).await,
        Command::Lint(args) => return lint::command(args).await,
        Command::Convert(args) => return convert::command(&args),
        Command::Replay(args) => return replay::command(&args),
        Command::Evaluate(args) => return replay::evaluation(&args),
        Command::Openapi => output::print(&output::pretty(&crate::api::openapi_document())?)?,
        Command::Schema { markdown: true } => {
            output::print(&reference::markdown(&schemars::schema_for!(haldane_judges::CanaryConfig).to_value()))?;
        }
        Command::Schema { markdown: false } => output::print(&output::pretty(&schemars::schema_for!(haldane_judges::CanaryConfig))?)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "haldane", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
        }
    }
    Ok(CommandOutcome::Done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
