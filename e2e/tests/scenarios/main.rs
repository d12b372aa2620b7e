//! What the operator does to a workload, as the whole course of its replicas, on the double and on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod demand;

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, BedError, Floor};
use e2e::real::{StartError, Suite};

/// The users whose role lacks something.
const RESTRICTED: [&str; 2] = ["without-scale-patch", "without-pod-watch"];

/// How long one scenario may take: many times what it takes on a machine that is not busy.
const DEADLINE: Duration = Duration::from_mins(4);

/// Scenarios that run side by side.
const AT_ONCE: usize = 12;

async fn every_scenario(floor: Floor) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let bed = match Bed::start(floor, &RESTRICTED).await {
        Ok(bed) => bed,
        Err(BedError::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            return;
        }
        Err(error) => panic!("no bed: {error}"),
    };
    println!("scenarios on {}", bed.name());
    let mut suite = Suite::new(AT_ONCE, DEADLINE);
    macro_rules! add {
        ($name:literal, $scenario:path) => {
            suite = suite.scenario($name, $scenario(Arc::clone(&bed)));
        };
    }
    add!("a ramp is followed up at once and down after the window, to the exact count", demand::ramp);
    add!("a spike shorter than the window adds pods and removes none", demand::spike);
    suite.run().await.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_holds_on_the_double() {
    every_scenario(Floor::Double).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_holds_on_real_servers() {
    every_scenario(Floor::Real).await;
}
