//! Whether workloads that share a database stay within what it gives, and whether they come to what they can have: by pods
//! as they are, policies as written and limits as told. Nothing of the operator's own books is asked, but what it has
//! persisted where it says that somebody must give back.

use std::time::Duration;

use plimsoll::api::{
    ConnectionBudgetStatus, ConnectionCeiling, HolderStatus, Mode, RolloutOverlap, ScalingPolicySpec,
};
use serde_json::Value;

use super::World;
use super::ceiling::Strategy;
use super::end;
use super::facts;
use super::write::{BLUR, DISTURBED, EVALUATION, staleness};
use crate::apiserver::{Object, object};
use crate::chaos::budgets::Budget;
use crate::chaos::fault::READ;
use crate::chaos::ledger::{PolicyFacts, ScaleWrite, State};
use crate::chaos::metrics::milliseconds;
use crate::chaos::people::NAMESPACE;
use crate::chaos::scenario::{BASE, Scenario};
use crate::chaos::wire::Wire;

/// Limits are read this often at least while nothing disturbs it: a look lasts as long as the slowest of its reads.
const LIMIT_READ: Duration = Duration::from_secs(60);

/// Ceilings of a policy that are shares of a budget.
pub fn drawn(spec: &ScalingPolicySpec) -> impl Iterator<Item = (&ConnectionCeiling, usize)> {
    let ceilings = spec.ceilings.iter().flat_map(|ceilings| &ceilings.connections);
    ceilings.filter_map(|ceiling| Some((ceiling, Budget::index(&ceiling.budget_ref.as_ref()?.name)?)))
}

/// A write of grants that was not answered is in doubt for no longer.
const UNANSWERED: Duration = Duration::from_secs(10);

/// Notes what a budget's status tells after a write of it.
pub(in crate::chaos) fn note(wire: &Wire, name: &str) {
    let budget = wire
        .server
        .collection("plimsoll.dev", "v1alpha1", "connectionbudgets")
        .ok()
        .and_then(|budgets| budgets.get("", name));
    let status = budget.as_ref().and_then(|budget| budget.get("status")).cloned().unwrap_or_default();
    let status: ConnectionBudgetStatus = serde_json::from_value(status).unwrap_or_default();
    let now = wire.ledger.now();
    let holders = status.holders.iter().map(|holder| {
        let recalled = if holder.recalled_since.is_some() { " (recalled)" } else { "" };
        format!("{} {}{recalled}", holder.name, holder.granted)
    });
    let words = holders.collect::<Vec<_>>().join(", ");
    wire.ledger
        .say(format!("process {} grants of {name}, which gives {:?}: {words}", wire.operator, status.limit));
    let index = Budget::index(name).unwrap_or(usize::MAX);
    wire.ledger.state().grants.get_mut(index).into_iter().for_each(|told| told.push((now, status.clone())));
}

/// Notes what a write of a budget's status tells to which no clear answer will come.
pub(in crate::chaos) fn note_unanswered(wire: &Wire, name: &str, body: &[u8]) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let status = body.get("status").cloned().unwrap_or_default();
    let (Ok(status), Some(budget)) = (serde_json::from_value(status), Budget::index(name)) else { return };
    wire.ledger.state().unanswered.push((budget, wire.ledger.now(), status));
}

/// Judges a growth that was carried out: whether the connections that all pods can reach, a rollout of any of them
/// included, are within what the database gives.
pub(in crate::chaos) fn judge(wire: &Wire, index: usize, write: &ScaleWrite) {
    let (server, scenario) = (&wire.server, &wire.scenario);
    let pods = super::pods(server);
    let state = wire.ledger.state();
    let target = |index: usize| {
        let workload = scenario.workloads.get(index)?;
        let plural = if workload.stateful { "statefulsets" } else { "deployments" };
        server.collection("apps", "v1", plural).ok()?.stored(NAMESPACE, &workload.name)
    };
    let case = Case { state: &state, scenario, pods: &pods, write, index };
    let why = (0..scenario.budgets.len()).find_map(|budget| case.verdict(budget, target).err());
    drop(state);
    if let Some(why) = why {
        wire.ledger.violation(format!(
            "process {} scaled w{index} from {} to {}: {why}",
            write.operator, write.from, write.to
        ));
    }
}

struct Case<'a> {
    state: &'a State,
    scenario: &'a Scenario,
    pods: &'a [Object],
    write: &'a ScaleWrite,
    index: usize,
}

