//! The population check: who runs which version, before anything is concluded from what they report.
//!
//! Only instances that reported in the window count. One that changed its version in the window is a member with each.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{CheckedConfig, PopulationRule};
use crate::evidence::{Arm, Evidence, Member, Population};
use crate::explain;
use crate::scorecard::{VerdictCause, VerdictReason};

/// Longest name of an instance or a version that is shown, in characters.
const LONGEST_NAME: usize = 100;

/// What the check found, and what to do about it.
#[derive(Debug, Default)]
pub(crate) struct PopulationFinding {
    /// Reasons for which the canary fails.
    pub(crate) failures: Vec<VerdictCause>,
    /// Reasons for which it does not pass.
    pub(crate) doubts: Vec<VerdictCause>,
    /// What to wait for.
    pub(crate) advice: Option<String>,
}

/// Checks who runs what; finds nothing where the config does not ask.
pub(crate) fn check(config: &CheckedConfig, evidence: &Evidence) -> PopulationFinding {
    let mut finding = PopulationFinding::default();
    let Some(wanted) = &config.population else { return finding };
    let population = match &evidence.population {
        Some(Ok(population)) => population,
        Some(Err(failure)) => {
            let sentence = format!("who runs which version could not be read: {}", failure.message);
            finding.doubt(VerdictReason::Error, sentence);
            return finding;
        }
        None => {
            let sentence = "the config checks who runs which version, which samples given with the request do not say".to_owned();
            finding.doubt(VerdictReason::NoData, sentence);
            return finding;
        }
    };
    let canary = reporting(&population.canary);
    if canary.is_empty() {
        finding.doubt(VerdictReason::NoData, format!("no instance of the {} says which version it runs", Arm::Canary));
    }
    match wanted.rule {
        PopulationRule::OneVersionPerArm => one_version_per_arm(population, &mut finding),
        PopulationRule::BaselineGone => baseline_gone(population, &mut finding),
    }
    finding
}

fn one_version_per_arm(population: &Population, finding: &mut PopulationFinding) {
    let (baseline, canary) = (reporting(&population.baseline), reporting(&population.canary));
    if baseline.is_empty() {
        finding.doubt(VerdictReason::NoData, format!("no instance of the {} says which version it runs", Arm::Baseline));
    }
    let mixed = [(Arm::Baseline, &baseline), (Arm::Canary, &canary)].map(|(arm, members)| mixture(arm, members));
    for sentence in mixed.iter().flatten() {
        finding.doubt(VerdictReason::MixedPopulation, sentence.clone());
        finding.advice = Some("hold: until each arm runs one version".to_owned());
    }
    let versions = |members: &[&Member]| members.iter().map(|m| m.version.clone()).collect::<BTreeSet<String>>();
    let same = versions(&canary) == versions(&baseline);
    if let (true, Some(only)) = (same && mixed.iter().all(Option::is_none), canary.first()) {
        finding.doubt(VerdictReason::MixedPopulation, format!("both arms run the same version, `{}`", shown(&only.version)));
        finding.advice = Some("hold: until the canary runs the version to be released".to_owned());
    }
}

fn baseline_gone(population: &Population, finding: &mut PopulationFinding) {
    let (baseline, canary) = (reporting(&population.baseline), reporting(&population.canary));
    // Nobody in sight is no proof that nobody is there: the query may match nothing, and the store may have gone quiet.
    if baseline.is_empty() {
        let sentence = format!(
            "no instance of the {} says which version it runs, not even those of the {}; the {}'s scope must select the whole service",
            Arm::Baseline,
            Arm::Canary,
            Arm::Baseline
        );
        finding.doubt(VerdictReason::NoData, sentence);
        finding.advice = Some(format!("hold: until the {}'s scope selects the whole service", Arm::Baseline));
    }
    if !canary.is_empty() && !canary.iter().any(|member| member.at_end) {
        let sentence = format!("no instance of the {} was seen at the end of the window, where the old ones must be gone", Arm::Canary);
        finding.doubt(VerdictReason::NoData, sentence);
        finding.advice = Some(format!("hold: until the {}'s instances report again", Arm::Canary));
    }
    if let Some(sentence) = mixture(Arm::Canary, &canary) {
        finding.doubt(VerdictReason::MixedPopulation, sentence);
        finding.advice = Some("hold: until the canary runs one version".to_owned());
    }
    let is_canary = |member: &Member| canary.iter().any(|c| (&c.instance, &c.version) == (&member.instance, &member.version));
    let left: Vec<&Member> = baseline.into_iter().filter(|m| m.at_end && !is_canary(m)).collect();
    if left.is_empty() {
        return;
    }
    let names = explain::names(&instances(&left));
    let verb = if left.len() == 1 { "is" } else { "are" };
    let sentence = format!("{names} {verb} left of the baseline, on {}", version_words(&left));
    finding.failures.push(VerdictCause { reason: VerdictReason::OldInstances, metrics: Vec::new(), sentence });
    finding.advice = Some(format!("hold: wait until {names} {verb} gone"));
}

impl PopulationFinding {
    fn doubt(&mut self, reason: VerdictReason, sentence: String) {
        self.doubts.push(VerdictCause { reason, metrics: Vec::new(), sentence });
    }
}

/// The members that reported, by instance and version.
fn reporting(members: &[Member]) -> Vec<&Member> {
    let mut reporting: Vec<&Member> = members.iter().filter(|m| m.points > 0).collect();
    reporting.sort_by(|a, b| (&a.instance, &a.version).cmp(&(&b.instance, &b.version)));
    reporting
}

/// "the canary is mixed: 7 instances run `v2`, but `pod-3` runs `v1`"; `None` where all run one version.
fn mixture(arm: Arm, members: &[&Member]) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members {
        *counts.entry(&member.version).or_default() += 1;
    }
    // Of versions that as many run, the first by name.
    let (most, n) = counts.iter().rev().max_by_key(|(_, n)| **n)?;
    let odd: Vec<&Member> = members.iter().copied().filter(|m| m.version != *most).collect();
    if odd.is_empty() {
        return None;
    }
    let verbs = |n: usize| if n == 1 { "runs" } else { "run" };
    Some(format!(
        "the {arm} is mixed: {} {} `{}`, but {} {} {}",
        explain::count(*n as u64, "instance"),
        verbs(*n),
        shown(most),
        explain::names(&instances(&odd)),
        verbs(odd.len()),
        version_words(&odd)
    ))
}

fn instances(members: &[&Member]) -> Vec<String> {
    members.iter().map(|m| shown(&m.instance)).collect()
}

fn version_words(members: &[&Member]) -> String {
    let versions: BTreeSet<String> = members.iter().map(|m| shown(&m.version)).collect();
    explain::names(&versions.into_iter().collect::<Vec<String>>())
}

fn shown(name: &str) -> String {
    name.chars().take(LONGEST_NAME).collect()
}
