//! From arguments to what is simulated.

use std::path::PathBuf;

use super::super::files::read_policy;
use super::super::table::figure;
use super::load::read_load;
use super::{DaysChoice, MOST_PODS, OverloadChoice, Prepared, Simulate};
use crate::api::{ScalingPolicy, TargetKind};
use crate::control::{ConnectionSource, Policy};
use crate::simulate::{
    Database, Days, Member, Overload, PlantSettings, PolicyScaler, Quantity, Scaler, SensorSettings, Service,
    ServiceSettings, Settings, Simulable, map, shares,
};
use crate::time::Span;

/// The z-score of the 90th percentile: what tells a log-normal's spread from its median and p90.
const Z90: f64 = 1.281_551_565_545;

impl Simulate {
    pub(super) fn prepare(&self) -> Result<Prepared, String> {
        let (object, policy) = read_policy(&self.policy)?;
        self.prepare_for(object, policy)
    }

    /// For a policy that was read.
    pub(super) fn prepare_for(&self, object: ScalingPolicy, policy: Policy) -> Result<Prepared, String> {
        let sensor = SensorSettings {
            scrape_interval: self.scrape_interval,
            window: self.metric_window,
            delay: self.metric_delay,
        };
        if sensor.scrape_interval == Span::ZERO || sensor.window == Span::ZERO {
            return Err("--scrape-interval and --metric-window must be longer than 0s".to_owned());
        }
        if self.service_time == Span::ZERO {
            return Err("--service-time must be longer than 0s: write for example 50ms".to_owned());
        }
        if self.latency_slo == Some(Span::ZERO) {
            return Err("--latency-slo must be longer than 0s: nothing is answered at once".to_owned());
        }
        self.check_budgets(&policy)?;
        let policy = Policy { seed: self.seed, ..policy };
        let scripts: Result<Vec<_>, String> = self
            .guard
            .iter()
            .map(|(name, script)| {
                let load =
                    read_load(script, self.seed).map_err(|fault| format!("--guard {name}: {fault}"))?;
                Ok((name.clone(), load))
            })
            .collect();
        let simulable = map(&policy, &self.signal, &sensor)?.with_guards(&policy, &scripts?)?;
        let mut assumptions = simulable.notes.clone();
        let capacity = self.capacity_per_pod(&simulable, &mut assumptions)?;
        let load = self.scaled_load(
            object.metadata.namespace.as_deref().unwrap_or("default"),
            capacity,
            &mut assumptions,
        )?;
        if self.days != DaysChoice::All && load.span() <= Span::from_seconds(86_400) {
            return Err("--days even and odd take a load of more than a day: this one ends within its first"
                .to_owned());
        }
        let database = self.database(&policy)?;
        let settings = Settings {
            plant: self.plant(capacity)?,
            service: ServiceSettings {
                capacity_per_pod: capacity,
                scalability: self.usl,
                service_time: self.service_time.seconds(),
                overload: match self.overload {
                    OverloadChoice::Dropped => Overload::Dropped,
                    OverloadChoice::Queued => Overload::Queued { patience: self.patience.seconds() },
                },
                late_after: self.late_after.seconds(),
            },
            sensor,
            database,
            shares: shares(&policy, &self.budget)?,
            latency_objective: self.latency_slo.map(Span::seconds),
            days: match self.days {
                DaysChoice::All => Days::All,
                DaysChoice::Even => Days::Even,
                DaysChoice::Odd => Days::Odd,
            },
            initial_replicas: self.initial_replicas,
            step: Span::from_seconds(1),
            record: self.draws(),
        };
        let needed = demand_at_peak(&settings, load.peak()).min(policy.max);
        if i64::from(needed) > MOST_PODS {
            return Err(format!(
                "the load takes {needed} replicas at its peak, and up to {MOST_PODS} can be simulated: is --capacity right, and the load in requests per second?"
            ));
        }
        let name = object.metadata.name.unwrap_or_else(|| "policy".to_owned());
        let mut scalers = vec![(name.clone(), Scaler::Policy(Box::new(PolicyScaler::new(&simulable))))];
        for with in &self.compare {
            let (name, scaler) = self.compared(with, &simulable, &sensor)?;
            let taken = scalers.iter().any(|(taken, _)| *taken == name);
            scalers.push((if taken { format!("{name} ({with})") } else { name }, scaler));
        }
        Ok(Prepared { load, settings, simulable, scalers, assumptions })
    }

    /// A budget that nothing draws on is a mistake; among several policies one of them may draw on it.
    fn check_budgets(&self, policy: &Policy) -> Result<(), String> {
        let draws = Member::draws_of(policy);
        let unused = |(name, _): &&(String, u32)| draws.iter().all(|(budget, _)| budget != name);
        match self.budget.iter().find(unused).filter(|_| !self.one_of_several) {
            None => Ok(()),
            Some((name, _)) if draws.is_empty() => {
                Err(format!("--budget {name}: the policy has no ceilings.connections with a budgetRef"))
            }
            Some((name, _)) => {
                let names: Vec<_> = draws.iter().map(|(budget, _)| budget.as_str()).collect();
                Err(format!("--budget {name}: the policy draws on {}", names.join(", ")))
            }
        }
    }

