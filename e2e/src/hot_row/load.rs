//! Requests that arrive at both sides at the same moments, whether or not those before were answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::shop::SERVICE;
use crate::orders::fleet::Fleet;
use crate::random::Random;

/// The rate at which requests arrive; none arrive any more once it is dropped.
#[derive(Debug)]
pub struct Load {
    rate: watch::Sender<f64>,
    task: JoinHandle<()>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Load {
    /// Nothing arrives yet. The seed decides when requests arrive.
    pub fn start(fleet: Arc<Fleet>, sides: [&'static str; 2], seed: u64) -> Self {
        let (rate, rates) = watch::channel(0.0);
        Self { rate, task: tokio::spawn(arrive(fleet, sides, rates, Random::seeded(seed))) }
    }

    /// From now on so many requests a second arrive at each side, independently of each other (Poisson).
    pub fn set(&self, rate: f64) {
        self.rate.send_if_modified(|present| {
            let changes = (*present - rate).abs() > f64::EPSILON;
            *present = rate;
            changes
        });
    }

    /// How many requests a second arrive.
    pub fn rate(&self) -> f64 {
        *self.rate.borrow()
    }
}

async fn arrive(
    fleet: Arc<Fleet>,
    sides: [&'static str; 2],
    mut rates: watch::Receiver<f64>,
    mut random: Random,
) {
    let mut due = Instant::now();
    loop {
        let rate = *rates.borrow_and_update();
        if rate <= 0.0 {
            if rates.changed().await.is_err() {
                return;
            }
            due = Instant::now();
            continue;
        }
        // Memoryless: an arrival that a new rate overtakes may be drawn anew.
        let next = due + Duration::from_secs_f64(-(1.0 - random.unit()).ln() / rate);
        tokio::select! {
            changed = rates.changed() => {
                if changed.is_err() {
                    return;
                }
                due = Instant::now();
            }
            () = sleep_until(next) => {
                due = next;
                for side in sides {
                    fleet.ask(side, SERVICE);
                }
            }
        }
    }
}
