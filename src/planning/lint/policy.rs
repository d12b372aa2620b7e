//! Rules about policies and budgets.

use promql_parser::parser::{Expr, parse};

use super::{Document, Finding, Level, World};
use crate::api::{Enforcement, Metric, Mode, Role, ScalingPolicy, SelectPolicy, TargetKind};
use crate::audit::carries;
use crate::ceiling::connections::RolloutShape;
use crate::control::{ConnectionSource, CountOrPercent, Policy, UpdateStrategy};
use crate::time::Span;

/// Shorter than this, a rate sees too few samples at the usual scrape intervals.
const SHORTEST_RANGE_SECONDS: u64 = 60;

pub(super) fn look(world: &mut World) {
    let mut findings = Vec::new();
    for document in &world.policies {
        look_at(document, &mut findings);
    }
    for (at, document) in world.policies.iter().enumerate() {
        let target = |document: &Document<ScalingPolicy>| {
            let target = &document.object.spec.scale_target_ref;
            (document.object.metadata.namespace.clone(), target.kind.clone(), target.name.clone())
        };
        if world.policies.iter().take(at).any(|earlier| target(earlier) == target(document)) {
            findings.push(document.finding(
                "two-autoscalers",
                Level::Error,
                "scaleTargetRef",
                "another policy scales the same workload: only the older one acts",
                "remove one of both, and put all metrics into the other",
            ));
        }
    }
    for document in &world.budgets {
        let spec = &document.object.spec;
        if spec.reserved == 0 {
            findings.push(document.finding(
                "no-reserve",
                Level::Warning,
                "spec",
                "nothing is reserved: migrations, jobs and a person who must look into the database find no connection left",
                "reserved: 15, or 5 % of the limit",
            ));
        }
    }
    world.findings.extend(findings);
}

fn look_at(document: &Document<ScalingPolicy>, findings: &mut Vec<Finding>) {
    let spec = &document.object.spec;
    match Policy::compile(spec) {
        Err(error) => {
            for fault in error.0 {
                findings.push(document.finding(
                    "policy-invalid",
                    Level::Error,
                    fault.split(['.', ':', ' ', '[']).next().unwrap_or_default(),
                    format!("the policy is refused: {fault}"),
                    "see the field named",
                ));
            }
        }
        Ok(policy) => ceilings(document, &policy, findings),
    }
    for metric in &spec.metrics {
        look_at_metric(document, metric, findings);
    }
    let mut add = |rule, level, anchor: &str, why: &str, instead: &str| {
        findings.push(document.finding(rule, level, anchor, why, instead));
    };
    if spec.min_replicas == 1 {
        add(
            "one-replica",
            Level::Warning,
            "minReplicas",
            "at one replica the loss of a node, or a rollout that goes wrong, takes the whole service down",
            "minReplicas: 2 or more, over two zones",
        );
    }
    let leading = spec.metrics.iter().filter(|metric| metric.role == Role::Leading).count();
    if leading == 1 && spec.metrics.iter().all(|metric| metric.role == Role::Leading) {
        add(
            "single-signal",
            Level::Note,
            "metrics",
            "one signal alone is blind where another resource saturates first",
            "add CPU beside the request rate, or a latency with role: SafetyNet",
        );
    }
    if spec.headroom.percent == 0 && spec.headroom.replicas == 0 {
        add(
            "no-headroom",
            Level::Note,
            "spec",
            "without headroom a burst shorter than the start-up time, or the loss of one pod at the peak, is not carried",
            "headroom: {replicas: 2}, or a target at 70 to 80 % of what a pod carries",
        );
    }
    if spec.fallback.is_none() {
        add(
            "no-fallback",
            Level::Note,
            "spec",
            "when the metrics are gone the count is held where it is, however low that happens to be",
            "fallback: {afterSeconds: 300, replicas: …}, with the count of a usual peak",
        );
    }
    if spec.mode != Mode::Active {
        add(
            "not-active",
            Level::Note,
            "mode",
            "the policy does not act: its mode is not Active",
            "mode: Active, once what it recommends is right",
        );
    }
    if spec.emergency_max.as_ref().is_some_and(|cap| cap.until.is_none())
        || spec.frozen.as_ref().is_some_and(|frozen| frozen.until.is_none())
    {
        add(
            "no-expiry",
            Level::Warning,
            if spec.frozen.is_some() { "frozen" } else { "emergencyMax" },
            "what was set in an emergency and has no end is forgotten, and found in the next one",
            "until: with a moment, for example 2026-12-01T06:00:00Z",
        );
    }
    behavior(document, findings);
}