/// What a workload takes of a budget, at the least that the operator may take it for.
struct Part {
    per_pod: u32,
    overlaps: Vec<RolloutOverlap>,
}

impl Case<'_> {
    fn verdict(&self, budget: usize, target: impl Fn(usize) -> Option<Object>) -> Result<(), String> {
        if self.part(self.index, budget).is_none() {
            return Ok(());
        }
        let name = format!("b{budget}");
        let Some(given) = self.given(budget) else { return Err(format!("there is no budget {name}")) };
        let (mut sum, mut words) = (0_u32, Vec::new());
        for index in 0..self.scenario.workloads.len() {
            if self.is_disturbed(index) {
                return Ok(());
            }
            let Some(part) = self.part(index, budget) else { continue };
            let target = target(index);
            let target = target.as_ref().map(|target| &target.value);
            if self.is_unheard_of(index, budget, target) {
                continue;
            }
            let (reach, how) = self.reach(index, &part, target);
            sum = sum.saturating_add(reach);
            words.push(how);
        }
        if sum > given {
            return Err(format!(
                "{sum} connections of {name} can be reached, and it gives {given}: {}",
                words.join(", ")
            ));
        }
        Ok(())
    }

    /// Whether somebody else set the workload's count, or spoke for it, a moment ago.
    fn is_disturbed(&self, index: usize) -> bool {
        let (sent, landed) = (self.write.sent, self.write.landed);
        let workload = self.scenario.workloads.get(index);
        let kind =
            if workload.is_some_and(|workload| workload.stateful) { "statefulsets" } else { "deployments" };
        let since = sent.saturating_sub(staleness(self.state, kind, sent));
        let mut others = self.state.counts_by_others.get(index).into_iter().flatten();
        let spoken = sent.saturating_sub(staleness(self.state, "scalingpolicies", sent));
        let rivals = self.state.rivals.get(index).map(Vec::as_slice).unwrap_or_default();
        others.any(|at| *at >= since && *at <= landed)
            || State::versions(rivals, spoken, landed).any(|rivals| rivals.policy)
    }

    /// Whether nothing tells that the workload draws on the budget: its policy went before the budget was made, or before it
    /// was looked at for a workload that was made, or before the process listened, and no grant ever named it.
    fn is_unheard_of(&self, index: usize, budget: usize, target: Option<&Value>) -> bool {
        let landed = self.write.landed;
        let mut policies =
            self.state.policies.get(index).into_iter().flatten().filter(|(at, _)| *at <= landed);
        let Some((went, None)) = policies.next_back() else { return false };
        let budgets = self.state.budgets.get(budget).map(Vec::as_slice).unwrap_or_default();
        let made_anew = budgets
            .windows(2)
            .any(|pair| matches!(pair, [(_, None), (made, Some(_))] if made > went && *made <= landed));
        let seen_from = |target: &Value| created(target).saturating_add(milliseconds(EVALUATION));
        let looked_at = target.is_none_or(|target| seen_from(target) <= milliseconds(*went));
        made_anew || !looked_at || !(self.has_heard(*went) || self.told(index, budget).next().is_some())
    }

    /// Whether the process listened to policies at that moment.
    fn has_heard(&self, moment: Duration) -> bool {
        self.state.listening.get(&self.write.operator).is_some_and(|since| *since <= moment)
    }

    /// What grants told of a workload until now.
    fn told(&self, index: usize, budget: usize) -> impl Iterator<Item = &HolderStatus> {
        let name = self.scenario.workloads.get(index).map(|workload| workload.name.as_str());
        let told = self.state.grants.get(budget).into_iter().flatten();
        told.filter(|(at, _)| *at <= self.write.landed)
            .flat_map(|(_, status)| &status.holders)
            .filter(move |holder| Some(holder.name.as_str()) == name)
    }

    /// What a workload's pods take by every version of its policy that may be the one known, or by the last before it went.
    fn part(&self, index: usize, budget: usize) -> Option<Part> {
        let sent = self.write.sent;
        let since = sent.saturating_sub(staleness(self.state, "scalingpolicies", sent));
        let policies = self.state.policies.get(index).map(Vec::as_slice).unwrap_or_default();
        let before = policies.iter().rev().find(|(at, policy)| *at <= since && policy.is_some());
        let mut part = Part { per_pod: u32::MAX, overlaps: Vec::new() };
        let went = policies.iter().rev().find(|(at, _)| *at <= self.write.landed);
        if let Some((went, None)) = went
            && !self.has_heard(*went)
        {
            // An edit that nobody heard of is not in the grants either.
            let told = self.told(index, budget).filter_map(|holder| holder.per_pod).min();
            part.per_pod = told.unwrap_or(u32::MAX);
        }
        for version in State::versions(policies, since, self.write.landed) {
            let gone = version.is_none();
            let policy = version.as_ref().or_else(|| before.and_then(|(_, policy)| policy.as_ref()))?;
            let (ceiling, _) = drawn(&policy.spec).find(|(_, of)| *of == budget)?;
            part.per_pod = part.per_pod.min(ceiling.per_pod);
            part.overlaps.push(ceiling.rollout_overlap);
            if gone {
                // Of a policy that went only `perPod` is kept.
                part.overlaps.push(RolloutOverlap::Observed);
            }
        }
        (!part.overlaps.is_empty()).then_some(part)
    }

    /// Connections that the workload's pods can reach at the least.
    fn reach(&self, index: usize, part: &Part, target: Option<&Value>) -> (u32, String) {
        let name =
            self.scenario.workloads.get(index).map(|workload| workload.name.as_str()).unwrap_or_default();
        let sent = self.write.sent;
        // The one that grows was looked at by the API server itself; of the others watches told.
        let known =
            if index == self.index { Duration::from_secs(10) } else { staleness(self.state, "pods", sent) };
        let until = milliseconds(sent.saturating_sub(known));
        let ours =
            self.pods.iter().map(|pod| &pod.value).filter(|pod| object::label(pod, "app") == Some(name));
        // Pods of a workload that was deleted are known to nobody but the process that saw it then.
        let born = target.map_or(i64::MAX, created);
        let ending = ours.filter(|pod| began_to_end(pod).is_some_and(|at| at >= born && at <= until)).count();
        let beside = plimsoll::number::count_of(ending);
        let (replicas, more) = target.map_or((0, 0), |target| {
            let replicas = object::count(target, &["spec", "replicas"]);
            let strategy = Strategy::of(target);
            let overlaps = part.overlaps.iter().map(|declared| strategy.overlap(replicas, *declared).0);
            let rollout = strategy.surge(replicas).saturating_add(overlaps.min().unwrap_or(0));
            (replicas, if replicas == 0 { 0 } else { rollout })
        });
        let reach = part.per_pod.saturating_mul(replicas + more + beside);
        (reach, format!("{name} {} × ({replicas} + {more} in a rollout + {beside} ending)", part.per_pod))
    }

    /// The most that the budget may be known to give; none if there has been no such budget.
    fn given(&self, budget: usize) -> Option<u32> {
        let (sent, landed) = (self.write.sent, self.write.landed);
        let disturbed = [READ, "pods", "deployments", "statefulsets"]
            .into_iter()
            .any(|kind| staleness(self.state, kind, sent) == DISTURBED);
        let since = sent.saturating_sub(if disturbed { DISTURBED } else { LIMIT_READ });
        let plan = self.scenario.budgets.get(budget)?;
        let versions = self.state.budgets.get(budget).map(Vec::as_slice).unwrap_or_default();
        let level = if plan.asked { self.level(plan, since) } else { 0 };
        let given = State::versions(versions, since, landed).flatten().map(|spec| {
            let others = spec.others.as_ref().and_then(|others| others.connections).unwrap_or(0);
            let limit = spec.limit.max_connections.unwrap_or(level);
            limit.saturating_sub(spec.reserved).saturating_sub(others)
        });
        given.max()
    }

    /// The highest limit that may be the one last known: while it could not be asked the last one holds.
    fn level(&self, plan: &Budget, since: Duration) -> u32 {
        let mut known = since;
        let wrong_clock = self.state.clock.iter().find(|(_, error)| *error != 0).map(|(at, _)| *at);
        let faults = || {
            let told = plan.faults.iter().map(|(from, to, ..)| (*from, *to + LIMIT_READ));
            told.chain(wrong_clock.map(|from| (from, self.scenario.calm + LIMIT_READ)))
        };
        while let Some((from, _)) = faults().find(|(from, to)| *from < known && known <= *to) {
            known = from.saturating_sub(LIMIT_READ).min(known.saturating_sub(Duration::from_millis(1)));
        }
        State::versions(&plan.levels, known, self.write.landed).copied().max().unwrap_or(0)
    }
}

