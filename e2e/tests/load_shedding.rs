//! The example of a gateway that sheds load, with the real gateway, the real Prometheus and the operator: what the pods
//! cannot carry is turned away, and nothing otherwise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use e2e::bed::{Bed, BedError, Floor, Stage, Workload};
use e2e::real::loopback::ReservedPort;
use e2e::real::process::{Sandbox, ServerProcess};
use e2e::real::program::Program;
use e2e::real::{DEADLINE, Prometheus, StartError, Target};
use serde_json::json;
use tokio::time::{Instant, sleep};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/load-shedding");

/// The gateway of the example, in front of something that answers.
struct Gateway {
    address: String,
    admin_port: String,
    client: reqwest::Client,
    sandbox: Sandbox,
    _server: ServerProcess,
}

impl Gateway {
    async fn start(program: &Path, upstream: &str) -> Self {
        let sandbox = Sandbox::new("haproxy").unwrap();
        for file in ["haproxy.cfg", "shed.map", "feed.sh"] {
            fs::copy(Path::new(EXAMPLE).join(file), sandbox.path().join(file)).unwrap();
        }
        let (port, admin) = (ReservedPort::new().unwrap(), ReservedPort::new().unwrap());
        let address = port.address().to_string();
        let admin_port = admin.address().port().to_string();
        let environment =
            [("LISTEN", address.as_str()), ("UPSTREAM", upstream), ("ADMIN_PORT", admin_port.as_str())];
        drop((port, admin));
        let arguments = ["-db", "-f", "haproxy.cfg"].map(str::to_owned);
        let mut server = sandbox.start_with(program, &arguments, &environment).unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(DEADLINE).build().unwrap();
        let url = format!("http://{address}/metrics");
        server.wait_until_ready(|| client.get(&url).send()).await.unwrap();
        Self { address, admin_port, client, sandbox, _server: server }
    }

    /// Starts what tells it the deficit, once a second.
    fn feed(&self, prometheus: &str, query: &str) -> ServerProcess {
        let environment = [
            ("PROMETHEUS", prometheus),
            ("QUERY", query),
            ("ADMIN_PORT", self.admin_port.as_str()),
            ("INTERVAL", "1"),
        ];
        self.sandbox.start_with(Path::new("bash"), &["feed.sh".to_owned()], &environment).unwrap()
    }

    /// Of so many requests, how many are turned away. Every other one is answered.
    async fn turned_away(&self, requests: u32) -> u32 {
        let mut turned_away = 0;
        for _ in 0..requests {
            let answer = self.client.get(format!("http://{}/metrics", self.address)).send().await.unwrap();
            match answer.status().as_u16() {
                503 => {
                    assert_eq!(answer.headers()["retry-after"], "5");
                    turned_away += 1;
                }
                status => assert_eq!(status, 200),
            }
        }
        turned_away
    }

    /// Waits until, of 50 requests, some are turned away, or none.
    async fn until_it_sheds(&self, sheds: bool) {
        let deadline = Instant::now() + DEADLINE;
        while (self.turned_away(50).await > 0) != sheds {
            assert!(Instant::now() < deadline, "it should shed: {sheds}");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_turns_away_what_the_pods_cannot_carry_and_nothing_otherwise() {
    let program = match Program::Haproxy.find() {
        Ok(program) => program,
        Err(missing) => return println!("skipped: {missing}"),
    };
    let bed = match Bed::start(Floor::Double, &[]).await {
        Ok(bed) => bed,
        Err(BedError::Start(StartError::Missing(missing))) => return println!("skipped: {missing}"),
        Err(error) => panic!("no bed: {error}"),
    };
    let stage = Stage::set(&bed, "shed", Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    stage.declare(&json!({"spec": {"maxReplicas": 4}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("Ready", "True", "Ready").await.unwrap();
    let of_operator = Prometheus::start(&[Target::new("plimsoll", operator.address())]).await.unwrap();
    let query = "max(plimsoll_deficit_ratio{namespace=\"shed\",policy=\"checkout\"})";
    let gateway = Gateway::start(&program, &bed.exporter().address().to_string()).await;

    of_operator.wait_for(query, |values| values == ["0"]).await.unwrap();
    let mut feed = gateway.feed(&of_operator.url(), query);
    gateway.until_it_sheds(false).await;
    assert_eq!(gateway.turned_away(300).await, 0, "the pods carry the load");

    // Four pods carry 40; of 80 half is too much.
    stage.load(80.0).await.unwrap();
    of_operator.wait_for(query, |values| values == ["0.5"]).await.unwrap();
    let status = stage
        .until("the deficit is told", |policy| {
            policy.status.as_ref().is_some_and(|status| status.deficit.is_some())
        })
        .await
        .unwrap()
        .status
        .unwrap();
    let deficit = status.deficit.unwrap();
    let told =
        (deficit.metric.as_str(), deficit.load.as_str(), deficit.capacity.as_str(), deficit.excess.as_str());
    assert_eq!((told, deficit.percent), (("rps", "80", "40", "40"), 50));
    gateway.until_it_sheds(true).await;
    let turned_away = gateway.turned_away(1000).await;
    // Six standard deviations of so many draws.
    assert!((405..=595).contains(&turned_away), "{turned_away} of 1000 are turned away");

    // What nobody renews ends by itself.
    feed.kill();
    gateway.until_it_sheds(false).await;
    let _feed = gateway.feed(&of_operator.url(), query);
    gateway.until_it_sheds(true).await;

    // Where nobody knows how much it is, nothing is turned away.
    operator.stop().await.unwrap().unwrap();
    gateway.until_it_sheds(false).await;
    assert_eq!(gateway.turned_away(300).await, 0);
}
