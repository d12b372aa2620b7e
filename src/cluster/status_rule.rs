//! When status is worth a write: on change, seldom for drift, never for noise.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;

use super::identity::moment;
use crate::api::{
    CeilingStatus, FindingStatus, ForecastStatus, GuardStatus, Quantity, ScalingPolicyStatus, ScheduleStatus,
};
use crate::number::from_count;
use crate::time::{Span, Time};

/// Time between writes for values that drift, and for states that come and go.
const DRIFT_INTERVAL: Span = Span::from_seconds(60);
/// Time between writes for what a restart would forget.
const CHECKPOINT_INTERVAL: Span = Span::from_seconds(300);
/// A shown value has drifted when it left this share of what was written.
const DRIFT: f64 = 0.1;

/// Reasons of a decision to keep the count, which no condition shows.
const LASTING_HOLDS: [&str; 2] = ["RolloutInProgress", "Paused"];

/// A write that nobody answered may still be carried out within this time; the API server gives requests up before.
const LONGEST_WAY: Duration = Duration::from_secs(65);

/// Why status is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// None was ever written.
    First,
    /// The count was written, or somebody else changed it.
    Count,
    /// A change of the count was shown last, and by now its pods have come or gone.
    Settled,
    /// The spec changed, and with it perhaps the mode.
    Generation,
    /// Another limit binds, or none; or something else holds the count.
    Limit,
    /// A condition's status or reason changed.
    Condition,
    /// A shown value is far from what was written.
    Drift,
    /// A restart would forget something.
    Checkpoint,
    /// An earlier write was not answered, so nobody knows what is there.
    Doubt,
}

impl Occasion {
    /// As a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Count => "count",
            Self::Settled => "settled",
            Self::Generation => "generation",
            Self::Limit => "limit",
            Self::Condition => "condition",
            Self::Drift => "drift",
            Self::Checkpoint => "checkpoint",
            Self::Doubt => "doubt",
        }
    }
}

/// What was written last, and what that replaced.
#[derive(Clone, Debug, Default)]
pub struct Written {
    last: Option<ScalingPolicyStatus>,
    /// Limit and conditions before the last write, and when they were written.
    before_last: Option<(Standing, Option<Time>)>,
    doubt: Option<Doubt>,
}

/// A write that was not answered: it may have been carried out, or be so yet, over whatever is written after it. How long
/// it may take has nothing to do with the wall clock, which may be set meanwhile.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since: Instant,
    /// Another write has been answered since.
    answered: bool,
}

/// What a person acts on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    limited_by: Option<String>,
    /// Something is needed beyond the limit.
    unmet: bool,
    /// What keeps a count that demand would lower; of all holds, those that last and that no noise brings about.
    held_by: Option<String>,
    conditions: Vec<(String, String, Option<String>)>,
    /// Each guard that is not inactive, with the moment at which it became active, which a restart must not forget.
    guards: Vec<(String, bool, Option<Time>)>,
}

impl Written {
    /// What was found in the cluster.
    pub fn found(status: Option<ScalingPolicyStatus>) -> Self {
        Self { last: status, before_last: None, doubt: None }
    }

    /// The status last written.
    pub const fn last(&self) -> Option<&ScalingPolicyStatus> {
        self.last.as_ref()
    }

    /// The conditions last written.
    pub fn conditions(&self) -> &[Condition] {
        self.last.as_ref().map_or(&[], |last| &last.conditions)
    }

    /// Notes that a write was not answered.
    pub fn note_unanswered(&mut self) {
        self.doubt = Some(Doubt { since: Instant::now(), answered: false });
    }

    /// Notes that `status` was written. Its steps and sentences are not needed again.
    pub fn note(&mut self, mut status: ScalingPolicyStatus) {
        self.doubt =
            self.doubt.filter(|doubt| !doubt.is_over()).map(|doubt| Doubt { answered: true, ..doubt });
        if let Some(decision) = &mut status.decision {
            decision.steps = Vec::new();
            decision.message = String::new();
        }
        self.before_last = self.last.replace(status).as_ref().map(|last| (Standing::of(last), written(last)));
    }

