//! Settings of the service: a file, environment variables and flags, in rising precedence, read once at the start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use haldane_judges::{ConfigProblem, Period, document};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::AccessSettings;
use crate::analysis::AnalysisLimits;
use crate::archive::Archive;
use crate::intake::IntakeLimits;
use crate::judgements::id::IdKey;
use crate::judgements::{LinkKey, Links, Options};
use crate::replay::{RecordFolder, Recorder};
use crate::server::{BodyPace, ConnectionLimits, TlsSettings};
use crate::source::cache::{DEFAULT_CACHE_BYTES, ReplyCache};
use crate::source::sources::Sources;
use crate::source::{ExploreTemplate, SourceSettings};

mod access;
mod configs;
mod connections;
mod error;
mod file;

pub use access::AccessArgs;
use access::AccessSection;
pub(crate) use configs::is_kayentas;
pub use configs::{ConfigEntry, ConfigStore, KayentaFile, LiveConfigs, Origin};
pub use connections::ConnectionArgs;
use connections::ConnectionSection;
pub use error::InvalidSettings;
pub(crate) use file::read_bounded;

/// Time for requests and judgements to end where settings give none.
pub const DEFAULT_SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Source that `--prometheus` makes.
pub const PROMETHEUS_ACCOUNT: &str = "prometheus";

