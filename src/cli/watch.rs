//! `haldane judge --watch`: every look of a plan, one after the other, until the plan ends or the canary fails.
//!
//! A flag of `judge` and no command of its own: what is followed is a judgement request, with all of its flags, and whoever has a command
//! line that judges follows the canary by adding one word.
//!
//! A look is the window from its start up to that look's part of the plan, judged once its samples have arrived. Nothing else enters, so
//! that looks that are over are judged as they would have been in time: a watch that is started late, or again, says the same.

use std::time::Duration;

use haldane_judges::Verdict;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::client::JudgementRefusal;
use super::judgement_client::{JudgementClient, ScorecardReply};
use super::progress::Spinner;
use super::{CommandFailure, output};
use crate::analysis::Scorecard;
use crate::report::{self, Terminal};

/// How long after the start there may be a first point.
const FIRST_POINT: Duration = Duration::from_secs(60);
/// Longest sleep without a look at the clock, which may be set meanwhile, or the machine be suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// How looks are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchDisplay {
    /// Where they are shown.
    pub(super) terminal: Terminal,
    /// Whether both arms are drawn.
    pub(super) with_samples: bool,
    /// Whether standard output takes text; else it is kept for what is written at the end.
    pub(super) is_text: bool,
    /// Whether each look is drawn over the one before.
    pub(super) redraws: bool,
}

/// From when to when a plan observes.
#[derive(Debug, Clone, Copy)]
struct PlanSpan {
    start: Timestamp,
    end: Timestamp,
}

impl PlanSpan {
    /// The plan of a request, which states its window's start and its planned end and nothing that would stand against its growing.
    fn of(body: &Value) -> Result<Self, CommandFailure> {
        let window = body.get("window");
        let stated = |what: Option<&Value>| what.is_some_and(|value| !value.is_null());
        let of_window = |name: &str| window.and_then(|window| window.get(name));
        if stated(of_window("end")) || stated(of_window("duration")) {
            return Err(CommandFailure::usage("--watch follows a window that grows; leave its end (--end, --last) out"));
        }
        if stated(body.get("looks")) {
            return Err(CommandFailure::usage("--watch counts the looks of the plan itself; leave --look out"));
        }
        if body.get("samples").and_then(Value::as_object).is_some_and(|samples| !samples.is_empty()) {
            return Err(CommandFailure::usage("--watch asks a metric store at each look; samples that are given are all there is"));
        }
        let time = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
        match (time(of_window("start")), time(body.get("planned_end"))) {
            (Some(start), Some(end)) if start < end => Ok(Self { start, end }),
            (Some(start), Some(end)) => {
                Err(CommandFailure::usage(format!("the planned end {end} is not after the window's start {start}")))
            }
            _ => Err(CommandFailure::usage("--watch follows a plan; give --start and --planned-end, such as 2026-01-31T10:00:00Z")),
        }
    }

    /// When a look's window ends.
    fn end_of(&self, look: u32, looks: u32) -> Timestamp {
        let length = self.end.duration_since(self.start).as_secs();
        let seconds = i128::from(length) * i128::from(look) / i128::from(looks.max(1));
        let part = i64::try_from(seconds).map(SignedDuration::from_secs).unwrap_or_default();
        if look >= looks { self.end } else { self.start.saturating_add(part).unwrap_or(self.end) }
    }
}

/// Judges look after look, and answers with the one that ends it.
///
/// # Errors
/// [`CommandFailure`] for a request that states no plan or cannot be judged, and where nobody could be reached at the last look.
pub(super) async fn follow(
    client: &JudgementClient,
    body: Value,
    wait: Option<Duration>,
    display: WatchDisplay,
) -> Result<ScorecardReply, CommandFailure> {
    let plan = PlanSpan::of(&body)?;
    let settle = client.settle(body.get("source").and_then(Value::as_str));
    let judge = |end: Timestamp| client.judge(ending(&body, end), wait, display.with_samples);
    let looks = count(plan, settle, judge).await?;
    let mut drawn = 0;
    let mut look = 1;
    loop {
        let end = plan.end_of(look, looks);
        until(end, settle, &format!("look {look} of {looks}")).await;
        match judge(end).await.map_err(CommandFailure::from) {
            Ok(reply) => {
                let card = reply.card()?;
                if display.redraws {
                    erase(drawn, display)?;
                }
                let ends = look >= looks || decides(&card);
                if !(ends && display.redraws) {
                    drawn = display.show(&card)?;
                }
                if ends {
                    return Ok(reply);
                }
            }
            // The next look sees all that this one would have.
            Err(failure @ CommandFailure::Unreachable(_)) if look < looks => {
                drawn = 0;
                output::say(&format!("look {look} of {looks}: {}", report::format::clean_lines(&failure.to_string())));
            }
            Err(failure) => return Err(failure),
        }
        look += 1;
    }
}

