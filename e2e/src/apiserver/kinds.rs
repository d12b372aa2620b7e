//! The kinds that the server serves: built-in ones, and those of installed CRDs.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::custom::Custom;
use super::schema::{Schema, builtin};
use super::status::Subject;

/// How `/scale` reads and writes an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: Vec<String>,
    pub(crate) status_replicas: Vec<String>,
    pub(crate) selector: ScaleSelector,
}

/// Where `/scale` finds the selector of an object's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScaleSelector {
    /// The object does not name one.
    None,
    /// A string in the form of a query parameter.
    Text(Vec<String>),
    /// `spec.selector`, a LabelSelector.
    Structured,
}

/// Two API versions that show the same objects differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conversion {
    None,
    /// `events.k8s.io/v1`, stored as core/v1 events.
    Events,
}

/// One kind in one API version.
#[derive(Debug)]
#[allow(clippy::struct_field_names, reason = "a kind's `kind` is what Kubernetes calls its name")]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) namespaced: bool,
    pub(crate) verbs: &'static [&'static str],
    /// The section of the store that holds the objects, whatever the version.
    pub(crate) storage: String,
    pub(crate) status: bool,
    pub(crate) scale: Option<ScalePaths>,
    /// `metadata.generation` counts changes of what the user wants.
    pub(crate) generation: bool,
    pub(crate) schema: Arc<Schema>,
    /// The name of the kind's OpenAPI component.
    pub(crate) definition: String,
    /// Field selectors that the kind knows beside name and namespace.
    pub(crate) selectable: Vec<String>,
    pub(crate) conversion: Conversion,
    pub(crate) custom: Option<Custom>,
}

impl Kind {
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `plural.group`, as CRDs are named and messages say it.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The resource `name` in messages that speak of resources.
    pub(crate) fn resource_subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.group, kind: &self.plural, name }
    }

    /// The object `name` in messages that speak of kinds.
    pub(crate) fn kind_subject<'a>(&'a self, name: &'a str) -> Subject<'a> {
        Subject { group: &self.group, kind: &self.kind, name }
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub(crate) fn allows(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }
}

/// Every verb of an ordinary resource, in the order of discovery.
pub(crate) const ALL_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Verbs of a resource that only answers questions.
const REVIEW_VERBS: &[&str] = &["create"];

/// All kinds by group, version and plural.
#[derive(Clone, Debug)]
pub(crate) struct Kinds {
    by_resource: BTreeMap<(String, String, String), Arc<Kind>>,
}

impl Kinds {
    pub(crate) fn built_in() -> Self {
        static KINDS: LazyLock<Kinds> = LazyLock::new(|| {
            let mut kinds = Kinds { by_resource: BTreeMap::new() };
            for row in BUILT_IN {
                kinds.add(Arc::new(row.kind()));
            }
            kinds
        });
        KINDS.clone()
    }

    pub(crate) fn add(&mut self, kind: Arc<Kind>) {
        let key = (kind.group.clone(), kind.version.clone(), kind.plural.clone());
        self.by_resource.insert(key, kind);
    }

    /// Removes the kinds of a CRD, by its name.
    pub(crate) fn remove_custom(&mut self, crd: &str) {
        self.by_resource.retain(|_, kind| !(kind.is_custom() && kind.resource() == crd));
    }

    pub(crate) fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_resource.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.by_resource.values()
    }

    /// The API groups and their versions, the preferred first; core, the empty group, first of all.
    pub(crate) fn groups(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for kind in self.all() {
            let versions = groups.entry(&kind.group).or_default();
            if !versions.contains(&kind.version.as_str()) {
                versions.push(&kind.version);
            }
        }
        groups
    }
}

struct Row {
    api_version: (&'static str, &'static str),
    names: (&'static str, &'static str, &'static str),
    short_names: &'static [&'static str],
    traits: &'static [Trait],
    definition: &'static str,
    selectable: &'static [&'static str],
}

#[derive(PartialEq, Eq)]
enum Trait {
    ClusterScoped,
    Status,
    Scale,
    Generation,
    InAll,
    Review,
}

impl Row {
    fn kind(&self) -> Kind {
        let (plural, singular, kind) = self.names;
        let (group, version) = self.api_version;
        let is = |wanted: Trait| self.traits.contains(&wanted);
        let is_new_event = group == "events.k8s.io";
        Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            plural: plural.to_owned(),
            singular: singular.to_owned(),
            kind: kind.to_owned(),
            short_names: owned(self.short_names),
            categories: if is(InAll) { vec!["all".to_owned()] } else { Vec::new() },
            namespaced: !is(ClusterScoped),
            verbs: if is(Review) { REVIEW_VERBS } else { ALL_VERBS },
            storage: if is_new_event { "events.".to_owned() } else { format!("{plural}.{group}") },
            status: is(Status),
            scale: is(Scale).then(|| ScalePaths {
                spec_replicas: owned(&["spec", "replicas"]),
                status_replicas: owned(&["status", "replicas"]),
                selector: ScaleSelector::Structured,
            }),
            generation: is(Generation),
            schema: builtin::schema(self.definition),
            definition: self.definition.to_owned(),
            selectable: owned(self.selectable),
            conversion: if is_new_event { Conversion::Events } else { Conversion::None },
            custom: None,
        }
    }
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

const EVENT_FIELDS: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];

const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
];

use Trait::{ClusterScoped, Generation, InAll, Review, Scale, Status};

