//! The built program, as a person or a pipeline runs it: exit codes, outputs, messages.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// The program, free of what the environment of the tests may say.
fn haldane() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HALDANE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    haldane().args(arguments).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("the program was killed")
}

const CONFIG: &str = "\
name: latency-only
metrics:
  - name: latency
    unit: ms
    direction: increase
    tolerance: {absolute: 5}
    limits: {max: 400}
    queries: {prometheus: 'latency{app=\"${scope}\"}'}
";

/// A folder with a config and the samples of a passing, a failing and an undecidable canary.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("canary.yaml", CONFIG);
        // 11 points repeated, so that each arm scatters: 100 ms and 160 ms.
        let around = |level: f64, n: usize| (0..n).map(|i| level + f64::from(u8::try_from(i * 7 % 11).unwrap())).collect::<Vec<_>>();
        let samples = |baseline: Vec<f64>, canary: Vec<f64>| json!({"latency": {"baseline": baseline, "canary": canary}}).to_string();
        folder.write("pass.json", &samples(around(100.0, 60), around(100.0, 59).into_iter().chain([103.0]).collect()));
        folder.write("fail.json", &samples(around(100.0, 60), around(160.0, 60)));
        folder.write("marginal.json", &samples(around(100.0, 60), vec![401.0, 120.0]));
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// Judges one of the samples in process.
    fn judge(&self, samples: &str, more: &[&str]) -> Output {
        let (config, samples) = (self.path("canary.yaml"), self.path(samples));
        run(&[&["judge", "--config", &config, "--samples", &samples], more].concat())
    }
}

