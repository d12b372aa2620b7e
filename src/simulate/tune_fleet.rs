//! Which targets and windows serve several loads well enough at the least cost, where the services share budgets.

use super::figures::{Days, Figures};
use super::fleet::{BudgetFigures, Member, simulate_fleet};
use super::run::Settings;
use super::signals::Simulable;
use super::tune::{DAYS_TO_SPLIT, UTILIZATIONS, WINDOWS, aimed};
use crate::time::Span;

/// What one policy aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// In percent of what a pod carries.
    pub utilization: u32,
    /// The target of the first leading metric, in its own unit.
    pub target: f64,
    /// The scale-in window.
    pub window: Span,
}

/// One setting of all policies, with what it comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetCandidate {
    /// Of each policy.
    pub aims: Vec<Aim>,
    /// What each service comes to where the setting was chosen: on the even days, or on all of a load of less than two.
    pub chosen: Vec<Figures>,
    /// Seconds for which a budget was exceeded there.
    pub over_limit_seconds: f64,
    /// What each comes to on the odd days, which had no say.
    pub judged: Option<Vec<Figures>>,
}

/// What tuning comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetTradeOff {
    /// The settings that no other beats in both cost and requests missed, the cheapest first; each is the same utilization
    /// and the same window for all policies.
    pub front: Vec<FleetCandidate>,
    /// The cheapest that misses little enough, after each policy's aim was looked for by itself.
    pub best: Option<FleetCandidate>,
}

impl FleetCandidate {
    /// Replica-hours of all services where it was chosen.
    pub fn replica_hours(&self) -> f64 {
        self.chosen.iter().map(|figures| figures.replica_hours).sum()
    }

    /// Requests lost or late where it was chosen, in percent, of the service that fares worst.
    pub fn missed(&self) -> f64 {
        worst(&self.chosen)
    }

    /// Replica-hours and requests missed on the days that had no say.
    pub fn judgement(&self) -> Option<(f64, f64)> {
        let judged = self.judged.as_ref()?;
        Some((judged.iter().map(|figures| figures.replica_hours).sum(), worst(judged)))
    }
}

fn worst(figures: &[Figures]) -> f64 {
    figures.iter().map(|figures| figures.unserved_percent + figures.late_percent).fold(0.0, f64::max)
}

/// A utilization in percent, and a window in seconds.
type Choice = (u32, u64);

/// Tries settings of policies whose services share `budgets`. What misses at most `tolerated` percent of the requests of
/// each service is good enough. `told` is told how many of all settings are done.
pub fn fleet_trade_off(
    members: &[(Member, Simulable)],
    budgets: &[(String, u32)],
    tolerated: f64,
    mut told: impl FnMut(usize, usize),
) -> FleetTradeOff {
    let shortest = members.iter().map(|(member, _)| member.load.span()).min().unwrap_or(Span::ZERO);
    let tuning = Tuning { members, budgets, splits: shortest.seconds() >= DAYS_TO_SPLIT * 86_400.0 };
    let all = UTILIZATIONS.len() * (WINDOWS.len() + members.len());
    let common: Vec<Vec<Choice>> = WINDOWS
        .into_iter()
        .flat_map(|window| UTILIZATIONS.map(|utilization| vec![(utilization, window); members.len()]))
        .collect();
    let tried = tuning.tried(&common, |done| told(done, all));
    let front = front(tried);
    let mut best = front.iter().find(|(_, candidate)| candidate.missed() <= tolerated).cloned();
    if let Some((choices, candidate)) = &mut best {
        for at in 0..members.len() {
            let done = UTILIZATIONS.len() * (WINDOWS.len() + at);
            let others: Vec<_> = UTILIZATIONS
                .into_iter()
                .map(|utilization| {
                    let mut others = choices.clone();
                    if let Some(other) = others.get_mut(at) {
                        other.0 = utilization;
                    }
                    others
                })
                .collect();
            for (other, tried) in tuning.tried(&others, |more| told(done + more, all)) {
                if tried.missed() <= tolerated && tried.replica_hours() < candidate.replica_hours() - 1e-9 {
                    (*choices, *candidate) = (other, tried);
                }
            }
        }
    }
    FleetTradeOff {
        front: front.into_iter().map(|(_, candidate)| candidate).collect(),
        best: best.map(|(_, candidate)| candidate),
    }
}

struct Tuning<'a> {
    members: &'a [(Member, Simulable)],
    budgets: &'a [(String, u32)],
    splits: bool,
}

impl Tuning<'_> {
    /// Each of these settings, with what it comes to.
    fn tried(
        &self,
        settings: &[Vec<Choice>],
        mut told: impl FnMut(usize),
    ) -> Vec<(Vec<Choice>, FleetCandidate)> {
        std::thread::scope(|scope| {
            let running: Vec<_> = settings
                .iter()
                .map(|choices| (choices, scope.spawn(move || self.candidate(choices))))
                .collect();
            let joined = running.into_iter().enumerate().filter_map(|(done, (choices, candidate))| {
                told(done);
                Some((choices.clone(), candidate.join().ok()?))
            });
            joined.collect()
        })
    }

    fn candidate(&self, choices: &[Choice]) -> FleetCandidate {
        let days = if self.splits { Days::Even } else { Days::All };
        let (aims, chosen, budgets) = self.run(choices, days);
        FleetCandidate {
            aims,
            chosen,
            over_limit_seconds: budgets.iter().map(|budget| budget.over_limit_seconds).sum(),
            judged: self.splits.then(|| self.run(choices, Days::Odd).1),
        }
    }

    fn run(&self, choices: &[Choice], days: Days) -> (Vec<Aim>, Vec<Figures>, Vec<BudgetFigures>) {
        let (aims, members): (Vec<_>, Vec<_>) = self
            .members
            .iter()
            .zip(choices)
            .map(|((member, simulable), (utilization, window))| {
                let settings = Settings { days, record: false, ..member.settings.clone() };
                let (scaler, target) = aimed(simulable, &settings, *utilization, *window);
                let window = Span::from_seconds(*window);
                (
                    Aim { utilization: *utilization, target, window },
                    Member { settings, scaler, ..member.clone() },
                )
            })
            .unzip();
        let (runs, budgets) = simulate_fleet(&members, self.budgets);
        (aims, runs.into_iter().map(|run| run.figures).collect(), budgets)
    }
}

fn front(mut all: Vec<(Vec<Choice>, FleetCandidate)>) -> Vec<(Vec<Choice>, FleetCandidate)> {
    all.sort_by(|(_, a), (_, b)| {
        a.replica_hours().total_cmp(&b.replica_hours()).then(a.missed().total_cmp(&b.missed()))
    });
    let mut least = f64::INFINITY;
    all.retain(|(_, candidate)| {
        let better = candidate.missed() < least - 1e-9;
        if better {
            least = candidate.missed();
        }
        better
    });
    all
}
