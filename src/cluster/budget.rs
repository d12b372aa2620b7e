//! ConnectionBudgets: read whole, their status written by the version that was read.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::{DeserializeGuard, Request, Selector};
use kube::{Api, Client, Resource, ResourceExt};
use serde_json::json;

use super::authority::Authority;
use super::call::{ApiError, ApiErrorKind, Call, bounded_in_time};
use super::status_write::STATUS_MANAGER;
use crate::api::{ConnectionBudget, ConnectionBudgetSpec, ConnectionBudgetStatus};

/// Budgets asked for at once.
const PAGE: u32 = 500;

/// A budget as read.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetRecord {
    /// Name.
    pub name: String,
    /// The version that a write of its status must name.
    pub resource_version: String,
    /// The generation of the spec.
    pub generation: i64,
    /// What it says, or why that cannot be read.
    pub spec: Result<ConnectionBudgetSpec, String>,
    /// Who holds what.
    pub status: ConnectionBudgetStatus,
}

/// Every budget of the cluster as it is now. None where the definition is not installed.
pub async fn list_budgets(client: &Client) -> Result<Option<Vec<BudgetRecord>>, ApiError> {
    let api: Api<DeserializeGuard<ConnectionBudget>> = Api::all(client.clone());
    let call = Call { verb: "list", resource: "connectionbudgets", group: "plimsoll.dev", namespace: None };
    let mut page = ListParams::default().limit(PAGE);
    let mut records = Vec::new();
    loop {
        let list = match call.answer(api.list(&page)).await {
            Err(error) if error.kind == ApiErrorKind::NotFound => return Ok(None),
            answer => answer?,
        };
        records.extend(list.items.into_iter().filter_map(record));
        match list.metadata.continue_ {
            Some(next) if !next.is_empty() => page = page.continue_token(&next),
            _ => return Ok(Some(records)),
        }
    }
}

fn record(budget: DeserializeGuard<ConnectionBudget>) -> Option<BudgetRecord> {
    let metadata = budget.meta();
    let name = metadata.name.clone()?;
    let resource_version = metadata.resource_version.clone()?;
    let generation = metadata.generation.unwrap_or(0);
    let (spec, status) = match budget.0 {
        Ok(budget) => (Ok(budget.spec), budget.status.unwrap_or_default()),
        Err(invalid) => {
            let sentence = format!(
                "this operator cannot read the budget ({}): use only fields of its own custom resource definition (kubectl \
                 explain connectionbudget.spec), or update the operator",
                invalid.error
            );
            (Err(sentence), ConnectionBudgetStatus::default())
        }
    };
    Some(BudgetRecord { name, resource_version, generation, spec, status })
}

/// Names of the namespaces that a selector selects.
pub async fn selected_namespaces(
    client: &Client,
    selector: &LabelSelector,
) -> Result<BTreeSet<String>, ApiError> {
    let call = Call { verb: "list", resource: "namespaces", group: "", namespace: None };
    let selector = Selector::try_from(selector.clone()).map_err(|error| ApiError {
        kind: ApiErrorKind::Refused,
        message: format!("allowedNamespaces cannot be read: {error}"),
    })?;
    let api: Api<Namespace> = Api::all(client.clone());
    let params = ListParams::default().labels_from(&selector);
    let list = call.answer(api.list_metadata(&params)).await?;
    Ok(list.items.iter().map(ResourceExt::name_any).collect())
}

/// Writes the whole status of a budget, if the budget is still as it was in `resource_version`; else the error is a
/// conflict. Tells the new version.
pub async fn write_budget_status(
    client: &Client,
    authority: &Authority,
    name: &str,
    resource_version: &str,
    status: &ConnectionBudgetStatus,
) -> Result<String, ApiError> {
    let applied = json!({
        "apiVersion": ConnectionBudget::api_version(&()),
        "kind": ConnectionBudget::kind(&()),
        "metadata": {"name": name, "resourceVersion": resource_version},
        "status": status,
    });
    let call =
        Call { verb: "patch", resource: "connectionbudgets/status", group: "plimsoll.dev", namespace: None };
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let request = async {
        let path = Request::new(ConnectionBudget::url_path(&(), None));
        let request = path.patch_subresource("status", name, &params, &Patch::Apply(&applied));
        let request = bounded_in_time(request.map_err(kube::Error::BuildRequest)?);
        client.request::<kube::core::PartialObjectMeta<ConnectionBudget>>(request).await
    };
    let written = call.written(authority, request).await?;
    Ok(written.metadata.resource_version.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::{Answer, refusal, server};

    #[tokio::test]
    async fn a_status_is_written_by_the_version_that_was_read() {
        let (client, log) =
            server(|_| Answer::Json(200, json!({"metadata": {"name": "db", "resourceVersion": "8"}})));
        let status = ConnectionBudgetStatus { granted: Some(40), ..ConnectionBudgetStatus::default() };
        let version = write_budget_status(&client, &Authority::unshared(), "db", "7", &status).await.unwrap();
        assert_eq!(version, "8");
        let asked = &log.all()[0];
        assert!(asked.path.contains("/connectionbudgets/db/status?") && asked.path.contains("timeout=5s"));
        assert_eq!(asked.body["metadata"]["resourceVersion"], "7");
        assert_eq!(asked.body["status"], json!({"granted": 40}));
    }

    #[tokio::test]
    async fn a_cluster_without_the_definition_has_no_budgets() {
        let (client, _) =
            server(|_| refusal(404, "NotFound", "the server could not find the requested resource"));
        assert_eq!(list_budgets(&client).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_budget_of_a_newer_version_does_not_hide_the_others() {
        let (client, _) = server(|_| {
            let item = |name: &str, limit: serde_json::Value| {
                json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": "ConnectionBudget",
                       "metadata": {"name": name, "resourceVersion": "3"}, "spec": {"limit": limit}})
            };
            let items = [item("new", json!({"newField": 1})), item("old", json!({"maxConnections": 100}))];
            Answer::Json(
                200,
                json!({"kind": "ConnectionBudgetList", "apiVersion": "plimsoll.dev/v1alpha1",
                                     "metadata": {"resourceVersion": "9"}, "items": items}),
            )
        });
        let budgets = list_budgets(&client).await.unwrap().unwrap();
        assert!(budgets[0].spec.as_ref().unwrap_err().contains("kubectl explain connectionbudget.spec"));
        assert_eq!(budgets[1].spec.as_ref().unwrap().limit.max_connections, Some(100));
    }
}
