//! `haldane replay` on six canaries whose counts are known by hand: three healthy ones of which one is shifted by more than half of
//! its level, two regressed ones of which one is, and an unlabelled one that is not. See `fixtures/replay/make.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_haldane"));
    command.arg("replay").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Standard output of a replay that must go well.
fn ok(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", err(&output));
    out(&output)
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&ok(&[arguments, &["--format", "json"]].concat())).unwrap()
}

fn fixture(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/replay").join(name).to_str().unwrap().to_owned()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn named(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).unwrap();
        self.named(name)
    }
}

/// Hits and trials of a measure under a judge.
fn counts(lines: &Value, measure: &str, judge: usize) -> (u64, u64) {
    let line = lines.as_array().unwrap().iter().find(|line| line["measure"] == measure);
    let rate = &line.unwrap_or_else(|| panic!("{measure} is not measured"))["rates"][judge];
    (rate["hits"].as_u64().unwrap(), rate["trials"].as_u64().unwrap())
}

const ALL: &str = "haldane-v1,haldane-v1/no-history,NetflixACAJudge-v1.0,threshold-v1,mann-whitney";

#[test]
fn the_counts_are_those_of_a_hand() {
    let summary = json_of(&[&fixture("canaries.jsonl"), "--judge", ALL]);
    assert_eq!(summary["canaries"], json!({"healthy": 3, "regressed": 2, "unlabelled": 1}));
    // The shift is far beyond what any of the judges allows, and nothing else differs.
    for judge in 0..5 {
        let rates = &summary["rates"];
        assert_eq!(counts(rates, "healthy_failed", judge), (1, 3), "judge {judge}");
        assert_eq!(counts(rates, "false_alarms", judge), (1, 6), "judge {judge}");
        assert_eq!(counts(rates, "regressed_failed", judge), (1, 2), "judge {judge}");
        assert_eq!(counts(rates, "affected_regressed", judge), (1, 2), "judge {judge}");
        assert_eq!(counts(rates, "unlabelled_failed", judge), (0, 1), "judge {judge}");
        assert_eq!(counts(&summary["by_source"]["shop"], "healthy_failed", judge), (1, 3), "judge {judge}");
        // Of six pairs of a regressed and a healthy canary two are ranked rightly, three are ties and one is wrong.
        let area = summary["roc"][judge]["area"].as_f64().unwrap();
        assert!((area - 3.5 / 6.0).abs() < 1e-9, "judge {judge}: {area}");
    }
    let depot = summary["by_source"]["depot"].as_array().unwrap();
    assert!(depot.iter().all(|line| line["measure"] != "healthy_failed"), "depot has no healthy canary");
}

#[test]
fn a_person_reads_the_same_rates_as_text_and_markdown() {
    let text = ok(&[&fixture("canaries.jsonl")]);
    assert!(text.starts_with("6 canaries: 3 healthy, 2 regressed, 1 unlabelled\n"), "{text}");
    assert!(text.contains("33.3 % [0.0, 100.0] of 3"), "{text}");
    let markdown = ok(&[&fixture("canaries.jsonl"), "--format", "markdown"]);
    assert!(markdown.contains("| healthy canaries failed | 33.3 % [0.0, 100.0] of 3 |"), "{markdown}");
}

#[test]
fn only_what_the_filters_keep_is_judged() {
    let path = fixture("canaries.jsonl");
    let healthy = json_of(&[&path, "--filter", "label=healthy", "--filter", "group=search,basket,stock"]);
    assert_eq!((healthy["canaries"]["healthy"].as_u64(), healthy["read"]["filtered"].as_u64()), (Some(2), Some(4)));
    assert_eq!(json_of(&[&path, "--filter", "label=none"])["canaries"]["unlabelled"], 1);
    let refused = run(&[&path, "--filter", "label=good"]);
    assert!(refused.status.code() == Some(2) && err(&refused).contains("use healthy, regressed or none"), "{}", err(&refused));
    let none = run(&[&path, "--min-points", "21"]);
    assert!(none.status.code() == Some(2) && err(&none).contains("no canary was judged"), "{}", err(&none));
}

