//! `hot-row`: a service whose pods all write one row of a real PostgreSQL, so that beyond a few pods each more makes all of
//! them slower; scaled with an HPA's rules and with Plimsoll under more load than any size carries.
//!
//! Both sides run at the same time on one real Kubernetes API server, each with a database of its own, and get the same
//! requests at the same moments. First both are swept through fixed sizes, which shows the best there is.

pub mod chart;
pub mod course;
pub mod load;
pub mod meter;
pub mod report;
pub mod sample;
pub mod shop;
pub mod side;
pub mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::orders::baseline::Baseline;
use crate::orders::fleet::{Counts, Dispatch, Fleet, FleetOptions, Listening, PodTimes};
use crate::orders::limits::{create, policies};
use crate::orders::operators::Operators;
use crate::orders::{BASELINE, OrdersError, PLIMSOLL, prepare, start_cluster};
use crate::real::program::Program;
use crate::real::{
    Cluster, ClusterOptions, Exporter, Kubelet, Postgres, Prometheus, PrometheusOptions, StartError, Target,
    kubectl,
};
use course::{Course, TOO_MUCH};
use load::Load;
use meter::{Metering, percentile};
use report::{Outcome, SideOutcome};
use shop::{Ceiling, MIN_REPLICAS, SERVICE};
use side::Side;
use sweep::{Row, SweepOptions};

/// How often the load is set.
const LOAD_INTERVAL: Duration = Duration::from_millis(200);
/// The share of the course after which the policy is described: while there is too much.
const DESCRIBED_AFTER: f64 = 0.6;
/// How long after the sweep its last windows may take to be read: some are told half a minute later.
const READING: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// Somebody waits 3 s for an answer.
const POD_TIMES: PodTimes = PodTimes {
    start_up: Duration::from_secs(1),
    drain: Duration::from_millis(200),
    patience: Duration::from_secs(3),
    cancel_late: true,
};

/// How a run goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The fixed sizes.
    pub sweep: SweepOptions,
    /// How long the autoscalers' course lasts.
    pub duration: Duration,
    /// Where the ceiling's law comes from.
    pub ceiling: Ceiling,
    /// Decides when requests arrive.
    pub seed: u64,
    /// The program that runs in pods.
    pub pod: PathBuf,
    /// The operator's program.
    pub operator: PathBuf,
    /// Where the operators record what they see and decide, if anywhere.
    pub record: Option<PathBuf>,
}

/// Runs the sweep and the course once on both sides, and says what happens as it does.
pub async fn run(options: &Options) -> Result<Outcome, OrdersError> {
    let bed = Bed::start(options).await?;
    println!(
        "API server {}, two databases; {}; seed {}",
        bed.cluster.version(),
        options.ceiling.label(),
        options.seed
    );
    let load = Load::start(Arc::clone(&bed.fleet), [BASELINE, PLIMSOLL], options.seed);
    let record = options.record.as_deref();
    let operators = Operators::start(&options.operator, &bed.cluster, &bed.prometheus, record).await?;
    if options.ceiling == Ceiling::Fitted {
        // It looks on, as beside another autoscaler.
        bed.declare(shop::plimsoll_policy(PLIMSOLL, "DryRun", &shop::fitted(PLIMSOLL))).await?;
    }
    let rows = bed.sweep(&load, &options.sweep).await?;
    let fit = sweep::law(&rows).map_err(OrdersError::other)?;
    let best = sweep::best(&rows).map_or(0.0, Row::mean);
    let course = Course { duration: options.duration, best };
    load.set(course.load(Duration::ZERO));
    bed.scale(MIN_REPLICAS).await?;
    match options.ceiling {
        Ceiling::Declared => {
            let ceiling = shop::declared(&fit.law);
            bed.declare(shop::plimsoll_policy(PLIMSOLL, "Active", &ceiling)).await?;
        }
        Ceiling::Fitted => {
            bed.wait_for_windows().await?;
            bed.activate().await?;
        }
    }
    let [hpa, _] = &bed.sides;
    let baseline = Baseline::start(hpa.client(), BASELINE, &[shop::hpa_policy(BASELINE)], &bed.prometheus)?;
    let (sides, described) = bed.drive(&load, &course).await?;
    drop(baseline);
    let mut outcome = Outcome::new(&course, options.ceiling, rows, &fit, sides);
    outcome.described = described;
    if !outcome.faults(0.0).is_empty() {
        println!("The operator said last:\n{}", operators.log_tail());
    }
    Ok(outcome)
}

/// Everything that a run needs; in the order in which it ends.
struct Bed {
    _kubelet: Kubelet,
    _metering: Metering,
    _listening: Listening,
    fleet: Arc<Fleet>,
    sides: [Side; 2],
    prometheus: Prometheus,
    _databases: [Postgres; 2],
    cluster: Cluster,
}

