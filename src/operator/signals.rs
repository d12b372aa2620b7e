//! Where readings come from.

use futures::future::BoxFuture;

use crate::prometheus::{Evaluation, Servers, Statistics};
use crate::signal::Reading;
use crate::time::Time;

/// Where readings come from: the Prometheus servers, or a simulation of them.
pub trait Signals: Send + Sync + 'static {
    /// Asks the server of this name for one signal of a policy in `namespace`, as of `at`. Whatever goes wrong is in
    /// the reading, and nothing takes for ever.
    fn evaluate<'a>(
        &'a self,
        server: &'a str,
        namespace: &'a str,
        evaluation: &'a Evaluation,
        at: Time,
    ) -> BoxFuture<'a, Reading>;

    /// What has been counted since the start.
    fn statistics(&self) -> Statistics {
        Statistics::default()
    }
}

impl Signals for Servers {
    fn evaluate<'a>(
        &'a self,
        server: &'a str,
        namespace: &'a str,
        evaluation: &'a Evaluation,
        at: Time,
    ) -> BoxFuture<'a, Reading> {
        Box::pin(Self::evaluate(self, server, namespace, evaluation, at))
    }

    fn statistics(&self) -> Statistics {
        Self::statistics(self)
    }
}