/// Flags of `haldane serve`, each of which has an environment variable and most a field of the settings file.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeArgs {
    /// Settings file (YAML). Flags and environment variables override what it says.
    #[arg(long, env = "HALDANE_SETTINGS", value_name = "FILE")]
    pub settings: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8090]. Use 0.0.0.0:8090 to be reached from other machines.
    #[arg(long, env = "HALDANE_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Base URL of a Prometheus, or of what speaks its query API (Thanos, Mimir, VictoriaMetrics). Makes the source `prometheus`;
    /// stores with credentials, or several of them, go under `sources` in the settings file.
    #[arg(long = "prometheus", env = "HALDANE_PROMETHEUS_URL", value_name = "URL")]
    pub prometheus: Option<String>,
    /// Folder of canary configs (*.yaml, *.yml, *.json) to offer beside the shipped ones; one of the same name replaces a shipped one.
    #[arg(long, env = "HALDANE_CONFIGS", value_name = "DIR")]
    pub configs: Option<PathBuf>,
    /// File with the key that signs judgement ids, at least 32 bytes; the same for all replicas. Without it a random key is used
    /// and ids stop working when this process ends. Make one with `openssl rand -base64 48`.
    #[arg(long, env = "HALDANE_ID_KEY_FILE", value_name = "FILE")]
    pub id_key_file: Option<PathBuf>,
    /// Address at which people reach this service, such as `https://haldane.example`: scorecards then say where they are read.
    #[arg(long, env = "HALDANE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// Where judgements, canary configs and metric sets are kept: memory:, file:///absolute/path, s3://bucket/prefix, gs://bucket/prefix
    /// or az://container/prefix, with credentials from the environment. Without it nothing is kept, and ids hold their requests.
    #[arg(long, env = "HALDANE_STORE", value_name = "URL")]
    pub store: Option<String>,
    /// Time for one judgement [default: 50s]. Metrics that have not arrived by then are reported as errors.
    #[arg(long, env = "HALDANE_DEADLINE", value_name = "TIME")]
    pub deadline: Option<Period>,
    /// Time for one judgement that is polled [default: 5m]; with many at once, most of it may be waiting for their turn.
    #[arg(long, env = "HALDANE_BACKGROUND_DEADLINE", value_name = "TIME")]
    pub background_deadline: Option<Period>,
    /// Time to keep serving, while /health/ready says no, after a signal to stop [default: 0s]. Give load balancers time to notice.
    #[arg(long, env = "HALDANE_SHUTDOWN_DELAY", value_name = "TIME")]
    pub shutdown_delay: Option<Period>,
    /// Time, after that, for requests and judgements to end [default: 10s]. What has not ended by then is cut off.
    #[arg(long, env = "HALDANE_SHUTDOWN_GRACE", value_name = "TIME")]
    pub shutdown_grace: Option<Period>,
    /// Largest request body, in bytes [default: 8388608].
    #[arg(long, env = "HALDANE_MAX_BODY_BYTES", value_name = "BYTES")]
    pub max_body_bytes: Option<usize>,
    /// Most points that one arm of one metric may have [default: 11000].
    #[arg(long, env = "HALDANE_MAX_POINTS", value_name = "N")]
    pub max_points: Option<usize>,
    /// Most points that all the samples in one request may have together [default: 500000].
    #[arg(long, env = "HALDANE_MAX_INLINE_POINTS", value_name = "N")]
    pub max_inline_points: Option<usize>,
    /// Most judgements that run at once and read from the same source [default: 64]. Eight times as many wait; more are told to come back.
    #[arg(long, env = "HALDANE_CONCURRENT_ANALYSES", value_name = "N")]
    pub concurrent_analyses: Option<usize>,
    /// Most memory, in bytes, that requests and what stores answer may take together, about [default: 536870912]; more is told to come back.
    #[arg(long, env = "HALDANE_MAX_BYTES_IN_FLIGHT", value_name = "BYTES")]
    pub max_bytes_in_flight: Option<u64>,
    /// Most queries in flight for one judgement [default: 64].
    #[arg(long, env = "HALDANE_CONCURRENT_QUERIES", value_name = "N")]
    pub concurrent_queries: Option<usize>,
    /// Most memory, in bytes, that replies of metric stores are kept in for other judgements [default: 67108864]. With 0 none is kept.
    #[arg(long, env = "HALDANE_CACHE_BYTES", value_name = "BYTES")]
    pub cache_bytes: Option<u64>,
    /// Folder in which every judgement is recorded with its samples, as files that `haldane replay` reads; one folder for each process.
    #[arg(long, env = "HALDANE_RECORD", value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Most bytes of recordings that the folder holds [default: 10737418240]; the oldest files are removed first.
    #[arg(long, env = "HALDANE_RECORD_BYTES", value_name = "BYTES")]
    pub record_bytes: Option<u64>,
    /// Form of the log lines on standard error [default: text].
    #[arg(long, env = "HALDANE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged [default: info]: error, warn, info, debug, trace, or directives such as `info,haldane=debug`.
    #[arg(long, env = "HALDANE_LOG_LEVEL", value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Connections.
    #[command(flatten)]
    pub connections: ConnectionArgs,
    /// Access.
    #[command(flatten)]
    pub access: AccessArgs,
    /// Address of an OpenTelemetry collector that takes spans over HTTP, such as `http://127.0.0.1:4318`. Left out: none are made.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The settings file as it is written. Every field may be left out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsFile {
    /// Address and port to listen on, such as `127.0.0.1:8090`.
    #[schemars(with = "Option<String>")]
    listen: Option<SocketAddr>,
    /// Folder of canary configs, relative to the settings file.
    configs: Option<PathBuf>,
    /// File with the key that signs judgement ids, relative to the settings file.
    id_key_file: Option<PathBuf>,
    /// Address at which people reach this service, such as `https://haldane.example`: scorecards then say where they are read.
    public_url: Option<String>,
    /// Where judgements, canary configs and metric sets are kept, such as `file:///var/lib/haldane` or `s3://bucket/prefix`.
    store: Option<String>,
    /// Folder in which every judgement is recorded with its samples, relative to the settings file.
    record: Option<PathBuf>,
    /// Time for one judgement, such as `50s`.
    deadline: Option<Period>,
    /// Time for one judgement that is polled, such as `5m`.
    background_deadline: Option<Period>,
    /// Time to keep serving after a signal to stop.
    shutdown_delay: Option<Period>,
    /// Time, after that, for requests and judgements to end.
    shutdown_grace: Option<Period>,
    /// Bounds.
    limits: LimitsSection,
    /// Connections.
    connections: ConnectionSection,
    /// Who may ask, and how.
    access: AccessSection,
    /// Metric stores, by the source name that requests use.
    #[schemars(with = "BTreeMap<String, SourceSettings>")]
    sources: BTreeMap<String, Value>,
    /// Logging.
    log: LogSection,
    /// Kayenta's API.
    kayenta: KayentaSettings,
}

