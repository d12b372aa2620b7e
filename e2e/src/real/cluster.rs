//! A real Kubernetes control plane: `etcd`, `kube-apiserver` and `kube-controller-manager`.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use tokio::time::timeout;

use super::DEADLINE;
use super::access::{self, ClientError, User};
use super::audit::{self, Request};
use super::loopback::ReservedPort;
use super::process::{Sandbox, ServerProcess, StartError};
use super::program::Program;

/// The controllers that a workload's pods need.
const CONTROLLERS: [&str; 5] = [
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "garbage-collector-controller",
    "namespace-controller",
];

/// The controllers that pods on a real node need besides: theirs are tokens, certificates, taints, and who stands behind a
/// service.
const NODE_CONTROLLERS: [&str; 4] = [
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "node-lifecycle-controller",
    "endpointslice-controller",
];

/// Where the service `kubernetes` is.
const SERVICE_PORT: u16 = 443;

/// How a cluster is started.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// The names of users with a token and without rights; `operator` unless told otherwise.
    pub users: Vec<String>,
    /// Whether the horizontal pod autoscaler runs; it does not unless told otherwise.
    pub horizontal_pod_autoscaler: bool,
    /// Where pods of a real node reach the API server; without one, it is for this machine's processes alone.
    pub pod_access: Option<PodAccess>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        Self { users: vec!["operator".to_owned()], horizontal_pod_autoscaler: false, pod_access: None }
    }
}

/// How pods reach the API server without a service proxy: it listens at the address of the service `kubernetes`.
#[derive(Clone, Debug)]
pub struct PodAccess {
    /// The addresses of services, such as `198.18.0.16/28`.
    pub service_range: String,
    /// The first address of that range, which this machine must have.
    pub address: Ipv4Addr,
}

/// A running control plane; everything of it is gone after drop.
#[derive(Debug)]
pub struct Cluster {
    // In the order in which they end.
    controller_manager: ServerProcess,
    api_server: ServerProcess,
    etcd: ServerProcess,
    _ports: [ReservedPort; 4],
    users: Vec<(User, PathBuf)>,
    version: String,
    sandbox: Sandbox,
}

impl Cluster {
    /// Starts a cluster with the usual options; it takes about four seconds.
    pub async fn start() -> Result<Self, StartError> {
        Self::start_with(ClusterOptions::default()).await
    }

    /// Starts a cluster.
    pub async fn start_with(options: ClusterOptions) -> Result<Self, StartError> {
        let programs = Programs::find()?;
        let reserve = || ReservedPort::new().map_err(StartError::io("no free port"));
        let [clients, peers, secure, metrics] = [reserve()?, reserve()?, reserve()?, reserve()?];
        let sandbox = Sandbox::new("cluster")?;
        let directory = sandbox.path();
        let users = users(&options).map_err(StartError::io("no random tokens"))?;
        write_files(directory, &users).map_err(StartError::io("cannot set the cluster up"))?;
        make_signing_key(&programs.openssl, directory)
            .map_err(StartError::io("openssl cannot make the key of the service accounts"))?;

        let etcd = sandbox.start(&programs.etcd, &etcd_arguments(&clients, &peers))?;
        let mut api_server = sandbox
            .start(&programs.api_server, &api_server_arguments(directory, &clients, &secure, &options))?;
        let address = match &options.pod_access {
            Some(access) => SocketAddr::from((access.address, SERVICE_PORT)),
            None => secure.address(),
        };
        let certificate = directory.join("certs/apiserver.crt");
        api_server
            .wait_until_ready(async || {
                let made = fs::metadata(&certificate).map_err(|error| error.to_string())?.len() > 0;
                made.then_some(()).ok_or_else(|| "its certificate is still empty".to_owned())
            })
            .await?;
        let users = users
            .into_iter()
            .map(|user| {
                let path = access::write_kubeconfig(directory, &user, address, &certificate)?;
                Ok((user, path))
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::io("cannot write a kubeconfig"))?;
        let admin = kubeconfig_of(&users, "admin")
            .map_err(|error| StartError::io(error)(io::ErrorKind::Other.into()))?;
        let version = api_server.wait_until_ready(|| ready_version(admin)).await?;

        let mut controller_manager = sandbox.start(
            &programs.controller_manager,
            &controller_manager_arguments(directory, &metrics, &options),
        )?;
        let probe = super::loopback_client().map_err(StartError::io("no HTTP client"))?;
        let health = format!("https://{}/healthz", metrics.address());
        controller_manager
            .wait_until_ready(async || probe.get(&health).send().await?.error_for_status())
            .await?;
        Ok(Self {
            controller_manager,
            api_server,
            etcd,
            _ports: [clients, peers, secure, metrics],
            users,
            version,
            sandbox,
        })
    }

    /// The API server's version, such as `v1.36.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<Client, ClientError> {
        self.client_as("admin").await
    }

