//! What becomes of an analysis when its metric store fails: for each way in which stores do, a verdict in time that names the cause,
//! judges the rest, and takes no metric for good that could not be read.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use haldane::analysis::Scorecard;
use haldane_judges::Verdict;
use haldane_judges::scorecard::{MetricResult, Reason, Status};
use reqwest::Client;
use serde_json::{Value, json};

use crate::support::datadog::{API_KEY, APP_KEY};
use crate::support::faults::{Answer, Broken, Fault, FaultyStore, Store};
use crate::support::haldane::{ALONE, client, command};
use crate::support::process::{Server, free_address};
use crate::support::telemetry::START;

mod datadog;
mod prometheus;

/// How long the service waits for its stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// For one judgement.
    pub(crate) deadline: Duration,
    /// For one try of a query.
    pub(crate) timeout: Duration,
}

/// Where no time is to run out, none does on a machine that does much else either.
const PATIENT: Pace = Pace { deadline: Duration::from_secs(300), timeout: Duration::from_secs(60) };
/// Where the store is slow, or asks to wait, and the time is to run out: before a store that asks to wait for long is probed.
const HASTY: Pace = Pace { deadline: Duration::from_secs(50), timeout: Duration::from_secs(6) };
/// What a machine that does much else at the same time may take to write and to read the answer.
const SLACK: Duration = Duration::from_secs(10);
/// Rows at once: most of a row is waiting, but not all of it.
const ROWS_AT_ONCE: usize = 16;
/// Requests of an account at once: so few that a place which is not given back is missed.
const PLACES: u32 = 2;
/// Bound on the service's memory, whatever a suite of faults sends it in a few seconds: gigabytes, of which it keeps at most 16 MiB a
/// reply. It bounds itself to 240 MiB of bodies under way and 64 MiB of kept replies, which would be more.
const MEMORY: u64 = 256 << 20;

/// The judged window, in minutes of the recording; the one that is asked for afterwards lies a minute earlier.
const WINDOW: std::ops::Range<usize> = 55..115;

/// What is to become of the metric whose queries are broken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// An error whose sentence holds these words.
    Error(&'static [&'static str]),
    /// No error and no pass; the sentence or a warning holds these words.
    NotPassed(&'static [&'static str]),
    /// The finding as without the fault, with a warning that holds these words.
    Judged(&'static [&'static str]),
    /// The finding as without the fault, after each query was asked so often.
    Recovered { tries: usize },
}

/// One way to fail, in an account of its own.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) broken: Broken,
    pub(crate) expected: Expected,
    /// Requests at once.
    pub(crate) places: u32,
    /// Whether the account is of use again as soon as the fault is gone.
    pub(crate) heals: bool,
    /// Whether the fault waits until all queries of other metrics are answered, and so concerns none of them.
    after_others: bool,
    pace: Pace,
}

impl Row {
    pub(crate) fn new(name: &'static str, broken: impl Into<Broken>, expected: Expected) -> Self {
        Self { name, broken: broken.into(), expected, places: PLACES, heals: true, after_others: false, pace: PATIENT }
    }

    pub(crate) fn after_others(self) -> Self {
        Self { after_others: true, places: 64, ..self }
    }

    pub(crate) fn for_good(self) -> Self {
        Self { heals: false, ..self }
    }

    pub(crate) fn hasty(self) -> Self {
        Self { pace: HASTY, ..self }
    }
}

/// The service over these sources.
pub(crate) struct Service {
    pub(crate) server: Server,
    client: Client,
    deadline: Duration,
    _folder: tempfile::TempDir,
}

