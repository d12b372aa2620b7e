//! Whether the operator is alive, and whether it can do its work.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::WatchHealth;

/// The loop ticks every few seconds; silence for this long is death.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether the operator is alive, and whether it can do its work.
#[derive(Default)]
pub struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    ticked: Option<Instant>,
    waiting_for: Option<String>,
    watches: Option<WatchHealth>,
    stopping: bool,
}

impl Health {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop is alive.
    pub fn tick(&self) {
        self.state().ticked = Some(Instant::now());
    }

    /// The operator cannot begin before `what` is there.
    pub fn wait_for(&self, what: String) {
        self.state().waiting_for = Some(what);
    }

    /// The operator looks at the cluster through these watches.
    pub fn watching(&self, watches: WatchHealth) {
        let mut state = self.state();
        state.watches = Some(watches);
        state.waiting_for = None;
    }

    /// The operator stops.
    pub fn stopping(&self) {
        self.state().stopping = true;
    }

    /// Why the operator should be restarted, if it should.
    pub fn dead(&self) -> Option<String> {
        let silent = self.state().ticked?.elapsed();
        (silent > SILENCE).then(|| format!("the loop has been silent for {} s", silent.as_secs()))
    }

    /// Why the operator cannot do its work now, if it cannot.
    pub fn unready(&self) -> Option<String> {
        let state = self.state();
        if state.stopping {
            return Some("stopping".to_owned());
        }
        if let Some(what) = &state.waiting_for {
            return Some(format!("waiting for {what}"));
        }
        let Some(watches) = &state.watches else { return Some("starting".to_owned()) };
        let unsynced = watches.unsynced();
        if !unsynced.is_empty() {
            return Some(format!("not done yet: {}", unsynced.join(", ")));
        }
        watches.blind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_loop_is_dead_and_a_starting_one_is_not() {
        let health = Health::default();
        assert_eq!(health.dead(), None);
        health.tick();
        tokio::time::advance(SILENCE).await;
        assert_eq!(health.dead(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(health.dead().unwrap().contains("31 s"));
    }

    #[test]
    fn readiness_says_what_is_missing() {
        let health = Health::default();
        assert_eq!(health.unready().unwrap(), "starting");
        health.wait_for("the custom resource definition".to_owned());
        assert_eq!(health.unready().unwrap(), "waiting for the custom resource definition");
        health.stopping();
        assert_eq!(health.unready().unwrap(), "stopping");
    }
}