    /// Why `next` should be written now, if it should. `rescaled` tells that the count was just written.
    pub fn occasion(&self, next: &ScalingPolicyStatus, rescaled: bool, now: Time) -> Option<Occasion> {
        let Some(last) = &self.last else { return Some(Occasion::First) };
        if self.doubt.is_some_and(|doubt| !doubt.answered || doubt.is_over()) {
            return Some(Occasion::Doubt);
        }
        // A clock that was ahead wrote a time that is still to come; how long ago that was is not known.
        let at = written(last).filter(|at| *at <= now);
        let since = at.map_or(CHECKPOINT_INTERVAL, |at| now.since(at));
        if rescaled || last.current_replicas != next.current_replicas {
            return Some(Occasion::Count);
        }
        if last.observed_generation != next.observed_generation {
            return Some(Occasion::Generation);
        }
        let standing = Standing::of(next);
        let was = Standing::of(last);
        // What comes back again and again is at an edge: it is told once a minute, and not at every turn.
        let back = since < DRIFT_INTERVAL
            && self.before_last.as_ref().is_some_and(|(before, at)| {
                let lasted = written(last).zip(*at).map(|(last, at)| last.since(at));
                *before == standing && lasted.is_some_and(|lasted| lasted < CHECKPOINT_INTERVAL)
            });
        if standing != was && !back {
            let limit =
                |standing: &Standing| (standing.limited_by.clone(), standing.unmet, standing.held_by.clone());
            return Some(if limit(&was) == limit(&standing) { Occasion::Condition } else { Occasion::Limit });
        }
        if moves(last) && !moves(next) {
            return Some(Occasion::Settled);
        }
        if since >= DRIFT_INTERVAL && drifted(last, next) {
            return Some(Occasion::Drift);
        }
        let earned = |status: &ScalingPolicyStatus| {
            let known = status.scalability.as_ref()?;
            Some((known.revision.clone(), known.since.clone(), known.ceiling))
        };
        let memory = |status: &ScalingPolicyStatus| {
            let targets = status.slo.as_ref().map(|slo| slo.target_percent);
            (status.last_changes.clone(), status.start_up, status.drain, earned(status), targets)
        };
        (since >= CHECKPOINT_INTERVAL && memory(last) != memory(next)).then_some(Occasion::Checkpoint)
    }
}

impl Doubt {
    /// Nothing can be on its way any more.
    fn is_over(self) -> bool {
        self.since.elapsed() >= LONGEST_WAY
    }
}

impl Standing {
    fn of(status: &ScalingPolicyStatus) -> Self {
        let conditions = status.conditions.iter().map(|condition| {
            // While scaling is possible, the reason tells what goes on, which changes with every scale.
            let plain = condition.type_ == "AbleToScale" && condition.status == "True";
            (condition.type_.clone(), condition.status.clone(), (!plain).then(|| condition.reason.clone()))
        });
        let reason = status.decision.as_ref().map(|decision| decision.reason.as_str());
        let held_by = reason.filter(|reason| LASTING_HOLDS.contains(reason)).map(str::to_owned);
        let unmet = status.unmet_replicas.is_some_and(|unmet| unmet > 0);
        let acting = status.guards.iter().filter(|guard| guard.since.is_some());
        let guards = acting.map(|guard| {
            let since = guard.since.as_ref().map(|since| seconds(moment(since.0)));
            (guard.name.clone(), guard.state == "Expired", since)
        });
        Self {
            limited_by: status.limited_by.clone(),
            unmet,
            held_by,
            conditions: conditions.collect(),
            guards: guards.collect(),
        }
    }
}

/// A moment as a status that was read back tells it.
fn seconds(time: Time) -> Time {
    Time::from_seconds(time.millis().div_euclid(1000))
}

fn written(status: &ScalingPolicyStatus) -> Option<Time> {
    status.as_of.as_ref().map(|at| moment(at.0))
}

/// Whether the count is to change, or pods that follow from it are still to come or to go.
fn moves(status: &ScalingPolicyStatus) -> bool {
    let pods = status.pods.unwrap_or_default();
    status.decision.as_ref().is_some_and(|decision| decision.from != decision.to)
        || pods.ordered > 0
        || pods.terminating > 0
}

