//! Which targets and windows serve a load well enough at the least cost.

use super::figures::{Days, Figures};
use super::load::Load;
use super::run::{Settings, simulate};
use super::scaler::{PolicyScaler, Scaler};
use super::signals::{Quantity, Simulable};
use crate::api::{Role, TargetKind};
use crate::number::from_count;
use crate::time::Span;

/// Utilizations that are tried, in percent of what a pod carries.
pub(super) const UTILIZATIONS: [u32; 11] = [95, 90, 85, 80, 75, 70, 65, 60, 55, 50, 40];
/// Scale-in windows that are tried, in seconds.
pub(super) const WINDOWS: [u64; 3] = [120, 300, 600];
/// A load of at least so many days is tuned on some of them and judged on the others.
pub(super) const DAYS_TO_SPLIT: f64 = 2.0;

/// One setting, with what it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Targets at this utilization, in percent of what a pod carries.
    pub utilization: u32,
    /// The target of the first leading metric, in its own unit.
    pub target: f64,
    /// The scale-in window.
    pub window: Span,
    /// What it comes to where it was chosen: on the even days, or on all of a load of less than two.
    pub chosen: Figures,
    /// What it comes to on the odd days, which had no say.
    pub judged: Option<Figures>,
}

impl Candidate {
    /// Requests lost or late where it was chosen, in percent.
    pub fn missed(&self) -> f64 {
        self.chosen.unserved_percent + self.chosen.late_percent
    }
}

/// The candidates that no other beats in both cost and requests missed, the cheapest first. Each leading metric that reads
/// the load or the utilization gets the same utilization to aim at. `told` is told how many of all settings are done.
pub fn trade_off(
    settings: &Settings,
    load: &Load,
    simulable: &Simulable,
    mut told: impl FnMut(usize, usize),
) -> Vec<Candidate> {
    let splits = load.span().seconds() >= DAYS_TO_SPLIT * 86_400.0;
    let on = |days| Settings { days, record: false, ..settings.clone() };
    let (chosen_on, judged_on) = (on(if splits { Days::Even } else { Days::All }), on(Days::Odd));
    let settings =
        WINDOWS.into_iter().flat_map(|window| UTILIZATIONS.map(|utilization| (utilization, window)));
    let all: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = settings
            .map(|(utilization, window)| {
                let (chosen_on, judged_on) = (&chosen_on, &judged_on);
                scope.spawn(move || {
                    let (scaler, target) = aimed(simulable, chosen_on, utilization, window);
                    let scaler = Scaler::Policy(Box::new(scaler));
                    Candidate {
                        utilization,
                        target,
                        window: Span::from_seconds(window),
                        chosen: simulate("", chosen_on, load, &scaler).figures,
                        judged: splits.then(|| simulate("", judged_on, load, &scaler).figures),
                    }
                })
            })
            .collect();
        let many = running.len();
        let joined = running.into_iter().enumerate().filter_map(|(done, candidate)| {
            told(done, many);
            candidate.join().ok()
        });
        joined.collect()
    });
    front(all)
}

/// The policy with its targets at a utilization, and the first of these targets.
pub(super) fn aimed(
    simulable: &Simulable,
    settings: &Settings,
    utilization: u32,
    window: u64,
) -> (PolicyScaler, f64) {
    let mut aimed = simulable.clone();
    let share = from_count(utilization) / 100.0;
    let mut first = None;
    for (signal, source) in aimed.policy.signals.iter_mut().zip(&aimed.sources) {
        let full = match (signal.role, signal.kind, source.quantity) {
            (Role::Leading, TargetKind::AverageValue, Quantity::Load | Quantity::Answered) => {
                settings.service.capacity_per_pod * source.factor
            }
            (Role::Leading, TargetKind::Utilization, Quantity::Utilization) => 100.0 * source.factor,
            _ => continue,
        };
        signal.target = full * share;
        first = first.or(Some(signal.target));
    }
    aimed.policy.scale_down.window = Span::from_seconds(window);
    (PolicyScaler::new(&aimed), first.unwrap_or(0.0))
}

fn front(mut all: Vec<Candidate>) -> Vec<Candidate> {
    let cost = |candidate: &Candidate| candidate.chosen.replica_hours;
    all.sort_by(|a, b| cost(a).total_cmp(&cost(b)).then(a.missed().total_cmp(&b.missed())));
    let mut least = f64::INFINITY;
    all.retain(|candidate| {
        let better = candidate.missed() < least - 1e-9;
        if better {
            least = candidate.missed();
        }
        better
    });
    all
}
