//! What the operator does to a workload, as the whole course of its replicas, on the double and on real servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod admission;
mod ceilings;
mod demand;
mod faults;
mod guards;
mod inspect;
mod outage;
mod people;
mod restart;
mod rivals;
mod rollouts;
mod scalability;
mod slo;
mod steady;

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, BedError, Floor};
use e2e::real::{StartError, Suite};

/// The users whose role lacks something.
const RESTRICTED: [&str; 2] = ["without-scale-patch", "without-pod-watch"];

/// How long one scenario may take: many times what it takes on a machine that is not busy.
const DEADLINE: Duration = Duration::from_mins(4);

/// Scenarios that run side by side.
const AT_ONCE: usize = 16;

async fn every_scenario(floor: Floor) {
    if std::env::var_os("RUST_LOG").is_some() {
        // The other floor's test may have done so in the same process.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
    }
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
    // The longest first.
    add!("noise of three percent writes nothing", steady::noise);
    add!("a ramp is followed up at once and down after the window, to the exact count", demand::ramp);
    add!("a spike shorter than the window adds pods and removes none", demand::spike);
    add!("while Prometheus is stopped the count never moves", outage::stopped);
    add!("while Prometheus hangs the count never moves", outage::hung);
    add!("an empty result moves nothing", outage::empty);
    add!("NaN moves nothing", outage::not_a_number);
    add!("a negative value moves nothing", outage::negative);
    add!("an absurd value moves nothing", outage::absurd);
    add!("an exact zero while pods serve moves nothing", outage::zero);
    add!("a rollout with surge under constant load leaves the count alone", rollouts::surge);
    add!("a lull during a rollout waits for its end", rollouts::lull);
    add!("growth ends at a connection ceiling, and a lowered one is walked down to", ceilings::walked_down);
    add!("a lowered hard ceiling is cut to at once", ceilings::cut);
    add!("no ceiling cuts below minReplicas or lets it grow", ceilings::infeasible);
    add!("an observed ceiling only reports", ceilings::observed);
    add!("growth ends at the scalability ceiling", ceilings::scalability);
    add!("a scalability ceiling is learnt from the past", scalability::learnt_from_the_past);
    add!("what an objective burnt is told by Prometheus, for each window", slo::burnt_in_each_window);
    add!(
        "growth under a guard is held and named, over a crash too, and goes on when the guard ends",
        guards::held
    );
    add!("a guard that may not hold for longer lets the count grow a step at a time", guards::expired);
    add!("a frozen count stays until the freeze ends", people::frozen);
    add!("a dry run publishes and writes nothing", people::dry_run);
    add!("a paused direction is not taken", people::paused);
    add!("an emergency cap cuts at once, below minReplicas too, and ends by itself", people::emergency);
    add!("a count set by a person is corrected as demand allows", rivals::person);
    add!("replicas 0 set by somebody is left alone", rivals::zero);
    add!("a write with an old version is dropped and decided anew", rivals::conflict);
    add!("beside a HorizontalPodAutoscaler nothing is written", rivals::autoscaler);
    add!("of two policies on one workload the older acts", rivals::second_policy);
    add!("a restart neither delays nor hastens a removal", restart::stopped);
    add!("a crash neither delays nor hastens a removal", restart::killed);
    add!("a person who asks is told why, and what would be decided otherwise", inspect::told);
    add!("every rule of the schema is told in its own words", admission::every_rule);
    add!("a query that cannot be used is told in words and moves nothing", faults::queries);
    add!("a target that is not there or cannot be scaled is told in words", faults::targets);
    add!("an operator that may not scale says which verb it lacks", faults::scale_forbidden);
    add!(
        "an operator that may not watch does not start and says which verb it lacks",
        faults::watch_forbidden
    );
    add!("a certificate that nobody signed is told in words and moves nothing", faults::certificate);
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
