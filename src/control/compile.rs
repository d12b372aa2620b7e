//! From the spec that a user wrote to the policy that `decide` reads.

mod forecast;
mod guards;
mod schedules;
mod zones;

use super::headroom::CalibratedHeadroom;
use super::policy::{
    Compat, ConnectionSource, Connections, Fallback, FitRules, Held, LeadCompensation, MaxConcurrent, Policy,
    PolicyError, Rate, Rules, Scalability, ScalabilityLaw, Signal, WarmUp,
};
use super::slo::Slo;
use crate::api::{
    self, Direction, HeadroomEnforcement, Mode, PolicyKind, Quantity, Role, ScalingPolicySpec, TargetKind,
};
use crate::ceiling::scalability::Coefficients;
use crate::time::{Span, Time};

/// HPA's default tolerance, in both directions.
const DEFAULT_TOLERANCE: f64 = 0.1;
/// HPA's default scale-down stabilization window.
const DEFAULT_SCALE_DOWN_WINDOW: Span = Span::from_seconds(300);
/// HPA's default rate period.
const DEFAULT_PERIOD: Span = Span::from_seconds(15);

impl Policy {
    /// Reads a spec. What the API server's rules refuse is refused here as well, for policies that never met one.
    pub fn compile(spec: &ScalingPolicySpec) -> Result<Self, PolicyError> {
        let mut faults = Faults::default();
        let behavior = spec.behavior.clone().unwrap_or_default();
        let gradual = behavior.scale_down.as_ref().is_none_or(|rules| rules.policies.is_none());
        let scale_up = faults.scale_up_rules(behavior.scale_up.unwrap_or_default());
        let scale_down = faults.scale_down_rules(behavior.scale_down.unwrap_or_default());
        let signals = spec
            .metrics
            .iter()
            .enumerate()
            .map(|(at, metric)| faults.signal(at, metric, &scale_up, &scale_down))
            .collect();
        faults.check_bounds(spec);
        faults.check_names(spec);
        let ceilings = spec.ceilings.clone().unwrap_or_default();
        let zones = faults.zones(&spec.headroom);
        let declared_headroom = 1.0 + f64::from(spec.headroom.percent) / 100.0;
        let policy = Self {
            compat: Compat::None,
            min: spec.min_replicas,
            max: spec.max_replicas,
            polling_interval: Span::from_seconds(spec.polling_interval.into()),
            mode: spec.mode,
            frozen: spec
                .frozen
                .as_ref()
                .map(|frozen| held(frozen.replicas, frozen.until.as_ref(), frozen.reason.as_ref())),
            emergency_max: spec
                .emergency_max
                .as_ref()
                .map(|cap| held(cap.replicas, cap.until.as_ref(), cap.reason.as_ref())),
            scale_up_paused: spec.paused.contains(&Direction::ScaleUp),
            scale_down_paused: spec.paused.contains(&Direction::ScaleDown),
            signals,
            scale_up,
            scale_down,
            gradual,
            seed: 0,
            scale_up_half_life: Span::from_seconds(spec.smoothing.scale_up_half_life_seconds.into()),
            scale_down_half_life: Span::from_seconds(spec.smoothing.scale_down_half_life_seconds.into()),
            warm_up: WarmUp {
                source: spec.warm_up.source,
                declared: Span::from_seconds(spec.warm_up.seconds.into()),
                ramp: spec.warm_up.ramp,
                max_concurrent: faults.max_concurrent(spec.warm_up.max_concurrent.as_ref()),
            },
            headroom_factor: zones.map_or(declared_headroom, |zones| zones.factor().max(declared_headroom)),
            declared_headroom,
            headroom_replicas: spec.headroom.replicas,
            survive_zones: spec.headroom.survive_zones,
            zones,
            calibrated: faults.calibrated(&spec.headroom.calibrated),
            lead_compensation: LeadCompensation {
                enforced: spec.headroom.lead_compensation.enforcement == HeadroomEnforcement::Enforce,
                most: f64::from(spec.headroom.lead_compensation.max_percent) / 100.0,
            },
            slo: spec.slo.as_ref().map(|slo| faults.slo(slo)),
            connections: ceilings
                .connections
                .iter()
                .map(|ceiling| faults.connections(ceiling, spec.min_replicas))
                .collect(),
            scalability: ceilings.scalability.as_ref().map(|ceiling| faults.scalability(ceiling)),
            guards: faults.guards(spec),
            schedules: faults.schedules(spec),
            forecast: faults.forecast(spec),
            fallback: spec.fallback.as_ref().map(|fallback| Fallback {
                after: Span::from_seconds(fallback.after_seconds.into()),
                behavior: fallback.behavior,
                replicas: fallback.replicas,
            }),
        };
        if faults.0.is_empty() { Ok(policy) } else { Err(PolicyError(faults.0)) }
    }
}

