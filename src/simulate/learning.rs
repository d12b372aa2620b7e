//! What the operator would read of a simulated service to fit its scalability law.

use super::service::Served;
use crate::control::{Policy, ScalabilityLaw, ScalabilitySample, ScalabilityView};
use crate::number::from_count;
use crate::time::{Span, Time};

/// Samples of a service's throughput, size and load, evenly spaced.
#[derive(Clone, Debug)]
pub(super) struct Learning {
    each: Span,
    next: Time,
    elapsed: f64,
    answered: f64,
    ready: f64,
    utilization: f64,
    p99_latency: f64,
    samples: Vec<ScalabilitySample>,
    /// The law's objective is that the latency stays good.
    with_objective: bool,
}

impl Learning {
    /// For a policy that has its law fitted by utilization; none for others.
    pub(super) fn of(policy: &Policy, now: Time) -> Option<Self> {
        let ScalabilityLaw::Fitted(rules) = &policy.scalability.as_ref()?.law else { return None };
        let each = rules.step();
        Some(Self {
            each,
            next: now + each,
            elapsed: 0.0,
            answered: 0.0,
            ready: 0.0,
            utilization: 0.0,
            p99_latency: 0.0,
            samples: Vec::new(),
            with_objective: rules.queries.objective.is_some(),
        })
    }

    /// Takes note of a step that ends `now`, and had so many Ready pods.
    pub(super) fn observe(&mut self, served: &Served, ready: u32, step: Span, now: Time) {
        let seconds = step.seconds();
        self.elapsed += seconds;
        self.answered += served.answered;
        self.ready += from_count(ready) * seconds;
        self.utilization += served.utilization * seconds;
        self.p99_latency = self.p99_latency.max(served.p99_latency);
        if now < self.next {
            return;
        }
        let elapsed = self.elapsed.max(f64::MIN_POSITIVE);
        self.samples.push(ScalabilitySample {
            at: self.next,
            throughput: Some(self.answered / elapsed),
            ready_replicas: Some(self.ready / elapsed),
            utilization: Some(self.utilization / elapsed),
            saturation: None,
            objective: self.with_objective.then_some(self.p99_latency),
        });
        self.next = self.next + self.each;
        (self.elapsed, self.answered, self.ready, self.utilization, self.p99_latency) =
            (0.0, 0.0, 0.0, 0.0, 0.0);
    }

    /// What has come since it was taken last.
    pub(super) fn take(&mut self) -> ScalabilityView {
        ScalabilityView { samples: std::mem::take(&mut self.samples), complete: true, fault: None }
    }
}