/// When an object was created, in milliseconds of the run.
fn created(value: &Value) -> i64 {
    let created = object::text(value, &["metadata", "creationTimestamp"]).parse::<jiff::Timestamp>();
    created.map_or(i64::MIN, |at| at.as_millisecond() - BASE)
}

/// When a pod began to end, in milliseconds of the run.
fn began_to_end(pod: &Value) -> Option<i64> {
    let end = object::text(pod, &["metadata", "deletionTimestamp"]).parse::<jiff::Timestamp>().ok()?;
    let grace = object::integer(pod, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) * 1000;
    Some(end.as_millisecond() - BASE - grace)
}

/// Down to which count a workload may be asked to give back, and whether at once: by what budgets' statuses told a moment
/// ago. None if it is not asked.
pub fn recalled(
    state: &State,
    policy: &PolicyFacts,
    workload: &str,
    strategy: Strategy,
    write: &ScaleWrite,
) -> Option<(u32, bool)> {
    let since = write.sent.saturating_sub(EVALUATION);
    let asked = drawn(&policy.spec).filter_map(|(ceiling, budget)| {
        let told = state.grants.get(budget)?;
        let holder = |status: &ConnectionBudgetStatus| {
            status.holders.iter().find(|holder| holder.name == workload).cloned()
        };
        let lent = |status: &ConnectionBudgetStatus| {
            holder(status).is_some_and(|held| held.recalled_since.is_some())
        };
        // A lower grant whose write was not answered is kept to by the process that sent it.
        let on_its_way = state
            .unanswered
            .iter()
            .filter(|(of, sent, _)| *of == budget && *sent <= write.landed && *sent + UNANSWERED >= since);
        let granted = State::versions(told, since, write.landed)
            .chain(on_its_way.map(|(_, _, status)| status))
            .filter(|status| lent(status))
            .filter_map(|status| Some(holder(status)?.granted))
            .min()?;
        let first = asked_first(state, budget, told, write.landed, lent)?;
        let deadlines = state.budgets.get(budget)?.iter().filter_map(|(_, spec)| spec.as_ref());
        let deadline = deadlines.map(|spec| spec.lending.recall_deadline_seconds).min().unwrap_or(0);
        // By a wrong clock it began whenever that told, for a successor.
        let right = state.clock.iter().all(|(_, error)| *error == 0);
        let hard = !right || first + Duration::from_secs(deadline.into()) <= write.sent + BLUR;
        Some((largest(ceiling, strategy, granted), hard))
    });
    asked.reduce(|one, other| (one.0.min(other.0), one.1 || other.1))
}

