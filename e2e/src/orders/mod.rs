//! `orders-db`: three services on one real PostgreSQL, once with an HPA's rules and once with Plimsoll, through growth, a
//! rollout with surge, contention, a killed leader, a killed pod and a limit that is lowered.
//!
//! Both sides run at the same time on one real Kubernetes API server, each with a database of its own, and get the same
//! queries at the same moments. Their pods are processes that hold real connections.

pub mod baseline;
pub mod chart;
pub mod fleet;
pub mod limits;
pub mod operators;
pub mod pod;
pub mod program;
pub mod report;
pub mod sample;
pub mod sampling;
pub mod services;
pub mod side;
pub mod tally;
pub mod timetable;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::bed::operator_rights;
use crate::real::cluster::SetupError;
use crate::real::{
    Cluster, ClusterOptions, Exporter, Kubelet, Prometheus, PrometheusOptions, StartError, Target,
};
use baseline::Baseline;
use fleet::{Dispatch, Fleet, FleetOptions, PodTimes};
use limits::{Declaration, Limit};
use operators::{OWN_NAMESPACE, Operators, USERS};
use report::{Happened, Outcome, SideOutcome};
use services::{ARRIVALS, SERVICES, Service};
use side::{Base, Side};
use timetable::{Event, Timetable};

/// The sides' namespaces.
pub const BASELINE: &str = "hpa";
/// The operator's.
pub const PLIMSOLL: &str = "plimsoll";
/// How often arriving queries are handed out.
const ARRIVAL_INTERVAL: Duration = Duration::from_millis(50);

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the course lasts.
    pub duration: Duration,
    /// How the operator is told what the database gives.
    pub declaration: Declaration,
    /// The program that runs in pods.
    pub pod: PathBuf,
    /// The operator's program.
    pub operator: PathBuf,
    /// Where the operators record what they see and decide, if anywhere.
    pub record: Option<PathBuf>,
}

