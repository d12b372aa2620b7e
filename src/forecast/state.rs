//! What is kept of one metric between two fits, and the fit itself.

use super::accuracy::{Compared, Ledger, unit};
use super::model::forecast;
use super::outlook::{Outlook, Peak, Standing, Unforeseen, UnforeseenKind};
use super::past::{DAY, HOUR, Past, STEP, Whole};
use super::season;
use crate::number::{count_of, from_count};
use crate::signal::Moments;
use crate::time::{Span, Time};

/// How much of a fit's future is told: fits come every hour, and what failed for some hours is better left alone.
const TOLD: usize = 4 * HOUR;
/// A peak is looked for this far ahead.
const PEAK_WITHIN: usize = DAY;
/// Where no forecasts of the last day can be compared, they are made up for: one from each of so many moments of it, …
const BACKTESTS: usize = 4;
/// … each for this long.
const BACKTEST: usize = DAY / BACKTESTS;
/// Fits further apart than this leave forecasts that say little of what the next one is worth.
const LONGEST_PAUSE: Span = Span::from_seconds(3 * 3600);
/// The last value of a load is the mean of so many.
const LAST: usize = 3;
/// Kept beyond what is declared, so that two whole weeks are two whole weeks wherever the grid lies.
const BESIDE: Span = Span::from_seconds(3600);

/// What a forecast is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastRules {
    /// After what time the load comes again; none if that is to be found.
    pub season: Option<Span>,
    /// How much of the past it rests on at most.
    pub history: Span,
    /// The share of moments at which need stays at or below the upper quantile, below 1.
    pub quantile: f64,
}

impl ForecastRules {
    fn keep(&self) -> Span {
        self.history + BESIDE
    }
}

/// What is kept of one metric between two fits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForecastState {
    past: Past,
    ledger: Ledger,
    /// The forecast before, to be compared with what came.
    made: Option<Made>,
}

/// A forecast from one moment on.
#[derive(Clone, Debug, PartialEq)]
struct Made {
    first: Time,
    expected: Vec<f64>,
    upper: Vec<f64>,
    last: f64,
    mean: f64,
}

impl ForecastState {
    /// The moments whose values have to be learnt before the next fit.
    pub fn missing(&self, rules: &ForecastRules, now: Time) -> Moments {
        self.past.missing(rules.keep(), now)
    }

    /// Takes note of need at some moments, in replicas; what is not a number of zero or more is a gap.
    pub fn learn(
        &mut self,
        rules: &ForecastRules,
        moments: Moments,
        needs: impl IntoIterator<Item = Option<f64>>,
    ) {
        self.past.learn(moments, needs, rules.keep());
    }

    /// A forecast of what comes next.
    pub fn fit(&mut self, rules: &ForecastRules, now: Time) -> Result<Outlook, Unforeseen> {
        let whole = self.past.whole()?;
        let seasons = seasons(&whole, rules)?;
        self.compare(&whole, &seasons, rules);
        self.ledger.forget(whole.end());
        let steps = PEAK_WITHIN.max(TOLD);
        let (model, expected) = forecast(&whole.values, &seasons, steps).map_err(|fault| {
            Unforeseen::new(UnforeseenKind::NotFitted, format!("no model fits the past: {fault}"))
        })?;
        let largest = whole.values.iter().copied().fold(0.0, f64::max);
        let expected: Vec<f64> = expected.into_iter().map(|value| rounded(value.min(largest))).collect();
        let margin = self.ledger.margin(rules.quantile).unwrap_or(0.0);
        let upper = upper(&expected, margin, largest);
        let first = whole.end();
        let (accuracy, verdict) = self.ledger.judge(rules.quantile);
        let peak = (0_u32..).zip(&upper).fold(Peak { at: first, replicas: 0.0 }, |peak, (at, replicas)| {
            if *replicas > peak.replicas {
                Peak { at: first + STEP.times(at.into()), replicas: *replicas }
            } else {
                peak
            }
        });
        let told = |values: &[f64]| values.iter().copied().take(TOLD).collect::<Vec<_>>();
        let outlook = Outlook {
            standing: Standing {
                model,
                seasons: seasons.iter().map(|season| STEP.times(u64::from(count_of(*season)))).collect(),
                fitted: now,
                observed: whole.span(),
                peak,
                accuracy,
                verdict,
            },
            moments: Moments { first, step: STEP, count: count_of(TOLD) },
            expected: told(&expected),
            upper: told(&upper),
        };
        self.made = Some(made(&whole.values, first, outlook.expected.clone(), outlook.upper.clone()));
        Ok(outlook)
    }

