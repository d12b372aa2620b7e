//! A decision as status shows it.

use std::collections::VecDeque;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;

use super::identity::{moment, timestamp};
use crate::api::{
    CeilingStatus, ChangeStatus, DecisionStatus, DeficitStatus, DrainStatus, FindingStatus,
    ForecastAccuracyStatus, ForecastPeakStatus, ForecastStatus, GuardStatus, HeadroomStatus, MetricStatus,
    PodCounts, ScalabilityStatus, ScalingPolicyStatus, ScheduleStatus, SloStatus, StartUpStatus, StepStatus,
    ZoneLossStatus,
};
use crate::audit::Flaw;
use crate::control::{
    Activation, BURN_WINDOWS, CeilingReport, Condition, Decision, Deficit, Drain, ForecastReport,
    GuardReport, HeadroomReport, RecalledScalability, ScalabilityReport, ScheduleReport, SignalReport,
    SloReport, StartUp, Step, significant, spelled,
};
use crate::number::ceil_count_forgiving;
use crate::time::{Span, Time};

/// Changes of the count that status remembers.
pub const CHANGES: usize = 10;
/// Findings of the audit that status shows, the gravest first.
const FINDINGS: usize = 16;
/// Reversals that status remembers: with so many the scale-in window is as wide as it gets.
const REVERSALS: usize = 8;
/// The longest message of a condition that Kubernetes takes, in bytes.
const LONGEST_MESSAGE: usize = 32_768;
/// The most that the steps of a decision may take, in bytes.
const LONGEST_STEPS: usize = 8_192;

/// What status is made of.
pub struct Report<'a> {
    /// The decision.
    pub decision: &'a Decision,
    /// The conditions to show: the decision's, unless acting on it failed.
    pub conditions: &'a [Condition],
    /// The generation that was decided on.
    pub generation: i64,
    /// What the audit of the workload found.
    pub flaws: &'a [Flaw],
    /// Replicas asked of the workload, a write just made included.
    pub current: Option<u32>,
    /// The changes made so far, newest first.
    pub changes: &'a VecDeque<ChangeStatus>,
    /// The status as last written.
    pub before: Option<&'a ScalingPolicyStatus>,
}

impl Report<'_> {
    /// The status as it would be written now.
    pub fn status(&self) -> ScalingPolicyStatus {
        let decision = self.decision;
        let now = timestamp(decision.time);
        let shown = self.before.map_or(&[][..], |before| &before.conditions);
        let mut status = ScalingPolicyStatus {
            observed_generation: Some(self.generation),
            conditions: merged(self.conditions, shown, self.generation, now),
            current_replicas: self.current,
            desired_replicas: decision.desired,
            effective_max_replicas: Some(decision.effective_max),
            limited_by: decision.limited_by.as_ref().map(ToString::to_string),
            unmet_replicas: (decision.unmet > 0).then_some(decision.unmet),
            targets: targets(&decision.signals),
            as_of: Some(meta::Time(now)),
            pods: decision.counts.map(|counts| PodCounts {
                serving: counts.serving,
                warm: counts.warm,
                ordered: counts.ordered,
                failing: counts.failing,
                terminating: counts.terminating,
                reachable: counts.reachable,
            }),
            metrics: decision.signals.iter().map(metric).collect(),
            ceilings: decision.ceilings.iter().map(ceiling).collect(),
            scalability: decision.scalability.map(scalability),
            guards: decision.guards.iter().map(guard).collect(),
            schedules: decision.schedules.iter().map(schedule).collect(),
            forecasts: decision.forecasts.iter().map(forecast).collect(),
            zone_loss: decision.zone_loss.map(|kept| ZoneLossStatus {
                message: kept.fault(),
                zones: kept.zones.all,
                survives: kept.zones.lost,
                extra_replicas: kept.extra,
                replicas_left: kept.left,
            }),
            slo: decision.slo.as_ref().map(slo),
            advice: decision.advice.iter().map(|sentence| bounded(sentence, 1024)).collect(),
            deficit: decision.deficit.as_ref().filter(|deficit| deficit.excess > 0.0).map(deficit_status),
            decision: decision.from.map(|from| DecisionStatus {
                time: meta::Time(now),
                from,
                to: decision.write.or(decision.desired).unwrap_or(from),
                reason: decision.reason.to_string(),
                message: bounded(&decision.message, LONGEST_STEPS),
                steps: steps(&decision.steps),
            }),
            last_changes: self.changes.iter().take(CHANGES).cloned().collect(),
            start_up: decision.start_up.map(start_up),
            drain: decision.drain.map(drain),
            reversals: decision
                .reversals
                .iter()
                .rev()
                .take(REVERSALS)
                .map(|turn| meta::Time(timestamp(*turn)))
                .collect(),
            findings: self.flaws.iter().take(FINDINGS).map(finding).collect(),
        };
        if decision.from.is_none() {
            keep_what_was_learnt(&mut status, self.before);
        }
        status
    }
}