fn held(
    replicas: u32,
    until: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    reason: Option<&String>,
) -> Held {
    Held {
        replicas,
        until: until.map(|time| Time::from_millis(time.0.as_millisecond())),
        reason: reason.cloned(),
    }
}

/// Collects what is wrong, so that a person reads all of it at once.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn require(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }

    fn quantity(
        &mut self,
        field: &str,
        quantity: &Quantity,
        accept: impl Fn(f64) -> bool,
        instead: &str,
    ) -> f64 {
        match quantity.value() {
            Ok(value) if accept(value) => value,
            Ok(_) => {
                self.0.push(format!("{field} is {quantity}: {instead}"));
                1.0
            }
            Err(error) => {
                self.0.push(format!("{field}: {error}"));
                1.0
            }
        }
    }

    fn calibrated(&mut self, calibrated: &api::CalibratedHeadroom) -> CalibratedHeadroom {
        let unserved = self.quantity(
            "headroom.calibrated.unservedPercent",
            &calibrated.unserved_percent,
            |percent| percent > 0.0 && percent <= 10.0,
            "write a percentage of the load, above 0 and at most 10, for example \"0.05\"",
        );
        CalibratedHeadroom {
            enforced: calibrated.enforcement == HeadroomEnforcement::Enforce,
            unserved: unserved / 100.0,
            most: f64::from(calibrated.max_percent) / 100.0,
        }
    }

    fn slo(&mut self, slo: &api::Slo) -> Slo {
        let objective = self.quantity(
            "slo.objectivePercent",
            &slo.objective_percent,
            |percent| (50.0..100.0).contains(&percent),
            "write the percentage of good events that is aimed at, at least 50 and below 100, for example \"99.9\"",
        );
        self.require(slo.prometheus.query.contains(api::WINDOW), || {
            "slo.prometheus.query is asked about several windows: write $window where the range goes"
                .to_owned()
        });
        let bounds = slo.target_percent;
        self.require((20..=100).contains(&bounds.min) && (100..=150).contains(&bounds.max), || {
            format!(
                "slo.targetPercent is {} to {}: min lies between 20 and 100, max between 100 and 150",
                bounds.min, bounds.max
            )
        });
        Slo {
            budget: 1.0 - objective / 100.0,
            least: f64::from(bounds.min) / 100.0,
            most: f64::from(bounds.max) / 100.0,
            enforced: slo.enforcement == HeadroomEnforcement::Enforce,
            max_age: Span::from_seconds(slo.freshness.max_age_seconds.into()),
        }
    }

    fn scale_up_rules(&mut self, rules: api::ScalingRules) -> Rules {
        let default = vec![
            Rate { kind: PolicyKind::Pods, value: 4, period: DEFAULT_PERIOD },
            Rate { kind: PolicyKind::Percent, value: 100, period: DEFAULT_PERIOD },
        ];
        self.rules("behavior.scaleUp", rules, Span::ZERO, default, |tolerance| tolerance >= 0.0)
    }

    fn scale_down_rules(&mut self, rules: api::ScalingRules) -> Rules {
        let default = vec![Rate { kind: PolicyKind::Percent, value: 100, period: DEFAULT_PERIOD }];
        self.rules("behavior.scaleDown", rules, DEFAULT_SCALE_DOWN_WINDOW, default, |tolerance| {
            (0.0..1.0).contains(&tolerance)
        })
    }

    fn rules(
        &mut self,
        field: &str,
        rules: api::ScalingRules,
        window: Span,
        policies: Vec<Rate>,
        accept: impl Fn(f64) -> bool,
    ) -> Rules {
        let tolerance = rules.tolerance.map_or(DEFAULT_TOLERANCE, |tolerance| {
            self.quantity(
                &format!("{field}.tolerance"),
                &tolerance,
                accept,
                "write a share of the count, for example \"0.1\"",
            )
        });
        let declared = rules.policies.map(|policies| {
            policies
                .iter()
                .map(|rule| Rate {
                    kind: rule.kind,
                    value: rule.value,
                    period: Span::from_seconds(rule.period_seconds.into()),
                })
                .collect::<Vec<_>>()
        });
        self.require(declared.as_ref().is_none_or(|policies| !policies.is_empty()), || {
            format!(
                "{field}.policies is empty: leave it out for the default, or write selectPolicy: Disabled"
            )
        });
        Rules {
            window: rules
                .stabilization_window_seconds
                .map_or(window, |seconds| Span::from_seconds(seconds.into())),
            select: rules.select_policy.unwrap_or_default(),
            policies: declared.unwrap_or(policies),
            tolerance,
        }
    }

    fn signal(&mut self, at: usize, metric: &api::Metric, scale_up: &Rules, scale_down: &Rules) -> Signal {
        let field = format!("metrics[{at}] ({})", metric.name);
        let target = self.target(&field, &metric.target);
        self.require(metric.role == Role::Leading || metric.target.kind != TargetKind::AverageValue, || {
            format!("{field}: a SafetyNet watches a level such as a latency: write target.type: Value")
        });
        let net_only =
            metric.max_step_percent.is_none() && metric.max_add_percent.is_none() && metric.absent.is_none();
        self.require(metric.role == Role::SafetyNet || net_only, || {
            format!("{field}: maxStepPercent, maxAddPercent and absent belong to a SafetyNet: remove them")
        });
        let tolerance =
            |faults: &mut Self, side: &str, own: Option<&Quantity>, inherited: f64, below: f64| {
                own.map_or(inherited, |own| {
                    let accept = |value: f64| value >= 0.0 && value < below;
                    faults.quantity(
                        &format!("{field}.tolerance.{side}"),
                        own,
                        accept,
                        "write a share of the count, for example \"0.1\"",
                    )
                })
            };
        Signal {
            name: metric.name.clone(),
            role: metric.role,
            kind: metric.target.kind,
            target,
            max_age: Span::from_seconds(metric.freshness.max_age_seconds.into()),
            coverage: metric.coverage,
            zero: metric.zero,
            negative: metric.negative,
            warnings: metric.warnings,
            averaged_over: metric.averaged_over,
            max_rise: self.quantity(
                &format!("{field}.maxRise"),
                &metric.max_rise,
                |rise| rise > 1.0,
                "write a factor above 1, for example 10",
            ),
            max_drop: self.quantity(
                &format!("{field}.maxDrop"),
                &metric.max_drop,
                |drop| drop > 0.0 && drop <= 1.0,
                "write a share between 0 and 1, for example \"0.9\"",
            ),
            scale_up_tolerance: tolerance(
                self,
                "scaleUp",
                metric.tolerance.scale_up.as_ref(),
                scale_up.tolerance,
                f64::INFINITY,
            ),
            scale_down_tolerance: tolerance(
                self,
                "scaleDown",
                metric.tolerance.scale_down.as_ref(),
                scale_down.tolerance,
                1.0,
            ),
            max_step_percent: metric.max_step_percent.unwrap_or(10),
            max_add_percent: metric.max_add_percent.unwrap_or(50),
            absent: metric.absent.unwrap_or_default(),
        }
    }

    fn target(&mut self, field: &str, target: &api::Target) -> f64 {
        let declared =
            [target.average_value.is_some(), target.value.is_some(), target.average_utilization.is_some()];
        self.require(declared.iter().filter(|declared| **declared).count() == 1, || {
            format!("{field}.target: write exactly one of averageValue, value and averageUtilization, matching type")
        });
        let positive = |value: f64| value > 0.0;
        match (target.kind, &target.average_value, &target.value, target.average_utilization) {
            (TargetKind::AverageValue, Some(value), ..) => self.quantity(
                &format!("{field}.target.averageValue"),
                value,
                positive,
                "write a number above 0: what one replica should carry",
            ),
            (TargetKind::Value, _, Some(value), _) => self.quantity(
                &format!("{field}.target.value"),
                value,
                positive,
                "write a number above 0: the level to hold",
            ),
            (TargetKind::Utilization, _, _, Some(percent)) => {
                self.require(percent > 0, || {
                    format!("{field}.target.averageUtilization is 0: write a percentage of 1 or more")
                });
                f64::from(percent.max(1))
            }
            (kind, ..) => {
                let name = match kind {
                    TargetKind::AverageValue => "averageValue",
                    TargetKind::Value => "value",
                    TargetKind::Utilization => "averageUtilization",
                };
                self.0.push(format!("{field}.target: type {kind:?} takes {name}: add it"));
                1.0
            }
        }
    }

    fn check_bounds(&mut self, spec: &ScalingPolicySpec) {
        let (min, max) = (spec.min_replicas, spec.max_replicas);
        self.require(min >= 1, || {
            "minReplicas is 0: scale to zero is not supported yet, write 1 or more".to_owned()
        });
        self.require(max >= 1, || "maxReplicas is 0: write 1 or more".to_owned());
        self.require(min <= max, || {
            format!("maxReplicas {max} is below minReplicas {min}: raise maxReplicas or lower minReplicas")
        });
        self.require(spec.polling_interval >= 1, || {
            "pollingInterval is 0: write 1 second or more".to_owned()
        });
        self.require(spec.metrics.iter().any(|metric| metric.role == Role::Leading), || {
            "metrics: a SafetyNet cannot drive the count alone: add a metric with role: Leading".to_owned()
        });
        self.require(spec.mode != Mode::Frozen || spec.frozen.is_some(), || {
            "mode Frozen needs to know the count: add frozen.replicas".to_owned()
        });
        let within = |count: u32| min <= count && count <= max;
        if let Some(frozen) = &spec.frozen {
            self.require(within(frozen.replicas), || {
                format!(
                    "frozen.replicas {} must lie between {min} and {max}; to go lower use emergencyMax",
                    frozen.replicas
                )
            });
        }
        if let Some(fallback) = &spec.fallback {
            self.require(within(fallback.replicas), || {
                format!("fallback.replicas {} must lie between {min} and {max}", fallback.replicas)
            });
        }
        if let Some(cap) = &spec.emergency_max {
            self.require(cap.replicas >= 1, || "emergencyMax.replicas is 0: write 1 or more".to_owned());
        }
    }

    fn check_names(&mut self, spec: &ScalingPolicySpec) {
        let metrics = spec.metrics.iter().map(|metric| ("metric", metric.name.as_str()));
        let connections = spec.ceilings.iter().flat_map(|ceilings| &ceilings.connections);
        let connections = connections.map(|ceiling| ("connection ceiling", ceiling.name.as_str()));
        let budgets = spec.ceilings.iter().flat_map(|ceilings| &ceilings.connections);
        let mut drawn_on = std::collections::BTreeSet::new();
        for budget in budgets.filter_map(|ceiling| ceiling.budget_ref.as_ref()) {
            self.require(drawn_on.insert(&budget.name), || {
                format!(
                    "ceilings.connections: two of them draw on ConnectionBudget {}: write one, with the sum as perPod",
                    budget.name
                )
            });
        }
        let guards = spec.guards.iter().map(|guard| ("guard", guard.name.as_str()));
        let mut seen = std::collections::BTreeSet::new();
        let schedules = spec.schedules.iter().map(|schedule| ("schedule", schedule.name.as_str()));
        for (kind, name) in metrics.chain(connections).chain(guards).chain(schedules) {
            self.require(seen.insert((kind, name)), || {
                format!("two {kind}s are called {name}: give each its own name")
            });
        }
    }

    fn max_concurrent(&mut self, declared: Option<&api::CountOrPercentText>) -> Option<MaxConcurrent> {
        let text = declared?;
        let parsed = match text {
            api::CountOrPercentText::Count(count) => Some(MaxConcurrent::Count(*count)),
            api::CountOrPercentText::Percent(text) => match text.strip_suffix('%') {
                Some(digits) => digits.parse().ok().map(MaxConcurrent::Percent),
                None => text.parse().ok().map(MaxConcurrent::Count),
            },
        };
        let parsed =
            parsed.filter(|most| !matches!(most, MaxConcurrent::Count(0) | MaxConcurrent::Percent(0)));
        self.require(parsed.is_some(), || {
            "warmUp.maxConcurrent: write a number of pods, or a percentage such as \"25%\"".to_owned()
        });
        parsed
    }

    fn connections(&mut self, ceiling: &api::ConnectionCeiling, min: u32) -> Connections {
        let field = format!("ceilings.connections ({})", ceiling.name);
        self.require(ceiling.per_pod >= 1, || {
            format!("{field}.perPod is 0: write what one pod opens, 1 or more")
        });
        self.require(ceiling.inline.is_some() != ceiling.budget_ref.is_some(), || {
            format!("{field}: write either budgetRef, the name of a ConnectionBudget, or inline, the limit as numbers")
        });
        self.require(
            ceiling.budget_ref.is_some() || (ceiling.weight.is_none() && ceiling.guaranteed_replicas.is_none()),
            || format!("{field}: weight and guaranteedReplicas are about a budget that several workloads share: write budgetRef, or remove them"),
        );
        if let Some(limit) = ceiling.inline {
            self.require(limit.reserved.saturating_add(limit.others) < limit.max_connections, || {
                format!("{field}.inline: reserved and others leave none of {} connections: raise maxConnections or lower them", limit.max_connections)
            });
        }
        let limit = match (&ceiling.inline, &ceiling.budget_ref) {
            (_, Some(budget)) => ConnectionSource::Budget {
                name: budget.name.clone(),
                weight: ceiling.weight.unwrap_or(1).max(1),
                guaranteed: ceiling.guaranteed_replicas.unwrap_or(min).max(min).max(1),
            },
            (Some(limit), None) => ConnectionSource::Inline {
                max_connections: limit.max_connections,
                reserved: limit.reserved,
                others: limit.others,
            },
            (None, None) => ConnectionSource::Inline { max_connections: 0, reserved: 0, others: 0 },
        };
        Connections {
            name: ceiling.name.clone(),
            limit,
            per_pod: ceiling.per_pod.max(1),
            overlap: ceiling.rollout_overlap,
            enforcement: ceiling.enforcement,
        }
    }

    fn scalability(&mut self, ceiling: &api::ScalabilityCeiling) -> Scalability {
        let law = match (&ceiling.fit, &ceiling.alpha, &ceiling.beta) {
            (Some(fit), None, None) => self.fitted(fit),
            (None, Some(alpha), Some(beta)) => self.declared(alpha, beta, ceiling.marginal_gain_percent),
            _ => {
                self.require(false, || {
                    "ceilings.scalability: write either alpha and beta, as measured in a load test, or fit, the queries to \
                     work them out from"
                        .to_owned()
                });
                ScalabilityLaw::Declared(Coefficients { alpha: 0.0, beta: 0.0 })
            }
        };
        Scalability {
            law,
            safety: f64::from(ceiling.safety_percent.clamp(1, 100)) / 100.0,
            marginal_gain: ceiling.marginal_gain_percent.map(|percent| f64::from(percent) / 100.0),
            enforcement: ceiling.enforcement,
        }
    }

    fn declared(&mut self, alpha: &Quantity, beta: &Quantity, gain: Option<u32>) -> ScalabilityLaw {
        let share = |value: f64| (0.0..1.0).contains(&value);
        let alpha = self.quantity(
            "ceilings.scalability.alpha",
            alpha,
            share,
            "write a share, 0 to below 1, for example \"0.03\"",
        );
        let beta = self.quantity(
            "ceilings.scalability.beta",
            beta,
            |beta| beta >= 0.0,
            "write 0 or more, for example \"0.0008\"",
        );
        self.require(beta > 0.0 || gain.is_some(), || {
            "ceilings.scalability: with beta 0 throughput has no peak: add marginalGainPercent, or remove scalability".to_owned()
        });
        ScalabilityLaw::Declared(Coefficients { alpha, beta })
    }

    fn fitted(&mut self, fit: &api::ScalabilityFit) -> ScalabilityLaw {
        self.require(fit.utilization_query.is_some() || fit.saturation.is_some(), || {
            "ceilings.scalability.fit: throughput tells a capacity only together with the load: add utilizationQuery or \
             saturation"
                .to_owned()
        });
        self.require((8..=3_600).contains(&fit.window_seconds), || {
            "ceilings.scalability.fit.windowSeconds: write 8 to 3600".to_owned()
        });
        self.require((3_600..=5_184_000).contains(&fit.expires_after_seconds), || {
            "ceilings.scalability.fit.expiresAfterSeconds: write 3600 to 5184000".to_owned()
        });
        let mut number = |field: &str, quantity: Option<&Quantity>| {
            quantity.map_or(0.0, |quantity| {
                self.quantity(field, quantity, f64::is_finite, "write a number in the query's own unit")
            })
        };
        let above = fit.saturation.as_ref().map(|saturation| &saturation.above);
        let at_most = fit.objective.as_ref().map(|objective| &objective.at_most);
        ScalabilityLaw::Fitted(Box::new(FitRules {
            saturated_above: number("ceilings.scalability.fit.saturation.above", above),
            objective_at_most: number("ceilings.scalability.fit.objective.atMost", at_most),
            queries: fit.clone(),
        }))
    }
}
