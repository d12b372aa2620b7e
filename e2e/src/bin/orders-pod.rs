//! What runs in the pods of `orders-db`.

use clap::Parser as _;
use e2e::orders::pod::{PodArguments, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    run(PodArguments::parse()).await
}