/// Settings of Kayenta's API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KayentaSettings {
    /// Names that clients may give as storage and configuration accounts; `haldane` where left out. The first is the default. Nothing
    /// but the name is meant by them: where things are stored, if they are, is said by `store`.
    pub storage_accounts: Vec<String>,
}

impl Default for KayentaSettings {
    fn default() -> Self {
        Self { storage_accounts: vec!["haldane".to_owned()] }
    }
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LimitsSection {
    /// Largest request body, in bytes.
    body_bytes: Option<usize>,
    /// Most points that one arm of one metric may have.
    max_points: Option<usize>,
    /// Most points that all the samples in one request may have together.
    max_inline_points: Option<usize>,
    /// Most judgements that run at once and read from the same source, or bring their samples.
    concurrent_analyses: Option<usize>,
    /// Most memory, in bytes, that requests and what stores answer may take together, about.
    bytes_in_flight: Option<u64>,
    /// Most queries in flight for one judgement.
    concurrent_queries: Option<usize>,
    /// Most memory, in bytes, that replies of metric stores are kept in for other judgements; 0 keeps none.
    cache_bytes: Option<u64>,
    /// Most bytes of recordings that the folder `record` holds.
    record_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    /// `text` or `json`.
    format: Option<LogFormat>,
    /// A level or directives, such as `info,haldane=debug`.
    level: Option<String>,
}

/// Everything the service needs to know before it starts.
#[derive(Debug)]
pub struct Settings {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// The configs on offer.
    pub configs: ConfigStore,
    /// The folder that they were read from, beside those that ship.
    pub configs_folder: Option<PathBuf>,
    /// Key that signs ids.
    pub id_key: IdKey,
    /// Whether the key is made up, so that ids end with this process.
    pub id_key_is_random: bool,
    /// Where people read judgements.
    pub links: Links,
    /// How long to keep serving after a signal to stop.
    pub shutdown_delay: Duration,
    /// How long requests and judgements may take to end after that.
    pub shutdown_grace: Duration,
    /// Bounds of connections.
    pub connections: ConnectionLimits,
    /// Who may ask, and how.
    pub access: AccessSettings,
    /// The certificate that is shown to callers; without one they speak plain HTTP.
    pub tls: Option<TlsSettings>,
    /// Bounds of request bodies.
    pub bodies: BodyLimits,
    /// Bounds of what is taken on.
    pub intake: IntakeLimits,
    /// Bounds of one analysis.
    pub limits: AnalysisLimits,
    /// Bounds of the executions.
    pub executions: Options,
    /// Metric stores, by source.
    pub sources: BTreeMap<String, SourceSettings>,
    /// Most memory, in bytes, that replies are kept in.
    pub cache_bytes: u64,
    /// Form of the log lines.
    pub log_format: LogFormat,
    /// What is logged.
    pub log_level: String,
    /// Address of a collector of spans.
    pub otlp_endpoint: Option<String>,
    /// Kayenta's API.
    pub kayenta: KayentaSettings,
    /// Where executions are kept, if anywhere.
    pub store: Option<Archive>,
    /// The same as a URL, until the service opens it: reading settings writes nothing.
    pub store_url: Option<String>,
    /// Where judgements are recorded, if anywhere.
    pub record: Option<RecordFolder>,
}

/// Bounds of what a request may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Largest body, in bytes.
    pub bytes: usize,
    /// Most points that one arm of one metric may have.
    pub max_points: usize,
    /// Most points that all inline samples may have together.
    pub max_inline_points: usize,
    /// How fast a body must come.
    pub pace: BodyPace,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { bytes: 8 << 20, max_points: AnalysisLimits::default().max_points, max_inline_points: 500_000, pace: BodyPace::default() }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8090)),
            configs: ConfigStore::shipped(),
            configs_folder: None,
            id_key: IdKey::random(),
            id_key_is_random: true,
            links: Links::default(),
            shutdown_delay: Duration::ZERO,
            shutdown_grace: DEFAULT_SHUTDOWN_GRACE,
            connections: ConnectionLimits::default(),
            access: AccessSettings::default(),
            tls: None,
            bodies: BodyLimits::default(),
            intake: IntakeLimits::default(),
            limits: AnalysisLimits::default(),
            executions: Options::default(),
            sources: BTreeMap::new(),
            cache_bytes: DEFAULT_CACHE_BYTES,
            log_format: LogFormat::default(),
            log_level: "info".to_owned(),
            otlp_endpoint: None,
            kayenta: KayentaSettings::default(),
            store: None,
            store_url: None,
            record: None,
        }
    }
}

