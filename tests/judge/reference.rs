//! The statistics against numbers from R, SciPy and the reference procedure (`fixtures/reference`, scripts in `make/`).

use haldane_judges::stats::binomial::{clopper_pearson, conditional_mid_p, conditional_power};
use haldane_judges::stats::dependence::{lag1_autocorrelation, long_run_variance, pooled_inflation, variance_inflation};
use haldane_judges::stats::differences::{hodges_lehmann, shift_interval};
use haldane_judges::stats::mann_whitney::{Method, mann_whitney};
use haldane_judges::stats::paired::{paired_rank_test, paired_ratio};
use haldane_judges::stats::prediction::prediction_test;
use haldane_judges::stats::trend::{mann_kendall, theil_sen, trend};
use haldane_judges::stats::{Sample, normal_sf};
use serde_json::Value;

/// Relative agreement asked of every number.
const AGREEMENT: f64 = 1e-9;

fn fixture(name: &str) -> Value {
    let path = format!("{}/../fixtures/reference/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap()
}

fn cases(name: &str, least: usize) -> Vec<Value> {
    let cases = fixture(name)["cases"].as_array().unwrap().clone();
    assert!(cases.len() >= least, "{name}: {} cases", cases.len());
    cases
}

/// A number, an infinity written as text, or NaN for null.
fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) if text == "inf" => f64::INFINITY,
        Value::String(text) if text == "-inf" => f64::NEG_INFINITY,
        Value::Null => f64::NAN,
        other => other.as_f64().unwrap_or_else(|| panic!("{other} is no number")),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn sample(value: &Value) -> Sample {
    Sample::new(numbers(value)).unwrap()
}

#[track_caller]
fn close(got: f64, want: &Value, what: &str) {
    let want = number(want);
    let agrees = got == want || (got - want).abs() <= AGREEMENT * want.abs().max(f64::MIN_POSITIVE);
    assert!(agrees, "{what}: got {got:e}, expected {want:e}, off by {:e}", (got - want).abs() / want.abs());
}

/// For the Edgeworth form, which reaches 0 and 1 far out, where a p-value may not.
#[track_caller]
fn close_or_floored(got: f64, want: &Value, what: &str) {
    match number(want) {
        want if want < 1e-6 => assert!(got > 0.0 && got < 1e-6, "{what}: got {got:e}"),
        want if want > 1.0 - 1e-6 => assert!(got <= 1.0 && got > 1.0 - 1e-6, "{what}: got {got:e}"),
        _ => close(got, want, what),
    }
}

/// For sums of differences, whose rounding error is that of the values and not of the result.
#[track_caller]
fn close_within(got: f64, want: &Value, scale: f64, what: &str) {
    let want = number(want);
    let agrees = got == want || (got - want).abs() <= AGREEMENT * want.abs() + 1e-15 * scale;
    assert!(agrees, "{what}: got {got:e}, expected {want:e}");
}

#[test]
fn the_rank_test_agrees_with_r_and_coin() {
    let (mut exact, mut edgeworth, mut normal) = (0, 0, 0);
    for case in cases("mann_whitney", 100) {
        let name = case["name"].as_str().unwrap();
        let test = mann_whitney(&sample(&case["canary"]), &sample(&case["baseline"]));
        close(test.u, &case["u"], name);
        close(test.cles, &case["cles"], name);
        close(test.z, &case["z"], name);
        match test.method {
            Method::Exact => {
                exact += 1;
                for (got, tail) in [(test.p.greater, "greater"), (test.p.less, "less"), (test.p.two_sided, "two_sided")] {
                    close(got, &case["p_exact"][tail], &format!("{name} exact {tail}"));
                }
            }
            Method::Edgeworth => {
                edgeworth += 1;
                close_or_floored(test.p.greater, &case["p_edgeworth"]["greater"], &format!("{name} Edgeworth greater"));
                close_or_floored(test.p.less, &case["p_edgeworth"]["less"], &format!("{name} Edgeworth less"));
            }
            Method::Normal => {
                normal += 1;
                close(test.p.greater, &case["p_normal"]["greater"], &format!("{name} normal greater"));
                close(test.p.less, &case["p_normal"]["less"], &format!("{name} normal less"));
            }
        }
    }
    assert!(exact > 80 && edgeworth > 3 && normal > 3, "{exact} exact, {edgeworth} Edgeworth, {normal} normal");
}

