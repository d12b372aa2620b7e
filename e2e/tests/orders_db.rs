//! `orders-db` in its short form.

use std::path::PathBuf;

use e2e::orders::limits::Declaration;
use e2e::orders::timetable::Timetable;
use e2e::orders::{Options, OrdersError, run};
use e2e::real::StartError;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plimsoll_is_refused_no_connection_where_an_hpa_is() {
    let options = Options {
        duration: Timetable::SHORT,
        declaration: Declaration::best(),
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
    assert_eq!(outcome.faults(), Vec::<String>::new(), "\n{outcome}");
}
