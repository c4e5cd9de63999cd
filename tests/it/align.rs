//! How the arms lie on one grid: resolutions, young tails and clocks, against a played metric store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haldane::analysis::{AnalysisLimits, Analyst, Request, Scorecard};
use haldane::source::cache::ReplyCache;
use haldane::source::sources::Sources;
use haldane_judges::scorecard::{Action, MetricResult, Reason, Remedy, Status, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;
use wiremock::matchers::path_regex;
use wiremock::{Mock, MockServer, Respond, ResponseTemplate};

use crate::support::relay::lock;
use crate::support::scorecard;

/// An hour of minutes, long settled; a multiple of an hour.
const START: i64 = 1_772_359_200;
const END: i64 = START + 3600;

/// A query as the store saw it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    query: String,
    start: i64,
    end: i64,
    step: i64,
}

impl Seen {
    fn of(request: &wiremock::Request) -> Self {
        let form = format!("http://x/?{}", String::from_utf8_lossy(&request.body));
        let fields: BTreeMap<String, String> = reqwest::Url::parse(&form).unwrap().query_pairs().into_owned().collect();
        let number = |name: &str| fields[name].parse().unwrap();
        Self { query: fields["query"].clone(), start: number("start"), end: number("end"), step: number("step") }
    }

    fn is_canary(&self) -> bool {
        self.query.contains("canary")
    }

    fn times(&self) -> impl Iterator<Item = i64> {
        let (start, end, step) = (self.start, self.end, self.step);
        (0..).map(move |i| start + i * step).take_while(move |time| *time <= end)
    }

    /// A point at each multiple of `every` seconds.
    fn points(&self, every: i64) -> Vec<Value> {
        self.points_where(|time| time % every == 0)
    }

    fn points_where(&self, present: impl Fn(i64) -> bool) -> Vec<Value> {
        self.times().filter(|time| present(*time)).map(|time| json!([time, noisy(&self.query, time).to_string()])).collect()
    }
}

