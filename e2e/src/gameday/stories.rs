//! The failure modes, one story each. All numbers are small: a replica carries 10.

use plimsoll::time::Span;
use serde_json::{Value, json};

use super::Gameday;
use super::Sign::{Condition, Event, Metric, Says};
use crate::bed::{BedError, NAMESPACE, SimulatedBed};

const ANY: f64 = f64::INFINITY;

/// All of them, in the order of the runbook.
pub const ALL: &[Gameday] = &[
    Gameday {
        name: "flapping",
        story: "load swings between 40 and 80 each minute, under a policy with too short a window",
        seconds: 1500,
        shows: &[
            Condition("Flapping", "True", "TooManyReversals"),
            Event("TooManyReversals"),
            Metric("plimsoll_condition", "Flapping", 1.0, 1.0),
        ],
        set: |bed| {
            checkout(
                bed,
                4,
                1,
                &json!({
                    "warmUp": {"source": "Declared", "seconds": 0},
                    "smoothing": {"scaleDownHalfLifeSeconds": 0},
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 20}},
                    // Learnt headroom would make room for each swing.
                    "headroom": {"calibrated": {"enforcement": "Observe"}},
                }),
            )
        },
        step: |world| {
            world.at(60, "load begins to swing between 40 and 80, a minute each");
            let high = world.second >= 60 && (world.second / 60) % 2 == 1;
            world.bed.signals.set("checkout", if high { 79.0 } else { 39.0 });
            let replicas = world.replicas("checkout");
            world.must(world.second < 900 || replicas == 8, || {
                format!("{replicas} replicas: the count still follows each swing")
            });
            Ok(())
        },
    },
    Gameday {
        name: "metric-lag",
        story: "the samples behind the signal grow older, first 45 s and then 120 s, while load rises and falls",
        seconds: 900,
        shows: &[
            Metric("plimsoll_signal_age_seconds", "rps", 40.0, 50.0),
            Metric("plimsoll_signal_fit", "rps", 0.0, 0.0),
            Condition("ScalingActive", "False", "FailedGetExternalMetric"),
            Event("FailedGetExternalMetric"),
        ],
        set: |bed| {
            checkout(
                bed,
                4,
                10,
                &json!({"metrics": [{
                    "name": "rps", "prometheus": {"server": "checkout", "query": "q"},
                    "target": {"type": "AverageValue", "averageValue": "10"}, "freshness": {"maxAgeSeconds": 60},
                }]}),
            )
        },
        step: |world| {
            world.at(120, "load doubles; samples are 45 s old, so this is seen 45 s late");
            world.at(480, "load falls; samples are 120 s old, so nothing is removed on their word");
            let age = if world.second < 480 { 45 } else { 120 };
            let seen = world.second.saturating_sub(if world.second < 480 { 45 } else { 0 });
            let load = if seen >= 480 {
                20.0
            } else if seen >= 120 {
                79.0
            } else {
                39.0
            };
            world.bed.signals.set_aged("checkout", load, Span::from_seconds(age));
            let replicas = world.replicas("checkout");
            world.must(world.second < 300 || replicas >= 8, || {
                format!("{replicas} replicas: pods were removed on old samples")
            });
            Ok(())
        },
    },
    Gameday {
        name: "cold-start",
        story: "load quadruples within seconds, and pods take two minutes to start",
        seconds: 420,
        shows: &[
            Metric("plimsoll_deficit_ratio", "", 0.5, 1.0),
            Metric("plimsoll_pods", "state=\"ordered\"", 10.0, ANY),
            Event("SuccessfulRescale"),
        ],
        set: |bed| checkout(bed, 4, 120, &json!({})),
        step: |world| {
            let risen = world.second >= 60;
            world.at(60, "load quadruples, from 39 to 159; pods take 120 s to start");
            world.bed.signals.set("checkout", if risen { 159.0 } else { 39.0 });
            let replicas = world.replicas("checkout");
            world.must(replicas <= 16, || {
                format!("{replicas} replicas: what was ordered already was ordered again")
            });
            Ok(())
        },
    },
    Gameday {
        name: "downstream-saturation",
        story: "load grows, and each pod more loads the database behind it, until a guard on its CPU holds the count",
        seconds: 900,
        shows: &[
            Condition("Guarded", "True", "GuardActive"),
            Condition("BottleneckMoved", "True", "BottleneckBehind"),
            Event("GuardActive"),
            Event("BottleneckBehind"),
            Metric("plimsoll_guard_active", "db-cpu", 1.0, 1.0),
            Metric("plimsoll_bottleneck_moved", "", 1.0, 1.0),
            Says("by guard db-cpu"),
        ],
        set: |bed| checkout(bed, 4, 10, &json!({"guards": [guard("db-cpu", "0.85", "0.7", "BlockScaleUp")]})),
        step: |world| {
            let (second, ready) = (world.second, f64::from(world.ready("checkout")));
            world.at(60, "load grows by 6 a minute, and the database's CPU with each pod");
            let relieved = second >= 600;
            world.at(600, "a slow query was found; the database's CPU falls to 50 %");
            world.at(720, "what was held is let through");
            let growth = f64::from(u32::try_from(second.saturating_sub(60)).unwrap_or(u32::MAX)) / 10.0;
            world.bed.signals.set("checkout", (39.0 + growth).min(99.0));
            world
                .bed
                .signals
                .set("database", if relieved { 0.5 } else { ready.mul_add(0.1, 0.25).min(0.99) });
            Ok(())
        },
    },
    Gameday {
        name: "pool-exhaustion",
        story: "load wants twice the pods that the database has connections for, and a rollout begins at the ceiling",
        seconds: 1200,
        shows: &[
            Condition("ScalingLimited", "True", "ConnectionBudget"),
            Event("ConnectionBudget"),
            Metric("plimsoll_unmet_replicas", "", 1.0, ANY),
            Metric("plimsoll_limited", "connections/orders-db", 1.0, 1.0),
            Says("by database connections of orders-db"),
        ],
        set: |bed| {
            let spec = json!({
                "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
                "ceilings": {"connections": [{
                    "name": "orders-db", "inline": {"maxConnections": 205, "reserved": 5}, "perPod": 10,
                }]},
            });
            checkout(bed, 12, 10, &spec)
        },
        step: |world| {
            let risen = world.at(300, "load wants 30 pods with 10 connections each; the database has 200")
                || world.second > 300;
            // Some pods go first, so that it is known how long they hold their connections.
            world.bed.signals.set("checkout", if risen { 299.0 } else { 59.0 });
            if world.at(720, "a new version is rolled out while the count is at its ceiling") {
                let template = json!({"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}});
                world.bed.edit(("apps", "v1", "deployments"), NAMESPACE, "checkout", &template)?;
            }
            let connections = world.pods() * 10;
            world.must(connections <= 200, || format!("{connections} connections are wanted of 200"));
            Ok(())
        },
    },
    Gameday {
        name: "scale-in-herd",
        story: "the load of three services ends in the same second",
        seconds: 900,
        shows: &[
            Condition("ScalingLimited", "True", "ScaleDownLimit"),
            Event("SuccessfulRescale"),
            Metric("plimsoll_pods", "state=\"terminating\"", 1.0, 2.0),
        ],
        set: |bed| {
            for name in HERD {
                let spec = json!({"behavior": {"scaleDown": {
                    "stabilizationWindowSeconds": 120, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}],
                }}});
                put(bed, name, 20, 5, &spec)?;
            }
            Ok(())
        },
        step: |world| {
            let fallen = world.at(120, "the load of all three falls from 199 to 49") || world.second > 120;
            let mut asked = 0;
            for name in HERD {
                world.bed.signals.set(name, if fallen { 49.0 } else { 199.0 });
                asked += world.replicas(name);
            }
            let pods = world.pods();
            world.must(world.second < 60 || pods <= asked + 6, || {
                format!("{} pods drain at once", pods - asked)
            });
            Ok(())
        },
    },
    Gameday {
        name: "stampede",
        story: "load grows fivefold, and each pod that starts asks a cold cache for everything",
        seconds: 600,
        shows: &[
            Condition("ScalingLimited", "True", "WarmUpLimit"),
            Metric("plimsoll_pods", "state=\"ordered\"", 1.0, 4.0),
            Metric("plimsoll_guard_value", "cache-miss", 0.1, 0.5),
        ],
        set: |bed| {
            let warm_up = json!({"source": "Declared", "seconds": 20, "maxConcurrent": 4});
            let guards = json!([guard("cache-miss", "0.6", "0.3", "BlockScaleUp")]);
            checkout(bed, 4, 20, &json!({"warmUp": warm_up, "guards": guards}))
        },
        step: |world| {
            let risen =
                world.at(120, "load grows fivefold; four pods may warm up at a time") || world.second > 120;
            world.bed.signals.set("checkout", if risen { 199.0 } else { 39.0 });
            let starting = world.replicas("checkout").saturating_sub(world.ready("checkout"));
            world.bed.signals.set("database", f64::from(starting).mul_add(0.1, 0.05));
            world.must(world.second < 60 || starting <= 4, || format!("{starting} pods start at once"));
            Ok(())
        },
    },
    Gameday {
        name: "correlated-retries",
        story: "a slow database fails four requests of five, and every client asks three times more",
        seconds: 900,
        shows: &[
            Condition("Guarded", "True", "GuardActive"),
            Metric("plimsoll_guard_active", "retries", 1.0, 1.0),
            Metric("plimsoll_unmet_replicas", "", 1.0, ANY),
            Says("by guard retries"),
        ],
        set: |bed| {
            let spec = json!({"maxReplicas": 20, "guards": [guard("retries", "0.3", "0.1", "CapAtCurrent")]});
            checkout(bed, 6, 10, &spec)
        },
        step: |world| {
            let second = world.second;
            world
                .at(120, "the database is slow: four requests of five fail, and are asked again three times");
            world.at(480, "the database is well again, and retries end");
            let failing = (120..480).contains(&second);
            // Retries show as errors at once; the load that they make takes a scrape and a window.
            world.bed.signals.set("database", if failing { 0.7 } else { 0.01 });
            let amplified = (135..495).contains(&second);
            world.bed.signals.set("checkout", if amplified { 59.0 * 3.4 } else { 59.0 });
            let replicas = world.replicas("checkout");
            world.must(replicas <= 8, || format!("{replicas} replicas: retries were fed with pods"));
            Ok(())
        },
    },
    Gameday {
        name: "database-at-its-ceiling",
        story: "two services grow on one database, which then loses a third of its connections",
        seconds: 1200,
        shows: &[
            Condition("ScalingLimited", "True", "ConnectionBudget"),
            Metric("plimsoll_budget_connections", "kind=\"granted\"", 250.0, 300.0),
            Metric("plimsoll_budget_connections", "kind=\"limit\"", 200.0, 200.0),
            Metric("plimsoll_unmet_replicas", "", 1.0, ANY),
            Says("by database connections of orders-db"),
        ],
        set: |bed| {
            bed.put_budget("orders-db", &json!({"limit": {"maxConnections": 300}, "reserved": 0}))?;
            for name in SHARING {
                let spec = json!({
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30,
                        "policies": [{"type": "Percent", "value": 20, "periodSeconds": 30}]}},
                    "ceilings": {"connections": [{
                        "name": "orders-db", "budgetRef": {"name": "orders-db"}, "perPod": 10, "guaranteedReplicas": 4,
                    }]},
                });
                put(bed, name, 6, 10, &spec)?;
                let recreate = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
                bed.edit(("apps", "v1", "deployments"), NAMESPACE, name, &recreate)?;
            }
            Ok(())
        },
        step: |world| {
            let risen = world.at(180, "both want 25 pods with 10 connections each; the database has 300")
                || world.second > 180;
            for name in SHARING {
                world.bed.signals.set(name, if risen { 249.0 } else { 59.0 });
            }
            if world.at(600, "the database fails over to a smaller machine: 200 connections") {
                let limit = json!({"spec": {"limit": {"maxConnections": 200}}});
                world.bed.edit(("plimsoll.dev", "v1alpha1", "connectionbudgets"), "", "orders-db", &limit)?;
            }
            let connections = world.pods() * 10;
            world.must(connections <= 300, || format!("{connections} connections are wanted of 300"));
            world.must(world.second < 1190 || connections <= 200, || {
                format!("{connections} connections are wanted of 200, ten minutes after the limit fell")
            });
            Ok(())
        },
    },
    Gameday {
        name: "metric-source-down",
        story: "Prometheus answers nothing for ten minutes",
        seconds: 1080,
        shows: &[
            Condition("ScalingActive", "False", "FailedGetExternalMetric"),
            Event("FailedGetExternalMetric"),
            Metric("plimsoll_signal_fit", "rps", 0.0, 0.0),
            Condition("ScalingActive", "True", "ValidMetricFound"),
        ],
        set: |bed| checkout(bed, 6, 10, &json!({"fallback": {"afterSeconds": 300, "replicas": 9}})),
        step: |world| {
            world.at(120, "Prometheus answers nothing; the policy's fallback is 9 replicas after 300 s");
            world.at(720, "Prometheus answers again");
            if (120..720).contains(&world.second) {
                world.bed.signals.silence("checkout");
            } else {
                world.bed.signals.set("checkout", 59.0);
            }
            let replicas = world.replicas("checkout");
            world.must(world.second < 60 || replicas >= 6, || {
                format!("{replicas} replicas: pods were removed for want of a metric")
            });
            world.must(!(480..720).contains(&world.second) || replicas == 9, || {
                format!("{replicas} replicas and not the fallback's 9")
            });
            Ok(())
        },
    },
];