/// When the status was sent first, answered or not, that asks back what was still asked back last.
fn asked_first(
    state: &State,
    budget: usize,
    told: &[(Duration, ConnectionBudgetStatus)],
    landed: Duration,
    asks: impl Fn(&ConnectionBudgetStatus) -> bool,
) -> Option<Duration> {
    let mut past = told.iter().rev().filter(|(at, _)| *at <= landed).peekable();
    while past.next_if(|(_, status)| !asks(status)).is_some() {}
    let mut first = None;
    while let Some((at, _)) = past.next_if(|(_, status)| asks(status)) {
        first = Some(*at);
    }
    let before = past.next().map_or(Duration::ZERO, |(at, _)| *at);
    let sent = state
        .unanswered
        .iter()
        .filter(|(of, at, status)| *of == budget && (before..=landed).contains(at) && asks(status));
    first.into_iter().chain(sent.map(|(_, at, _)| *at)).min()
}

/// The largest count that connections carry, at the worst.
fn largest(ceiling: &ConnectionCeiling, strategy: Strategy, connections: u32) -> u32 {
    (0..=1000).rev().find(|count| most_reached(ceiling, strategy, *count) <= connections).unwrap_or(0)
}

/// The most that a count can reach.
fn most_reached(ceiling: &ConnectionCeiling, strategy: Strategy, count: u32) -> u32 {
    if count == 0 {
        return 0;
    }
    let (_, overlap) = strategy.overlap(count, ceiling.rollout_overlap);
    ceiling.per_pod.saturating_mul(count + strategy.surge(count) + overlap)
}

/// A workload as it stands in the end.
struct Party {
    spec: ScalingPolicySpec,
    strategy: Strategy,
    replicas: u32,
    /// The count can be asked back.
    acts: bool,
}

impl Party {
    /// Replicas that it can always have.
    fn guaranteed(&self) -> u32 {
        let declared = drawn(&self.spec).filter_map(|(ceiling, _)| ceiling.guaranteed_replicas).max();
        declared.unwrap_or(0).max(facts::least(&self.spec))
    }

