//! Which cluster a command speaks to, as kubectl's flags name it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Time to make a connection to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Silence on a connection that ends it.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Which cluster.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ClusterOptions {
    /// Kubeconfig to use; default: KUBECONFIG, ~/.kube/config, or the pod's service account
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig to use; default: its current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// A cluster as a person speaks to it.
pub(super) struct Cluster {
    pub(super) client: Client,
    /// The namespace of the kubeconfig's context.
    pub(super) namespace: String,
}

impl ClusterOptions {
    /// How to reach it.
    pub(super) async fn config(&self) -> Result<Config, String> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(path) => {
                let cannot_use = |error: &dyn std::fmt::Display| cannot_use(&path.display().to_string(), error);
                let file = Kubeconfig::read_from(path).map_err(|error| cannot_use(&error))?;
                Config::from_custom_kubeconfig(file, &options).await.map_err(|error| cannot_use(&error))?
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| cannot_use("the kubeconfig", &error))?
            }
            None => Config::infer().await.map_err(|error| {
                format!("found neither a kubeconfig nor a pod's service account: write --kubeconfig FILE ({error})")
            })?,
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        Ok(config)
    }

    /// A client for one command.
    pub(super) async fn connect(&self) -> Result<Cluster, String> {
        let mut config = self.config().await?;
        config.read_timeout = Some(READ_TIMEOUT);
        // A failure is told at once: the person can ask again.
        config.default_retry = false;
        let (server, namespace) = (config.cluster_url.to_string(), config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| format!("no client for {server} can be made: {error}"))?;
        Ok(Cluster { client, namespace })
    }
}

fn cannot_use(what: &str, error: &dyn std::fmt::Display) -> String {
    format!("{what} cannot be used: {error}")
}

/// Runs what one command asks of servers.
pub(super) fn block_on<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime can be started: {error}"))?;
    let answer = runtime.block_on(asked);
    // A name may still be resolving, which nothing can cut short.
    runtime.shutdown_background();
    answer
}
