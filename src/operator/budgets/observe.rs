//! What the arbiter knows of workloads: by the API server itself where grants rest on it, else by the watches.

use std::collections::{BTreeMap, BTreeSet};

use super::arbiter::{Arbiter, SETTLE};
use super::status::{grants, holder_of};
use super::{NO_POLICY, NONE_TOLD, orphan_claim, see_found, target, workload};
use crate::budget::{Claim, Lending, Sight, Workload};
use crate::cluster::{BudgetRecord, Found as Seen, Look, TargetKey};
use crate::control::{Footprint, Policy, Target};
use crate::time::Span;

/// A grant of a workload that nobody has seen since this process leads is given up after so long.
const FORGET: Span = Span::from_seconds(600);

impl Arbiter {
    /// Opens a budget's book with what was granted before. Whoever takes over looks at every holder by the API server
    /// itself first: what was asked back may not have gone yet. Tells whether that was possible.
    pub(super) async fn open(&self, record: &BudgetRecord) -> bool {
        let mut seen = Vec::new();
        let mut everybody: BTreeMap<Workload, Option<u32>> =
            record.status.holders.iter().map(|holder| (holder_of(holder), holder.per_pod)).collect();
        for target in self.context.index.drawing_on(&record.name) {
            everybody.entry(workload(&target)).or_default();
        }
        for (workload, per_pod) in everybody {
            match self.first_look(&workload, &record.name, per_pod).await {
                Ok(Some((claim, sight))) => seen.push((workload, claim, sight)),
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!(budget = record.name, %workload, %why, "a workload could not be seen, so nothing is granted yet");
                    return false;
                }
            }
        }
        let now = self.context.budgets.now();
        let mut books = self.context.budgets.books();
        books.ledger.open(&record.name, grants(&record.status), Lending::default(), self.began + SETTLE);
        for (workload, claim, sight) in seen {
            let claim = match books.ledger.claim(&workload) {
                // Of a workload without a policy each budget tells its own part.
                Some(known) if claim.fixed == NO_POLICY => known.clone().and_draws_of(claim),
                // Where its policy has spoken meanwhile, that is newer.
                Some(known) => known.clone(),
                None => claim,
            };
            books.ledger.see(&workload, claim, sight, now);
        }
        true
    }

    /// A holder as it is, with what can be told of its claim before its policy speaks; none if it holds nothing that could
    /// be told.
    async fn first_look(
        &self,
        workload: &Workload,
        budget: &str,
        per_pod: Option<u32>,
    ) -> Result<Option<(Claim, Sight)>, String> {
        let context = &self.context;
        let target = target(workload);
        let policies = context.index.policies_of(&target);
        let record = policies.first().and_then(|key| context.index.policy(key));
        let spec = record.as_ref().and_then(|record| record.spec.as_ref().ok());
        let policy = spec.and_then(|spec| Policy::compile(spec).ok());
        let found = if is_watched(&target) {
            context.viewer.prove(&context.scales, &target).await?
        } else if policies.is_empty() {
            None
        } else {
            self.prove_by_policy(&target).await?
        };
        let Some(found) = found else {
            context.index.forget_deleted_policy(&target);
            return Ok(None);
        };
        let footprint = Footprint::unmeasured(&found.workload);
        let told = per_pod.map(|per_pod| orphan_claim(budget, per_pod, &footprint));
        let claim = match (policy, self.last_claim(&target, &footprint), told) {
            (Some(policy), _, _) => Claim::of(&policy, &footprint),
            (None, Some(last), Some(told)) => last.and_draws_of(told),
            (None, Some(claim), None) | (None, None, Some(claim)) => claim,
            (None, None, None) => return Ok(None),
        };
        let sight = claim.sight(found.uid.0, &found.workload);
        Ok(Some((claim, sight)))
    }

    /// What can be told of a workload by the policy that it had until that was deleted.
    fn last_claim(&self, target: &TargetKey, footprint: &Footprint) -> Option<Claim> {
        let record = self.context.index.deleted_policy(target)?;
        let policy = Policy::compile(record.spec.as_ref().ok()?).ok()?;
        Some(Claim { guaranteed: 1, least: 1, fixed: NO_POLICY, ..Claim::of(&policy, footprint) })
    }

    /// Workloads for which no policy speaks, and those that are gone.
    pub(super) fn look_at_the_unclaimed(&self) {
        let (index, now) = (&self.context.index, self.context.budgets.now());
        let mut books = self.context.budgets.books();
        for workload in books.ledger.workloads() {
            let target = target(&workload);
            let orphaned = index.policies_of(&target).is_empty();
            if orphaned {
                books.ledger.freeze(&workload, NO_POLICY);
            }
            if !is_watched(&target) {
                if orphaned && now.since(self.began) > FORGET && !books.ledger.knows(&workload) {
                    books.ledger.forget(&workload);
                }
                continue;
            }
            match index.workload(&target, NONE_TOLD) {
                None if books.ledger.knows(&workload) => books.ledger.vanish(&workload, now),
                None if now.since(self.began) > SETTLE.times(6) => books.ledger.forget(&workload),
                Some(found) if orphaned => {
                    let Some(mut claim) = books.ledger.claim(&workload).cloned() else { continue };
                    // It may have been edited after it spoke for the last time.
                    if let Some(last) = self.last_claim(&target, &Footprint::unmeasured(&found.workload)) {
                        claim.draws = last.and_draws_of(claim.clone()).draws;
                    }
                    let sight = claim.sight(found.uid.0, &found.workload);
                    books.ledger.see(&workload, claim, sight, now);
                }
                _ => {}
            }
        }
    }

    /// Looks at every workload of a budget by the API server itself. Tells whether all could be seen.
    pub(super) async fn prove(&self, budget: &str) -> bool {
        let context = &self.context;
        let mut holders: BTreeSet<Workload> =
            context.budgets.books().ledger.holders(budget).into_iter().collect();
        holders.extend(context.index.drawing_on(budget).iter().map(workload));
        let mut proved = true;
        for workload in holders {
            let target = target(&workload);
            if !context.budgets.books().ledger.knows(&workload) {
                // Its policy has not spoken yet; what its pods reach counts all the same.
                match self.first_look(&workload, budget, None).await {
                    Ok(Some((claim, sight))) => {
                        let now = context.budgets.now();
                        let mut books = context.budgets.books();
                        if !books.ledger.knows(&workload) {
                            books.ledger.see(&workload, claim, sight, now);
                        }
                    }
                    Ok(None) => {}
                    Err(why) => {
                        tracing::warn!(budget, %workload, %why, "a workload could not be seen, so nothing more is granted");
                        proved = false;
                    }
                }
                continue;
            }
            let _speaking = context.writers.acquire().await;
            let seen = if is_watched(&target) {
                context.viewer.prove(&context.scales, &target).await
            } else {
                self.prove_by_policy(&target).await
            };
            let now = context.budgets.now();
            let mut books = context.budgets.books();
            match seen {
                Ok(Some(found)) => see_found(&mut books.ledger, &workload, &found, now),
                Ok(None) => books.ledger.vanish(&workload, now),
                Err(why) => {
                    tracing::warn!(budget, %workload, %why, "a workload could not be seen, so nothing more is granted");
                    proved = false;
                }
            }
        }
        proved
    }

    /// A workload of a kind that is not watched, as the policy on it points at it.
    async fn prove_by_policy(&self, target: &TargetKey) -> Result<Option<Seen>, String> {
        let context = &self.context;
        let policies = context.index.policies_of(target);
        let Some(record) = policies.first().and_then(|key| context.index.policy(key)) else {
            return Err("no policy points at it".to_owned());
        };
        let Ok(spec) = &record.spec else { return Err("its policy cannot be read".to_owned()) };
        let view = context
            .viewer
            .view(&context.scales, &record, &spec.scale_target_ref, Look::Proven, NONE_TOLD)
            .await;
        match (view.target, view.uid) {
            (Target::Seen(workload), Some(uid)) => Ok(Some(Seen {
                workload,
                resource_version: view.resource_version.unwrap_or_default(),
                departures: view.departures,
                uid,
                flaws: view.flaws,
            })),
            (Target::Unseen(fault), _) => Err(fault.message),
            (Target::Seen(_), None) => Err("it has no uid".to_owned()),
        }
    }
}

fn is_watched(target: &TargetKey) -> bool {
    target.group == "apps" && matches!(target.kind.as_str(), "Deployment" | "StatefulSet")
}