/// Around 100, by a fixed pattern that differs between queries and changes each minute.
fn noisy(query: &str, time: i64) -> f64 {
    let mut bits = time.unsigned_abs() / 60 + query.bytes().map(u64::from).sum::<u64>() * 7919;
    for _ in 0..3 {
        bits = (bits ^ (bits >> 13)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    100.0 + (bits >> 40) as f64 / f64::from(1 << 24)
}

fn success(values: &[Value]) -> ResponseTemplate {
    let series = if values.is_empty() { json!([]) } else { json!([{ "metric": {}, "values": values }]) };
    ResponseTemplate::new(200).set_body_json(json!({ "status": "success", "data": { "resultType": "matrix", "result": series } }))
}

struct Store {
    server: MockServer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Answer<F>(F, Arc<Mutex<Vec<Seen>>>);

impl<F: Fn(&Seen) -> ResponseTemplate + Send + Sync> Respond for Answer<F> {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let seen = Seen::of(request);
        lock(&self.1).push(seen.clone());
        (self.0)(&seen)
    }
}

impl Store {
    async fn start(answer: impl Fn(&Seen) -> ResponseTemplate + Send + Sync + 'static) -> Self {
        let (server, seen) = (MockServer::start().await, Arc::default());
        let respond = Answer(answer, Arc::clone(&seen));
        Mock::given(path_regex(".*query_range$")).respond_with(respond).mount(&server).await;
        Self { server, seen }
    }

    fn analyst(&self, settle: &str) -> Analyst {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = json!({ "kind": "prometheus", "url": self.server.uri(), "settle": settle });
        let settings = BTreeMap::from([("main".to_owned(), serde_json::from_value(settings).unwrap())]);
        Analyst::new(Sources::open(&settings, ReplyCache::default()).unwrap(), AnalysisLimits::default())
    }

    async fn judge(&self, request: &Value) -> Scorecard {
        self.judge_settling("60s", request).await
    }

    async fn judge_settling(&self, settle: &str, request: &Value) -> Scorecard {
        let request: Request = serde_json::from_value(request.clone()).unwrap();
        scorecard(&self.analyst(settle), &request, Instant::now() + Duration::from_secs(60)).await.unwrap()
    }

    /// How often each step was asked for.
    fn steps(&self) -> BTreeMap<i64, usize> {
        let mut steps = BTreeMap::new();
        for seen in std::mem::take(&mut *lock(&self.seen)) {
            *steps.entry(seen.step).or_default() += 1;
        }
        steps
    }
}

/// What the metric of this name asks, for the scope and the step that are put in.
fn query(name: &str) -> String {
    format!("sum_over_time({name}{{app=\"${{scope}}\"}}[${{step}}])")
}

/// The same as the store is asked it.
fn asked(name: &str, scope: &str, step: u32) -> String {
    query(name).replace("${scope}", scope).replace("${step}", &format!("{step}s"))
}

fn metric(name: &str) -> Value {
    json!({ "name": name, "direction": "increase", "history": { "mode": "off" }, "queries": { "prometheus": query(name) } })
}

/// A request over an hour that has settled long ago.
fn request(metrics: &[Value]) -> Value {
    json!({
        "judge": "haldane-v1", "config": { "name": "c", "judge": "haldane-v1", "metrics": metrics },
        "baseline": { "variables": { "scope": "base" } }, "canary": { "variables": { "scope": "canary" } },
        "window": { "start": START, "end": END, "step_seconds": 60 }, "step_seconds": 60
    })
}

fn only(card: &Scorecard) -> &MetricResult {
    assert_eq!(card.judgement.metrics.len(), 1);
    &card.judgement.metrics[0]
}

fn says(warnings: &[String], part: &str) -> bool {
    warnings.iter().any(|warning| warning.contains(part))
}

#[tokio::test]
async fn arms_of_one_resolution_are_asked_once_each_and_nothing_is_said() {
    let store = Store::start(|seen| success(&seen.points(60))).await;
    let card = store.judge(&request(&[metric("m")])).await;
    assert_eq!(store.steps(), BTreeMap::from([(60, 2)]));
    assert_eq!((only(&card).status, &only(&card).warnings, &card.judgement.warnings), (Status::Pass, &Vec::new(), &Vec::new()));
    assert_eq!(card.data.metrics[0].step_seconds, None);
}

#[tokio::test]
async fn where_an_arm_is_coarser_both_are_read_at_its_resolution_and_the_scorecard_says_so() {
    let store = Store::start(|seen| success(&seen.points(if seen.is_canary() { 60 } else { 300 }))).await;
    let card = store.judge(&request(&[metric("m"), metric("n")])).await;
    assert_eq!(store.steps(), BTreeMap::from([(60, 4), (300, 4)]));
    for (result, data) in card.judgement.metrics.iter().zip(&card.data.metrics) {
        let said = "the baseline has a point every 300 s and the canary every 60 s; both were read every 300 s; set `step: 5m` to ask for it at once";
        assert!(says(&result.warnings, said), "{:?}", result.warnings);
        assert_eq!(data.step_seconds, Some(300));
        let told: Vec<_> = data.queries.iter().map(|query| (query.query.clone(), query.points)).collect();
        assert_eq!(told, ["base", "canary"].map(|scope| (asked(&data.name, scope, 300), Some(12))));
    }
    assert_eq!(card.data.step_seconds, 60);
}

#[tokio::test]
async fn the_new_grid_lies_within_the_window_on_multiples_of_its_step() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut request = request(&[metric("m")]);
    request["window"] = json!({ "start": START + 120, "end": END - 60, "step_seconds": 60 });
    let card = store.judge(&request).await;
    let asked: Vec<Seen> = lock(&store.seen).iter().filter(|seen| seen.step == 300).cloned().collect();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|seen| (seen.start, seen.end) == (START + 600, END - 300)), "{asked:?}");
    assert!(says(&only(&card).warnings, "both arms have a point every 300 s; both were read every 300 s"), "{:?}", only(&card).warnings);
}

#[tokio::test]
async fn remedies_count_the_points_at_the_step_they_come_at() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut patient = metric("m");
    patient["min_points"] = json!(20);
    let card = store.judge(&request(&[patient])).await;
    let extension = only(&card).remedies.iter().find_map(|remedy| match remedy {
        Remedy::Extend { minutes, .. } => Some(*minutes),
        _ => None,
    });
    // Twelve points five minutes apart where twenty are needed: each that is missing takes five minutes more.
    assert_eq!(only(&card).status, Status::Inconclusive, "{:?}", only(&card));
    assert!(extension.is_some_and(|minutes| minutes >= 40 && minutes % 5 == 0), "{:?}", only(&card).remedies);
}

