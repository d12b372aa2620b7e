//! The decision, told anything in any order at any moment.

use arbitrary::{Result, Unstructured};
use plimsoll::api::ScalingPolicySpec;
use plimsoll::control::Policy;
use serde_json::{Value, json};

use crate::policy::is_sound;
use crate::world::{self, World};

pub(crate) fn check(bytes: &[u8]) {
    let mut source = Unstructured::new(bytes);
    let Ok(spec) = spec(&mut source) else { return };
    let spec: ScalingPolicySpec = serde_json::from_value(spec).expect("a spec of the right types");
    let Ok(policy) = Policy::compile(&spec) else { return };
    is_sound(&policy);
    if let Ok(worlds) = World::several(&mut source, policy.signals.len(), policy.guards.len()) {
        world::live_through(&policy, &worlds);
    }
}

/// A spec of the right types; most can be compiled.
fn spec(source: &mut Unstructured) -> Result<Value> {
    let min = source.int_in_range(1..=20_u32)?;
    let max = min + if source.ratio(1, 16)? { 99_000 } else { source.int_in_range(0..=200)? };
    let metrics =
        (0..source.int_in_range(1..=3)?).map(|at| metric(source, at)).collect::<Result<Vec<_>>>()?;
    let mut spec = json!({
        "scaleTargetRef": {"name": "checkout"},
        "minReplicas": min,
        "maxReplicas": max,
        "pollingInterval": *source.choose(&[1, 15, 15, 60, 3600])?,
        "metrics": metrics,
        "behavior": {"scaleUp": rules(source)?, "scaleDown": rules(source)?},
        "mode": source.choose(&["Active", "Active", "Active", "DryRun", "Frozen"])?,
        "frozen": {"replicas": source.int_in_range(min..=max)?},
        "smoothing": {"scaleDownHalfLifeSeconds": source.int_in_range(0..=300)?},
        "headroom": {"percent": source.int_in_range(0..=100)?, "replicas": source.int_in_range(0..=5)?},
    });
    if source.ratio(1, 4)? {
        spec["paused"] = json!([source.choose(&["ScaleUp", "ScaleDown"])?]);
    }
    if source.ratio(1, 4)? {
        spec["emergencyMax"] = json!({"replicas": source.int_in_range(1..=50)?});
    }
    if source.ratio(1, 2)? {
        spec["fallback"] = json!({"afterSeconds": source.int_in_range(0..=600)?, "replicas": source.int_in_range(min..=max)?,
            "behavior": source.choose(&["AtLeast", "EvenIfLower"])?});
    }
    if source.ratio(1, 4)? {
        spec["warmUp"] = json!({"seconds": source.int_in_range(0..=600)?, "source": source.choose(&["Declared", "Measured"])?,
            "ramp": source.choose(&["None", "Linear"])?, "maxConcurrent": source.choose(&["1", "25%", "1000%"])?});
    }
    let mut ceilings = json!({});
    if source.ratio(1, 2)? {
        ceilings["connections"] = json!([{
            "name": "orders-db",
            "inline": {"maxConnections": source.int_in_range(20..=5_000)?, "reserved": source.int_in_range(0..=19)?},
            "perPod": source.int_in_range(1..=40)?,
            "rolloutOverlap": source.choose(&[json!("Observed"), json!("OneRevision"), json!(3)])?,
            "enforcement": enforcement(source)?,
        }]);
    }
    if source.ratio(1, 3)? {
        ceilings["scalability"] = if source.ratio(1, 2)? {
            fitted(source)?
        } else {
            json!({"alpha": format!("{}m", source.int_in_range(0..=999)?),
            "beta": format!("{}u", source.int_in_range(1..=5_000)?), "enforcement": enforcement(source)?})
        };
    }
    spec["ceilings"] = ceilings;
    if source.ratio(1, 3)? {
        let least = spec["minReplicas"].as_u64().unwrap_or(1);
        let most = spec["maxReplicas"].as_u64().unwrap_or(least);
        let hour = source.int_in_range(0..=23)?;
        spec["schedules"] = json!([{
            "name": "peak",
            "start": format!("{} {hour} * * *", source.int_in_range(0..=59)?),
            "durationSeconds": source.int_in_range(60..=200_000)?,
            "timeZone": source.choose(&["UTC", "Europe/Berlin", "Australia/Lord_Howe"])?,
            "minReplicas": source.int_in_range(least.min(most)..=most)?,
            "rampSeconds": source.int_in_range(0..=86_400)?,
        }]);
    }
    if source.ratio(1, 3)? {
        spec["forecast"] = json!({"mode": source.choose(&["ForecastAndScale", "ForecastAndScale", "ForecastOnly"])?,
            "schedulingBufferSeconds": source.int_in_range(0..=3600)?});
    }
    if source.ratio(1, 3)? {
        spec["guards"] =
            (0..source.int_in_range(1..=2)?).map(|at| guard(source, at)).collect::<Result<_>>()?;
    }
    Ok(spec)
}