impl Settings {
    /// Reads the settings file, if one is named, and lays environment and flags over it.
    ///
    /// # Errors
    /// [`InvalidSettings`] for the first thing that cannot be used.
    pub fn load(args: ServeArgs) -> Result<Self, InvalidSettings> {
        let (file, place) = match &args.settings {
            Some(path) => (read_settings(path)?, path.display().to_string()),
            None => (SettingsFile::default(), String::new()),
        };
        // What a file names lies beside it, wherever the process was started.
        let base = args.settings.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
        let beside = |path: PathBuf| base.join(path);
        let default = Self::default();

        let configs_folder = args.configs.or(file.configs.map(beside));
        let configs = match &configs_folder {
            Some(folder) => ConfigStore::with_directory(folder)?,
            None => default.configs,
        };
        let key_file = args.id_key_file.or(file.id_key_file.map(beside));
        let (id_key, id_key_is_random) = match &key_file {
            Some(path) => {
                let key = IdKey::from_file(path).map_err(|error| {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                    InvalidSettings::at(format!("id key file {}", path.display()), format!("{error}{cause}"))
                })?;
                (key, false)
            }
            None => (default.id_key, true),
        };
        let deadline = args.deadline.or(file.deadline).map_or(default.executions.default_deadline, Period::duration);
        if deadline.is_zero() {
            return Err(InvalidSettings::at("deadline", "0s leaves no time to judge; give at least 1s"));
        }

        let background_deadline =
            args.background_deadline.or(file.background_deadline).map_or(default.executions.background_deadline, Period::duration);
        if background_deadline.is_zero() {
            return Err(InvalidSettings::at("background_deadline", "0s leaves no time to judge; give at least 1s"));
        }
        let LimitsSection {
            body_bytes,
            max_points,
            max_inline_points,
            concurrent_analyses,
            bytes_in_flight,
            concurrent_queries,
            cache_bytes,
            record_bytes,
        } = file.limits;
        let positive = |name: &str, flag: Option<usize>, file: Option<usize>, default: usize| match flag.or(file).unwrap_or(default) {
            0 => Err(InvalidSettings::at(name, "0 would refuse everything; give at least 1")),
            value => Ok(value),
        };
        let (connections, pace) = connections::read(&args.connections, &file.connections)?;
        let (access, tls) = access::read(args.access, file.access, &base)?;
        let bodies = BodyLimits {
            pace,
            bytes: positive("max_body_bytes", args.max_body_bytes, body_bytes, default.bodies.bytes)?,
            max_points: positive("max_points", args.max_points, max_points, default.bodies.max_points)?,
            max_inline_points: positive("max_inline_points", args.max_inline_points, max_inline_points, default.bodies.max_inline_points)?,
        };
        let queries = positive("concurrent_queries", args.concurrent_queries, concurrent_queries, default.limits.concurrent_queries)?;
        let concurrent = positive("concurrent_analyses", args.concurrent_analyses, concurrent_analyses, default.executions.concurrent)?;
        // A million would overflow no semaphore and exceeds any machine.
        if concurrent > 1_000_000 {
            return Err(InvalidSettings::at("concurrent_analyses", format!("{concurrent} is beyond any machine; give at most 1000000")));
        }

        let memory_bytes = args.max_bytes_in_flight.or(bytes_in_flight).unwrap_or(default.intake.memory_bytes);
        if memory_bytes < 1 << 20 {
            let message = format!("{memory_bytes} bytes would refuse nearly everything; give at least 1048576");
            return Err(InvalidSettings::at("max_bytes_in_flight", message));
        }
        let record_bytes = args.record_bytes.or(record_bytes).unwrap_or(RecordFolder::DEFAULT_BYTES);
        let record = args.record.or(file.record.map(beside)).map(|path| RecordFolder { path, max_bytes: record_bytes });
        let cache_bytes = args.cache_bytes.or(cache_bytes).unwrap_or(default.cache_bytes);
        let sources = read_sources(file.sources, args.prometheus, &place)?;
        let log_level = args.log_level.or(file.log.level).unwrap_or(default.log_level);
        check_level(&log_level)?;
        tracing_subscriber::EnvFilter::try_new(&log_level).map_err(|error| {
            InvalidSettings::at("log level", format!("`{log_level}` cannot be used: {error}; give a level such as `info` or `debug`"))
        })?;
        let links = args.public_url.or(file.public_url).map(|url| Links::to(&url)).transpose();
        let links = links.map_err(|message| InvalidSettings::at("public_url", message))?.unwrap_or_default();
        let links = if access.tokens_file.is_some() { links.signed(LinkKey::of(&id_key), access.link_lifetime) } else { links };
        Ok(Self {
            listen: args.listen.or(file.listen).unwrap_or(default.listen),
            configs,
            configs_folder,
            id_key,
            id_key_is_random,
            links,
            shutdown_delay: args.shutdown_delay.or(file.shutdown_delay).map_or(Duration::ZERO, Period::duration),
            shutdown_grace: args.shutdown_grace.or(file.shutdown_grace).map_or(default.shutdown_grace, Period::duration),
            connections,
            access,
            tls,
            bodies,
            intake: IntakeLimits { memory_bytes, ..default.intake },
            limits: AnalysisLimits { max_points: bodies.max_points, concurrent_queries: queries, ..default.limits },
            executions: Options {
                concurrent,
                queue: concurrent * 8,
                default_deadline: deadline,
                background_deadline,
                ..default.executions
            },
            sources,
            cache_bytes,
            log_format: args.log_format.or(file.log.format).unwrap_or_default(),
            log_level,
            otlp_endpoint: args.otlp_endpoint,
            kayenta: file.kayenta,
            store: None,
            store_url: args.store.or(file.store),
            record,
        })
    }

