//! The demo: a day at a shop in two minutes. The real operator scales a simulated service on the API server double,
//! by a real Prometheus where there is one, and a person watches.

pub mod cluster;
pub mod database;
pub mod ledger;
pub mod lines;
pub mod operator;
pub mod query;
pub mod screen;
pub mod service;
pub mod stage;
pub mod story;
pub mod world;

mod source;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::api::ScalingPolicy;
use plimsoll::control::Policy;
use plimsoll::operator::Clock;
use plimsoll::prometheus::{Config, Evaluation, Servers};
use plimsoll::signal::Answer;
use plimsoll::time::Span;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::apiserver::Failure;
use crate::real::StartError;
use cluster::Cluster;
use ledger::Ledger;
use lines::Lines;
use operator::{Operator, Shadow};
use screen::Screen;
use source::Source;
use stage::Stage;
use story::Story;
use world::World;

/// The world moves on this often.
const STEP: Duration = Duration::from_millis(100);
/// The live view is drawn at every so many steps.
const DRAW_EVERY: u32 = 2;
/// The day begins when everything runs, which must not take longer than this.
const PATIENCE: Duration = Duration::from_secs(30);
/// The demo's own policy.
pub const POLICY: &str = include_str!("../../../examples/demo/policy.yaml");

/// How a demo runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the day is.
    pub duration: Duration,
    /// The policy in YAML; a ScalingPolicy called checkout in namespace shop.
    pub policy: String,
    /// One line for each change instead of the live view.
    pub plain: bool,
    /// The test bed's own query endpoint, even where there is a Prometheus.
    pub without_prometheus: bool,
    /// Where the operator's log goes, the kubeconfig and the recording lie.
    pub directory: PathBuf,
}

/// How a demo ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything held.
    Held,
    /// Something did not.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

/// Why a demo cannot run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The machine refused a file, a port or a process.
    #[error("the machine refused: {0}")]
    Machine(io::Error),
    /// The policy is not one that the demo can run.
    #[error("the policy is refused: {0}")]
    Policy(String),
    /// The API server double refused what the demo asked of it.
    #[error("the API server refused the demo's set-up: {0:?}")]
    ApiServer(Failure),
    /// Prometheus is installed and does not start.
    #[error("Prometheus does not start: {0}")]
    Prometheus(#[from] StartError),
    /// A defect.
    #[error("the demo is broken: {0}")]
    Own(String),
}

impl From<Failure> for DemoError {
    fn from(failure: Failure) -> Self {
        Self::ApiServer(failure)
    }
}

/// Runs a demo until the day is over or `stop` is cancelled, and prints to stdout.
pub async fn run(options: Options, stop: CancellationToken) -> Result<Ending, DemoError> {
    crate::real::choose_tls_provider();
    let Declared { document, policy, question } = Declared::read(&options.policy)?;
    let story = Story::new(options.duration);
    let cluster = Cluster::start(&options.directory, &document, story.pod_times()).await?;
    let mut world = World::new(story.clone(), &cluster)?;
    let source = Source::start(world.exporter().address(), options.without_prometheus).await?;
    let mut stage = Stage::new(story.duration(), cluster.kubeconfig(), source.name(), &policy);
    let mut ledger = Ledger::new(world.ceiling(), story.reaction());
    let mut hpa = Shadow::new(&policy, cluster.asked());
    stage.introduce().iter().for_each(|line| println!("{line}"));

    let mut operator = tokio::select! {
        () = stop.cancelled() => return Ok(Ending::Stopped),
        operator = begin(&source, &question, &mut world, &cluster, &options) => operator?,
    };
    let mut view = View::open(options.plain, &stop)?;
    let mut ticks = interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (beginning, mut count) = (Instant::now(), 0_u32);
    let ending = loop {
        tokio::select! {
            () = stop.cancelled() => break Ending::Stopped,
            _ = ticks.tick() => {}
        }
        let scene = world.advance(beginning.elapsed(), &cluster);
        for record in operator.news()? {
            hpa.follow(&record);
            ledger.evaluated(&record);
            stage.evaluated(&record);
        }
        ledger.enter(&scene, hpa.replicas());
        stage.show(&scene, hpa.replicas(), cluster.events());
        view.show(&stage, count)?;
        count = count.wrapping_add(1);
        if scene.now >= story.duration() {
            let held = ledger.verdicts().iter().all(|verdict| verdict.holds);
            break if held { Ending::Held } else { Ending::Failed };
        }
    };
    drop(view);
    operator.stop().await;
    conclude(&ledger, ending, &source);
    Ok(ending)
}

