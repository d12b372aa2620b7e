//! What the operator is allowed to do: the role that is installed, and no more.

use serde::Deserialize;

use super::BedError;

/// The manifests that people install.
const MANIFESTS: &str = include_str!("../../../deploy/rbac.yaml");

/// Verbs on resources of API groups.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Right {
    /// The API groups; the core group is empty.
    pub api_groups: Vec<String>,
    /// Resources, or `resource/subresource`.
    pub resources: Vec<String>,
    /// Verbs, as RBAC spells them.
    pub verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Role {
    rules: Vec<Right>,
}

/// What the installed roles grant, in the cluster and in the operator's own namespace.
pub fn operator_rights() -> Result<Vec<Right>, BedError> {
    let is_role = |manifest: &&str| {
        ["\nkind: ClusterRole\n", "\nkind: Role\n"].iter().any(|kind| manifest.contains(kind))
    };
    let mut rights = Vec::new();
    for manifest in MANIFESTS.split("\n---\n").filter(is_role) {
        let role: Role = serde_saphyr::from_str(manifest)
            .map_err(|error| BedError::Late(format!("deploy/rbac.yaml: {error}")))?;
        rights.extend(role.rules);
    }
    Ok(rights)
}

impl Right {
    /// These rights without one verb on one resource.
    #[must_use]
    pub fn all_but(rights: Vec<Self>, verb: &str, resource: &str) -> Vec<Self> {
        rights
            .into_iter()
            .flat_map(|right| {
                let (touched, others): (Vec<_>, Vec<_>) =
                    right.resources.iter().cloned().partition(|one| one == resource);
                let fewer = right.verbs.iter().filter(|one| *one != verb).cloned().collect();
                [
                    Self { resources: others, ..right.clone() },
                    Self { resources: touched, verbs: fewer, ..right },
                ]
            })
            .filter(|right| !right.resources.is_empty() && !right.verbs.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_verb_on_one_resource_is_left_out_and_nothing_else() {
        let rights = Right::all_but(operator_rights().unwrap(), "patch", "deployments/scale");
        let may = |verb: &str, resource: &str| {
            rights.iter().any(|right| {
                right.verbs.iter().any(|one| one == verb) && right.resources.iter().any(|one| one == resource)
            })
        };
        assert!(!may("patch", "deployments/scale"));
        assert!(may("get", "deployments/scale"));
        assert!(may("patch", "statefulsets/scale"));
        assert!(may("watch", "pods"));
        assert!(may("patch", "leases"));
    }
}
