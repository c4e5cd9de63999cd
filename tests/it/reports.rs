//! Renderings of fixed scorecards, compared byte for byte with `fixtures/reports/`; `HALDANE_UPDATE=1` rewrites those.

use std::collections::BTreeMap;
use std::path::Path;

use haldane::analysis::{
    ArmSamples, Labels, MetricProvenance, MetricSamples, Provenance, QueryProvenance, Samples, Scorecard, StageTimes, WindowSpan,
};
use haldane::report::{Terminal, explain, html, junit, look, markdown, terminal, verbose};
use haldane_judges::config::{Direction, Kind};
use haldane_judges::evidence::{Arm, Comparison, Looks};
use haldane_judges::scorecard::*;
use haldane_judges::{JudgeName, Judgement, Verdict};

fn coverage(present: usize, expected: usize) -> Coverage {
    Coverage { present, expected, infinite: 0, filled_with_zero: 0, fraction: present as f64 / expected as f64 }
}

fn interval(low: f64, high: f64) -> Interval {
    Interval { level: 0.9, low: Some(low), high: Some(high) }
}

/// A pass on values, from which the others differ.
fn metric(name: &str) -> MetricResult {
    MetricResult {
        name: name.to_owned(),
        kind: Kind::Value,
        unit: Some("ms".to_owned()),
        per: None,
        traffic: false,
        canary_times: None,
        direction: Direction::Increase,
        groups: vec!["latency".to_owned()],
        critical: false,
        muted: false,
        optional: false,
        status: Status::Pass,
        reason: Reason::WithinTolerance,
        mode: Mode::Statistical,
        examiner: Examiner::Level,
        sentence: "rose 2 ms (+1 %); limit +25 %".to_owned(),
        findings: Vec::new(),
        baseline_coverage: coverage(60, 60),
        canary_coverage: coverage(60, 60),
        numbers: Some(Numbers {
            n_baseline: 60,
            n_canary: 60,
            baseline: 187.2,
            canary: 189.31,
            level: 187.2,
            shift: 2.04,
            relative_shift: Some(0.0109),
            shift_interval: Some(interval(-3.1, 7.3)),
            noise: 14.6,
            shift_in_noise: Some(0.14),
            u: 1903.0,
            cles: 0.529,
            z: 0.54,
            p: 0.2946,
            p_ess: 0.3661,
            variance_inflation: 2.61,
            rho_baseline: 0.41,
            rho_canary: 0.46,
            mirrored_at: None,
            effect: 0.0109,
            sigma: Some(0.0861),
            effect_interval: Some(interval(-0.173, 0.194)),
            drift: Some(0.0812),
            sampling: Some(0.0287),
            pods: Some(0.0),
            mean_effect: None,
            mean_sigma: None,
            paired: Some(PairedNumbers { pairs: 60, effective: 31.4, p: 0.21 }),
        }),
        counts: None,
        events: None,
        distribution: None,
        limit: Some(AppliedLimit {
            relative: 0.25,
            absolute: 5.0,
            from: "config".to_owned(),
            p: 0.05,
            proved_from: Some(0.184),
            instance_spread: None,
        }),
        history: None,
        trend: None,
        worst_instance: None,
        threshold: None,
        guards: Vec::new(),
        remedies: Vec::new(),
        warnings: Vec::new(),
        aca: None,
    }
}

fn arm_counts(events: f64, total: f64, low: f64, high: f64) -> ArmCounts {
    ArmCounts { events, total, rate: events / total, interval: interval(low, high) }
}

fn error_ratio() -> MetricResult {
    MetricResult {
        kind: Kind::Ratio,
        unit: Some("percent".to_owned()),
        critical: true,
        groups: vec!["errors".to_owned()],
        status: Status::Regressed,
        reason: Reason::Shift,
        mode: Mode::Counts,
        sentence: "rose 1.53 percentage points, from 0.507 % to 2.04 %; limit +0.1 points".to_owned(),
        numbers: None,
        counts: Some(CountNumbers {
            baseline: arm_counts(61.0, 12_034.0, 0.0041, 0.0063),
            canary: arm_counts(243.0, 11_912.0, 0.0183, 0.0227),
            shift: 0.015_33,
            relative_shift: Some(3.024),
            aligned: true,
            z: 10.9,
            p: 4.6e-24,
            p_independent: 3.1e-27,
            p_looks: None,
            inflation: 1.04,
            p_detectable: 0.999,
            detectable_rate: 0.0151,
        }),
        limit: Some(AppliedLimit {
            relative: 0.25,
            absolute: 0.001,
            from: "default".to_owned(),
            p: 0.01,
            proved_from: None,
            instance_spread: None,
        }),
        ..metric("error-ratio")
    }
}

fn latency_p99() -> MetricResult {
    MetricResult {
        status: Status::Regressed,
        reason: Reason::Shift,
        sentence: "rose 168 ms (+40.8 %), 5.2x the usual scatter; limit +25 %".to_owned(),
        canary_coverage: Coverage { infinite: 1, ..coverage(57, 60) },
        numbers: Some(Numbers {
            n_canary: 57,
            baseline: 411.6,
            canary: 579.9,
            level: 411.6,
            shift: 168.1,
            relative_shift: Some(0.4084),
            shift_interval: Some(interval(149.0, 187.0)),
            noise: 32.3,
            shift_in_noise: Some(5.2),
            u: 3411.0,
            cles: 0.9974,
            z: 9.2,
            p: 1.4e-20,
            p_ess: 4.2e-7,
            effect: 0.4084,
            sigma: Some(0.0912),
            effect_interval: Some(interval(0.214, 0.603)),
            paired: None,
            ..metric("").numbers.unwrap()
        }),
        warnings: vec!["the rate window (5m) is longer than the step (1m): neighbouring points share data".to_owned()],
        ..metric("latency-p99")
    }
}

