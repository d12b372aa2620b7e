//! People and nature at work on the cluster, past the operator.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use plimsoll::api::ScalingPolicySpec;
use plimsoll::cluster::overrides;
use serde_json::{Value, json};
use tokio::time::sleep_until;

use super::ledger::{Ledger, PolicyFacts, Rivals};
use super::scenario::{Deed, Revision, Scenario, Workload, template};
use crate::apiserver::{ApiServer, Collection, Failure, object};

/// The namespace in which everything happens.
pub const NAMESPACE: &str = "shop";
/// How long a lost node's pods are there before they are removed.
const NODE_GRACE: Duration = Duration::from_secs(40);

/// Who does what scenarios ask for.
pub struct People {
    server: ApiServer,
    scenario: Arc<Scenario>,
    ledger: Arc<Ledger>,
    /// Versions made so far.
    revisions: u64,
    /// Pods of lost nodes, to be removed at a time.
    lost: VecDeque<(Duration, String)>,
    /// Whether the present revision of each workload is as it should be.
    good: Vec<bool>,
    /// What keeps each workload's policy from acting.
    autoscaler: Vec<bool>,
    older_rival: Vec<bool>,
}

impl People {
    /// Makes all that is there at the beginning.
    pub fn begin(
        server: &ApiServer,
        scenario: &Arc<Scenario>,
        ledger: &Arc<Ledger>,
    ) -> Result<Self, Failure> {
        let count = scenario.workloads.len();
        let mut people = Self {
            server: server.clone(),
            scenario: Arc::clone(scenario),
            ledger: Arc::clone(ledger),
            revisions: 0,
            lost: VecDeque::new(),
            good: vec![true; count],
            autoscaler: vec![false; count],
            older_rival: vec![false; count],
        };
        for index in 0..scenario.budgets.len() {
            people.create_budget(index)?;
        }
        for (index, workload) in scenario.workloads.iter().enumerate() {
            people.targets(workload)?.create(NAMESPACE, workload.manifest.clone())?;
            people.create_policy(index, workload)?;
        }
        Ok(people)
    }

    /// Does what there is to do until the calm, and then puts right what is wrong.
    pub async fn work(mut self) -> Result<(), Failure> {
        let scenario = Arc::clone(&self.scenario);
        for (at, index, deed) in &scenario.deeds {
            while let Some((due, pod)) = self.lost.front().filter(|(due, _)| due <= at).cloned() {
                sleep_until(self.ledger.started() + due).await;
                self.lost.pop_front();
                self.remove(&pod);
            }
            sleep_until(self.ledger.started() + *at).await;
            let Some(workload) = scenario.workloads.get(*index) else { continue };
            self.ledger.count(deed.class());
            self.ledger.say(format!("{}: {deed:?}", workload.name));
            if let Err(failure) = self.act(*index, workload, deed) {
                self.ledger.say(format!("… which was refused: {failure}"));
            }
        }
        sleep_until(self.ledger.started() + scenario.calm).await;
        self.ledger.say("calm: no more faults");
        self.put_right()
    }

    fn targets(&self, workload: &Workload) -> Result<Collection, Failure> {
        let plural = if workload.stateful { "statefulsets" } else { "deployments" };
        Ok(self.server.collection("apps", "v1", plural)?.written_by("kubectl"))
    }

    fn policies(&self) -> Result<Collection, Failure> {
        Ok(self.server.collection("plimsoll.dev", "v1alpha1", "scalingpolicies")?.written_by("kubectl"))
    }

    fn pods(&self) -> Result<Collection, Failure> {
        self.server.collection("", "v1", "pods")
    }

