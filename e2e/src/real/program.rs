//! Where the real servers' programs are found, and what to do about one that is not there.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where envtest puts its programs unless told otherwise.
const DEFAULT_ASSETS: &str = "/usr/local/kubebuilder/bin";
/// Where distributions and the project itself put CNI's plugins.
const CNI_PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
/// Where Debian puts PostgreSQL's programs, by version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// A program that the test bed runs but does not bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The API server's store.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The controllers of Deployments, ReplicaSets and their like.
    KubeControllerManager,
    /// Puts pods on nodes.
    KubeScheduler,
    /// Runs pods on a node.
    Kubelet,
    /// Runs containers for the kubelet.
    Containerd,
    /// containerd's command line.
    Ctr,
    /// Runs one container for containerd.
    Runc,
    /// CNI's plugin that puts pods on a bridge.
    CniBridge,
    /// The usual programs in one file without libraries, for images.
    Busybox,
    /// Sets up network namespaces.
    Ip,
    /// Gives a process namespaces of its own.
    Unshare,
    /// Enters a network namespace.
    Nsenter,
    /// Builds container images.
    Buildah,
    /// The command line of Kubernetes.
    Kubectl,
    /// Makes the key that signs service account tokens.
    Openssl,
    /// The Prometheus server.
    Prometheus,
    /// Prometheus' tool for its files.
    Promtool,
    /// The PostgreSQL server.
    Postgres,
    /// Makes the directory that a PostgreSQL server keeps its databases in.
    Initdb,
    /// PostgreSQL's metrics for Prometheus.
    PostgresExporter,
    /// Runs a program as another user: PostgreSQL refuses to run as root.
    Setpriv,
    /// A gateway for HTTP.
    Haproxy,
}

/// A program that is not installed; prints as one line with the way to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Missing {
    /// The program that was looked for.
    pub program: Program,
}

impl Program {
    /// The program's path: in `KUBEBUILDER_ASSETS`, else in `/usr/local/kubebuilder/bin`, else, for those that
    /// distributions package, in `PATH`.
    pub fn find(self) -> Result<PathBuf, Missing> {
        self.find_in(env::var_os("KUBEBUILDER_ASSETS").as_deref(), env::var_os("PATH").as_deref())
    }

    fn find_in(self, assets: Option<&OsStr>, path: Option<&OsStr>) -> Result<PathBuf, Missing> {
        let assets = assets.map_or_else(|| PathBuf::from(DEFAULT_ASSETS), PathBuf::from);
        let envtest = self.comes_with_envtest().then_some(assets);
        let plugins = CNI_PLUGINS.iter().filter(|_| self == Self::CniBridge).map(PathBuf::from);
        let versions = self.is_kept_by_version().then(versions_of_postgres).unwrap_or_default();
        let packaged = path.filter(|_| self.is_packaged()).into_iter().flat_map(env::split_paths);
        envtest
            .into_iter()
            .chain(plugins)
            .chain(versions)
            .chain(packaged)
            .map(|directory| directory.join(self.name()))
            .find(|candidate| is_executable(candidate))
            .ok_or(Missing { program: self })
    }