fn provenance(name: &str, with_samples: bool) -> MetricProvenance {
    let wave = |offset: f64| (0..60).map(|i| (i % 13 != 12).then(|| offset + f64::from(i % 7) * 6.0)).collect();
    let query = |arm, scope: &str| QueryProvenance {
        arm,
        part: "value".to_owned(),
        query: format!("histogram_quantile(0.99,\n  sum by (le) (rate(http_request_duration_seconds_bucket{{app=\"{scope}\"}}[5m])))"),
        series: Some(1),
        points: Some(60),
        history_points: Some(1_200),
        explore_url: None,
    };
    MetricProvenance {
        series_of: None,
        labels: std::collections::BTreeMap::new(),
        statistics: None,
        step_seconds: None,
        name: name.to_owned(),
        from: "prometheus".to_owned(),
        also_read: Vec::new(),
        queries: vec![query(Arm::Baseline, "shop-stable"), query(Arm::Canary, "shop-canary")],
        samples: with_samples.then(|| MetricSamples {
            baseline: ArmSamples::Values(wave(400.0)),
            canary: ArmSamples::Values(wave(560.0)),
            baseline_history: None,
            canary_history: None,
            earlier: Vec::new(),
            bucket_bounds: Vec::new(),
        }),
    }
}

fn span(start: &str, end: &str) -> Option<WindowSpan> {
    Some(WindowSpan { start: start.parse().unwrap(), end: end.parse().unwrap(), points: 60 })
}

fn counts(metrics: &[MetricResult]) -> StatusCounts {
    let n = |status| metrics.iter().filter(|metric| metric.status == status).count();
    StatusCounts {
        regressed: n(Status::Regressed),
        suspect: n(Status::Suspect),
        pass: n(Status::Pass),
        inconclusive: n(Status::Inconclusive),
        no_data: n(Status::NoData),
        error: n(Status::Error),
    }
}

fn card(verdict: Verdict, score: Option<f64>, metrics: Vec<MetricResult>) -> Scorecard {
    let action = match verdict {
        Verdict::Pass => Action::Promote,
        Verdict::Marginal => Action::Hold,
        Verdict::Fail => Action::Rollback,
    };
    Scorecard {
        id: Some("1hAbCdEf".to_owned()),
        url: None,
        labels: Labels::default(),
        version: "0.1.0".to_owned(),
        judged_at: "2026-11-20T11:00:07Z".parse().unwrap(),
        rerun: false,
        data: Provenance {
            source: Some("production".to_owned()),
            canary_window: span("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"),
            baseline_window: span("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z"),
            step_seconds: 60,
            digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            metrics: metrics.iter().map(|metric| provenance(&metric.name, metric.kind == Kind::Value)).collect(),
            ..Provenance::default()
        },
        samples: Samples::default(),
        times: StageTimes::default(),
        judgement: Judgement {
            verdict,
            score,
            advisory: false,
            would_be: None,
            looks: None,
            summary: String::new(),
            recommendation: Recommendation { action, sentence: String::new(), remedies: Vec::new(), next_share: None },
            reasons: Vec::new(),
            judge: JudgeName::HaldaneV1,
            config: "http-golden-signals".to_owned(),
            config_digest: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".to_owned(),
            comparison: Comparison::Concurrent,
            live_metrics: metrics.len(),
            counts: counts(&metrics),
            groups: vec![
                GroupScore { name: "errors".to_owned(), weight: 0.5, score: Some(0.0) },
                GroupScore { name: "latency".to_owned(), weight: 0.5, score: Some(50.0) },
            ],
            metrics,
            warnings: Vec::new(),
            aca: None,
        },
    }
}

fn regressed() -> Scorecard {
    let mut card = card(Verdict::Fail, Some(25.0), vec![error_ratio(), metric("latency-p50"), latency_p99()]);
    card.judgement.summary =
        "fail: `error-ratio` and `latency-p99` regressed; `error-ratio` rose 1.53 percentage points, from 0.507 % to 2.04 %".to_owned();
    card.judgement.recommendation.sentence = "roll back: `error-ratio` and `latency-p99` regressed".to_owned();
    card.judgement.reasons = vec![VerdictCause {
        reason: VerdictReason::Regressed,
        metrics: vec!["error-ratio".to_owned(), "latency-p99".to_owned()],
        sentence: "`error-ratio` and `latency-p99` regressed".to_owned(),
    }];
    card
}

fn healthy() -> Scorecard {
    let mut card = card(Verdict::Pass, Some(100.0), vec![metric("latency-p50"), metric("latency-p95")]);
    card.judgement.summary = "pass: none of 2 metrics is worse".to_owned();
    card.judgement.recommendation.sentence = "promote the canary".to_owned();
    card.judgement.groups.truncate(1);
    card
}