fn fitted(source: &mut Unstructured) -> Result<Value> {
    let mut fit = json!({"throughputQuery": "served", "readyReplicasQuery": "ready", "utilizationQuery": "busy", "windowSeconds": 40});
    if source.arbitrary()? {
        fit["saturation"] = json!({"query": "queue", "above": quantity(source)?});
    }
    if source.arbitrary()? {
        fit["objective"] = json!({"query": "p99", "atMost": quantity(source)?});
    }
    Ok(json!({"fit": fit, "enforcement": enforcement(source)?}))
}

fn guard(source: &mut Unstructured, at: u32) -> Result<Value> {
    let hold = source.int_in_range(0..=3600)?;
    let mut guard = json!({
        "name": format!("guard-{at}"),
        "prometheus": {"query": "up"},
        "comparison": source.choose(&["GreaterThan", "GreaterThan", "LessThan"])?,
        "threshold": quantity(source)?,
        "action": source.choose(&["BlockScaleUp", "BlockScaleDown", "Freeze", "CapAtCurrent", "StepDown"])?,
        "holdSeconds": hold,
        "maxDurationSeconds": hold + source.int_in_range(1..=7200)?,
        "onMissing": source.choose(&["Hold", "Ignore", "Activate"])?,
        "warnings": source.choose(&["Suspect", "Ignore"])?,
    });
    if source.ratio(1, 4)? {
        guard["releaseThreshold"] = json!(quantity(source)?);
    }
    Ok(guard)
}

fn enforcement(source: &mut Unstructured) -> Result<&'static str> {
    source.choose(&["Observe", "Enforce", "Hard"]).copied()
}

fn metric(source: &mut Unstructured, at: u32) -> Result<Value> {
    let net = at > 0 && source.ratio(1, 2)?;
    let target = match (net, source.int_in_range(0..=2)?) {
        (false, 0) => json!({"type": "AverageValue", "averageValue": quantity(source)?}),
        (false, 1) => json!({"type": "Utilization", "averageUtilization": source.int_in_range(1..=200)?}),
        _ => json!({"type": "Value", "value": quantity(source)?}),
    };
    Ok(json!({
        "name": format!("signal-{at}"),
        "role": if net { "SafetyNet" } else { "Leading" },
        "prometheus": {"query": "up"},
        "target": target,
        "zero": source.choose(&["Suspect", "Data"])?,
        "negative": source.choose(&["Suspect", "Data"])?,
        "coverage": source.choose(&["None", "None", "PerPod"])?,
        "warnings": source.choose(&["Suspect", "Ignore"])?,
        "averagedOver": source.choose(&["Serving", "Warm"])?,
    }))
}

fn quantity(source: &mut Unstructured) -> Result<String> {
    let digits = source.int_in_range(1..=9_999_u32)?;
    Ok(format!("{digits}{}", source.choose(&["", "", "", "m", "n", "k", "E"])?))
}

fn rules(source: &mut Unstructured) -> Result<Value> {
    let policies = (0..source.int_in_range(1..=2)?)
        .map(|_| {
            Ok(json!({"type": source.choose(&["Pods", "Percent"])?, "value": source.int_in_range(1..=200)?,
                "periodSeconds": source.int_in_range(1..=1800)?}))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({"stabilizationWindowSeconds": source.int_in_range(0..=600)?, "policies": policies,
        "selectPolicy": source.choose(&["Max", "Max", "Max", "Min", "Disabled"])?, "tolerance": source.choose(&["0", "0.1", "0.5"])?}))
}