#[test]
fn an_output_has_a_row_for_each_case_judge_and_metric_whatever_the_threads() {
    let folder = Folder::new();
    for ending in ["jsonl", "csv"] {
        let outputs: Vec<String> = ["1", "2", "7"]
            .iter()
            .map(|threads| {
                let output = folder.named(&format!("{threads}.{ending}"));
                ok(&[&fixture("canaries.jsonl"), "--judge", ALL, "--threads", threads, "--output", &output]);
                std::fs::read_to_string(output).unwrap()
            })
            .collect();
        assert!(outputs[0] == outputs[1] && outputs[0] == outputs[2], "{ending}");
        assert_eq!(outputs[0].lines().count(), 6 * 5 * 2 + usize::from(ending == "csv"));
    }
    let lines = std::fs::read_to_string(folder.path("1.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (first["case"].as_str(), first["judge"].as_str(), first["verdict"].as_str()),
        (Some("quiet"), Some("haldane-v1"), Some("pass"))
    );
}

#[test]
fn a_replay_that_was_killed_goes_on_wherever_its_output_is_torn() {
    let folder = Folder::new();
    let path = fixture("canaries.jsonl");
    for ending in ["jsonl", "csv"] {
        let output = folder.named(&format!("rows.{ending}"));
        let arguments = [path.as_str(), "--judge", "haldane-v1,mann-whitney", "--output", &output];
        let summary = ok(&arguments);
        let whole = std::fs::read(&output).unwrap();
        let refused = run(&arguments);
        assert!(refused.status.code() == Some(2) && err(&refused).contains("--resume"), "{}", err(&refused));
        let lengths = [0, 1, whole.len() / 7, whole.len() / 3, whole.len() / 2, whole.len() - 1, whole.len()];
        for length in lengths {
            std::fs::write(&output, &whole[..length]).unwrap();
            let resumed = ok(&[&arguments[..], &["--resume"]].concat());
            assert_eq!(std::fs::read(&output).unwrap(), whole, "{ending} cut at {length}");
            // The rates are those of all canaries, judged now or before; the first line says which.
            assert_eq!(resumed.split_once('\n').unwrap().1, summary.split_once('\n').unwrap().1, "{ending} cut at {length}");
            assert_eq!(resumed.contains("6 from the output"), length == whole.len(), "{ending} cut at {length}: {resumed}");
        }
        let other = run(&[&path, "--output", &output, "--resume"]);
        assert!(other.status.code() == Some(2) && err(&other).contains("other judges"), "{}", err(&other));
    }
    for (name, text) in [("a.jsonl", "{\"a\": 1}\n"), ("b.jsonl", "{\"a\": 1}"), ("c.csv", "a,b"), ("d.csv", "\"a\nb")] {
        let foreign = folder.write(name, text);
        let refused = run(&[&path, "--output", &foreign, "--resume"]);
        assert!(refused.status.code() == Some(2) && err(&refused).contains("no output of a replay"), "{name}: {}", err(&refused));
        assert_eq!(std::fs::read_to_string(&foreign).unwrap(), text, "what is not ours is left alone");
    }
}

#[test]
fn a_replay_goes_on_only_with_the_filters_that_it_began_with() {
    let folder = Folder::new();
    let path = fixture("canaries.jsonl");
    let output = folder.named("rows.jsonl");
    let arguments = [path.as_str(), "--output", &output, "--resume"];
    let resume = |more: &[&str]| run(&[&arguments[..], more].concat());
    let two = ["--filter", "label=healthy", "--filter", "source=shop,depot", "--min-points", "20"];
    assert_eq!(resume(&two).status.code(), Some(0));
    let same = resume(&["--filter", "source=depot,shop", "--filter", "label=healthy", "--min-points", "20"]);
    assert!(out(&same).contains("3 canaries: 3 healthy") && out(&same).contains("3 from the output"), "{}{}", out(&same), err(&same));
    for other in [&two[..4], &two[2..], &["--filter", "label=regressed", "--min-points", "20"], &[]] {
        let refused = resume(other);
        assert!(refused.status.code() == Some(2) && err(&refused).contains("other judges, configs, looks, filters"), "{}", err(&refused));
    }
}

#[test]
fn names_with_line_breaks_and_quotes_are_resumed_wherever_the_output_is_torn() {
    let folder = Folder::new();
    let metric = json!({"name": "latency_ms", "baseline": [1, 2, 3, 4], "canary": [1, 2, 4, 3]});
    let case = |i: u32| {
        let name = |what: &str| format!("{what}\n\"{i}\",\r\n\u{1b}[31m");
        json!({"id": name("id"), "source": name("source"), "group": name("group"), "metrics": [metric]}).to_string()
    };
    let path = folder.write("canaries.jsonl", &format!("{}\n{}\n", case(1), case(2)));
    for ending in ["jsonl", "csv"] {
        let output = folder.named(&format!("rows.{ending}"));
        let arguments = [path.as_str(), "--output", &output, "--resume"];
        let summary = ok(&arguments);
        let whole = std::fs::read(&output).unwrap();
        // Within the last case the tear may be within quotes, after a line break or after a quote that is written twice.
        let second = whole.len() - 1 - whole.iter().rev().skip(1).position(|byte| *byte == b'i').unwrap();
        for length in (second - 20..second + 50).step_by(7).chain(second..second + 30).chain([whole.len() - 1, whole.len()]) {
            std::fs::write(&output, &whole[..length.min(whole.len())]).unwrap();
            let resumed = ok(&arguments);
            assert_eq!(std::fs::read(&output).unwrap(), whole, "{ending} cut at {length}");
            assert_eq!(resumed.split_once('\n').unwrap().1, summary.split_once('\n').unwrap().1, "{ending} cut at {length}");
        }
    }
}

/// The rows of a replay of one case of one metric.
fn rows_of(folder: &Folder, metric: &Value, arguments: &[&str]) -> Vec<Value> {
    let path = folder.write("one.jsonl", &json!({"id": "one", "label": "healthy", "metrics": [metric]}).to_string());
    let output = folder.named("one-rows.jsonl");
    let _ = std::fs::remove_file(&output);
    ok(&[&[path.as_str(), "--output", &output], arguments].concat());
    std::fs::read_to_string(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_shift_is_measured_by_each_limit_that_it_must_exceed() {
    let folder = Folder::new();
    let exceedance = |metric: &Value, arguments: &[&str]| {
        let row = rows_of(&folder, metric, arguments).remove(0);
        assert_eq!(row["status"], "pass", "{row}");
        row["exceedance"].as_f64().unwrap()
    };
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-9, "{got}, not {expected}");
    // +50 % is beyond the relative limit, .05 points half of the absolute one, .1 points.
    let rate =
        json!({"name": "error_pct", "role": "error_rate", "direction": "increase", "baseline": vec![0.1; 20], "canary": vec![0.15; 20]});
    close(exceedance(&rate, &[]), 0.5);
    let counts = json!({"name": "errors", "role": "error_rate", "direction": "increase",
        "baseline": vec![10; 20], "canary": vec![15; 20], "baseline_totals": vec![10_000; 20], "canary_totals": vec![10_000; 20]});
    close(exceedance(&counts, &[]), 0.5);
    // 5 ms of 20 ms, however many times nothing that is.
    let latency = |canary: f64| {
        let noise = |i: u32| f64::from(i * 7 % 11) / 100.0;
        json!({"name": "latency_ms", "direction": "increase",
            "baseline": (0..20).map(|i| 100.0 + noise(i)).collect::<Vec<_>>(),
            "canary": (0..20).map(|i| canary + noise(i)).collect::<Vec<_>>()})
    };
    for relative in ["0", "0.01"] {
        let tolerance = format!("increase, tolerance: {{relative: {relative}, absolute: 20}}}}");
        let config = folder.write("absolute.yaml", &CONFIG.replace("increase}", &tolerance));
        close(exceedance(&latency(105.0), &["--config", &config]), 0.25);
        close(exceedance(&latency(95.0), &["--config", &config]), 0.0);
    }
    // The arms always differed by a fifth: what proves a shift is beyond that.
    let past: Vec<f64> = (0..400).map(|i| 100.0 + f64::from(i * 7 % 11) / 100.0).collect();
    let above = |factor: f64, n: usize| past.iter().take(n).map(|v| factor * v).collect::<Vec<f64>>();
    let standing = json!({"name": "latency_ms", "direction": "increase", "baseline": past[..20], "canary": above(1.1, 20),
        "baseline_history": past, "canary_history": above(1.2, 400)});
    let row = rows_of(&folder, &standing, &[]).remove(0);
    let (shift, limit) = (row["shift"].as_f64().unwrap(), row["limit"].as_f64().unwrap());
    assert!((shift - 0.1).abs() < 1e-3 && limit > shift, "{row}");
    close(row["exceedance"].as_f64().unwrap(), shift / limit);
}

#[test]
fn what_was_not_recorded_or_is_muted_counts_towards_no_rate_of_metrics() {
    let folder = Folder::new();
    let config = CONFIG.to_owned() + "  - {name: replicas, muted: true}\n  - {name: errors, optional: true}\n";
    let config = folder.write("wide.yaml", &config);
    let path = fixture("canaries.jsonl");
    let (output, report) = (folder.named("rows.csv"), folder.named("report.md"));
    let arguments = [path.as_str(), "--config", &config, "--judge", "haldane-v1,mann-whitney", "--output", &output, "--resume"];
    // Of the resumed rows as of the judged ones.
    for _ in 0..2 {
        let summary = json_of(&arguments);
        for judge in 0..2 {
            assert_eq!(counts(&summary["rates"], "false_alarms", judge), (1, 3), "judge {judge}");
            assert_eq!(counts(&summary["rates"], "inconclusive", judge).1, 6, "judge {judge}");
            assert_eq!(counts(&summary["rates"], "not_recorded", judge), (6, 18), "judge {judge}");
        }
    }
    let text = ok(&[&arguments[..], &["--report", &report]].concat());
    assert!(text.contains("metrics not recorded, left out above") && text.contains("6 of 18"), "{text}");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("Left out: 6 metrics") && !report.contains("`errors`"), "{report}");
    let replicas = report.lines().find(|line| line.contains("`replicas`")).unwrap();
    assert!(replicas.ends_with("| - | - | - |"), "{replicas}");
    assert!(!ok(&[&path]).contains("not recorded"));
    // What is muted ranks no canary either.
    let muted = folder.write("muted.yaml", &(CONFIG.replace("increase}", "increase, muted: true}") + "  - {name: replicas}\n"));
    let summary = json_of(&[&path, "--config", &muted, "--judge", "haldane-v1,mann-whitney"]);
    for judge in 0..2 {
        assert_eq!(summary["roc"][judge]["area"], 0.5, "judge {judge}");
        assert_eq!(counts(&summary["rates"], "affected_regressed", judge), (0, 2), "judge {judge}");
    }
}

#[test]
fn the_noise_of_ratios_is_told_in_percentage_points_with_or_without_counts() {
    let folder = Folder::new();
    // Every other placebo window is .4 points higher in the canary: shifts are 0 and .4, whose 90 % quantile is 1.645 standard deviations.
    let past = |high: f64| (0..400).map(|i| if i / 20 % 2 == 0 { 1.0 } else { high }).collect::<Vec<f64>>();
    let scaled = |values: Vec<f64>, factor: f64| values.iter().map(|v| (v * factor).round()).collect::<Vec<f64>>();
    let percent = json!({"name": "error_pct", "role": "error_rate", "direction": "increase", "baseline": vec![1.0; 20], "canary": vec![1.1; 20],
        "baseline_history": past(1.0), "canary_history": past(1.4)});
    let totals = |n: usize| vec![1_000_000; n];
    let counted = json!({"name": "errors", "role": "error_rate", "direction": "increase",
        "baseline": vec![10_000; 20], "canary": vec![11_000; 20], "baseline_totals": totals(20), "canary_totals": totals(20),
        "baseline_history": scaled(past(1.0), 1e4), "canary_history": scaled(past(1.4), 1e4),
        "baseline_history_totals": totals(400), "canary_history_totals": totals(400)});
    let fraction = json!({"name": "error_share", "role": "error_rate", "direction": "increase",
        "baseline": vec![0.01; 20], "canary": vec![0.011; 20],
        "baseline_history": vec![0.01; 400], "canary_history": past(1.4).iter().map(|v| v / 100.0).collect::<Vec<_>>()});
    let report = folder.named("report.md");
    for (metric, least) in [(percent, 0.2), (counted, 0.2), (fraction, 0.2)] {
        let row = rows_of(&folder, &metric, &["--report", &report]).remove(0);
        assert!(row["history_spread"].is_null(), "{row}");
        if row["metric"] == "errors" {
            // Of counts the deviates are learnt, which have no unit.
            assert!(row["history_points"].is_null() && row["history_windows"].as_u64() == Some(20), "{row}");
            continue;
        }
        let (noise, limit) = (row["history_points"].as_f64().unwrap(), row["limit_points"].as_f64().unwrap());
        assert!((least..0.41).contains(&noise) && (noise..2.0).contains(&limit), "{row}");
        let text = std::fs::read_to_string(&report).unwrap();
        let line = text.lines().find(|line| line.contains(metric["name"].as_str().unwrap())).unwrap();
        assert_eq!(line.matches(" pp / ").count(), 2, "{line}");
    }
}

#[test]
fn a_baseline_of_the_canarys_length_grows_with_it_though_it_lies_before() {
    let folder = Folder::new();
    // The second half of both arms is twice the first, so that the canary's half is like the baseline's half, and half of its whole.
    let arm: Vec<f64> = (0..40).map(|i| (100.0 + f64::from(i * 7 % 11)) * if i < 20 { 1.0 } else { 2.0 }).collect();
    let case = |baseline: &[f64]| {
        let metric = json!({"name": "requests", "direction": "decrease", "baseline": baseline, "canary": arm});
        let text = json!({"id": "one", "label": "healthy", "pairing": "before_after_adjacent", "metrics": [metric]});
        let path = folder.write("one.jsonl", &text.to_string());
        let summary = json_of(&[&path, "--looks", "2", "--judge", "mann-whitney"]);
        counts(&summary["rates"], "healthy_ever_failed", 0)
    };
    assert_eq!(case(&arm), (0, 1));
    // A reference of another length was there from the start.
    assert_eq!(case(&[&arm[20..], &arm[20..], &arm[20..]].concat()).0, 1);
}

#[test]
fn bad_lines_are_named_with_field_and_remedy_and_skipped() {
    let folder = Folder::new();
    let good = std::fs::read_to_string(fixture("canaries.jsonl")).unwrap();
    let first = good.lines().next().unwrap();
    let metric = r#"{"name": "a", "baseline": [1, 2, 3], "canary": [1, 2, 3]}"#;
    let lines = [
        first.to_owned(),
        "{\"id\": ".to_owned(),
        format!("{{\"id\": \"text\", \"metrics\": [{}]}}", metric.replace("2, 3], \"canary\"", "\"x\", 3], \"canary\"")),
        format!("{{\"id\": \"step\", \"step_seconds\": 0, \"metrics\": [{metric}]}}"),
        "{\"id\": \"none\", \"metrics\": []}".to_owned(),
        format!("{{\"id\": \"twice\", \"metrics\": [{metric}, {metric}]}}"),
        first.to_owned(),
        format!("{{\"id\": \"totals\", \"metrics\": [{}]}}", metric.replace("\"canary\"", "\"baseline_totals\": [1], \"canary\"")),
    ];
    let path = folder.write("bad.jsonl", &lines.join("\n"));
    let text = ok(&[&path]);
    assert!(text.starts_with("1 canaries: 1 healthy, 0 regressed, 0 unlabelled; 7 skipped\n"), "{text}");
    for part in [
        "line 2: ",
        "line 3: metrics[0].baseline[1]: invalid value: string \"x\", expected a number, null, \"NaN\"",
        "line 4: step_seconds: 0 is no distance between points; give a number above 0",
        "line 5: metrics: is empty; give at least one metric",
        "line 6: case `twice`",
        "line 7: case `quiet` was read before",
        "line 8: metrics[0].baseline_totals: 1 totals do not go with 3 events",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let strict = run(&[&path, "--strict"]);
    assert!(strict.status.code() == Some(2) && err(&strict).contains("7 cases could not be read"), "{}", err(&strict));
}

#[test]
fn a_compressed_file_and_a_folder_are_read_like_the_lines_themselves() {
    use std::io::Write as _;
    let folder = Folder::new();
    let lines = std::fs::read(fixture("canaries.jsonl")).unwrap();
    let file = std::fs::File::create(folder.path("canaries.jsonl.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&lines).unwrap();
    encoder.finish().unwrap();
    let plain = ok(&[&fixture("canaries.jsonl")]);
    assert_eq!(ok(&[&folder.named("canaries.jsonl.gz")]), plain);
    assert_eq!(ok(&[folder.0.path().to_str().unwrap()]), plain);
    let bytes = std::fs::read(folder.path("canaries.jsonl.gz")).unwrap();
    std::fs::write(folder.path("canaries.jsonl.gz"), &bytes[..bytes.len() - 40]).unwrap();
    let torn = run(&[&folder.named("canaries.jsonl.gz"), "--strict"]);
    assert!(torn.status.code() == Some(2) && out(&torn).contains("the file breaks off here"), "{}{}", out(&torn), err(&torn));
    let nothing = run(&[&folder.named("nowhere.jsonl")]);
    assert!(nothing.status.code() == Some(2) && err(&nothing).contains("nowhere.jsonl"));
}

const CONFIG: &str = "name: mine\nmin_observation: 0s\nmetrics:\n  - {name: latency_ms, unit: ms, direction: increase}\n";

#[test]
fn two_versions_of_a_config_are_told_apart_by_the_verdicts_that_change() {
    let folder = Folder::new();
    let first = folder.write("now.yaml", CONFIG);
    // +60 ms on 105 ms is within +200 %.
    let second = folder.write("lax.yaml", &CONFIG.replace("increase}", "increase, tolerance: {relative: 2}}"));
    let arguments = [&fixture("canaries.jsonl"), "--config", &first, "--compare", &second];
    let summary = json_of(&arguments);
    assert_eq!(summary["judges"], json!(["haldane-v1 by now.yaml", "haldane-v1 by lax.yaml"]));
    let compared = &summary["compared"][0];
    assert_eq!(compared["changed"], 2);
    assert_eq!(
        compared["counts"],
        json!([{"before": "fail", "after": "pass", "cases": 2}, {"before": "pass", "after": "pass", "cases": 4}])
    );
    let changed: Vec<&str> = compared["changes"].as_array().unwrap().iter().map(|change| change["case"].as_str().unwrap()).collect();
    assert_eq!(changed, ["noisy", "broken"]);
    assert_eq!(compared["changes"][0]["metrics"], json!(["latency_ms: regressed -> pass"]));
    let text = ok(&arguments);
    assert!(text.contains("noisy (healthy): fail -> pass; latency_ms: regressed -> pass"), "{text}");
}

#[test]
fn a_config_that_speaks_of_other_metrics_is_told_so() {
    let folder = Folder::new();
    let config = folder.write("other.yaml", &CONFIG.replace("latency_ms", "latency_s"));
    let other = run(&[&fixture("canaries.jsonl"), "--config", &config]);
    assert!(other.status.code() == Some(2) && err(&other).contains("none of those of config `mine` is recorded"), "{}", err(&other));
    let unknown = run(&[&fixture("canaries.jsonl"), "--config", "http-golden-signal"]);
    assert!(err(&unknown).contains("did you mean `http-golden-signals`?"), "{}", err(&unknown));
    let judge = run(&[&fixture("canaries.jsonl"), "--judge", "haldane"]);
    assert!(judge.status.code() == Some(2) && err(&judge).contains("cannot be replayed"), "{}", err(&judge));
}

#[test]
fn growing_windows_say_at_which_look_a_canary_failed_first() {
    let folder = Folder::new();
    let output = folder.named("rows.jsonl");
    let summary = json_of(&[&fixture("canaries.jsonl"), "--looks", "4", "--judge", "mann-whitney", "--output", &output]);
    assert_eq!(counts(&summary["rates"], "healthy_ever_failed", 0), (1, 3));
    assert_eq!(counts(&summary["rates"], "regressed_ever_failed", 0), (1, 2));
    let rows = std::fs::read_to_string(output).unwrap();
    let looks: Vec<Value> = rows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["first_failed_look"].clone()).collect();
    // Five points against five that are all larger: exact two-sided p is 2/252, so the plain test fails them at the first look.
    assert_eq!(looks, json!([null, null, 1, 1, null, null, 1, 1, null, null, null, null]).as_array().unwrap().clone());
    assert_eq!(run(&[&fixture("canaries.jsonl"), "--looks", "1"]).status.code(), Some(2));
}

#[test]
fn the_calibration_report_shows_its_formulas_with_their_numbers() {
    let folder = Folder::new();
    let (markdown, page) = (folder.named("report.md"), folder.named("report.html"));
    ok(&[&fixture("canaries.jsonl"), "--report", &markdown]);
    let text = std::fs::read_to_string(markdown).unwrap();
    // 1/3 x .98 x 50 x 30.4375; 50 x 365.25 x .02; x 1/2 caught; x .95 of the traffic.
    for part in [
        "| Good releases stopped a month | 497 |",
        "| Bad releases a year | 365 |",
        "| Bad releases caught a year | 183 |",
        "| Incidents avoided a year | 173 |",
        // .02 x 1/2 / (.02 x 1/2 + .98 x 1/3).
        "| precision: of those that fail, bad ones | 3.0 %",
        "| incidents let through, of 1,000 releases | 10.0",
        "| 10 minutes | 50.0 % of 2 | 50.0 % of 2 |",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    // By hand: one of three healthy canaries alarms, one of two regressed ones is missed; both with their line in the file.
    for part in [
        "## Wrong verdicts",
        "| false alarm | `",
        "canaries.jsonl:",
        "Misses: 1 regressed",
        "False alarms: 1 healthy",
        "| Tolerances times |",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    // A third of the healthy canaries' latencies alarm: 1/3 x 50 x 30.4375 a month.
    assert!(text.contains("`latency_ms`") && text.contains("| 507 |"), "{text}");
    ok(&[
        &fixture("canaries.jsonl"),
        "--report",
        &page,
        "--catch-rate",
        "0.8",
        "--defect-rate",
        "0.01",
        "--releases-per-day",
        "10",
        "--canary-share",
        "0",
    ]);
    let html = std::fs::read_to_string(page).unwrap();
    // A curve for the judge, a dot where it fails (1 of 3 healthy, 1 of 2 regressed), and each wrong verdict with what it showed.
    for part in ["<polyline class=\"curve\"", "cx=\"162.66", "cy=\"172\"", "href=\"#case-2\"", "id=\"case-2\"", "role=\"img\""] {
        assert!(html.contains(part), "{part} is missing:\n{html}");
    }
    // 10 x 365.25 x .01 x .8.
    assert!(html.contains("29.2") && html.contains("80 %, given") && !html.contains("<script"), "{html}");
    let wrong = run(&[&fixture("canaries.jsonl"), "--report", &folder.named("report.pdf")]);
    assert!(wrong.status.code() == Some(2) && err(&wrong).contains("neither .md nor .html"), "{}", err(&wrong));
    let share = run(&[&fixture("canaries.jsonl"), "--defect-rate", "5"]);
    assert!(share.status.code() == Some(2) && err(&share).contains("--defect-rate: 5 is no share"), "{}", err(&share));
}

/// Thirty healthy canaries of two metrics: latency rises in a fault, requests fall.
fn healthy(folder: &Folder) -> String {
    let noise = |case: u32, i: u32| f64::from((i * 7 + case * 3) % 11) / 10.0;
    let case = |case: u32| {
        let points = |level: f64, shift: u32| (0..30).map(|i| level + noise(case, i + shift)).collect::<Vec<_>>();
        let metric = |name: &str, direction: &str, level: f64| json!({"name": name, "direction": direction, "baseline": points(level, 0), "canary": points(level, 4)});
        let metrics = [metric("latency_ms", "increase", 100.0), metric("requests", "decrease", 50.0)];
        json!({"id": format!("case {case}"), "group": format!("{}", case % 6), "label": "healthy", "metrics": metrics}).to_string()
    };
    folder.write("healthy.jsonl", &(0..30).map(case).collect::<Vec<_>>().join("\n"))
}

/// Hits and trials of an injected fault under the first judge.
fn found(summary: &Value, fault: &str, what: &str) -> (u64, u64) {
    let line = summary["injected"].as_array().unwrap().iter().find(|line| line["fault"] == fault);
    let rate = &line.unwrap_or_else(|| panic!("{fault} was not injected"))["judges"][0][what];
    (rate["hits"].as_u64().unwrap_or(0), rate["trials"].as_u64().unwrap_or(0))
}

#[test]
fn anyone_can_ask_what_their_gate_would_find() {
    let folder = Folder::new();
    let path = healthy(&folder);
    let faults = ["--inject", "none/0/1", "--inject", "shift/100/1.5", "--inject", "zero/17/0", "--inject", "silent/50/0"];
    let arguments = [&[path.as_str()][..], &faults].concat();
    let summary = json_of(&arguments);
    assert_eq!(found(&summary, "none/0/1", "metric_passed"), (30, 30));
    assert_eq!(found(&summary, "none/0/1", "canary_not_passed"), (0, 30));
    assert_eq!(found(&summary, "shift/100/1.5", "metric_regressed"), (30, 30));
    assert_eq!(found(&summary, "shift/100/1.5", "canary_failed"), (30, 30));
    // The recorded canaries themselves are as healthy as ever, and only requests can fall to 0.
    assert_eq!(counts(&summary["rates"], "healthy_failed", 0), (0, 30));
    let (_, trials) = found(&summary, "zero/17/0", "metric_suspect_or_worse");
    assert_eq!(trials, 30);
    assert_eq!(found(&json_of(&[&arguments[..], &["--inject-into", "latency_ms"]].concat()), "zero/17/0", "metric_passed"), (0, 0));
    let text = ok(&arguments);
    assert!(text.contains("Injected faults, judged by haldane-v1") && text.contains("shift/100/1.5"), "{text}");
    for threads in ["1", "5"] {
        assert_eq!(ok(&[&arguments[..], &["--threads", threads]].concat()), text, "{threads} threads");
    }
    // Which metric carries a fault follows from the case alone: neither its neighbours nor other faults change it.
    assert_eq!(json_of(&[&path, "--inject", "shift/100/1.5"])["injected"][0], summary["injected"][1]);
    let report = folder.named("report.md");
    ok(&[&arguments[..], &["--report", &report]].concat());
    assert!(std::fs::read_to_string(report).unwrap().contains("## Injected faults"));
}

#[test]
fn faults_that_cannot_be_injected_are_refused_with_a_remedy() {
    let folder = Folder::new();
    let path = healthy(&folder);
    for (arguments, part) in [
        (&["--inject", "step/20"][..], "write KIND/PERCENT/FACTOR"),
        (&["--inject", "step/20/0.5"], "give a factor above 1"),
        (&["--inject", "step/20/2", "--inject", "step/20/2"], "`step/20/2` is named twice"),
        (&["--inject", "step/20/2", "--inject-into", "latency"], "no canary labelled healthy has a metric `latency`"),
        (&["--inject", "zero/20/0", "--inject-into", "latency_ms"], "can show the faults"),
        (&["--inject-into", "latency_ms"], "--inject <FAULT>"),
        (&["--inject", "step/20/2", "--output", "rows.jsonl", "--resume"], "cannot be used with"),
    ] {
        let refused = run(&[&[path.as_str()], arguments].concat());
        assert!(refused.status.code() == Some(2) && err(&refused).contains(part), "{arguments:?}: {}", err(&refused));
    }
}

#[test]
fn a_fault_is_found_only_in_windows_that_reach_it() {
    let folder = Folder::new();
    // Twice the level from minute 15 on, of 30; of the other canary only 8 minutes are known.
    let points =
        |late: f64, n: u32| (0..n).map(|i| (100.0 + f64::from(i * 7 % 11) / 10.0) * if i < 15 { 1.0 } else { late }).collect::<Vec<_>>();
    let metric = |name: &str, late: f64, n: u32| json!({"name": name, "direction": "increase", "baseline": points(1.0, n), "canary": points(late, n)});
    let case = |id: &str, affected: Value, late: f64, n: u32| {
        let metrics = [metric("latency_ms", late, n), metric("other", 1.0, n)];
        json!({"id": id, "label": "regressed", "affected_metrics": affected, "metrics": metrics}).to_string()
    };
    let lines = [
        case("known", json!(["latency_ms"]), 50.0, 30),
        case("unknown", Value::Null, 50.0, 30),
        case("elsewhere", json!(["other"]), 50.0, 30),
        case("short", json!(["latency_ms"]), 1.0, 8),
    ];
    let path = folder.write("faulty.jsonl", &lines.join("\n"));
    let output = folder.named("rows.csv");
    let arguments = [path.as_str(), "--judge", "mann-whitney", "--output", &output, "--resume"];
    // Of the resumed rows as of the judged ones.
    for _ in 0..2 {
        let rates = json_of(&arguments)["rates"].clone();
        assert_eq!(counts(&rates, "found_within_10", 0), (0, 3));
        // Five of twenty points are past all others: exact two-sided p is above 2 %.
        assert_eq!(counts(&rates, "found_within_20", 0), (0, 3));
        assert!(rates.as_array().unwrap().iter().all(|line| line["measure"] != "found_within_60"));
    }
    let text = std::fs::read_to_string(&output).unwrap();
    assert!(text.lines().next().unwrap().contains("found_within_10,found_within_20,found_within_60"), "{text}");
}

#[test]
fn a_recording_may_say_what_its_metrics_are() {
    let folder = Folder::new();
    let row = |metric: &Value, judge: &str| rows_of(&folder, metric, &["--judge", judge]).remove(0);
    // Past the limit that is recorded, and not past the one that would be derived, a quarter above the baseline.
    let mut metric = json!({"name": "memory", "unit": "percent", "direction": "increase", "limits": {"max": 90},
        "baseline": vec![85; 20], "canary": vec![95; 20]});
    assert_eq!(row(&metric, "threshold-v1")["status"], "regressed");
    metric["limits"] = json!({"max": 96});
    assert_eq!(row(&metric, "threshold-v1")["status"], "pass");
    let mut panics = json!({"name": "panics", "kind": "events", "direction": "increase", "limits": {"max": 5},
        "baseline": vec![0; 20], "canary": vec![0; 20]});
    assert_eq!(row(&panics, "NetflixACAJudge-v1.0")["metric"], "panics");
    panics["baseline_totals"] = json!(vec![10; 20]);
    panics["canary_totals"] = json!(vec![10; 20]);
    let path = folder.write("events.jsonl", &json!({"id": "one", "metrics": [panics]}).to_string());
    let refused = run(&[&path]);
    assert!(refused.status.code() == Some(2) && err(&refused).contains("kind: `events` has no totals"), "{}", err(&refused));
    let path = folder.write(
        "limits.jsonl",
        &json!({"id": "one", "metrics": [{"name": "a", "limits": {"most": 1}, "baseline": [1], "canary": [1]}]}).to_string(),
    );
    assert!(err(&run(&[&path])).contains("metrics[0].limits"), "{}", err(&run(&[&path])));
}

#[test]
fn history_in_a_recording_is_what_a_metric_is_calibrated_by() {
    let folder = Folder::new();
    // Before the window both arms repeat one pattern, so that placebo windows differ by nothing.
    let pattern: Vec<u64> = (0..400).map(|i| 100 + i * 7 % 11).collect();
    let case = json!({
        "id": "past", "step_seconds": 60,
        "metrics": [{"name": "latency_ms", "direction": "increase", "baseline": pattern[..20], "canary": pattern[3..23],
            "baseline_history": pattern, "canary_history": pattern}],
    });
    let path = folder.write("past.jsonl", &case.to_string());
    let output = folder.named("rows.jsonl");
    ok(&[&path, "--judge", "haldane-v1,haldane-v1/no-history", "--output", &output]);
    let rows = std::fs::read_to_string(output).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((rows[0]["history_windows"].as_u64(), rows[0]["history_spread"].as_f64()), (Some(20), Some(0.0)));
    assert!(rows[1]["history_windows"].is_null());
    assert_eq!((rows[0]["limit"].as_f64(), rows[1]["limit"].as_f64()), (Some(0.10), Some(0.25)));
}

#[test]
fn the_shape_of_a_recording_is_printed_as_a_schema() {
    let schema: Value = serde_json::from_str(&ok(&["--schema"])).unwrap();
    assert_eq!(schema["required"], json!(["id", "metrics"]));
}

#[cfg(not(feature = "datasets"))]
#[test]
fn parquet_is_refused_with_the_way_to_read_it() {
    let folder = Folder::new();
    let parquet = folder.write("canaries.parquet", "PAR1");
    let refused = run(&[&parquet]);
    assert!(refused.status.code() == Some(2) && err(&refused).contains("make build-datasets"), "{}", err(&refused));
    // In a folder it is one of the recordings that cannot be read; alone there it is as good as named.
    let refused = run(&[&folder.named("")]);
    assert!(refused.status.code() == Some(2) && err(&refused).contains("make build-datasets"), "{}", err(&refused));
    std::fs::copy(fixture("canaries.jsonl"), folder.path("others.jsonl")).unwrap();
    let text = ok(&[&folder.named("")]);
    assert!(text.contains("6 canaries") && text.contains("make build-datasets"), "{text}");
    assert_eq!(run(&[&folder.named(""), "--strict"]).status.code(), Some(2));
}

#[test]
fn a_recording_in_several_formats_is_read_once() {
    let folder = Folder::new();
    for name in ["canaries.jsonl", "canaries.csv"] {
        std::fs::copy(fixture(name), folder.path(name)).unwrap();
    }
    folder.write("canaries.parquet", "PAR1");
    let output = run(&[&folder.named(""), "--format", "json", "--strict"]);
    let note = "note: `canaries.csv` and `canaries.parquet` are taken for `canaries.jsonl` in another format and not read";
    assert!(output.status.code() == Some(0) && err(&output).contains(note), "{}", err(&output));
    assert_eq!(serde_json::from_str::<Value>(&out(&output)).unwrap(), json_of(&[&fixture("canaries.jsonl")]));
}

#[test]
fn a_table_of_the_same_points_gives_the_same_rates() {
    let lines = json_of(&[&fixture("canaries.jsonl"), "--judge", ALL]);
    assert_eq!(json_of(&[&fixture("canaries.csv"), "--judge", ALL]), lines);
    // And as JSON, in any order of the rows.
    let folder = Folder::new();
    let mut reader = csv::Reader::from_path(fixture("canaries.csv")).unwrap();
    let rows = reader.deserialize::<std::collections::BTreeMap<String, String>>().map(|row| serde_json::to_string(&row.unwrap()).unwrap());
    let mut rows: Vec<String> = rows.collect();
    rows.sort_by_key(|row| row.bytes().map(u64::from).sum::<u64>() % 7);
    let ndjson = folder.write("canaries.ndjson", &rows.join("\n"));
    assert_eq!(json_of(&[&ndjson, "--judge", ALL]), lines);
}

#[cfg(feature = "datasets")]
#[test]
fn rows_are_written_as_parquet() {
    let folder = Folder::new();
    let output = folder.named("rows.parquet");
    ok(&[&fixture("canaries.csv"), "--output", &output]);
    let bytes = std::fs::read(output).unwrap();
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

#[test]
fn a_tables_window_leaves_what_is_before_it_as_history_and_bad_cells_are_named() {
    let folder = Folder::new();
    let mut table = "case,metric,arm,timestamp,value\n".to_owned();
    for i in 0..220 {
        // Arms that are the same to the last bit would be one series read twice.
        for (arm, ahead) in [("baseline", 0), ("canary", 3)] {
            table += &format!("past,latency_ms,{arm},{},{}\n", 60 * i, 100 + (i + ahead) * 7 % 11);
        }
    }
    table += "bad,latency_ms,canary,60,fast\n";
    let path = folder.write("table.csv", &table);
    let output = folder.named("rows.jsonl");
    let text = ok(&[&path, "--window", "20m", "--output", &output]);
    assert!(text.contains("case `bad`: value: `fast` is no number"), "{text}");
    let row: Value = serde_json::from_str(std::fs::read_to_string(output).unwrap().lines().next().unwrap()).unwrap();
    assert_eq!((row["points"].as_u64(), row["status"].as_str()), (Some(20), Some("pass")));
}

/// Kayenta's judge scores groups alone, and a native config need have none; then its metrics are one group, and each canary that is
/// identical passes.
#[test]
fn kayentas_judge_passes_what_is_identical_by_a_config_without_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("c.yaml"), "name: c\nmetrics:\n- {name: p99, direction: increase}\n- {name: errors, direction: increase}\n")
        .unwrap();
    let values: Vec<f64> = (0..60).map(|i| 100.0 + f64::from(i * 7 % 11)).collect();
    let arm = |name: &str| json!({ "name": name, "role": "other", "direction": "increase", "baseline": values, "canary": values });
    let case = json!({ "id": "same", "label": "healthy", "step_seconds": 60, "metrics": [arm("p99"), arm("errors")] });
    std::fs::write(path("cases.jsonl"), format!("{case}\n")).unwrap();
    let summary = json_of(&[&path("cases.jsonl"), "--config", &path("c.yaml"), "--judge", "NetflixACAJudge-v1.0"]);
    assert_eq!(counts(&summary["rates"], "healthy_failed", 0), (0, 1), "{summary}");
}
