//! What a budget gives, from figures that may be missing, late or wrong (rule 9).

use crate::time::{Span, Time};

/// A limit that falls by more than this share of what it was is not believed before a second reading.
const SUSPECT_FALL: f64 = 0.5;
/// What other clients took counts for so long after it fell.
const OTHERS_LINGER: Span = Span::from_seconds(60);
/// Two readings are two only if they lie so far apart.
const CONFIRMS_AFTER: Span = Span::from_seconds(10);

/// A number of connections as declared, or as asked of a metrics server.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// Declared.
    Declared(u32),
    /// Asked, and found at this moment.
    Found(u32, Time),
    /// Asked, and not found, for this reason.
    Missing(String),
}

/// What is assumed when a figure is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnMissing {
    /// How long the last known figure is believed.
    pub last_known: Span,
    /// What is assumed then; the last known figure for ever if nothing is declared.
    pub assumed: Option<u32>,
}

/// What a budget gives, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LimitSeen {
    /// What the server gives in all; none if it was never known.
    pub limit: Option<u32>,
    /// Held back.
    pub reserved: u32,
    /// Taken by others.
    pub others: u32,
    /// What growth may use: limit − reserved − others.
    pub for_growth: u32,
    /// What removes pods when it is exceeded: the same, once a fall is confirmed.
    pub for_recall: u32,
    /// What is wrong with the figures, in words; empty if nothing is.
    pub faults: Vec<String>,
}

/// Follows the figures of one budget.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitTracker {
    limit: Known,
    others: Known,
    /// The highest of the others of the last minute.
    peaks: Vec<(Time, u32)>,
    /// A limit that is believed for removing pods.
    confirmed: Option<u32>,
    /// The first reading below it.
    fell: Option<(Time, u32)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Known {
    last: Option<(Time, u32)>,
}

impl LimitTracker {
    /// Takes note of the figures at `now`. `unattributed` are connections in use that no pod accounts for.
    #[allow(clippy::too_many_arguments, reason = "each is a figure of its own")]
    pub fn read(
        &mut self,
        limit: &Figure,
        limit_missing: OnMissing,
        reserved: u32,
        others: &Figure,
        others_missing: OnMissing,
        unattributed: u32,
        now: Time,
    ) -> LimitSeen {
        let mut faults = Vec::new();
        let limit = self.limit.resolve("limit", limit, limit_missing, now, u32::min, &mut faults);
        let others = self
            .others
            .resolve("others", others, others_missing, now, u32::max, &mut faults)
            .unwrap_or(0)
            .max(unattributed);
        let others = self.peak(others, now);
        let given = |limit: u32| limit.saturating_sub(reserved).saturating_sub(others);
        let confirmed = limit.map(|limit| self.confirm(limit, now, &mut faults));
        LimitSeen {
            limit,
            reserved,
            others,
            for_growth: limit.map_or(0, given),
            // Of a limit that was never known nothing is asked back.
            for_recall: confirmed.map_or(u32::MAX, given),
            faults,
        }
    }

    /// Others rise at once, and fall when they have been lower for a minute.
    fn peak(&mut self, others: u32, now: Time) -> u32 {
        self.peaks.retain(|(at, value)| *at <= now && *at + OTHERS_LINGER > now && *value > others);
        self.peaks.push((now, others));
        self.peaks.iter().map(|(_, value)| *value).max().unwrap_or(others)
    }

    /// The limit that may remove pods.
    fn confirm(&mut self, limit: u32, now: Time, faults: &mut Vec<String>) -> u32 {
        let before = self.confirmed.unwrap_or(limit);
        let collapse = f64::from(limit) < f64::from(before) * SUSPECT_FALL;
        if !collapse {
            self.fell = None;
            self.confirmed = Some(limit);
            return limit;
        }
        let (since, highest) = self.fell.get_or_insert((now, limit));
        *highest = (*highest).max(limit);
        if now.since(*since) >= CONFIRMS_AFTER {
            let confirmed = *highest;
            self.fell = None;
            self.confirmed = Some(confirmed);
            return confirmed;
        }
        faults.push(format!(
            "the limit fell from {before} to {limit} in one reading: nothing grows beyond it, and nothing is removed \
             before a second reading agrees"
        ));
        before
    }
}

impl Known {
    fn resolve(
        &mut self,
        name: &str,
        figure: &Figure,
        missing: OnMissing,
        now: Time,
        careful: fn(u32, u32) -> u32,
        faults: &mut Vec<String>,
    ) -> Option<u32> {
        let why = match figure {
            Figure::Declared(connections) => return Some(*connections),
            Figure::Found(connections, at) => {
                self.last = Some((*at, *connections));
                return Some(*connections);
            }
            Figure::Missing(why) => why,
        };
        match (self.last, missing.assumed) {
            (Some((at, last)), _) if now.since(at) < missing.last_known => {
                faults.push(format!("{name} is not known ({why}): the last known {last} holds"));
                Some(last)
            }
            (Some((_, last)), Some(assumed)) => {
                let careful = careful(last, assumed);
                faults.push(format!(
                    "{name} has not been known for {} ({why}): {careful} is assumed",
                    missing.last_known
                ));
                Some(careful)
            }
            (Some((_, last)), None) => {
                faults.push(format!(
                    "{name} has not been known for {} ({why}): the last known {last} holds; declare {name}.assumed",
                    missing.last_known
                ));
                Some(last)
            }
            (None, assumed) => {
                let then = assumed.map_or_else(
                    || "declare what to assume, or mend the query".to_owned(),
                    |assumed| format!("{assumed} is assumed"),
                );
                faults.push(format!("{name} was never known ({why}): {then}"));
                assumed
            }
        }
    }
}
