//! Settings of connections: how many there may be, and how long each may take over what it does.

use clap::Args;
use haldane_judges::Period;
use schemars::JsonSchema;
use serde::Deserialize;

use super::error::InvalidSettings;
use crate::server::{BodyPace, ConnectionLimits};

/// Flags of connections.
#[derive(Debug, Clone, Default, Args)]
pub struct ConnectionArgs {
    /// Most connections at once [default: what the limit of open files allows, a quarter of it kept for metric stores; at most 10000].
    #[arg(long, env = "HALDANE_MAX_CONNECTIONS", value_name = "N")]
    pub max_connections: Option<usize>,
    /// Most connections of one address at once [default: half of all]. Behind a proxy that one address is the proxy's.
    #[arg(long, env = "HALDANE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N")]
    pub max_connections_per_address: Option<usize>,
    /// Time for the head of a request to arrive, and for a TLS handshake [default: 10s].
    #[arg(long, env = "HALDANE_HEAD_TIMEOUT", value_name = "TIME", hide = true)]
    pub head_timeout: Option<Period>,
    /// Time without a request after which a connection is closed [default: 75s].
    #[arg(long, env = "HALDANE_IDLE_TIMEOUT", value_name = "TIME", hide = true)]
    pub idle_timeout: Option<Period>,
    /// Time in which a caller must take some of its answer [default: 20s].
    #[arg(long, env = "HALDANE_WRITE_TIMEOUT", value_name = "TIME", hide = true)]
    pub write_timeout: Option<Period>,
    /// Time for a body to arrive [default: 30s].
    #[arg(long, env = "HALDANE_BODY_TIMEOUT", value_name = "TIME", hide = true)]
    pub body_timeout: Option<Period>,
    /// Least bytes a second of a body, on average and after the first five seconds [default: 1024].
    #[arg(long, env = "HALDANE_BODY_BYTES_PER_SECOND", value_name = "N", hide = true)]
    pub body_bytes_per_second: Option<u32>,
}

/// The connections' part of the settings file.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConnectionSection {
    /// Most connections at once. Left out: what the limit of open files allows, a quarter of it kept for metric stores.
    most: Option<usize>,
    /// Most connections of one address at once. Left out: half of all.
    most_per_address: Option<usize>,
    /// Time for the head of a request to arrive, and for a TLS handshake; `10s` where left out.
    head_timeout: Option<Period>,
    /// Time without a request after which a connection is closed; `75s` where left out.
    idle_timeout: Option<Period>,
    /// Time in which a caller must take some of its answer; `20s` where left out.
    write_timeout: Option<Period>,
    /// Time for a body to arrive; `30s` where left out.
    body_timeout: Option<Period>,
    /// Least bytes a second of a body, on average and after the first five seconds; 1024 where left out.
    body_bytes_per_second: Option<u32>,
}

/// What flags and file come to.
pub(super) fn read(args: &ConnectionArgs, file: &ConnectionSection) -> Result<(ConnectionLimits, BodyPace), InvalidSettings> {
    let (limits, pace) = (ConnectionLimits::default(), BodyPace::default());
    let time = |name: &str, flag: Option<Period>, file: Option<Period>, default| match flag.or(file).map_or(default, Period::duration) {
        time if time.is_zero() => Err(InvalidSettings::at(name, "0s would end every connection at once; give at least 1s")),
        time => Ok(time),
    };
    let number = |name: &str, flag: Option<usize>, file: Option<usize>| match flag.or(file) {
        Some(0) => Err(InvalidSettings::at(name, "0 would refuse every connection; give at least 1")),
        number => Ok(number),
    };
    let limits = ConnectionLimits {
        most: number("max_connections", args.max_connections, file.most)?,
        most_per_peer: number("max_connections_per_address", args.max_connections_per_address, file.most_per_address)?,
        head_time: time("head_timeout", args.head_timeout, file.head_timeout, limits.head_time)?,
        idle_time: time("idle_timeout", args.idle_timeout, file.idle_timeout, limits.idle_time)?,
        write_time: time("write_timeout", args.write_timeout, file.write_timeout, limits.write_time)?,
    };
    let pace = BodyPace {
        time: time("body_timeout", args.body_timeout, file.body_timeout, pace.time)?,
        bytes_per_second: args.body_bytes_per_second.or(file.body_bytes_per_second).unwrap_or(pace.bytes_per_second),
        ..pace
    };
    Ok((limits, pace))
}
