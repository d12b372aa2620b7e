//! The online estimator against workloads whose law is known. Every failure names its seed; `World::any` and
//! `World::run` with it give the same world again.

use std::collections::BTreeMap;

use plimsoll::ceiling::usl::{Assessment, Estimator, Law, Load, NotReady, Seen, Settings, Window};
use plimsoll::time::{Span, Time};

use super::world::{Misfit, Random, START, TYPICAL, World};

const SAFETY: f64 = 0.8;

/// What became of many seeds of one kind of world.
#[derive(Debug, Default)]
struct Tally {
    seeds: u64,
    enforceable: u64,
    /// Fitted peaks, infinite where there is none, relative to the true one.
    peaks: Vec<f64>,
    /// Throughput at the ceiling, relative to the best.
    throughput: Vec<f64>,
    /// Enforceable ceilings below the safe share of the true peak.
    false_ceilings: Vec<String>,
    reasons: BTreeMap<String, u64>,
}

impl Tally {
    fn of(seeds: u64, world: impl Fn(&mut Random) -> World) -> Self {
        let mut tally = Self { seeds, ..Self::default() };
        for seed in 0..seeds {
            let mut random = Random::new(seed);
            let world = world(&mut random);
            let assessment = world.run(&mut random);
            tally.add(seed, &world, &assessment);
        }
        tally.peaks.sort_by(f64::total_cmp);
        tally.throughput.sort_by(f64::total_cmp);
        tally
    }

    fn add(&mut self, seed: u64, world: &World, assessment: &Assessment) {
        let peak = assessment.fit.as_ref().and_then(|fit| fit.peak).map_or(f64::INFINITY, |peak| peak.size);
        if world.peak().is_finite() {
            self.peaks.push(peak / world.peak());
        }
        match &assessment.ceiling {
            Ok(ceiling) => {
                self.enforceable += 1;
                let replicas = f64::from(ceiling.replicas);
                if replicas < SAFETY * world.peak() {
                    self.false_ceilings.push(format!(
                        "seed {seed}: {ceiling:?}, but the peak of {world:?} is at {}",
                        world.peak()
                    ));
                }
                // A ceiling above all that was seen changes nothing there.
                let most = f64::from(world.largest.max(world.law.best_size().unwrap_or(1)));
                self.throughput.push(world.capacity(replicas.min(most)) / world.best());
            }
            Err(reasons) => {
                assert!(!reasons.is_empty(), "seed {seed}: no ceiling and no reason");
                for reason in reasons {
                    let name = format!("{reason:?}");
                    *self.reasons.entry(name.split(' ').next().unwrap().to_owned()).or_default() += 1;
                }
            }
        }
    }

    fn quantile(values: &[f64], share: f64) -> f64 {
        let steps = u32::try_from(values.len() - 1).unwrap();
        let at = (f64::from(steps) * share).round();
        values[format!("{at}").parse::<usize>().unwrap()]
    }

    fn print(&self, what: &str) {
        let q = |share| if self.peaks.is_empty() { f64::NAN } else { Self::quantile(&self.peaks, share) };
        println!(
            "{what}: seeds 0..{}: N* fitted/true q10 {:.3} q50 {:.3} q90 {:.3}; {} enforceable, {} of them false; {:?}",
            self.seeds,
            q(0.1),
            q(0.5),
            q(0.9),
            self.enforceable,
            self.false_ceilings.len(),
            self.reasons
        );
        if !self.throughput.is_empty() {
            let q = |share| Self::quantile(&self.throughput, share);
            println!(
                "  throughput at the ceiling/best: least {:.3}, q10 {:.3}, q50 {:.3}",
                q(0.0),
                q(0.1),
                q(0.5)
            );
        }
    }
}

#[test]
fn once_the_peak_was_passed_by_a_tenth_its_median_is_within_a_fifth() {
    let tally = Tally::of(1_000, |_| TYPICAL);
    tally.print("seen to 1.1 N*");
    let (low, median, high) = (
        Tally::quantile(&tally.peaks, 0.1),
        Tally::quantile(&tally.peaks, 0.5),
        Tally::quantile(&tally.peaks, 0.9),
    );
    assert!((0.8..=1.2).contains(&median), "median {median}");
    assert!((0.8..=1.2).contains(&low) && (0.8..=1.2).contains(&high), "q10 {low}, q90 {high}");
    assert!(tally.false_ceilings.is_empty(), "{:#?}", tally.false_ceilings);
}