    fn reach(&self, budget: usize, count: u32) -> u32 {
        let ceiling = drawn(&self.spec).find(|(_, of)| *of == budget);
        ceiling.map_or(0, |(ceiling, _)| most_reached(ceiling, self.strategy, count))
    }
}

fn parties(world: &World<'_>) -> Vec<Party> {
    let party = |index: usize| {
        let facts =
            world.ledger.state().policies.get(index).and_then(|versions| versions.last()?.1.clone())?;
        let target = world.target(index)?;
        let acts = facts.spec.mode != Mode::DryRun && facts::freezes(&facts).is_empty();
        let replicas = object::count(&target.value, &["spec", "replicas"]);
        Some(Party { spec: facts.spec, strategy: Strategy::of(&target.value), replicas, acts })
    };
    (0..world.scenario.workloads.len()).filter_map(party).collect()
}

/// What a budget gives in the end.
fn given(world: &World<'_>, budget: usize) -> u32 {
    let plan = world.scenario.budgets.get(budget);
    let spec = world.ledger.state().budgets.get(budget).and_then(|versions| versions.last()?.1.clone());
    let Some((plan, spec)) = plan.zip(spec) else { return 0 };
    let others = spec.others.as_ref().and_then(|others| others.connections).unwrap_or(0);
    let limit = spec.limit.max_connections.unwrap_or_else(|| plan.level(world.ledger.now()));
    limit.saturating_sub(spec.reserved).saturating_sub(others)
}

/// The fewest replicas that a workload must have in the end, of those that demand asks for.
pub fn fewest(world: &World<'_>, index: usize, spec: &ScalingPolicySpec, asked: u32) -> u32 {
    if drawn(spec).next().is_none() {
        return asked;
    }
    let parties = parties(world);
    let fits = |budget: usize| {
        // What stands still counts as it stands; the one that is judged may yet grow to its floor.
        let floor = |(other, party): (usize, &Party)| {
            let count = if party.acts || other == index { party.guaranteed() } else { party.replicas };
            party.reach(budget, count)
        };
        parties.iter().enumerate().map(floor).fold(0, u32::saturating_add) <= given(world, budget)
    };
    let floors_fit = drawn(spec).all(|(_, budget)| fits(budget));
    let guaranteed = parties.get(index).map_or(1, Party::guaranteed);
    asked.min(if floors_fit { guaranteed } else { 1 })
}

/// Judges what workloads hold in the end: no grants beyond what there is, and nobody waits beside connections that nobody
/// can use.
pub fn judge_end(world: &World<'_>) {
    let parties = parties(world);
    for (budget, plan) in world.scenario.budgets.iter().enumerate() {
        let status = world.ledger.state().grants.get(budget).and_then(|told| Some(told.last()?.1.clone()));
        let Some(status) = status else {
            world.ledger.violation(format!("nobody was ever granted anything of {}", plan.name));
            continue;
        };
        let granted: u32 = status.holders.iter().map(|holder| holder.granted).sum();
        let fixed = parties.iter().any(|party| !party.acts);
        if granted > given(world, budget) && !fixed && floors(&parties, budget) <= given(world, budget) {
            world.ledger.violation(format!(
                "{granted} connections of {} are granted, and it gives {}",
                plan.name,
                given(world, budget)
            ));
        }
    }
    for (index, party) in parties.iter().enumerate() {
        let asked = end::asked_for(world, index).map_or(0, |(fewest, _)| fewest);
        if !party.acts || party.replicas >= asked || drawn(&party.spec).next().is_none() {
            continue;
        }
        let has_room = |budget: usize| {
            let reach = |(other, party): (usize, &Party)| {
                let more = if other == index { party.replicas + 1 } else { party.replicas };
                party.reach(budget, if party.acts { more.max(party.guaranteed()) } else { more })
            };
            parties.iter().enumerate().map(reach).fold(0, u32::saturating_add) <= given(world, budget)
        };
        if drawn(&party.spec).all(|(_, budget)| has_room(budget)) {
            world.ledger.violation(format!(
                "w{index} waits with {} replicas for {asked}, although its budgets have room for one more",
                party.replicas
            ));
        }
    }
}

fn floors(parties: &[Party], budget: usize) -> u32 {
    parties.iter().map(|party| party.reach(budget, party.guaranteed())).fold(0, u32::saturating_add)
}
