//! A real `kube-apiserver` on a real `etcd`, where their binaries are found.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

/// A real API server; it and all that was started with it end when this is dropped.
pub(crate) struct RealServer {
    pub(crate) client: kube::Client,
    processes: Vec<Child>,
    directory: tempfile::TempDir,
    port: u16,
}

/// Where envtest looks for the binaries, if they are all there; else says what is skipped.
fn find(wanted: &[&str]) -> Option<PathBuf> {
    let named = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let directory = named.unwrap_or_else(|| PathBuf::from("/usr/local/kubebuilder/bin"));
    let are_there = wanted.iter().all(|binary| directory.join(binary).exists());
    if !are_there {
        eprintln!(
            "skipped: {} not found in KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin",
            wanted.join(", ")
        );
    }
    are_there.then_some(directory)
}

/// Starts the server; none, with a word on standard error, where there are no binaries.
pub(crate) async fn start() -> Option<RealServer> {
    start_at(&find(&["etcd", "kube-apiserver"])?).await
}

/// Starts the server with the controllers of Deployments and ReplicaSets.
pub(crate) async fn start_with_controllers() -> Option<RealServer> {
    let binaries = find(&["etcd", "kube-apiserver", "kube-controller-manager"])?;
    let mut real = start_at(&binaries).await?;
    let path = |name: &str| real.directory.path().join(name).display().to_string();
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{}\", insecure-skip-tls-verify: true}}}}]\n\
         users: [{{name: u, user: {{token: admin}}}}]\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n",
        real.port
    );
    std::fs::write(path("kubeconfig"), kubeconfig).unwrap();
    let manager = spawn(
        &binaries.join("kube-controller-manager"),
        &path("controllers.log"),
        &[
            format!("--kubeconfig={}", path("kubeconfig")),
            "--controllers=deployment-controller,replicaset-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--kube-api-qps=1000".to_owned(),
            "--kube-api-burst=1000".to_owned(),
            "--secure-port=0".to_owned(),
        ],
    );
    real.processes.push(manager);
    Some(real)
}

async fn start_at(binaries: &Path) -> Option<RealServer> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("key.pem"), signing_key()).unwrap();
    std::fs::write(path("tokens.csv"), "admin,admin,admin,system:masters\nweak,weak,weak\n").unwrap();
    let (client_port, peer_port, port) = (free_port(), free_port(), free_port());
    let (etcd_url, peer_url) =
        (format!("http://127.0.0.1:{client_port}"), format!("http://127.0.0.1:{peer_port}"));
    let etcd = spawn(
        &binaries.join("etcd"),
        &path("etcd.log"),
        &[
            "--unsafe-no-fsync".to_owned(),
            format!("--data-dir={}", path("etcd")),
            format!("--listen-client-urls={etcd_url}"),
            format!("--advertise-client-urls={etcd_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
            format!("--initial-cluster=default={peer_url}"),
        ],
    );
    let server = spawn(
        &binaries.join("kube-apiserver"),
        &path("apiserver.log"),
        &[
            format!("--etcd-servers={etcd_url}"),
            format!("--cert-dir={}", path("certs")),
            format!("--secure-port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--token-auth-file={}", path("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default".to_owned(),
            format!("--service-account-key-file={}", path("key.pem")),
            format!("--service-account-signing-key-file={}", path("key.pem")),
            "--disable-admission-plugins=ServiceAccount".to_owned(),
            "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        ],
    );
    let client = client(port, "admin");
    wait_until_ready(&client, &path("apiserver.log")).await;
    Some(RealServer { client, port, processes: vec![etcd, server], directory })
}

fn spawn(binary: &Path, log: &str, arguments: &[String]) -> Child {
    let log = std::fs::File::create(log).unwrap();
    let mut command = Command::new(binary);
    command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", binary.display()))
}

fn client(port: u16, token: &str) -> kube::Client {
    let mut config = kube::Config::new(format!("https://127.0.0.1:{port}").parse().unwrap());
    config.accept_invalid_certs = true;
    config.auth_info.token = Some(token.to_owned().into());
    kube::Client::try_from(config).unwrap()
}

async fn wait_until_ready(client: &kube::Client, log: &str) {
    let end = Instant::now() + Duration::from_mins(1);
    loop {
        let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
        if client.request_text(request).await.is_ok() {
            return;
        }
        if Instant::now() > end {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("kube-apiserver is not ready after a minute:\n{log}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A private key for service account tokens, as PEM: 32 random bytes are a key of P-256.
fn signing_key() -> String {
    let mut key = vec![0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20, 0x01];
    let mut random = e2e::random::Random::seeded(u64::from(std::process::id()));
    key.extend((0..31).map(|_| u8::try_from(random.below(256)).unwrap()));
    key.extend([0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    format!("-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n", base64(&key))
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let digit = usize::try_from((bits >> (18 - 6 * index)) & 63).unwrap();
            text.push(if index <= chunk.len() { char::from(ALPHABET[digit]) } else { '=' });
        }
    }
    text
}
