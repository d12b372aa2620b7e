//! Bounds of the peak by profile likelihood: all sizes at which a peak fits not significantly worse than the best.
//!
//! Searched in γ = 1/N*², where "no peak" is 0 and nothing special. Unlike the delta method this needs no curvature at
//! the optimum, holds where a coefficient is at its bound, and gives a lower bound where no peak was found.

use super::fit::Fitted;
use super::matrix::Vector;
use super::regression::Regression;
use super::student::upper_quantile;

/// How exactly a bound of γ is found, relative to it; of N* half that.
const PRECISION: f64 = 1e-4;

/// The signed distance in standard errors less the quantile, along γ.
struct Profile<'a> {
    regression: &'a Regression,
    least: f64,
    variance: f64,
    quantile: f64,
    /// Where the last search ended: the next one starts there.
    last: Vector,
}

impl Fitted {
    /// The smallest size at which the peak can be, at least 1; `tail` is the chance that it is below.
    pub(super) fn peak_at_least(&self, tail: f64) -> f64 {
        let regression = self.regression();
        let mut profile = self.profile(tail);
        let most = regression.inverse_peak_of(1.0);
        let mut inside = self.inverse_peak().min(most);
        // As far again as the last step was, until it is too far.
        let mut outside = if inside > 0.0 { inside * 1.2 } else { 0.05_f64.min(most) };
        while profile.excess(outside) < 0.0 {
            if outside >= most {
                return 1.0;
            }
            inside = outside;
            outside = (outside * 2.0).min(most);
        }
        regression.peak_of(profile.crossing(inside, outside)).max(1.0)
    }

    /// The largest size at which the peak can be; none where there may be no peak. `tail` is the chance that it is above.
    pub(super) fn peak_at_most(&self, tail: f64) -> Option<f64> {
        let mut profile = self.profile(tail);
        let inside = self.inverse_peak();
        if inside <= 0.0 || profile.excess(0.0) <= 0.0 {
            return None;
        }
        let crossing = profile.crossing(inside, 0.0);
        (crossing > 0.0).then(|| self.regression().peak_of(crossing))
    }

    fn profile(&self, tail: f64) -> Profile<'_> {
        Profile {
            regression: self.regression(),
            least: self.least_sum(),
            variance: self.variance(),
            quantile: upper_quantile(tail, self.fit.degrees_of_freedom),
            last: self.coefficients(),
        }
    }

    /// The fitted γ, scaled; 0 without a peak.
    fn inverse_peak(&self) -> f64 {
        self.fit.peak.map_or(0.0, |peak| self.regression().inverse_peak_of(peak.size))
    }
}

impl Profile<'_> {
    fn excess(&mut self, inverse_peak: f64) -> f64 {
        let found = self.regression.best_at(inverse_peak, self.last);
        self.last = found.at;
        ((found.sum - self.least).max(0.0) / self.variance).sqrt() - self.quantile
    }

    /// Where the excess is 0 between `inside` (below 0) and `outside` (above 0), on the outer side.
    fn crossing(&mut self, mut inside: f64, mut outside: f64) -> f64 {
        let (mut below, mut above) = (self.excess(inside), self.excess(outside));
        let mut last_side = None;
        for _ in 0..60 {
            if (outside - inside).abs() <= PRECISION * outside.max(inside) {
                break;
            }
            // The root of the chord (regula falsi); an end that stays twice counts half (Illinois), so that both close in.
            let share = (below / (below - above)).clamp(0.001, 0.999);
            let middle = inside + share * (outside - inside);
            let excess = self.excess(middle);
            let moves_inside = excess < 0.0;
            let stays = last_side == Some(moves_inside);
            if moves_inside {
                (inside, below) = (middle, excess);
                above *= if stays { 0.5 } else { 1.0 };
            } else {
                (outside, above) = (middle, excess);
                below *= if stays { 0.5 } else { 1.0 };
            }
            last_side = Some(moves_inside);
        }
        outside
    }
}
