//! Something that is looked at again and again while a course lasts.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use super::OrdersError;

/// What was seen so far.
#[derive(Debug)]
pub struct Samples<S>(Arc<Mutex<Vec<S>>>);

impl<S> Samples<S> {
    /// Adds what was seen.
    pub fn push(&self, sample: S) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
    }
}

/// Looks until it is ended.
#[derive(Debug)]
pub struct Sampling<S> {
    samples: Samples<S>,
    task: JoinHandle<OrdersError>,
}

impl<S> Drop for Sampling<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<S: Send + 'static> Sampling<S> {
    /// Begins to look: `watch` adds to the samples for as long as it can.
    pub fn start<W>(watch: impl FnOnce(Samples<S>) -> W) -> Self
    where
        W: Future<Output = Result<Infallible, OrdersError>> + Send + 'static,
    {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let watching = watch(Samples(Arc::clone(&samples)));
        let task = tokio::spawn(async move {
            match watching.await {
                Ok(never) => match never {},
                Err(error) => error,
            }
        });
        Self { samples: Samples(samples), task }
    }

    /// What was seen; an error if it could not be looked at to the end.
    pub async fn end(mut self) -> Result<Vec<S>, OrdersError> {
        if self.task.is_finished() {
            return Err((&mut self.task).await.unwrap_or_else(OrdersError::other));
        }
        Ok(std::mem::take(&mut *self.samples.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
