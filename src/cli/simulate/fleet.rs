//! Several policies that share budgets, in one simulation.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::super::files::print;
use super::super::table::{figure, table};
use super::super::terminal::Progress;
use super::output::{RunOutput, figures_table};
use super::{Prepared, Simulate};
use crate::simulate::{BudgetFigures, Member, Run, Scaler, Settings, simulate_fleet};

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
        let many = services.first().map_or(0, |prepared| prepared.scalers.len());
        let mut progress = Progress::of("fleets");
        let mut fleets = Vec::new();
        for at in 0..many {
            progress.tell(at, many);
            fleets.push(self.fleet(&services, &draws, at)?);
        }
        drop(progress);
        let assumptions: Vec<_> = services
            .iter()
            .flat_map(|prepared| {
                let name = prepared.name().unwrap_or_default();
                prepared.assumptions.iter().map(move |assumption| format!("{name}: {assumption}"))
            })
            .collect();
        if self.json {
            let output =
                Output { assumptions: &assumptions, fleets: fleets.iter().map(Fleet::output).collect() };
            let text = serde_json::to_string_pretty(&output).map_err(|error| error.to_string())?;
            return print(&format!("{text}\n"));
        }
        print(&text(&fleets, &assumptions))
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

    /// All services, each under its scaler of this number.
    fn fleet(
        &self,
        services: &[Prepared],
        draws: &[Vec<(String, u32)>],
        number: usize,
    ) -> Result<Fleet, String> {
        let mut members = Vec::new();
        let mut kind = "the policies".to_owned();
        for (prepared, draws) in services.iter().zip(draws) {
            let Some((name, scaler)) = prepared.scalers.get(number) else { continue };
            let Scaler::Policy(scaler) = scaler else {
                return Err("--compare with several policies: write hpa or hpa-cpu=80".to_owned());
            };
            if number > 0 {
                kind.clone_from(name);
            }
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
        let (runs, budgets) = simulate_fleet(&members, &self.budget);
        Ok(Fleet { name: kind, runs, budgets })
    }
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
