//! Where the bottleneck is: in this workload, or behind it. What is found is told to people; it never drives the count.

use super::decision::{Condition, ConditionStatus, ConditionType, Limit, SignalReport, StepName};
use super::guard::GuardReport;
use super::memory::Memory;
use super::moment;
use super::policy::{Policy, Signal};
use super::reason::Reason;
use super::settle::Outcome;
use super::trail::{Trail, spelled};
use crate::api::{Role, TargetKind};
use crate::number::from_count;
use crate::signal::SignalState;
use crate::time::{Span, Time};

/// Evidence must last so long before the bottleneck counts as moved …
const MOVED_AFTER: Span = Span::from_seconds(60);
/// … and be gone for so long before it counts as back.
const BACK_AFTER: Span = Span::from_seconds(300);

/// Where the bottleneck has been found to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Bottleneck {
    /// Behind the workload.
    pub(super) moved: bool,
    /// Since when the opposite has been found.
    pub(super) opposite_since: Option<Time>,
}

impl Memory {
    /// A memory that knows that the bottleneck was found to have moved, for example from status after a restart.
    pub fn recall_bottleneck_moved(&mut self) {
        self.bottleneck.moved = true;
    }
}

/// What the diagnosis is made of.
pub(super) struct Evidence<'a> {
    pub(super) policy: &'a Policy,
    pub(super) signals: &'a [SignalReport],
    pub(super) guards: &'a [GuardReport],
    pub(super) serving: u32,
    pub(super) outcome: &'a Outcome,
    pub(super) trail: &'a Trail,
    pub(super) now: Time,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Finding {
    Moved,
    Here,
    /// Some of both.
    Unclear,
    /// Something is not fit to use.
    Unknown,
}