/// Starts the operator once there is something for it to see, and waits until it has seen it. The world stands still
/// at its beginning.
async fn begin(
    source: &Source,
    question: &Evaluation,
    world: &mut World,
    cluster: &Cluster,
    options: &Options,
) -> Result<Operator, DemoError> {
    let own = |error: &str| DemoError::Own(error.to_owned());
    let servers = Servers::new(Config::single(&source.url())).map_err(|error| own(&error.to_string()))?;
    let servers = Arc::new(servers);
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = interval(STEP);
    let mut asked = None;
    while Instant::now() < deadline {
        ticks.tick().await;
        world.stand_still(STEP, cluster);
        if !cluster.is_settled() {
            continue;
        }
        let now = Clock::wall().now();
        let question = Evaluation { newer_than: asked.replace(now), ..question.clone() };
        let reading = servers.evaluate("main", cluster::NAMESPACE, &question, now).await;
        if matches!(reading.answer, Answer::Value(value) if value > 0.0) {
            break;
        }
    }
    let mut operator = Operator::start(cluster, servers, &options.directory).await?;
    while Instant::now() < deadline {
        ticks.tick().await;
        world.stand_still(STEP, cluster);
        if operator.news()?.iter().any(|record| operator::is_sighted(&record.decision)) {
            return Ok(operator);
        }
    }
    Err(own("the policy's metrics yield no values"))
}

/// What the policy's author declared.
struct Declared {
    document: Value,
    policy: Policy,
    /// The first metric's query.
    question: Evaluation,
}

impl Declared {
    fn read(text: &str) -> Result<Self, DemoError> {
        let refused = |error: &dyn std::fmt::Display| DemoError::Policy(error.to_string());
        let document: Value = serde_saphyr::from_str(text).map_err(|error| refused(&error))?;
        let declared: ScalingPolicy =
            serde_json::from_value(document.clone()).map_err(|error| refused(&error))?;
        let here = (Some(cluster::NAME.to_owned()), Some(cluster::NAMESPACE.to_owned()));
        if (declared.metadata.name, declared.metadata.namespace) != here {
            return Err(refused(&"it must be called checkout and be in namespace shop"));
        }
        let policy = Policy::compile(&declared.spec).map_err(|error| refused(&error))?;
        let query = declared.spec.metrics.first().map(|metric| metric.prometheus.query.clone());
        let question = Evaluation {
            query: query.unwrap_or_default(),
            freshness_query: None,
            max_age: Span::ZERO,
            coverage: false,
            ask_age: false,
            newer_than: None,
        };
        Ok(Self { document, policy, question })
    }
}

fn conclude(ledger: &Ledger, ending: Ending, source: &Source) {
    let heading = match ending {
        Ending::Held => "The day is over, and everything held.",
        Ending::Failed => "The day is over, and not everything held.",
        Ending::Stopped => "Stopped before the day was over; until then:",
    };
    println!("\n{heading}\n\n{ledger}  signals      from {}\n", source.name());
    if ending != Ending::Stopped {
        ledger.verdicts().iter().for_each(|verdict| println!("{verdict}"));
    }
}

enum View {
    Live(Screen),
    Plain(Lines),
}

impl View {
    fn open(plain: bool, stop: &CancellationToken) -> Result<Self, DemoError> {
        if plain {
            return Ok(Self::Plain(Lines::default()));
        }
        Ok(Self::Live(Screen::open(stop.clone())?))
    }

    fn show(&mut self, stage: &Stage, count: u32) -> Result<(), DemoError> {
        match self {
            Self::Live(screen) if count.is_multiple_of(DRAW_EVERY) => screen.draw(stage)?,
            Self::Live(_) => {}
            Self::Plain(lines) => lines.show(stage)?,
        }
        Ok(())
    }
}