    /// Opens the store of judgements that the settings name, if they do.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a URL that opens none.
    pub fn open_store(&mut self) -> Result<(), InvalidSettings> {
        if let Some(url) = self.store_url.take() {
            self.store = Some(Archive::open(&url).map_err(|error| InvalidSettings::at("store", error.to_string()))?);
        }
        Ok(())
    }

    /// Starts to record, where the settings say so.
    ///
    /// # Errors
    /// [`InvalidSettings`] for a folder that cannot be used.
    pub fn start_recorder(&self) -> Result<Option<Arc<Recorder>>, InvalidSettings> {
        let Some(folder) = &self.record else { return Ok(None) };
        Recorder::start(folder).map(|recorder| Some(Arc::new(recorder))).map_err(|problem| InvalidSettings::at("record", problem))
    }

    /// Makes the metric stores ready.
    ///
    /// # Errors
    /// [`InvalidSettings`] for the first source whose settings do not work.
    pub fn open_sources(&self) -> Result<Sources, InvalidSettings> {
        Sources::open(&self.sources, ReplyCache::new(self.cache_bytes)).map_err(|error| InvalidSettings::at("sources", error.to_string()))
    }
}

/// A word that is no level would be taken for the name of a module, and silence everything else.
fn check_level(directives: &str) -> Result<(), InvalidSettings> {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let bare = directives
        .split(',')
        .map(str::trim)
        .find(|word| !word.contains(['=', '[']) && !levels.contains(&word.to_ascii_lowercase().as_str()));
    match bare {
        Some(word) => Err(InvalidSettings::at("log level", format!("`{word}` is not a level; give one of {}", levels.join(", ")))),
        None => Ok(()),
    }
}

