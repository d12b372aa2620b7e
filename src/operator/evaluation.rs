//! One evaluation: observe, decide, act, report.

use std::sync::Arc;

use futures::future::join_all;

use super::budgets::{draws, sight};
use super::recalled::Recalled;
use super::record::{RECORD_VERSION, Record};
use super::report::Acted;
use super::task::PolicyTask;
use crate::api::{Coverage, Enforcement, Guard, Metric, PrometheusQuery, ScalingPolicySpec};
use crate::audit::{Flaw, Running, audit};
use crate::budget::Sight;
use crate::cluster::{ApiError, ApiErrorKind, Look, PolicyRecord, Uid, View};
use crate::control::{Decision, Drain, Observation, Policy, Target, TargetFault, TargetFaultKind};
use crate::prometheus::Evaluation;
use crate::signal::Reading;
use crate::time::{Span, Time};

/// Ages are asked at every so many evaluations; in between they are known well enough.
const AGE_EVERY: u64 = 4;
/// How often a decision is made anew when the workload changed while it was made.
const ATTEMPTS: u32 = 3;

/// A decision and what became of it.
pub(super) struct Evaluated {
    pub policy: Arc<Policy>,
    pub decision: Decision,
    pub acted: Acted,
    /// What the audit of the workload found; none if its manifest cannot be seen.
    pub flaws: Option<Vec<Flaw>>,
}

/// What is asked for each metric of a policy.
pub(super) fn questions(
    spec: &ScalingPolicySpec,
    ask_age: bool,
    newer_than: Option<Time>,
) -> Vec<Evaluation> {
    let question = |metric: &Metric| Evaluation {
        query: metric.prometheus.query.clone(),
        freshness_query: metric.freshness.query.clone(),
        max_age: Span::from_seconds(metric.freshness.max_age_seconds.into()),
        coverage: metric.coverage == Coverage::PerPod,
        ask_age,
        newer_than,
    };
    spec.metrics.iter().map(question).collect()
}

/// What is asked for each guard of a policy, and where.
fn guard_questions(
    spec: &ScalingPolicySpec,
    ask_age: bool,
    newer_than: Option<Time>,
) -> Vec<(&PrometheusQuery, Evaluation)> {
    let question = |guard: &Guard| Evaluation {
        query: guard.prometheus.query.clone(),
        freshness_query: guard.freshness.query.clone(),
        max_age: Span::from_seconds(guard.freshness.max_age_seconds.into()),
        coverage: false,
        ask_age,
        newer_than,
    };
    spec.guards.iter().map(|guard| (&guard.prometheus, question(guard))).collect()
}

/// What was read at one evaluation.
struct Readings {
    metrics: Vec<Reading>,
    guards: Vec<Reading>,
    slo: Vec<Reading>,
}

/// Growth under a limit on connections counts every pod that holds some; a watch may not have told of all. Nothing is
/// removed over a version that no watch has told of: it may have begun a rollout.
fn must_be_proven(policy: &Policy, decision: &Decision, behind: bool) -> bool {
    if decision.write < decision.from && decision.write.is_some() {
        return behind;
    }
    decision.write > decision.from
        && decision.write.is_some()
        && policy.connections.iter().any(|connections| connections.enforcement != Enforcement::Observe)
}

/// What is found in a workload whose manifest can be seen.
fn audited(
    policy: &Policy,
    target: &Target,
    manifest: Option<&[Flaw]>,
    drain: Option<Drain>,
) -> Option<Vec<Flaw>> {
    let Target::Seen(workload) = target else { return None };
    let (update, termination_grace) = (workload.update, workload.termination_grace);
    manifest.map(|manifest| audit(policy, Running { manifest, update, termination_grace, drain }))
}

impl PolicyTask {
    /// Evaluates the policy once. Tells whether a write failed that may succeed in a moment.
    pub(super) async fn evaluate(&mut self, record: &PolicyRecord) -> bool {
        let policy = match self.compiled(record) {
            Ok(policy) => policy,
            Err(fault) => {
                let context = self.context.clone();
                let _writing = context.writers.acquire().await;
                self.report_invalid(record, &fault).await;
                return false;
            }
        };
        let Ok(spec) = &record.spec else { return false };
        let now = self.context.clock.now();
        let gone = self.gone.clone();
        let readings = tokio::select! {
            () = gone.cancelled() => return false,
            readings = self.readings(record, spec, now) => readings,
        };
        // The semaphore is never closed; without a permit the writes would only be less bounded.
        let context = self.context.clone();
        let _writing = context.writers.acquire().await;
        if gone.is_cancelled() {
            return false;
        }
        let evaluated = self.decide_and_act(record, spec, &policy, readings).await;
        self.context.metrics.decided(evaluated.decision.reason);
        let again = matches!(&evaluated.acted, Acted::Failed(error) if error.kind.passes());
        self.report(record, evaluated).await;
        again
    }