#[tokio::test]
async fn the_past_is_read_at_the_resolution_too() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut request = request(&[json!({ "name": "m", "queries": { "prometheus": query("m") } })]);
    request["released_at"] = json!(jiff::Timestamp::from_second(START).unwrap());
    let card = store.judge(&request).await;
    let data = &card.data.metrics[0];
    // Twenty windows of twelve points.
    assert!(data.queries.iter().all(|query| query.history_points == Some(240)), "{:?}", data.queries);
    assert!(only(&card).warnings.iter().all(|warning| !warning.contains("without history")), "{:?}", only(&card).warnings);
}

#[tokio::test]
async fn where_asking_again_fails_or_brings_less_the_first_answer_is_judged_and_said_so() {
    let failing = |seen: &Seen| match seen.step {
        60 => success(&seen.points(300)),
        _ => ResponseTemplate::new(400).set_body_json(json!({ "status": "error", "errorType": "bad_data", "error": "no such rollup" })),
    };
    let emptier = |seen: &Seen| if seen.step == 60 { success(&seen.points(300)) } else { success(&[]) };
    let expected =
        [("no such rollup", Store::start(failing).await), ("the baseline has 0 points where it had 12", Store::start(emptier).await)];
    for (part, store) in expected {
        let card = store.judge(&request(&[metric("m")])).await;
        let warnings = &only(&card).warnings;
        assert!(says(warnings, part) && says(warnings, "judged as they came"), "{warnings:?}");
        assert_eq!((card.data.metrics[0].step_seconds, card.data.metrics[0].queries[0].points), (None, Some(12)));
    }
}

#[tokio::test]
async fn where_there_is_no_time_to_ask_again_the_first_answer_is_judged() {
    let store = Store::start(|seen| {
        let answer = success(&seen.points(300));
        if seen.step == 60 { answer } else { answer.set_delay(Duration::from_secs(120)) }
    })
    .await;
    let request: Request = serde_json::from_value(request(&[metric("m")])).unwrap();
    let card = scorecard(&store.analyst("60s"), &request, Instant::now() + Duration::from_secs(12)).await.unwrap();
    let warnings = &only(&card).warnings;
    assert!(says(warnings, "asked again every 300 s, the") && says(warnings, "judged as they came"), "{warnings:?}");
    assert_eq!(card.data.metrics[0].queries[0].points, Some(12));
}

#[tokio::test]
async fn queries_that_came_complete_are_not_asked_again_but_spoken_of() {
    let store = Store::start(|seen| success(&seen.points(if seen.is_canary() { 60 } else { 300 }))).await;
    let mut request = request(&[json!({ "name": "m", "history": { "mode": "off" } })]);
    let complete = |text: &str| json!({ "text": text, "window": { "start": START, "end": END, "step_seconds": 60 } });
    request["queries"] = json!({ "m": { "baseline": complete("base"), "canary": complete("canary") } });
    let card = store.judge(&request).await;
    assert_eq!(store.steps(), BTreeMap::from([(60, 2)]));
    let warnings = &only(&card).warnings;
    assert!(
        says(warnings, "the baseline has a point every 300 s and the canary every 60 s, and could not be read every 300 s"),
        "{warnings:?}"
    );
    (request["judge"], request["config"]["judge"]) = (json!("NetflixACAJudge-v1.0"), json!("NetflixACAJudge-v1.0"));
    let card = store.judge(&request).await;
    assert!(!says(&only(&card).warnings, "has a point every"), "{:?}", only(&card).warnings);
}

#[tokio::test]
async fn a_window_too_short_for_the_resolution_is_judged_as_it_came() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut request = request(&[json!({ "name": "m", "queries": { "prometheus": query("m") } })]);
    // One point of five minutes is in it; that they lie so far apart is known from the past.
    request["window"] = json!({ "start": START, "end": START + 540, "step_seconds": 60 });
    request["released_at"] = json!(jiff::Timestamp::from_second(START).unwrap());
    let card = store.judge(&request).await;
    assert!(says(&only(&card).warnings, "the window holds 1 point at 300 s; ask for a longer one"), "{:?}", only(&card).warnings);
}

#[tokio::test]
async fn values_that_are_repeated_are_advised_of_and_not_asked_again() {
    let store = Store::start(|seen| {
        let held: Vec<Value> = seen.times().map(|time| json!([time, noisy(&seen.query, time / 300 * 300).to_string()])).collect();
        success(&held)
    })
    .await;
    let card = store.judge(&request(&[metric("m")])).await;
    assert_eq!(store.steps(), BTreeMap::from([(60, 2)]));
    assert!(says(&only(&card).warnings, "the values of both arms change every 300 s only"), "{:?}", only(&card).warnings);
}