    /// What one replica carries.
    pub(super) fn capacity_per_pod(
        &self,
        simulable: &Simulable,
        assumptions: &mut Vec<String>,
    ) -> Result<f64, String> {
        if let Some(&capacity) = self.capacity.first() {
            if (1e-6..=1e12).contains(&capacity) {
                return Ok(capacity);
            }
            return Err(
                "--capacity must be above 0: requests per second that one replica carries at most".to_owned()
            );
        }
        let reads_load = simulable.policy.signals.iter().zip(&simulable.sources).find(|(signal, source)| {
            source.quantity == Quantity::Load && signal.kind == TargetKind::AverageValue
        });
        let (signal, source) = reads_load.ok_or(
            "no metric of the policy tells what one replica carries: write --capacity RPS, requests per second at full utilization",
        )?;
        let capacity = signal.target / source.factor / 0.8;
        assumptions.push(format!(
            "one replica carries {} requests per second at most: the target of {} over 0.8; --capacity says otherwise",
            figure(capacity),
            signal.name
        ));
        Ok(capacity)
    }

    pub(super) fn plant(&self, capacity: f64) -> Result<PlantSettings, String> {
        let spread = match self.start_up_p90 {
            Some(p90) if p90 < self.start_up => {
                return Err("--start-up-p90 is below --start-up, the median: write the time within which nine of ten pods start".to_owned());
            }
            Some(p90) if self.start_up > Span::ZERO => (p90.seconds() / self.start_up.seconds()).ln() / Z90,
            _ => 0.0,
        };
        Ok(PlantSettings {
            start_up: self.start_up,
            start_up_spread: spread,
            warm_up: self.warm_up,
            drain: self.drain,
            capacity_per_pod: capacity,
            seed: self.seed,
            ..PlantSettings::default()
        })
    }

    pub(super) fn database(&self, policy: &Policy) -> Result<Option<Database>, String> {
        if let (Some(connections), Some(per_pod)) = (self.connections, self.connections_per_pod) {
            if per_pod == 0 {
                return Err("--connections-per-pod must be 1 or more".to_owned());
            }
            return Ok(Some(Database { connections, per_pod }));
        }
        Ok(policy.connections.first().and_then(|ceiling| {
            let connections = match &ceiling.limit {
                ConnectionSource::Inline { max_connections, reserved, others } => {
                    max_connections.saturating_sub(reserved.saturating_add(*others))
                }
                ConnectionSource::Budget { name, .. } => self
                    .budget
                    .iter()
                    .find(|(budget, _)| budget == name)
                    .map(|(_, connections)| *connections)?,
            };
            Some(Database { connections, per_pod: ceiling.per_pod })
        }))
    }

    pub(super) fn compared(
        &self,
        with: &str,
        simulable: &Simulable,
        sensor: &SensorSettings,
    ) -> Result<(String, Scaler), String> {
        let policy = &simulable.policy;
        let count = |text: &str, what: &str| {
            let sound = |count: &u32| (1..=MOST_PODS).contains(&i64::from(*count));
            text.parse::<u32>().ok().filter(sound).ok_or_else(|| {
                format!("--compare {with}: {text:?} is not {what}: write a whole number, 1 or more")
            })
        };
        let boxed = |scaler| Scaler::Policy(Box::new(scaler));
        Ok(match with.split_once('=') {
            _ if with == "hpa" => ("HPA v2".to_owned(), boxed(PolicyScaler::hpa(simulable))),
            _ if with == "oracle" => {
                ("oracle".to_owned(), Scaler::Oracle { min: policy.min.max(1), max: policy.max })
            }
            Some(("hpa-cpu", percent)) => {
                let percent = count(percent, "a percentage")?;
                (format!("HPA v2, CPU {percent} %"), boxed(PolicyScaler::hpa_on_cpu(simulable, percent)))
            }
            Some(("static", replicas)) => {
                let replicas = count(replicas, "a count of replicas")?;
                (format!("static {replicas}"), Scaler::Static(replicas))
            }
            _ => {
                let path = PathBuf::from(with);
                if !path.exists() {
                    return Err(format!(
                        "--compare {with}: there is no such file: write hpa, hpa-cpu=80, oracle, static=N, or the file of another policy"
                    ));
                }
                let (object, policy) = read_policy(&path)?;
                let chosen: Vec<_> = self
                    .signal
                    .iter()
                    .filter(|(name, _)| policy.signals.iter().any(|signal| signal.name == *name))
                    .cloned()
                    .collect();
                let other = map(&Policy { seed: self.seed, ..policy }, &chosen, sensor)
                    .map_err(|fault| format!("{with}: {fault}"))?;
                let name = object.metadata.name.unwrap_or_else(|| with.to_owned());
                (name, boxed(PolicyScaler::new(&other)))
            }
        })
    }
}

/// Pods that carry this much at full utilization.
fn demand_at_peak(settings: &Settings, peak: f64) -> u32 {
    Service::new(settings.service).demand(peak)
}
