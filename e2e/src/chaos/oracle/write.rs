//! Whether a count that was just written may have been written.

use std::time::Duration;

use plimsoll::api::{Direction, Enforcement, FallbackBehavior, Mode, SelectPolicy};
use serde_json::Value;

use super::budget;
use super::ceiling::{Strategy, carried, enforced, range};
use super::facts::{self, Rules, ceil};
use crate::apiserver::object;
use crate::chaos::ledger::{Answered, Form, PolicyFacts, ScaleWrite, State};
use crate::chaos::metrics::milliseconds;
use crate::chaos::scenario::BASE;
use crate::chaos::wire::Wire;

/// What a process hears is no older than this while nothing disturbs it: an evaluation reads the policy first and
/// writes last, and its queries and reads may each take their whole time.
pub(super) const EVALUATION: Duration = Duration::from_secs(40);
/// What is heard of a kind may be this much older after its watch was disturbed: a silent watch is noticed after 65
/// seconds, and lists that fail from then on make the operator hold after another minute.
pub(super) const DISTURBED: Duration = Duration::from_secs(200);
/// A fall to less than this share must be confirmed, and a rise as steep.
const COLLAPSE: f64 = 0.101;
/// Samples are no further apart.
const SCRAPE: Duration = Duration::from_secs(5);
/// Moments that two clocks see on different sides of a limit.
pub(super) const BLUR: Duration = Duration::from_secs(2);

/// Judges a write that was carried out; `target` is the workload as it was right before.
pub fn judge(wire: &Wire, index: usize, target: &Value, write: &ScaleWrite) {
    let verdict = {
        let state = wire.ledger.state();
        let pods = Pods::of(wire, object::name(target));
        Case { state: &state, index, target, write, pods }.verdict()
    };
    if let Err(why) = verdict {
        let name = object::name(target);
        wire.ledger.violation(format!(
            "process {} scaled {name} from {} to {}: {why}",
            write.operator, write.from, write.to
        ));
    }
    if write.to > write.from {
        budget::judge(wire, index, write);
    }
}

/// How far back what a process knows of a kind may lie.
pub fn staleness(state: &State, kind: &str, at: Duration) -> Duration {
    let disturbed =
        state.disturbed.iter().any(|(when, of)| *of == kind && *when <= at && *when + DISTURBED >= at);
    if disturbed { DISTURBED } else { EVALUATION }
}

/// A workload's pods as they truly are.
struct Pods {
    alive: u32,
    terminating: u32,
    revisions: usize,
    /// When pods came, turned Ready, or began to go, in milliseconds of the run.
    signs: Vec<i64>,
}

impl Pods {
    fn of(wire: &Wire, name: &str) -> Self {
        let all = super::pods(&wire.server);
        let ours = all.iter().map(|pod| &pod.value).filter(|pod| object::label(pod, "app") == Some(name));
        let signs = ours.clone().flat_map(moments).collect();
        let (terminating, alive): (Vec<&Value>, Vec<&Value>) =
            ours.partition(|pod| object::is_terminating(pod));
        let mut revisions: Vec<&str> = alive
            .iter()
            .filter_map(|pod| {
                object::label(pod, "pod-template-hash")
                    .or_else(|| object::label(pod, "controller-revision-hash"))
            })
            .collect();
        revisions.sort_unstable();
        revisions.dedup();
        Self {
            alive: plimsoll::number::count_of(alive.len()),
            terminating: plimsoll::number::count_of(terminating.len()),
            revisions: revisions.len(),
            signs,
        }
    }
}

