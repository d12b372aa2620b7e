//! Whether this process may write.

use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::time::Instant;

use super::call::{ApiError, ApiErrorKind};
use crate::operator::Clock;
use crate::time::Time;

/// Whether this process may write. Asked right before each write, since a process that was stopped does not notice.
#[derive(Clone, Debug, Default)]
pub struct Authority(Option<(Receiver<Option<Grant>>, Clock)>);

/// A leave to begin writes until a moment by two clocks: one that never jumps, and one that goes on while the machine
/// sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// By the clock that never jumps.
    pub until: Instant,
    /// By the wall clock.
    pub until_wall: Time,
}

impl Authority {
    /// Of a process that shares with nobody.
    pub const fn unshared() -> Self {
        Self(None)
    }

    /// As given and taken through the sender; not given at first.
    pub fn granted(clock: Clock) -> (Sender<Option<Grant>>, Self) {
        let (sender, receiver) = channel(None);
        (sender, Self(Some((receiver, clock))))
    }

    /// Whether a write may begin now.
    pub fn holds(&self) -> bool {
        let Some((grant, clock)) = &self.0 else { return true };
        grant.borrow().is_some_and(|grant| Instant::now() < grant.until && clock.now() < grant.until_wall)
    }

    /// An error that tells why nothing is written, unless a write may begin now.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.holds() {
            return Ok(());
        }
        Err(ApiError {
            kind: ApiErrorKind::NotLeading,
            message: "nothing was written: this process could not renew its lease, so another may lead"
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::api::{ConnectionBudgetStatus, ScalingPolicyStatus};
    use crate::cluster::testing::{Answer, server};
    use crate::cluster::{PolicyKey, Scales, write_budget_status, write_status};
    use crate::time::Span;

    #[tokio::test(start_paused = true)]
    async fn a_grant_ends_by_whichever_clock_is_ahead() {
        let wall = Time::from_seconds(1_790_000_000);
        let (give, authority) = Authority::granted(Clock::simulated(wall));
        assert!(!authority.holds() && Authority::unshared().holds());
        let until = Instant::now() + Duration::from_secs(9);
        give.send_replace(Some(Grant { until, until_wall: wall + Span::from_seconds(9) }));
        assert!(authority.holds());
        give.send_replace(Some(Grant { until, until_wall: wall }));
        assert!(!authority.holds(), "the machine slept");
        give.send_replace(Some(Grant { until, until_wall: wall + Span::from_seconds(99) }));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(authority.check().unwrap_err().kind, ApiErrorKind::NotLeading);
    }

    #[tokio::test]
    async fn a_process_that_may_not_write_sends_nothing() {
        let (client, log) = server(|_| Answer::Json(200, json!({})));
        let (_taken, authority) = Authority::granted(Clock::wall());
        let policy = PolicyKey { namespace: "shop".to_owned(), name: "web".to_owned() };
        let scales = Scales::new(client.clone(), authority.clone());
        let count = scales.write("apps/v1", "Deployment", "shop", "web", 9, "41").await.map(drop);
        let status = write_status(&client, &authority, &policy, &ScalingPolicyStatus::default()).await;
        let grants = ConnectionBudgetStatus::default();
        let grants = write_budget_status(&client, &authority, "db", "7", &grants).await.map(drop);
        for written in [count, status, grants] {
            assert_eq!(written.unwrap_err().kind, ApiErrorKind::NotLeading);
        }
        assert_eq!(log.all(), []);
    }
}