    /// A client of one of the users that the cluster was started with.
    pub async fn client_as(&self, user: &str) -> Result<Client, ClientError> {
        access::client_of(self.kubeconfig_path(user)?).await
    }

    /// The kubeconfig of a user; `admin` may do everything.
    pub fn kubeconfig_path(&self, user: &str) -> Result<&Path, ClientError> {
        kubeconfig_of(&self.users, user)
    }

    /// Lets a user do what `rules` say, in all namespaces; see [`access::rule`].
    pub async fn grant(&self, user: &str, rules: Vec<PolicyRule>) -> Result<(), SetupError> {
        Ok(access::grant(self.client().await?, user, rules).await?)
    }

    /// Creates a namespace and returns its name.
    pub async fn namespace(&self, name: &str) -> Result<String, SetupError> {
        access::create_namespace(self.client().await?, name).await?;
        Ok(name.to_owned())
    }

    /// Creates or updates a custom resource definition and waits until its resources are served.
    pub async fn install(&self, definition: &CustomResourceDefinition) -> Result<(), SetupError> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client().await?);
        let name = definition.name_any();
        api.patch(&name, &PatchParams::apply("test-bed").force(), &Patch::Apply(definition)).await?;
        let established = await_condition(api, &name, conditions::is_crd_established());
        match timeout(DEADLINE, established).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(SetupError::Definition { name, reason: error.to_string() }),
            Err(_) => Err(SetupError::Definition { name, reason: format!("not served within {DEADLINE:?}") }),
        }
    }

    /// The requests of the users named in the options, and of `admin`, so far.
    pub fn requests(&self) -> io::Result<Vec<Request>> {
        audit::read(&self.sandbox.path().join("audit.log"))
    }

    /// The API server, to be suspended and resumed.
    pub const fn api_server(&self) -> &ServerProcess {
        &self.api_server
    }

    /// The process ids of the servers.
    pub fn process_ids(&self) -> [u32; 3] {
        [self.controller_manager.id(), self.api_server.id(), self.etcd.id()]
    }

    /// Where the servers' files and logs are.
    pub fn directory(&self) -> &Path {
        self.sandbox.path()
    }
}

/// Why a running cluster could not be prepared for a scenario.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The API server refused.
    #[error(transparent)]
    Kubernetes(#[from] Box<kube::Error>),
    /// A custom resource definition was stored but is not served.
    #[error("the custom resource definition {name} is not served: {reason}")]
    Definition {
        /// The definition's name.
        name: String,
        /// Why not.
        reason: String,
    },
}

impl From<kube::Error> for SetupError {
    fn from(error: kube::Error) -> Self {
        Self::Kubernetes(Box::new(error))
    }
}

struct Programs {
    etcd: PathBuf,
    api_server: PathBuf,
    controller_manager: PathBuf,
    openssl: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, StartError> {
        Ok(Self {
            api_server: Program::KubeApiserver.find()?,
            controller_manager: Program::KubeControllerManager.find()?,
            etcd: Program::Etcd.find()?,
            openssl: Program::Openssl.find()?,
        })
    }
}

fn users(options: &ClusterOptions) -> io::Result<Vec<User>> {
    let masters =
        ["admin", "system:kube-controller-manager", "system:kube-scheduler", "kubelet", "fake-kubelet"];
    let masters = masters.into_iter().map(|name| User::new(name, &[User::MASTERS]));
    masters.chain(options.users.iter().map(|name| User::new(name, &[]))).collect()
}

