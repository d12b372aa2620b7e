//! Several policies that share budgets, in one simulation.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::super::files::print;
use super::super::table::{figure, table};
use super::super::terminal::Progress;
use super::output::{RunOutput, figures_of, figures_table};
use super::{Prepared, Simulate};
use crate::api::Role;
use crate::report::{FleetReport, Report, Scaled, SharedBudget};
use crate::simulate::{
    BudgetFigures, FleetCandidate, Member, Run, Scaler, Settings, fleet_trade_off, simulate_fleet,
};

/// What is printed as JSON.
#[derive(Serialize)]
struct Output<'a> {
    assumptions: &'a [String],
    fleets: Vec<FleetOutput<'a>>,
}

#[derive(Serialize)]
struct FleetOutput<'a> {
    name: &'a str,
    services: Vec<RunOutput<'a>>,
    budgets: &'a [BudgetFigures],
}

/// All services under one kind of scaler.
struct Fleet {
    name: String,
    runs: Vec<Run>,
    budgets: Vec<BudgetFigures>,
}

impl Simulate {
    pub(super) fn execute_fleet(&self) -> Result<(), String> {
        let services = self.services()?;
        let mut names: Vec<_> = services.iter().filter_map(Prepared::name).collect();
        names.sort_unstable();
        if let Some([twice, _]) = names.array_windows().find(|[left, right]| left == right) {
            return Err(format!("two policies are called {twice}: give each a name of its own"));
        }
        let draws: Vec<_> =
            services.iter().map(|prepared| Member::draws_of(&prepared.simulable.policy)).collect();
        let unused = |(name, _): &&(String, u32)| draws.iter().flatten().all(|(budget, _)| budget != name);
        if let Some((name, _)) = self.budget.iter().find(unused) {
            return Err(format!("--budget {name}: none of these policies draws on it"));
        }
        if let Some(with) = self.compare.iter().find(|with| *with != "hpa" && !with.starts_with("hpa-cpu=")) {
            return Err(format!("--compare {with} with several policies: write hpa or hpa-cpu=80"));
        }
        let assumptions: Vec<_> = services
            .iter()
            .flat_map(|prepared| {
                let name = prepared.name().unwrap_or_default();
                prepared.assumptions.iter().map(move |assumption| format!("{name}: {assumption}"))
            })
            .collect();
        if self.tune {
            return print(&self.tuned_fleet(&services, &draws, &assumptions)?);
        }
        let many = services.first().map_or(0, |prepared| prepared.scalers.len());
        let mut progress = Progress::of("fleets");
        let mut fleets = Vec::new();
        for at in 0..many {
            progress.tell(at, many);
            fleets.push(self.fleet(&services, &draws, at)?);
        }
        drop(progress);
        if self.draws() {
            self.write_fleet(&services, &draws, &fleets)?;
        }
        if self.json {
            let output =
                Output { assumptions: &assumptions, fleets: fleets.iter().map(Fleet::output).collect() };
            let text = serde_json::to_string_pretty(&output).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        print(&text(&fleets, &assumptions))
    }

    /// Writes the page, and the charts alone.
    fn write_fleet(
        &self,
        services: &[Prepared],
        draws: &[Vec<(String, u32)>],
        fleets: &[Fleet],
    ) -> Result<(), String> {
        // Each service under every scaler: what a section shows side by side.
        let courses: Vec<Vec<Run>> = (0..services.len())
            .map(|at| {
                let course = |(number, fleet): (usize, &Fleet)| {
                    let run = fleet.runs.get(at)?.clone();
                    Some(if number == 0 { run } else { Run { name: fleet.name.clone(), ..run } })
                };
                fleets.iter().enumerate().filter_map(course).collect()
            })
            .collect();
        let policies =
            services.iter().zip(&courses).zip(draws).enumerate().map(|(at, ((prepared, runs), draws))| {
                Report {
                    title: prepared.name().unwrap_or_default().to_owned(),
                    load: self.load_of(at).to_owned(),
                    assumptions: prepared.assumptions.clone(),
                    // What is shared stands in the budgets' charts.
                    connections: prepared
                        .settings
                        .database
                        .filter(|_| draws.is_empty())
                        .map(|database| (database.connections, database.per_pod)),
                    latency_objective: prepared.settings.latency_objective,
                    figures: figures_of(runs),
                    runs,
                }
            });
        let scaled = |fleet: &Fleet, at: usize| {
            Some(Scaled { by: fleet.name.clone(), figures: fleet.budgets.get(at)?.clone() })
        };
        let budgets = (0..fleets.first().map_or(0, |fleet| fleet.budgets.len()))
            .map(|at| SharedBudget { scaled: fleets.iter().filter_map(|fleet| scaled(fleet, at)).collect() });
        let report = FleetReport { policies: policies.collect(), budgets: budgets.collect() };
        self.write(|| report.html(), || report.svg())
    }

    /// What the load of this service is called.
    fn load_of(&self, at: usize) -> &str {
        self.load.get(at).map_or_else(|| self.load_name(), String::as_str)
    }

    /// The trade-off of cost and requests missed over all services, and what to write into each policy.
    fn tuned_fleet(
        &self,
        services: &[Prepared],
        draws: &[Vec<(String, u32)>],
        assumptions: &[String],
    ) -> Result<String, String> {
        let members: Vec<_> = members(services, draws, 0)?
            .into_iter()
            .zip(services)
            .map(|(member, prepared)| (member, prepared.simulable.clone()))
            .collect();
        let found = {
            let mut progress = Progress::of("settings");
            fleet_trade_off(&members, &self.budget, self.tolerate, |done, all| progress.tell(done, all))
        };
        let header = [
            "all aim at",
            "scale-in window",
            "replica-hours",
            "missed %, the worst",
            "over a limit, s",
            "on other days: hours",
            "missed %",
        ];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        for candidate in &found.front {
            let judgement = candidate.judgement();
            let aim = candidate.aims.first();
            rows.push(vec![
                aim.map_or_else(String::new, |aim| format!("{} %", aim.utilization)),
                aim.map_or_else(String::new, |aim| aim.window.to_string()),
                figure(candidate.replica_hours()),
                figure(candidate.missed()),
                figure(candidate.over_limit_seconds),
                judgement.map_or_else(|| "–".to_owned(), |(hours, _)| figure(hours)),
                judgement.map_or_else(|| "–".to_owned(), |(_, missed)| figure(missed)),
            ]);
        }
        let verdict = found.best.as_ref().map_or_else(
            || {
                format!(
                    "No target tried misses at most {} % of each policy's requests: what bursts faster than pods start takes headroom, a higher minReplicas, or pods that start sooner; what a limit holds takes a larger budget.\n",
                    figure(self.tolerate)
                )
            },
            |best| self.advice(best, services),
        );
        Ok(format!("  {}\n\n{}\n{verdict}", assumptions.join("\n  "), table(&rows)))
    }

    fn advice(&self, best: &FleetCandidate, services: &[Prepared]) -> String {
        let mut text = format!(
            "Of those that miss at most {} % of each policy's requests the cheapest, with each policy's aim then looked for by itself, takes {} replica-hours:\n",
            figure(self.tolerate),
            figure(best.replica_hours())
        );
        for ((prepared, aim), figures) in services.iter().zip(&best.aims).zip(&best.chosen) {
            let leading =
                prepared.simulable.policy.signals.iter().find(|signal| signal.role == Role::Leading);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  {}, at {} %, {} % missed:\n    metrics: [{{name: {}, target: {}}}]\n    behavior: {{scaleDown: {{stabilizationWindowSeconds: {}}}}}",
                prepared.name().unwrap_or_default(),
                aim.utilization,
                figure(figures.unserved_percent + figures.late_percent),
                leading.map_or("", |signal| signal.name.as_str()),
                figure(aim.target),
                aim.window.rounded_seconds()
            );
        }
        text
    }