impl Bed {
    async fn start(options: &Options) -> Result<Self, OrdersError> {
        let users = crate::orders::operators::USERS.map(str::to_owned).to_vec();
        let cluster = ClusterOptions { users, ..ClusterOptions::default() };
        let (cluster, baseline, plimsoll) =
            tokio::try_join!(start_cluster(cluster), side::database(), side::database())?;
        let databases = [(BASELINE, &baseline), (PLIMSOLL, &plimsoll)];
        let databases: BTreeMap<String, String> =
            databases.map(|(name, base)| (name.to_owned(), side::connection_string(base))).into();
        let exporter = Arc::new(Exporter::start().map_err(StartError::io("cannot start an exporter"))?);
        let prometheus = Prometheus::start_with(PrometheusOptions {
            targets: vec![Target::new("checkout", exporter.address())],
            scrape_interval: SCRAPE_INTERVAL,
            ..PrometheusOptions::default()
        })
        .await?;
        let (fleet, listening) = Fleet::start(FleetOptions {
            program: options.pod.clone(),
            times: POD_TIMES,
            services: vec![shop::pods()],
            databases,
            dispatch: Dispatch::LeastLoaded { most: shop::MOST_AT_A_POD },
        })?;
        prepare(&cluster, &[BASELINE, PLIMSOLL]).await?;
        let nodes = cluster.client_as("fake-kubelet").await.map_err(OrdersError::other)?;
        let kubelet = Kubelet::start_with(nodes, Arc::<Fleet>::clone(&fleet)).await?;
        let admin = cluster.client().await.map_err(OrdersError::other)?;
        let sides = [Side::populate(BASELINE, admin.clone()).await?, Side::populate(PLIMSOLL, admin).await?];
        let metering = Metering::start(Arc::clone(&fleet), exporter, [BASELINE, PLIMSOLL]);
        Ok(Self {
            _kubelet: kubelet,
            _metering: metering,
            _listening: listening,
            fleet,
            sides,
            prometheus,
            _databases: [baseline, plimsoll],
            cluster,
        })
    }

    /// Scales both sides by hand, and waits until that is done.
    async fn scale(&self, count: u32) -> Result<(), OrdersError> {
        for side in &self.sides {
            side.scale(count).await?;
        }
        for side in &self.sides {
            side.settles_at(&self.fleet, count).await?;
        }
        Ok(())
    }

    /// Measures both sides at fixed sizes.
    async fn sweep(&self, load: &Load, options: &SweepOptions) -> Result<Vec<Row>, OrdersError> {
        let mut rows = Vec::new();
        for size in &options.sizes {
            self.scale(*size).await?;
            load.set(TOO_MUCH);
            sleep(options.settle).await;
            let row = self.measure(*size, options.measure).await;
            let [one, other] = row.throughput;
            println!("{size:3} pods: {one:.1} and {other:.1} requests a second");
            rows.push(row);
        }
        Ok(rows)
    }

    async fn measure(&self, size: u32, time: Duration) -> Row {
        let (began, before) = (Instant::now(), self.counts());
        sleep(time).await;
        let seconds = began.elapsed().as_secs_f64();
        let mut row = Row { size, throughput: [0.0; 2], p95_seconds: [None; 2] };
        let cells = row.throughput.iter_mut().zip(&mut row.p95_seconds);
        for (((throughput, p95), side), before) in cells.zip(&self.sides).zip(&before) {
            let (after, ended) = self.fleet.ended_since(side.namespace(), SERVICE, before);
            *throughput = crate::orders::tally::real(after.done - before.done) / seconds;
            *p95 = percentile(ended.iter().map(Duration::as_secs_f64).collect(), 95.0);
        }
        row
    }

    fn counts(&self) -> [Counts; 2] {
        self.sides.each_ref().map(|side| self.fleet.counts_of(side.namespace(), SERVICE))
    }

    /// Creates Plimsoll's policy.
    async fn declare(&self, policy: Value) -> Result<(), OrdersError> {
        create(self.policies(), policy).await
    }

    /// Lets Plimsoll scale what it has looked at so far.
    async fn activate(&self) -> Result<(), OrdersError> {
        let patch = Patch::Merge(json!({"spec": {"mode": "Active"}}));
        self.policies().patch(SERVICE, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Waits until the windows of the sweep were read, and says what they came to.
    async fn wait_for_windows(&self) -> Result<(), OrdersError> {
        let deadline = Instant::now() + READING;
        loop {
            let policy = self.policies().get(SERVICE).await?;
            let (ceiling, reason) = sample::ceiling(&policy);
            if ceiling.is_some() || Instant::now() > deadline {
                println!("Plimsoll's ceiling: {}", reason.unwrap_or_else(|| "none is told".to_owned()));
                return Ok(());
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    fn policies(&self) -> Api<DynamicObject> {
        let [_, plimsoll] = &self.sides;
        policies(&plimsoll.client(), PLIMSOLL)
    }

    /// Lets the course pass, and returns what the sides came to and what `kubectl` showed.
    async fn drive(
        &self,
        load: &Load,
        course: &Course,
    ) -> Result<(Vec<SideOutcome>, Option<String>), OrdersError> {
        let beginning = Instant::now();
        let samplings =
            self.sides.each_ref().map(|side| sample::start(side.clone(), Arc::clone(&self.fleet), beginning));
        let mut ticks = interval(LOAD_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut described = None;
        while beginning.elapsed() < course.duration {
            ticks.tick().await;
            load.set(course.load(beginning.elapsed()));
            if described.is_none() && beginning.elapsed() > course.duration.mul_f64(DESCRIBED_AFTER) {
                described = Some(self.describe().await?);
            }
        }
        let mut sides = Vec::new();
        for (side, sampling) in self.sides.iter().zip(samplings) {
            sides.push(SideOutcome::new(side.namespace(), course, sampling.end().await?));
        }
        Ok((sides, described.flatten()))
    }

    /// What `kubectl` shows of the policy; none where there is no `kubectl`.
    async fn describe(&self) -> Result<Option<String>, OrdersError> {
        let Ok(program) = Program::Kubectl.find() else { return Ok(None) };
        let kubeconfig = self.cluster.kubeconfig_path("admin").map_err(OrdersError::other)?;
        let mut text = String::new();
        for arguments in [vec!["get", "sp", "-n", PLIMSOLL], vec!["describe", "sp", SERVICE, "-n", PLIMSOLL]]
        {
            text += &kubectl::print(&program, kubeconfig, &arguments).await.map_err(OrdersError::other)?;
            text += "\n\n";
        }
        Ok(Some(text.trim_end().to_owned() + "\n"))
    }
}