impl Service {
    pub(crate) fn over(sources: &BTreeMap<String, Value>, deadline: Duration) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("settings.yaml");
        let settings = json!({
            "deadline": format!("{}s", deadline.as_secs()),
            "limits": { "concurrent_analyses": 128 },
            "sources": sources
        });
        std::fs::write(&file, settings.to_string()).expect("the settings are written");
        let server = Server::start(&folder.path().join("log"), "/health/ready", |address| {
            let mut command = command();
            command.args(["serve", "--listen", &address.to_string(), "--settings"]).arg(&file);
            command.env("DD_API_KEY", API_KEY).env("DD_APP_KEY", APP_KEY);
            command
        });
        Self { server, client: client(), deadline, _folder: folder }
    }

    /// The status and body of the answer to a request for a judgement.
    pub(crate) async fn post(&self, request: &Value) -> Result<(u16, String), String> {
        let sent = self.client.post(format!("{}/v1/judgements", self.server.url())).json(request);
        let began = Instant::now();
        let reply = sent.timeout(self.deadline + SLACK).send().await.map_err(|error| format!("no answer in time: {error:?}"))?;
        let status = reply.status().as_u16();
        let body = reply.text().await.map_err(|error| format!("no whole answer after {:?}: {error:?}", began.elapsed()))?;
        Ok((status, body))
    }

    pub(crate) async fn judged(&self, request: &Value) -> Result<Scorecard, String> {
        let (status, body) = self.post(request).await?;
        if status != 200 {
            return Err(format!("{status}: {body}"));
        }
        card(&body)
    }

    /// The service's own metrics that begin so, by their labels.
    pub(crate) async fn measured(&self, name: &str) -> BTreeMap<String, f64> {
        let text = self.client.get(format!("{}/metrics", self.server.url())).send().await.expect("an answer").text().await.expect("a body");
        let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        samples.map(|(labels, value)| (labels.to_owned(), value.parse().expect("a number"))).collect()
    }
}

/// A request for a judgement of `config` by an account's metrics.
pub(crate) fn request(account: &str, config: &Value, minutes_earlier: usize) -> Value {
    let time = |minute: usize| {
        let second = START + 60 * i64::try_from(minute - minutes_earlier).expect("a minute of the recording");
        jiff::Timestamp::from_second(second).expect("a time").to_string()
    };
    json!({
        "config": config,
        "source": account,
        "baseline": { "scope": "healthy" },
        "canary": { "scope": "healthy-canary" },
        "window": { "start": time(WINDOW.start), "end": time(WINDOW.end), "step": "60s" }
    })
}

fn card(body: &str) -> Result<Scorecard, String> {
    serde_json::from_str(body).map_err(|error| format!("{error}: {body}"))
}

/// What is compared of a metric: the finding, and the samples it rests on.
fn found(card: &Scorecard, metric: &MetricResult) -> String {
    let samples = card.data.metrics.iter().find(|data| data.name == metric.name).and_then(|data| data.statistics);
    format!(
        "{} ({}), {} and {}, {samples:?}",
        metric.status, metric.reason, metric.baseline_coverage.present, metric.canary_coverage.present
    )
}

/// Another reply, made of the good one.
pub(crate) fn answer(other: impl Fn(Answer) -> Answer + Send + Sync + 'static) -> Fault {
    Fault::Answer(Box::new(move |_, good| other(good)))
}

/// A reply with this status and no more than a word.
pub(crate) fn status(status: u16) -> Fault {
    answer(move |_| Answer { status, headers: vec![("content-type", "text/plain".to_owned())], body: b"overloaded".to_vec() })
}

/// The same with a header.
pub(crate) fn status_with(status: u16, name: &'static str, value: &'static str) -> Fault {
    answer(move |_| Answer { status, headers: Vec::new(), body: b"overloaded".to_vec() }.with(name, value))
}

/// JSON instead.
pub(crate) fn text(body: &'static str) -> Fault {
    answer(move |_| Answer::json(200, body))
}

fn date(seconds_from_now: i64) -> String {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds_from_now);
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).expect("a date")
}

const LOGIN: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in to go on</body></html>";