#[test]
fn the_interval_of_the_peak_holds_it_as_often_as_it_says() {
    let (mut below, mut above) = (0, 0);
    for seed in 0..1_000 {
        let world = World { largest: 50, windows: 60, ..TYPICAL };
        let interval = world.run(&mut Random::new(seed)).fit.unwrap().peak_interval;
        below += u32::from(interval.lower > world.peak());
        above += u32::from(interval.upper.is_some_and(|upper| upper < world.peak()));
    }
    println!(
        "seeds 0..1000: the peak is below the interval in {below}, above it in {above}; 25 each are expected"
    );
    assert!((10..=45).contains(&below) && (10..=45).contains(&above), "{below} below, {above} above");
}

#[test]
fn windows_with_an_error_in_common_do_not_make_a_false_ceiling() {
    // Three per cent that all windows of one size share: their number says nothing about that.
    for (largest, windows) in [(38, 150), (60, 60)] {
        let world = |random: &mut Random| World {
            hour: 0.03,
            hours: random.next(),
            largest,
            windows,
            skew: 2.0,
            objective: 0.0,
            ..TYPICAL
        };
        let tally = Tally::of(2_000, world);
        tally.print(&format!("{windows} windows of 1 to {largest} replicas, 3 % in common"));
        assert!(tally.false_ceilings.is_empty(), "{:#?}", tally.false_ceilings);
        assert!(tally.enforceable > 200, "{}", tally.enforceable);
    }
}

#[test]
fn in_ten_thousand_worlds_no_enforceable_ceiling_lies_below_what_is_safe() {
    let tally = Tally::of(10_000, World::any);
    tally.print("any world");
    assert!(tally.enforceable > 1_000, "a proof of nothing: only {} ceilings", tally.enforceable);
    assert!(tally.false_ceilings.is_empty(), "{:#?}", tally.false_ceilings);
}

#[test]
fn in_ten_thousand_seeds_of_the_typical_world_no_enforceable_ceiling_lies_below_what_is_safe() {
    // Seen to .5, .7, .9, 1.1 and 1.7 of the peak; the objective never met, so that the fit alone speaks.
    for (largest, windows) in [(17, 60), (25, 60), (31, 60), (38, 100), (60, 40)] {
        let tally = Tally::of(2_000, |_| World { largest, windows, objective: 0.0, ..TYPICAL });
        tally.print(&format!("{windows} windows of 1 to {largest} replicas"));
        assert!(tally.false_ceilings.is_empty(), "{:#?}", tally.false_ceilings);
        if largest >= 38 {
            assert!(
                tally.enforceable > 1_900,
                "a ceiling that never comes helps nobody: {}",
                tally.enforceable
            );
        }
    }
}

#[test]
fn where_the_law_does_not_hold_a_ceiling_still_costs_little() {
    for misfit in
        [Misfit::HardCeiling(12.0), Misfit::HardCeiling(25.0), Misfit::Cliff(20.0), Misfit::Cliff(30.0)]
    {
        for beta in [0.0, 0.000_2] {
            let law = Law { beta, ..TYPICAL.law };
            let tally = Tally::of(300, |_| World {
                law,
                misfit,
                largest: 45,
                windows: 150,
                objective: 0.0,
                ..TYPICAL
            });
            tally.print(&format!("{misfit:?}, beta {beta}"));
            if let Some(least) = tally.throughput.first() {
                assert!(*least > 0.9, "{misfit:?}: {least}");
            }
        }
    }
}

#[test]
fn without_a_peak_nothing_is_ever_capped() {
    for (alpha, noise) in [(0.0, 0.04), (0.03, 0.04), (0.2, 0.1), (0.9, 0.04), (1.0, 0.04), (1.0, 0.3)] {
        let law = Law { alpha, beta: 0.0, ..TYPICAL.law };
        let tally = Tally::of(500, |_| World { law, noise, windows: 100, largest: 60, ..TYPICAL });
        tally.print(&format!("alpha {alpha}, no peak"));
        assert_eq!(tally.enforceable, 0, "alpha {alpha}");
    }
}

#[test]
fn what_is_left_out_by_mistake_does_not_make_the_rest_look_surer() {
    // Nothing is disturbed here: whatever is left out is chance.
    let mut scatter = Vec::new();
    for seed in 0..2_000 {
        let assessment = TYPICAL.run(&mut Random::new(seed));
        if assessment.outliers >= 3 {
            scatter.push(assessment.fit.unwrap().residual_standard_error);
        }
    }
    scatter.sort_by(f64::total_cmp);
    let median = Tally::quantile(&scatter, 0.5);
    println!("seeds 0..2000: {} with three or more left out, median s {median}", scatter.len());
    assert!(scatter.len() > 20 && median > 0.045, "4 % of throughput and 2 points of utilization make 0.049");
}