    /// Each policy with its own load and plant.
    fn services(&self) -> Result<Vec<Prepared>, String> {
        let files: Vec<&Path> =
            std::iter::once(&self.policy).chain(&self.others).map(std::path::PathBuf::as_path).collect();
        let fits = |given: usize| given <= 1 || given == files.len();
        if !fits(self.load.len()) || !fits(self.capacity.len()) {
            return Err(format!(
                "there are {} policies: write --load and --capacity once for all, or once for each in the same order",
                files.len()
            ));
        }
        files
            .iter()
            .zip(0_u64..)
            .enumerate()
            .map(|(at, (file, number))| {
                let alone = Self {
                    policy: file.to_path_buf(),
                    others: Vec::new(),
                    one_of_several: true,
                    load: self.load.get(at).or_else(|| self.load.first()).cloned().into_iter().collect(),
                    capacity: self
                        .capacity
                        .get(at)
                        .or_else(|| self.capacity.first())
                        .copied()
                        .into_iter()
                        .collect(),
                    seed: self.seed.wrapping_add(number),
                    ..self.clone()
                };
                alone.prepare().map_err(|fault| format!("{}: {fault}", file.display()))
            })
            .collect()
    }

    /// What becomes of all services under their scalers of this number.
    fn fleet(
        &self,
        services: &[Prepared],
        draws: &[Vec<(String, u32)>],
        number: usize,
    ) -> Result<Fleet, String> {
        let kind = services.first().and_then(|prepared| prepared.scalers.get(number));
        let name =
            kind.filter(|_| number > 0).map_or_else(|| "the policies".to_owned(), |(name, _)| name.clone());
        let (runs, budgets) = simulate_fleet(&members(services, draws, number)?, &self.budget);
        Ok(Fleet { name, runs, budgets })
    }
}

