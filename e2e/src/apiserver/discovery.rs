//! Which API groups, versions and resources there are.

use serde_json::{Value, json};

use super::kinds::{Kind, Kinds};

/// The content type of aggregated discovery.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/version`.
pub(crate) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "36",
        "gitVersion": "v1.36.0+double",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "",
        "platform": "",
    })
}

/// The answer to `path` with its content type, if it is one of discovery's.
pub(crate) fn answer(kinds: &Kinds, path: &str, accept: &str) -> Option<(Value, &'static str)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let plain = |value: Value| Some((value, "application/json"));
    let wants_aggregated = accept.contains("g=apidiscovery.k8s.io") && accept.contains("v=v2;");
    let wants_aggregated = wants_aggregated || accept.contains("v=v2,") || accept.ends_with("v=v2");
    match parts.as_slice() {
        ["api"] if wants_aggregated => Some((aggregated(kinds, str::is_empty), AGGREGATED)),
        ["apis"] if wants_aggregated => Some((aggregated(kinds, |group| !group.is_empty()), AGGREGATED)),
        ["api"] => {
            plain(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
        }
        ["apis"] => plain(group_list(kinds)),
        ["api", version] => resource_list(kinds, "", version).and_then(plain),
        ["apis", group] => group_of(kinds, group).and_then(|mut found| {
            super::object::set(&mut found, &["kind"], "APIGroup");
            super::object::set(&mut found, &["apiVersion"], "v1");
            plain(found)
        }),
        ["apis", group, version] => resource_list(kinds, group, version).and_then(plain),
        _ => None,
    }
}

fn group_list(kinds: &Kinds) -> Value {
    let groups: Vec<Value> = kinds
        .groups()
        .into_keys()
        .filter(|group| !group.is_empty())
        .filter_map(|group| group_of(kinds, group))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn group_of(kinds: &Kinds, group: &str) -> Option<Value> {
    let groups = kinds.groups();
    let versions = groups.get(group)?.iter();
    let versions: Vec<Value> = versions
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    Some(json!({"name": group, "preferredVersion": versions.first(), "versions": versions}))
}

fn of_version<'a>(kinds: &'a Kinds, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Kind> {
    kinds.all().map(|kind| &**kind).filter(move |kind| kind.group == group && kind.version == version)
}

fn resource_list(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let resources: Vec<Value> = of_version(kinds, group, version).flat_map(rows).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!resources.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources})
    })
}

fn rows(kind: &Kind) -> Vec<Value> {
    let mut main = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    for (field, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !list.is_empty() {
            super::object::set(&mut main, &[field], list.clone());
        }
    }
    let mut rows = vec![main];
    rows.extend(subresources(kind).into_iter().map(|(name, (group, version, response), verbs)| {
        let mut row = json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.namespaced,
            "kind": response,
            "verbs": verbs,
        });
        if group != kind.group {
            super::object::set(&mut row, &["group"], group);
            super::object::set(&mut row, &["version"], version);
        }
        row
    }));
    rows
}

type ResponseKind<'a> = (&'a str, &'a str, &'a str);

/// The kind's subresources: name, what they answer with, verbs.
fn subresources(kind: &Kind) -> Vec<(&'static str, ResponseKind<'_>, &'static [&'static str])> {
    const DOOR: &[&str] = &["get", "patch", "update"];
    let mut found: Vec<(&'static str, ResponseKind<'_>, &'static [&'static str])> = Vec::new();
    if kind.storage == "pods." {
        found.push(("binding", ("", "v1", "Binding"), &["create"]));
        found.push(("eviction", ("policy", "v1", "Eviction"), &["create"]));
    }
    if kind.scale.is_some() {
        found.push(("scale", ("autoscaling", "v1", "Scale"), DOOR));
    }
    if kind.status {
        found.push(("status", (&kind.group, &kind.version, &kind.kind), DOOR));
    }
    found
}

fn aggregated(kinds: &Kinds, wants: impl Fn(&str) -> bool) -> Value {
    let groups = kinds.groups();
    let items = groups.iter().filter(|(group, _)| wants(group)).map(|(group, versions)| {
        let versions = versions.iter().map(|version| {
            let resources: Vec<Value> = of_version(kinds, group, version).map(aggregated_row).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        });
        let mut item = json!({"metadata": {}, "versions": versions.collect::<Vec<_>>()});
        if !group.is_empty() {
            super::object::set(&mut item, &["metadata", "name"], *group);
        }
        item
    });
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn aggregated_row(kind: &Kind) -> Value {
    let response =
        |(group, version, kind): ResponseKind<'_>| json!({"group": group, "version": version, "kind": kind});
    let mut row = json!({
        "resource": kind.plural,
        "responseKind": response((&kind.group, &kind.version, &kind.kind)),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": kind.verbs,
    });
    for (field, list) in [("shortNames", &kind.short_names), ("categories", &kind.categories)] {
        if !list.is_empty() {
            super::object::set(&mut row, &[field], list.clone());
        }
    }
    let subresources: Vec<Value> = subresources(kind)
        .into_iter()
        .map(|(name, answer, verbs)| json!({"subresource": name, "responseKind": response(answer), "verbs": verbs}))
        .collect();
    if !subresources.is_empty() {
        super::object::set(&mut row, &["subresources"], subresources);
    }
    row
}