#[test]
fn the_shift_and_its_intervals_are_order_statistics_of_all_differences() {
    for case in cases("hodges_lehmann", 100) {
        let name = case["name"].as_str().unwrap();
        let (canary, baseline) = (sample(&case["canary"]), sample(&case["baseline"]));
        let scale = canary.max().abs().max(canary.min().abs()).max(baseline.max().abs()).max(baseline.min().abs());
        close_within(hodges_lehmann(&canary, &baseline), &case["shift"], scale, name);
        for (field, z) in [("interval_90", 1.645), ("interval_95", 1.959_963_984_540_054)] {
            let interval = shift_interval(&canary, &baseline, z, 1.0);
            close_within(interval.low, &case[field]["lo"], scale, &format!("{name} {field} low"));
            close_within(interval.high, &case[field]["hi"], scale, &format!("{name} {field} high"));
        }
    }
}

#[test]
fn serial_dependence_agrees_with_the_reference_procedure() {
    for case in cases("dependence", 40) {
        let name = case["name"].as_str().unwrap();
        let series = numbers(&case["series"]);
        let present = series.iter().filter(|v| v.is_finite()).count();
        let rho = lag1_autocorrelation(&series);
        let want = number(&case["rho_judge"]);
        assert!((rho - want).abs() < 1e-9, "{name}: rho {rho}, expected {want}");
        close(variance_inflation(rho, present), &case["vif_judge"], name);
        if !case["lrv"].is_null() {
            let long_run = long_run_variance(&series);
            close(long_run.variance, &case["lrv"], name);
            close(long_run.effective, &case["n_eff"], name);
            close(long_run.degrees, &case["df"], name);
        }
    }
}

#[test]
fn the_inflation_of_u_agrees_with_the_reference_procedure() {
    let pairs = fixture("dependence")["pairs"].as_array().unwrap().clone();
    assert!(pairs.len() > 30);
    for pair in pairs {
        let name = pair["name"].as_str().unwrap();
        let (canary, baseline) = (numbers(&pair["canary"]), numbers(&pair["baseline"]));
        let (c, b) = (Sample::of_present(&canary).unwrap(), Sample::of_present(&baseline).unwrap());
        let inflation = pooled_inflation(lag1_autocorrelation(&canary), c.len(), lag1_autocorrelation(&baseline), b.len());
        let want = &pair["judge"];
        close(inflation, &want["V"], name);
        let test = mann_whitney(&c, &b);
        close_or_floored(test.p.greater, &pair["p"], &format!("{name} p"));
        close(normal_sf(test.z / inflation.sqrt()), &want["p_ess"], &format!("{name} p_ess"));
    }
}

#[test]
fn slopes_and_trend_tests_agree_with_scipy_and_pymannkendall() {
    for case in cases("trend", 50) {
        let name = case["name"].as_str().unwrap();
        let series = numbers(&case["series"]);
        close_within(theil_sen(&series).unwrap(), &case["slope"], number(&case["slope"]).abs().max(1e-3), &format!("{name} slope"));
        let test = mann_kendall(&series, 1.0).unwrap();
        close(test.s, &case["s"], &format!("{name} S"));
        close(test.variance, &case["variance"], &format!("{name} variance"));
        close(test.z, &case["z"], &format!("{name} z"));
        close(test.p.greater, &case["greater"], &format!("{name} greater"));
        close(test.p.less, &case["less"], &format!("{name} less"));
        let inflated = trend(&series).unwrap();
        close_within(inflated.rho, &case["rho"], 1e3, &format!("{name} rho"));
        close_within(inflated.inflation, &case["inflation"], 1e3, &format!("{name} inflation"));
        close_within(inflated.test.p.greater, &case["p_inflated"], 1e3, &format!("{name} inflated"));
    }
}