/// Faults below what a store's replies mean.
pub(crate) fn rows_of_any_store() -> Vec<Row> {
    use Expected::{Error, Judged, Recovered};
    let once = |fault: Fault| Broken::from(fault).first(1);
    vec![
        Row::new("vanished", Fault::Vanish, Error(&["could not be reached", "refused the connection"])).after_others().for_good(),
        Row::new("reset", Fault::ResetBefore, Error(&["could not be reached", "broke off the connection", " tries in"])),
        Row::new("reset-once", once(Fault::ResetBefore), Recovered { tries: 2 }),
        Row::new("reset-within", Fault::ResetWithin, Error(&["could not be reached", "broke off the connection", " tries in"])),
        Row::new("cut", Fault::Cut, Error(&["could not be reached", "broke off the connection", " tries in"])),
        Row::new("black-hole", Fault::BlackHole, Error(&["no reply had begun"])).hasty(),
        Row::new("slow-head", Fault::SlowHead, Error(&["no reply had begun"])).hasty(),
        Row::new("slow-body", Fault::SlowBody, Error(&["its reply was not complete"])).hasty(),
        Row::new("slow-once", once(Fault::BlackHole), Recovered { tries: 2 }).hasty(),
        Row::new("429", status(429), Error(&["rate limit", "429", "overloaded", " tries in"])),
        Row::new("429-once", once(status(429)), Recovered { tries: 2 }),
        Row::new("429-retry-after-1", once(status_with(429, "retry-after", "1")), Recovered { tries: 2 }),
        // Longer than the third of the time that a query with history may take, and shorter than all of it.
        Row::new(
            "429-retry-after-24",
            Broken::from(status_with(429, "retry-after", "24")).most(1),
            Judged(&["without history", "asks to wait 24 s"]),
        )
        .hasty(),
        Row::new(
            "429-retry-after-3600",
            status_with(429, "retry-after", "3600"),
            Error(&["rate limit", "3600 s", "which the deadline does not allow"]),
        )
        .after_others()
        .for_good()
        .hasty(),
        Row::new("500", status(500), Error(&["could not be reached", "500", "overloaded", " tries in"])),
        Row::new("500-once", once(status(500)), Recovered { tries: 2 }),
        Row::new("502", status(502), Error(&["could not be reached", "502", " tries in"])),
        Row::new("502-once", once(status(502)), Recovered { tries: 2 }),
        Row::new("503", status(503), Error(&["could not be reached", "503", " tries in"])),
        Row::new("503-twice", Broken::from(status(503)).first(2), Recovered { tries: 3 }),
        Row::new("503-retry-after-3600", status_with(503, "retry-after", "3600"), Error(&["503", "asks to wait 3600 s"])).hasty(),
        Row::new(
            "truncated",
            answer(|mut good| {
                good.body.truncate(good.body.len() / 2);
                good
            }),
            Error(&["cannot be read", "EOF while parsing"]),
        ),
        Row::new(
            "login-page",
            answer(|_| Answer::json(200, LOGIN).with("content-type", "text/html")),
            Error(&["cannot be read", "text/html", "Sign in"]),
        ),
        Row::new("no-content-type", answer(|good| Answer { headers: Vec::new(), ..good }), Judged(&[])),
        Row::new("bomb", Fault::Bomb, Error(&["longer than the 16777216 bytes"])),
        Row::new("not-gzip", answer(|good| good.with("content-encoding", "gzip")), Error(&["cannot be decompressed"])),
        Row::new("200-mb", Fault::Long { announced: true }, Error(&["longer than the 16777216 bytes"])),
        Row::new("200-mb-unannounced", Fault::Long { announced: false }, Error(&["longer than the 16777216 bytes"])),
        Row::new("empty", text(""), Error(&["cannot be read", "EOF"])),
        Row::new("204", answer(|_| Answer { status: 204, headers: Vec::new(), body: Vec::new() }), Error(&["cannot be read", "204"])),
        Row::new(
            "redirect",
            answer(|_| {
                Answer { status: 302, headers: Vec::new(), body: Vec::new() }.with("location", "https://login.example/?token=hunter2")
            }),
            Error(&["302", "https://login.example/", "not followed"]),
        ),
        Row::new("forbidden", status(403), Error(&["turned the account away", "403", "check"])),
        Row::new("clock-ahead", answer(|good| good.with("date", date(600))), Judged(&["clock is", "s ahead of ours"])),
        Row::new("clock-behind", answer(|good| good.with("date", date(-600))), Judged(&["clock is", "s behind ours"])),
    ]
}