#[test]
fn the_help_tells_a_newcomer_what_to_do() {
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    let text = out(&help);
    for part in ["serve", "judge", "demo", "lint", "openapi", "schema", "completions", "haldane demo --once", "baseline", "Exit codes"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    for command in ["serve", "judge", "demo", "lint", "openapi", "schema", "completions"] {
        assert_eq!(code(&run(&[command, "--help"])), 0, "{command}");
    }
    let version = run(&["--version"]);
    assert_eq!(out(&version).trim(), format!("haldane {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn points_are_shown_as_they_were_compared_and_since_when_they_are_worse() {
    let noise = |i: usize| 1.0 + 0.002 * (i * 7 % 11) as f64;
    let points = |level: &dyn Fn(usize) -> f64| (0..60).map(|i| level(i) * noise(i)).collect::<Vec<f64>>();
    let counts = |rate: &dyn Fn(usize) -> f64| json!({ "events": (0..60).map(|i| (1_000.0 * rate(i) * noise(i)).round()).collect::<Vec<f64>>(), "totals": vec![1_000; 60] });
    // A canary with a twentieth of the traffic that loses most of it at 10:25, has more errors a request from 10:30 on, and fails from 10:10 on.
    let traffic = |i: usize| if i < 25 { 50.0 } else { 10.0 };
    let folder = Folder::new();
    let request = json!({
        "config": { "name": "c", "metrics": [
            { "name": "rps", "unit": "req/s", "direction": "decrease", "traffic": true },
            { "name": "errors", "unit": "errors/s", "direction": "increase", "per": "request" },
            { "name": "failed", "kind": "ratio", "direction": "increase" }
        ] },
        "canary_share": 0.05,
        "window": { "start": "2026-11-01T10:00:00Z", "end": "2026-11-01T11:00:00Z" },
        "samples": {
            "rps": { "baseline": points(&|_| 950.0), "canary": points(&traffic) },
            "errors": { "baseline": points(&|_| 9.5), "canary": points(&|i| traffic(i) * if i < 30 { 0.01 } else { 0.03 }) },
            "failed": { "baseline": counts(&|_| 0.01), "canary": counts(&|i| if i < 10 { 0.01 } else { 0.05 }) }
        }
    });
    folder.write("request.json", &request.to_string());
    let judged = |form: &[&str]| out(&run(&[&["judge", "--request", &folder.path("request.json")], form].concat()));
    let text = judged(&["--output", "markdown"]);
    for since in ["10:25", "10:30", "10:10"] {
        assert!(text.contains(&format!("Past its limit since {since}.")), "{since}: {text}");
    }
    let page = judged(&["--output", "html"]);
    for past in ["data-past=\"35\"", "data-past=\"30\"", "the canary's times 19"] {
        assert!(page.contains(past), "{past}");
    }
    // Of a share each interval is few requests, and no number of them tells much.
    assert_eq!(page.matches("data-past=").count(), 2);
}

#[test]
fn the_exit_code_is_the_verdict() {
    let folder = Folder::new();
    for (samples, verdict, expected) in [("pass.json", "PASS", 0), ("fail.json", "FAIL", 1), ("marginal.json", "MARGINAL", 3)] {
        let output = folder.judge(samples, &[]);
        assert_eq!(code(&output), expected, "{}{}", out(&output), err(&output));
        let text = out(&output);
        let end = text.rsplit("\n\n").next().unwrap();
        assert!(end.starts_with(verdict) && end.lines().count() <= 4, "{text}");
        assert!(text.lines().any(|line| line.contains("  latency  ") && line.contains(['▁', '▃'])), "both arms are drawn: {text}");
        assert_eq!(err(&output), "");
        assert!(!out(&output).contains('\u{1b}'), "colours without a terminal");
    }
}

#[test]
fn a_look_of_a_plan_a_ramp_and_advice_are_flags() {
    let folder = Folder::new();
    let look = folder.judge("pass.json", &["--look", "3/12"]);
    assert_eq!(code(&look), 3, "{}", out(&look));
    assert!(out(&look).contains("hold: on track, look 3 of 12"), "{}", out(&look));
    assert_eq!(code(&folder.judge("pass.json", &["--look", "3/12", "--early-pass"])), 0);
    let ramped = folder.judge("pass.json", &["--canary-share", "0.05", "--ramp", "1,5,25%,50,100"]);
    assert!(out(&ramped).contains("raise the canary to 25 %, the next step of the ramp"), "{}", out(&ramped));
    let advised = folder.judge("fail.json", &["--advisory"]);
    assert_eq!(code(&advised), 0, "{}", out(&advised));
    assert!(out(&advised).contains("advisory only: as a gate this would be fail"), "{}", out(&advised));
}

#[test]
fn every_output_holds_the_verdict() {
    let folder = Folder::new();
    let json = folder.judge("fail.json", &["--output", "json"]);
    let card = serde_json::from_str::<Value>(&out(&json)).unwrap();
    assert_eq!(card["verdict"], "fail");
    assert_eq!(card["data"]["metrics"][0].get("samples"), None);
    let verbose = folder.judge("fail.json", &["--output", "json", "--verbose"]);
    let card = serde_json::from_str::<Value>(&out(&verbose)).unwrap();
    assert_eq!(card["data"]["metrics"][0]["samples"]["canary"]["values"].as_array().unwrap().len(), 60);
    assert!(out(&folder.judge("fail.json", &["--output", "markdown"])).starts_with("## ❌ Canary fail"));
    assert!(out(&folder.judge("fail.json", &["--output", "junit"])).contains("<failure message="));
    let html = out(&folder.judge("fail.json", &["--output", "html"]));
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<svg"), "{html}");
    // To a file, with the verdict on standard error.
    let file = folder.path("report.md");
    let output = folder.judge("fail.json", &["--output", "markdown", "--output-file", &file]);
    assert_eq!((code(&output), out(&output)), (1, String::new()));
    assert!(err(&output).starts_with("fail: written to "), "{}", err(&output));
    assert!(std::fs::read_to_string(&file).unwrap().contains("latency"));
    let output = folder.judge("pass.json", &["--output-file", &folder.path("no/such/folder")]);
    assert_eq!(code(&output), 2);
}

#[test]
fn a_request_is_read_from_a_file_or_standard_input() {
    let folder = Folder::new();
    let samples = std::fs::read_to_string(folder.path("fail.json")).unwrap();
    let samples = serde_json::from_str::<Value>(&samples).unwrap();
    let request = json!({"config": {"name": "x", "metrics": [{"name": "latency"}]}, "samples": samples}).to_string();
    folder.write("request.json", &request);
    assert_eq!(code(&run(&["judge", "--request", &folder.path("request.json")])), 1);
    let mut child = haldane().args(["judge", "--request", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let both = run(&["judge", "--request", "x", "--canary", "y"]);
    assert_eq!(code(&both), 2);
    assert!(err(&both).contains("cannot be used with"), "{}", err(&both));
}

#[test]
fn what_cannot_be_judged_is_said_with_the_remedy() {
    let folder = Folder::new();
    folder.write("broken.json", "{");
    folder.write("twice.json", r#"{"config":{"name":"mine","name":"other","metrics":[]}}"#);
    let twice = folder.path("twice.json");
    folder.write("bad.yaml", "name: x\nmetrics: [{name: a, directoin: up}]\n");
    let samples = folder.path("pass.json");
    let (config, broken, bad, missing) =
        (folder.path("canary.yaml"), folder.path("broken.json"), folder.path("bad.yaml"), folder.path("no.yaml"));
    let cases: &[(&[&str], &str)] = &[
        (&["judge"], "--config"),
        (&["judge", "--config", "no-such-config", "--samples", &samples], "(/config)"),
        (&["judge", "--config", &missing], "cannot read the config"),
        (&["judge", "--config", &bad], "did you mean `direction`?"),
        (&["judge", "--config", &config, "--samples", &broken], "is not valid JSON"),
        (&["judge", "--request", &twice], "`name` appears twice"),
        (&["judge", "--config", &config, "--samples", &samples, "--judge", "nope"], "(/judge)"),
        (&["judge", "--config", &config, "--samples", &samples, "--last", "5"], "write it like"),
        (&["judge", "--config", &config, "--samples", &samples, "--var", "novalue"], "name=value"),
        (&["judge", "--config", &config, "--samples", &samples, "--wait", "0s"], "at least 1s"),
        (&["judge", "--config", &config, "--baseline", "a", "--canary", "b", "--last", "30m"], "--prometheus URL"),
        (&["judge", "--config", &config, "--server", "haldane:8090"], "write it like http://"),
        (&["judge", "--config", &config, "--server", "http://127.0.0.1:1", "--prometheus", "http://127.0.0.1:1"], "cannot be used with"),
        (&["judge", "--config", &config, "--server", "http://127.0.0.1:1", "--token-file", &missing], "token file"),
        (&["judge", "--config", &config, "--settings", &missing], "no.yaml"),
        (&["judge", "--config", &config, "--samples", &samples, "--look", "3"], "write it like 3/12"),
        (&["judge", "--config", &config, "--samples", &samples, "--look", "13/12"], "(/looks/look)"),
        (&["judge", "--config", &config, "--samples", &samples, "--early-pass"], "(/early_pass)"),
        (&["judge", "--config", &config, "--samples", &samples, "--ramp", "5,0"], "per cent above 0"),
        (&["judge", "--config", &config, "--samples", &samples, "--ramp", "5,25"], "(/canary_share)"),
    ];
    for (arguments, part) in cases {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[test]
fn nobody_there_is_exit_code_4() {
    let folder = Folder::new();
    let output = folder.judge("pass.json", &["--server", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 4, "{}", err(&output));
    assert!(err(&output).contains("http://127.0.0.1:1") && err(&output).contains("haldane serve"), "{}", err(&output));
    let config = folder.path("canary.yaml");
    let store = ["--prometheus", "http://127.0.0.1:1", "--baseline", "a", "--canary", "b"];
    let output = run(&[&["judge", "--config", &config, "--last", "30m"], store.as_slice()].concat());
    assert_eq!(code(&output), 4, "{}", err(&output));
    let output = run(&[&["lint", &config], store.as_slice()].concat());
    assert_eq!(code(&output), 4, "{}{}", out(&output), err(&output));
    // Where the server is named by the environment.
    let output = haldane().args(["judge", "--config", &config]).env("HALDANE_SERVER", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(code(&output), 4, "{}", err(&output));
}

/// A running service, ended with the test.
struct Service(Child, String);

impl Service {
    /// Starts `haldane demo`, reads its address from the first line, and reads on so that it is never blocked.
    fn demo() -> Self {
        let mut child = haldane().arg("demo").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let address = first.split_whitespace().find(|word| word.starts_with("http://")).unwrap_or_default();
        let address = address.trim_end_matches(['.', ',']).to_owned();
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self(child, address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_server_gives_the_same_answers_and_its_problems_are_shown() {
    let service = Service::demo();
    let folder = Folder::new();
    for (samples, expected) in [("pass.json", 0), ("fail.json", 1), ("marginal.json", 3)] {
        for format in ["text", "json", "markdown", "junit", "html"] {
            let output = folder.judge(samples, &["--server", &service.1, "--output", format]);
            assert_eq!(code(&output), expected, "{samples} {format}: {}", err(&output));
        }
    }
    let html = out(&folder.judge("fail.json", &["--server", &service.1, "--output", "html"]));
    assert!(html.contains("<svg"), "the page draws what the server was asked to include");
    let (here, there) =
        (folder.judge("fail.json", &["--output", "json"]), folder.judge("fail.json", &["--server", &service.1, "--output", "json"]));
    let digest = |output: &Output| serde_json::from_str::<Value>(&out(output)).unwrap()["data"]["digest"].clone();
    assert_eq!(digest(&here), digest(&there));
    let samples = folder.path("pass.json");
    let output = run(&["judge", "--server", &service.1, "--config", "no-such-config", "--samples", &samples]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("no-such-config") && err(&output).contains("(/config)"), "{}", err(&output));
}

#[tokio::test]
async fn another_server_is_recognised_as_such() {
    // Something that speaks HTTP, and nothing of ours.
    let page = ResponseTemplate::new(200).set_body_raw("<html>\u{1b}[31mwelcome</html>", "text/html");
    let other = MockServer::start().await;
    Mock::given(any()).respond_with(page).expect(1).mount(&other).await;
    let output = Folder::new().judge("pass.json", &["--server", &other.uri()]);
    assert_eq!(code(&output), 2, "{}", err(&output));
    assert!(err(&output).contains("is it a Haldane server?") && !err(&output).contains('\u{1b}'), "{}", err(&output));
}

#[test]
fn the_demo_shows_a_bad_a_healthy_and_a_quiet_canary() {
    let output = run(&["demo", "--once"]);
    assert_eq!(code(&output), 0, "{}", err(&output));
    let text = out(&output);
    let mut cards = text.split("\n1. ").nth(1).unwrap().split("\n2. ");
    let first = cards.next().unwrap();
    let mut rest = cards.next().unwrap().split("\n3. ");
    let (second, third) = (rest.next().unwrap(), rest.next().unwrap());
    let shown = first[first.find("STATUS").unwrap()..first.rfind("\n\n─").unwrap()].trim_end();
    assert!(include_str!("../../docs/judge.md").contains(shown), "docs/judge.md shows another scorecard than the demo: {shown}");
    for part in ["POST http://127.0.0.1:", "FAIL", "latency", "error-ratio", "roll back"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    let statuses = |card: &str, status: &str| card.lines().filter(|line| line.starts_with(&format!("{status} "))).count();
    assert_eq!((statuses(first, "regressed"), statuses(first, "suspect"), statuses(first, "pass")), (2, 0, 3), "{first}");
    assert!(second.contains("PASS") && statuses(second, "pass") == 5, "{second}");
    for part in ["MARGINAL", "too little for statistics", "requests"] {
        assert!(third.contains(part), "{part}: {third}");
    }
    // Each on one screen, where all of what there is takes several.
    for card in [first, second, third] {
        let card = card.split_once("\n\n").unwrap().1;
        assert!(card.trim_end().lines().count() <= 23, "{card}");
    }
    assert!(out(&run(&["demo", "--once", "--verbose"])).contains("guard: few_requests"));
}

#[test]
fn lint_finds_what_is_wrong_and_what_is_doubtful() {
    let folder = Folder::new();
    let good = run(&["lint", &folder.path("canary.yaml")]);
    assert_eq!((code(&good), out(&good).as_str()), (0, "1 file, 0 errors, 0 warnings\n"));
    folder.write(
        "doubtful.yaml",
        "name: x\nmetrics: [{name: a, critical: true, muted: true, limits: {max: 1}, queries: {prometheus: up}}]\n",
    );
    let doubtful = run(&["lint", &folder.path("doubtful.yaml")]);
    assert_eq!(code(&doubtful), 0);
    assert!(out(&doubtful).contains("  warning  /metrics/0/muted\n"), "{}", out(&doubtful));
    assert_eq!(code(&run(&["lint", "--strict", &folder.path("doubtful.yaml")])), 2);
    folder.write("bad.yaml", "name: BAD\nmetrics:\n- {name: a, limits: {min: 2, max: 1}}\n- {name: a, tolerance: {relative: -1}}\n");
    let bad = run(&["lint", &folder.path("bad.yaml"), &folder.path("canary.yaml")]);
    assert_eq!(code(&bad), 2);
    for part in [
        "bad.yaml\n",
        "  error    /name\n",
        "  error    /metrics/0/limits/min\n",
        "  error    /metrics/1/tolerance/relative\n",
        "  error    /metrics/1/name\n",
        "2 files, 4 errors",
    ] {
        assert!(out(&bad).contains(part), "{part}: {}", out(&bad));
    }
    folder.write("variable.yaml", &CONFIG.replace("${scope}", "${scpoe}"));
    let variable = run(&["lint", &folder.path("variable.yaml")]);
    assert_eq!(code(&variable), 2);
    assert!(out(&variable).contains("did you mean `${scope}`?"), "{}", out(&variable));
    let half = run(&["lint", &folder.path("canary.yaml"), "--prometheus", "http://127.0.0.1:1"]);
    assert_eq!(code(&half), 2);
    assert!(err(&half).contains("--baseline and --canary"), "{}", err(&half));
}

#[test]
fn the_shipped_configs_have_no_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("judges/configs");
    let files =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml"));
    let files = files.collect::<Vec<PathBuf>>();
    assert!(!files.is_empty());
    let output = haldane().arg("lint").args(files).output().unwrap();
    assert_eq!(code(&output), 0, "{}{}", out(&output), err(&output));
}

#[test]
fn documents_and_completions_are_printed() {
    let schema = serde_json::from_str::<Value>(&out(&run(&["schema"]))).unwrap();
    assert!(schema["properties"]["metrics"].is_object(), "{schema}");
    let openapi = serde_json::from_str::<Value>(&out(&run(&["openapi"]))).unwrap();
    assert!(openapi["paths"]["/v1/judgements"]["post"].is_object());
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(&["completions", shell]);
        assert_eq!(code(&script), 0, "{shell}");
        assert!(out(&script).contains("judge"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for arguments in [["completions", "bash"], ["demo", "--once"]] {
        let mut child = haldane().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((code(&output), err(&output)), (0, String::new()), "{arguments:?}");
    }
}

/// A Prometheus of which the canary is 60 ms slower, and which refuses queries that say `refused`.
struct Store;

impl wiremock::Respond for Store {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let form = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8_lossy(&request.body))).unwrap();
        let field = |name: &str| form.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        let number = |name: &str| field(name).trim_end_matches('s').parse::<f64>().unwrap();
        let query = field("query");
        if query.contains("refused") {
            let error = json!({"status": "error", "errorType": "bad_data", "error": "parse error: \u{1b}[31mno"});
            return ResponseTemplate::new(400).set_body_json(error);
        }
        let (start, end, step) = (number("start"), number("end"), number("step"));
        // In the half hour that is judged, not before.
        let slower = |time: f64| if query.contains("shop-canary") && time > end - 1800.0 { 60.0 } else { 0.0 };
        let values = (0..).map(|i| (i, start + f64::from(i) * step)).take_while(|(_, time)| *time <= end);
        let values = values.map(|(i, time)| json!([time, (100.0 + f64::from(i * 7 % 11) + slower(time)).to_string()])).collect::<Vec<_>>();
        let series = if query.contains("absent") { json!([]) } else { json!([{"metric": {}, "values": values}]) };
        ResponseTemplate::new(200).set_body_json(json!({"status": "success", "data": {"resultType": "matrix", "result": series}}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_is_judged_in_process_and_its_queries_are_tried() {
    let store = MockServer::start().await;
    Mock::given(any()).respond_with(Store).mount(&store).await;
    let folder = Folder::new();
    let more = "  - {name: broken, limits: {max: 1}, queries: {prometheus: 'refused{app=\"${scope}\"}'}}
  - {name: gone, limits: {max: 1}, queries: {prometheus: 'absent{app=\"${scope}\"}'}}\n";
    folder.write("store.yaml", &format!("{CONFIG}{more}"));
    let (config, url) = (folder.path("store.yaml"), store.uri());
    let arms = ["--prometheus", &url, "--baseline", "shop", "--canary", "shop-canary"];

    let judged = run(&[&["judge", "--config", &config, "--last", "30m", "--verbose"], arms.as_slice()].concat());
    assert_eq!(code(&judged), 1, "{}{}", out(&judged), err(&judged));
    // Nothing says when the canary's version began, so that its past says nothing of what is usual.
    let without = "judged without history: the window slides; give `released_at` (--released-at)";
    assert!(out(&judged).contains(without), "{}", out(&judged));
    let compact = run(&[&["judge", "--config", &config, "--last", "30m"], arms.as_slice()].concat());
    assert!(out(&compact).contains(without), "{}", out(&compact));
    let released = (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(20)).to_string();
    for stated in [["--last", "30m", "--released-at", &released], ["--last", "30m", "--offset", "1h"]] {
        let judged = run(&[&["judge", "--config", &config, "--verbose"], stated.as_slice(), arms.as_slice()].concat());
        assert!(!out(&judged).contains("judged without history: the window slides"), "{}", out(&judged));
    }
    // The table's row, the query as it was asked, and the store's own words without their escape sequence.
    let text = out(&judged).split_whitespace().collect::<Vec<_>>().join(" ");
    for part in ["regressed latency median 105 → 165 ms", "latency{app=\"shop-canary\"}", "parse error: \\u{1b}[31mno"] {
        assert!(text.contains(part), "{part}: {}", out(&judged));
    }

    let tried = run(&[&["lint", &config], arms.as_slice()].concat());
    assert_eq!(code(&tried), 2, "{}{}", out(&tried), err(&tried));
    for part in [
        "  error    broken, both arms  /metrics/1/queries/prometheus\n           the metric store refused the query",
        "  warning  gone, both arms  /metrics/2/queries/prometheus\n           no series came back",
        "  latency  in ms, a rise is worse\n    baseline  ",
        "    canary     30/30  none     1m  160     165  170 ",
    ] {
        assert!(out(&tried).contains(part), "{part}: {}", out(&tried));
    }
    assert!(!out(&tried).contains('\u{1b}'));
    // Before and after: the same series twice, which differ in nothing.
    let before = ["judge", "--prometheus", &url, "--config", &folder.path("canary.yaml"), "--baseline", "shop", "--canary", "shop"];
    let judged = run(&[before.as_slice(), &["--last", "30m", "--offset", "1d", "--output", "json"]].concat());
    let card = serde_json::from_str::<Value>(&out(&judged)).unwrap();
    assert_eq!((code(&judged), card["comparison"].as_str()), (0, Some("before_after")), "{}", err(&judged));
}

#[test]
fn one_metric_is_explained_now_and_from_a_scorecard_that_was_kept() {
    let folder = Folder::new();
    let now = folder.judge("fail.json", &["--explain", "latency"]);
    assert_eq!(code(&now), 1, "{}", err(&now));
    for part in ["1. Samples", "Hodges-Lehmann", "Decision", "FAIL"] {
        assert!(out(&now).contains(part), "{part}: {}", out(&now));
    }
    folder.write("card.json", &out(&folder.judge("fail.json", &["--output", "json", "--verbose"])));
    let card = folder.path("card.json");
    let kept = run(&["judge", "--scorecard", &card, "--explain", "latency"]);
    assert_eq!((code(&kept), out(&kept)), (1, out(&now)), "{}", err(&kept));
    // It can be shown in every way that a new one can.
    let shown = run(&["judge", "--scorecard", &card]);
    let anew = folder.judge("fail.json", &[]);
    assert_eq!((code(&shown), out(&shown)), (1, out(&anew)));
    assert!(out(&run(&["judge", "--scorecard", &card, "--output", "html"])).contains("<svg"));
    let samples = folder.path("fail.json");
    let cases: [(&[&str], &str); 4] = [
        (&["judge", "--scorecard", &card, "--explain", "latencyy"], "no metric `latencyy`; it has latency"),
        (&["judge", "--scorecard", &card, "--baseline", "x"], "cannot be used with"),
        (&["judge", "--scorecard", &samples], "is not a scorecard"),
        (&["judge", "--scorecard", &card, "--explain", "latency", "--output", "json"], "cannot be used with"),
    ];
    for (arguments, part) in cases {
        let output = run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", out(&output));
        assert!(err(&output).contains(part), "{arguments:?}: {}", err(&output));
    }
}

/// A Prometheus of which the canary is 60 ms slower from a time on, in Unix seconds.
struct SlowerFrom(f64);

impl wiremock::Respond for SlowerFrom {
    fn respond(&self, request: &wiremock::Request) -> ResponseTemplate {
        let form = reqwest::Url::parse(&format!("http://form/?{}", String::from_utf8_lossy(&request.body))).unwrap();
        let field = |name: &str| form.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        let number = |name: &str| field(name).trim_end_matches('s').parse::<f64>().unwrap();
        let (query, start, end, step) = (field("query"), number("start"), number("end"), number("step"));
        let slower = |time: f64| if query.contains("shop-canary") && time > self.0 { 60.0 } else { 0.0 };
        let times = (0..).map(|i| start + f64::from(i) * step).take_while(|time| *time <= end);
        // The same at one time, whichever window it is asked for in.
        let around = |time: f64| 100.0 + (time / step * if query.contains("shop-canary") { 3.0 } else { 7.0 }).rem_euclid(11.0);
        let values = times.map(|time| json!([time, (around(time) + slower(time)).to_string()])).collect::<Vec<_>>();
        let result = json!([{"metric": {}, "values": values}]);
        ResponseTemplate::new(200).set_body_json(json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_shows_a_line_a_look_in_a_pipe_and_ends_with_the_plan_or_a_fail() {
    let folder = Folder::new();
    folder.write("canary.yaml", &CONFIG.replace("name: latency-only\n", "name: latency-only\nmin_observation: 15m\n"));
    let config = folder.path("canary.yaml");
    // A plan that is over, so that nothing is waited for: four looks a quarter of an hour apart.
    let now = jiff::Timestamp::now().as_second();
    let start = (now - 7200).div_euclid(60) * 60;
    let time = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap().to_string();
    let (from, to) = (time(start), time(start + 3600));
    for (slower_from, expected, looks) in [(f64::INFINITY, 0, 4), (start as f64, 1, 2)] {
        let store = MockServer::start().await;
        Mock::given(any()).respond_with(SlowerFrom(slower_from)).mount(&store).await;
        let url = store.uri();
        let watch = ["judge", "--config", &config, "--prometheus", &url, "--baseline", "shop", "--canary", "shop-canary", "--watch"];
        let watch = [watch.as_slice(), &["--start", &from, "--planned-end", &to]].concat();
        let output = run(&watch);
        let text = out(&output);
        assert_eq!(code(&output), expected, "{text}{}", err(&output));
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines = text.lines().take_while(|line| line.contains("  look ")).collect::<Vec<_>>();
        assert_eq!(lines.len(), looks, "{text}");
        for (i, line) in lines.iter().enumerate() {
            assert!(line.contains(&format!("look {} of 4  ", i + 1)), "{line}");
            let verdict = if i + 1 < looks {
                "marginal: "
            } else if expected == 0 {
                "pass: "
            } else {
                "fail: "
            };
            assert!(line.contains(verdict), "{line}");
        }
        let verdict = if expected == 0 { "PASS" } else { "FAIL" };
        assert!(text.rsplit("\n\n").next().unwrap().starts_with(verdict), "{text}");
        // What is written at the end may be for a machine; the looks then go to standard error.
        let output = run(&[watch.as_slice(), &["--output", "json"]].concat());
        let card = serde_json::from_str::<Value>(&out(&output)).unwrap();
        assert_eq!((code(&output), card["looks"]["look"].as_u64()), (expected, Some(looks as u64)), "{}", err(&output));
        assert_eq!(err(&output).lines().count(), looks, "{}", err(&output));
    }
    // Without a plan there is nothing to follow, and a store that is not there is said at once.
    let nowhere = ["judge", "--config", &config, "--prometheus", "http://127.0.0.1:1", "--baseline", "a", "--canary", "b", "--watch"];
    for (more, expected, part) in [
        (vec!["--last", "30m"], 2, "leave its end (--end, --last) out"),
        (vec!["--start", &from], 2, "--planned-end"),
        (vec!["--start", &from, "--planned-end", &to], 4, "127.0.0.1:1"),
    ] {
        let output = run(&[nowhere.as_slice(), &more].concat());
        assert_eq!(code(&output), expected, "{}", err(&output));
        assert!(err(&output).contains(part), "{more:?}: {}", err(&output));
    }
}