/// How many looks the plan has, by a judgement of what there is so far, which also says at once what is wrong with the request.
async fn count<F>(plan: PlanSpan, settle: Duration, judge: impl Fn(Timestamp) -> F) -> Result<u32, CommandFailure>
where
    F: Future<Output = Result<ScorecardReply, JudgementRefusal>>,
{
    let mut end = plan.start.saturating_add(FIRST_POINT).unwrap_or(plan.end).min(plan.end);
    loop {
        until(end, settle, "the first point").await;
        let now = Timestamp::now();
        let settled = now.checked_sub(settle).unwrap_or(now).min(plan.end).max(end);
        match judge(settled).await {
            Ok(reply) => return Ok(reply.card()?.judgement.looks.map_or(1, |looks| looks.looks)),
            Err(refused) if refused.is_of_an_empty_window() && settled < plan.end => {
                end = settled.saturating_add(FIRST_POINT).unwrap_or(plan.end).min(plan.end);
            }
            Err(refused) => return Err(refused.into()),
        }
    }
}

/// The request with a window up to this time.
fn ending(body: &Value, end: Timestamp) -> Value {
    let mut body = body.clone();
    if let Some(Value::Object(window)) = body.get_mut("window") {
        window.insert("end".to_owned(), json!(end));
    }
    body
}

/// Whether a look ends the plan before its last: a fail does, and a pass where the plan allows an early one.
fn decides(card: &Scorecard) -> bool {
    let judgement = &card.judgement;
    match judgement.would_be.unwrap_or(judgement.verdict) {
        Verdict::Fail => true,
        Verdict::Pass => judgement.looks.is_none_or(|plan| plan.early_pass),
        Verdict::Marginal => false,
    }
}

/// Waits until the samples of a window that ends then have arrived.
async fn until(end: Timestamp, settle: Duration, what: &str) {
    let due = end.saturating_add(settle).unwrap_or(end);
    let left = || Duration::try_from(due.duration_since(Timestamp::now())).ok().filter(|left| !left.is_zero());
    let waiting = left().map(|_| Spinner::start(format!("waiting for {what}, at {}", due.strftime("%H:%M:%S UTC"))));
    while let Some(left) = left() {
        tokio::time::sleep(left.min(LONGEST_SLEEP)).await;
    }
    drop(waiting);
}

/// Takes back so many lines.
fn erase(lines: usize, display: WatchDisplay) -> Result<(), CommandFailure> {
    // Where there is no text on standard output, nothing was drawn there.
    if lines == 0 || !display.is_text { Ok(()) } else { output::print(&format!("\u{1b}[{lines}A\u{1b}[J")) }
}

impl WatchDisplay {
    /// Shows a look; how many lines of the terminal that took.
    fn show(self, card: &Scorecard) -> Result<usize, CommandFailure> {
        let Self { terminal, is_text, redraws, .. } = self;
        let text = if redraws && is_text { report::terminal(card, terminal) } else { report::look(card, terminal) };
        if is_text {
            output::print(&text)?;
        } else {
            output::say(text.trim_end());
        }
        Ok(text.lines().map(|line| visible_width(line).div_ceil(terminal.width.max(1)).max(1)).sum())
    }
}

/// Columns of a line without the sequences that colour it.
fn visible_width(line: &str) -> usize {
    let plain: String = line
        .split('\u{1b}')
        .enumerate()
        .map(|(i, part)| if i == 0 { part } else { part.split_once('m').map_or("", |(_, rest)| rest) })
        .collect();
    plain.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_what_states_its_start_and_its_end_and_may_grow() {
        let body = |more: Value| {
            let mut body = json!({"window": {"start": "2026-01-31T10:00:00Z"}, "planned_end": "2026-01-31T11:00:00Z"});
            if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
                body.extend(more);
            }
            PlanSpan::of(&body)
        };
        let plan = body(json!({})).unwrap();
        let ends: Vec<String> = [1, 2, 7].map(|look| plan.end_of(look, 7).to_string()).into();
        assert_eq!(ends, ["2026-01-31T10:08:34Z", "2026-01-31T10:17:08Z", "2026-01-31T11:00:00Z"]);
        let start = "2026-01-31T10:00:00Z";
        for (more, part) in [
            (json!({"planned_end": null}), "--planned-end"),
            (json!({"planned_end": start}), "is not after"),
            (json!({"window": {"duration": "30m"}}), "--last"),
            (json!({"window": {"start": start, "end": start}}), "--end"),
            (json!({"window": {}}), "--start"),
            (json!({"looks": {"look": 1, "looks": 2}}), "--look"),
            (json!({"samples": {"latency": {}}}), "samples"),
        ] {
            let failure = body(more.clone()).unwrap_err().to_string();
            assert!(failure.contains(part), "{more}: {failure}");
        }
    }

    #[test]
    fn colours_take_no_columns() {
        assert_eq!(visible_width("\u{1b}[1m\u{1b}[31mFAIL\u{1b}[0m  面"), 8);
    }
}
