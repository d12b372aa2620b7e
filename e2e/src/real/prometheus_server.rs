//! A real Prometheus that scrapes what the test gives it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::DEADLINE;
use super::loopback::ReservedPort;
use super::past::ServicePast;
use super::process::{Sandbox, ServerProcess, StartError};
use super::program::Program;

/// How often a query is asked whose answer is waited for.
const QUERY_INTERVAL: Duration = Duration::from_millis(100);

/// An address whose `/metrics` is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The job's name, which becomes the label `job`.
    pub job: String,
    /// Where to scrape.
    pub address: SocketAddr,
}

impl Target {
    /// A target of a job of its own.
    pub fn new(job: &str, address: SocketAddr) -> Self {
        Self { job: job.to_owned(), address }
    }
}

/// How a Prometheus is started.
#[derive(Clone, Debug)]
pub struct PrometheusOptions {
    /// What it scrapes. Labels that a target's series bear themselves win over its own.
    pub targets: Vec<Target>,
    /// How often it scrapes: 1 s unless told otherwise. A scrape has as long to answer.
    pub scrape_interval: Duration,
    /// How long a value counts after it was scraped: 5 min, Prometheus' own, unless told otherwise.
    pub lookback: Duration,
    /// The certificate and its key, in PEM, with which it speaks https; it speaks http unless told otherwise.
    pub tls: Option<(String, String)>,
    /// What it knows of the days before its start.
    pub past: Vec<ServicePast>,
    /// Where it listens: on loopback unless told otherwise.
    pub address: Ipv4Addr,
}

impl Default for PrometheusOptions {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            scrape_interval: Duration::from_secs(1),
            lookback: Duration::from_mins(5),
            tls: None,
            past: Vec::new(),
            address: Ipv4Addr::LOCALHOST,
        }
    }
}

/// A running Prometheus on a loopback port; killed and its data removed on drop.
#[derive(Debug)]
pub struct Prometheus {
    server: ServerProcess,
    program: PathBuf,
    port: ReservedPort,
    options: PrometheusOptions,
    client: reqwest::Client,
    sandbox: Sandbox,
}

impl Prometheus {
    /// Starts a Prometheus that scrapes `targets` each second.
    pub async fn start(targets: &[Target]) -> Result<Self, StartError> {
        Self::start_with(PrometheusOptions { targets: targets.to_vec(), ..PrometheusOptions::default() })
            .await
    }

    /// Starts a Prometheus and waits until it answers queries. Its first scrape comes within five seconds, which is
    /// how often Prometheus looks for new targets.
    pub async fn start_with(options: PrometheusOptions) -> Result<Self, StartError> {
        let program = Program::Prometheus.find()?;
        let port = ReservedPort::at(options.address).map_err(StartError::io("no free port"))?;
        let sandbox = Sandbox::new("prometheus")?;
        let client = super::loopback_client().map_err(StartError::io("no HTTP client"))?;
        fs::write(sandbox.path().join("prometheus.yml"), configuration(&options).to_string())
            .map_err(StartError::io("cannot write prometheus.yml"))?;
        if let Some((certificate, key)) = &options.tls {
            let write = |name: &str, text: &str| {
                fs::write(sandbox.path().join(name), text)
                    .map_err(StartError::io("cannot write its certificate"))
            };
            write("tls.crt", certificate)?;
            write("tls.key", key)?;
            let web = json!({"tls_server_config": {"cert_file": "tls.crt", "key_file": "tls.key"}});
            write("web.yml", &web.to_string())?;
        }
        if !options.past.is_empty() {
            remember(&sandbox, &options.past).await?;
        }
        let server = sandbox.start(&program, &arguments(&port, &options))?;
        let mut prometheus = Self { server, program, port, options, client, sandbox };
        prometheus.wait_until_ready().await?;
        Ok(prometheus)
    }