    /// The name of the program's file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::Containerd => "containerd",
            Self::Ctr => "ctr",
            Self::Runc => "runc",
            Self::CniBridge => "bridge",
            Self::Busybox => "busybox",
            Self::Ip => "ip",
            Self::Unshare => "unshare",
            Self::Nsenter => "nsenter",
            Self::Buildah => "buildah",
            Self::Kubectl => "kubectl",
            Self::Openssl => "openssl",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Postgres => "postgres",
            Self::Initdb => "initdb",
            Self::PostgresExporter => "prometheus-postgres-exporter",
            Self::Setpriv => "setpriv",
            Self::Haproxy => "haproxy",
        }
    }

    const fn comes_with_envtest(self) -> bool {
        matches!(
            self,
            Self::Etcd
                | Self::KubeApiserver
                | Self::KubeControllerManager
                | Self::KubeScheduler
                | Self::Kubelet
                | Self::Kubectl
        )
    }

    /// Debian installs several versions of it side by side, none of them in `PATH`.
    const fn is_kept_by_version(self) -> bool {
        matches!(self, Self::Postgres | Self::Initdb)
    }

    const fn is_packaged(self) -> bool {
        !matches!(
            self,
            Self::KubeApiserver
                | Self::KubeControllerManager
                | Self::KubeScheduler
                | Self::Kubelet
                | Self::CniBridge
        )
    }

    const fn how_to_get_it(self) -> &'static str {
        match self {
            Self::Etcd => "`setup-envtest use` or your distribution's package `etcd-server` brings it",
            Self::KubeApiserver | Self::Kubectl => "`setup-envtest use` brings it",
            Self::KubeControllerManager | Self::KubeScheduler | Self::Kubelet => {
                "put the one of the Kubernetes release beside kube-apiserver; envtest does not bring it"
            }
            Self::Containerd | Self::Ctr => "your distribution's package `containerd` brings it",
            Self::Runc => "your distribution's package `runc` brings it",
            Self::CniBridge => "your distribution's package `containernetworking-plugins` brings it",
            Self::Busybox => "your distribution's package `busybox-static` brings it",
            Self::Ip => "your distribution's package `iproute2` brings it",
            Self::Unshare | Self::Nsenter | Self::Setpriv => {
                "your distribution's package `util-linux` brings it"
            }
            Self::Buildah => "your distribution's package `buildah` brings it",
            Self::Openssl => "your distribution's package `openssl` brings it",
            Self::Prometheus | Self::Promtool => "your distribution's package `prometheus` brings it",
            Self::Postgres | Self::Initdb => "your distribution's package `postgresql` brings it",
            Self::PostgresExporter => "your distribution's package `prometheus-postgres-exporter` brings it",
            Self::Haproxy => "your distribution's package `haproxy` brings it",
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program;
        let places = match (program.comes_with_envtest(), program.is_packaged()) {
            (true, false) => "KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin",
            (false, false) => "/usr/lib/cni or /opt/cni/bin",
            (true, true) => "KUBEBUILDER_ASSETS, /usr/local/kubebuilder/bin or PATH",
            (false, true) if program.is_kept_by_version() => "/usr/lib/postgresql/*/bin or PATH",
            (false, true) => "PATH",
        };
        write!(f, "{} not found in {places} ({})", program.name(), program.how_to_get_it())
    }
}

/// The directories of PostgreSQL's programs, the newest version's first.
fn versions_of_postgres() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.split('.').next()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, directory)| directory).collect()
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_program_is_found_where_envtest_looks_and_then_in_the_path() {
        let (assets, path) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let find = |program: Program| {
            program.find_in(Some(assets.path().as_os_str()), Some(path.path().as_os_str())).ok()
        };
        for name in ["etcd", "kube-apiserver"] {
            let file = path.path().join(name);
            fs::write(&file, "").unwrap();
            assert_eq!(find(Program::Etcd), None, "a file that cannot be executed is no program");
            fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
            if name == "etcd" {
                assert_eq!(find(Program::Etcd), Some(file.clone()));
                fs::remove_file(file).unwrap();
            }
        }
        assert_eq!(find(Program::KubeApiserver), None, "Kubernetes is not looked for in the path");
        let file = assets.path().join("kube-apiserver");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find(Program::KubeApiserver), Some(file));
    }

    #[test]
    fn a_missing_program_says_where_it_was_looked_for_and_how_to_get_it() {
        let message = Missing { program: Program::KubeApiserver }.to_string();
        assert_eq!(
            message,
            "kube-apiserver not found in KUBEBUILDER_ASSETS or /usr/local/kubebuilder/bin \
             (`setup-envtest use` brings it)"
        );
    }
}