/// When a pod came, turned Ready, and began to go, in milliseconds of the run.
fn moments(pod: &Value) -> impl Iterator<Item = i64> {
    let read = |value: &Value, path: &[&str]| {
        let time = object::text(value, path).parse::<jiff::Timestamp>().ok()?;
        Some(time.as_millisecond() - BASE)
    };
    let ready = object::entry(pod, &["status", "conditions"], "type", "Ready")
        .filter(|ready| object::text(ready, &["status"]) == "True");
    let grace = object::integer(pod, &["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) * 1000;
    let all = [
        read(pod, &["metadata", "creationTimestamp"]),
        ready.and_then(|ready| read(ready, &["lastTransitionTime"])),
        read(pod, &["metadata", "deletionTimestamp"]).map(|end| end - grace),
    ];
    all.into_iter().flatten()
}

struct Case<'a> {
    state: &'a State,
    index: usize,
    target: &'a Value,
    write: &'a ScaleWrite,
    pods: Pods,
}

type Verdict = Result<(), String>;

impl Case<'_> {
    /// A write is right if it was right by some version of the policy that the process could still have seen.
    fn verdict(&self) -> Verdict {
        let write = self.write;
        if write.from == 0 {
            return Err("somebody had set it to 0".to_owned());
        }
        if write.to == 0 {
            return Err("it never writes 0".to_owned());
        }
        let sent = write.sent;
        let back = staleness(self.state, "scalingpolicies", sent).max(staleness(
            self.state,
            "horizontalpodautoscalers",
            sent,
        ));
        let since = sent.saturating_sub(back);
        let rivals = self.state.rivals.get(self.index).map(Vec::as_slice).unwrap_or_default();
        if State::versions(rivals, since, write.landed).all(|rivals| rivals.autoscaler) {
            return Err("another autoscaler acts on it".to_owned());
        }
        let rival = State::versions(rivals, since, write.landed).any(|rivals| rivals.policy);
        let rival_acts = State::versions(rivals, since, write.landed).any(|rivals| rivals.older);
        let policies = self.state.policies.get(self.index).map(Vec::as_slice).unwrap_or_default();
        let mut why = "it has no policy".to_owned();
        // The newest first: its refusal is the one to tell.
        let versions: Vec<_> = State::versions(policies, since, write.landed).collect();
        // Where the first policy goes, only tries, or is the younger one, the second acts, of which nothing is noted here.
        let stands_back = |policy: &PolicyFacts| policy.spec.mode == Mode::DryRun;
        if rival_acts || (rival && versions.iter().any(|version| version.as_ref().is_none_or(stands_back))) {
            return Ok(());
        }
        for policy in versions.iter().filter_map(|version| version.as_ref()) {
            match self.explained_by(policy) {
                Ok(()) => return Ok(()),
                Err(refusal) => why = refusal,
            }
        }
        Err(why)
    }

    /// The clock of the process when it may have begun, and when the write landed, in milliseconds since 1970.
    fn clock(&self) -> (i64, i64) {
        let read = |at: Duration| BASE + milliseconds(at) + self.state.clock_error(at);
        let (begun, landed) = (self.write.sent.saturating_sub(EVALUATION), self.write.landed);
        let moments = [begun, self.write.sent, landed];
        let errors = self.state.clock.iter().filter(|(at, _)| *at >= begun && *at <= landed);
        let jumps = errors.map(|(at, error)| BASE + milliseconds(*at) + error);
        let all: Vec<i64> = moments.into_iter().map(read).chain(jumps).collect();
        (all.iter().copied().min().unwrap_or(0), all.iter().copied().max().unwrap_or(0))
    }

    fn explained_by(&self, policy: &PolicyFacts) -> Verdict {
        if policy.spec.mode == Mode::DryRun {
            return Err("the policy is a dry run".to_owned());
        }
        if self.write.to > self.write.from { self.growth(policy) } else { self.shrinking(policy) }
    }

    fn growth(&self, policy: &PolicyFacts) -> Verdict {
        let (spec, to, from) = (&policy.spec, self.write.to, self.write.from);
        let (begun, landed) = self.clock();
        let max = spec.max_replicas.max(facts::least(spec));
        if to > max {
            return Err(format!("maxReplicas is {max}"));
        }
        if let Some(cap) = facts::caps(policy).iter().find(|cap| cap.holds(landed) && to > cap.replicas) {
            return Err(format!("there is an emergency cap of {}", cap.replicas));
        }
        self.within_ceilings(policy)?;
        let freezes = facts::freezes(policy);
        let clamp = |count: u32| count.clamp(facts::least(spec), max);
        if freezes.iter().any(|freeze| freeze.may_hold(begun) && to <= clamp(freeze.replicas)) {
            return Ok(());
        }
        if let Some(freeze) = freezes.first().filter(|freeze| freeze.holds(landed)) {
            return Err(format!("it is frozen at {}", clamp(freeze.replicas)));
        }
        if to <= spec.min_replicas {
            return Ok(());
        }
        if spec.paused.contains(&Direction::ScaleUp) {
            return Err("scale-up is paused".to_owned());
        }
        self.rate(&facts::scale_up(spec), true)?;
        if spec
            .fallback
            .as_ref()
            .is_some_and(|fallback| to <= fallback.replicas && self.is_blind(policy, fallback.after_seconds))
        {
            return Ok(());
        }
        let Some(answer) = self.answers(Form::Value).next_back() else {
            return Err("no metric was ever asked".to_owned());
        };
        let Some(value) = answer.good else { return Err("its metric was not fit to use".to_owned()) };
        let most = ceil(facts::need(spec, value)).max(1).saturating_add(spec.headroom.replicas);
        if to > most {
            return Err(format!("demand of {value} asks for {most} and no more (it was {from})"));
        }
        Ok(())
    }

    /// The pods that the write makes possible, in a rollout begun right after it, must find their connections.
    fn within_ceilings(&self, policy: &PolicyFacts) -> Verdict {
        let strategy = Strategy::of(self.target);
        let (from, to) = (self.write.from, self.write.to);
        let expected = from.saturating_add(strategy.surge(from));
        let beside = self.pods.alive.saturating_sub(expected).saturating_add(self.pods.terminating);
        for ceiling in enforced(&policy.spec) {
            let overlap = strategy.overlap(to, ceiling.rollout_overlap).0;
            let reachable = to + strategy.surge(to) + overlap + beside;
            if reachable > carried(ceiling) {
                return Err(format!(
                    "{to} + {} surge + {overlap} overlap + {beside} beside come to {reachable} pods, and the connections of {} carry {}",
                    strategy.surge(to),
                    ceiling.name,
                    carried(ceiling)
                ));
            }
        }
        Ok(())
    }

    fn shrinking(&self, policy: &PolicyFacts) -> Verdict {
        let (spec, to, from) = (&policy.spec, self.write.to, self.write.from);
        let (begun, landed) = self.clock();
        let least = facts::least(spec);
        let strategy = Strategy::of(self.target);
        let recalled = budget::recalled(self.state, policy, object::name(self.target), strategy, self.write);
        let recalled = recalled.map(|(lowest, at_once)| {
            (if at_once { Enforcement::Hard } else { Enforcement::Enforce }, (lowest, lowest))
        });
        let ceilings: Vec<_> = enforced(spec)
            .map(|ceiling| (ceiling.enforcement, range(ceiling, strategy)))
            .chain(recalled)
            .collect();
        let hard = ceilings.iter().filter(|(enforcement, _)| *enforcement == Enforcement::Hard);
        let hard = hard.map(|(_, (lowest, highest))| (*lowest.max(&least), *highest.max(&least)));
        let hard = hard.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)));
        let caps = facts::caps(policy);
        if let Some(cap) = caps.iter().filter(|cap| cap.may_hold(begun)).map(|cap| cap.replicas).min()
            && from > cap
            && to >= hard.map_or(cap, |(lowest, _)| cap.min(lowest))
        {
            return Ok(());
        }
        if to < least {
            return Err(format!("minReplicas is {}", spec.min_replicas));
        }
        if hard.is_some_and(|(lowest, _)| from > lowest && to >= lowest) {
            return Ok(());
        }
        let max = spec.max_replicas.max(least);
        let freezes = facts::freezes(policy);
        if freezes.iter().any(|freeze| freeze.may_hold(begun) && to == freeze.replicas.clamp(least, max)) {
            return Ok(());
        }
        if let Some(freeze) = freezes.first().filter(|freeze| freeze.holds(landed)) {
            return Err(format!("it is frozen at {}", freeze.replicas));
        }
        let rules = facts::scale_down(spec);
        let lowest =
            ceilings.iter().map(|(_, (lowest, _))| *lowest.max(&least)).min().unwrap_or(u32::MAX).min(max);
        // A count that somebody declared for the time without data is gone to whatever goes on, under the rates.
        let fallback =
            spec.fallback.as_ref().filter(|fallback| fallback.behavior == FallbackBehavior::EvenIfLower);
        if fallback
            .is_some_and(|fallback| to >= fallback.replicas && self.is_blind(policy, fallback.after_seconds))
        {
            return self.rate(&rules, false);
        }
        if self.is_rolling_out() {
            return Err("a rollout is under way".to_owned());
        }
        if from > lowest && to >= lowest {
            let rules = Rules {
                select: if rules.select == SelectPolicy::Disabled { SelectPolicy::Max } else { rules.select },
                ..rules
            };
            return self.rate(&rules, false);
        }
        self.rate(&rules, false)?;
        if spec.paused.contains(&Direction::ScaleDown) {
            return Err("scale-down is paused".to_owned());
        }
        self.metrics_are_fit(policy)?;
        self.below_nothing_that_was_asked_for(policy, &rules)
    }

    /// The answers that the process got until it wrote.
    fn answers(&self, form: Form) -> impl DoubleEndedIterator<Item = &Answered> {
        let answers = self.state.answers.get(self.index).map(Vec::as_slice).unwrap_or_default();
        let (operator, sent) = (self.write.operator, self.write.sent);
        answers
            .iter()
            .filter(move |answer| answer.form == form && answer.operator == operator && answer.asked <= sent)
    }

    /// Whether there may have been nothing fit to use for so long, by the operator's own clock.
    fn is_blind(&self, policy: &PolicyFacts, seconds: u32) -> bool {
        let shown = |at: Duration| milliseconds(at) + self.state.clock_error(at);
        let since = self.write.clock - i64::from(seconds) * 1000 + milliseconds(BLUR);
        let truly = self.write.sent.saturating_sub(Duration::from_secs(seconds.into())) + BLUR;
        let unfit = |answer: &Answered| {
            answer.good.is_none() || !self.was_young(policy, answer.asked) || self.leaps(policy, answer)
        };
        // After a jump of the clock either may be what the operator goes by.
        let mut by_clock = self.answers(Form::Value).filter(|answer| shown(answer.asked) >= since);
        let mut by_time = self.answers(Form::Value).filter(|answer| answer.asked >= truly);
        by_clock.all(unfit) || by_time.all(unfit)
    }

    /// Whether an answer is so far from the last that was fit to use that another one must confirm it.
    fn leaps(&self, policy: &PolicyFacts, answer: &Answered) -> bool {
        let before = self
            .answers(Form::Value)
            .filter(|before| before.asked < answer.asked && self.was_young(policy, before.asked));
        let last = before.filter_map(|before| before.good).next_back();
        matches!((answer.good, last), (Some(now), Some(last)) if now < last * COLLAPSE || now * COLLAPSE > last)
    }

    /// Whether the newest sample was young enough at a moment, as far as the process could tell.
    fn was_young(&self, policy: &PolicyFacts, at: Duration) -> bool {
        // One that is asked with the next value says nothing of this one yet.
        let next = self.answers(Form::Value).find(|value| value.asked > at).map(|value| value.asked);
        let is_due = |age: &&Answered| age.asked <= at + BLUR && next.is_none_or(|next| age.asked < next);
        let age = self.answers(Form::Age).rfind(is_due);
        age.is_some_and(|age| age.good.is_some_and(|seconds| seconds <= facts::max_age(&policy.spec)))
    }

    fn metrics_are_fit(&self, policy: &PolicyFacts) -> Verdict {
        let Some(value) = self.answers(Form::Value).next_back() else {
            return Err("no metric was ever asked".to_owned());
        };
        if value.good.is_none() {
            return Err("its metric was not fit to use".to_owned());
        }
        let Some(age) = self.answers(Form::Age).next_back() else {
            return Err("the age of its metric was never asked".to_owned());
        };
        let Some(seconds) = age.good else { return Err("the age of its metric is not known".to_owned()) };
        // As the process reckons: a clock that was set back in between hides what went by.
        let jumped = self.state.clock_error(value.asked) - self.state.clock_error(age.asked);
        let hidden = Duration::from_millis(u64::try_from(-jumped).unwrap_or(0));
        let since = value.asked.saturating_sub(age.asked).saturating_sub(hidden).as_secs_f64();
        let max_age = facts::max_age(&policy.spec);
        if seconds + since > max_age + BLUR.as_secs_f64() {
            return Err(format!("its metric was {seconds} s old {since} s ago, and {max_age} s are allowed"));
        }
        Ok(())
    }

    /// No count below what the window's demand asked for, and none before a whole window was seen.
    fn below_nothing_that_was_asked_for(&self, policy: &PolicyFacts, rules: &Rules) -> Verdict {
        let (spec, write) = (&policy.spec, self.write);
        let sent = write.sent;
        let window = Duration::from_secs(rules.window.into());
        let since = sent.saturating_sub(window);
        let edited = self.state.policies.get(self.index).into_iter().flatten();
        // By another version of the policy, or another clock, the past looks different.
        let changed =
            |at: &Duration| *at + window + DISTURBED >= sent && *at <= sent && *at > Duration::from_secs(1);
        if edited.map(|(at, _)| at).any(changed) || self.state.clock.iter().map(|(at, _)| at).any(changed) {
            return Ok(());
        }
        let base = self.write.to.saturating_sub(spec.headroom.replicas);
        // What was asked for while there was no workload was nobody's demand: one that is made anew begins with its own
        // count, and with a window of its own.
        let good = self
            .answers(Form::Value)
            .filter_map(|answer| Some((answer.asked, answer.good?, answer.replicas?)));
        let seen: Vec<(Duration, f64, u32)> = good.collect();
        let young = |(asked, ..): &&(Duration, f64, u32)| self.was_young(policy, *asked);
        // One that may lead anew reads the time before as Prometheus tells it, on other moments than it asked at.
        let mut leases = self.state.disturbed.iter().filter(|(_, kind)| *kind == "leases");
        let anew = leases.any(|(at, _)| *at + DISTURBED >= since && *at <= sent);
        let apart =
            if anew { Duration::from_secs(spec.polling_interval.into()) + SCRAPE } else { Duration::ZERO };
        // A rise so steep is nobody's demand before another answer confirms it.
        let leapt: Vec<Duration> = self
            .answers(Form::Value)
            .filter(|answer| answer.asked > since && self.leaps(policy, answer))
            .map(|answer| answer.asked)
            .collect();
        let within = seen.iter().filter(|(asked, ..)| *asked > since + BLUR + apart).filter(young);
        let within = within.filter(|(asked, ..)| !leapt.contains(asked));
        let peak = within.map(|(_, value, _)| facts::need(spec, *value)).fold(0.0, f64::max);
        let tolerance = facts::scale_up(spec).tolerance;
        let required = ceil(peak / (1.0 + tolerance));
        // Where the workload could not be seen, what demand asked for was not taken note of.
        let unread = self.state.disturbed.iter().any(|(at, kind)| match *kind {
            "get" | "pods" => *at >= since && *at <= sent,
            kind => kind == self.plural() && *at + DISTURBED >= since && *at <= sent,
        });
        if base < required && self.write.to > facts::least(spec) && !unread {
            return Err(format!(
                "demand within the last {} s asked for {peak:.2} pods, so at least {required}",
                rules.window
            ));
        }
        let gap = Duration::from_secs(u64::from(spec.polling_interval) * 3 + 16);
        let (mut covered, mut stood) = (sent, write.from);
        for (asked, _, replicas) in seen.iter().rev() {
            if covered.saturating_sub(*asked) > gap {
                break;
            }
            (covered, stood) = (*asked, *replicas);
        }
        let mut histories = self.state.histories.get(self.index).into_iter().flatten();
        let is_known = histories.any(|(operator, from)| *operator == write.operator && *from <= since + gap);
        // What was wanted before is not known: the count that stood then is kept for a window.
        if covered > since + gap && !is_known && write.to < stood && !unread {
            return Err(format!(
                "a window of {} s must pass, and this process has seen demand for only {:.0} s, since when there were {stood}",
                rules.window,
                sent.saturating_sub(covered).as_secs_f64()
            ));
        }
        Ok(())
    }

    fn plural(&self) -> &'static str {
        if object::text(self.target, &["kind"]) == "Deployment" { "deployments" } else { "statefulsets" }
    }

    fn is_rolling_out(&self) -> bool {
        let target = self.target;
        let count = |field: &str| object::count(target, &["status", field]);
        let progressing = object::entry(target, &["status", "conditions"], "type", "Progressing");
        let failed = progressing.is_some_and(|condition| object::text(condition, &["status"]) == "False");
        let paused = object::at(target, &["spec", "paused"]).and_then(Value::as_bool) == Some(true);
        let mixed = self.pods.revisions > 1 || count("updatedReplicas") < count("replicas");
        mixed && !failed && !paused && !self.has_expired() && object::text(target, &["kind"]) == "Deployment"
    }

    /// Whether nothing has moved, as far as the process could see, for as long as a new pod and an old one may take, which
    /// ends the wait for a rollout: since the template was changed, no pod came, turned Ready or began to go.
    fn has_expired(&self) -> bool {
        let seconds = |path: &[&str]| i64::from(object::count(self.target, path)) * 1000;
        let patience = seconds(&["spec", "progressDeadlineSeconds"])
            + seconds(&["spec", "template", "spec", "terminationGracePeriodSeconds"]);
        let revised = self.state.revised.get(self.index).copied().unwrap_or_default();
        let seen =
            milliseconds(self.write.sent) - milliseconds(staleness(self.state, "pods", self.write.sent));
        let signs = self.pods.signs.iter().copied().filter(|at| *at <= seen);
        let begun = milliseconds(revised) + self.state.clock_error(revised);
        let moved = signs.fold(begun, i64::max);
        self.write.clock - moved >= patience - milliseconds(BLUR)
    }

    /// The rates, by the changes that this process made itself.
    fn rate(&self, rules: &Rules, grows: bool) -> Verdict {
        let write = self.write;
        let longest = rules.rates.iter().map(|rate| rate.seconds).max().unwrap_or(0);
        let since = write.sent.saturating_sub(Duration::from_secs(u64::from(longest) + 60));
        // A change counts once the operator has seen it land; a count that somebody else sets at once hides it.
        let others = self.state.counts_by_others.get(self.index).into_iter().flatten();
        if others.into_iter().any(|at| *at >= since && *at <= write.landed) {
            return Ok(());
        }
        // Two policies do not know of each other's changes, nor does one that was made anew.
        let rivals = self.state.rivals.get(self.index).map(Vec::as_slice).unwrap_or_default();
        let policies = self.state.policies.get(self.index).map(Vec::as_slice).unwrap_or_default();
        if State::versions(rivals, since, write.landed).any(|rivals| rivals.policy)
            || State::versions(policies, since, write.landed).any(Option::is_none)
        {
            return Ok(());
        }
        // Changes made while the clock was ahead are dated in the future, and later taken as made just now.
        if self.state.clock.len() > 1 {
            return Ok(());
        }
        let writes = self.state.writes.get(self.index).map(Vec::as_slice).unwrap_or_default();
        let ours = |past: &&ScaleWrite| past.operator == write.operator && past.term == write.term;
        // What status told when the process started, if it heard of the policies without a disturbance.
        let heard = staleness(self.state, "scalingpolicies", write.sent) == EVALUATION;
        // A process that could not renew its lease for a while, and leads again, knows no more of what it did itself.
        let mut disturbed = self.state.disturbed.iter();
        let led = !disturbed.any(|(at, of)| *of == "leases" && *at >= since && *at <= write.sent);
        // Where that is not certain, only what allows more is taken as known.
        let counts = |known: bool, from: u32, to: u32| known || (from < to) != grows;
        let own = writes.iter().filter(ours).filter(|past| counts(led, past.from, past.to));
        let told = self.state.recalled.get(self.index).into_iter().flatten();
        let told =
            told.filter(|(operator, _, from, to)| *operator == write.operator && counts(heard, *from, *to));
        let known: Vec<(i64, u32, u32)> = own
            .map(|past| (past.clock, past.from, past.to))
            .chain(told.map(|(_, at, from, to)| (*at, *from, *to)))
            .collect();
        let limit = |rate: &facts::Rate| {
            // What lies at the edge counts where it allows more.
            let since = |allows: bool| {
                let edge = write.clock - i64::from(rate.seconds) * 1000;
                if allows { edge - milliseconds(BLUR) } else { edge + milliseconds(BLUR) }
            };
            let recent =
                |allows| known.iter().filter(move |(at, ..)| *at > since(allows) && *at <= write.clock);
            let added: u32 = recent(!grows).map(|(_, from, to)| to.saturating_sub(*from)).sum();
            let removed: u32 = recent(grows).map(|(_, from, to)| from.saturating_sub(*to)).sum();
            let start = (write.from + removed).saturating_sub(added);
            match (grows, rate.percent) {
                (true, false) => start + rate.value,
                (true, true) => {
                    plimsoll::number::ceil_count(f64::from(start) * (1.0 + f64::from(rate.value) / 100.0))
                }
                (false, false) => start.saturating_sub(rate.value),
                (false, true) => {
                    plimsoll::number::floor_count(f64::from(start) * (1.0 - f64::from(rate.value) / 100.0))
                }
            }
        };
        let limits = rules.rates.iter().map(limit);
        // The largest change is the highest count of a growth and the lowest of a shrinking.
        let largest = (rules.select == SelectPolicy::Max) == grows;
        let limit = match rules.select {
            SelectPolicy::Disabled => None,
            _ if largest => limits.max(),
            _ => limits.min(),
        };
        match limit {
            None => Err("its rate allows no change".to_owned()),
            Some(limit) if grows && write.to > limit.max(write.from) => {
                Err(format!("the rate allows up to {limit}"))
            }
            Some(limit) if !grows && write.to < limit.min(write.from) => {
                Err(format!("the rate allows down to {limit}"))
            }
            Some(_) => Ok(()),
        }
    }
}
