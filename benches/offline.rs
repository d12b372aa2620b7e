//! What a simulation and its report cost: a day of evaluations every 15 s, and the page made of it.

#![allow(clippy::expect_used, reason = "a bench may fail loudly")]

use std::hint::black_box;

use criterion::Criterion;
use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::Policy;
use plimsoll::report::Report;
use plimsoll::simulate::{
    Database, Days, Load, Overload, PlantSettings, PolicyScaler, Run, Scaler, SensorSettings,
    ServiceSettings, Settings, generate, map, simulate,
};
use plimsoll::time::Span;

const POLICY: &str = "
scaleTargetRef: {name: checkout}
minReplicas: 2
maxReplicas: 60
metrics:
- {name: rps, prometheus: {query: 'sum(rate(requests_total[1m]))'}, target: {type: AverageValue, averageValue: 90}}
- {name: p99, role: SafetyNet, prometheus: {query: 'p99'}, target: {type: Value, value: 300m}}
ceilings:
  connections: [{name: orders-db, inline: {maxConnections: 1500, reserved: 15}, perPod: 20}]
";
/// A day that never repeats: every evaluation reads another value.
const DAY: &str = "sine:low=300,high=4000,noise=5%,length=24h";

struct World {
    load: Load,
    settings: Settings,
    scaler: Scaler,
    hpa: Scaler,
}

impl World {
    fn new() -> Self {
        let spec: ScalingPolicySpec = serde_saphyr::from_str(POLICY).expect("the policy is valid");
        let policy = Policy::compile(&spec).expect("the policy is valid");
        let sensor = SensorSettings::default();
        let simulable = map(&policy, &[], &sensor).expect("the metrics can be simulated");
        let capacity = 112.5;
        let settings = Settings {
            plant: PlantSettings { capacity_per_pod: capacity, ..PlantSettings::default() },
            service: ServiceSettings {
                capacity_per_pod: capacity,
                scalability: None,
                service_time: 0.05,
                overload: Overload::Dropped,
                late_after: 1.0,
            },
            sensor,
            database: Some(Database { connections: 1485, per_pod: 20 }),
            shares: Vec::new(),
            latency_objective: Some(0.4),
            days: Days::All,
            initial_replicas: None,
            step: Span::from_seconds(1),
            record: false,
        };
        Self {
            load: generate(DAY, 1).expect("the load is valid"),
            settings,
            scaler: Scaler::Policy(Box::new(PolicyScaler::new(&simulable))),
            hpa: Scaler::Policy(Box::new(PolicyScaler::hpa(&simulable))),
        }
    }

    fn run(&self, name: &str, record: bool, scaler: &Scaler) -> Run {
        let settings = Settings { record, ..self.settings.clone() };
        simulate(name, &settings, &self.load, scaler)
    }

    /// The policy beside an HPA and an oracle.
    fn page(&self) -> String {
        let oracle = Scaler::Oracle { min: 2, max: 60 };
        let runs = [("checkout", &self.scaler), ("HPA v2", &self.hpa), ("oracle", &oracle)]
            .map(|(name, scaler)| self.run(name, true, scaler));
        let report = Report {
            title: "checkout".to_owned(),
            load: DAY.to_owned(),
            assumptions: Vec::new(),
            connections: Some((1485, 20)),
            latency_objective: Some(0.4),
            figures: Vec::new(),
            runs: &runs,
        };
        report.html()
    }
}

fn main() {
    let world = World::new();
    let run = world.run("checkout", false, &world.scaler);
    assert!(run.evaluations >= 5760, "a day has 5760 evaluations every 15 s, not {}", run.evaluations);
    println!("a day: {} evaluations, {} changes", run.evaluations, run.figures.scale_actions);
    println!("its page, beside an HPA and an oracle: {} KiB", world.page().len() / 1024);
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    criterion.bench_function("simulate/day", |bench| {
        bench.iter(|| world.run("checkout", false, black_box(&world.scaler)));
    });
    criterion.bench_function("report/day_of_three_courses", |bench| bench.iter(|| world.page()));
    criterion.final_summary();
}