/// Everything that can keep a canary from a verdict, once.
fn open_questions() -> Scorecard {
    let extend = Remedy::Extend { minutes: 95, sentence: "observe for 95 more minutes at the current rate".to_owned() };
    let share = Remedy::RaiseShare { share: 0.2, sentence: "send 20 % of the traffic to the canary".to_owned() };
    let sparse = MetricResult {
        status: Status::Inconclusive,
        reason: Reason::InsufficientEvidence,
        mode: Mode::Threshold,
        sentence: "0 errors in 31 requests, which cannot show a rate of at most 1 %".to_owned(),
        limit: None,
        counts: Some(CountNumbers {
            baseline: arm_counts(1.0, 36.0, 0.001, 0.124),
            canary: ArmCounts { events: 0.0, total: 31.0, rate: 0.0, interval: interval(0.0, 0.0921) },
            shift: -0.0278,
            relative_shift: Some(-1.0),
            aligned: true,
            z: -0.74,
            p: 0.77,
            p_independent: 0.77,
            p_looks: None,
            inflation: 1.2,
            p_detectable: 0.31,
            detectable_rate: 0.0556,
        }),
        threshold: Some(ThresholdNumbers {
            max: Some(0.01),
            min: None,
            points_past: None,
            points: None,
            rate_interval: Some(interval(0.0, 0.0921)),
        }),
        guards: vec![GuardFinding { guard: Guard::FewRequests, sentence: "31 requests in the canary; 50 are needed".to_owned() }],
        remedies: vec![extend.clone(), share.clone()],
        ..error_ratio()
    };
    let fallen = MetricResult {
        unit: Some("requests/s".to_owned()),
        direction: Direction::Decrease,
        status: Status::Suspect,
        reason: Reason::Shift,
        sentence: "fell 16.5 req/s (-14 %)".to_owned(),
        numbers: Some(Numbers {
            baseline: 118.0,
            canary: 101.2,
            shift: 16.5,
            relative_shift: Some(0.14),
            shift_interval: Some(Interval { level: 0.9, low: Some(9.0), high: None }),
            effect: 0.14,
            effect_interval: Some(Interval { level: 0.9, low: Some(0.02), high: None }),
            ..metric("").numbers.unwrap()
        }),
        ..metric("throughput")
    };
    let unread = |name: &str, status, reason, sentence: &str| MetricResult {
        status,
        reason,
        mode: Mode::None,
        sentence: sentence.to_owned(),
        numbers: None,
        limit: None,
        baseline_coverage: coverage(0, 60),
        canary_coverage: coverage(0, 60),
        ..metric(name)
    };
    let missing = unread("queue-length", Status::NoData, Reason::LowCoverage, "0 of 60 points in both arms");
    let broken = unread("cpu", Status::Error, Reason::Fetch, "the metric store refused the query: 1:14: parse error: unexpected \"{\"");
    let memory = MetricResult {
        unit: Some("bytes".to_owned()),
        muted: true,
        status: Status::Regressed,
        mode: Mode::Threshold,
        reason: Reason::Limit,
        sentence: "past its limit in 40 of 60 points".to_owned(),
        limit: None,
        numbers: Some(Numbers {
            baseline: 524_288_000.0,
            canary: 1_395_864_371.0,
            shift: 871_576_371.0,
            relative_shift: Some(1.66),
            noise: 1_048_576.0,
            ..metric("").numbers.unwrap()
        }),
        threshold: Some(ThresholdNumbers {
            max: Some(1_073_741_824.0),
            min: None,
            points_past: Some(40),
            points: Some(60),
            rate_interval: None,
        }),
        ..metric("memory")
    };
    let mut card = card(Verdict::Marginal, None, vec![sparse, fallen, missing, broken, memory]);
    card.judgement.comparison = Comparison::BeforeAfter;
    card.judgement.groups[0].score = None;
    card.data.baseline_window = span("2026-11-19T10:00:00Z", "2026-11-19T11:00:00Z");
    card.rerun = true;
    card.judgement.summary = "marginal: too little evidence on the critical metric `error-ratio`".to_owned();
    card.judgement.recommendation.sentence = "hold: observe for 95 more minutes at the current rate".to_owned();
    card.judgement.recommendation.remedies = vec![extend, share];
    card.judgement.reasons = vec![
        VerdictCause {
            reason: VerdictReason::InsufficientEvidence,
            metrics: vec!["error-ratio".to_owned()],
            sentence: "the critical metric `error-ratio` could not be decided".to_owned(),
        },
        VerdictCause { reason: VerdictReason::Error, metrics: vec!["cpu".to_owned()], sentence: "`cpu` could not be read".to_owned() },
    ];
    card.judgement.warnings = vec!["the canary got 9 % of the traffic; the request says 20 %".to_owned()];
    card
}

/// A canary on its way through a plan, judged against its history, that only advises.
fn advised() -> Scorecard {
    let history = HistoryNumbers { windows: 20, window_points: 60, spread: Some(0.043), usual: Some(0.07), clock: Some(-0.012) };
    let p99 = MetricResult {
        history: Some(history.clone()),
        limit: Some(AppliedLimit { from: "history".to_owned(), relative: 0.1, ..metric("").limit.unwrap() }),
        numbers: Some(Numbers { mean_effect: Some(0.52), mean_sigma: Some(0.11), ..latency_p99().numbers.unwrap() }),
        findings: vec![ExaminerFinding {
            examiner: Examiner::Recent,
            status: Status::Suspect,
            reason: Reason::Recent,
            sentence: "its last 10 points are worse than the baseline: up by 190 ms (+46 %)".to_owned(),
        }],
        worst_instance: Some(InstanceNumbers { name: "checkout-7f9c-x2x5k".to_owned(), relative: 0.52, p: 0.0004, p_limit: 0.0063 }),
        ..latency_p99()
    };
    let memory = MetricResult {
        unit: Some("percent".to_owned()),
        status: Status::Suspect,
        reason: Reason::Unconfirmed,
        sentence:
            "grows away from the baseline by 7.2 % over the window; not confirmed: 1 of the 2 looks in a row that must say so; 1 more would"
                .to_owned(),
        history: Some(HistoryNumbers { windows: 3, spread: None, usual: None, clock: None, ..history }),
        trend: Some(TrendNumbers {
            drift: 0.072,
            limit: 0.05,
            drift_of_canary: 0.081,
            limit_of_canary: 0.05,
            p: 0.002,
            p_limit: 0.0167,
            windows: 14,
        }),
        ..metric("memory")
    };
    let mut card = card(Verdict::Pass, Some(50.0), vec![p99, memory, metric("latency-p50")]);
    let judgement = &mut card.judgement;
    judgement.advisory = true;
    judgement.would_be = Some(Verdict::Fail);
    judgement.looks = Some(Looks { look: 3, looks: 12, early_pass: true });
    judgement.summary = "advisory pass: would be fail: `latency-p99` is regressed; `latency-p99` rose 168 ms (+40.8 %)".to_owned();
    judgement.recommendation.next_share = Some(0.25);
    judgement.recommendation.sentence =
        "promote the canary, since this only advises; as a gate it would be roll back: `latency-p99` is regressed".to_owned();
    judgement.reasons = vec![
        VerdictCause {
            reason: VerdictReason::Regressed,
            metrics: vec!["latency-p99".to_owned()],
            sentence: "`latency-p99` is regressed".to_owned(),
        },
        VerdictCause {
            reason: VerdictReason::MixedPopulation,
            metrics: Vec::new(),
            sentence: "the canary runs 2 versions: 1.4.2 (checkout-7f9c-x2x5k) and 1.4.3".to_owned(),
        },
    ];
    card
}

