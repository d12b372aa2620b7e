//! The three services of the scenario, and how they are declared to Kubernetes and to the operator.

use std::time::Duration;

use serde_json::{Value, json};

use super::fleet::{SERVICE_LABEL, ServicePods};
use super::timetable::SCRAPE_SECONDS;

/// A service whose pods hold connections of the one database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// The name of its Deployment, its policy and its pods' label.
    pub name: &'static str,
    /// Connections that one pod holds.
    pub per_pod: u32,
    /// Queries a second for each replica that its autoscalers aim at: three tenths of what its pool can make.
    pub target: f64,
    /// Its part of the connections where every service has a fixed part.
    pub part: u32,
    /// That part once the database gives less.
    pub lowered_part: u32,
    /// Its weight where they share.
    pub weight: u32,
}

/// The least replicas of each service, which it begins with.
pub const MIN_REPLICAS: u32 = 2;
/// The most replicas of each service, as teams set it that know their own service.
pub const MAX_REPLICAS: u32 = 12;
/// Longer than any drain here takes.
const GRACE_SECONDS: u32 = 8;
/// How long a query takes.
const QUERY: Duration = Duration::from_millis(200);
/// What arrives, by service.
pub const ARRIVALS: &str = "arrivals_total";

/// The services: together they can want more than there is, and each alone cannot.
pub const SERVICES: [Service; 3] = [
    Service { name: "checkout", per_pod: 4, target: 6.0, part: 44, lowered_part: 36, weight: 2 },
    Service { name: "orders", per_pod: 3, target: 4.5, part: 33, lowered_part: 27, weight: 2 },
    Service { name: "reports", per_pod: 2, target: 3.0, part: 16, lowered_part: 14, weight: 1 },
];

impl Service {
    /// Its Deployment.
    pub fn deployment(&self) -> Value {
        let containers = json!([{"name": "service", "image": "orders-pod"}]);
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": self.name},
            "spec": {
                "replicas": MIN_REPLICAS,
                "selector": {"matchLabels": {SERVICE_LABEL: self.name}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": {SERVICE_LABEL: self.name}},
                    "spec": {"containers": containers, "terminationGracePeriodSeconds": GRACE_SECONDS},
                },
            },
        })
    }

    /// What its pods do: they write orders, and each takes its time.
    pub fn pods(&self) -> ServicePods {
        let (name, seconds) = (self.name, QUERY.as_secs_f64());
        let statement = format!(
            "WITH placed AS (INSERT INTO orders (service) VALUES ('{name}') RETURNING number) \
             SELECT number FROM placed, pg_sleep({seconds})"
        );
        ServicePods { name: name.to_owned(), pool: self.per_pod, statement }
    }

    /// What arrives for it in a second, as a query.
    pub fn query(&self) -> String {
        let (name, window) = (self.name, 3 * SCRAPE_SECONDS);
        format!("sum(rate({ARRIVALS}{{service=\"{name}\"}}[{window}s]))")
    }

    /// Its policy without what the database gives: all that an HPA knows.
    pub fn policy(&self) -> Value {
        json!({
            "apiVersion": "plimsoll.dev/v1alpha1", "kind": "ScalingPolicy", "metadata": {"name": self.name},
            "spec": {
                "scaleTargetRef": {"name": self.name},
                "minReplicas": MIN_REPLICAS, "maxReplicas": MAX_REPLICAS, "pollingInterval": 1,
                "metrics": [{
                    "name": "arrivals", "prometheus": {"query": self.query()},
                    "target": {"type": "AverageValue", "averageValue": self.target.to_string()},
                    "freshness": {"maxAgeSeconds": 5},
                }],
                "behavior": {
                    "scaleUp": {"policies": [{"type": "Percent", "value": 100, "periodSeconds": 3}]},
                    "scaleDown": {
                        "stabilizationWindowSeconds": 6,
                        "policies": [{"type": "Pods", "value": 3, "periodSeconds": 2}],
                    },
                },
            },
        })
    }
}
