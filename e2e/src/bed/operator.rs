//! The operator, run in the test's own process as `plimsoll run` runs it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use plimsoll::operator::{Options, RunError, run};
use plimsoll::prometheus::{Config, Servers};
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Bed, BedError, LOOK_INTERVAL, OPERATOR};
use crate::real::DEADLINE;

/// What an operator is started with.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// Who it is to the API server.
    pub user: String,
    /// The namespaces it looks at; the whole cluster if there are none.
    pub namespaces: Vec<String>,
    /// Its Prometheus servers.
    pub servers: Config,
}

impl OperatorOptions {
    /// The usual user in one namespace, with one server named `main` that is given up after a second.
    pub fn new(namespace: &str, prometheus: &str) -> Self {
        let mut servers = Config::single(prometheus);
        servers.prometheus.iter_mut().for_each(|server| server.timeout_seconds = 1);
        Self { user: OPERATOR.to_owned(), namespaces: vec![namespace.to_owned()], servers }
    }
}

/// A running operator; it stops on drop.
#[derive(Debug)]
pub struct Operator {
    address: SocketAddr,
    client: reqwest::Client,
    task: JoinHandle<Result<(), RunError>>,
    stop: DropGuard,
}

impl Operator {
    /// Starts an operator; it need not be ready yet.
    pub async fn start(bed: &Bed, options: OperatorOptions) -> Result<Self, BedError> {
        let client = crate::real::loopback_client()?;
        let kube = bed.client_as(&options.user).await?;
        let servers = Servers::new(options.servers)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let options = Options {
            namespaces: options.namespaces,
            listener: Some(listener),
            instance: "operator-0".to_owned(),
            ..Options::new(Arc::new(servers))
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(kube, options, stop.clone()));
        Ok(Self { address, client, task, stop: stop.drop_guard() })
    }

    /// Stops it as a termination signal does, and waits until it has ended.
    pub async fn stop(self) -> Result<Result<(), RunError>, JoinError> {
        drop(self.stop);
        self.task.await
    }

    /// Ends it in the middle of whatever it does.
    pub async fn kill(self) {
        self.task.abort();
        // That it was aborted is what was asked for.
        let _ = self.task.await;
    }

    /// How it ended by itself, if it does within the deadline.
    pub async fn ended(self) -> Option<Result<(), RunError>> {
        timeout(DEADLINE, self.task).await.ok()?.ok()
    }

    /// Where it serves health and metrics.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it is ready.
    pub async fn ready(&self) -> Result<(), BedError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let said = match self.get("readyz").await {
                Ok(said) if said == "ok\n" => return Ok(()),
                Ok(said) => said,
                Err(error) => error.to_string(),
            };
            if Instant::now() >= deadline {
                return Err(BedError::Late(format!("the operator is not ready: {said}")));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until so many more evaluations have been made, one or more of them a second.
    pub async fn evaluations(&self, more: u64) -> Result<(), BedError> {
        let enough = self.evaluated().await?.saturating_add(more);
        let deadline = Instant::now() + DEADLINE + Duration::from_secs(more.saturating_mul(2));
        loop {
            let evaluated = self.evaluated().await?;
            if evaluated >= enough {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(BedError::Late(format!("{evaluated} evaluations and not {enough}")));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// The evaluations made so far.
    async fn evaluated(&self) -> Result<u64, BedError> {
        const COUNT: &str = "plimsoll_evaluation_duration_seconds_count ";
        let metrics = self.get("metrics").await?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(COUNT)?.trim().parse().ok());
        count.ok_or_else(|| BedError::Late(format!("no evaluations are counted in\n{metrics}")))
    }

    /// What it answers at one of its endpoints.
    pub async fn get(&self, path: &str) -> Result<String, BedError> {
        let answer =
            async { self.client.get(format!("http://{}/{path}", self.address)).send().await?.text().await };
        answer.await.map_err(|error| BedError::Io(std::io::Error::other(error)))
    }
}
