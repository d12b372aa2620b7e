//! What a metrics server would know of a service: means of a window, scraped now and then, delivered late.

use std::collections::VecDeque;

use super::service::Served;
use crate::time::{Span, Time};

/// How metrics come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SensorSettings {
    /// Time between two samples.
    pub scrape_interval: Span,
    /// A value is the mean over this span.
    pub window: Span,
    /// A sample can be read so much later.
    pub delay: Span,
}

impl Default for SensorSettings {
    /// A sample every 15 s, the mean of a minute, 15 s late.
    fn default() -> Self {
        Self {
            scrape_interval: Span::from_seconds(15),
            window: Span::from_seconds(60),
            delay: Span::from_seconds(15),
        }
    }
}

/// Means over a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Means {
    /// Requests that came, per second.
    pub load: f64,
    /// Requests answered, per second.
    pub answered: f64,
    /// Busy share of the Ready pods, 0 to 1.
    pub utilization: f64,
    /// 99th percentile of the latency, in seconds.
    pub p99_latency: f64,
    /// Requests in flight.
    pub in_flight: f64,
}

impl Means {
    fn of(served: &Served, seconds: f64) -> Self {
        Self {
            load: served.arrived / seconds,
            answered: served.answered / seconds,
            utilization: served.utilization,
            p99_latency: served.p99_latency,
            in_flight: served.in_flight,
        }
    }

    fn combine(self, other: Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            load: with(self.load, other.load),
            answered: with(self.answered, other.answered),
            utilization: with(self.utilization, other.utilization),
            p99_latency: with(self.p99_latency, other.p99_latency),
            in_flight: with(self.in_flight, other.in_flight),
        }
    }
}

/// What a metrics server knows.
#[derive(Clone, Debug)]
pub struct Sensor {
    settings: SensorSettings,
    /// What had come together at the end of each step, as far back as is ever asked.
    sums: VecDeque<(Time, Means)>,
}

impl Sensor {
    /// That has seen the same as ever until `now`.
    pub fn new(settings: SensorSettings, served: &Served, step: Span, now: Time) -> Self {
        let kept = settings.scrape_interval + settings.window + settings.delay + step;
        let long_ago = now - kept.times(2);
        let each = Means::of(served, step.seconds());
        let seconds = now.since(long_ago).seconds();
        let sum = each.combine(each, |value, _| value * seconds);
        Self { settings, sums: VecDeque::from([(long_ago, Means::default()), (now, sum)]) }
    }

    /// Takes note of a step that ends `now`.
    pub fn observe(&mut self, served: &Served, step: Span, now: Time) {
        let seconds = step.seconds();
        let each = Means::of(served, seconds);
        let last = self.sums.back().map(|(_, sum)| *sum).unwrap_or_default();
        self.sums.push_back((now, last.combine(each, |sum, value| sum + value * seconds)));
        let settings = self.settings;
        let oldest = now - (settings.scrape_interval + settings.window + settings.delay + step);
        while self.sums.get(1).is_some_and(|(at, _)| *at <= oldest) {
            self.sums.pop_front();
        }
    }

    /// The means of the window that ends with the newest sample that can be read `now`, and that sample's age.
    pub fn read(&self, now: Time) -> (Means, Span) {
        let interval = i64::try_from(self.settings.scrape_interval.millis()).unwrap_or(i64::MAX).max(1);
        let readable = (now - self.settings.delay).millis();
        let newest = Time::from_millis(readable - readable.rem_euclid(interval));
        let (end, start) = (self.sum(newest), self.sum(newest - self.settings.window));
        let seconds = self.settings.window.seconds().max(f64::MIN_POSITIVE);
        (end.combine(start, |end, start| (end - start).max(0.0) / seconds), now.since(newest))
    }

    /// What had come together at a moment; evenly in between of two that are known.
    fn sum(&self, at: Time) -> Means {
        let after = self.sums.partition_point(|(known, _)| *known < at);
        let later = self.sums.get(after).or_else(|| self.sums.back());
        let earlier = after.checked_sub(1).and_then(|before| self.sums.get(before)).or(later);
        let (Some((from, low)), Some((to, high))) = (earlier, later) else { return Means::default() };
        let span = to.since(*from).seconds();
        let share = if span > 0.0 { at.since(*from).seconds() / span } else { 1.0 };
        low.combine(*high, |low, high| low + (high - low) * share.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_shows_late_and_bit_by_bit() {
        let served = |rate: f64| Served { arrived: rate, ..Served::default() };
        let start = Time::from_seconds(1_000_020);
        let step = Span::from_seconds(1);
        let mut sensor = Sensor::new(SensorSettings::default(), &served(100.0), step, start);
        assert!((sensor.read(start).0.load - 100.0).abs() < 1e-6);
        let mut seen = Vec::new();
        for second in 1..=90 {
            let now = start + Span::from_seconds(second);
            sensor.observe(&served(160.0), step, now);
            if second % 15 == 0 {
                let (means, age) = sensor.read(now);
                assert_eq!(age, Span::from_seconds(15));
                seen.push(means.load.round());
            }
        }
        // One minute's mean, a quarter of a minute late.
        assert_eq!(seen, [100.0, 115.0, 130.0, 145.0, 160.0, 160.0]);
    }
}