#[test]
fn windows_that_fit_nothing_are_left_out() {
    let disturbed = World { disturbed: 0.1, windows: 190, ..TYPICAL };
    let tally = Tally::of(300, |_| disturbed);
    tally.print("a tenth disturbed");
    assert!(tally.false_ceilings.is_empty(), "{:#?}", tally.false_ceilings);
    assert!((0.9..1.1).contains(&Tally::quantile(&tally.peaks, 0.1)));
    assert!((0.9..1.1).contains(&Tally::quantile(&tally.peaks, 0.9)));
    let assessment = disturbed.run(&mut Random::new(1));
    assert!((10..30).contains(&assessment.outliers), "{} of 190", assessment.outliers);
}

/// A world seen well beyond its peak, and what is known of it.
fn well_known() -> (Estimator, Time) {
    let mut estimator = Estimator::default();
    let world = World { largest: 60, windows: 120, ..TYPICAL };
    let now = world.feed(&mut estimator, START, &mut Random::new(7));
    (estimator, now)
}

fn reasons(estimator: &Estimator, now: Time) -> Vec<String> {
    let assessment = estimator.assess(now, &Settings::default());
    assessment.ceiling.unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn a_ceiling_says_what_makes_it_believed() {
    let (estimator, now) = well_known();
    let ceiling = estimator.assess(now, &Settings::default()).ceiling.unwrap();
    assert_eq!(ceiling.replicas, ceiling.below_peak.max(ceiling.carried_well.unwrap()));
    assert!((27..=42).contains(&ceiling.replicas), "{ceiling:?}");
    assert!(ceiling.at_most > TYPICAL.peak(), "{ceiling:?}");
    // Throughput at 120 replicas is half of that at the peak: seen without any law.
    let mut estimator = Estimator::default();
    let far = World { largest: 120, windows: 190, smallest: 3, ..TYPICAL };
    let sizes = |random: &mut Random, now| {
        let mut window = far.window(now, random);
        let sizes = [3, 6, 10, 15, 20, 28, 35, 45, 60, 80, 100, 120];
        let size = sizes[usize::try_from(random.count(12)).unwrap() - 1];
        (window.fewest_ready, window.most_ready, window.load) = (size, size, Load::Saturated);
        window.throughput = far.capacity(f64::from(size)) * (0.04 * random.normal()).exp();
        window
    };
    let (mut now, mut random) = (START, Random::new(3));
    for _ in 0..190 {
        now = now + far.every;
        estimator.observe(&sizes(&mut random, now)).unwrap();
    }
    let seen = estimator.assess(now, &Settings::default()).ceiling.unwrap().seen;
    let Seen::Falling { from, to } = seen else { panic!("{seen:?}") };
    assert!(from < to && to >= 60, "{from} {to}");
}

#[test]
fn a_ceiling_expires_and_is_earned_again_after_a_new_revision() {
    let (mut estimator, now) = well_known();
    assert!(estimator.assess(now, &Settings::default()).ceiling.is_ok());
    let later = now + Span::from_seconds(15 * 86_400);
    let expired = reasons(&estimator, later);
    assert_eq!(expired[0], "expired: the newest window is 360 h old, they count for 336 h");
    let mut random = Random::new(8);
    let next = World { largest: 60, ..TYPICAL }.window(now + Span::from_seconds(600), &mut random);
    estimator
        .observe(&Window { revision: "next".to_owned(), load: Load::Saturated, ..next.clone() })
        .unwrap();
    let renewed = reasons(&estimator, next.end);
    assert_eq!(renewed[0], "new revision: 1 of 30 windows; those of the revision before do not count");
    assert_eq!(renewed[1], "too few distinct sizes: 1 of 6 replica counts seen under load");
}

#[test]
fn what_stands_in_the_way_is_said() {
    let said = |world: World| {
        let assessment = world.run(&mut Random::new(5));
        assessment.ceiling.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let law = TYPICAL.law;
    for (world, expected) in [
        (World { windows: 12, ..TYPICAL }, "too few windows: 12 of 30 with constant size and enough load"),
        (World { largest: 4, ..TYPICAL }, "too few distinct sizes: 4 of 6 replica counts seen under load"),
        (
            World { smallest: 20, largest: 30, ..TYPICAL },
            "range too narrow: seen 20 to 30 replicas, the largest must be 3 times the smallest",
        ),
        (World { largest: 24, windows: 190, ..TYPICAL }, "never near N*: the peak would be at 3"),
        (World { windows: 35, ..TYPICAL }, "interval too wide: the peak can be anywhere from 3"),
        (World { law: Law { beta: 0.0, ..law }, ..TYPICAL }, "no peak yet: if there is one, it is at "),
        (
            World {
                law: Law { alpha: 1.0, beta: 0.0, ..law },
                noise: 0.0,
                utilization_noise: 0.0,
                ..TYPICAL
            },
            "throughput does not grow with replicas at all",
        ),
        (
            World { law: Law { alpha: -0.02, beta: 0.000_5, ..law }, windows: 100, ..TYPICAL },
            "throughput grows better than linearly",
        ),
        (
            World { smallest: 40, largest: 200, windows: 190, objective: 0.0, ..TYPICAL },
            "only beyond N*: the ceiling would be",
        ),
    ] {
        let said = said(world);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn old_windows_give_way_to_new_ones() {
    // The workload was changed under the same revision: its peak fell from 34.8 to 17.4.
    let after = World { law: Law { beta: 0.003_2, ..TYPICAL.law }, windows: 80, ..TYPICAL };
    let mut random = Random::new(11);
    let mut estimator = Estimator::default();
    let before = World { windows: 80, ..TYPICAL }.feed(&mut estimator, START, &mut random);
    let now = after.feed(&mut estimator, before + Span::from_seconds(13 * 86_400), &mut random);
    let peak = |settings: &Settings| estimator.assess(now, settings).fit.unwrap().peak.unwrap().size;
    let decaying = peak(&Settings::default());
    let forgetful = peak(&Settings { expires_after: Span::from_seconds(86_400), ..Settings::default() });
    let remembering = peak(&Settings { half_life: Span::from_seconds(365 * 86_400), ..Settings::default() });
    assert!((forgetful / 17.4 - 1.0).abs() < 0.15, "{forgetful}");
    assert!((decaying / 17.4 - 1.0).abs() < 0.15, "{decaying}");
    assert!(remembering > decaying * 1.1, "{remembering} {decaying}");
}

#[test]
fn a_size_that_carried_more_than_the_fit_allows_is_never_capped() {
    let (mut estimator, mut now) = well_known();
    let before = estimator.assess(now, &Settings::default()).ceiling.unwrap();
    let most = TYPICAL.best();
    for throughput in [0.8 * most, 1.3 * most] {
        now = now + Span::from_seconds(300);
        let window = Window {
            end: now,
            length: Span::from_seconds(60),
            revision: "7f8d9c".to_owned(),
            fewest_ready: 55,
            most_ready: 55,
            rollout: false,
            load: Load::Utilization(0.8),
            throughput,
            objective_met: true,
        };
        estimator.observe(&window).unwrap();
        let ceiling = estimator.assess(now, &Settings::default()).ceiling.unwrap();
        if throughput < most {
            assert_eq!(ceiling.replicas, before.replicas, "a smaller size carries this as well");
        } else {
            assert!(ceiling.replicas >= 55, "{ceiling:?}");
        }
    }
}

#[test]
fn utilization_of_what_does_not_limit_hides_the_peak_and_caps_nothing() {
    // Pods wait for a lock: CPU falls as throughput per pod does, and throughput over CPU is linear.
    let mut estimator = Estimator::default();
    let (mut now, mut random) = (START, Random::new(9));
    for _ in 0..190 {
        now = now + TYPICAL.every;
        let mut window = TYPICAL.window(now, &mut random);
        let per_pod = TYPICAL.capacity(f64::from(window.most_ready)) / f64::from(window.most_ready);
        window.throughput = per_pod * f64::from(window.most_ready);
        window.load = Load::Utilization(per_pod / TYPICAL.law.lambda);
        let _ = estimator.observe(&window);
    }
    let missing = estimator.assess(now, &Settings::default()).ceiling.unwrap_err();
    assert!(missing.iter().any(|reason| matches!(reason, NotReady::NoPeakYet { .. })), "{missing:?}");
}

#[test]
fn a_restored_estimator_says_the_same() {
    let (estimator, now) = well_known();
    let restored: Estimator = serde_json::from_str(&serde_json::to_string(&estimator).unwrap()).unwrap();
    assert_eq!(restored.assess(now, &Settings::default()), estimator.assess(now, &Settings::default()));
}
