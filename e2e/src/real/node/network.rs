//! A network namespace with a link to this machine, for a node and its pods.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::real::cluster::PodAccess;
use crate::real::process::{Sandbox, StartError};

/// Networks of 198.18.0.0/15, which is set aside for tests of networks, tried one after another.
const NETWORKS: u8 = 100;

/// A /24 of its own: a link between this machine and the node, the services, the pods.
#[derive(Clone, Debug)]
pub(super) struct Network {
    number: u8,
}

impl Network {
    /// Makes the namespace and the link. `sandbox` takes them away at its end.
    pub(super) fn create(ip: &Path, sandbox: &Sandbox) -> Result<Self, StartError> {
        let start = u8::try_from(std::process::id() % u32::from(NETWORKS)).unwrap_or_default();
        let mut refusal = io::Error::other("all are in use");
        for step in 0..NETWORKS {
            let network = Self { number: (start + step) % NETWORKS };
            match run(ip, &["netns", "add", &network.namespace()]) {
                Ok(()) => return network.set_up(ip, sandbox),
                Err(error) => refusal = error,
            }
        }
        Err(StartError::io("cannot make a network namespace")(refusal))
    }

    fn set_up(self, ip: &Path, sandbox: &Sandbox) -> Result<Self, StartError> {
        sandbox.at_end(&self.end(ip))?;
        let (namespace, link) = (self.namespace(), self.link());
        let within = |address: Ipv4Addr, bits: u8| format!("{address}/{bits}");
        let (own, node) = (within(self.machine(), 30), within(self.node(), 30));
        let api_server = within(self.api_server(), 32);
        let (gateway, via) = (self.machine().to_string(), self.node().to_string());
        let steps: [&[&str]; 8] = [
            &["link", "add", &link, "type", "veth", "peer", "name", "uplink", "netns", &namespace],
            &["address", "add", &own, "dev", &link],
            &["address", "add", &api_server, "dev", &link],
            &["link", "set", &link, "up"],
            &["-netns", &namespace, "address", "add", &node, "dev", "uplink"],
            &["-netns", &namespace, "link", "set", "uplink", "up"],
            &["-netns", &namespace, "route", "add", "default", "via", &gateway],
            &["route", "add", &self.pods(), "via", &via],
        ];
        for step in steps {
            run(ip, step).map_err(StartError::io(format!("cannot do `ip {}`", step.join(" "))))?;
        }
        Ok(self)
    }

    /// Removes what outlives the node's processes: the namespace, the link with it, and empty control groups.
    fn end(&self, ip: &Path) -> String {
        format!(
            "{ip} netns delete {namespace} 2>/dev/null
{ip} link delete {link} 2>/dev/null
find /sys/fs/cgroup -depth -type d -path '*/{namespace}*' -exec rmdir {{}} ';' 2>/dev/null
true
",
            ip = ip.display(),
            namespace = self.namespace(),
            link = self.link(),
        )
    }

    /// The name of the namespace, and of the control group of the node's pods.
    pub(super) fn namespace(&self) -> String {
        format!("plimsoll-node-{}", self.number)
    }

    /// The namespace as a file.
    pub(super) fn namespace_file(&self) -> PathBuf {
        Path::new("/run/netns").join(self.namespace())
    }

    fn link(&self) -> String {
        format!("plimsoll{}", self.number)
    }

    const fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, host)
    }

    /// This machine, as the node and its pods see it.
    pub(super) const fn machine(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// The node, as this machine sees it.
    pub(super) const fn node(&self) -> Ipv4Addr {
        self.address(2)
    }

    const fn api_server(&self) -> Ipv4Addr {
        self.address(17)
    }

    /// Where the API server is.
    pub(super) fn pod_access(&self) -> PodAccess {
        PodAccess { service_range: format!("{}/28", self.address(16)), address: self.api_server() }
    }

    /// The addresses of pods.
    pub(super) fn pods(&self) -> String {
        format!("{}/25", self.address(128))
    }
}

fn run(ip: &Path, arguments: &[&str]) -> io::Result<()> {
    let output = Command::new(ip).args(arguments).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