fn read_settings(path: &Path) -> Result<SettingsFile, InvalidSettings> {
    let invalid = |problem| InvalidSettings { place: path.display().to_string(), problem };
    let text = read_bounded(path).map_err(|error| invalid(ConfigProblem::new("", format!("cannot be read: {error}"))))?;
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(SettingsFile::default());
    }
    let document =
        // Without the lines around the fault: a secret may stand there, although it should not.
        serde_saphyr::from_str::<Value>(&text).map_err(|error| {
            let place = error.location().map(|place| format!(" at line {}, column {}", place.line(), place.column())).unwrap_or_default();
            let message = format!(
                "is not YAML{place}: look there for the indentation, quotes and colons, and for a key that is written twice (the line is not \
                 shown, since a secret may stand in it)"
            );
            invalid(ConfigProblem::new("", message))
        })?;
    document::read(document).map_err(invalid)
}

fn read_sources(
    mut sources: BTreeMap<String, Value>,
    prometheus: Option<String>,
    place: &str,
) -> Result<BTreeMap<String, SourceSettings>, InvalidSettings> {
    if let Some(url) = prometheus {
        // Credentials that the file gives for the source stay; only the address is overridden.
        match sources.get_mut(PROMETHEUS_ACCOUNT) {
            Some(Value::Object(source)) if source.get("kind") == Some(&json!("prometheus")) => {
                source.insert("url".to_owned(), json!(url));
            }
            Some(_) => {
                let message = "the settings file has a source `prometheus` of another kind; rename it, or leave the flag out";
                return Err(InvalidSettings::at("--prometheus", message));
            }
            None => {
                sources.insert(PROMETHEUS_ACCOUNT.to_owned(), json!({ "kind": "prometheus", "url": url, "explore_url": ExploreTemplate::of_prometheus(&url).map(|link| link.to_string()) }));
            }
        }
    }
    sources
        .into_iter()
        .map(|(source, value)| {
            let place_of = |problem: ConfigProblem| InvalidSettings {
                place: if place.is_empty() { "--prometheus".to_owned() } else { place.to_owned() },
                problem: problem.below(&format!("/sources/{source}")),
            };
            // The kind exists, only not in this program.
            if cfg!(not(feature = "datasets")) && value.get("kind") == Some(&json!("dataset")) {
                let message = "`dataset` is read by a program that is built with `--features datasets`, and this one is not";
                return Err(place_of(ConfigProblem::new("/kind", message)));
            }
            let settings = SourceSettings::read(value).map_err(place_of)?;
            Ok((source, settings))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct ServeCommandLine {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn load(file: &str, flags: &[&str]) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haldane.yaml");
        std::fs::write(&path, file).unwrap();
        std::fs::write(folder.path().join("key"), "k".repeat(40)).unwrap();
        let path = path.to_str().unwrap();
        let flags = ["haldane", "--settings", path].into_iter().chain(flags.iter().copied());
        let args = ServeCommandLine::try_parse_from(flags).map_err(|error| error.to_string())?.args;
        Settings::load(args).map_err(|error| error.to_string())
    }

    #[test]
    fn a_flag_overrides_the_file_which_overrides_the_default() {
        let settings = load("listen: 127.0.0.1:9000\ndeadline: 20s\n", &["--listen", "127.0.0.1:9001"]).unwrap();
        assert_eq!(settings.listen.port(), 9001);
        assert_eq!(settings.executions.default_deadline, Duration::from_secs(20));
        assert_eq!(settings.bodies, BodyLimits::default());
        assert!(settings.id_key_is_random);
        assert_eq!(load("# nothing\n", &[]).unwrap().listen.port(), 8090);
    }

    #[test]
    fn a_misspelt_field_is_named_with_the_right_one() {
        let error = load("limits:\n  max_poinst: 5\n", &[]).unwrap_err();
        for part in ["haldane.yaml", "/limits", "max_poinst", "did you mean `max_points`?"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_problem_of_a_source_points_below_its_account() {
        let error = load("sources:\n  eu:\n    kind: promtheus\n    url: http://x\n", &[]).unwrap_err();
        assert!(error.contains("/sources/eu") && error.contains("did you mean `prometheus`?"), "{error}");
    }

    #[test]
    fn the_prometheus_flag_makes_an_account_and_moves_an_existing_one() {
        let settings = load("", &["--prometheus", "http://127.0.0.1:9090"]).unwrap();
        assert_eq!(settings.sources.keys().collect::<Vec<_>>(), ["prometheus"]);
        let moved = load("sources: { prometheus: { kind: prometheus, url: 'http://a:1' } }", &["--prometheus", "http://b:2"]).unwrap();
        let moved = format!("{:?}", moved.sources["prometheus"]);
        assert!(moved.contains("http://b:2") && !moved.contains("http://a:1"), "{moved}");
    }

    #[test]
    fn what_the_file_names_lies_beside_it() {
        assert!(!load("id_key_file: key\n", &[]).unwrap().id_key_is_random);
        let error = load("id_key_file: missing\n", &[]).unwrap_err();
        assert!(error.contains("missing") && error.contains("cannot be read"), "{error}");
    }

    #[cfg(not(feature = "datasets"))]
    #[test]
    fn a_kind_that_this_program_was_built_without_is_named() {
        let error = load("sources: { recorded: { kind: dataset, root: /tmp } }", &[]).unwrap_err();
        assert!(error.contains("/sources/recorded/kind") && error.contains("--features datasets"), "{error}");
    }

    #[test]
    fn values_that_cannot_work_are_refused() {
        assert!(load("deadline: 0s", &[]).unwrap_err().contains("at least 1s"));
        assert!(load("limits: { max_points: 0 }", &[]).unwrap_err().contains("max_points"));
        assert!(load("log: { level: 'haldane=loud' }", &[]).unwrap_err().contains("haldane=loud"));
        assert!(load("listen: nowhere", &[]).unwrap_err().contains("/listen"));
        assert!(load("[", &[]).unwrap_err().contains("is not YAML"));
    }

    #[test]
    fn a_secret_written_into_the_settings_is_not_repeated_in_the_error() {
        let sources = BTreeMap::from([("a".to_owned(), json!({ "kind": "prometheus", "url": "http://x", "bearer_token": "hunter2" }))]);
        let error = read_sources(sources, None, "settings").unwrap_err().to_string();
        assert!(error.contains("{file: PATH}") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn yaml_that_cannot_be_read_is_placed_and_none_of_it_repeated() {
        for file in [
            "sources:\n  main:\n    bearer_token: hunter2\n   url: [x\n",
            "token: *hunter2\n",
            "sources: {a: {password: 'hunter2}}\n",
            "hunter2: 1\nhunter2: 2\n",
            "a: \"hunter2\\q\"\n",
        ] {
            let error = load(file, &[]).unwrap_err();
            assert!(error.contains("is not YAML") && error.contains("line") && !error.contains("hunter2"), "{file}: {error}");
        }
    }

    #[test]
    fn a_word_that_is_no_log_level_is_refused() {
        for fine in ["info", "WARN", "info,haldane=debug", "off"] {
            assert!(check_level(fine).is_ok(), "{fine}");
        }
        let error = check_level("loud").unwrap_err().to_string();
        assert!(error.contains("`loud`") && error.contains("debug"), "{error}");
    }
}