impl Evidence<'_> {
    /// What `BottleneckMoved` says; none where no safety net and no guard could tell.
    pub(super) fn condition(&self, bottleneck: &mut Bottleneck) -> Option<Condition> {
        if self.guards.is_empty() && self.policy.signals.iter().all(|signal| signal.role == Role::Leading) {
            *bottleneck = Bottleneck::default();
            return None;
        }
        let finding = self.finding();
        let facts = self.facts();
        self.follow(bottleneck, finding);
        let kind = ConditionType::BottleneckMoved;
        Some(if bottleneck.moved {
            let fading = bottleneck.opposite_since.map(|since| {
                let back = moment(since + BACK_AFTER);
                format!("; no longer seen since {}, over at {back} if that lasts", moment(since))
            });
            let message =
                format!("the bottleneck lies behind this workload: {facts}{}", fading.unwrap_or_default());
            Condition { kind, status: ConditionStatus::True, reason: Reason::BottleneckBehind, message }
        } else if finding == Finding::Unknown {
            let message = format!("where the bottleneck is cannot be told: {facts}");
            Condition { kind, status: ConditionStatus::Unknown, reason: Reason::BottleneckUnknown, message }
        } else {
            let message = match bottleneck.opposite_since {
                Some(since) => {
                    format!("it may lie behind this workload, as seen since {}: {facts}", moment(since))
                }
                None => format!("nothing tells of a bottleneck behind this workload: {facts}"),
            };
            Condition { kind, status: ConditionStatus::False, reason: Reason::NoBottleneckBehind, message }
        })
    }

    /// Neither verdict follows one reading: each has to last.
    fn follow(&self, bottleneck: &mut Bottleneck, finding: Finding) {
        let opposite = match finding {
            Finding::Moved => !bottleneck.moved,
            Finding::Here | Finding::Unknown => bottleneck.moved,
            Finding::Unclear => false,
        };
        if !opposite {
            bottleneck.opposite_since = None;
            return;
        }
        let since = bottleneck.opposite_since.map_or(self.now, |since| since.min(self.now));
        let needed = if bottleneck.moved { BACK_AFTER } else { MOVED_AFTER };
        *bottleneck = if self.now.since(since) >= needed {
            Bottleneck { moved: !bottleneck.moved, opposite_since: None }
        } else {
            Bottleneck { opposite_since: Some(since), ..*bottleneck }
        };
    }

    fn finding(&self) -> Finding {
        let load = self.load();
        let room = load.as_ref().is_some_and(|load| load.iter().all(|(_, share)| *share <= 1.0));
        let behind_full = self.guards.iter().any(|guard| guard.beyond);
        let useless = self.trail.found(StepName::SafetyNet, Reason::NetIneffective)
            || self.trail.found(StepName::SafetyNet, Reason::NetExhausted);
        let slow = self.nets_above().next().is_some();
        let held_by_guard = matches!(self.outcome.limited_by, Some(Limit::Guard(_)));
        let nets_known = self.of_role(Role::SafetyNet).all(|(_, report)| is_fit(report));
        let guards_known = self.guards.iter().all(|guard| guard.signal == SignalState::Fresh);
        if room && slow && (useless || behind_full) || behind_full && held_by_guard {
            Finding::Moved
        } else if load.is_none() || !nets_known || !guards_known {
            Finding::Unknown
        } else if slow || behind_full {
            Finding::Unclear
        } else {
            Finding::Here
        }
    }

    /// Each leading signal with its share of what the serving pods carry; none unless all of them are fit.
    fn load(&self) -> Option<Vec<(&SignalReport, f64)>> {
        let share = |(signal, report): (&Signal, _)| Some((report, share(signal, report, self.serving)?));
        self.of_role(Role::Leading).map(share).collect()
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = (&Signal, &SignalReport)> {
        self.policy.signals.iter().zip(self.signals).filter(move |(signal, _)| signal.role == role)
    }

    fn nets_above(&self) -> impl Iterator<Item = &SignalReport> {
        self.of_role(Role::SafetyNet)
            .filter(|(signal, report)| {
                is_fit(report)
                    && report
                        .value
                        .is_some_and(|value| value > signal.target * (1.0 + signal.scale_up_tolerance))
            })
            .map(|(_, report)| report)
    }

    /// What is known, in words.
    fn facts(&self) -> String {
        let unfit = self.signals.iter().filter(|report| !is_fit(report));
        let mut facts: Vec<String> =
            unfit.map(|report| format!("{} is {:?}", report.name, report.state)).collect();
        for (report, share) in self.load().unwrap_or_default() {
            facts.push(format!(
                "{} is at {} % of what {} serving pods carry",
                report.name,
                (share * 100.0).round(),
                self.serving
            ));
        }
        let mut calm = true;
        for report in self.nets_above() {
            calm = false;
            let value = report.value.map(spelled).unwrap_or_default();
            facts.push(format!("{} is {value}, above {}", report.name, spelled(report.target)));
        }
        if calm && self.of_role(Role::SafetyNet).any(|(_, report)| is_fit(report)) {
            facts.push("no safety net is above its target".to_owned());
        }
        for (reason, words) in [
            (Reason::NetIneffective, "the pods that were added for it did not help"),
            (Reason::NetExhausted, "there are as many more pods than the load needs as it may add"),
        ] {
            if self.trail.found(StepName::SafetyNet, reason) {
                facts.push(words.to_owned());
            }
        }
        for guard in self.guards.iter().filter(|guard| guard.beyond || guard.signal != SignalState::Fresh) {
            facts.push(match guard.value.filter(|_| guard.beyond) {
                Some(value) => format!(
                    "guard {} reads {}, beyond {}",
                    guard.name,
                    spelled(value),
                    spelled(guard.threshold)
                ),
                None => format!("guard {} is {:?}", guard.name, guard.signal),
            });
        }
        facts.join("; ")
    }
}

fn is_fit(report: &SignalReport) -> bool {
    report.state == SignalState::Fresh
}

/// A leading signal as a share of what the serving pods carry at its target; none unless it is fit and some serve.
pub(super) fn share(signal: &Signal, report: &SignalReport, serving: u32) -> Option<f64> {
    let value = report.value.filter(|_| is_fit(report) && serving > 0)?;
    Some(match signal.kind {
        TargetKind::AverageValue => value / (signal.target * from_count(serving)),
        TargetKind::Value | TargetKind::Utilization => value / signal.target,
    })
}