fn kubeconfig_of<'a>(users: &'a [(User, PathBuf)], wanted: &str) -> Result<&'a Path, ClientError> {
    users.iter().find(|(user, _)| user.name() == wanted).map(|(_, path)| path.as_path()).ok_or_else(|| {
        let known: Vec<&str> = users.iter().map(|(user, _)| user.name()).collect();
        ClientError::UnknownUser { wanted: wanted.to_owned(), known: known.join(", ") }
    })
}

fn write_files(directory: &Path, users: &[User]) -> io::Result<()> {
    access::write_token_file(&directory.join("tokens.csv"), users)?;
    fs::write(directory.join("audit-policy.yaml"), audit::POLICY)
}

fn make_signing_key(openssl: &Path, directory: &Path) -> io::Result<()> {
    for arguments in [
        ["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "sa.key"].as_slice(),
        ["ec", "-in", "sa.key", "-pubout", "-out", "sa.pub"].as_slice(),
    ] {
        let made =
            Command::new(openssl).args(arguments).current_dir(directory).stdin(Stdio::null()).output()?;
        if !made.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&made.stderr).into_owned()));
        }
    }
    Ok(())
}

async fn ready_version(kubeconfig: &Path) -> Result<String, String> {
    let client = access::client_of(kubeconfig).await.map_err(|error| error.to_string())?;
    let request = http::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    client.request_text(request).await.map_err(|error| error.to_string())?;
    client.apiserver_version().await.map(|info| info.git_version).map_err(|error| error.to_string())
}

fn etcd_arguments(clients: &ReservedPort, peers: &ReservedPort) -> Vec<String> {
    let (clients, peers) = (clients.address(), peers.address());
    vec![
        "--name=test-bed".to_owned(),
        "--data-dir=etcd".to_owned(),
        // Nothing here has to survive a power cut, and disks of test machines are slow.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls=http://{clients}"),
        format!("--advertise-client-urls=http://{clients}"),
        format!("--listen-peer-urls=http://{peers}"),
        format!("--initial-advertise-peer-urls=http://{peers}"),
        format!("--initial-cluster=test-bed=http://{peers}"),
        "--log-level=warn".to_owned(),
    ]
}

fn api_server_arguments(
    directory: &Path,
    etcd: &ReservedPort,
    secure: &ReservedPort,
    options: &ClusterOptions,
) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let place = match &options.pod_access {
        Some(PodAccess { service_range, address }) => [
            format!("--bind-address={address}"),
            format!("--advertise-address={address}"),
            format!("--secure-port={SERVICE_PORT}"),
            format!("--service-cluster-ip-range={service_range}"),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ]
        .to_vec(),
        None => vec![
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", secure.number()),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            // Pods need no token: no controller here makes their service accounts.
            "--disable-admission-plugins=ServiceAccount".to_owned(),
        ],
    };
    let arguments = vec![
        format!("--etcd-servers=http://{}", etcd.address()),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", file("certs")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("sa.pub")),
        format!("--service-account-signing-key-file={}", file("sa.key")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
    ];
    arguments.into_iter().chain(place).collect()
}

fn controller_manager_arguments(
    directory: &Path,
    metrics: &ReservedPort,
    options: &ClusterOptions,
) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let kubeconfig = file("system-kube-controller-manager.kubeconfig");
    let mut controllers = CONTROLLERS.join(",");
    if options.pod_access.is_some() {
        controllers.push(',');
        controllers.push_str(&NODE_CONTROLLERS.join(","));
    }
    if options.horizontal_pod_autoscaler {
        controllers.push_str(",horizontal-pod-autoscaler-controller");
    }
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", metrics.number()),
        format!("--cert-dir={}", file("controller-manager-certs")),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=false".to_owned(),
        format!("--service-account-private-key-file={}", file("sa.key")),
        format!("--root-ca-file={}", file("certs/apiserver.crt")),
        format!("--flex-volume-plugin-dir={}", file("flex-volumes")),
        // Its usual limits would make a scale-out of hundreds of pods a test of those limits.
        "--kube-api-qps=1000".to_owned(),
        "--kube-api-burst=2000".to_owned(),
        "--concurrent-deployment-syncs=20".to_owned(),
        "--concurrent-replicaset-syncs=20".to_owned(),
        "--concurrent-gc-syncs=40".to_owned(),
        format!("--controllers={controllers}"),
    ]
}
