//! How fast the count may move: HPA v2's rate policies.

use std::collections::VecDeque;

use super::policy::{Rate, Rules};
use crate::api::{PolicyKind, SelectPolicy};
use crate::number::{MAX_COUNT, ceil_count, count_of, floor_count, from_count, saturate};
use crate::time::{Span, Time};

/// The longest period a rate policy may have; older changes are forgotten.
const LONGEST_PERIOD: Span = Span::from_seconds(1800);

/// Changes of the count in the recent past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Newest last.
    added: VecDeque<(Time, u32)>,
    removed: VecDeque<(Time, u32)>,
    /// Changes after which the direction changed, older than all the others.
    turns: Vec<Time>,
}

impl Changes {
    /// Records a change made at `time`.
    pub(super) fn record(&mut self, from: u32, to: u32, time: Time) {
        for changes in [&mut self.added, &mut self.removed] {
            while changes.front().is_some_and(|(at, _)| *at < time - LONGEST_PERIOD) {
                changes.pop_front();
            }
        }
        if to > from {
            self.added.push_back((time, to - from));
        } else if to < from {
            self.removed.push_back((time, from - to));
        }
    }

    /// Takes changes that a wrong clock dated in the future as made just now.
    pub(super) fn not_after(&mut self, now: Time) {
        for (at, _) in self.added.iter_mut().chain(&mut self.removed) {
            *at = (*at).min(now);
        }
    }

    /// Records a change as HPA does: a change older than the longest period of its own direction gives its place to
    /// the new one, although the other direction's periods may still ask for it.
    pub(super) fn record_as_hpa(
        &mut self,
        from: u32,
        to: u32,
        time: Time,
        scale_up: &Rules,
        scale_down: &Rules,
    ) {
        let (changes, rules) =
            if to > from { (&mut self.added, scale_up) } else { (&mut self.removed, scale_down) };
        let longest = rules.policies.iter().map(|rate| rate.period).max().unwrap_or_default();
        let change = (time, to.abs_diff(from));
        match changes.iter_mut().rev().find(|(at, _)| *at < time - longest) {
            Some(outdated) => *outdated = change,
            None => changes.push_back(change),
        }
    }

    /// Recalls, after the changes that are known, changes before them after which the direction changed.
    pub(super) fn recall_turns(&mut self, turns: &[Time]) {
        let oldest = self.added.front().into_iter().chain(self.removed.front()).map(|(at, _)| *at).min();
        self.turns =
            turns.iter().copied().filter(|turn| oldest.is_none_or(|oldest| *turn < oldest)).collect();
    }

