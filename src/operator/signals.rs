//! Where readings come from.

use futures::future::BoxFuture;

use crate::prometheus::{Evaluation, Servers, Statistics};
use crate::signal::{Moments, Reading};
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

    /// What [`Self::evaluate`] would have read at each of the `moments`, all of them past, in their order; or a sentence
    /// that says why that cannot be known. Must end within a bound, and must not delay what is asked about the present.
    fn history<'a>(
        &'a self,
        server: &'a str,
        namespace: &'a str,
        evaluation: &'a Evaluation,
        moments: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>>;

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

    fn history<'a>(
        &'a self,
        server: &'a str,
        namespace: &'a str,
        evaluation: &'a Evaluation,
        moments: Moments,
    ) -> BoxFuture<'a, Result<Vec<Reading>, String>> {
        Box::pin(Self::history(self, server, namespace, evaluation, moments))
    }

    fn statistics(&self) -> Statistics {
        Self::statistics(self)
    }
}
