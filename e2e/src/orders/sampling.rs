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

/// Bears some looks that fail: a server that is slow for a moment does not end a course of minutes.
#[derive(Debug, Default)]
pub struct Patience(u32);

impl Patience {
    /// Looks that may fail one after the other.
    const MOST: u32 = 5;

    /// What was seen, or none where the look failed; the error of one failure too many.
    pub fn bear<T>(&mut self, seen: Result<T, OrdersError>) -> Result<Option<T>, OrdersError> {
        match seen {
            Ok(seen) => {
                self.0 = 0;
                Ok(Some(seen))
            }
            Err(error) if self.0 < Self::MOST => {
                self.0 += 1;
                println!("a look failed: {error}");
                Ok(None)
            }
            Err(error) => Err(error),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_looks_may_fail_and_not_many_one_after_the_other() {
        let failure = || Err::<u32, _>(OrdersError::other("slow"));
        let mut patience = Patience::default();
        for _ in 0..2 {
            for _ in 0..Patience::MOST {
                assert_eq!(patience.bear(failure()).unwrap(), None);
            }
            assert_eq!(patience.bear(Ok(3)).unwrap(), Some(3));
        }
        for _ in 0..Patience::MOST {
            assert!(patience.bear(failure()).is_ok());
        }
        assert!(patience.bear(failure()).is_err());
    }
}