const BUILT_IN: &[Row] = &[
    Row {
        api_version: ("", "v1"),
        names: ("namespaces", "namespace", "Namespace"),
        short_names: &["ns"],
        traits: &[ClusterScoped, Status],
        definition: "io.k8s.api.core.v1.Namespace",
        selectable: &["status.phase"],
    },
    Row {
        api_version: ("", "v1"),
        names: ("pods", "pod", "Pod"),
        short_names: &["po"],
        traits: &[Status, Generation, InAll],
        definition: "io.k8s.api.core.v1.Pod",
        selectable: POD_FIELDS,
    },
    Row {
        api_version: ("", "v1"),
        names: ("events", "event", "Event"),
        short_names: &["ev"],
        traits: &[],
        definition: "io.k8s.api.core.v1.Event",
        selectable: EVENT_FIELDS,
    },
    Row {
        api_version: ("events.k8s.io", "v1"),
        names: ("events", "event", "Event"),
        short_names: &["ev"],
        traits: &[],
        definition: "io.k8s.api.events.v1.Event",
        selectable: EVENT_FIELDS,
    },
    Row {
        api_version: ("", "v1"),
        names: ("configmaps", "configmap", "ConfigMap"),
        short_names: &["cm"],
        traits: &[],
        definition: "io.k8s.api.core.v1.ConfigMap",
        selectable: &[],
    },
    Row {
        api_version: ("", "v1"),
        names: ("services", "service", "Service"),
        short_names: &["svc"],
        traits: &[Status, InAll],
        definition: "io.k8s.api.core.v1.Service",
        selectable: &["spec.clusterIP", "spec.type"],
    },
    Row {
        api_version: ("", "v1"),
        names: ("serviceaccounts", "serviceaccount", "ServiceAccount"),
        short_names: &["sa"],
        traits: &[],
        definition: "io.k8s.api.core.v1.ServiceAccount",
        selectable: &[],
    },
    Row {
        api_version: ("", "v1"),
        names: ("secrets", "secret", "Secret"),
        short_names: &[],
        traits: &[],
        definition: "io.k8s.api.core.v1.Secret",
        selectable: &["type"],
    },
    Row {
        api_version: ("", "v1"),
        names: ("nodes", "node", "Node"),
        short_names: &["no"],
        traits: &[ClusterScoped, Status],
        definition: "io.k8s.api.core.v1.Node",
        selectable: &["spec.unschedulable"],
    },
    Row {
        api_version: ("coordination.k8s.io", "v1"),
        names: ("leases", "lease", "Lease"),
        short_names: &[],
        traits: &[],
        definition: "io.k8s.api.coordination.v1.Lease",
        selectable: &[],
    },
    Row {
        api_version: ("apps", "v1"),
        names: ("deployments", "deployment", "Deployment"),
        short_names: &["deploy"],
        traits: &[Status, Scale, Generation, InAll],
        definition: "io.k8s.api.apps.v1.Deployment",
        selectable: &[],
    },
    Row {
        api_version: ("apps", "v1"),
        names: ("replicasets", "replicaset", "ReplicaSet"),
        short_names: &["rs"],
        traits: &[Status, Scale, Generation, InAll],
        definition: "io.k8s.api.apps.v1.ReplicaSet",
        selectable: &["status.replicas"],
    },
    Row {
        api_version: ("apps", "v1"),
        names: ("statefulsets", "statefulset", "StatefulSet"),
        short_names: &["sts"],
        traits: &[Status, Scale, Generation, InAll],
        definition: "io.k8s.api.apps.v1.StatefulSet",
        selectable: &[],
    },
    Row {
        api_version: ("autoscaling", "v2"),
        names: ("horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler"),
        short_names: &["hpa"],
        traits: &[Status, InAll],
        definition: "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
        selectable: &[],
    },
    Row {
        api_version: ("policy", "v1"),
        names: ("poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget"),
        short_names: &["pdb"],
        traits: &[Status, Generation],
        definition: "io.k8s.api.policy.v1.PodDisruptionBudget",
        selectable: &[],
    },
    Row {
        api_version: ("rbac.authorization.k8s.io", "v1"),
        names: ("roles", "role", "Role"),
        short_names: &[],
        traits: &[],
        definition: "io.k8s.api.rbac.v1.Role",
        selectable: &[],
    },
    Row {
        api_version: ("rbac.authorization.k8s.io", "v1"),
        names: ("rolebindings", "rolebinding", "RoleBinding"),
        short_names: &[],
        traits: &[],
        definition: "io.k8s.api.rbac.v1.RoleBinding",
        selectable: &[],
    },
    Row {
        api_version: ("rbac.authorization.k8s.io", "v1"),
        names: ("clusterroles", "clusterrole", "ClusterRole"),
        short_names: &[],
        traits: &[ClusterScoped],
        definition: "io.k8s.api.rbac.v1.ClusterRole",
        selectable: &[],
    },
    Row {
        api_version: ("rbac.authorization.k8s.io", "v1"),
        names: ("clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding"),
        short_names: &[],
        traits: &[ClusterScoped],
        definition: "io.k8s.api.rbac.v1.ClusterRoleBinding",
        selectable: &[],
    },
    Row {
        api_version: ("authorization.k8s.io", "v1"),
        names: ("selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview"),
        short_names: &[],
        traits: &[ClusterScoped, Review],
        definition: "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
        selectable: &[],
    },
    Row {
        api_version: ("apiextensions.k8s.io", "v1"),
        names: ("customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition"),
        short_names: &["crd", "crds"],
        traits: &[ClusterScoped, Status, Generation],
        definition: "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
        selectable: &[],
    },
];

/// The `apiVersion` and `kind` that an object says of itself.
pub(crate) fn type_of(object: &Value) -> (&str, &str) {
    (super::object::text(object, &["apiVersion"]), super::object::text(object, &["kind"]))
}
