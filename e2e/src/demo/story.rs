//! What happens in the demo, and when: a day at a shop, squeezed into two minutes.

use std::time::Duration;

/// The shortest demo in which everything still happens.
pub const SHORTEST: Duration = Duration::from_secs(25);
/// The longest; the story does not become better by being longer.
pub const LONGEST: Duration = Duration::from_mins(30);

/// Requests a second in the quiet hours.
const CALM: f64 = 240.0;
/// At the end of the morning.
const MORNING: f64 = 700.0;
/// At lunch: beyond what the database can carry.
const LUNCH: f64 = 1500.0;
/// In the afternoon.
const AFTERNOON: f64 = 480.0;
/// For a moment, out of nothing.
const SPIKE: f64 = 740.0;
/// The day's metrics are scraped, summed up over the query's range and read in these times.
const SCRAPE: Duration = Duration::from_secs(1);
const QUERY_RANGE: Duration = Duration::from_secs(3);
const POLLING: Duration = Duration::from_secs(1);
/// The series is gone for at least this long, or nobody would notice.
const SHORTEST_OUTAGE: f64 = 6.0;

/// The day's timetable, in seconds from its beginning.
#[derive(Clone, Debug)]
pub struct Story {
    duration: f64,
    /// Moments, in order, and the load at each; straight lines between.
    load: Vec<(f64, f64)>,
    rollout: f64,
    outage: (f64, f64),
    spike: f64,
    decline: f64,
}

/// A part of the day, as people call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chapter {
    /// The quiet hours.
    Calm,
    /// The morning.
    Ramp,
    /// More than the database can carry.
    Lunch,
    /// After lunch.
    Afternoon,
    /// The metric is gone.
    Outage,
    /// A jump.
    Spike,
    /// The evening.
    Evening,
}

impl Chapter {
    /// One line for the feed.
    pub const fn headline(self) -> &'static str {
        match self {
            Self::Calm => "calm: a few requests, a few pods",
            Self::Ramp => "the morning: load grows",
            Self::Lunch => "lunch: more load than the database has connections for",
            Self::Afternoon => "the afternoon: load falls",
            Self::Outage => "the metric disappears: the exporter drops its series",
            Self::Spike => "a spike: load jumps out of nothing",
            Self::Evening => "the evening: load fades",
        }
    }

    /// One or two words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Ramp => "morning",
            Self::Lunch => "lunch peak",
            Self::Afternoon => "afternoon",
            Self::Outage => "metric gone",
            Self::Spike => "spike",
            Self::Evening => "evening",
        }
    }
}

impl Story {
    /// The day, squeezed into `duration`.
    pub fn new(duration: Duration) -> Self {
        let duration = duration.clamp(SHORTEST, LONGEST).as_secs_f64();
        let at = |share: f64| share * duration;
        let outage_begins = at(0.66);
        let outage_ends = outage_begins + at(0.1).max(SHORTEST_OUTAGE);
        let rest = |share: f64| outage_ends + share * (duration - outage_ends);
        let spike = rest(0.1);
        let decline = rest(0.4);
        Self {
            duration,
            load: vec![
                (0.0, CALM),
                (at(0.08), CALM),
                (at(0.25), MORNING),
                (at(0.32), LUNCH),
                (at(0.47), LUNCH),
                (at(0.53), AFTERNOON),
                (spike, AFTERNOON),
                (spike + 0.2, SPIKE),
                (decline, SPIKE),
                (rest(0.5), CALM),
                (duration, CALM),
            ],
            rollout: at(0.34),
            outage: (outage_begins, outage_ends),
            spike,
            decline,
        }
    }

    /// How long it takes.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.duration)
    }

    /// Requests a second at a moment.
    pub fn load(&self, moment: f64) -> f64 {
        let after = self.load.iter().position(|(at, _)| *at > moment).unwrap_or(self.load.len());
        let before = after.checked_sub(1).and_then(|before| self.load.get(before));
        let Some(&(from, low)) = before else { return CALM };
        let after = self.load.get(after);
        let Some(&(to, high)) = after else { return low };
        let smooth = low + (high - low) * ((moment - from) / (to - from)).clamp(0.0, 1.0);
        smooth * (1.0 + flutter(moment))
    }

    /// Whether the rolling update has begun by a moment.
    pub fn has_rolled_out(&self, moment: f64) -> bool {
        moment >= self.rollout
    }

    /// Whether the exporter drops its series at a moment.
    pub fn is_outage(&self, moment: f64) -> bool {
        (self.outage.0..self.outage.1).contains(&moment)
    }

    /// What people would call a moment.
    pub fn chapter(&self, moment: f64) -> Chapter {
        let share = moment / self.duration;
        if self.is_outage(moment) {
            Chapter::Outage
        } else if moment >= self.decline {
            Chapter::Evening
        } else if moment >= self.spike {
            Chapter::Spike
        } else if share >= 0.47 {
            Chapter::Afternoon
        } else if share >= 0.28 {
            Chapter::Lunch
        } else if share >= 0.08 {
            Chapter::Ramp
        } else {
            Chapter::Calm
        }
    }

    /// The time from a change of the load until new pods serve it: it must be scraped, fill the query's range, be read,
    /// and pods must start.
    pub fn reaction(&self) -> Duration {
        SCRAPE + QUERY_RANGE + POLLING + self.pod_times().start_up.1
    }

    /// How long a pod takes to become ready, at least and at most, and to drain. A shorter day has quicker pods.
    pub fn pod_times(&self) -> PodTimes {
        let quick = (self.duration / 40.0).clamp(2.0, 3.0);
        PodTimes {
            start_up: (Duration::from_secs_f64(quick), Duration::from_secs_f64(quick + 0.6)),
            drain: (Duration::from_secs_f64(quick / 6.0), Duration::from_secs_f64(quick / 3.0)),
        }
    }
}

/// The shortest and the longest times of pods.
#[derive(Clone, Copy, Debug)]
pub struct PodTimes {
    /// From creation to Ready.
    pub start_up: (Duration, Duration),
    /// From the request to shut down to the end.
    pub drain: (Duration, Duration),
}

/// Load is never quite even: within two percent, the same in every demo.
fn flutter(moment: f64) -> f64 {
    0.01 * (moment * 1.9).sin() + 0.007 * (moment * 0.83 + 1.0).sin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chapter_comes_in_a_short_day_and_in_a_long_one() {
        use Chapter::{Afternoon, Calm, Evening, Lunch, Outage, Ramp, Spike};
        for seconds in [25, 30, 120, 600] {
            let story = Story::new(Duration::from_secs(seconds));
            let mut chapters = Vec::new();
            for tenth in 0..seconds * 10 {
                let chapter = story.chapter(f64::from(u32::try_from(tenth).unwrap()) / 10.0);
                if chapters.last() != Some(&chapter) {
                    chapters.push(chapter);
                }
            }
            let all = [Calm, Ramp, Lunch, Afternoon, Outage, Afternoon, Spike, Evening];
            assert_eq!(chapters, all, "{seconds} s");
        }
    }

    #[test]
    fn load_is_calm_at_both_ends_and_passes_what_the_ceiling_carries_at_lunch() {
        let story = Story::new(Duration::from_mins(2));
        let near = |moment: f64, load: f64| (story.load(moment) / load - 1.0).abs() < 0.02;
        assert!(near(0.0, CALM) && near(120.0, CALM) && near(500.0, CALM));
        assert!(near(50.0, LUNCH));
        assert!(near(75.0, AFTERNOON));
    }
}