    /// Compares the forecast before with what came since; where that says too little, forecasts are made up for the last day.
    fn compare(&mut self, whole: &Whole, seasons: &[usize], rules: &ForecastRules) {
        let recent = self.made.take().filter(|made| whole.end().since(made.first) <= LONGEST_PAUSE);
        let goes_on = self.ledger.until().is_some_and(|until| whole.end().since(until) <= LONGEST_PAUSE);
        match recent {
            Some(made) if goes_on => self.enter(&made, true),
            _ => self.test_back(whole, seasons, rules),
        }
    }

    /// What forecasts would have said in the last day, each from what was known by then. The first of them, of the day
    /// before, only tells how far they are off.
    fn test_back(&mut self, whole: &Whole, seasons: &[usize], rules: &ForecastRules) {
        self.ledger = Ledger::default();
        let largest = whole.values.iter().copied().fold(0.0, f64::max);
        for number in (1..=BACKTESTS.saturating_add(1)).rev() {
            let known = whole.values.len().checked_sub(number.saturating_mul(BACKTEST));
            let Some(known) = known.and_then(|known| whole.values.get(..known)) else { continue };
            let Ok((_, expected)) = forecast(known, seasons, BACKTEST) else { continue };
            let margin = self.ledger.margin(rules.quantile);
            let upper = margin.map(|margin| upper(&expected, margin, largest));
            let first = whole.first + STEP.times(u64::from(count_of(known.len())));
            let told = upper.is_some();
            self.enter(&made(known, first, expected, upper.unwrap_or_default()), told);
        }
    }

    fn enter(&mut self, made: &Made, told: bool) {
        for (at, expected) in (0_u32..).zip(&made.expected) {
            let moment = made.first + STEP.times(at.into());
            // What was made up for a gap is nobody's error.
            let Some(actual) = self.past.at(moment) else { continue };
            let upper = usize::try_from(at).ok().and_then(|at| made.upper.get(at)).copied();
            self.ledger.note(Compared {
                at: moment,
                actual,
                expected: *expected,
                upper: upper.filter(|_| told),
                last: made.last,
                mean: made.mean,
            });
        }
    }
}

fn made(known: &[f64], first: Time, expected: Vec<f64>, upper: Vec<f64>) -> Made {
    let mean = |many: usize| {
        let values = known.get(known.len().saturating_sub(many)..).unwrap_or_default();
        values.iter().sum::<f64>() / from_count(count_of(values.len())).max(1.0)
    };
    Made { first, expected, upper, last: mean(LAST), mean: mean(DAY) }
}

/// The seasons in steps: the declared one, or those that are found.
fn seasons(whole: &Whole, rules: &ForecastRules) -> Result<Vec<usize>, Unforeseen> {
    let known = whole.values.len();
    let too_short = |needed: usize| {
        let needed = STEP.times(u64::from(count_of(needed)));
        let known = whole.span();
        Unforeseen::new(
            UnforeseenKind::TooShort,
            format!("{known} of the metric's past are known, and a forecast takes {needed}"),
        )
    };
    if let Some(season) = rules.season {
        let season = season::steps(season);
        return if known < season { Err(too_short(season)) } else { Ok(vec![season]) };
    }
    // A range that is asked for may hold a little less than two days.
    if known.saturating_add(HOUR) < 2 * DAY {
        return Err(too_short(2 * DAY));
    }
    let found = season::found(&whole.values);
    if found.is_empty() {
        return Err(Unforeseen::new(
            UnforeseenKind::NoSeason,
            format!(
                "in {} nothing comes again after a day or a week: there is nothing to forecast, unless forecast.seasonSeconds \
                 says after what time it does",
                whole.span()
            ),
        ));
    }
    Ok(found)
}

