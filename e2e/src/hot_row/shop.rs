//! The service with the hot row: what its requests do in the database, and how it is declared to Kubernetes and to the
//! autoscalers.

use plimsoll::ceiling::usl::Law;
use serde_json::{Value, json};

use crate::orders::fleet::{SERVICE_LABEL, ServicePods};

/// The service's name, and its Deployment's and policy's.
pub const SERVICE: &str = "checkout";
/// The least replicas.
pub const MIN_REPLICAS: u32 = 2;
/// The most replicas that the autoscalers may set.
pub const MAX_REPLICAS: u32 = 24;
/// Connections of a pod: it works on one request at a time.
pub const POOL: u32 = 1;
/// Requests that a pod takes at a time, the one that it works on included; more are turned away.
pub const MOST_AT_A_POD: u32 = 2;
/// Requests a second for each replica that both autoscalers aim at: about half of what one pod makes on its own.
pub const TARGET: f64 = 3.5;
/// The 95th percentile of latency in seconds that both autoscalers want kept.
pub const OBJECTIVE: f64 = 0.6;
/// The declared ceiling as a percentage of the peak. A fitted one takes the API's own default, of the peak's upper bound.
const SAFETY_PERCENT: u32 = 90;
/// Seconds of a window that the fit counts: days are short here.
const WINDOW_SECONDS: u32 = 8;

/// A request works for some 100 ms on its own. Then it reads the counter, computes with it for some 25 ms, and locks the row
/// to write what it computed, which takes 25 ms. If somebody else was faster, it sees so after a round trip of 1 ms under
/// the lock, and reads and computes anew.
///
/// The first time is uniform, half to one and a half of its mean; the second is exponential.
const PROCEDURE: &str = "
CREATE PROCEDURE check_out() LANGUAGE plpgsql AS $$
DECLARE
  seen bigint;
  present bigint;
BEGIN
  PERFORM pg_sleep(0.100 * (0.5 + random()));
  LOOP
    SELECT version INTO seen FROM counter WHERE id = 1;
    COMMIT;
    PERFORM pg_sleep(-0.025 * ln(1 - random()));
    SELECT version INTO present FROM counter WHERE id = 1 FOR UPDATE;
    IF present = seen THEN
      PERFORM pg_sleep(0.025);
      UPDATE counter SET version = version + 1, orders = orders + 1 WHERE id = 1;
      COMMIT;
      RETURN;
    END IF;
    PERFORM pg_sleep(0.001);
    ROLLBACK;
  END LOOP;
END $$";

/// What the database needs: one row, with room on its page for its versions, and what is done with it.
pub const SCHEMA: [&str; 3] = [
    "CREATE TABLE counter (id int PRIMARY KEY, version bigint NOT NULL, orders bigint NOT NULL) WITH (fillfactor = 10)",
    "INSERT INTO counter VALUES (1, 0, 0)",
    PROCEDURE,
];

/// What its pods do.
pub fn pods() -> ServicePods {
    ServicePods { name: SERVICE.to_owned(), pool: POOL, statement: "CALL check_out()".to_owned() }
}

/// Its Deployment, with one replica.
pub fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SERVICE},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {SERVICE_LABEL: SERVICE}},
            "template": {
                "metadata": {"labels": {SERVICE_LABEL: SERVICE}},
                "spec": {"containers": [{"name": "service", "image": "orders-pod"}]},
            },
        },
    })
}

/// The policy that an HPA has: arrivals and latency, whichever asks for more.
pub fn hpa_policy(side: &str) -> Value {
    policy(&json!([arrivals(side), latency(side)]))
}

/// Where the ceiling's law comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Ceiling {
    /// Plimsoll is told the law that the sweep shows.
    Declared,
    /// Plimsoll fits it to what Prometheus has seen of its side.
    Fitted,
}

impl Ceiling {
    /// What it is called in a report.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Declared => "the sweep's law is declared",
            Self::Fitted => "Plimsoll fits the law itself",
        }
    }
}

/// The policy that Plimsoll has: arrivals lead, latency is a net, and the scalability law gives a ceiling.
pub fn plimsoll_policy(side: &str, mode: &str, ceiling: &Value) -> Value {
    let mut net = latency(side);
    if let Some(net) = net.as_object_mut() {
        net.insert("role".to_owned(), json!("SafetyNet"));
    }
    let mut policy = policy(&json!([arrivals(side), net]));
    if let Some(spec) = policy.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("mode".to_owned(), json!(mode));
        spec.insert("ceilings".to_owned(), json!({"scalability": ceiling}));
    }
    policy
}

/// A ceiling by a law that is known.
pub fn declared(law: &Law) -> Value {
    json!({
        "alpha": format!("{:.6}", law.alpha), "beta": format!("{:.6}", law.beta),
        "safetyPercent": SAFETY_PERCENT, "enforcement": "Enforce",
    })
}

/// A ceiling by the law of what was measured of a side.
pub fn fitted(side: &str) -> Value {
    let of_side = |metric: &str| format!("{metric}{{side=\"{side}\"}}");
    let rate = |metric: &str| format!("sum(rate({}[5s]))", of_side(metric));
    json!({
        "fit": {
            "throughputQuery": rate("requests_done_total"),
            "readyReplicasQuery": format!("max({})", of_side("ready_pods")),
            "utilizationQuery": format!("{} / sum({})", rate("busy_worker_seconds_total"), of_side("workers")),
            "saturation": {"query": format!("sum({})", of_side("waiting_requests")), "above": "0"},
            "objective": {"query": latency_query(side), "atMost": OBJECTIVE.to_string()},
            "windowSeconds": WINDOW_SECONDS,
        },
        "enforcement": "Enforce",
    })
}

fn policy(metrics: &Value) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": SERVICE},
        "spec": {
            "scaleTargetRef": {"name": SERVICE},
            "minReplicas": MIN_REPLICAS, "maxReplicas": MAX_REPLICAS, "pollingInterval": 1,
            "metrics": metrics,
            // Days are short here.
            "behavior": {
                "scaleUp": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 3}]},
                "scaleDown": {
                    "stabilizationWindowSeconds": 8,
                    "policies": [{"type": "Pods", "value": 2, "periodSeconds": 2}],
                },
            },
        },
    })
}

fn arrivals(side: &str) -> Value {
    json!({
        "name": "arrivals", "prometheus": {"query": format!("sum(rate(arrivals_total{{side=\"{side}\"}}[3s]))")},
        "target": {"type": "AverageValue", "averageValue": TARGET.to_string()},
        "freshness": {"maxAgeSeconds": 5},
    })
}

fn latency(side: &str) -> Value {
    json!({
        "name": "latency", "prometheus": {"query": latency_query(side)},
        "target": {"type": "Value", "value": OBJECTIVE.to_string()},
        "freshness": {"maxAgeSeconds": 5},
    })
}

fn latency_query(side: &str) -> String {
    format!("max(latency_p95_seconds{{side=\"{side}\"}})")
}
