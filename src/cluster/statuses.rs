//! The policies' statuses as they are now, for a process that takes over.

use kube::api::ListParams;
use kube::core::DeserializeGuard;
use kube::{Api, Client};

use super::call::{ApiError, Call};
use super::index::Index;
use super::policy::PolicyRecord;
use crate::api::ScalingPolicy;

/// Policies asked for at once.
const PAGE: u32 = 500;

/// Asks the API server for the policies of `namespaces` (of the whole cluster if there are none), and gives those that the
/// index knows their present status, and edits that the watch has not told yet.
pub async fn read_statuses(client: &Client, namespaces: &[String], index: &Index) -> Result<(), ApiError> {
    let everywhere = [None];
    let scopes: Vec<_> = namespaces.iter().map(|namespace| Some(namespace.as_str())).collect();
    for scope in if scopes.is_empty() { everywhere.as_slice() } else { scopes.as_slice() } {
        let api: Api<DeserializeGuard<ScalingPolicy>> = scope
            .map_or_else(|| Api::all(client.clone()), |namespace| Api::namespaced(client.clone(), namespace));
        let call =
            Call { verb: "list", resource: "scalingpolicies", group: "plimsoll.dev", namespace: *scope };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = call.answer(api.list(&page)).await?;
            for (record, status) in list.items.into_iter().filter_map(PolicyRecord::trim) {
                index.refresh_policy(record, status);
            }
            match list.metadata.continue_ {
                Some(next) if !next.is_empty() => page = page.continue_token(&next),
                _ => break,
            }
        }
    }
    Ok(())
}