#[test]
fn one_value_against_others_agrees_with_scipys_t() {
    let predictions = fixture("trend")["predictions"].as_array().unwrap().clone();
    assert!(predictions.len() >= 8);
    for case in predictions {
        let name = case["name"].as_str().unwrap();
        let test = prediction_test(number(&case["value"]), &numbers(&case["others"]), number(&case["least_scatter"])).unwrap();
        close(test.difference, &case["difference"], &format!("{name} difference"));
        close(test.p.greater, &case["greater"], &format!("{name} greater"));
        close(test.p.less, &case["less"], &format!("{name} less"));
    }
    assert!(prediction_test(1.0, &[0.0], 0.0).is_err());
    let constants = prediction_test(1.0, &[0.0, 0.0], 0.0).unwrap();
    assert!(constants.p.greater < 1e-200 && constants.p.less == 1.0);
}

#[test]
fn binomial_bounds_powers_and_mid_p_agree_with_r_and_scipy() {
    let mut kinds = std::collections::BTreeMap::new();
    for case in cases("binomial", 100) {
        let name = case["name"].as_str().unwrap();
        let kind = case["kind"].as_str().unwrap().to_owned();
        let at = |field: &str| number(&case[field]);
        match kind.as_str() {
            "clopper_pearson" => {
                let bounds = clopper_pearson(at("x"), at("n"), 1.0 - at("level")).unwrap();
                close(bounds.low, &case["lower"], &format!("{name} lower"));
                close(bounds.high, &case["upper"], &format!("{name} upper"));
            }
            "mid_p" => close(conditional_mid_p(at("xc"), at("mc"), at("xb"), at("mb")), &case["p_mid"], name),
            "power" => {
                let power = conditional_power((at("mc") as u64, at("pc")), (at("mb") as u64, at("pb")), 0.05, 0);
                close(power, &case["power_exact"], name);
            }
            other => panic!("unknown kind {other}"),
        }
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.len(), 3, "{kinds:?}");
}

#[test]
fn the_golden_vectors_agree_in_the_fields_their_readme_names() {
    let golden = fixture("golden_vectors");
    let mut kinds = std::collections::BTreeMap::new();
    for (i, case) in golden.as_array().unwrap().iter().enumerate() {
        let want = &case["expect"];
        let kind = case["kind"].as_str().unwrap().to_owned();
        match kind.as_str() {
            "continuous" => {
                let (canary, baseline) = (numbers(&case["canary"]), numbers(&case["baseline"]));
                let test = mann_whitney(&sample(&case["canary"]), &sample(&case["baseline"]));
                close(test.u, &want["U"], &format!("{i} U"));
                close(test.cles, &want["cles"], &format!("{i} cles"));
                close(test.p.greater, &want["p_iid"], &format!("{i} p_iid"));
                let paired = paired_rank_test(&canary, &baseline).unwrap();
                close(paired.p, &want["p"], &format!("{i} p"));
                close(paired.effective, &want["n_eff"], &format!("{i} n_eff"));
                close(paired.degrees, &want["df"], &format!("{i} df"));
                let ratio = paired_ratio(&canary, &baseline).unwrap();
                close(ratio.ratio, &want["ratio"], &format!("{i} ratio"));
                close(ratio.low, &want["ci90"][0], &format!("{i} low"));
                close(ratio.high, &want["ci90"][1], &format!("{i} high"));
            }
            // Of the count comparison of the first edition; the one that took its place has its own reference.
            "counts" => {}
            "exact_ties" => {
                let test = mann_whitney(&sample(&case["canary"]), &sample(&case["baseline"]));
                close(test.p.greater, &want["p_exact_ties"], &format!("{i} exact"));
            }
            other => panic!("unknown kind {other}"),
        }
        *kinds.entry(kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.values().sum::<i32>(), 23, "{kinds:?}");
}