/// What was learnt of the workload is of use once it can be seen again, or the policy is mended.
fn keep_what_was_learnt(status: &mut ScalingPolicyStatus, before: Option<&ScalingPolicyStatus>) {
    let Some(before) = before else { return };
    status.start_up = before.start_up;
    status.zone_loss.clone_from(&before.zone_loss);
    status.drain = before.drain;
    status.slo.clone_from(&before.slo);
    status.reversals.clone_from(&before.reversals);
    status.scalability.clone_from(&before.scalability);
    if status.guards.is_empty() {
        status.guards.clone_from(&before.guards);
    }
}

/// The status of a policy that cannot be evaluated.
pub fn invalid_status(
    conditions: &[Condition],
    before: Option<&ScalingPolicyStatus>,
    generation: i64,
    changes: &VecDeque<ChangeStatus>,
    now: Time,
) -> ScalingPolicyStatus {
    let now = timestamp(now);
    let shown = before.map_or(&[][..], |before| &before.conditions);
    let mut status = ScalingPolicyStatus {
        observed_generation: Some(generation),
        conditions: merged(conditions, shown, generation, now),
        as_of: Some(meta::Time(now)),
        last_changes: changes.iter().take(CHANGES).cloned().collect(),
        ..ScalingPolicyStatus::default()
    };
    keep_what_was_learnt(&mut status, before);
    status
}

