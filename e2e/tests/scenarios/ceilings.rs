//! What must not be passed is not passed, and what was lowered is walked down to.

use std::sync::Arc;
use std::time::Duration;

use e2e::bed::{Bed, Operator, Stage, Workload, condition};
use plimsoll::api::ScalingPolicy;
use serde_json::{Value, json};

/// Database connections that one pod takes.
const PER_POD: i32 = 10;

/// A ceiling of `connections`; with one pod of surge and none that overlaps, it carries a tenth of them less one.
fn orders_db(connections: i32, enforcement: &str) -> Value {
    json!({"connections": [{
        "name": "orders-db",
        "inline": {"maxConnections": connections},
        "perPod": PER_POD,
        "rolloutOverlap": 0,
        "enforcement": enforcement,
    }]})
}

/// Ten replicas at exactly their load under a ceiling of twelve.
async fn ten_under_twelve(
    bed: &Arc<Bed>,
    name: &str,
    enforcement: &str,
    changes: Value,
) -> (Stage, Operator) {
    let stage = Stage::set(bed, name, Workload::of(10)).await.unwrap();
    stage.load(100.0).await.unwrap();
    let slowly = json!({"policies": [{"type": "Pods", "value": 2, "periodSeconds": 3}]});
    let mut spec = json!({"ceilings": orders_db(130, enforcement), "behavior": {"scaleDown": slowly}});
    json_patch::merge(&mut spec, &changes);
    stage.declare(&json!({"spec": spec})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.until_condition("Ready", "True", "Ready").await.unwrap();
    assert_eq!(stage.seen().await.unwrap().status.unwrap().effective_max_replicas, Some(12));
    (stage, operator)
}

pub(crate) async fn walked_down(bed: Arc<Bed>) {
    let (stage, operator) = ten_under_twelve(&bed, "walked-down", "Enforce", json!({})).await;
    stage.load(300.0).await.unwrap();
    stage.until_wanted(12).await.unwrap();
    stage.until_condition("ScalingLimited", "True", "ConnectionBudget").await.unwrap();
    // The rate counts from the period's start, so what was added in the same period would be taken back at once.
    operator.evaluations(4).await.unwrap();

    stage.edit(json!({"ceilings": orders_db(80, "Enforce")})).await.unwrap();
    stage.settled(7).await.unwrap();
    operator.evaluations(3).await.unwrap();
    let record = stage.course.record();
    assert_eq!(record.counts(), [10, 12, 10, 8, 7], "{record}");
    let walk = record.moments().iter().skip_while(|moment| moment.wanted != 12);
    let steps: Vec<_> = [10, 8, 7]
        .iter()
        .map(|count| walk.clone().find(|moment| moment.wanted == *count).unwrap().at)
        .collect();
    // Two pods in three seconds; what is seen may be late by a little.
    for pair in steps.windows(2) {
        assert!(pair[1] >= pair[0] + Duration::from_millis(2500), "{record}");
    }
    let held = "needs 30, held at 7 by database connections of orders-db";
    let says_so =
        |policy: &ScalingPolicy| condition(policy, "Ready").is_some_and(|ready| ready.message == held);
    let status = stage.until(held, says_so).await.unwrap().status.unwrap();
    assert_eq!(status.limited_by.as_deref(), Some("connections/orders-db"));
    assert_eq!(status.unmet_replicas, Some(23));
    let decision = status.decision.unwrap();
    assert_eq!((decision.from, decision.to, decision.reason.as_str()), (7, 7, "ConnectionBudget"));
    assert_eq!(decision.message, held);
    assert!(record.most_pods() * PER_POD <= 130, "{record}");
}

pub(crate) async fn cut(bed: Arc<Bed>) {
    let (stage, operator) = ten_under_twelve(&bed, "cut", "Hard", json!({})).await;
    stage.edit(json!({"ceilings": orders_db(60, "Hard")})).await.unwrap();
    stage.settled(5).await.unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [10, 5], "{}", stage.course.record());
    let message = stage.until_condition("ScalingLimited", "True", "ConnectionBudget").await.unwrap();
    assert_eq!(message, "needs 10, held at 5 by database connections of orders-db: 5 more would be needed");
}

pub(crate) async fn infeasible(bed: Arc<Bed>) {
    let (stage, operator) = ten_under_twelve(&bed, "infeasible", "Enforce", json!({"minReplicas": 8})).await;
    stage.edit(json!({"ceilings": orders_db(60, "Enforce")})).await.unwrap();
    let message = stage.until_condition("BudgetInfeasible", "True", "BudgetInfeasible").await.unwrap();
    assert_eq!(
        message,
        "database connections of orders-db allows 5 replicas, minReplicas is 8: the count is not cut below minReplicas \
         and does not grow; raise the limit, lower what each pod takes, or lower minReplicas"
    );
    stage.settled(8).await.unwrap();
    stage.load(200.0).await.unwrap();
    operator.evaluations(6).await.unwrap();
    assert_eq!(stage.course.counts(), [10, 8], "{}", stage.course.record());
    stage.until_condition("Ready", "False", "BudgetInfeasible").await.unwrap();

    // Even a hard ceiling does not cut below minReplicas.
    stage.edit(json!({"ceilings": orders_db(40, "Hard")})).await.unwrap();
    stage
        .until("told of 3 replicas", |policy| {
            policy.status.as_ref().is_some_and(|status| status.effective_max_replicas == Some(3))
        })
        .await
        .unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [10, 8], "{}", stage.course.record());
}

pub(crate) async fn observed(bed: Arc<Bed>) {
    let (stage, operator) = ten_under_twelve(&bed, "observed", "Enforce", json!({})).await;
    stage.edit(json!({"ceilings": orders_db(60, "Observe")})).await.unwrap();
    stage.load(140.0).await.unwrap();
    stage.until_wanted(14).await.unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [10, 14], "{}", stage.course.record());
    let ceilings = stage.seen().await.unwrap().status.unwrap().ceilings;
    let told: Vec<_> =
        ceilings.iter().map(|one| (one.name.as_str(), one.replicas, one.enforcement.as_str())).collect();
    assert_eq!(told, [("connections/orders-db", Some(5), "Observe")]);
}

pub(crate) async fn scalability(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "scalability", Workload::of(4)).await.unwrap();
    stage.load(40.0).await.unwrap();
    // The peak is √(0.97 / 0.01) = 9.8 replicas, and 80 % of that are 7.
    let law = json!({"alpha": "0.03", "beta": "0.01", "enforcement": "Enforce"});
    stage.declare(&json!({"spec": {"ceilings": {"scalability": law}}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    stage.load(150.0).await.unwrap();
    stage.settled(7).await.unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 7], "{}", stage.course.record());
    let message = stage.until_condition("ScalingLimited", "True", "ScalabilityCeiling").await.unwrap();
    assert_eq!(message, "needs 15, held at 7 by the scalability ceiling (USL): 8 more would be needed");
    let ceilings = stage.seen().await.unwrap().status.unwrap().ceilings;
    assert_eq!(
        ceilings[0].reason,
        "declared α 0.03 and β 0.01: throughput peaks at 9.8 replicas, 80 % of that is allowed"
    );
}
