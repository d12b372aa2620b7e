//! Two operators as processes of their own, of which one leads.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tokio::time::{Instant, sleep};

use super::OrdersError;
use crate::real::process::{Sandbox, ServerProcess};
use crate::real::{Cluster, DEADLINE, Prometheus};

/// The users that the operators are.
pub const USERS: [&str; 2] = ["operator-0", "operator-1"];
/// Where their lease is.
pub const OWN_NAMESPACE: &str = "plimsoll-system";
const LEASE: &str = "plimsoll";
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The operators; they end with it.
#[derive(Debug)]
pub struct Operators {
    processes: Vec<(String, Option<ServerProcess>)>,
    leases: Api<Lease>,
    _sandbox: Sandbox,
}

impl Operators {
    /// Starts both, for all namespaces, and waits until one leads.
    pub async fn start(
        program: &Path,
        cluster: &Cluster,
        prometheus: &Prometheus,
        recordings: Option<&Path>,
    ) -> Result<Self, OrdersError> {
        let admin = cluster.client().await.map_err(OrdersError::other)?;
        let sandbox = Sandbox::new("operators")?;
        let mut processes = Vec::new();
        for user in USERS {
            let kubeconfig: PathBuf = cluster.kubeconfig_path(user).map_err(OrdersError::other)?.to_owned();
            let record = recordings.map(|recordings| format!("--record={}", recordings.join(user).display()));
            let arguments = [
                "run".to_owned(),
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--prometheus-url={}", prometheus.url()),
                format!("--lease-namespace={OWN_NAMESPACE}"),
                "--listen=127.0.0.1:0".to_owned(),
            ];
            let arguments: Vec<String> = arguments.into_iter().chain(record).collect();
            let process = sandbox.start_with(program, &arguments, &[("POD_NAME", user)])?;
            processes.push((user.to_owned(), Some(process)));
        }
        let leases = Api::namespaced(admin, OWN_NAMESPACE);
        let operators = Self { processes, leases, _sandbox: sandbox };
        operators.wait_for_leader().await?;
        Ok(operators)
    }

    /// Kills the one that leads, and returns its name.
    pub async fn kill_leader(&mut self) -> Result<String, OrdersError> {
        let leader = self.wait_for_leader().await?;
        let process = self.processes.iter_mut().find(|(name, _)| *name == leader);
        let (_, process) = process.ok_or_else(|| OrdersError::other("the leader is none of ours"))?;
        // Dropped is killed.
        drop(process.take());
        Ok(leader)
    }

    /// The name of the one that leads now.
    pub async fn leader(&self) -> Option<String> {
        let lease = self.leases.get_opt(LEASE).await.ok()??;
        let holder = lease.spec?.holder_identity?;
        holder.split_once('_').map(|(name, _)| name.to_owned())
    }

    /// What the operators logged last.
    pub fn log_tail(&self) -> String {
        let mut running = self.processes.iter().filter_map(|(_, process)| process.as_ref());
        running.next().map(ServerProcess::log_tail).unwrap_or_default()
    }

    async fn wait_for_leader(&self) -> Result<String, OrdersError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(leader) = self.leader().await {
                return Ok(leader);
            }
            if Instant::now() > deadline {
                return Err(OrdersError::Other(format!(
                    "no operator leads; they said:\n{}",
                    self.log_tail()
                )));
            }
            sleep(LOOK_INTERVAL).await;
        }
    }
}
