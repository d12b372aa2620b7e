//! A real node: a control plane, `containerd` and a kubelet that runs real containers, in namespaces of their own.
//!
//! It needs root. Nothing of it is left after drop, nor after the process that made it was killed: its processes live in one
//! process namespace, its mounts in one mount namespace, its links in one network namespace.

mod image;
mod names;
mod network;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::access::ClientError;
use super::audit::Request;
use super::cluster::{Cluster, ClusterOptions};
use super::loopback::ReservedPort;
use super::process::{Sandbox, ServerProcess, StartError};
use super::program::{Missing, Program};
pub use image::BUSYBOX;
use names::Names;
use network::Network;

const SCRIPT: &str = include_str!("node/node.sh");

/// A running node with its control plane.
#[derive(Debug)]
pub struct Node {
    // In the order in which they end.
    kubelet: ServerProcess,
    _names: Names,
    _scheduler: ServerProcess,
    _scheduler_port: ReservedPort,
    cluster: Cluster,
    network: Network,
    image: String,
    sandbox: Sandbox,
}

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The operator's program, of which an image is built.
    pub operator: PathBuf,
    /// The name of that image.
    pub image: String,
    /// The script that builds it.
    pub script: PathBuf,
}

impl Node {
    /// Starts everything and waits until the node is ready.
    pub async fn start(options: &NodeOptions) -> Result<Self, StartError> {
        let programs = Programs::find()?;
        if !rustix::process::geteuid().is_root() {
            return Err(StartError::Unprivileged("a real node"));
        }
        let sandbox = Sandbox::new("node")?;
        let images = sandbox.path().join("images");
        fs::create_dir(&images).map_err(StartError::io("cannot make a directory"))?;
        image::write_busybox(&programs.busybox, &images).map_err(StartError::io("cannot write an image"))?;
        let image = image::write_operator(&options.script, &options.operator, &options.image, &images)
            .map_err(StartError::io("cannot build the operator's image"))?;
        let network = Network::create(&programs.ip, &sandbox)?;
        let cluster = Cluster::start_with(ClusterOptions {
            pod_access: Some(network.pod_access()),
            ..ClusterOptions::default()
        })
        .await?;
        let scheduler_port = ReservedPort::new().map_err(StartError::io("no free port"))?;
        let scheduler = start_scheduler(&programs, &sandbox, &cluster, &scheduler_port)?;
        register(cluster.client().await.map_err(no_client)?).await?;
        let names = Names::serve(network.machine(), cluster.client().await.map_err(no_client)?)
            .await
            .map_err(StartError::io("cannot serve names"))?;
        let kubelet = start_node(&programs, &sandbox, &cluster, &network)?;
        let mut started = Self {
            kubelet,
            _names: names,
            _scheduler: scheduler,
            _scheduler_port: scheduler_port,
            cluster,
            network,
            image,
            sandbox,
        };
        let client = started.client().await?;
        started.kubelet.wait_until_ready(|| is_ready(client.clone())).await?;
        Ok(started)
    }

    /// The control plane.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A client that may do everything.
    pub async fn client(&self) -> Result<Client, StartError> {
        self.cluster.client().await.map_err(no_client)
    }

    /// This machine's address as pods see it.
    pub const fn machine(&self) -> Ipv4Addr {
        self.network.machine()
    }

    /// What was said when the operator's image was built: its size.
    pub fn image(&self) -> &str {
        &self.image
    }