const HOSTILE: &str =
    "</script><img src=x onerror=alert(1)> \u{1b}[31mred\u{1b}]0;title\u{7} a|b `c` \n# d\r\u{202e}e @team &amp; ]]>\u{0}\u{ffff}";

/// Foreign text in every field that can carry any.
fn hostile() -> Scorecard {
    let mut card = open_questions();
    let long = "x".repeat(300);
    let judgement = &mut card.judgement;
    judgement.config = HOSTILE.to_owned();
    judgement.config_digest = HOSTILE.to_owned();
    judgement.summary = HOSTILE.to_owned();
    judgement.recommendation.sentence = HOSTILE.to_owned();
    judgement.recommendation.remedies = vec![Remedy::Configure { sentence: HOSTILE.to_owned() }];
    judgement.reasons[0].sentence = HOSTILE.to_owned();
    judgement.warnings = vec![HOSTILE.to_owned()];
    judgement.groups[0].name = HOSTILE.to_owned();
    for (i, metric) in judgement.metrics.iter_mut().enumerate() {
        metric.name = if i == 1 { long.clone() } else { format!("{i} {HOSTILE}") };
        metric.sentence = HOSTILE.to_owned();
        metric.unit = Some(HOSTILE.to_owned());
        metric.warnings = vec![HOSTILE.to_owned()];
        metric.worst_instance = Some(InstanceNumbers { name: HOSTILE.to_owned(), relative: 0.5, p: 0.001, p_limit: 0.01 });
        metric.guards = vec![GuardFinding { guard: Guard::FewPoints, sentence: HOSTILE.to_owned() }];
        metric.remedies = vec![Remedy::Configure { sentence: HOSTILE.to_owned() }];
        card.data.metrics[i].name = metric.name.clone();
        card.data.metrics[i].queries[0].query = HOSTILE.to_owned();
        card.data.metrics[i].queries[0].part = HOSTILE.to_owned();
    }
    card.data.source = Some(HOSTILE.to_owned());
    card.data.digest = HOSTILE.to_owned();
    card.id = Some(HOSTILE.to_owned());
    card
}

/// A terminal of 80 columns.
const NARROW: Terminal = Terminal { width: 80, colour: false };

/// Every metric of a scorecard, step by step.
fn explanations(card: &Scorecard, terminal: Terminal) -> String {
    let names = card.judgement.metrics.iter().map(|metric| &metric.name);
    names.map(|name| explain(card, name, terminal).unwrap()).collect::<Vec<_>>().join("\n\n")
}

fn renderings(card: &Scorecard) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("txt", terminal(card, Terminal::default())),
        ("narrow.txt", terminal(card, NARROW)),
        ("ansi.txt", terminal(card, Terminal { width: 60, colour: true })),
        ("verbose.txt", verbose(card, NARROW)),
        ("explain.txt", explanations(card, NARROW)),
        ("md", markdown(card)),
        ("xml", junit(card).unwrap()),
        ("html", html(card)),
    ])
}

#[test]
fn reports_are_as_recorded() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/reports");
    let update = std::env::var_os("HALDANE_UPDATE").is_some_and(|value| value == "1");
    let mut differing = Vec::new();
    let cards =
        [("regressed", regressed()), ("healthy", healthy()), ("open", open_questions()), ("advised", advised()), ("hostile", hostile())];
    for (name, card) in cards {
        for (kind, text) in renderings(&card) {
            let file = folder.join(format!("{name}.{kind}"));
            if update {
                std::fs::write(&file, &text).unwrap();
            } else if std::fs::read_to_string(&file).unwrap_or_default() != text {
                differing.push(file);
            }
        }
    }
    assert!(differing.is_empty(), "reports changed; HALDANE_UPDATE=1 rewrites the files, look at the difference: {differing:#?}");
}

#[test]
fn foreign_text_cannot_leave_its_place() {
    let card = hostile();
    let reports = renderings(&card);
    for (kind, text) in &reports {
        let bad = text
            .chars()
            .find(|c| (c.is_control() && *c != '\n' && !(*kind == "ansi.txt" && *c == '\u{1b}')) || *c == '\u{202e}' || *c == '\u{ffff}');
        assert_eq!(bad, None, "{kind}");
        assert!(!text.contains("<img") || kind.ends_with("txt"), "{kind} lets markup through");
        assert!(!text.contains("\u{1b}[31mred") && !text.contains("\u{1b}]0;"), "{kind} lets an escape sequence through");
    }
    // The page has one script, its own and the last thing on it.
    assert!(reports["html"].matches("</script>").count() == 1 && reports["html"].ends_with("</script></body></html>"));
    // The table has one line for its header, one below it, and one a metric: no name broke out of its row.
    let rows = reports["md"].lines().filter(|line| line.starts_with("| ") || line.starts_with("|--")).collect::<Vec<_>>();
    assert_eq!(rows.len(), 2 + card.judgement.metrics.len());
    for row in rows {
        assert_eq!(row.replace("\\|", "").matches('|').count(), 8, "{row}");
    }
    assert!(!reports["md"].contains("@team"));
}

