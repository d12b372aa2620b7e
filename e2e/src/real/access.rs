//! Who may speak to the API server: users with tokens, their kubeconfigs and clients, and the rights they are given.

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use kube::api::{ObjectMeta, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client, Config};

/// A user that the API server knows by a token.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    groups: Vec<String>,
    token: String,
}

impl User {
    /// May do everything, and is asked no questions by flow control.
    pub(crate) const MASTERS: &str = "system:masters";

    /// A user named `name` in `groups`, with a token of its own. Without a group it may do what every authenticated
    /// user may: next to nothing.
    pub fn new(name: &str, groups: &[&str]) -> io::Result<Self> {
        let mut random = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let token = random.iter().fold(String::new(), |mut token, byte| {
            let _ = write!(token, "{byte:02x}");
            token
        });
        Ok(Self { name: name.to_owned(), groups: groups.iter().map(ToString::to_string).collect(), token })
    }

    /// The user's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// This user as a line of the API server's token file.
    fn line(&self) -> String {
        format!("{},{},{},\"{}\"\n", self.token, self.name, self.name, self.groups.join(","))
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// Writes the file by which the API server knows the users.
pub(crate) fn write_token_file(path: &Path, users: &[User]) -> io::Result<()> {
    fs::write(path, users.iter().map(User::line).collect::<String>())
}

/// Writes a kubeconfig by which `user` reaches the API server, and returns its path.
pub(crate) fn write_kubeconfig(
    directory: &Path,
    user: &User,
    server: SocketAddr,
    certificate: &Path,
) -> io::Result<PathBuf> {
    let path = directory.join(format!("{}.kubeconfig", user.name.replace(':', "-")));
    let (name, token, certificate) = (&user.name, &user.token, certificate.display());
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: test-bed
contexts:
- name: test-bed
  context: {{cluster: test-bed, user: \"{name}\"}}
clusters:
- name: test-bed
  cluster:
    server: https://{server}
    certificate-authority: \"{certificate}\"
users:
- name: \"{name}\"
  user: {{token: \"{token}\"}}
"
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// A client for the kubeconfig at `path`, with connections of its own, which end with the runtime it is made in.
pub async fn client_of(path: &Path) -> Result<Client, ClientError> {
    super::choose_tls_provider();
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    // The environment's proxy does not know this loopback.
    config.proxy_url = None;
    Ok(Client::try_from(config).map_err(Box::new)?)
}

/// Why there is no client for a user.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The user is not among the cluster's.
    #[error("the cluster knows no user {wanted}; it was started with {known}")]
    UnknownUser {
        /// The name asked for.
        wanted: String,
        /// The names it was started with.
        known: String,
    },
    /// The kubeconfig cannot be used.
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    /// The client cannot be built.
    #[error(transparent)]
    Client(#[from] Box<kube::Error>),
}

/// Lets `user` do what `rules` say, in all namespaces.
pub async fn grant(admin: Client, user: &str, rules: Vec<PolicyRule>) -> kube::Result<()> {
    let metadata = ObjectMeta { generate_name: Some(format!("{user}-")), ..ObjectMeta::default() };
    let role = ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..ClusterRole::default() };
    let role = Api::all(admin.clone()).create(&PostParams::default(), &role).await?;
    let binding = ClusterRoleBinding {
        metadata,
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "ClusterRole".to_owned(),
            name: role.metadata.name.unwrap_or_default(),
        },
        subjects: Some(vec![Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: user.to_owned(),
            namespace: None,
        }]),
    };
    Api::all(admin).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// A rule that allows `verbs` on `resources` (such as `deployments/scale`) of one API group.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// Creates the namespace `name`.
pub async fn create_namespace(admin: Client, name: &str) -> kube::Result<()> {
    let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(admin).create(&PostParams::default(), &namespace).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_token_is_its_own_and_is_not_printed() {
        let (one, other) = (User::new("operator", &[]).unwrap(), User::new("operator", &[]).unwrap());
        assert_eq!(one.token.len(), 32);
        assert_ne!(one.token, other.token);
        assert_eq!(format!("{one:?}"), r#"User { name: "operator", groups: [], .. }"#);
    }
}
