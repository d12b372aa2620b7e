//! Which quantity of the simulated service each metric of a policy reads.

use std::fmt;
use std::str::FromStr;

use super::load::Load;
use super::sensor::{Means, SensorSettings};
use crate::api::{Role, TargetKind};
use crate::control::{Policy, Scalability, ScalabilityLaw, Signal};

/// How a note begins about a guard that nothing speaks for.
const LEFT_OUT: &str = "is left out";

/// A quantity of the simulated service, times a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Source {
    /// What.
    pub quantity: Quantity,
    /// Times this.
    pub factor: f64,
}

/// A quantity that the simulation knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Requests that come, per second.
    Load,
    /// Requests answered, per second.
    Answered,
    /// Busy share of the Ready pods, in percent.
    Utilization,
    /// 99th percentile of the latency, in seconds.
    Latency,
    /// Requests being served or waiting.
    InFlight,
}

const QUANTITIES: [(&str, Quantity); 5] = [
    ("load", Quantity::Load),
    ("answered", Quantity::Answered),
    ("utilization", Quantity::Utilization),
    ("latency", Quantity::Latency),
    ("in-flight", Quantity::InFlight),
];

impl Source {
    /// A quantity as it is.
    pub const fn plain(quantity: Quantity) -> Self {
        Self { quantity, factor: 1.0 }
    }

    /// Its value.
    pub fn value(&self, means: &Means) -> f64 {
        let value = match self.quantity {
            Quantity::Load => means.load,
            Quantity::Answered => means.answered,
            Quantity::Utilization => means.utilization * 100.0,
            Quantity::Latency => means.p99_latency,
            Quantity::InFlight => means.in_flight,
        };
        value * self.factor
    }
}

impl FromStr for Source {
    type Err = String;

    /// `load`, `latency*1000`.
    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            let names: Vec<_> = QUANTITIES.iter().map(|(name, _)| *name).collect();
            format!(
                "{text:?} is not a quantity: write one of {}, with a factor where the unit differs, for example latency*1000",
                names.join(", ")
            )
        };
        let (name, factor) = text.split_once('*').unwrap_or((text, "1"));
        let quantity = QUANTITIES.iter().find(|(known, _)| *known == name.trim()).ok_or_else(fault)?.1;
        let factor = factor.trim().parse::<f64>().ok().filter(|factor| factor.is_finite() && *factor > 0.0);
        Ok(Self { quantity, factor: factor.ok_or_else(fault)? })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.quantity {
            Quantity::Load => "the load, in requests per second",
            Quantity::Answered => "the requests answered per second",
            Quantity::Utilization => "the busy share of the Ready pods, in percent",
            Quantity::Latency => "the 99th percentile of the latency, in seconds",
            Quantity::InFlight => "the requests in flight",
        })?;
        if (self.factor - 1.0).abs() > f64::EPSILON { write!(f, ", times {}", self.factor) } else { Ok(()) }
    }
}

/// A policy whose every metric can be simulated.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulable {
    /// The policy, with the metrics that can be simulated.
    pub policy: Policy,
    /// What each of them reads, in the policy's order.
    pub sources: Vec<Source>,
    /// One sentence a metric: what it reads, or why it is left out.
    pub notes: Vec<String>,
    /// What each of its guards reads, by the time since the start.
    pub guards: Vec<Load>,
}

/// Decides what each metric reads. `chosen` names metrics with what they shall read. By themselves, the first leading
/// `AverageValue` reads the load, `Utilization` the busy share, and safety nets the latency; what else there is, is left
/// out, and said to be.
pub fn map(
    policy: &Policy,
    chosen: &[(String, Source)],
    sensor: &SensorSettings,
) -> Result<Simulable, String> {
    if let Some((name, _)) =
        chosen.iter().find(|(name, _)| policy.signals.iter().all(|signal| signal.name != *name))
    {
        let names: Vec<_> = policy.signals.iter().map(|signal| signal.name.as_str()).collect();
        return Err(format!("the policy has no metric {name:?}: it has {}", names.join(", ")));
    }
    let mut mapped =
        Simulable { policy: policy.clone(), sources: Vec::new(), notes: Vec::new(), guards: Vec::new() };
    mapped.policy.signals.clear();
    let mut load_is_read = false;
    for signal in &policy.signals {
        let by_hand = chosen.iter().find(|(name, _)| *name == signal.name).map(|(_, source)| *source);
        let own = by_hand.or_else(|| by_rule(signal, load_is_read));
        let Some(source) = own else {
            mapped.notes.push(format!(
                "{} is left out: nothing here can stand for it; write --signal {}=QUANTITY to choose",
                signal.name, signal.name
            ));
            continue;
        };
        load_is_read |= source.quantity == Quantity::Load && signal.role == Role::Leading;
        mapped.notes.push(format!(
            "{} reads {source}: the mean of {}, {} late",
            signal.name, sensor.window, sensor.delay
        ));
        mapped.policy.signals.push(signal.clone());
        mapped.sources.push(source);
    }
    for guard in mapped.policy.guards.drain(..) {
        mapped.notes.push(format!(
            "guard {} {LEFT_OUT}: what stands behind the service is not simulated; --guard {}=LOAD says what it reads",
            guard.signal.name, guard.signal.name
        ));
    }
    if mapped.policy.slo.take().is_some() {
        mapped.notes.push(
            "the slo is left out: what fails is not simulated, so the targets stay as declared".to_owned(),
        );
    }
    fit(&mut mapped);
    if mapped.policy.signals.iter().all(|signal| signal.role != Role::Leading) {
        return Err(format!(
            "no leading metric of the policy can be simulated ({}): say what one of them reads, for example --signal {}=load",
            mapped.notes.join("; "),
            policy.signals.first().map_or("NAME", |signal| signal.name.as_str()),
        ));
    }
    Ok(mapped)
}