/// Conditions sorted by type. The transition time moves only when the status flips.
pub fn merged(
    conditions: &[Condition],
    before: &[meta::Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<meta::Condition> {
    let mut merged: Vec<_> = conditions
        .iter()
        .map(|condition| {
            let (kind, status) = (format!("{:?}", condition.kind), format!("{:?}", condition.status));
            let same = before.iter().find(|before| before.type_ == kind && before.status == status);
            meta::Condition {
                last_transition_time: same
                    .map_or(meta::Time(now), |before| before.last_transition_time.clone()),
                message: bounded(&condition.message, LONGEST_MESSAGE),
                observed_generation: Some(generation),
                reason: condition.reason.to_string(),
                status,
                type_: kind,
            }
        })
        .collect();
    merged.sort_by(|left, right| left.type_.cmp(&right.type_));
    merged
}

/// `rps 84/90 each, p99 212m/300m`; `?` for a signal that is not fit to use.
fn targets(signals: &[SignalReport]) -> Option<String> {
    let texts: Vec<_> = signals.iter().map(|signal| signal.text.as_str()).collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

fn metric(signal: &SignalReport) -> MetricStatus {
    MetricStatus {
        name: signal.name.clone(),
        state: format!("{:?}", signal.state),
        value: signal.value.map(spelled),
        target: spelled(signal.target),
        need: signal.need,
        rise: signal.rise.map(spelled),
        headroom: signal.headroom.map(headroom),
        age_seconds: signal.age.map(Span::rounded_seconds),
        message: (!signal.message.is_empty()).then(|| bounded(&signal.message, 1024)),
    }
}

fn headroom(learnt: HeadroomReport) -> HeadroomStatus {
    HeadroomStatus {
        replicas: spelled(learnt.replicas),
        percent: ceil_count_forgiving(learnt.share * 100.0),
        unserved_percent: significant(learnt.unserved * 100.0),
        observed_hours: learnt.observed.rounded_seconds() / 3600,
    }
}

fn slo(report: &SloReport) -> SloStatus {
    let known = BURN_WINDOWS.iter().zip(report.burn).filter_map(|((name, _), rate)| Some((*name, rate?)));
    SloStatus {
        state: format!("{:?}", report.state),
        target_percent: report.percent,
        replicas: spelled(report.replicas),
        burn_rates: known.map(|(name, rate)| (name.to_owned(), significant(rate))).collect(),
    }
}

fn ceiling(ceiling: &CeilingReport) -> CeilingStatus {
    CeilingStatus {
        name: ceiling.limit.to_string(),
        replicas: ceiling.replicas,
        growth_limit: ceiling.growth_limit,
        enforcement: format!("{:?}", ceiling.enforcement),
        reason: bounded(&ceiling.message, 1024),
    }
}

fn scalability(known: ScalabilityReport) -> ScalabilityStatus {
    let replicas = |size: f64| format!("{size:.1}");
    ScalabilityStatus {
        revision: format!("{:x}", known.revision),
        since: meta::Time(timestamp(known.since)),
        windows: known.windows,
        alpha: known.alpha.map(significant),
        beta: known.beta.map(significant),
        peak_replicas: known.peak.map(replicas),
        peak_at_most: known.peak_at_most.map(replicas),
        ceiling: known.ceiling,
    }
}

fn guard(guard: &GuardReport) -> GuardStatus {
    let time = |at: Time| meta::Time(timestamp(at));
    let activation = guard.activation.as_ref();
    GuardStatus {
        name: guard.name.clone(),
        action: format!("{:?}", guard.action),
        state: format!("{:?}", guard.state),
        signal: format!("{:?}", guard.signal),
        value: guard.value.map(spelled),
        threshold: spelled(guard.threshold),
        since: activation.map(|held| time(held.since)),
        until: guard.until.map(time),
        good_since: activation.and_then(|held| held.good_since).map(time),
        replicas: activation.map(|held| held.replicas),
        last_step: activation.and_then(|held| held.last_step).map(time),
        message: (!guard.fault.is_empty()).then(|| bounded(&guard.fault, 1024)),
    }
}

fn schedule(schedule: &ScheduleReport) -> ScheduleStatus {
    let time = |at: Time| meta::Time(timestamp(at));
    ScheduleStatus {
        name: schedule.name.clone(),
        state: format!("{:?}", schedule.phase),
        replicas: schedule.floor,
        start: schedule.window.map(|window| time(window.start)),
        end: schedule.window.map(|window| time(window.end)),
        next_start: schedule.next.map(|window| time(window.start)),
        next_end: schedule.next.map(|window| time(window.end)),
    }
}

fn forecast(forecast: &ForecastReport) -> ForecastStatus {
    let time = |at: Time| meta::Time(timestamp(at));
    let standing = forecast.standing.as_ref();
    let percent = |share: f64| significant((share * 1000.0).round() / 10.0);
    ForecastStatus {
        metric: forecast.metric.clone(),
        state: format!("{:?}", forecast.phase),
        model: standing.map(|standing| format!("{:?}", standing.model)),
        season_seconds: standing
            .map(|standing| standing.seasons.iter().map(|season| season.rounded_seconds()).collect())
            .unwrap_or_default(),
        fitted_at: standing.map(|standing| time(standing.fitted)),
        observed_hours: standing.map(|standing| standing.observed.rounded_seconds() / 3600),
        replicas: forecast.replicas,
        next_peak: standing.map(|standing| ForecastPeakStatus {
            time: time(standing.peak.at),
            replicas: ceil_count_forgiving(standing.peak.replicas),
        }),
        accuracy: standing.and_then(|standing| standing.accuracy).map(|accuracy| ForecastAccuracyStatus {
            error_percent: percent(accuracy.error),
            naive_error_percent: percent(accuracy.naive_error),
            missed_percent: percent(accuracy.missed),
        }),
        message: bounded(&forecast.message, 1024),
    }
}

/// Since when a guard is active, and what happened since, as a status tells it. A status carries whole seconds: what was
/// cut off may make the longest time shorter, and no hold.
pub fn activation(status: &GuardStatus) -> Option<Activation> {
    let time = |at: &Option<meta::Time>| at.as_ref().map(|at| moment(at.0));
    let cut_off = Span::from_seconds(1);
    Some(Activation {
        since: time(&status.since)?,
        replicas: status.replicas?,
        good_since: time(&status.good_since).map(|at| at + cut_off),
        last_step: time(&status.last_step).map(|at| at + cut_off),
    })
}

fn deficit_status(deficit: &Deficit) -> DeficitStatus {
    DeficitStatus {
        metric: deficit.signal.clone(),
        load: spelled(deficit.load),
        capacity: spelled(deficit.capacity),
        excess: spelled(deficit.excess),
        percent: ceil_count_forgiving(deficit.share * 100.0),
    }
}

fn start_up(start_up: StartUp) -> StartUpStatus {
    StartUpStatus {
        p50_seconds: start_up.p50.rounded_seconds(),
        p90_seconds: start_up.p90.rounded_seconds(),
        samples: start_up.samples,
    }
}

fn drain(drain: Drain) -> DrainStatus {
    DrainStatus {
        p50_seconds: drain.p50.seconds_rounded_up(),
        p90_seconds: drain.p90.seconds_rounded_up(),
        longest_seconds: drain.longest.seconds_rounded_up(),
        samples: drain.samples,
    }
}

/// Drain times as a status tells them.
pub fn drain_times(status: DrainStatus) -> Drain {
    Drain {
        p50: Span::from_seconds(status.p50_seconds),
        p90: Span::from_seconds(status.p90_seconds),
        longest: Span::from_seconds(status.longest_seconds),
        samples: status.samples,
    }
}

/// Start-up times as a status tells them.
pub fn start_up_times(status: StartUpStatus) -> StartUp {
    StartUp {
        p50: Span::from_seconds(status.p50_seconds),
        p90: Span::from_seconds(status.p90_seconds),
        samples: status.samples,
    }
}

/// The scalability ceiling that a status tells of; none where it was changed by hand into something else.
pub fn earned_scalability(status: &ScalabilityStatus) -> Option<RecalledScalability> {
    let revision = u64::from_str_radix(&status.revision, 16).ok()?;
    let ceiling = status.ceiling.filter(|ceiling| *ceiling > 0);
    Some(RecalledScalability { revision, since: moment(status.since.0), ceiling })
}

fn finding(flaw: &Flaw) -> FindingStatus {
    FindingStatus {
        rule: flaw.rule().to_owned(),
        level: format!("{:?}", flaw.level()),
        message: bounded(&flaw.why(), 512),
        remedy: bounded(&flaw.instead(), 512),
    }
}

fn steps(steps: &[Step]) -> Vec<StepStatus> {
    let mut left = LONGEST_STEPS;
    steps
        .iter()
        .map_while(|step| {
            let step = StepStatus {
                step: format!("{:?}", step.step),
                before: step.before,
                after: step.after,
                reason: step.reason.to_string(),
                message: bounded(&step.message, 1024),
            };
            // The fields' names and numbers beside the texts.
            left = left.checked_sub(step.step.len() + step.reason.len() + step.message.len() + 80)?;
            Some(step)
        })
        .collect()
}

/// The beginning of a text, of at most so many bytes.
pub(super) fn bounded(text: &str, longest: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= longest {
        return text.to_owned();
    }
    let fits = text.char_indices().map(|(at, sign)| at + sign.len_utf8());
    let end = fits.take_while(|end| end + MARK.len() <= longest).last().unwrap_or(0);
    format!("{}{MARK}", text.get(..end).unwrap_or_default())
}

/// A change of the count as status remembers it.
pub fn change(decision: &Decision, from: u32, to: u32) -> ChangeStatus {
    ChangeStatus {
        time: meta::Time(timestamp(decision.time)),
        from,
        to,
        limited_by: decision.limited_by.as_ref().map(ToString::to_string),
        reason: decision.reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{ConditionStatus, ConditionType, Reason, StepName};

    fn condition(kind: ConditionType, status: ConditionStatus, message: &str) -> Condition {
        Condition { kind, status, reason: Reason::Ready, message: message.to_owned() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_transition_time_moves_only_when_the_status_flips() {
        use ConditionStatus::{False, True, Unknown};
        use ConditionType::{Ready, ScalingActive};
        let first =
            merged(&[condition(ScalingActive, True, "a"), condition(Ready, True, "b")], &[], 1, at(100));
        assert_eq!(
            first.iter().map(|condition| condition.type_.as_str()).collect::<Vec<_>>(),
            ["Ready", "ScalingActive"]
        );
        for (status, moves) in [(True, false), (False, true), (Unknown, true)] {
            let next = merged(&[condition(Ready, status, "other words")], &first, 2, at(200));
            assert_eq!(next[0].last_transition_time.0, at(if moves { 200 } else { 100 }), "{status:?}");
            assert_eq!((next[0].observed_generation, next[0].message.as_str()), (Some(2), "other words"));
        }
    }

    #[test]
    fn what_was_learnt_outlives_a_policy_that_cannot_be_read() {
        let learnt = ScalingPolicyStatus {
            drain: Some(DrainStatus { p50_seconds: 1, p90_seconds: 2, longest_seconds: 3, samples: 9 }),
            reversals: vec![meta::Time(at(50))],
            scalability: Some(ScalabilityStatus {
                revision: "a1".to_owned(),
                since: meta::Time(at(10)),
                windows: 40,
                alpha: None,
                beta: None,
                peak_replicas: None,
                peak_at_most: None,
                ceiling: Some(12),
            }),
            ..ScalingPolicyStatus::default()
        };
        let now = Time::from_seconds(100);
        let status = invalid_status(&[], Some(&learnt), 2, &VecDeque::new(), now);
        assert_eq!((status.drain, &status.reversals), (learnt.drain, &learnt.reversals));
        let earned = earned_scalability(&status.scalability.unwrap()).unwrap();
        assert_eq!((earned.revision, earned.ceiling), (0xa1, Some(12)));
    }

    #[test]
    fn texts_are_cut_where_a_sign_ends() {
        assert_eq!(bounded("short", 5), "short");
        assert_eq!(bounded("ééé", 5), "é…");
        assert_eq!(bounded("long", 3), "…");
        let message = merged(
            &[condition(ConditionType::Ready, ConditionStatus::True, &"é".repeat(50_000))],
            &[],
            1,
            at(1),
        );
        assert!((LONGEST_MESSAGE - 4..=LONGEST_MESSAGE).contains(&message[0].message.len()));
    }

    #[test]
    fn steps_stay_within_their_bound() {
        let step = |message: &str| Step {
            step: StepName::Need,
            before: 1,
            after: 2,
            reason: Reason::AboveTarget,
            message: message.to_owned(),
        };
        assert_eq!(steps(&[step("a"), step("b")]).len(), 2);
        let many = steps(&vec![step(&"x".repeat(900)); 100]);
        let size = serde_json::to_vec(&many).unwrap().len();
        assert!(many.len() > 5 && size <= LONGEST_STEPS, "{} steps, {size} bytes", many.len());
    }

    #[test]
    fn what_status_shows_of_a_number_can_be_compared_later() {
        for value in [0.0, 0.000_25, 0.2124, 8.417, 84.17, 643.8, 15_300.0, 2.5e9, -500.0, 1e18] {
            let text = spelled(value);
            let parsed = text.parse::<crate::api::Quantity>().unwrap().value().unwrap();
            assert!((parsed - value).abs() <= 0.006 * value.abs(), "{value} is shown as {text}");
        }
    }
}