    /// What the pods' containers wrote last, by file; for a failure's report.
    pub fn pod_logs(&self) -> String {
        let pods = fs::read_dir(self.sandbox.path().join("pod-logs")).into_iter().flatten().flatten();
        let files = pods.flat_map(|pod| fs::read_dir(pod.path()).into_iter().flatten().flatten());
        let files =
            files.flat_map(|container| fs::read_dir(container.path()).into_iter().flatten().flatten());
        let tails = files.map(|file| {
            let log = fs::read_to_string(file.path()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join("\n");
            format!("{}:\n{tail}", file.path().display())
        });
        let texts: Vec<String> = std::iter::once(self.kubelet.log_tail()).chain(tails).collect();
        texts.join("\n")
    }

    /// Kills the operator in the pod of this name, as a crash does; `false` if it does not run.
    pub fn kill_operator_of(&self, pod: &str) -> bool {
        let name = format!("POD_NAME={pod}");
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let found = processes.filter(|process| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == name.as_bytes())
        });
        let ids = found.filter_map(|process| process.file_name()?.to_str()?.parse().ok());
        ids.filter_map(Pid::from_raw).any(|id| kill_process(id, Signal::KILL).is_ok())
    }

    /// The requests that came from pods under a service account of `namespace`.
    pub fn requests_of(&self, namespace: &str, account: &str) -> std::io::Result<Vec<Request>> {
        let user = format!("system:serviceaccount:{namespace}:{account}");
        Ok(self.cluster.requests()?.into_iter().filter(|request| request.user == user).collect())
    }
}

async fn is_ready(client: Client) -> Result<(), String> {
    let node = Api::<NodeObject>::all(client).get("node").await.map_err(|error| error.to_string())?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready");
    let tainted = node.spec.and_then(|spec| spec.taints).is_some_and(|taints| !taints.is_empty());
    match ready {
        Some(ready) if ready.status == "True" && !tainted => Ok(()),
        Some(ready) => Err(format!("the node is not ready: {}", ready.message.clone().unwrap_or_default())),
        None => Err("the node says nothing yet".to_owned()),
    }
}

struct Programs {
    scheduler: PathBuf,
    kubelet: PathBuf,
    containerd: PathBuf,
    ctr: PathBuf,
    cni: PathBuf,
    busybox: PathBuf,
    ip: PathBuf,
    unshare: PathBuf,
    nsenter: PathBuf,
}

impl Programs {
    fn find() -> Result<Self, StartError> {
        // Not named again, but containerd runs it, and the script that builds images.
        Program::Runc.find()?;
        Program::Buildah.find()?;
        let bridge = Program::CniBridge.find()?;
        Ok(Self {
            scheduler: Program::KubeScheduler.find()?,
            kubelet: Program::Kubelet.find()?,
            containerd: Program::Containerd.find()?,
            ctr: Program::Ctr.find()?,
            cni: bridge.parent().map(Path::to_owned).unwrap_or_default(),
            busybox: static_busybox()?,
            ip: Program::Ip.find()?,
            unshare: Program::Unshare.find()?,
            nsenter: Program::Nsenter.find()?,
        })
    }
}

/// One that needs a loader is as good as none: an image has nothing else in it.
fn static_busybox() -> Result<PathBuf, StartError> {
    let program = Program::Busybox;
    let path = program.find()?;
    let bytes = fs::read(&path).map_err(StartError::io("cannot read busybox"))?;
    let loader: &[u8] = b"/ld-";
    let begin = bytes.get(..4096).unwrap_or(&bytes);
    if begin.windows(loader.len()).any(|window| window == loader) {
        return Err(Missing { program }.into());
    }
    Ok(path)
}

fn kubeconfig(cluster: &Cluster, user: &str) -> Result<PathBuf, StartError> {
    cluster.kubeconfig_path(user).map(Path::to_owned).map_err(no_client)
}

fn no_client(error: ClientError) -> StartError {
    StartError::io("there is no client of the API server")(std::io::Error::other(error))
}

/// The kubelet would register its node itself, but asks for it before, and waits for half a minute when it is not there.
async fn register(client: Client) -> Result<(), StartError> {
    let metadata = ObjectMeta { name: Some("node".to_owned()), ..ObjectMeta::default() };
    let node = NodeObject { metadata, ..NodeObject::default() };
    Ok(Api::all(client).create(&PostParams::default(), &node).await.map(drop)?)
}