    /// The changes of the last `span` after which the direction changed, oldest first.
    pub(super) fn turns(&self, span: Span, now: Time) -> Vec<Time> {
        let since = now - span;
        let mut turns = self.turns.clone();
        let (mut ups, mut downs) = (self.added.iter().peekable(), self.removed.iter().peekable());
        let mut last: Option<(Time, bool)> = None;
        loop {
            let up = match (ups.peek(), downs.peek()) {
                (Some(up), Some(down)) => up.0 <= down.0,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            let Some((at, _)) = (if up { ups.next() } else { downs.next() }) else { break };
            turns.extend(last.filter(|(_, was_up)| *was_up != up).map(|(turn, _)| turn));
            last = Some((*at, up));
        }
        turns.retain(|turn| *turn > since);
        turns
    }

    /// How often the direction changed in the last `span`.
    pub(super) fn reversals(&self, span: Span, now: Time) -> u32 {
        count_of(self.turns(span, now).len())
    }

    /// The count at the start of the period that ends now, as far as our own changes tell.
    fn at_period_start(&self, replicas: u32, period: Span, now: Time) -> u32 {
        let since = now - period;
        let sum = |changes: &VecDeque<(Time, u32)>| {
            changes.iter().filter(|(at, _)| *at > since).map(|(_, pods)| u64::from(*pods)).sum::<u64>()
        };
        let (added, removed) = (sum(&self.added), sum(&self.removed));
        saturate(u64::from(replicas).saturating_add(removed).saturating_sub(added))
    }

    /// The largest count that the scale-up rules allow now; never below `replicas`.
    pub(super) fn scale_up_limit(&self, rules: &Rules, replicas: u32, now: Time) -> u32 {
        let allowed = |rate: &Rate| {
            let start = self.at_period_start(replicas, rate.period, now);
            match rate.kind {
                PolicyKind::Pods => start.saturating_add(rate.value).min(MAX_COUNT),
                PolicyKind::Percent => ceil_count(from_count(start) * (1.0 + f64::from(rate.value) / 100.0)),
            }
        };
        let limit = match rules.select {
            SelectPolicy::Disabled => None,
            SelectPolicy::Max => rules.policies.iter().map(allowed).max(),
            SelectPolicy::Min => rules.policies.iter().map(allowed).min(),
        };
        limit.unwrap_or(replicas).max(replicas)
    }

    /// The smallest count that the scale-down rules allow now; never above `replicas`.
    pub(super) fn scale_down_limit(&self, rules: &Rules, replicas: u32, now: Time) -> u32 {
        let allowed = |rate: &Rate| {
            let start = self.at_period_start(replicas, rate.period, now);
            match rate.kind {
                PolicyKind::Pods => start.saturating_sub(rate.value),
                PolicyKind::Percent => floor_count(from_count(start) * (1.0 - f64::from(rate.value) / 100.0)),
            }
        };
        let limit = match rules.select {
            SelectPolicy::Disabled => None,
            SelectPolicy::Max => rules.policies.iter().map(allowed).min(),
            SelectPolicy::Min => rules.policies.iter().map(allowed).max(),
        };
        limit.unwrap_or(replicas).min(replicas)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(select: SelectPolicy, policies: &[(PolicyKind, u32, u64)]) -> Rules {
        let rate = |(kind, value, period): &(PolicyKind, u32, u64)| Rate {
            kind: *kind,
            value: *value,
            period: Span::from_seconds(*period),
        };
        Rules { window: Span::ZERO, select, policies: policies.iter().map(rate).collect(), tolerance: 0.1 }
    }

    #[test]
    fn limits_count_from_the_start_of_the_period() {
        let now = Time::from_seconds(1000);
        let mut changes = Changes::default();
        changes.record(10, 14, now - Span::from_seconds(20));
        let four_a_minute = [(PolicyKind::Pods, 4, 60)];
        let doubling = [(PolicyKind::Percent, 100, 15)];
        let both = [four_a_minute[0], doubling[0]];
        for (select, policies, expected) in [
            (SelectPolicy::Max, &four_a_minute[..], 14),
            (SelectPolicy::Max, &doubling[..], 28),
            (SelectPolicy::Max, &both[..], 28),
            (SelectPolicy::Min, &both[..], 14),
            (SelectPolicy::Disabled, &both[..], 14),
        ] {
            assert_eq!(
                changes.scale_up_limit(&rules(select, policies), 14, now),
                expected,
                "{select:?} {policies:?}"
            );
        }
        let later = now + Span::from_seconds(40);
        assert_eq!(changes.scale_up_limit(&rules(SelectPolicy::Max, &four_a_minute), 14, later), 18);
        let ten_percent = rules(SelectPolicy::Max, &[(PolicyKind::Percent, 10, 60)]);
        assert_eq!(
            changes.scale_down_limit(&ten_percent, 14, later),
            12,
            "truncates towards fewer pods, as HPA does"
        );
    }

    #[test]
    fn a_limit_never_turns_a_scale_up_into_a_scale_down() {
        let now = Time::from_seconds(1000);
        let mut changes = Changes::default();
        changes.record(10, 50, now);
        let one = rules(SelectPolicy::Max, &[(PolicyKind::Pods, 1, 60)]);
        assert_eq!(changes.scale_up_limit(&one, 50, now), 50);
        changes.record(50, 5, now);
        assert_eq!(changes.scale_down_limit(&one, 5, now), 5);
    }

    #[test]
    fn reversals_are_changes_of_direction() {
        let mut changes = Changes::default();
        for (at, from, to) in [(0, 1, 5), (10, 5, 9), (20, 9, 4), (30, 4, 8), (40, 8, 2), (50, 2, 1)] {
            changes.record(from, to, Time::from_seconds(at));
        }
        let now = Time::from_seconds(60);
        assert_eq!(changes.reversals(Span::from_seconds(100), now), 3);
        assert_eq!(changes.reversals(Span::from_seconds(35), now), 1);
        assert_eq!(changes.reversals(Span::ZERO, now), 0);
    }

    #[test]
    fn reversals_are_recalled_beside_fewer_changes_than_were_made() {
        let made: Vec<_> = (0..40).map(|at| (at * 40, 10, if at % 3 == 0 { 5 } else { 15 })).collect();
        let mut whole = Changes::default();
        for (at, from, to) in &made {
            whole.record(*from, *to, Time::from_seconds(*at));
        }
        for known in [0, 1, 5, 10, 40] {
            let mut recalled = Changes::default();
            for (at, from, to) in made.iter().skip(40 - known) {
                recalled.record(*from, *to, Time::from_seconds(*at));
            }
            let now = Time::from_seconds(1600);
            recalled.recall_turns(&whole.turns(LONGEST_PERIOD, now));
            for later in 0..200 {
                let now = now + Span::from_seconds(later * 10);
                assert_eq!(recalled.turns(LONGEST_PERIOD, now), whole.turns(LONGEST_PERIOD, now), "{later}");
            }
        }
    }
}