/// Whether something shown is far from what was written. Ages are not compared, they always move; nor are needs, which
/// are values and counts rounded up, so that noise about a whole number moves them by one.
fn drifted(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    let counts = |status: &ScalingPolicyStatus| {
        let pods = status.pods.unwrap_or_default();
        [
            status.desired_replicas,
            status.effective_max_replicas,
            status.unmet_replicas,
            Some(pods.serving),
            Some(pods.warm),
            Some(pods.ordered),
            Some(pods.failing),
            Some(pods.terminating),
            Some(pods.reachable),
        ]
    };
    counts(last).into_iter().zip(counts(next)).any(|(last, next)| count_left(last, next))
        || reasons_differ(last, next)
        || metrics_left(last, next)
        || ceilings_left(&last.ceilings, &next.ceilings)
        || guards_left(&last.guards, &next.guards)
        || schedules_left(&last.schedules, &next.schedules)
        || forecasts_left(&last.forecasts, &next.forecasts)
        || last.advice.len() != next.advice.len()
        || findings_left(&last.findings, &next.findings)
}

fn findings_left(last: &[FindingStatus], next: &[FindingStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| !words(&last.message).eq(words(&next.message)))
}

fn schedules_left(last: &[ScheduleStatus], next: &[ScheduleStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| {
            (&last.name, &last.state, &last.end, &last.next_start)
                != (&next.name, &next.state, &next.end, &next.next_start)
                || count_left(last.replicas, next.replicas)
        })
}

/// A fit that comes to the same is no news.
fn forecasts_left(last: &[ForecastStatus], next: &[ForecastStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| {
            (&last.metric, &last.state, &last.model, &last.season_seconds)
                != (&next.metric, &next.state, &next.model, &next.season_seconds)
                || count_left(last.replicas, next.replicas)
        })
}

fn guards_left(last: &[GuardStatus], next: &[GuardStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| {
            (&last.name, &last.action, &last.state, &last.signal)
                != (&next.name, &next.action, &next.state, &next.signal)
                || last.threshold != next.threshold
                || left(
                    number(last.value.as_ref()),
                    number(next.value.as_ref()),
                    number(Some(&last.threshold)).unwrap_or(0.0),
                )
        })
}

fn reasons_differ(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    let reasons = |status: &ScalingPolicyStatus| -> Vec<_> {
        status.conditions.iter().map(|condition| condition.reason.clone()).collect()
    };
    reasons(last) != reasons(next)
}

fn metrics_left(last: &ScalingPolicyStatus, next: &ScalingPolicyStatus) -> bool {
    last.metrics.len() != next.metrics.len()
        || last.metrics.iter().zip(&next.metrics).any(|(last, next)| {
            (&last.name, &last.state) != (&next.name, &next.state)
                || last.target != next.target
                || left(
                    number(last.value.as_ref()),
                    number(next.value.as_ref()),
                    number(Some(&last.target)).unwrap_or(0.0),
                )
        })
}

fn ceilings_left(last: &[CeilingStatus], next: &[CeilingStatus]) -> bool {
    last.len() != next.len()
        || last.iter().zip(next).any(|(last, next)| {
            (&last.name, &last.enforcement) != (&next.name, &next.enforcement)
                || count_left(last.replicas, next.replicas)
                || count_left(last.growth_limit, next.growth_limit)
                || !words(&last.reason).eq(words(&next.reason))
        })
}

/// What a sentence says apart from its numbers.
fn words(sentence: &str) -> impl Iterator<Item = char> + '_ {
    sentence.chars().filter(|sign| !sign.is_ascii_digit())
}

fn count_left(last: Option<u32>, next: Option<u32>) -> bool {
    // An absent count of unmet replicas is none of them; an absent ceiling is none at all. Both have left.
    left(last.map(from_count), next.map(from_count), 0.0)
}

/// Near zero, a percent of the target is as small as a value matters.
fn left(last: Option<f64>, next: Option<f64>, target: f64) -> bool {
    match (last, next) {
        (None, None) => false,
        (Some(last), Some(next)) => (next - last).abs() > DRIFT * last.abs().max(0.01 * target.abs()),
        _ => true,
    }
}