/// A store, and the metrics that are judged by it.
pub(crate) struct Suite {
    pub(crate) store: Store,
    /// A text in the queries of the metric that is broken, and in no other.
    pub(crate) marker: &'static str,
    /// Whether the queries of all metrics are one request, so that what befalls it befalls all of them.
    pub(crate) together: bool,
    /// That metric's name.
    pub(crate) broken: &'static str,
    pub(crate) config: Value,
    /// The settings of an account at an address.
    pub(crate) source: fn(String) -> Value,
}

impl Suite {
    pub(crate) async fn run(self, rows: Vec<Row>) {
        let _alone = ALONE.lock().await;
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), rows.len(), "every row has a name of its own");
        let (hasty, patient) = rows.into_iter().partition(|row| row.pace == HASTY);
        let mut wrong = Vec::new();
        for (pace, rows) in [(HASTY, hasty), (PATIENT, patient)] {
            wrong.extend(self.at(pace, rows).await);
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What is not as it should be of rows of one pace.
    async fn at(&self, pace: Pace, rows: Vec<Row>) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        // Of one that vanishes, all accounts would be gone.
        let (store, vanishing) =
            (FaultyStore::before(self.store.clone(), self.marker).await, FaultyStore::before(self.store.clone(), self.marker).await);
        let of = |row: &Row| if row.name == "vanished" { &vanishing } else { &store };
        let source = |url: String, places: u32| {
            let mut source = (self.source)(url);
            source["timeout"] = json!(format!("{}s", pace.timeout.as_secs()));
            source["max_concurrent"] = json!(places);
            source
        };
        let mut sources: BTreeMap<String, Value> =
            rows.iter().map(|row| (row.name.to_owned(), source(of(row).url(row.name), row.places))).collect();
        sources.insert("whole".to_owned(), source(store.url("whole"), PLACES));
        sources.insert("closed".to_owned(), source(format!("http://{}", free_address()), PLACES));
        let service = Service::over(&sources, pace.deadline);

        let whole = service.judged(&request("whole", &self.config, 0)).await.expect("a judgement");
        let sentences: Vec<&String> = whole.judgement.metrics.iter().map(|metric| &metric.sentence).collect();
        assert_eq!(whole.judgement.verdict, Verdict::Pass, "{sentences:?}");

        let others = store.unmarked("whole");
        let checks = rows.into_iter().map(|mut row| async {
            if row.after_others {
                row.broken = row.broken.after(others);
            }
            let (name, store) = (row.name, of(&row));
            self.check(row, &service, store, &whole).await.map_err(|wrong| format!("{name}: {wrong}"))
        });
        let mut wrong: Vec<String> =
            stream::iter(checks).buffer_unordered(ROWS_AT_ONCE).filter_map(async |ended| ended.err()).collect().await;

        let (status, problem) = service.post(&request("closed", &self.config, 0)).await.expect("an answer");
        if status != 502 || !problem.contains("source-unreachable") || !problem.contains("refused the connection") {
            wrong.push(format!("closed: {status}: {problem}"));
        }
        let under_way = service.measured("haldane_upstream_under_way").await;
        assert_eq!(under_way.len(), sources.len());
        for (account, places) in under_way {
            if places != 0.0 {
                wrong.push(format!("{account}: {places} requests never ended"));
            }
        }
        if let Some(peak) = service.server.peak_memory()
            && peak >= MEMORY
        {
            wrong.push(format!("the service took {peak} bytes of memory"));
        }
        wrong
    }

    /// Ends one row. The error says what is not as it should be.
    async fn check(&self, row: Row, service: &Service, store: &FaultyStore, whole: &Scorecard) -> Result<(), String> {
        store.breaks(row.name, Some(row.broken));
        let began = Instant::now();
        let (status, body) = service.post(&request(row.name, &self.config, 0)).await?;
        let took = began.elapsed();
        let tries = store.asked(row.name).into_values().max().unwrap_or_default();
        store.breaks(row.name, None);
        let mut wrong = match row.expected {
            // Nothing was left to judge.
            Expected::Error(words) if self.together && status != 200 && words.iter().all(|word| body.contains(word)) => Vec::new(),
            _ if status != 200 => return Err(format!("{status}: {body}")),
            expected => self.compare(&card(&body)?, whole, expected, tries),
        };
        if took >= service.deadline + SLACK {
            wrong.push(format!("took {took:?}"));
        }
        if body.contains("hunter2") {
            wrong.push(format!("shows what may be secret: {body}"));
        }
        if row.heals {
            // Another window, so that nothing is at hand.
            let card = service.judged(&request(row.name, &self.config, 1)).await.map_err(|error| format!("afterwards: {error}"))?;
            if card.judgement.verdict != Verdict::Pass {
                let all = card.judgement.metrics.iter().map(|metric| format!("{}: {}", metric.name, metric.sentence));
                wrong.push(format!("does not pass afterwards: {:?}", all.collect::<Vec<_>>()));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
    }

    /// What differs from what is expected of one metric and, of the others, from a judgement without a fault.
    fn compare(&self, card: &Scorecard, whole: &Scorecard, expected: Expected, tries: usize) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut claim = |holds: bool, what: &dyn Fn() -> String| {
            if !holds {
                wrong.push(what());
            }
        };
        let says = |text: &str, words: &[&str]| words.iter().all(|word| text.contains(word));
        for (metric, good) in card.judgement.metrics.iter().zip(&whole.judgement.metrics) {
            let (now, before) = (found(card, metric), found(whole, good));
            let (sentence, warnings) = (&metric.sentence, metric.warnings.join("; "));
            let same = || format!("{} is {now}, not {before}: {sentence}; {warnings}", metric.name);
            if metric.name != self.broken {
                let with_it = self.together && matches!(expected, Expected::Error(_)) && metric.status == Status::Error;
                claim(now == before || with_it, &same);
                continue;
            }
            match expected {
                Expected::Error(words) => {
                    // A request of many queries that times out is asked in parts, for as long as there is time.
                    let reason =
                        matches!(metric.reason, Reason::Fetch | Reason::Partial) || self.together && metric.reason == Reason::Deadline;
                    claim(metric.status == Status::Error && reason, &|| format!("is {now}"));
                    // Then what was waited for at the end is the cause.
                    let late = self.together && says(sentence, &["the time for the analysis ran out"]);
                    claim(late || says(sentence, words), &|| format!("does not name the cause: {sentence}"));
                }
                Expected::NotPassed(words) => {
                    claim(!matches!(metric.status, Status::Error | Status::Pass), &|| format!("is {now}"));
                    claim(says(sentence, words) || says(&warnings, words), &|| format!("does not name the cause: {sentence}; {warnings}"));
                }
                Expected::Judged(words) => {
                    claim(now == before, &same);
                    claim(says(&warnings, words), &|| format!("is not warned of: {warnings}"));
                }
                Expected::Recovered { tries: expected } => {
                    claim(now == before, &same);
                    claim(tries == expected, &|| format!("was tried {tries} times"));
                }
            }
        }
        let passes = matches!(expected, Expected::Judged(_) | Expected::Recovered { .. });
        claim((card.judgement.verdict == Verdict::Pass) == passes, &|| format!("the verdict is {}", card.judgement.verdict));
        wrong
    }
}
