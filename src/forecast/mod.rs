//! What load will do next, by what it did on the days before: a seasonal forecast of need, its upper quantile, and how far
//! forecasts of the last day were off.
//!
//! Pure: told the past of a metric as replicas, asked now and then for a fit. The future that comes of it is an
//! [`Outlook`], which says itself whether it may be trusted.

mod accuracy;
mod model;
mod outlook;
mod past;
mod season;
mod state;

use crate::time::Span;

/// From one fit to the next.
pub const REFIT: Span = Span::from_seconds(3600);

pub use accuracy::{Accuracy, Verdict};
pub use model::{Forecaster, Model, Mstl, SeasonalNaive};
pub use outlook::{Outlook, Peak, Standing, Unforeseen, UnforeseenKind};
pub use past::STEP;
pub use season::{LONGEST_SEASON, SHORTEST_SEASON};
pub use state::{ForecastRules, ForecastState};