fn number(text: Option<&String>) -> Option<f64> {
    text?.parse::<Quantity>().ok()?.value().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time as MetaTime;
    use proptest::prelude::*;

    use super::*;
    use crate::api::{ChangeStatus, DecisionStatus, DrainStatus, MetricStatus, PodCounts, StartUpStatus};
    use crate::cluster::identity::timestamp;
    use crate::control::spelled;

    const START: Time = Time::from_seconds(1_790_000_000);

    fn after(seconds: u64) -> Time {
        START + Span::from_seconds(seconds)
    }

    fn condition(kind: &str, status: &str, reason: &str) -> Condition {
        Condition {
            last_transition_time: MetaTime(timestamp(START)),
            message: "any".to_owned(),
            observed_generation: Some(1),
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    }

    fn status() -> ScalingPolicyStatus {
        let metric = |name: &str, value: &str, target: &str, need| MetricStatus {
            name: name.to_owned(),
            state: "Fresh".to_owned(),
            value: Some(value.to_owned()),
            target: target.to_owned(),
            need,
            rise: None,
            headroom: None,
            age_seconds: Some(3),
            message: None,
        };
        ScalingPolicyStatus {
            observed_generation: Some(1),
            conditions: vec![
                condition("AbleToScale", "True", "ReadyForNewScale"),
                condition("Ready", "True", "Ready"),
                condition("ScalingActive", "True", "ValidMetricFound"),
                condition("ScalingLimited", "False", "DesiredWithinRange"),
            ],
            current_replicas: Some(40),
            desired_replicas: Some(40),
            effective_max_replicas: Some(60),
            as_of: Some(MetaTime(timestamp(START))),
            pods: Some(PodCounts { serving: 40, warm: 40, reachable: 50, ..PodCounts::default() }),
            metrics: vec![metric("rps", "3600", "90", Some(40)), metric("p99", "212m", "300m", None)],
            ceilings: vec![CeilingStatus {
                name: "connections/orders".to_owned(),
                replicas: Some(60),
                growth_limit: Some(60),
                enforcement: "Enforce".to_owned(),
                reason: "any".to_owned(),
            }],
            start_up: Some(StartUpStatus { p50_seconds: 5, p90_seconds: 9, samples: 20 }),
            ..ScalingPolicyStatus::default()
        }
    }

    fn found() -> Written {
        Written::found(Some(status()))
    }

    /// Status, changed.
    fn but(change: impl FnOnce(&mut ScalingPolicyStatus)) -> ScalingPolicyStatus {
        let mut status = status();
        change(&mut status);
        status
    }

    fn change_made() -> ChangeStatus {
        ChangeStatus {
            time: MetaTime(timestamp(START)),
            from: 3,
            to: 4,
            limited_by: None,
            reason: "AboveTarget".to_owned(),
        }
    }

    fn drain_times() -> DrainStatus {
        DrainStatus { p50_seconds: 3, p90_seconds: 9, longest_seconds: 31, samples: 20 }
    }

    fn decision(from: u32, to: u32, reason: &str) -> DecisionStatus {
        DecisionStatus {
            time: MetaTime(timestamp(START)),
            from,
            to,
            reason: reason.to_owned(),
            message: "any".to_owned(),
            steps: Vec::new(),
        }
    }

    /// A guard that has been active since so many seconds after the start.
    fn guard(seconds: u64) -> GuardStatus {
        GuardStatus {
            name: "db-cpu".to_owned(),
            action: "BlockScaleUp".to_owned(),
            state: "Active".to_owned(),
            signal: "Fresh".to_owned(),
            value: Some("910m".to_owned()),
            threshold: "850m".to_owned(),
            since: Some(MetaTime(timestamp(after(seconds)))),
            until: None,
            good_since: None,
            replicas: Some(40),
            last_step: None,
            message: None,
        }
    }

    #[test]
    fn a_guards_beginning_is_written_before_a_restart_can_forget_it() {
        let held = but(|status| status.guards = vec![guard(0)]);
        let written = Written::found(Some(held.clone()));
        assert_eq!(written.occasion(&held, false, after(10)), None);
        let anew = but(|status| status.guards = vec![guard(5)]);
        assert_eq!(written.occasion(&anew, false, after(10)), Some(Occasion::Condition));
        let releasing =
            but(|status| status.guards = vec![GuardStatus { state: "Releasing".to_owned(), ..guard(0) }]);
        assert_eq!(written.occasion(&releasing, false, after(59)), None, "it may turn back at any moment");
        assert_eq!(written.occasion(&releasing, false, after(60)), Some(Occasion::Drift));
    }

    /// The occasions before a minute is over, then, and after five.
    fn occasions(next: &ScalingPolicyStatus) -> [Option<Occasion>; 3] {
        [59, 60, 300].map(|seconds| found().occasion(next, false, after(seconds)))
    }

    fn condition_at(at: usize, status: &str, reason: &str) -> ScalingPolicyStatus {
        but(|next| {
            next.conditions[at].status = status.to_owned();
            next.conditions[at].reason = reason.to_owned();
        })
    }

    #[test]
    fn what_a_person_acts_on_is_written_at_once() {
        use Occasion::{Condition, Count, Generation, Limit};
        for (name, next, occasion) in [
            ("somebody scaled", but(|next| next.current_replicas = Some(41)), Count),
            ("the spec", but(|next| next.observed_generation = Some(2)), Generation),
            ("a rollout", but(|next| next.decision = Some(decision(40, 40, "RolloutInProgress"))), Limit),
            ("replicas that are unmet", but(|next| next.unmet_replicas = Some(1)), Limit),
            ("a limit", but(|next| next.limited_by = Some("maxReplicas".to_owned())), Limit),
            ("a condition's status", condition_at(2, "False", "ValidMetricFound"), Condition),
            ("a condition's reason", condition_at(2, "True", "SomeMetricsUnfit"), Condition),
            ("a condition more", but(|next| next.conditions.push(condition("Z", "True", "Z"))), Condition),
            ("no longer able", condition_at(0, "False", "FailedGetScale"), Condition),
            ("a guard that acts", but(|next| next.guards = vec![guard(0)]), Condition),
        ] {
            assert_eq!(occasions(&next), [Some(occasion); 3], "{name}");
        }
    }

    #[test]
    fn a_change_of_the_count_is_told_again_once_its_pods_have_come_and_gone() {
        let decision = |from, to| Some(decision(from, to, "any"));
        let counted = |ordered, terminating| PodCounts { ordered, terminating, ..status().pods.unwrap() };
        let mut written = Written::found(Some(but(|last| last.decision = decision(30, 40))));
        for (ordered, terminating) in [(10, 0), (0, 2)] {
            let next = but(|next| {
                next.decision = decision(40, 40);
                next.pods = Some(counted(ordered, terminating));
            });
            assert_eq!(written.occasion(&next, false, after(20)), None, "{ordered} {terminating}");
        }
        let settled = but(|next| next.decision = decision(40, 40));
        assert_eq!(written.occasion(&settled, false, after(20)), Some(Occasion::Settled));
        written.note(settled.clone());
        for next in [settled, but(|next| next.pods = Some(counted(2, 2)))] {
            assert_eq!(written.occasion(&next, false, after(40)), None, "once");
        }
    }

    #[test]
    fn what_drifts_is_written_after_a_minute() {
        let serving = |serving| PodCounts { serving, ..status().pods.unwrap() };
        for (name, next) in [
            ("what goes on while able", condition_at(0, "True", "ScaleDownStabilized")),
            ("a value, by 11 %", but(|next| next.metrics[0].value = Some("4000".to_owned()))),
            ("a value gone", but(|next| next.metrics[0].value = None)),
            ("a signal's state", but(|next| next.metrics[1].state = "Stale".to_owned())),
            ("desired, by half", but(|next| next.desired_replicas = Some(60))),
            ("a ceiling", but(|next| next.ceilings[0].replicas = Some(30))),
            ("a ceiling gone", but(|next| next.ceilings.clear())),
            ("pods", but(|next| next.pods = Some(serving(30)))),
        ] {
            assert_eq!(occasions(&next), [None, Some(Occasion::Drift), Some(Occasion::Drift)], "{name}");
        }
    }

    #[test]
    fn what_a_restart_would_forget_is_written_after_five_minutes_and_the_rest_never() {
        for (name, next, late) in [
            ("nothing", status(), None),
            ("a message", but(|next| next.conditions[1].message = "other".to_owned()), None),
            ("an age", but(|next| next.metrics[0].age_seconds = Some(59)), None),
            ("a value, by 9 %", but(|next| next.metrics[0].value = Some("3920".to_owned())), None),
            ("desired, by 5 %", but(|next| next.desired_replicas = Some(42)), None),
            ("changes", but(|next| next.last_changes = vec![change_made()]), Some(Occasion::Checkpoint)),
            ("start-up times", but(|next| next.start_up = None), Some(Occasion::Checkpoint)),
            ("drain times", but(|next| next.drain = Some(drain_times())), Some(Occasion::Checkpoint)),
        ] {
            assert_eq!(occasions(&next), [None, None, late], "{name}");
        }
    }

    #[test]
    fn the_first_status_is_written_and_a_restart_writes_none() {
        assert_eq!(Written::default().occasion(&status(), false, START), Some(Occasion::First));
        assert_eq!(found().occasion(&status(), false, after(86_400)), None);
        assert_eq!(found().occasion(&status(), true, START), Some(Occasion::Count));
    }

    /// When status is written in ten minutes after a write that was not answered, by a wall clock that is set by `jump`
    /// seconds 40 seconds later.
    async fn made_up_for(jump: i64) -> Vec<u64> {
        let shown = |seconds: u64| {
            let jump = if seconds >= 40 { jump } else { 0 };
            Time::from_millis(after(100 + seconds).millis() + jump * 1000)
        };
        let mut written = found();
        written.note_unanswered();
        let mut writes = Vec::new();
        for seconds in (15..600).step_by(15) {
            tokio::time::advance(Duration::from_secs(15)).await;
            let next = but(|next| next.as_of = Some(MetaTime(timestamp(shown(seconds)))));
            if written.occasion(&next, false, shown(seconds)).is_some() {
                written.note(next);
                writes.push(seconds);
            }
        }
        writes
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_was_not_answered_is_made_up_for_at_once_and_when_nothing_can_be_on_its_way() {
        for jump in [0, 90, -90, 86_400, -86_400] {
            assert_eq!(made_up_for(jump).await, [15, 75], "the clock is set by {jump} s");
        }
    }

    #[test]
    fn a_limit_that_comes_and_goes_is_told_once_a_minute() {
        let limited = || but(|next| next.limited_by = Some("maxReplicas".to_owned()));
        let stamped = |mut status: ScalingPolicyStatus, seconds| {
            status.as_of = Some(MetaTime(timestamp(after(seconds))));
            status
        };
        let (mut written, mut writes) = (found(), 0);
        // Every five seconds it comes or goes, for ten minutes.
        for turn in 0..120_u64 {
            let next = stamped(if turn % 2 == 0 { limited() } else { status() }, turn * 5);
            if written.occasion(&next, false, after(turn * 5)).is_some() {
                written.note(next);
                writes += 1;
            }
        }
        assert!((8..=11).contains(&writes), "{writes} writes in ten minutes");
    }

    #[test]
    fn unmet_replicas_that_come_and_go_within_a_minute_are_told_both_times() {
        let unmet = |unmet: Option<u32>, seconds| {
            but(|next| {
                next.unmet_replicas = unmet;
                next.as_of = Some(MetaTime(timestamp(after(seconds))));
            })
        };
        let mut written = Written::found(Some(unmet(None, 0)));
        for (seconds, count, occasion) in [
            (600, Some(8), Some(Occasion::Limit)),
            (615, None, Some(Occasion::Limit)),
            (630, Some(1), None),
            (645, None, None),
            (680, Some(1), Some(Occasion::Limit)),
        ] {
            let next = unmet(count, seconds);
            assert_eq!(written.occasion(&next, false, after(seconds)), occasion, "{seconds}");
            if occasion.is_some() {
                written.note(next);
            }
        }
    }

    proptest! {
        #[test]
        fn noise_of_three_percent_on_every_signal_is_never_written(
            pods in 1_u32..100,
            noise in proptest::collection::vec((-0.03..0.03_f64, -0.03..0.03_f64, 0_u64..30), 1..200),
        ) {
            // Noise about a whole number of pods moves the need by one, which is much of few.
            let load = |noise: f64| but(|status| {
                let value = 90.0 * from_count(pods) * (1.0 + noise);
                status.metrics[0].value = Some(spelled(value));
                status.metrics[0].need = Some(crate::number::ceil_count(value / 90.0));
            });
            let written = Written::found(Some(load(0.0)));
            for (at, (rps, p99, age)) in noise.into_iter().enumerate() {
                let mut next = load(rps);
                next.metrics[0].age_seconds = Some(age);
                next.metrics[1].value = Some(spelled(0.212 * (1.0 + p99)));
                let now = after(15 * u64::try_from(at).unwrap());
                prop_assert_eq!(written.occasion(&next, false, now), None);
            }
        }
    }
}