#[tokio::test]
async fn points_off_the_grid_out_of_order_or_twice_are_told_for_the_arm_that_has_them() {
    let store = Store::start(|seen| {
        let mut values = seen.points(60);
        if seen.is_canary() {
            values.swap(3, 20);
            values.push(values[5].clone());
            values[7][0] = json!(values[7][0].as_f64().unwrap() + 7.5);
        }
        success(&values)
    })
    .await;
    let card = store.judge(&request(&[metric("m")])).await;
    let warnings = &only(&card).warnings;
    assert!(says(warnings, "canary: 1 points lie off the grid") && says(warnings, "canary: 1 points came more than once"), "{warnings:?}");
    assert!(!says(warnings, "baseline:"), "{warnings:?}");
    // Each point is where its time says.
    let analyst = store.analyst("60s");
    let request: Request = serde_json::from_value(request(&[metric("m")])).unwrap();
    let card = scorecard(&analyst, &request, Instant::now() + Duration::from_secs(60)).await.unwrap();
    let samples = serde_json::to_value(&card.data.metrics[0].samples).unwrap();
    for (i, value) in samples["canary"]["values"].as_array().unwrap().iter().enumerate() {
        let time = START + 60 * (i as i64 + 1);
        assert_eq!(value.as_f64(), Some(noisy(&asked("m", "canary", 60), time)), "{i}");
    }
}

#[tokio::test]
async fn a_baseline_with_an_offset_keeps_its_own_times() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut request = request(&[metric("m")]);
    request["baseline_offset_seconds"] = json!(86_400 + 420);
    let card = store.judge(&request).await;
    let seen: Vec<(bool, i64, i64, i64)> =
        lock(&store.seen).iter().map(|seen| (seen.is_canary(), seen.step, seen.start, seen.end)).collect();
    let earlier = 86_400 + 420;
    for asked in [
        (false, 60, START + 60 - earlier, END - earlier),
        (true, 60, START + 60, END),
        // Inwards from 7 minutes before the grid of five: 11 of the 12 points.
        (false, 300, START - 86_400 - 300 + 300, END - 86_400 - 600),
        // And so the newest 11 of the canary's.
        (true, 300, START + 600, END),
    ] {
        assert!(seen.contains(&asked), "{asked:?}: {seen:?}");
    }
    assert!(card.judgement.warnings.is_empty(), "{:?}", card.judgement.warnings);
}

#[tokio::test]
async fn an_arm_that_ends_early_in_all_metrics_is_told_once() {
    let store = Store::start(|seen| {
        let last = if seen.is_canary() { END - 240 } else { END };
        success(&seen.points_where(|time| time <= last))
    })
    .await;
    let card = store.judge(&request(&[metric("a"), metric("b"), metric("c")])).await;
    let told: Vec<_> = card.judgement.warnings.iter().filter(|warning| warning.contains("series end")).collect();
    assert_eq!(told.len(), 1, "{:?}", card.judgement.warnings);
    assert!(told[0].starts_with("the canary's series end 4 min before the baseline's in all 3 metrics"), "{told:?}");
}

#[tokio::test]
async fn arms_of_which_one_follows_the_other_late_are_told_and_judged_all_the_same() {
    let load = |query: &str, time: i64| noisy("load", time) * 10.0 + noisy(query, time) * 0.5;
    let late = move |seen: &Seen| {
        let by = if seen.is_canary() { 120 } else { 0 };
        let values: Vec<Value> = seen.times().map(|time| json!([time, load(&seen.query, time - by).to_string()])).collect();
        success(&values)
    };
    let card = Store::start(late).await.judge(&request(&[metric("a"), metric("b")])).await;
    assert!(says(&card.judgement.warnings, "the canary's points follow the baseline's by 2 steps (120 s"), "{:?}", card.judgement.warnings);
    let in_step = move |seen: &Seen| {
        let values: Vec<Value> = seen.times().map(|time| json!([time, load(&seen.query, time).to_string()])).collect();
        success(&values)
    };
    let healthy = Store::start(in_step).await.judge(&request(&[metric("a"), metric("b")])).await;
    assert!(healthy.judgement.warnings.is_empty(), "{:?}", healthy.judgement.warnings);
    assert_eq!(card.judgement.verdict, healthy.judgement.verdict);
}