/// Names that a line must not be broken by: control sequences, marks that turn the direction, sheer length, wide and combined characters.
fn hostile_names() -> Vec<String> {
    vec![
        HOSTILE.to_owned(),
        "x".repeat(10_000),
        "面".repeat(4_000),
        "👩\u{200d}👩\u{200d}👧👍🏽🇩🇪❤\u{fe0f}".repeat(50),
        format!("\u{202e}{}\u{2066}", "אבג ابج ".repeat(60)),
        format!("z{}", "\u{301}\u{323}".repeat(5_000)),
        "a b\tc\n".repeat(100),
    ]
}

/// A canary of seven metrics of which each has one of those names.
fn hostile_seven() -> Scorecard {
    let mut card = seven();
    for (i, name) in hostile_names().into_iter().enumerate() {
        let metric = &mut card.judgement.metrics[i];
        metric.name.clone_from(&name);
        metric.sentence = format!("`{name}` {}", metric.sentence);
        metric.unit = Some(name.clone());
        card.data.metrics[i].name.clone_from(&name);
        card.judgement.warnings.push(name);
    }
    card.judgement.config = "面".repeat(200);
    card
}

/// As much as there can be to say of seven metrics: all at odds, in long sentences, with warnings, more than one remedy and advice.
fn seven() -> Scorecard {
    let mut card = open_questions();
    let regressed = [error_ratio(), latency_p99()];
    for metric in &regressed {
        card.data.metrics.push(provenance(&metric.name, true));
    }
    card.judgement.metrics.extend(regressed);
    for metric in &mut card.judgement.metrics {
        metric.sentence =
            format!("{}; {}", metric.sentence, "and much more is to be said of it than one line of a terminal has room for. ".repeat(3));
    }
    card.judgement.metrics[0].name = "error-ratio-of-few".to_owned();
    card.data.metrics[0].name = "error-ratio-of-few".to_owned();
    card.judgement.warnings = vec!["the canary got 9 % of the traffic; the request says 20 %".to_owned(); 5];
    card.judgement.advisory = true;
    card.judgement.would_be = Some(Verdict::Fail);
    card.judgement.recommendation.sentence =
        "roll back: one metric and another and a third regressed, and so did a fourth of them ".repeat(4);
    card.id = Some("1".repeat(80));
    card
}

#[test]
fn seven_metrics_fit_a_screen_of_24_lines_whatever_there_is_to_say() {
    for card in [seven(), hostile_seven()] {
        assert_eq!(card.judgement.metrics.len(), 7);
        for width in [80, 100] {
            let text = terminal(&card, Terminal { width, colour: false });
            assert!(text.lines().count() <= 23, "one line is the prompt's: {} lines\n{text}", text.lines().count());
            // Neither of the metrics nor of the canary is nothing said, and what there is no room for is counted.
            let said = |start: &str| text.lines().any(|line| line.starts_with(start));
            assert!(said("warning: ") && said("... and "), "{text}");
        }
    }
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    use unicode_width::UnicodeWidthStr;
    for card in [regressed(), healthy(), open_questions(), advised(), hostile(), seven(), hostile_seven()] {
        for width in [60, 80, 100, 140] {
            let at = Terminal { width, colour: false };
            let texts = [terminal(&card, at), verbose(&card, at), look(&card, at), explanations(&card, at)];
            for line in texts.iter().flat_map(|text| text.lines()) {
                assert!(line.width() <= width, "{} columns of {width}: {line}", line.width());
                let bad = line
                    .chars()
                    .find(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
                assert_eq!(bad, None, "{line}");
            }
        }
    }
}

#[test]
fn the_worst_metric_comes_first_and_the_verdict_with_what_to_do_and_where_to_find_it_last() {
    let card = seven();
    for text in [terminal(&card, NARROW), terminal(&card, Terminal::default())] {
        let lines = text.lines().collect::<Vec<_>>();
        let statuses = lines.iter().skip_while(|line| !line.starts_with("STATUS")).skip(1).map(|line| line.split("  ").next().unwrap());
        let statuses = statuses.take_while(|status| !status.is_empty()).collect::<Vec<_>>();
        // The last one is muted.
        assert_eq!(statuses, ["regressed", "regressed", "suspect", "error", "no_data", "inconclusive", "regressed"], "{text}");
        let end = lines.iter().rposition(|line| line.is_empty()).unwrap();
        assert!(lines[end + 1].starts_with("MARGINAL"), "{text}");
        assert!(lines[end + 2].contains("as a gate this would be fail") && lines[end + 3].starts_with("roll back: "), "{text}");
        assert!(lines.last().unwrap().ends_with(card.id.as_deref().unwrap()) || lines.last().unwrap().contains("--output json"), "{text}");
    }
    // Of equal ones that which went furthest towards its limit.
    let first = terminal(&regressed(), NARROW).lines().find(|line| line.starts_with("regressed")).unwrap().to_owned();
    assert!(first.contains("error-ratio") && first.contains('▸') && first.contains("+302 %"), "{first}");
    // The same of everything there is to say.
    let all = verbose(&regressed(), NARROW);
    let end = all.trim_end().rsplit("\n\n").next().unwrap();
    assert!(end.starts_with("FAIL  score 25") && end.contains("\nroll back: ") && end.ends_with("\njudgement 1hAbCdEf"), "{end}");
}

#[test]
fn an_id_is_shown_whole_or_said_to_be_in_the_json_and_a_link_comes_before_it() {
    let mut card = healthy();
    let id = "0123456789".repeat(600);
    card.id = Some(id.clone());
    let text = terminal(&card, Terminal::default());
    assert!(text.ends_with("`--output json` has it\n") && !text.contains(&id[..30]), "{text}");
    for text in [verbose(&card, NARROW), markdown(&card)] {
        assert!(text.split_whitespace().collect::<String>().contains(&id), "{text}");
    }
    let ending = |card: &Scorecard| terminal(card, NARROW).trim_end().rsplit('\n').next().unwrap().to_owned();
    // One line, so that it is taken up as one; longer than the terminal, which wraps it, but not so long that it is all there is to see.
    card.url = Some(format!("https://haldane.example/v1/judgements/{}", &id[..150]));
    assert_eq!(Some(ending(&card)), card.url);
    card.url = Some(format!("https://haldane.example/v1/judgements/{id}"));
    assert!(ending(&card).contains("--output json"), "{}", ending(&card));
    (card.id, card.url) = (None, None);
    assert_eq!(ending(&card), "promote the canary");
}

#[test]
fn a_level_is_named_where_a_shift_stands_beside_it() {
    // The median fell by 88 ms, and the typical difference by 7: the shift is none of medians.
    let mut burst = metric("burst");
    let numbers = burst.numbers.as_mut().unwrap();
    (numbers.baseline, numbers.canary, numbers.shift, numbers.relative_shift, numbers.effect) = (380.0, 292.0, -7.6, Some(-0.02), -0.02);
    let rate = MetricResult { unit: Some("percent".to_owned()), counts: None, numbers: burst.numbers.clone(), ..error_ratio() };
    let card = card(Verdict::Pass, None, vec![burst, rate, error_ratio()]);
    let view = haldane::report::View::new(&card);
    let levels: Vec<String> = view.rows.iter().map(haldane::report::MetricRow::levels).collect();
    assert_eq!(levels, ["median 380 → 292 ms", "mean 380 → 292 %", "rate 0.507 → 2.04 %"]);
    assert_eq!(view.rows[0].change_percent, "-2 %");
    for text in [verbose(&card, Terminal::default()), markdown(&card), junit(&card).unwrap()] {
        assert!(text.contains("median 380 → 292 ms"), "{text}");
    }
    // On one line there is room for the shift alone.
    assert!(!terminal(&card, Terminal::default()).contains("380"), "{}", terminal(&card, Terminal::default()));
}

#[test]
fn a_shift_against_the_same_clock_time_of_earlier_days_is_called_that() {
    let history = HistoryNumbers { windows: 20, window_points: 60, spread: Some(0.04), usual: Some(0.13), clock: Some(0.05) };
    let card = card(Verdict::Pass, None, vec![MetricResult { history: Some(history), ..metric("latency") }]);
    let text = terminal(&card, NARROW);
    assert!(text.contains("clock +1.1 %"), "{text}");
    let text = explain(&card, "latency", NARROW).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("What decides is +1.1 %, against this clock time on earlier days, when the arms differed by +5 %."), "{text}");
}

