//! `hot-row` in its short form.

use std::path::PathBuf;
use std::time::Duration;

use e2e::hot_row::shop::Ceiling;
use e2e::hot_row::sweep::SweepOptions;
use e2e::hot_row::{Options, run};
use e2e::orders::OrdersError;
use e2e::real::StartError;

/// The least share of the best fixed size's throughput. Each is measured for seconds, one after the other, on a machine that
/// may stand still in between: it is 97 % where nothing else happens, and 59 to 66 % for the HPA's rules.
const LEAST_SHARE: f64 = 0.7;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plimsoll_stops_below_the_peak_where_an_hpa_loses_throughput() {
    let options = Options {
        sweep: SweepOptions {
            sizes: vec![1, 3, 6, 9, 24],
            settle: Duration::from_secs(1),
            measure: Duration::from_secs(4),
        },
        // Both have followed after a third of the time that they have until they are measured.
        duration: Duration::from_secs(60),
        ceiling: Ceiling::Declared,
        seed: 1,
        pod: PathBuf::from(env!("CARGO_BIN_EXE_orders-pod")),
        operator: PathBuf::from(env!("CARGO_BIN_EXE_operator")),
        record: None,
    };
    let outcome = match run(&options).await {
        Ok(outcome) => outcome,
        Err(OrdersError::Start(StartError::Missing(missing))) => {
            println!("skipped: {missing}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    println!("\n{outcome}");
    assert_eq!(outcome.faults(LEAST_SHARE), Vec::<String>::new(), "\n{outcome}");
}