/// Why a run did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// A server could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The API server could not be prepared.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The API server refused.
    #[error(transparent)]
    Kubernetes(Box<kube::Error>),
    /// The database refused.
    #[error("PostgreSQL: {0}")]
    Database(#[from] tokio_postgres::Error),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl OrdersError {
    pub(crate) fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<kube::Error> for OrdersError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

/// Runs the course once on both sides, and says what happens as it does.
pub async fn run(options: &Options) -> Result<Outcome, OrdersError> {
    let timetable = Timetable::new(options.duration);
    let mut bed = Bed::start(options).await?;
    let beginning = Instant::now();
    let load = tokio::spawn(arrive(Arc::clone(&bed.fleet), Arc::clone(&bed.exporter), timetable.clone()));
    let load = Stopping(load);
    let sampling =
        bed.sides.each_ref().map(|side| sample::start(Arc::clone(side), Arc::clone(&bed.fleet), beginning));
    let mut happened = Vec::new();
    for (moment, event) in timetable.events() {
        sleep_until(beginning + moment).await;
        let words = bed.cause(event, options.declaration).await?;
        println!("{:5.1} s  {words}", moment.as_secs_f64());
        happened.push(Happened { seconds: moment.as_secs_f64(), label: event.label(), words });
    }
    sleep_until(beginning + timetable.duration()).await;
    drop(load);
    let mut sides = Vec::new();
    for (side, sampling) in bed.sides.iter().zip(sampling) {
        let samples = sampling.end().await?;
        sides.push(SideOutcome::new(side.namespace(), bed.fleet.tallies(side.namespace()), samples));
    }
    let successor = bed.operators.leader().await.unwrap_or_else(|| "none".to_owned());
    println!("{:5.1} s  the end; {successor} leads", timetable.duration().as_secs_f64());
    let outcome = Outcome::new(timetable.duration(), options.declaration, sides, happened);
    if !outcome.faults().is_empty() {
        println!("The operator said last:\n{}", bed.operators.log_tail());
    }
    Ok(outcome)
}

struct Stopping(JoinHandle<()>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Everything that a run needs; in the order in which it ends.
struct Bed {
    operators: Operators,
    _baseline: Baseline,
    _kubelet: Kubelet,
    _listening: fleet::Listening,
    fleet: Arc<Fleet>,
    sides: [Arc<Side>; 2],
    _prometheus: Prometheus,
    exporter: Arc<Exporter>,
    _cluster: Cluster,
}

impl Bed {
    async fn start(options: &Options) -> Result<Self, OrdersError> {
        let users = USERS.map(str::to_owned).to_vec();
        let cluster = ClusterOptions { users, ..ClusterOptions::default() };
        let (cluster, baseline, plimsoll) =
            tokio::try_join!(start_cluster(cluster), Base::start(), Base::start())?;
        let databases = [(BASELINE, &baseline), (PLIMSOLL, &plimsoll)];
        let databases: BTreeMap<String, String> =
            databases.map(|(name, base)| (name.to_owned(), base.connection_string())).into();
        let exporter = Exporter::start().map_err(StartError::io("cannot start an exporter"))?;
        let prometheus = PrometheusOptions {
            targets: vec![
                Target::new("services", exporter.address()),
                baseline.target(BASELINE),
                plimsoll.target(PLIMSOLL),
            ],
            scrape_interval: Duration::from_secs(timetable::SCRAPE_SECONDS.into()),
            ..PrometheusOptions::default()
        };
        let prometheus = Prometheus::start_with(prometheus).await?;
        let (fleet, listening) = Fleet::start(FleetOptions {
            program: options.pod.clone(),
            times: POD_TIMES,
            services: SERVICES.iter().map(Service::pods).collect(),
            databases,
            dispatch: Dispatch::InTurn,
        })?;
        prepare(&cluster, &[BASELINE, PLIMSOLL]).await?;
        let nodes = cluster.client_as("fake-kubelet").await.map_err(OrdersError::other)?;
        let kubelet = Kubelet::start_with(nodes, Arc::<Fleet>::clone(&fleet)).await?;
        let admin = cluster.client().await.map_err(OrdersError::other)?;
        let sides = [
            Arc::new(baseline.populate(BASELINE, admin.clone()).await?),
            Arc::new(plimsoll.populate(PLIMSOLL, admin.clone()).await?),
        ];
        let exporter = Arc::new(exporter);
        for service in SERVICES {
            exporter.counter(ARRIVALS, &[("service", service.name)], 0.0);
        }
        for side in &sides {
            side.wait_until_ready().await?;
        }
        options.declaration.create(&admin, PLIMSOLL).await?;
        let known = SERVICES.last().map(Service::query).unwrap_or_default();
        prometheus.wait_for(&known, |values| !values.is_empty()).await.map_err(OrdersError::other)?;
        let record = options.record.as_deref();
        let operators = Operators::start(&options.operator, &cluster, &prometheus, record).await?;
        let [hpa, _] = &sides;
        let policies = SERVICES.map(|service| service.policy());
        let baseline = Baseline::start(hpa.client(), hpa.namespace(), &policies, &prometheus)?;
        println!(
            "API server {}, two databases of {} connections, {}; three services of {} and more pods",
            cluster.version(),
            limits::DATABASE.max_connections,
            options.declaration.label(),
            services::MIN_REPLICAS,
        );
        Ok(Self {
            operators,
            _baseline: baseline,
            _kubelet: kubelet,
            _listening: listening,
            fleet,
            sides,
            _prometheus: prometheus,
            exporter,
            _cluster: cluster,
        })
    }

    /// Lets something happen on both sides, and says it in words.
    async fn cause(&mut self, event: Event, declaration: Declaration) -> Result<String, OrdersError> {
        let [_, plimsoll] = &self.sides;
        Ok(match event {
            Event::Rollout => {
                for side in &self.sides {
                    side.roll_out().await?;
                }
                "a new version of all services is rolled out, with 25 % surge".to_owned()
            }
            Event::LeaderKilled => {
                let leader = self.operators.kill_leader().await?;
                format!("{leader}, which leads, is killed; the other waits for the lease to end")
            }
            Event::PodCrashes(service) => {
                for side in &self.sides {
                    if !self.fleet.crash(side.namespace(), service) {
                        println!("         no pod of {service} is ready in {}", side.namespace());
                    }
                }
                format!("a pod of {service} crashes and is started again")
            }
            Event::PodDeleted(service) => {
                for side in &self.sides {
                    side.delete_pod(service).await?;
                }
                format!("a pod of {service} is deleted; its successor starts while it drains")
            }
            Event::LimitDeclared => {
                declaration.declare(&plimsoll.client(), PLIMSOLL, Limit::Lowered).await?;
                let (before, after) = (Limit::Full.connections(), Limit::Lowered.connections());
                format!("{after} connections instead of {before} are declared for the services")
            }
            Event::LimitEnforced => {
                for side in &self.sides {
                    side.enforce(Limit::Lowered).await?;
                }
                "the databases refuse what is beyond that".to_owned()
            }
        })
    }
}

pub(crate) async fn start_cluster(options: ClusterOptions) -> Result<Cluster, OrdersError> {
    Ok(Cluster::start_with(options).await?)
}

/// Pods drain for longer than they start, so that a rollout has more than one batch draining at a time. Kubernetes tells
/// both in whole seconds, which must not be all that there is.
const POD_TIMES: PodTimes = PodTimes {
    start_up: Duration::from_secs(4),
    drain: Duration::from_secs(5),
    patience: Duration::from_secs(3),
    cancel_late: false,
};

/// Installs the operator's kinds, the namespaces and the operators' rights.
pub(crate) async fn prepare(cluster: &Cluster, namespaces: &[&str]) -> Result<(), OrdersError> {
    for definition in plimsoll::api::definitions() {
        cluster.install(&definition).await?;
    }
    for namespace in namespaces.iter().chain([&OWN_NAMESPACE]) {
        cluster.namespace(namespace).await?;
    }
    for user in USERS {
        let rights = operator_rights().map_err(OrdersError::other)?;
        let rules = rights.into_iter().map(|right| PolicyRule {
            api_groups: Some(right.api_groups),
            resources: Some(right.resources),
            verbs: right.verbs,
            ..PolicyRule::default()
        });
        cluster.grant(user, rules.collect()).await?;
    }
    Ok(())
}

/// Hands arriving queries to both sides, and counts them for the autoscalers of both.
async fn arrive(fleet: Arc<Fleet>, exporter: Arc<Exporter>, timetable: Timetable) {
    let mut ticks = interval(ARRIVAL_INTERVAL);
    // After a pause of the machine, what should have arrived arrives late and not at all at once.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let beginning = Instant::now();
    let (mut before, mut due) = (beginning, [0.0_f64; 3]);
    loop {
        let now = ticks.tick().await.max(before);
        let load = timetable.load(now.duration_since(beginning));
        let passed = now.duration_since(before).as_secs_f64();
        before = now;
        for ((service, replicas), due) in SERVICES.iter().zip(load).zip(&mut due) {
            *due += replicas * service.target * passed;
            while *due >= 1.0 {
                *due -= 1.0;
                exporter.add(ARRIVALS, &[("service", service.name)], 1.0);
                for side in [BASELINE, PLIMSOLL] {
                    fleet.ask(side, service.name);
                }
            }
        }
    }
}