/// What need passes as rarely as the margin's quantile says; never more than was ever seen.
fn upper(expected: &[f64], margin: f64, largest: f64) -> Vec<f64> {
    expected
        .iter()
        .map(|expected| rounded((expected + margin * unit(*expected)).clamp(0.0, largest)))
        .collect()
}

/// To a thousandth of a replica: nobody needs more, and it is told at every evaluation.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::forecast::{Model, Verdict};

    const RULES: ForecastRules =
        ForecastRules { season: None, history: Span::from_seconds(14 * 86_400), quantile: 0.9 };
    const DAILY: Span = Span::from_seconds(86_400);

    fn at(step: usize) -> Time {
        Time::from_seconds(1_699_999_800) + STEP.times(u64::try_from(step).unwrap())
    }

    fn taught(steps: usize, of: impl Fn(usize) -> Option<f64>) -> ForecastState {
        let mut state = ForecastState::default();
        let moments = Moments { first: at(0), step: STEP, count: count_of(steps) };
        state.learn(&RULES, moments, (0..steps).map(of));
        state
    }

    fn wave(step: usize) -> f64 {
        20.0 + 10.0
            * (from_count(count_of(step % DAY)) / from_count(count_of(DAY)) * std::f64::consts::TAU).sin()
    }

    fn noise(at: usize) -> f64 {
        let mixed = u64::try_from(at).unwrap().wrapping_add(7).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        crate::number::from_u64((mixed ^ (mixed >> 32)) >> 11) / crate::number::from_u64(1 << 52) - 1.0
    }

    #[test]
    fn a_daily_load_is_forecast_and_trusted_and_its_peak_is_named() {
        let mut state = taught(5 * DAY, |step| Some(wave(step) + noise(step)));
        let outlook = state.fit(&RULES, at(5 * DAY)).unwrap();
        let standing = &outlook.standing;
        assert_eq!((standing.model, &standing.seasons), (Model::Mstl, &vec![DAILY]));
        assert_eq!(standing.verdict, Verdict::Trusted, "{standing:?}");
        assert_eq!(outlook.moments.first, at(5 * DAY));
        for (step, (expected, upper)) in (5 * DAY..).zip(outlook.expected.iter().zip(&outlook.upper)) {
            assert!((expected - wave(step)).abs() < 1.5, "{step}: {expected} for {}", wave(step));
            assert!(upper >= expected && *upper < wave(step) + 3.0, "{step}: {upper} for {}", wave(step));
        }
        let peak = standing.peak;
        let (from, to) = (at(5 * DAY + DAY / 4 - 24), at(5 * DAY + DAY / 4 + 24));
        assert!(peak.at > from && peak.at < to && (29.0..32.0).contains(&peak.replicas), "{peak:?}");
        let accuracy = standing.accuracy.unwrap();
        assert!(accuracy.error < 0.1 && accuracy.naive_error > 0.15, "{accuracy:?}");
        assert!((accuracy.missed - 0.1).abs() < 0.1, "{accuracy:?}");
    }

    #[test]
    fn a_day_unlike_the_others_ends_trust_within_hours_and_days_like_them_bring_it_back() {
        // On the sixth day hardly anybody comes.
        let load = |step: usize| if step / DAY == 5 { 3.0 } else { wave(step) + noise(step) };
        let mut state = taught(5 * DAY, |step| Some(load(step)));
        assert_eq!(state.fit(&RULES, at(5 * DAY)).unwrap().standing.verdict, Verdict::Trusted);
        let (mut lost, mut regained) = (None, None);
        for hour in 1..=54 {
            let end = 5 * DAY + hour * HOUR;
            let moments = state.missing(&RULES, at(end) - STEP);
            assert_eq!(moments.count, 12);
            state.learn(&RULES, moments, (end - HOUR..end).map(|step| Some(load(step))));
            let verdict = state.fit(&RULES, at(end)).unwrap().standing.verdict;
            if verdict != Verdict::Trusted && lost.is_none() {
                lost = Some(hour);
            }
            if verdict == Verdict::Trusted && lost.is_some() && regained.is_none() {
                regained = Some(hour);
            }
        }
        assert!(lost.is_some_and(|hour| hour <= 2), "{lost:?}");
        assert!(regained.is_some(), "it was never trusted again");
    }

    #[test]
    fn without_enough_of_the_past_there_is_a_reason_and_no_forecast() {
        use UnforeseenKind::{NoSeason, TooManyGaps, TooShort};
        let declared = ForecastRules { season: Some(DAILY), ..RULES };
        for (what, mut state, rules, kind) in [
            ("nothing", ForecastState::default(), RULES, TooShort),
            ("a day", taught(DAY, |step| Some(wave(step))), RULES, TooShort),
            ("no whole season", taught(DAY - 1, |step| Some(wave(step))), declared, TooShort),
            ("noise", taught(5 * DAY, |step| Some(20.0 + noise(step))), RULES, NoSeason),
            ("always the same", taught(5 * DAY, |_| Some(5.0)), RULES, NoSeason),
            ("half of it", taught(5 * DAY, |step| (step % 2 == 0).then(|| wave(step))), RULES, TooManyGaps),
            ("no numbers", taught(5 * DAY, |_| Some(f64::NAN)), RULES, TooShort),
        ] {
            let refused = state.fit(&rules, at(5 * DAY)).unwrap_err();
            assert_eq!(refused.kind, kind, "{what}: {}", refused.message);
        }
    }

    #[test]
    fn a_declared_season_in_noise_is_never_trusted_and_one_season_is_too_little_to_judge() {
        let declared = ForecastRules { season: Some(DAILY), ..RULES };
        for level in [0.5, 2.0, 8.0] {
            let mut state = taught(7 * DAY, |step| Some(20.0 + level * noise(step)));
            let outlook = state.fit(&declared, at(7 * DAY)).unwrap();
            assert_eq!(outlook.standing.verdict, Verdict::NoBetterThanNaive, "{:?}", outlook.standing);
        }
        let mut state = taught(DAY + HOUR, |step| Some(wave(step)));
        let outlook = state.fit(&declared, at(DAY + HOUR)).unwrap();
        assert_eq!(
            (outlook.standing.model, outlook.standing.verdict),
            (Model::SeasonalNaive, Verdict::Unproven)
        );
    }

    #[test]
    fn gaps_and_a_broken_end_do_not_break_a_forecast() {
        let mut state = taught(5 * DAY, |step| {
            let gone = (3 * DAY..3 * DAY + 5 * HOUR).contains(&step) || step % 40 == 0 || step >= 5 * DAY - 5;
            (!gone).then(|| wave(step))
        });
        let outlook = state.fit(&RULES, at(5 * DAY)).unwrap();
        assert_eq!(outlook.standing.verdict, Verdict::Trusted, "{:?}", outlook.standing);
        // It begins where the past ends, so that the part for now is still told.
        assert_eq!(outlook.moments.first, at(5 * DAY - 5));
        for (step, expected) in (5 * DAY - 5..).zip(&outlook.expected) {
            assert!((expected - wave(step)).abs() < 1.5, "{step}: {expected} for {}", wave(step));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the past was, a forecast is made of numbers that were seen, or there is a reason for none.
        #[test]
        fn any_past_gives_numbers_within_what_was_seen_or_a_reason(
            pattern in proptest::collection::vec(prop_oneof![
                8 => (0.0..1e4_f64).prop_map(Some),
                1 => Just(None),
                1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-5.0), Just(1e300)].prop_map(Some),
            ], 1..60),
            steps in 1..3 * DAY,
            declared in any::<bool>(),
        ) {
            let rules = ForecastRules { season: declared.then_some(Span::from_seconds(6 * 3600)), ..RULES };
            let mut state = taught(steps, |step| pattern[step % pattern.len()]);
            let largest = pattern.iter().flatten().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
            match state.fit(&rules, at(steps)) {
                Ok(outlook) => {
                    prop_assert_eq!(outlook.expected.len(), outlook.upper.len());
                    for value in outlook.expected.iter().chain(&outlook.upper) {
                        prop_assert!(value.is_finite() && *value >= 0.0 && *value <= largest * 1.000_001 + 0.001);
                    }
                }
                Err(refused) => prop_assert!(!refused.message.is_empty()),
            }
        }
    }
}
