//! `haldane token`: makes the tokens that callers of the service send.

use clap::{Args, Subcommand};

use super::{CommandFailure, CommandOutcome, output};
use crate::access::{AccessRole, TokenDigest, new_token};

/// Make a token for callers of the service.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Print a new token, and the line of the tokens file that lets its holder in.
    ///
    /// The token goes to standard output and is kept nowhere; the line, which holds its SHA-256 digest alone, goes to standard error.
    New(NewTokenArgs),
}

#[derive(Debug, Args)]
struct NewTokenArgs {
    /// Whose token it is, as the log shows it.
    #[arg(long, default_value = "caller", value_parser = name)]
    name: String,
    /// What its holder may do; may be given several times.
    #[arg(long = "role", value_name = "ROLE", default_value = "judge")]
    roles: Vec<AccessRole>,
}

fn name(text: &str) -> Result<String, String> {
    let is_name = (1..=100).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if is_name { Ok(text.to_owned()) } else { Err("a name is letters, digits, `-`, `_` and `.`, such as `argo-prod`".to_owned()) }
}

/// Prints a new token and its line.
///
/// # Errors
/// [`CommandFailure::Usage`] when standard output cannot be written to.
pub(super) fn command(args: &TokenArgs) -> Result<CommandOutcome, CommandFailure> {
    let TokenCommand::New(NewTokenArgs { name, roles }) = &args.command;
    let token = new_token();
    let digest = TokenDigest::of(&token);
    let roles = roles.iter().map(AccessRole::to_string).collect::<Vec<_>>().join(", ");
    output::print(&format!("{token}\n"))?;
    output::say(&format!("  - {{name: {name}, sha256: {digest}, roles: [{roles}]}}"));
    Ok(CommandOutcome::Done)
}