    pub(super) fn compiled(&mut self, record: &PolicyRecord) -> Result<Arc<Policy>, String> {
        if let Some((generation, compiled)) = &self.state.compiled
            && *generation == record.generation
        {
            return compiled.clone();
        }
        let compiled = match &record.spec {
            Ok(spec) => Policy::compile(spec)
                .map(|policy| Arc::new(Policy { seed: record.uid.0, ..policy }))
                .map_err(|error| error.to_string()),
            Err(fault) => Err(fault.clone()),
        };
        self.state.compiled = Some((record.generation, compiled.clone()));
        compiled
    }

    /// Asks for all signals and guards at once.
    async fn readings(&mut self, record: &PolicyRecord, spec: &ScalingPolicySpec, now: Time) -> Readings {
        let ask_age = self.state.wants_age || self.state.evaluations.is_multiple_of(AGE_EVERY);
        self.state.evaluations += 1;
        let newer_than = self.state.asked.replace(now);
        let metrics = questions(spec, ask_age, newer_than);
        let guards = guard_questions(spec, ask_age, newer_than);
        let signals = &self.context.signals;
        let namespace = &record.key.namespace;
        let (metrics, guards, slo) = futures::join!(
            join_all(spec.metrics.iter().zip(&metrics).map(|(metric, question)| {
                signals.evaluate(&metric.prometheus.server, namespace, question, now)
            })),
            join_all(guards.iter().map(|(asked, question)| signals.evaluate(
                &asked.server,
                namespace,
                question,
                now
            ))),
            self.state.slo.read(signals.as_ref(), namespace, spec.slo.as_ref(), ask_age, now)
        );
        Readings { metrics, guards, slo }
    }

    /// Decides and writes. When the workload changed meanwhile, the decision is dropped with its memory and made anew.
    async fn decide_and_act(
        &mut self,
        record: &PolicyRecord,
        spec: &ScalingPolicySpec,
        policy: &Arc<Policy>,
        readings: Readings,
    ) -> Evaluated {
        let mut observation = Observation {
            readings: readings.metrics,
            target: Target::Unseen(TargetFault {
                kind: TargetFaultKind::Unavailable,
                message: String::new(),
            }),
            overrides: record.overrides.clone(),
            guards: readings.guards,
            shares: Vec::new(),
            scalability: self.samples(record, policy, self.context.clock.now()),
            lessons: self.lessons(record, policy, self.context.clock.now()),
            slo: readings.slo,
            forecasts: self.forecasts(record, policy, self.context.clock.now()),
            rivals: self.context.index.rivals(record),
        };
        let mut attempt = 1;
        // After a write, or when the watch turned out to be behind, the API server itself is asked.
        let mut look = if self.state.wrote { Look::Counted } else { Look::Watched };
        loop {
            let view = self.view(record, spec, look).await;
            observation.target = view.target;
            let now = self.context.clock.now();
            if let Some(target) = &record.target {
                observation.shares = self.context.budgets.shares(policy, target);
            }
            if let Target::Seen(workload) = &observation.target {
                self.recollect(record, policy, workload, now);
            }
            let (decision, mut memory) =
                (self.context.decide)(policy, &observation, self.state.memory.clone(), now);
            if look < Look::Proven && must_be_proven(policy, &decision, view.behind) {
                look = Look::Proven;
                continue;
            }
            self.claim(record, policy, &observation, &decision, view.uid);
            let acted =
                self.act(record, spec, policy, &decision, view.uid, view.resource_version.as_deref()).await;
            if attempt < ATTEMPTS
                && matches!(&acted, Acted::Failed(error) if error.kind == ApiErrorKind::Conflict)
            {
                attempt += 1;
                look = look.max(Look::Counted);
                continue;
            }
            let written = matches!(acted, Acted::Rescaled { .. });
            if written {
                memory.note_written();
            }
            self.record_decision(record, spec, &observation, &decision, written, now);
            if matches!(observation.target, Target::Seen(_)) {
                self.state.samples.taken();
                self.state.lessons.taken();
            }
            self.state.live_through(&observation, now, &decision.steps);
            self.state.memory = memory;
            self.state.first = false;
            self.state.departures = view.departures;
            self.state.wrote = acted != Acted::Nothing;
            self.state.wants_age = decision.wants_age;
            self.tell_of_recalls(record, &observation.shares, now);
            let flaws = audited(policy, &observation.target, view.flaws.as_deref(), decision.drain);
            return Evaluated { policy: policy.clone(), decision, acted, flaws };
        }
    }