/// The scorecard as JSON, and the value at a pointer below a metric.
fn in_json(card: &Scorecard, metric: usize, pointer: &str) -> f64 {
    let json = serde_json::to_value(card).unwrap();
    json["metrics"][metric].pointer(pointer).unwrap_or_else(|| panic!("{pointer}: {json:#}")).as_f64().unwrap()
}

#[test]
fn the_figures_are_those_of_the_json() {
    use haldane::report::format::{number, p_value, percent, signed_percent};
    let card = regressed();
    let of = |pointer: &str| in_json(&card, 2, pointer);
    let row = terminal(&card, Terminal::default()).lines().find(|line| line.contains("latency-p99  ")).unwrap().to_owned();
    for part in [signed_percent(of("/numbers/effect")), signed_percent(of("/limit/relative"))] {
        assert!(row.contains(&part), "{part}: {row}");
    }
    let text = explain(&card, "latency-p99", Terminal::default()).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        format!("{} of {} points", of("/canary_coverage/present"), of("/canary_coverage/expected")),
        format!("all {} x {} differences", of("/numbers/n_canary"), of("/numbers/n_baseline")),
        format!("+{} ms, 90 % interval", number(of("/numbers/shift"))),
        format!("+{} to +{} ms", number(of("/numbers/shift_interval/low")), number(of("/numbers/shift_interval/high"))),
        format!("U {}", number(of("/numbers/u"))),
        format!("with p {} (Mann-Whitney, one-sided, z {})", p_value(of("/numbers/p")), number(of("/numbers/z"))),
        format!("p {}.", p_value(of("/numbers/p_ess"))),
        format!("standard error of {}", percent(of("/numbers/sigma"))),
        format!("at least {} (config) and {} ms", percent(of("/limit/relative")), number(of("/limit/absolute"))),
        format!("takes at least {}.", percent(of("/limit/proved_from"))),
        format!("{} reaches {}", signed_percent(of("/numbers/effect")), percent(of("/limit/relative"))),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let of = |pointer: &str| in_json(&card, 0, pointer);
    let text = explain(&card, "error-ratio", Terminal::default()).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        format!("{} of {} requests are events", of("/counts/canary/events"), of("/counts/canary/total")),
        format!("+{} pp ({})", number(100.0 * of("/counts/shift")), signed_percent(of("/counts/relative_shift"))),
        format!("vary {} times", number(of("/counts/inflation"))),
        format!("p {}.", p_value(of("/counts/p"))),
        format!("p {} is at most {}", p_value(of("/counts/p")), p_value(of("/limit/p"))),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[test]
fn every_kind_of_metric_is_explained_to_its_decision() {
    for card in [regressed(), healthy(), open_questions(), advised(), hostile()] {
        for metric in &card.judgement.metrics {
            let text = explain(&card, &metric.name, Terminal::default()).unwrap();
            let titles: Vec<&str> =
                text.lines().filter_map(|line| line.split_once(". ").filter(|(n, _)| n.parse::<u32>().is_ok())).map(|(_, t)| t).collect();
            assert_eq!((titles.first(), titles.last()), (Some(&"Samples"), Some(&"Decision")), "{text}");
            // Whatever was tested has its statistic and its p-value, and whatever has a limit says so.
            let tested = metric.numbers.is_some() || metric.counts.is_some();
            assert_eq!(titles.contains(&"Statistic") && titles.contains(&"p-value"), tested, "{text}");
            assert_eq!(titles.contains(&"Limit"), metric.limit.is_some() || metric.threshold.is_some(), "{text}");
        }
        assert_eq!(explain(&card, "no such metric", Terminal::default()), None);
    }
    let card = open_questions();
    let told = |name: &str| explain(&card, name, Terminal::default()).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told("memory").contains("Declared is ≤ 1 GiB. 40 of the canary's 60 points are past it."), "{}", told("memory"));
    assert!(told("queue-length").contains("canary: 0 of 60 points (0 %), one every 1m."), "{}", told("queue-length"));
    assert!(told("cpu").contains("error, without a test, examiner `level`, reason fetch: the metric store refused"), "{}", told("cpu"));
    assert!(told("error-ratio").contains("Statistics leave it open (few_requests): 31 requests in the canary; 50 are needed."));
    // One that was written and read back is explained alike.
    let saved: Scorecard = serde_json::from_str(&serde_json::to_string(&card).unwrap()).unwrap();
    assert_eq!(explanations(&saved, NARROW), explanations(&card, NARROW));
}

