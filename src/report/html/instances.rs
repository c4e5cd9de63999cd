//! The instances of both arms, each by its mean over the window.

use haldane_judges::evidence::{Evidence, Instance, Observation};
use haldane_judges::scorecard::MetricResult;
use maud::{Markup, html};

use super::chart::{Chart, PlotAxis};
use super::glossary::Term;
use crate::report::format::{Unit, clean, truncate};
use crate::report::series::range;

/// Instances that are named, those furthest from the baseline's mean first.
const NAMED: usize = 12;

/// An instance's name and mean.
struct InstanceMean {
    name: String,
    mean: f64,
    points: usize,
}

fn means(instances: &[Instance]) -> Vec<InstanceMean> {
    let of = |instance: &Instance| {
        let values: Vec<f64> = instance.values.iter().copied().filter(|value| value.is_finite()).collect();
        let n = values.len() as f64;
        (!values.is_empty()).then(|| InstanceMean {
            name: clean(&instance.name),
            mean: values.iter().map(|value| value / n).sum(),
            points: values.len(),
        })
    };
    instances.iter().filter_map(of).collect()
}

/// Both arms' instances where the metric at this place was read by instance, and the samples are at hand.
pub(super) fn instances(evidence: Option<&Evidence>, place: usize, metric: &MetricResult, unit: &Unit) -> Option<Markup> {
    let Observation::Sampled { baseline, canary } = evidence?.observations.get(place)? else { return None };
    let (baseline, mut canary) = (means(&baseline.instances), means(&canary.instances));
    let (low, high) = range(baseline.iter().chain(&canary).map(|one| one.mean)).filter(|_| canary.len() > 1)?;
    // One of them is always furthest; only one that is proved to be unlike the others is marked.
    let sick = metric.worst_instance.as_ref().filter(|worst| worst.p <= worst.p_limit).map(|worst| clean(&worst.name));
    let (bottom, top, ticks, title) = super::timeline::axis_of_values((low, high), unit, "mean");
    let rows = [("baseline", 1.0), ("canary", 0.0)];
    let y = PlotAxis::vertical((-0.6, 1.6), rows.iter().map(|(name, at)| (*at, (*name).to_owned())).collect(), String::new());
    let mut chart = Chart::new(PlotAxis::horizontal((bottom, top), false, ticks, title), y);
    for one in &baseline {
        chart.dot("baseline", one.mean, 1.0);
    }
    for one in &canary {
        chart.dot(if sick.as_ref() == Some(&one.name) { "worst" } else { "canary" }, one.mean, 0.0);
    }
    let usual = baseline.iter().map(|one| one.mean / baseline.len() as f64).sum::<f64>();
    let center = if baseline.is_empty() { low / 2.0 + high / 2.0 } else { usual };
    canary.sort_by(|a, b| (b.mean - center).abs().total_cmp(&(a.mean - center).abs()));
    let said = format!("mean of {} baseline and {} canary instances", baseline.len(), canary.len());
    Some(html! {
        figure {
            (chart.draw(&said))
            figcaption {
                (Term::Instances.button()) ": " (baseline.len()) " of the baseline, " (canary.len()) " of the canary"
                @if let Some(sick) = &sick { "; unlike the others " strong { (truncate(sick, 80)) } }
            }
            table.numbers {
                caption { "Canary instances" @if canary.len() > NAMED { ", the " (NAMED) " furthest from the baseline" } }
                thead { tr { th scope="col" { "Instance" } th scope="col" { "Mean" } th scope="col" { "Points" } } }
                tbody {
                    @for one in canary.iter().take(NAMED) {
                        tr { th scope="row" { (truncate(&one.name, 80)) } td { (unit.value(one.mean)) } td { (one.points) } }
                    }
                }
            }
        }
    })
}