/// What a fitted law is learnt from.
fn fit(mapped: &mut Simulable) {
    let Some(Scalability { law: ScalabilityLaw::Fitted(rules), .. }) = &mapped.policy.scalability else {
        return;
    };
    if rules.queries.utilization_query.is_none() {
        mapped.policy.scalability = None;
        mapped.notes.push(
            "the fitted scalability ceiling is left out: what tells that the service is full is not simulated; add \
             utilizationQuery, or write alpha and beta"
                .to_owned(),
        );
        return;
    }
    let objective = if rules.queries.objective.is_some() {
        ", and its objective the 99th percentile of the latency in seconds"
    } else {
        ""
    };
    mapped.notes.push(format!(
        "the scalability law is fitted from nothing to what the simulated service answers at which busy share{objective}"
    ));
}

impl Simulable {
    /// The same with those guards of `policy` that a script names; each reads what its script says.
    pub fn with_guards(mut self, policy: &Policy, scripts: &[(String, Load)]) -> Result<Self, String> {
        for (name, script) in scripts {
            let found = policy.guards.iter().find(|guard| guard.signal.name == *name);
            let guard = found.ok_or_else(|| {
                let names: Vec<_> = policy.guards.iter().map(|guard| guard.signal.name.as_str()).collect();
                let has = if names.is_empty() {
                    "it has none".to_owned()
                } else {
                    format!("it has {}", names.join(", "))
                };
                format!("the policy has no guard {name:?}: {has}")
            })?;
            self.notes.retain(|note| !note.starts_with(&format!("guard {name} {LEFT_OUT}")));
            self.notes.push(format!("guard {name} reads what --guard says"));
            self.policy.guards.push(guard.clone());
            self.guards.push(script.clone());
        }
        Ok(self)
    }
}

fn by_rule(signal: &Signal, load_is_read: bool) -> Option<Source> {
    match (signal.role, signal.kind) {
        (Role::SafetyNet, _) => Some(Source::plain(Quantity::Latency)),
        (Role::Leading, TargetKind::Utilization) => Some(Source::plain(Quantity::Utilization)),
        (Role::Leading, TargetKind::AverageValue) if !load_is_read => Some(Source::plain(Quantity::Load)),
        (Role::Leading, TargetKind::AverageValue | TargetKind::Value) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ScalingPolicySpec;

    fn policy(metrics: &str) -> Policy {
        let yaml = format!("scaleTargetRef: {{name: a}}\nmaxReplicas: 5\nmetrics:\n{metrics}");
        let spec: ScalingPolicySpec = serde_saphyr::from_str(&yaml).unwrap();
        Policy::compile(&spec).unwrap()
    }

    const RPS: &str =
        "- {name: rps, prometheus: {query: a}, target: {type: AverageValue, averageValue: 90}}\n";
    const QUEUE: &str =
        "- {name: queue, prometheus: {query: a}, target: {type: AverageValue, averageValue: 3}}\n";
    const CPU: &str =
        "- {name: cpu, prometheus: {query: a}, target: {type: Utilization, averageUtilization: 70}}\n";
    const P99: &str =
        "- {name: p99, role: SafetyNet, prometheus: {query: a}, target: {type: Value, value: 300m}}\n";

    #[test]
    fn the_rule_is_followed_and_what_is_left_out_is_said() {
        let policy = policy(&format!("{RPS}{QUEUE}{CPU}{P99}"));
        let found = map(&policy, &[], &SensorSettings::default()).unwrap();
        let quantities: Vec<_> = found.sources.iter().map(|source| source.quantity).collect();
        assert_eq!(quantities, [Quantity::Load, Quantity::Utilization, Quantity::Latency]);
        assert_eq!(found.policy.signals.len(), 3);
        assert!(found.notes[1].contains("queue is left out"), "{:?}", found.notes);
        let chosen = [("queue".to_owned(), "in-flight*0.5".parse().unwrap())];
        let found = map(&policy, &chosen, &SensorSettings::default()).unwrap();
        assert_eq!(found.sources[1], Source { quantity: Quantity::InFlight, factor: 0.5 });
        assert!(
            found.notes[1].contains("queue reads the requests in flight, times 0.5"),
            "{:?}",
            found.notes
        );
    }

    #[test]
    fn a_policy_that_cannot_be_simulated_is_refused_with_what_to_write() {
        let level = "- {name: depth, prometheus: {query: a}, target: {type: Value, value: 3}}\n";
        let fault = map(&policy(level), &[], &SensorSettings::default()).unwrap_err();
        assert!(fault.contains("--signal depth=load"), "{fault}");
        let unknown = [("rpm".to_owned(), Source::plain(Quantity::Load))];
        let fault = map(&policy(RPS), &unknown, &SensorSettings::default()).unwrap_err();
        assert_eq!(fault, "the policy has no metric \"rpm\": it has rps");
        assert!("memory".parse::<Source>().unwrap_err().contains("write one of load, answered"));
        assert!("load*-1".parse::<Source>().is_err());
    }
}
