//! How long something lasts.

use tokio::time::Duration;

use crate::random::Random;

/// A length of time, fixed or drawn by the seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// The same each time.
    Always(Duration),
    /// Anything between two lengths, each as likely.
    Between(Duration, Duration),
}

impl Lasting {
    /// The next length.
    pub fn draw(self, random: &mut Random) -> Duration {
        match self {
            Self::Always(duration) => duration,
            Self::Between(least, most) => least + most.saturating_sub(least).mul_f64(random.unit()),
        }
    }
}