/// Longer than the time between two evaluations, or nobody would see a pod drain.
const DRAIN: &str = "20";
const HERD: [&str; 3] = ["cart", "checkout", "search"];
const SHARING: [&str; 2] = ["checkout", "invoices"];

fn checkout(bed: &SimulatedBed, replicas: u32, start_up: u32, spec: &Value) -> Result<(), BedError> {
    put(bed, "checkout", replicas, start_up, spec)
}

/// A service at its load, with a policy.
fn put(bed: &SimulatedBed, name: &str, replicas: u32, start_up: u32, spec: &Value) -> Result<(), BedError> {
    let times =
        json!({"plant.test/startup-seconds": start_up.to_string(), "plant.test/drain-seconds": DRAIN});
    bed.put_workload(name, replicas, &times)?;
    bed.signals.set(name, f64::from(replicas) * 10.0 - 1.0);
    bed.signals.set("database", 0.05);
    bed.put_policy(name, spec)
}

/// A guard on what the server `database` tells.
fn guard(name: &str, threshold: &str, release: &str, action: &str) -> Value {
    json!({
        "name": name, "prometheus": {"server": "database", "query": "q"}, "threshold": threshold,
        "releaseThreshold": release, "action": action, "holdSeconds": 60, "maxDurationSeconds": 1800,
    })
}
