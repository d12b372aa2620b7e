//! What the operator must be allowed to do.

/// Verbs on resources of one API group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for core.
    pub group: &'static str,
    /// Resources, or `resource/subresource`.
    pub resources: Vec<&'static str>,
    /// Verbs, as RBAC spells them.
    pub verbs: Vec<&'static str>,
}

/// All that the operator needs, and nothing that it does not.
pub fn operator_rights() -> Vec<Right> {
    let right = |group, resources: &[&'static str], verbs: &[&'static str]| Right {
        group,
        resources: resources.to_vec(),
        verbs: verbs.to_vec(),
    };
    vec![
        right("plimsoll.dev", &["scalingpolicies"], &["get", "list", "watch"]),
        right("plimsoll.dev", &["scalingpolicies/status"], &["patch"]),
        right("apps", &["deployments", "statefulsets", "replicasets"], &["get", "list", "watch"]),
        right("apps", &["deployments/scale", "statefulsets/scale"], &["get", "patch"]),
        right("", &["pods"], &["get", "list", "watch"]),
        right("autoscaling", &["horizontalpodautoscalers"], &["get", "list", "watch"]),
        right("events.k8s.io", &["events"], &["create"]),
    ]
}

impl Right {
    /// These rights without one verb on one resource.
    #[must_use]
    pub fn all_but(rights: Vec<Self>, verb: &str, resource: &str) -> Vec<Self> {
        rights
            .into_iter()
            .flat_map(|right| {
                let (touched, others): (Vec<_>, Vec<_>) =
                    right.resources.iter().copied().partition(|one| *one == resource);
                let fewer = right.verbs.iter().copied().filter(|one| *one != verb).collect();
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
        let rights = Right::all_but(operator_rights(), "patch", "deployments/scale");
        let may = |verb: &str, resource: &str| {
            rights.iter().any(|right| right.verbs.contains(&verb) && right.resources.contains(&resource))
        };
        assert!(!may("patch", "deployments/scale"));
        assert!(may("get", "deployments/scale"));
        assert!(may("patch", "statefulsets/scale"));
        assert!(may("watch", "pods"));
    }
}