    async fn view(&self, record: &PolicyRecord, spec: &ScalingPolicySpec, look: Look) -> View {
        let context = &self.context;
        let told = self.state.departures;
        let view = context.viewer.view(&context.scales, record, &spec.scale_target_ref, look, told).await;
        if let Some(error) = &view.error {
            context.metrics.api_failed("get scale", error.kind);
        }
        view
    }

    /// Tells the budgets what the policy asks for. A policy that leaves the workload to an older one asks for nothing.
    fn claim(
        &self,
        record: &PolicyRecord,
        policy: &Policy,
        observation: &Observation,
        decision: &Decision,
        uid: Option<Uid>,
    ) {
        let (Some(target), Some(uid), Some(footprint)) = (&record.target, uid, &decision.footprint) else {
            return;
        };
        let Target::Seen(workload) = &observation.target else { return };
        if observation.rivals.iter().any(|rival| rival.kind == "ScalingPolicy") {
            return;
        }
        let seen = sight(uid, workload.spec_replicas, footprint.beside, workload.pods.len());
        self.context.budgets.see(policy, target, footprint, seen);
    }

    async fn act(
        &self,
        record: &PolicyRecord,
        spec: &ScalingPolicySpec,
        policy: &Policy,
        decision: &Decision,
        uid: Option<Uid>,
        version: Option<&str>,
    ) -> Acted {
        let (Some(from), Some(to), Some(version)) = (decision.from, decision.write, version) else {
            return Acted::Nothing;
        };
        let growth = to > from && draws(policy);
        if let (true, Some(workload), Some(uid), Some(footprint)) =
            (growth, &record.target, uid, &decision.footprint)
        {
            let pods = decision.counts.map_or(0, |counts| counts.serving);
            let to = Sight { pods, ..sight(uid, to, footprint.beside, 0) };
            if let Err(refused) = self.context.budgets.begin(&self.context.index, workload, to) {
                return Acted::Failed(ApiError {
                    kind: ApiErrorKind::Conflict,
                    message: format!(
                        "the grant of budget {} fell to {} while growth to {} connections was decided",
                        refused.budget, refused.granted, refused.reach
                    ),
                });
            }
        }
        let acted = self.write(record, spec, from, to, version).await;
        if let (true, Some(workload)) = (growth, &record.target) {
            self.context.budgets.end(workload, &acted);
        }
        acted
    }

    async fn write(
        &self,
        record: &PolicyRecord,
        spec: &ScalingPolicySpec,
        from: u32,
        to: u32,
        version: &str,
    ) -> Acted {
        let target = &spec.scale_target_ref;
        let written = self
            .context
            .scales
            .write(&target.api_version, &target.kind, &record.key.namespace, &target.name, to, version)
            .await;
        self.context.metrics.scale_written(written.as_ref().map(|_| ()).map_err(|error| error.kind));
        match written {
            Ok(_) => Acted::Rescaled { from, to },
            Err(error) => {
                self.context.metrics.api_failed("patch scale", error.kind);
                Acted::Failed(error)
            }
        }
    }

    fn record_decision(
        &mut self,
        record: &PolicyRecord,
        spec: &ScalingPolicySpec,
        observation: &Observation,
        decision: &Decision,
        written: bool,
        now: Time,
    ) {
        let recollection = self.state.recollection.take();
        let Some(recorder) = &self.context.recorder else { return };
        let recalled = if self.state.first { self.state.recalled.clone() } else { Recalled::default() };
        let line = Record {
            version: RECORD_VERSION,
            policy: record.key.to_string(),
            first: self.state.first,
            recalled: recalled.changes,
            reversals: recalled.reversals,
            start_up: recalled.start_up,
            drain: recalled.drain,
            target_percent: recalled.target_percent,
            zones: recalled.zones,
            scalability: recalled.scalability,
            guards: recalled.guards,
            bottleneck_moved: recalled.bottleneck_moved,
            recollection,
            now,
            spec: spec.clone(),
            observation: observation.clone(),
            decision: decision.clone(),
            seed: record.uid.0,
            written,
        };
        if !recorder.record(&record.key, &line) {
            self.context.metrics.unrecorded();
        }
    }
}
