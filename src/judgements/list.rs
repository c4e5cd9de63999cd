//! Judgements in short, newest first: those that are remembered here, or those that the store has.

use std::collections::BTreeSet;

use haldane_judges::{JudgeName, Verdict};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::{Labels, Scorecard};

/// A judgement in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JudgementSummary {
    /// The id by which it can be asked for.
    pub id: String,
    /// Where people read it, for a service that knows its own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was judged.
    #[schemars(with = "String")]
    pub judged_at: Timestamp,
    /// The verdict.
    pub verdict: Verdict,
    /// The verdict in a sentence.
    pub summary: String,
    /// Name of the config.
    pub config: String,
    /// The source that was read from; absent where all samples came with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The judge that decided.
    pub judge: JudgeName,
    /// What selected the baseline, where it is a scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What selected the canary, where it is a scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<String>,
    /// What the caller wrote on it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl JudgementSummary {
    /// A scorecard in short; `None` for one without an id, for which nobody can ask.
    #[must_use]
    pub fn of(scorecard: &Scorecard) -> Option<Self> {
        let judgement = &scorecard.judgement;
        let scope = |variables: &std::collections::BTreeMap<String, String>| variables.get("scope").cloned();
        Some(Self {
            id: scorecard.id.clone()?,
            url: scorecard.url.clone(),
            judged_at: scorecard.judged_at,
            verdict: judgement.verdict,
            summary: judgement.summary.clone(),
            config: judgement.config.clone(),
            source: scorecard.data.source.clone(),
            judge: judgement.judge,
            baseline: scope(&scorecard.data.baseline),
            canary: scope(&scorecard.data.canary),
            labels: scorecard.labels.clone(),
        })
    }
}

/// Which judgements are meant; of nothing said, all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgementFilter {
    /// Those with this verdict.
    pub verdict: Option<Verdict>,
    /// Those by the config of this name.
    pub config: Option<String>,
    /// Those that were read from one of these sources.
    pub sources: Option<BTreeSet<String>>,
    /// Those with all of these labels.
    pub labels: Vec<(String, String)>,
    /// Those judged at this time or later.
    pub since: Option<Timestamp>,
    /// Those judged before this time.
    pub until: Option<Timestamp>,
}

impl JudgementFilter {
    /// Whether a judgement is meant.
    #[must_use]
    pub fn takes(&self, one: &JudgementSummary) -> bool {
        self.verdict.is_none_or(|verdict| verdict == one.verdict)
            && self.config.as_ref().is_none_or(|config| *config == one.config)
            && self.sources.as_ref().is_none_or(|sources| one.source.as_ref().is_some_and(|source| sources.contains(source)))
            && self.labels.iter().all(|(name, value)| one.labels.get(name) == Some(value))
            && self.since.is_none_or(|since| one.judged_at >= since)
            && self.until.is_none_or(|until| one.judged_at < until)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgementPage {
    /// Newest first.
    pub judgements: Vec<JudgementSummary>,
    /// Where to go on: what was judged before this time. `None` on the last page.
    pub until: Option<Timestamp>,
}

impl JudgementPage {
    /// The newest `limit` of judgements in any order, all of which are meant.
    pub(super) fn newest(mut all: Vec<JudgementSummary>, limit: usize) -> Self {
        all.sort_by(|a, b| b.judged_at.cmp(&a.judged_at).then_with(|| a.id.cmp(&b.id)));
        let mut rest = all.split_off(limit.min(all.len()));
        // Those of one instant are not torn apart, so that none is lost between two pages.
        let same = rest.iter().take_while(|one| all.last().is_some_and(|last| last.judged_at == one.judged_at)).count();
        all.extend(rest.drain(..same));
        let until = (!rest.is_empty()).then(|| all.last().map(|last| last.judged_at)).flatten();
        Self { judgements: all, until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(id: u32, seconds: i64) -> JudgementSummary {
        JudgementSummary {
            id: id.to_string(),
            url: None,
            judged_at: Timestamp::from_second(seconds).unwrap(),
            verdict: Verdict::Fail,
            summary: String::new(),
            config: "c".to_owned(),
            source: Some("eu".to_owned()),
            judge: JudgeName::HaldaneV1,
            baseline: None,
            canary: None,
            labels: Labels([("service".to_owned(), "checkout".to_owned())].into()),
        }
    }

    #[test]
    fn pages_hold_every_judgement_once_newest_first() {
        // Seven at four times.
        let all: Vec<_> = [5, 1, 3, 3, 9, 5, 5].into_iter().zip(0..).map(|(at, id)| one(id, at)).collect();
        for limit in 1..9 {
            let (mut filter, mut seen) = (JudgementFilter::default(), Vec::new());
            loop {
                let page = JudgementPage::newest(all.iter().filter(|one| filter.takes(one)).cloned().collect(), limit);
                assert!(!page.judgements.is_empty());
                seen.extend(page.judgements.iter().map(|one| one.judged_at.as_second()));
                match page.until {
                    Some(until) => filter.until = Some(until),
                    None => break,
                }
            }
            assert_eq!(seen, [9, 5, 5, 5, 3, 3, 1], "pages of {limit}");
        }
    }

    #[test]
    fn a_filter_takes_what_meets_all_that_it_says() {
        let (it, at) = (one(1, 100), |seconds| Timestamp::from_second(seconds).ok());
        let label = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        for (filter, taken) in [
            (JudgementFilter::default(), true),
            (JudgementFilter { verdict: Some(Verdict::Fail), config: Some("c".into()), ..Default::default() }, true),
            (JudgementFilter { verdict: Some(Verdict::Pass), config: Some("c".into()), ..Default::default() }, false),
            (JudgementFilter { labels: label("service", "checkout"), since: at(100), until: at(101), ..Default::default() }, true),
            (JudgementFilter { labels: label("service", "cart"), ..Default::default() }, false),
            (JudgementFilter { sources: Some(["eu".to_owned(), "us".to_owned()].into()), ..Default::default() }, true),
            (JudgementFilter { sources: Some(["us".to_owned()].into()), ..Default::default() }, false),
            (JudgementFilter { labels: label("version", "checkout"), ..Default::default() }, false),
            (JudgementFilter { until: at(100), ..Default::default() }, false),
            (JudgementFilter { since: at(101), ..Default::default() }, false),
        ] {
            assert_eq!(filter.takes(&it), taken, "{filter:?}");
        }
    }
}