#[test]
fn a_look_is_one_line() {
    let mut card = healthy();
    card.judgement.looks = Some(Looks { look: 3, looks: 12, early_pass: false });
    assert_eq!(look(&card, Terminal::default()), "11:00 UTC  look 3 of 12  pass: none of 2 metrics is worse\n");
    card.judgement.summary = HOSTILE.repeat(10);
    assert_eq!(look(&card, Terminal::default()).lines().count(), 1);
}

#[test]
fn only_a_passed_canary_leaves_the_test_report_green() {
    let failures = |card: &Scorecard| {
        let xml = junit(card).unwrap();
        let count = |attribute: &str| {
            let start = xml.find(&format!("{attribute}=\"")).unwrap() + attribute.len() + 2;
            xml[start..].split('"').next().unwrap().parse::<usize>().unwrap()
        };
        (count(" tests"), count(" failures"), count(" errors"))
    };
    // The verdict is one case, each metric another.
    assert_eq!(failures(&healthy()), (3, 0, 0));
    assert_eq!(failures(&regressed()), (4, 3, 0));
    // Neither the inconclusive, the suspect and the absent metric nor the muted regression count; the marginal verdict does.
    assert_eq!(failures(&open_questions()), (6, 1, 1));
    // What only advises leaves the build alone, with all it found.
    assert_eq!(failures(&advised()), (4, 0, 0));
    assert!(junit(&advised()).unwrap().contains(r#"name="would_be" value="fail""#));
}

#[test]
fn the_past_of_a_ratio_is_told_in_percentage_points_and_that_of_a_value_in_percent() {
    let history = |spread| HistoryNumbers { windows: 20, window_points: 60, spread: Some(spread), usual: None, clock: None };
    let rate = |unit: &str, quantile| MetricResult {
        kind: Kind::Ratio,
        unit: Some(unit.to_owned()),
        history: Some(history(quantile)),
        ..metric("rate")
    };
    let counted = MetricResult { history: Some(history(1.3)), ..error_ratio() };
    let value = MetricResult { history: Some(history(0.08)), ..metric("latency") };
    let card = card(Verdict::Pass, None, vec![rate("percent", 0.08), rate("ratio", 0.000_8), counted, value]);
    let told = |row: &haldane::report::MetricRow| row.evidence.iter().find(|line| line.starts_with("history")).cloned().unwrap();
    let lines: Vec<String> = haldane::report::View::new(&card).rows.iter().map(told).collect();
    for line in &lines[..2] {
        assert!(line.ends_with("their shifts have a standard deviation of 0.08 pp"), "{line}");
    }
    assert!(lines[2].ends_with("their deviates have a standard deviation of 1.3 (1 if requests were independent)"), "{}", lines[2]);
    assert!(lines[3].ends_with("their shifts have a standard deviation of 8 %"), "{}", lines[3]);
}

#[test]
fn a_change_of_what_is_nearly_full_is_told_in_points_and_its_percentage_of_what_is_left() {
    let limit = |absolute| AppliedLimit { absolute, ..metric("").limit.unwrap() };
    let success = MetricResult {
        direction: Direction::Decrease,
        counts: Some(CountNumbers {
            baseline: arm_counts(9_990.0, 10_000.0, 0.998, 0.9995),
            canary: arm_counts(9_950.0, 10_000.0, 0.994, 0.996),
            shift: 0.004,
            relative_shift: Some(4.0),
            ..error_ratio().counts.unwrap()
        }),
        limit: Some(limit(0.001)),
        ..error_ratio()
    };
    let full = Numbers {
        baseline: 99.9,
        canary: 99.5,
        level: 0.1,
        mirrored_at: Some(100.0),
        shift: 0.4,
        relative_shift: Some(4.0),
        shift_interval: Some(interval(0.3, 0.5)),
        effect: 4.0,
        effect_interval: Some(interval(3.0, 5.0)),
        ..metric("").numbers.unwrap()
    };
    let available = MetricResult {
        unit: Some("percent".to_owned()),
        direction: Direction::Decrease,
        numbers: Some(full),
        limit: Some(limit(0.1)),
        ..metric("availability")
    };
    let card = card(Verdict::Fail, None, vec![success, available]);
    for (row, shift) in
        haldane::report::View::new(&card).rows.iter().zip(["-0.4 pp (+400 % of what is left)", "-0.4 pp (+400 % of what is left to 100 %)"])
    {
        assert_eq!((row.change.as_str(), row.change_percent.as_str()), ("99.9 → 99.5 %", "-0.4 pp"));
        assert_eq!(row.limit, "+25 % of what is left and 0.1 pp");
        assert!(row.evidence.iter().any(|line| line.contains(shift)), "{:#?}", row.evidence);
        assert!(!row.evidence.iter().any(|line| line.contains("-400 %")), "{:#?}", row.evidence);
    }
}

#[test]
fn events_show_how_many_there_are_an_interval() {
    let panics = MetricResult {
        kind: Kind::Events,
        unit: None,
        numbers: None,
        limit: None,
        events: Some(EventNumbers {
            intervals_baseline: 2,
            intervals_canary: 11,
            mean_baseline: 0.05,
            mean_canary: 0.3,
            relative_shift: Some(5.0),
            p: 0.006,
            p_dependent: 0.009,
            p_sum: 0.01,
        }),
        ..metric("panics")
    };
    let card = card(Verdict::Fail, None, vec![panics]);
    let row = &haldane::report::View::new(&card).rows[0];
    assert_eq!((row.change.as_str(), row.change_percent.as_str()), ("0.05 → 0.3", "+500 %"));
    assert!(row.evidence[0].starts_with("intervals with any: 2 in the baseline, 11 in the canary; 0.05 and 0.3 an interval (+500 %)"));
}

#[test]
fn a_scorecard_without_metrics_or_with_huge_samples_still_renders() {
    let mut empty = healthy();
    empty.judgement.metrics.clear();
    empty.data.metrics.clear();
    let mut huge = healthy();
    huge.data.metrics[0].samples = Some(MetricSamples {
        baseline: ArmSamples::Values((0..10_080).map(|i| Some(if i % 2 == 0 { 1e308 } else { -1e308 })).collect()),
        canary: ArmSamples::Counts { events: vec![Some(1.0), None, Some(1.0)], totals: vec![Some(0.0), Some(2.0), Some(4.0)] },
        baseline_history: None,
        canary_history: None,
        earlier: Vec::new(),
        bucket_bounds: Vec::new(),
    });
    for card in [empty, huge] {
        for (kind, text) in renderings(&card) {
            assert!(!text.contains("NaN") && !text.contains("inf "), "{kind}: {text}");
            assert!(text.len() < 60_000, "{kind} is {} bytes long", text.len());
        }
    }
}

/// A series of so many points about a level.
fn noisy(level: f64, points: u32) -> ArmSamples {
    ArmSamples::Values((0..points).map(|i| Some(level + f64::from(i * 7_919 % 101) / 3.0)).collect())
}

#[test]
fn the_page_has_the_numbers_of_the_json() {
    use haldane::analysis::{MetricStatistics, Statistics};
    let arm =
        |mean: f64| Statistics { count: 55, mean, min: mean - 12.25, max: mean + 40.5, std: 9.75, median: mean - 1.5, p95: mean + 31.125 };
    let mut card = regressed();
    for metric in &mut card.data.metrics {
        metric.statistics = Some(MetricStatistics { baseline: arm(411.0), canary: arm(579.0) });
    }
    let page = html(&card);
    let json = serde_json::to_value(&card).unwrap();
    for (metric, data) in json["metrics"].as_array().unwrap().iter().zip(json["data"]["metrics"].as_array().unwrap()) {
        for arm in ["baseline", "canary"] {
            for name in ["min", "mean", "median", "p95", "max", "std", "count"] {
                let value = data["statistics"][arm][name].as_f64().unwrap();
                assert!(page.contains(&format!("data-value=\"{value}\"")), "{arm} {name} {value}");
            }
        }
        assert!(page.contains(&format!(
            "data-metric=\"{}\" data-status=\"{}\"",
            metric["name"].as_str().unwrap(),
            metric["status"].as_str().unwrap()
        )));
    }
    // A shift of 40.8 % against a tolerance of 25 %, and 1.533 points against a quarter of 0.507 %.
    let shift = |name: &str| {
        let after = page.split(&format!("data-metric=\"{name}\"")).nth(1).unwrap();
        after.split("data-shift=\"").nth(1).unwrap().split('"').next().unwrap().parse::<f64>().unwrap()
    };
    assert!((shift("latency-p99") - 0.4084 / 0.25).abs() < 1e-12, "{}", shift("latency-p99"));
    assert!((shift("error-ratio") - 0.015_33 / (0.25 * 61.0 / 12_034.0)).abs() < 1e-9, "{}", shift("error-ratio"));
}

#[test]
fn the_page_admits_its_own_script_and_nothing_else() {
    use base64::Engine as _;
    use sha2::Digest as _;
    let page = html(&regressed());
    let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(script));
    let policy = page.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
    let expected =
        format!("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'");
    assert_eq!(policy.replace("&#39;", "'"), expected);
    for fetched in ["src=", "@import", "url(", "<link"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
}

#[test]
fn a_page_of_twenty_metrics_of_240_points_stays_below_250_kb() {
    let metrics: Vec<MetricResult> = (0..20).map(|i| MetricResult { name: format!("latency-{i}"), ..latency_p99() }).collect();
    let mut card = card(Verdict::Fail, Some(0.0), metrics);
    for metric in &mut card.data.metrics {
        let samples = metric.samples.as_mut().unwrap();
        (samples.baseline, samples.canary) = (noisy(400.0, 240), noisy(560.0, 240));
        metric.statistics = Some(haldane::analysis::MetricStatistics::default());
    }
    let page = html(&card);
    assert!(page.len() < 250_000, "{} bytes", page.len());
    assert!(page.len() > 50_000 && page.matches("path class=\"canary\"").count() == 40, "the charts are there");
}