    fn act(&mut self, index: usize, workload: &Workload, deed: &Deed) -> Result<(), Failure> {
        let name = workload.name.as_str();
        if matches!(deed, Deed::Scale(_) | Deed::DeleteTarget | Deed::CreateTarget) {
            let now = self.ledger.now();
            self.ledger.state().counts_by_others.get_mut(index).into_iter().for_each(|times| times.push(now));
        }
        match deed {
            Deed::Scale(replicas) => self.change_target(workload, |target| {
                object::set(target, &["spec", "replicas"], *replicas);
            }),
            Deed::RollOut(revision) => self.roll_out(index, workload, *revision),
            Deed::Edit(patch) => self.change_policy(index, name, |policy| merge_spec(policy, patch)),
            Deed::Annotate(annotation, text) => self.change_policy(index, name, |policy| match text {
                Some(text) => object::set(policy, &["metadata", "annotations", annotation], text.as_str()),
                None => drop(object::remove(policy, &["metadata", "annotations", annotation])),
            }),
            Deed::DeletePolicy => {
                self.policies()?.delete(NAMESPACE, name, None)?;
                self.note_policy(index, name)
            }
            Deed::CreatePolicy => self.create_policy(index, workload),
            Deed::DeleteTarget => self.targets(workload)?.delete(NAMESPACE, name, None),
            Deed::CreateTarget => {
                self.set_good(index, true);
                self.targets(workload)?.create(NAMESPACE, workload.manifest.clone())?;
                self.note_revision(index);
                Ok(())
            }
            Deed::PutAutoscaler => {
                let kind = if workload.stateful { "StatefulSet" } else { "Deployment" };
                let autoscaler = json!({"metadata": {"name": name}, "spec": {
                    "maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": kind, "name": name}}});
                self.server
                    .collection("autoscaling", "v2", "horizontalpodautoscalers")?
                    .create(NAMESPACE, autoscaler)?;
                set(&mut self.autoscaler, index, true);
                self.note_rivals(index);
                Ok(())
            }
            Deed::RemoveAutoscaler => {
                self.server
                    .collection("autoscaling", "v2", "horizontalpodautoscalers")?
                    .delete(NAMESPACE, name, None)?;
                set(&mut self.autoscaler, index, false);
                self.note_rivals(index);
                Ok(())
            }
            Deed::PutRival => self.put_rival(index, workload),
            Deed::RemoveRival => {
                self.policies()?.delete(NAMESPACE, &rival_name(name), None)?;
                set(&mut self.older_rival, index, false);
                self.note_rivals(index);
                Ok(())
            }
            Deed::Evict(count) => {
                let count = usize::try_from(*count).unwrap_or(0);
                let pods = self.pods()?;
                for pod in self.live_pods(name)?.iter().take(count) {
                    pods.delete(NAMESPACE, object::name(pod), None)?;
                }
                Ok(())
            }
            Deed::LoseNode(share) => self.lose_node(name, *share),
            Deed::FillQuota => self.set_quota(Some(self.pods()?.list(NAMESPACE).len())),
            Deed::EmptyQuota => self.set_quota(None),
            Deed::SetLimit(budget, limit) => self.set_limit(*budget, *limit),
            Deed::DeleteBudget(budget) => {
                self.budgets()?.delete("", &budget_name(*budget), None)?;
                self.note_budget(*budget)
            }
            Deed::CreateBudget(budget) => self.create_budget(*budget),
        }
    }

    fn budgets(&self) -> Result<Collection, Failure> {
        Ok(self.server.collection("plimsoll.dev", "v1alpha1", "connectionbudgets")?.written_by("kubectl"))
    }

    fn create_budget(&self, index: usize) -> Result<(), Failure> {
        let Some(plan) = self.scenario.budgets.get(index) else { return Ok(()) };
        self.budgets()?.create("", plan.manifest.clone())?;
        self.note_budget(index)?;
        if plan.asked { Ok(()) } else { self.set_limit(index, plan.level(self.ledger.now())) }
    }

    fn set_limit(&self, index: usize, limit: u32) -> Result<(), Failure> {
        let Some(mut budget) = self.budgets()?.get("", &budget_name(index)) else { return Ok(()) };
        object::set(&mut budget, &["spec", "limit", "maxConnections"], limit);
        self.budgets()?.update("", budget)?;
        self.note_budget(index)
    }

    fn note_budget(&self, index: usize) -> Result<(), Failure> {
        let spec = self
            .budgets()?
            .get("", &budget_name(index))
            .and_then(|budget| serde_json::from_value(budget.get("spec")?.clone()).ok());
        let now = self.ledger.now();
        let mut state = self.ledger.state();
        state.budgets.get_mut(index).into_iter().for_each(|versions| versions.push((now, spec.clone())));
        Ok(())
    }

    /// The second policy is made before the first is made anew, so that it is the older one.
    fn put_rival(&mut self, index: usize, workload: &Workload) -> Result<(), Failure> {
        let mut rival = workload.policy.clone();
        object::set(&mut rival, &["metadata", "name"], rival_name(&workload.name));
        // It asks in other words, so that its questions can be told from the first one's.
        if let Some(metric) = rival.pointer_mut("/spec/metrics/0") {
            let query = super::scenario::query(&workload.name, workload.gauge)
                .replace("{app=", "{asked_by=\"rival\", app=");
            object::set(metric, &["prometheus", "query"], query);
        }
        self.policies()?.create(NAMESPACE, rival)?;
        let ours = self.policies()?.get(NAMESPACE, &workload.name).is_some();
        set(&mut self.older_rival, index, !ours);
        self.note_rivals(index);
        Ok(())
    }

    fn change_target(&self, workload: &Workload, change: impl FnOnce(&mut Value)) -> Result<(), Failure> {
        let targets = self.targets(workload)?;
        let Some(mut target) = targets.get(NAMESPACE, &workload.name) else { return Ok(()) };
        change(&mut target);
        targets.update(NAMESPACE, target).map(drop)
    }

    fn change_policy(
        &self,
        index: usize,
        name: &str,
        change: impl FnOnce(&mut Value),
    ) -> Result<(), Failure> {
        let policies = self.policies()?;
        let Some(mut policy) = policies.get(NAMESPACE, name) else { return Ok(()) };
        change(&mut policy);
        policies.update(NAMESPACE, policy)?;
        self.note_policy(index, name)
    }

    fn create_policy(&mut self, index: usize, workload: &Workload) -> Result<(), Failure> {
        self.policies()?.create(NAMESPACE, workload.policy.clone())?;
        // A rival that is there already is the older one now.
        let rival = self.policies()?.get(NAMESPACE, &rival_name(&workload.name)).is_some();
        set(&mut self.older_rival, index, rival);
        self.note_rivals(index);
        self.note_policy(index, &workload.name)
    }

    fn note_policy(&self, index: usize, name: &str) -> Result<(), Failure> {
        let facts = self.policies()?.get(NAMESPACE, name).and_then(|policy| {
            let spec: ScalingPolicySpec = serde_json::from_value(policy.get("spec")?.clone()).ok()?;
            let annotations = object::at(&policy, &["metadata", "annotations"]).cloned().unwrap_or_default();
            let annotations = serde_json::from_value(annotations).ok();
            Some(PolicyFacts { spec, overrides: overrides(annotations.as_ref()) })
        });
        let now = self.ledger.now();
        self.ledger
            .state()
            .policies
            .get_mut(index)
            .into_iter()
            .for_each(|versions| versions.push((now, facts.clone())));
        Ok(())
    }

    fn note_rivals(&self, index: usize) {
        let is = |list: &[bool]| list.get(index) == Some(&true);
        let name =
            self.scenario.workloads.get(index).map(|workload| rival_name(&workload.name)).unwrap_or_default();
        let policy = self.policies().is_ok_and(|policies| policies.get(NAMESPACE, &name).is_some());
        let rivals =
            Rivals { autoscaler: is(&self.autoscaler), policy, older: policy && is(&self.older_rival) };
        let now = self.ledger.now();
        self.ledger
            .state()
            .rivals
            .get_mut(index)
            .into_iter()
            .for_each(|versions| versions.push((now, rivals)));
    }

    fn roll_out(&mut self, index: usize, workload: &Workload, revision: Revision) -> Result<(), Failure> {
        self.revisions += 1;
        let startup = object::text(
            &workload.manifest,
            &["spec", "template", "metadata", "annotations", crate::plant::STARTUP_SECONDS],
        );
        let template = template(&workload.name, startup.parse().unwrap_or(1.0), revision, self.revisions);
        self.set_good(index, !matches!(revision, Revision::Crashing | Revision::NeverReady));
        self.change_target(workload, |target| object::set(target, &["spec", "template"], template))?;
        self.note_revision(index);
        Ok(())
    }

    fn note_revision(&self, index: usize) {
        let now = self.ledger.now();
        self.ledger.state().revised.get_mut(index).into_iter().for_each(|revised| *revised = now);
    }

    fn set_good(&mut self, index: usize, good: bool) {
        set(&mut self.good, index, good);
    }

    fn live_pods(&self, name: &str) -> Result<Vec<Value>, Failure> {
        let mut pods = self.pods()?.list(NAMESPACE);
        pods.retain(|pod| object::label(pod, "app") == Some(name) && !object::is_terminating(pod));
        Ok(pods)
    }

    fn lose_node(&mut self, name: &str, share: f64) -> Result<(), Failure> {
        let pods = self.live_pods(name)?;
        let count = plimsoll::number::ceil_count(f64::from(plimsoll::number::count_of(pods.len())) * share);
        let kubelet = self.pods()?.written_by("kubelet");
        for mut pod in pods.into_iter().take(usize::try_from(count).unwrap_or(0)) {
            let mut conditions = object::list(&pod, &["status", "conditions"]).to_vec();
            for condition in &mut conditions {
                if object::text(condition, &["type"]) == "Ready" {
                    object::set(condition, &["status"], "False");
                }
            }
            self.lost.push_back((self.ledger.now() + NODE_GRACE, object::name(&pod).to_owned()));
            object::set(&mut pod, &["status", "conditions"], conditions);
            kubelet.update_status(NAMESPACE, pod)?;
        }
        Ok(())
    }

    /// Removes a pod by force; it may be gone already.
    fn remove(&self, pod: &str) {
        let _ = self.pods().and_then(|pods| pods.delete(NAMESPACE, pod, Some(0)));
    }

    fn set_quota(&self, pods: Option<usize>) -> Result<(), Failure> {
        let namespaces = self.server.collection("", "v1", "namespaces")?;
        let Some(mut namespace) = namespaces.get("", NAMESPACE) else { return Ok(()) };
        match pods {
            Some(pods) => object::set(
                &mut namespace,
                &["metadata", "annotations", crate::plant::QUOTA],
                pods.to_string(),
            ),
            None => drop(object::remove(&mut namespace, &["metadata", "annotations", crate::plant::QUOTA])),
        }
        namespaces.update("", namespace).map(drop)
    }

    /// Puts right what nobody put right in time.
    fn put_right(&mut self) -> Result<(), Failure> {
        let scenario = Arc::clone(&self.scenario);
        while let Some((_, pod)) = self.lost.pop_front() {
            self.remove(&pod);
        }
        self.set_quota(None)?;
        for (index, budget) in scenario.budgets.iter().enumerate() {
            if self.budgets()?.get("", &budget.name).is_none() {
                self.create_budget(index)?;
            } else if !budget.asked {
                self.set_limit(index, budget.level(scenario.calm))?;
            }
        }
        for (index, workload) in scenario.workloads.iter().enumerate() {
            let name = workload.name.as_str();
            if self.autoscaler.get(index) == Some(&true) {
                self.act(index, workload, &Deed::RemoveAutoscaler)?;
            }
            if self.policies()?.get(NAMESPACE, &rival_name(name)).is_some() {
                self.act(index, workload, &Deed::RemoveRival)?;
            }
            if self.policies()?.get(NAMESPACE, name).is_none() {
                self.act(index, workload, &Deed::CreatePolicy)?;
            }
            if self.targets(workload)?.get(NAMESPACE, name).is_none() {
                self.act(index, workload, &Deed::CreateTarget)?;
            }
            if self.good.get(index) != Some(&true) {
                self.act(index, workload, &Deed::RollOut(Revision::Good))?;
            }
        }
        Ok(())
    }
}

fn budget_name(index: usize) -> String {
    format!("b{index}")
}

/// The name of the second policy on a workload.
pub fn rival_name(name: &str) -> String {
    format!("rival-{name}")
}

fn set(list: &mut [bool], index: usize, value: bool) {
    if let Some(slot) = list.get_mut(index) {
        *slot = value;
    }
}

/// As `kubectl patch --type merge` does; a `target` is the value that one replica carries.
fn merge_spec(policy: &mut Value, patch: &Value) {
    let mut patch = patch.clone();
    if let Some(target) = object::remove(&mut patch, &["target"])
        && let Some(metric) = policy.pointer_mut("/spec/metrics/0")
    {
        object::set(metric, &["target", "averageValue"], target);
    }
    if let Some(spec) = policy.get_mut("spec") {
        json_patch::merge(spec, &patch);
    }
}
