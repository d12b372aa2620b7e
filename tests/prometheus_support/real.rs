//! A real Prometheus that scrapes what a test exposes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use plimsoll::time::Time;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

/// How long the server may take to do what a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time::from_millis(i64::try_from(since_epoch.as_millis()).unwrap())
}

/// Serves `/metrics`; refuses connections once dropped.
pub(crate) struct Exporter {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Exporter {
    /// Exposes what `page` returns at each scrape.
    pub(crate) async fn start(page: impl Fn() -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let page = page();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    page.len()
                );
                let _ = stream.write_all(&[head.as_bytes(), page.as_bytes()].concat()).await;
            }
        });
        Self { address, serving }
    }
}

/// A Prometheus of its own; ended when dropped.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    client: reqwest::Client,
    _process: Child,
    _listening_to: JoinHandle<()>,
    _directory: TempDir,
}

fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join("prometheus")).find(|file| file.is_file())
}

impl Prometheus {
    /// Scrapes `exporters` every second; none where there is no Prometheus to run, which is said.
    pub(crate) async fn start(exporters: &[&Exporter]) -> Option<Self> {
        Self::start_with(exporters, None).await
    }

    /// One that remembers this page of samples with times, in the format OpenMetrics, as if it had scraped them.
    pub(crate) async fn start_remembering(page: &str) -> Option<Self> {
        Self::start_with(&[], Some(page)).await
    }

    async fn start_with(exporters: &[&Exporter], history: Option<&str>) -> Option<Self> {
        let Some(binary) = binary() else {
            eprintln!("SKIPPED: there is no prometheus in PATH, so nothing was tried on a real one");
            return None;
        };
        super::install_tls_provider();
        let directory = tempfile::tempdir().unwrap();
        if let Some(page) = history {
            let file = directory.path().join("history.txt");
            std::fs::write(&file, page).unwrap();
            let mut backfill = Command::new(binary.with_file_name("promtool"));
            backfill
                .args(["tsdb", "create-blocks-from", "openmetrics"])
                .arg(file)
                .arg(directory.path().join("data"));
            let Ok(filled) = backfill.output().await else {
                eprintln!("SKIPPED: there is no promtool beside prometheus, so it cannot be given a past");
                return None;
            };
            assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        }
        let targets: Vec<String> =
            exporters.iter().map(|exporter| format!("\"{}\"", exporter.address)).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n- job_name: test\n  static_configs:\n  - targets: [{}]\n",
            targets.join(", ")
        );
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let mut process = Command::new(binary)
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = tokio::time::timeout(PATIENCE, address_once_ready(&mut said)).await.unwrap();
        // A full pipe would stop it.
        let listening_to = tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Some(Self {
            url: format!("http://{address}"),
            client: reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap(),
            _process: process,
            _listening_to: listening_to,
            _directory: directory,
        })
    }

    /// What the API says at `path` with `parameters`.
    pub(crate) async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> serde_json::Value {
        let mut url = reqwest::Url::parse(&self.url).unwrap();
        url.set_path(path);
        url.query_pairs_mut().extend_pairs(parameters);
        let body = self.client.get(url).send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&body).unwrap()
    }
}

async fn address_once_ready(said: &mut Lines<BufReader<ChildStderr>>) -> String {
    let (mut address, mut ready) = (None, false);
    let mut heard = String::new();
    while let Some(line) = said.next_line().await.unwrap() {
        if line.contains("Listening on") {
            address =
                line.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned);
        }
        ready |= line.contains("ready to receive web requests");
        if let (Some(address), true) = (&address, ready) {
            return address.clone();
        }
        heard.push_str(&line);
        heard.push('\n');
    }
    panic!("Prometheus ended:\n{heard}");
}

/// Asks again and again until `done` is content with what `ask` yields.
pub(crate) async fn until<T: std::fmt::Debug>(
    mut ask: impl AsyncFnMut() -> T,
    done: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        if done(&answer) {
            return answer;
        }
        assert!(started.elapsed() < PATIENCE, "still {answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