fn behavior(document: &Document<ScalingPolicy>, findings: &mut Vec<Finding>) {
    let behavior = document.object.spec.behavior.clone().unwrap_or_default();
    let down = behavior.scale_down.unwrap_or_default();
    if down.stabilization_window_seconds.is_some_and(|seconds| seconds < 60) {
        findings.push(document.finding(
            "short-scale-down-window",
            Level::Warning,
            "scaleDown",
            "below a minute of stabilization noise alone removes pods that are wanted back at once: the count flaps",
            "scaleDown: {stabilizationWindowSeconds: 300}",
        ));
    }
    if down.select_policy == Some(SelectPolicy::Disabled) {
        findings.push(document.finding(
            "never-scales-in",
            Level::Note,
            "Disabled",
            "demand never removes a pod: after each peak its count stays and is paid for",
            "selectPolicy: Max with a gentle policy, for example {type: Percent, value: 10, periodSeconds: 60}",
        ));
    }
    if behavior.scale_up.unwrap_or_default().stabilization_window_seconds.is_some_and(|seconds| seconds > 60)
    {
        findings.push(document.finding(
            "slow-scale-up",
            Level::Warning,
            "scaleUp",
            "growth waits for a whole stabilization window while users wait: a signal of a minute's mean is smooth already",
            "scaleUp: {stabilizationWindowSeconds: 0}",
        ));
    }
}

fn look_at_metric(document: &Document<ScalingPolicy>, metric: &Metric, findings: &mut Vec<Finding>) {
    let name = &metric.name;
    let query = &metric.prometheus.query;
    let anchor = format!("name: {name}");
    let mut add = |rule, level, why: String, instead: &str| {
        findings.push(document.finding(rule, level, &anchor, why, instead));
    };
    match parse(query) {
        Err(error) => add(
            "query-invalid",
            Level::Error,
            format!("the query of {name} is not PromQL: {error}"),
            "try it in Prometheus first",
        ),
        Ok(expression) => {
            if let Some(seconds) =
                shortest_range(&expression).filter(|seconds| *seconds < SHORTEST_RANGE_SECONDS)
            {
                add(
                    "short-range",
                    Level::Warning,
                    format!(
                        "{name} looks at {seconds} s: with a scrape each 15 or 30 s one missed scrape leaves a gap"
                    ),
                    "a range of four scrape intervals, for example [1m]",
                );
            }
        }
    }
    if query.contains("or vector(0)") {
        add(
            "made-up-zero",
            Level::Warning,
            format!("{name} ends in `or vector(0)`: when the metric is gone it says that there is no load"),
            "leave it out: a missing metric is told apart from 0, and holds the count",
        );
    }
    let lagging =
        query.contains("histogram_quantile") || query.contains("duration") || query.contains("latency");
    if metric.role == Role::Leading && lagging {
        add(
            "lagging-leading",
            Level::Warning,
            format!(
                "{name} looks like a latency and leads: it rises only once users already wait, and a slow database would be fed more pods"
            ),
            "role: SafetyNet, and a rate, in-flight requests or CPU to lead",
        );
    }
    if metric.target.kind == TargetKind::Utilization
        && metric.target.average_utilization.is_some_and(|percent| percent > 80)
    {
        add(
            "target-too-high",
            Level::Warning,
            format!(
                "{name} aims above 80 %: beyond it the line in front of each pod grows steeply, and nothing is left for the time that pods take to start"
            ),
            "averageUtilization: 70, or 80 where pods start within seconds",
        );
    }
}

/// The shortest range that a query looks at, in seconds.
fn shortest_range(expression: &Expr) -> Option<u64> {
    match expression {
        Expr::MatrixSelector(selector) => Some(selector.range.as_secs()),
        Expr::Aggregate(aggregate) => shortest_range(&aggregate.expr),
        Expr::Unary(unary) => shortest_range(&unary.expr),
        Expr::Paren(paren) => shortest_range(&paren.expr),
        Expr::Subquery(subquery) => shortest_range(&subquery.expr),
        Expr::Binary(binary) => {
            [shortest_range(&binary.lhs), shortest_range(&binary.rhs)].into_iter().flatten().min()
        }
        Expr::Call(call) => call.args.args.iter().filter_map(|argument| shortest_range(argument)).min(),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::VectorSelector(_) | Expr::Extension(_) => {
            None
        }
    }
}

fn ceilings(document: &Document<ScalingPolicy>, policy: &Policy, findings: &mut Vec<Finding>) {
    if policy.connections.is_empty() {
        findings.push(document.finding(
            "no-ceiling",
            Level::Warning,
            "maxReplicas",
            format!(
                "no connection ceiling: {} replicas, and as many again in a rollout, open what their pools hold, and the database decides who fails",
                policy.max
            ),
            "ceilings: {connections: [{name: …, budgetRef: {name: …}, perPod: …}]}",
        ));
    }
    let shape = RolloutShape {
        update: UpdateStrategy::RollingUpdate {
            max_surge: CountOrPercent::Percent(25),
            max_unavailable: CountOrPercent::Percent(25),
        },
        termination_grace: Span::from_seconds(30),
        drain: None,
        start_up: None,
    };
    for connections in &policy.connections {
        if !matches!(connections.limit, ConnectionSource::Inline { .. }) {
            continue;
        }
        findings.extend(carries(connections, policy, &shape).map(|flaw| document.flaw(&flaw)));
        if connections.enforcement == Enforcement::Observe {
            findings.push(document.finding(
                "ceiling-observed",
                Level::Note,
                &format!("name: {}", connections.name),
                format!("the ceiling of {} is only reported", connections.name),
                "enforcement: Enforce, once it is right",
            ));
        }
    }
}
