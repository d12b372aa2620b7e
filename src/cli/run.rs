//! `plimsoll run`.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::cluster::ClusterOptions;
use crate::operator::{Election, Options, run};
use crate::prometheus::{self, Servers};
use crate::telemetry::{LogFormat, Traces, init_logs};

/// Silence on a connection that ends it: longer than any watch lasts, so that only dead connections are silent so long.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// Where a pod finds the name of its own namespace.
const OWN_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// How to run the operator.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("servers").required(true))]
pub(super) struct Run {
    /// Configuration file that names the Prometheus servers
    #[arg(long, value_name = "FILE", group = "servers", env = "PLIMSOLL_CONFIG")]
    config: Option<PathBuf>,
    /// The one Prometheus server, called main, instead of a configuration
    #[arg(long, value_name = "URL", group = "servers", env = "PLIMSOLL_PROMETHEUS_URL")]
    prometheus_url: Option<String>,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// Look only at this namespace; may be given several times. Default: the whole cluster
    #[arg(long = "namespace", short = 'n', value_name = "NAME", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Where /healthz, /readyz and /metrics are served; write 0.0.0.0:8080 to be reached from outside
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Of several operators only the one that holds the Lease acts; switch it off only where there can be no second
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    leader_elect: bool,
    /// Name of the Lease that operators share
    #[arg(long, value_name = "NAME", default_value = "plimsoll")]
    lease_name: String,
    /// Namespace of the Lease; default: the pod's own
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Record every observation and decision into this directory, one file a policy
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How log lines look
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Auto)]
    log_format: LogFormat,
    /// error, warn, info, debug, trace, or a filter such as plimsoll=debug; default: RUST_LOG, else info
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

impl Run {
    pub(super) fn execute(self) -> Result<(), String> {
        let traces = Traces::start().map_err(|error| error.to_string())?;
        init_logs(self.log_format, self.log_level.as_deref(), &traces).map_err(|error| error.to_string())?;
        let runtime =
            tokio::runtime::Runtime::new().map_err(|error| format!("no runtime can be started: {error}"))?;
        let result = runtime.block_on(self.operate());
        // What still runs has been given its time.
        runtime.shutdown_background();
        traces.finish();
        result
    }

    async fn operate(self) -> Result<(), String> {
        let (mut terminate, mut interrupt) =
            (listen_for(SignalKind::terminate())?, listen_for(SignalKind::interrupt())?);
        let servers = Servers::new(self.servers()?).map_err(|error| error.to_string())?;
        let election = self.election()?;
        let client = self.client().await?;
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            format!("cannot listen on {}: {error}; choose another address with --listen", self.listen)
        })?;
        let options = Options {
            namespaces: self.namespaces,
            listener: Some(listener),
            record: self.record,
            instance: instance(),
            election,
            ..Options::new(Arc::new(servers))
        };
        let stop = CancellationToken::new();
        let mut operator = std::pin::pin!(run(client, options, stop.clone()));
        for last in [false, true] {
            tokio::select! {
                ended = &mut operator => return ended.map_err(|error| error.to_string()),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if last {
                return Err(
                    "stopped at once by a second signal; writes under way may have been cut off".to_owned()
                );
            }
            stop.cancel();
        }
        Ok(())
    }

    fn election(&self) -> Result<Option<Election>, String> {
        if !self.leader_elect {
            return Ok(None);
        }
        let own = || std::fs::read_to_string(OWN_NAMESPACE).ok().map(|namespace| namespace.trim().to_owned());
        let namespace = self.lease_namespace.clone().or_else(own).ok_or(
            "outside of a pod the namespace of the Lease is not known: write --lease-namespace NAME, or \
             --leader-elect=false where no second operator can run",
        )?;
        // A process that begins anew under the same name is another: what the old one wrote may still be under way.
        let random = RandomState::new().hash_one(std::process::id());
        let identity = format!("{}_{random:016x}", instance());
        Ok(Some(Election { namespace, name: self.lease_name.clone(), identity }))
    }

    fn servers(&self) -> Result<prometheus::Config, String> {
        match (&self.config, &self.prometheus_url) {
            (Some(path), _) => prometheus::Config::read(path).map_err(|error| error.to_string()),
            (None, Some(url)) => Ok(prometheus::Config::single(url)),
            (None, None) => {
                Err("no Prometheus server is named: write --config FILE or --prometheus-url URL".to_owned())
            }
        }
    }

    async fn client(&self) -> Result<Client, String> {
        let mut config = self.cluster.config().await?;
        config.read_timeout = Some(READ_TIMEOUT);
        config.reset_reader_on_write = true;
        // An evaluation tries again by itself, with fresh eyes.
        config.default_retry = false;
        let server = config.cluster_url.to_string();
        tracing::info!(server, "speaking to the API server");
        Client::try_from(config).map_err(|error| format!("no client for {server} can be made: {error}"))
    }
}

/// What this process is called: the pod's name.
fn instance() -> String {
    std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "plimsoll".to_owned())
}

fn listen_for(kind: SignalKind) -> Result<Signal, String> {
    signal(kind).map_err(|error| format!("signals cannot be received: {error}"))
}