    /// Its base URL, without a slash at the end; the same after it was stopped and started again.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.port.address())
    }

    /// Ends it in good order; connections are refused from now on.
    pub async fn stop(&mut self) {
        self.server.terminate().await;
    }

    /// Kills it, as a lost machine does; connections are refused from now on.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again with the data it had, after [`stop`](Self::stop) or [`kill`](Self::kill).
    pub async fn start_again(&mut self) -> Result<(), StartError> {
        self.server.kill();
        self.server = self.sandbox.start(&self.program, &arguments(&self.port, &self.options))?;
        self.wait_until_ready().await
    }

    /// Lets it hang: connections are accepted and never answered.
    pub fn suspend(&self) {
        self.server.suspend();
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// The values of an instant query, as Prometheus writes them; empty where there is no series.
    pub async fn query(&self, query: &str) -> Result<Vec<String>, QueryError> {
        self.query_client().query(query).await
    }

    /// Asks queries wherever it is taken to.
    pub fn query_client(&self) -> QueryClient {
        QueryClient { client: self.client.clone(), url: self.url() }
    }

    /// Asks an instant query until its values satisfy `condition`, as they do a scrape after the series changed.
    pub async fn wait_for(
        &self,
        query: &str,
        mut condition: impl FnMut(&[String]) -> bool,
    ) -> Result<Vec<String>, QueryError> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let answer = match self.query(query).await {
                Ok(values) if condition(&values) => return Ok(values),
                Ok(values) => format!("{values:?}, which is not what was waited for"),
                Err(error) => error.answer,
            };
            if Instant::now() >= deadline {
                return Err(QueryError { query: query.to_owned(), answer });
            }
            sleep(QUERY_INTERVAL).await;
        }
    }

    /// The server's process id.
    pub fn process_id(&self) -> u32 {
        self.server.id()
    }

    async fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let (client, url) = (&self.client, format!("{}/-/ready", self.url()));
        self.server
            .wait_until_ready(async || client.get(&url).send().await?.error_for_status().map(drop))
            .await
    }
}

/// Asks one Prometheus queries.
#[derive(Clone, Debug)]
pub struct QueryClient {
    client: reqwest::Client,
    url: String,
}

impl QueryClient {
    /// The values of an instant query, as Prometheus writes them; empty where there is no series.
    pub async fn query(&self, query: &str) -> Result<Vec<String>, QueryError> {
        let failed = |answer: String| QueryError { query: query.to_owned(), answer };
        let url = format!("{}/api/v1/query", self.url);
        let answer = self.client.post(url).form(&[("query", query)]).send().await;
        let answer = answer.map_err(|error| failed(error.to_string()))?;
        let text = answer.text().await.map_err(|error| failed(error.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|_| failed(text.clone()))?;
        let series = value.pointer("/data/result").and_then(Value::as_array).ok_or_else(|| failed(text))?;
        let value = |one: &Value| one.pointer("/value/1").and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(series.iter().filter_map(value).collect())
    }
}

/// A query was not answered, or not as it was waited for.
#[derive(Debug, thiserror::Error)]
#[error("Prometheus answered `{query}` with: {answer}")]
pub struct QueryError {
    query: String,
    answer: String,
}

/// The configuration file; JSON is YAML.
fn configuration(options: &PrometheusOptions) -> Value {
    let interval = format!("{}ms", options.scrape_interval.as_millis());
    let jobs: Vec<Value> = options
        .targets
        .iter()
        .map(|target| {
            let addresses = [target.address.to_string()];
            json!({"job_name": target.job, "honor_labels": true, "static_configs": [{"targets": addresses}]})
        })
        .collect();
    json!({
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": jobs,
    })
}

/// Puts a past into the directory of a server that is not running yet.
async fn remember(sandbox: &Sandbox, past: &[ServicePast]) -> Result<(), StartError> {
    let promtool = Program::Promtool.find()?;
    let text = sandbox.path().join("past.om");
    fs::write(&text, ServicePast::open_metrics(past)).map_err(StartError::io("cannot write the past"))?;
    let mut command = tokio::process::Command::new(promtool);
    command.args(["tsdb", "create-blocks-from", "openmetrics", "--quiet", "past.om", "data"]);
    command.current_dir(sandbox.path()).kill_on_drop(true);
    let made = tokio::time::timeout(DEADLINE, command.output()).await;
    let made = made.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut)).and_then(|made| made);
    let made = made.map_err(StartError::io("promtool cannot be run"))?;
    if !made.status.success() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        return Err(StartError::io("promtool refused the past")(std::io::Error::other(said)));
    }
    Ok(())
}

fn arguments(port: &ReservedPort, options: &PrometheusOptions) -> Vec<String> {
    let web = options.tls.as_ref().map(|_| "--web.config.file=web.yml".to_owned());
    let arguments = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=data".to_owned(),
        "--storage.tsdb.retention.time=15d".to_owned(),
        format!("--query.lookback-delta={}ms", options.lookback.as_millis()),
        format!("--web.listen-address={}", port.address()),
        "--log.level=warn".to_owned(),
    ];
    arguments.into_iter().chain(web).collect()
}