/// A request over the last hour, to the minute that has begun last.
fn young_request(metrics: &[Value]) -> (Value, i64) {
    let end = jiff::Timestamp::now().as_second() / 60 * 60;
    let mut request = request(metrics);
    request["window"] = json!({ "start": end - 3600, "end": end, "step_seconds": 60 });
    (request, end)
}

fn lengths(card: &Scorecard, i: usize) -> [usize; 2] {
    let samples = serde_json::to_value(&card.data.metrics[i].samples).unwrap();
    ["baseline", "canary"].map(|arm| samples[arm]["values"].as_array().unwrap().len())
}

#[tokio::test]
async fn points_missing_from_a_young_tail_are_left_out_of_both_arms_and_not_observed() {
    // So much of the window is young that the minute in which the test runs makes no difference.
    let (mut request, end) = young_request(&[metric("m"), metric("n")]);
    let store = Store::start(move |seen| {
        let last = if seen.is_canary() && seen.query.contains("(m{") { end - 600 } else { end };
        success(&seen.points_where(|time| time <= last))
    })
    .await;
    request["config"]["min_observation"] = json!("50m");
    let card = store.judge_settling("45m", &request).await;
    assert_eq!((lengths(&card, 0), lengths(&card, 1)), ([50, 50], [60, 60]));
    assert!(card.judgement.metrics.iter().all(|result| result.status == Status::Pass), "{:?}", card.judgement.metrics);
    assert_eq!(card.judgement.verdict, Verdict::Pass);
    let warning = card.judgement.warnings.iter().find(|warning| warning.contains("the tail is young")).unwrap();
    assert!(
        warning.contains("`main` may arrive for 45 min") && warning.contains("(`m`)") && warning.contains("ask again after"),
        "{warning}"
    );
    assert!(!says(&card.judgement.warnings, "series end"), "{:?}", card.judgement.warnings);
    request["config"]["min_observation"] = json!("51m");
    let short = store.judge_settling("45m", &request).await;
    assert_ne!(short.judgement.verdict, Verdict::Pass, "fifty minutes were observed of both");
    // Its store would have had them by now: gaps.
    let settled = store.judge_settling("0s", &request).await;
    assert_eq!((lengths(&settled, 0), settled.judgement.verdict), ([60, 60], Verdict::Fail), "dead for the last ten of sixty");
    assert!(!says(&settled.judgement.warnings, "the tail is young"), "{:?}", settled.judgement.warnings);
}

#[tokio::test]
async fn where_more_than_a_fifth_of_the_window_is_missing_and_young_a_metric_is_not_judged() {
    let (request, end) = young_request(&[metric("m"), metric("n")]);
    let store = Store::start(move |seen| {
        let last = if seen.is_canary() && seen.query.contains("(m{") { end - 2400 } else { end };
        success(&seen.points_where(|time| time <= last))
    })
    .await;
    let card = store.judge_settling("45m", &request).await;
    let [m, n] = card.judgement.metrics.as_slice() else { panic!("two metrics") };
    assert_eq!((m.status, m.reason, n.status), (Status::Error, Reason::Fetch, Status::Pass), "{m:?}");
    let until = jiff::Timestamp::from_second(end + 2700).unwrap().strftime("%H:%M:%S UTC");
    let said = format!("40 points of the canary have not arrived, and may until {until}; ask again then");
    assert!(m.sentence.contains(&said), "{}", m.sentence);
    let settled = store.judge_settling("0s", &request).await;
    let gone = &settled.judgement.metrics[0];
    assert!(gone.status != Status::Pass && gone.status != Status::Error, "{gone:?}");
}

#[tokio::test]
async fn a_canary_that_died_in_the_young_part_of_its_window_does_not_pass() {
    let mut errors = metric("errors");
    errors["absent_means_zero"] = json!(true);
    let (mut request, end) = young_request(&[metric("m"), errors]);
    request["window"]["start"] = json!(end - 720);
    let store = Store::start(move |seen| {
        let last = if seen.is_canary() { end - 480 } else { end };
        success(&seen.points_where(|time| time <= last))
    })
    .await;
    let card = store.judge_settling("10m", &request).await;
    assert!(card.judgement.metrics.iter().all(|result| result.status != Status::Pass), "{:?}", card.judgement.metrics);
    assert_ne!(card.judgement.verdict, Verdict::Pass);
    // It reported nothing in the last eight of twelve minutes.
    assert_eq!(card.judgement.recommendation.action, Action::Rollback, "{:?}", card.judgement);
}

