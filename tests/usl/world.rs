//! Simulated workloads whose law is known, and windows measured of them.

use plimsoll::ceiling::usl::{Assessment, Estimator, Law, Load, Settings, Window};
use plimsoll::time::{Span, Time};

pub const START: Time = Time::from_seconds(1_700_000_000);

/// Seeded random numbers (SplitMix64): the same seed gives the same world.
pub struct Random(u64);

impl Random {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    pub fn share(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / 4_294_967_296.0
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// From 1 to `most`.
    pub fn count(&mut self, most: u32) -> u32 {
        1 + u32::try_from(self.next() % u64::from(most)).unwrap()
    }

    /// Of the standard normal distribution (Box and Muller).
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (1.0 - self.share(), self.share());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }
}

/// How capacity departs from the law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Misfit {
    None,
    /// Capacity is never above that of so many replicas on their own.
    HardCeiling(f64),
    /// Beyond so many replicas 40 % of the capacity are gone.
    Cliff(f64),
}

/// A workload and how it is measured.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub law: Law,
    /// How it departs from the law.
    pub misfit: Misfit,
    /// Sizes are spread from this
    pub smallest: u32,
    /// to this.
    pub largest: u32,
    /// evenly at 1, more at the small ones above it.
    pub skew: f64,
    /// The range of utilization.
    pub utilization: (f64, f64),
    /// How much lower utilization is at the largest size than at the smallest.
    pub tilt: f64,
    /// The standard deviation of throughput, relative.
    pub noise: f64,
    /// The standard deviation of the utilization reported.
    pub utilization_noise: f64,
    /// What is wrong with all utilization reported.
    pub utilization_bias: f64,
    /// The standard deviation of what all windows of one size have in common: another hour, another mix of requests.
    pub hour: f64,
    /// Which of those it is.
    pub hours: u64,
    /// Share of windows in which something else slowed the workload by 30 to 70 %.
    pub disturbed: f64,
    /// Share of windows that are saturated.
    pub saturated: f64,
    /// Windows that are accepted.
    pub windows: usize,
    /// Time from window to window.
    pub every: Span,
    /// The utilization up to which the objective is met.
    pub objective: f64,
}

/// The world that is told of in the literature on what data identify: α = .03, β = .0008, N* = 34.8, 40 windows, 4 % noise,
/// utilization known to two points.
pub const TYPICAL: World = World {
    law: Law { lambda: 100.0, alpha: 0.03, beta: 0.000_8 },
    misfit: Misfit::None,
    smallest: 1,
    largest: 38,
    skew: 1.0,
    utilization: (0.5, 0.95),
    tilt: 0.0,
    noise: 0.04,
    utilization_noise: 0.02,
    utilization_bias: 0.0,
    hour: 0.0,
    hours: 0,
    disturbed: 0.0,
    saturated: 0.0,
    windows: 40,
    every: Span::from_seconds(300),
    objective: 0.85,
};

impl World {
    /// Any world: peaks from 6 to 200 or none, sizes seen up to .3 to 2.5 times the peak, all kinds of load and noise.
    pub fn any(random: &mut Random) -> Self {
        let alpha = if random.chance(0.1) { 0.0 } else { 10.0_f64.powf(random.between(-3.0, -0.5)) };
        let peak = 10.0_f64.powf(random.between(0.8, 2.3));
        let beta = if random.chance(0.1) { 0.0 } else { (1.0 - alpha) / (peak * peak) };
        let largest = (peak * random.between(0.3, 2.5)).max(6.0).round();
        let largest: u32 = format!("{largest}").parse().unwrap();
        let lowest = random.between(0.3, 0.8);
        Self {
            law: Law { lambda: 10.0_f64.powf(random.between(-2.0, 4.0)), alpha, beta },
            misfit: Misfit::None,
            smallest: if random.chance(0.5) { 1 } else { random.count(largest.div_ceil(3)) },
            largest,
            skew: random.between(1.0, 3.0),
            utilization: (lowest, (lowest + random.between(0.05, 0.5)).min(1.0)),
            tilt: random.between(-0.15, 0.15),
            noise: random.between(0.005, 0.08),
            utilization_noise: random.between(0.0, 0.02),
            utilization_bias: random.between(-0.02, 0.02),
            hour: if random.chance(0.5) { 0.0 } else { random.between(0.0, 0.04) },
            hours: random.next(),
            disturbed: if random.chance(0.5) { 0.0 } else { random.between(0.0, 0.15) },
            saturated: if random.chance(0.5) { 0.0 } else { random.share() },
            windows: usize::try_from(30 + random.count(160)).unwrap(),
            every: Span::from_seconds(u64::from(60 * random.count(90))),
            objective: if random.chance(0.5) { 0.0 } else { random.between(0.5, 1.0) },
        }
    }

    /// The true peak; infinite where there is none.
    pub fn peak(&self) -> f64 {
        self.law.peak().unwrap_or(f64::INFINITY)
    }

    /// The true capacity at `size`.
    pub fn capacity(&self, size: f64) -> f64 {
        let capacity = self.law.throughput(size);
        match self.misfit {
            Misfit::None => capacity,
            Misfit::HardCeiling(replicas) => capacity.min(self.law.lambda * replicas),
            Misfit::Cliff(replicas) => {
                if size > replicas {
                    0.6 * capacity
                } else {
                    capacity
                }
            }
        }
    }

    /// The greatest capacity of any size up to the largest.
    pub fn best(&self) -> f64 {
        (1..=self.largest.max(self.law.best_size().unwrap_or(1)))
            .map(|size| self.capacity(f64::from(size)))
            .fold(0.0, f64::max)
    }

    /// Measures windows until enough are accepted, and what they come to then.
    pub fn run(&self, random: &mut Random) -> Assessment {
        let mut estimator = Estimator::default();
        let now = self.feed(&mut estimator, START, random);
        estimator.assess(now, &Settings::default())
    }

    /// Measures windows from `now` on until enough are accepted; the time then.
    pub fn feed(&self, estimator: &mut Estimator, mut now: Time, random: &mut Random) -> Time {
        let mut accepted = 0;
        for _ in 0..20 * self.windows {
            now = now + self.every;
            accepted += usize::from(estimator.observe(&self.window(now, random)).is_ok());
            if accepted == self.windows {
                break;
            }
        }
        now
    }

    pub fn window(&self, end: Time, random: &mut Random) -> Window {
        let range = f64::from(self.largest - self.smallest + 1);
        let above = (range * random.share().powf(self.skew)).floor();
        let size = self.smallest + format!("{above}").parse::<u32>().unwrap();
        let tilt = self.tilt * (0.5 - f64::from(size) / f64::from(self.largest));
        let used = random.between(self.utilization.0, self.utilization.1) + tilt;
        let saturated = random.chance(self.saturated);
        let used = if saturated { 1.0 } else { used.clamp(0.05, 1.0) };
        let disturbed = if random.chance(self.disturbed) { random.between(0.3, 0.7) } else { 1.0 };
        let hour = self.hour * Random::new(self.hours ^ u64::from(size)).normal();
        let noise = (hour + self.noise * random.normal()).exp();
        let reported = used + self.utilization_bias + self.utilization_noise * random.normal();
        Window {
            end,
            length: Span::from_seconds(60),
            revision: "7f8d9c".to_owned(),
            fewest_ready: size,
            most_ready: size,
            rollout: false,
            load: if saturated { Load::Saturated } else { Load::Utilization(reported.clamp(0.0, 1.0)) },
            throughput: self.capacity(f64::from(size)) * used * disturbed * noise,
            objective_met: used <= self.objective && disturbed >= 1.0,
        }
    }
}