fn start_scheduler(
    programs: &Programs,
    sandbox: &Sandbox,
    cluster: &Cluster,
    port: &ReservedPort,
) -> Result<ServerProcess, StartError> {
    let kubeconfig = kubeconfig(cluster, "system:kube-scheduler")?.display().to_string();
    let certificates = sandbox.path().join("scheduler-certs");
    sandbox.start(
        &programs.scheduler,
        &[
            format!("--kubeconfig={kubeconfig}"),
            format!("--authentication-kubeconfig={kubeconfig}"),
            format!("--authorization-kubeconfig={kubeconfig}"),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", port.number()),
            format!("--cert-dir={}", certificates.display()),
        ],
    )
}

fn start_node(
    programs: &Programs,
    sandbox: &Sandbox,
    cluster: &Cluster,
    network: &Network,
) -> Result<ServerProcess, StartError> {
    let directory = sandbox.path();
    write_configuration(programs, directory, network).map_err(StartError::io("cannot set the node up"))?;
    fs::copy(kubeconfig(cluster, "kubelet")?, directory.join("kubelet.kubeconfig"))
        .map_err(StartError::io("cannot write the kubelet's kubeconfig"))?;
    let text = |path: &Path| path.display().to_string();
    sandbox.start(
        &programs.nsenter,
        &[
            format!("--net={}", network.namespace_file().display()),
            text(&programs.unshare),
            "--mount".to_owned(),
            "--pid".to_owned(),
            "--ipc".to_owned(),
            "--uts".to_owned(),
            "--fork".to_owned(),
            "--kill-child=KILL".to_owned(),
            "--mount-proc".to_owned(),
            "sh".to_owned(),
            text(&directory.join("node.sh")),
            text(directory),
            text(&programs.cni),
            text(&programs.containerd),
            text(&programs.ctr),
            text(&programs.kubelet),
        ],
    )
}

fn write_configuration(programs: &Programs, directory: &Path, network: &Network) -> std::io::Result<()> {
    let file = |name: &str| directory.join(name).display().to_string();
    fs::write(directory.join("node.sh"), SCRIPT)?;
    let containerd = format!(
        "version = 2
root = '{root}'
state = '/run/containerd-state'
disabled_plugins = ['io.containerd.snapshotter.v1.btrfs', 'io.containerd.snapshotter.v1.devmapper']
[grpc]
address = '/run/containerd.sock'
[plugins.'io.containerd.grpc.v1.cri']
restrict_oom_score_adj = true
sandbox_image = '{pause}'
disable_tcp_service = true
[plugins.'io.containerd.grpc.v1.cri'.cni]
bin_dir = '{plugins}'
conf_dir = '{configuration}'
",
        root = file("containerd"),
        pause = image::PAUSE,
        plugins = programs.cni.display(),
        configuration = file("cni"),
    );
    fs::write(directory.join("containerd.toml"), containerd)?;
    fs::create_dir(directory.join("cni"))?;
    let cni = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": network.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    });
    fs::write(directory.join("cni/pods.conflist"), cni.to_string())?;
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // The API server fetches logs here. Nobody else can: the link ends at this machine.
        "address": network.node(),
        "healthzPort": 0,
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": "unix:///run/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "cgroupRoot": format!("/{}", network.namespace()),
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "failCgroupV1": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {"memory.available": "1Mi"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": file("pod-logs"),
        "volumePluginDir": file("volume-plugins"),
        "resolvConf": "",
        "clusterDNS": [network.machine()],
        "clusterDomain": "cluster.local",
        "registerNode": true,
        // Status is told often enough for a test that waits for it.
        "nodeStatusUpdateFrequency": "2s",
        "syncFrequency": "2s",
    });
    fs::write(directory.join("kubelet.yaml"), kubelet.to_string())
}