/// All services, each under its scaler of this number.
fn members(
    services: &[Prepared],
    draws: &[Vec<(String, u32)>],
    number: usize,
) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for (prepared, draws) in services.iter().zip(draws) {
        let Some((_, scaler)) = prepared.scalers.get(number) else { continue };
        let Scaler::Policy(scaler) = scaler else {
            return Err("--compare with several policies: write hpa or hpa-cpu=80".to_owned());
        };
        let shared = !draws.is_empty();
        members.push(Member {
            name: prepared.name().unwrap_or_default().to_owned(),
            settings: Settings {
                // What is shared is counted for all together.
                database: prepared.settings.database.filter(|_| !shared),
                shares: Vec::new(),
                ..prepared.settings.clone()
            },
            load: prepared.load.clone(),
            scaler: scaler.as_ref().clone(),
            draws: draws.clone(),
        });
    }
    Ok(members)
}

impl Prepared {
    /// Name of the policy.
    fn name(&self) -> Option<&str> {
        self.scalers.first().map(|(name, _)| name.as_str())
    }
}

impl Fleet {
    fn output(&self) -> FleetOutput<'_> {
        let services = self.runs.iter().map(|run| RunOutput { name: &run.name, figures: &run.figures });
        FleetOutput { name: &self.name, services: services.collect(), budgets: &self.budgets }
    }
}

fn text(fleets: &[Fleet], assumptions: &[String]) -> String {
    let mut text = format!("  {}\n", assumptions.join("\n  "));
    for fleet in fleets {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nScaled by {}\n{}", fleet.name, table(&figures_table(&fleet.runs)));
    }
    let first = fleets.first().map_or(&[][..], |fleet| &fleet.budgets);
    for (at, budget) in first.iter().enumerate() {
        let header = std::iter::once(format!("Budget {}", budget.budget))
            .chain(fleets.iter().map(|fleet| fleet.name.clone()))
            .collect();
        let mut rows: Vec<Vec<String>> = vec![header];
        let row = |name: &str, value: &dyn Fn(&BudgetFigures) -> String| {
            let cells = fleets.iter().map(|fleet| fleet.budgets.get(at).map_or_else(String::new, value));
            std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
        };
        rows.push(row("connections it gives", &|figures| figures.limit.to_string()));
        rows.push(row("peak connections", &|figures| figures.peak_connections.to_string()));
        rows.push(row("over the limit, seconds", &|figures| figure(figures.over_limit_seconds)));
        rows.push(row("peak of all grants", &|figures| figures.peak_granted.to_string()));
        rows.push(row("asked back", &|figures| figures.recalls.to_string()));
        let _ = write!(text, "\n{}", table(&rows));
    }
    text
}