#[tokio::test]
async fn events_that_are_few_are_no_coarse_series() {
    let present = |query: &str, time: i64| !query.contains("errors") || [2, 4, 8, 10, 16].contains(&((time - START) / 60));
    let store = Store::start(move |seen| {
        let counts: Vec<Value> = seen
            .times()
            .filter(|time| present(&seen.query, *time))
            .map(|time| {
                json!([
                    time,
                    if seen.query.contains("errors") {
                        "1"
                    } else if seen.is_canary() {
                        "200"
                    } else {
                        "201"
                    }
                ])
            })
            .collect();
        success(&counts)
    })
    .await;
    let ratio = json!({
        "name": "m", "kind": "ratio", "direction": "increase", "absent_means_zero": true, "history": { "mode": "off" },
        "queries": { "prometheus": { "numerator": query("errors"), "denominator": query("requests") } }
    });
    let mut request = request(&[ratio]);
    request["window"]["end"] = json!(START + 1200);
    let card = store.judge(&request).await;
    assert_eq!(store.steps(), BTreeMap::from([(60, 4)]));
    let counts = only(&card).counts.as_ref().unwrap();
    assert_eq!((counts.canary.events, counts.canary.total), (5.0, 4000.0), "{counts:?}");
    assert_eq!(only(&card).warnings, [""; 0]);
}

#[tokio::test]
async fn the_digest_tells_the_same_values_at_another_step_apart() {
    let store = Store::start(|seen| success(&seen.points(300))).await;
    let mut request = request(&[metric("m")]);
    let again = store.judge(&request).await;
    (request["window"]["step_seconds"], request["step_seconds"]) = (json!(300), json!(300));
    let at_once = store.judge(&request).await;
    assert_eq!(
        (&again.data.metrics[0].samples, again.data.metrics[0].step_seconds, at_once.data.metrics[0].step_seconds),
        (&at_once.data.metrics[0].samples, Some(300), None)
    );
    assert_ne!(again.data.digest, at_once.data.digest);
}

/// A store that refuses to answer over more than the window where `refuses` says so.
async fn forgetful(refuses: impl Fn(&Seen) -> bool + Send + Sync + 'static) -> Store {
    Store::start(move |seen| {
        if seen.start < START && refuses(seen) {
            let body =
                json!({ "status": "error", "errorType": "execution", "error": "query processing would load too many samples into memory" });
            return ResponseTemplate::new(422).set_body_json(body);
        }
        success(&seen.points(300))
    })
    .await
}

#[tokio::test]
async fn no_history_is_lost_for_a_resolution() {
    let mut request = request(&[json!({ "name": "m", "queries": { "prometheus": query("m") } })]);
    request["released_at"] = json!(jiff::Timestamp::from_second(START).unwrap());
    // It gave less than it was asked for already: it is not asked again.
    let store = forgetful(|_| true).await;
    let card = store.judge(&request).await;
    assert!(says(&only(&card).warnings, "judged without history"), "{:?}", only(&card).warnings);
    assert_eq!(store.steps().keys().copied().collect::<Vec<i64>>(), [60]);
    let store = forgetful(|seen| seen.step > 60).await;
    let card = store.judge(&request).await;
    let warnings = &only(&card).warnings;
    assert!(says(warnings, "the baseline came without its history; judged as they came"), "{warnings:?}");
    assert!(!says(warnings, "judged without history"), "{warnings:?}");
    assert_eq!((card.data.step_seconds, card.data.metrics[0].step_seconds), (60, None));
    assert!(card.data.metrics[0].queries.iter().all(|query| query.history_points == Some(240)), "{:?}", card.data.metrics[0].queries);
}

#[tokio::test]
async fn kayentas_judge_is_given_the_young_tail_as_it_came_and_the_scorecard_warns_of_it() {
    let (mut request, end) = young_request(&[metric("m")]);
    (request["judge"], request["config"]["judge"]) = (json!("NetflixACAJudge-v1.0"), json!("NetflixACAJudge-v1.0"));
    let store = Store::start(move |seen| success(&seen.points_where(|time| time <= end - 600))).await;
    let card = store.judge_settling("20m", &request).await;
    let samples = serde_json::to_value(&card.data.metrics[0].samples).unwrap();
    assert_eq!(samples["canary"]["values"].as_array().unwrap().len(), 60);
    assert!(says(&card.judgement.warnings, "the tail is young"), "{:?}", card.judgement.warnings);
}
