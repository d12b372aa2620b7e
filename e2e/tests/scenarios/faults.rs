//! What is wrong with a policy, its target or the operator's surroundings is told in words, and moves no count.

use std::sync::Arc;

use e2e::bed::{Bed, Operator, OperatorOptions, Right, Stage, Workload, condition, operator_rights};
use e2e::real::{Prometheus, PrometheusOptions, Target};
use plimsoll::api::ScalingPolicy;
use plimsoll::prometheus::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

/// The only metric, asked of `server`.
fn metrics(server: &str, query: &str) -> Value {
    json!([{
        "name": "rps",
        "prometheus": {"server": server, "query": query},
        "target": {"type": "AverageValue", "averageValue": "10"},
    }])
}

pub(crate) async fn queries(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "queries", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    for shard in ["1", "2", "3"] {
        bed.exporter().gauge("shards", &[("namespace", "queries"), ("shard", shard)], 40.0);
    }
    let three = r#"count(shards{namespace="queries"})"#;
    bed.prometheus().wait_for(three, |values| values == ["3"]).await.unwrap();
    stage.declare(&json!({"spec": {"metrics": metrics("elsewhere", "vector(1)")}})).await.unwrap();
    let operator = stage.operator().await.unwrap();
    let address = bed.prometheus().url().replace("http://", "");
    let prometheus = format!("Prometheus server \"main\" ({address})");
    let mut faults = Vec::new();
    for (server, query, sentence) in [
        (
            "elsewhere",
            "vector(1)",
            "there is no Prometheus server \"elsewhere\" in the operator's configuration; it has main".to_owned(),
        ),
        (
            "main",
            "sum(load{",
            "the query is not usable: unexpected end of input inside braces".to_owned(),
        ),
        (
            "main",
            r#"load{namespace="queries"} / on(namespace) group_left shards{namespace="queries"}"#,
            format!("{prometheus}: it could not evaluate the query: found duplicate series for the match group"),
        ),
        (
            "main",
            r#"load{namespace="queries"}[1m]"#,
            "the query is not usable: the query returns a range; wrap it in an aggregation over time such as rate(...) or \
             avg_over_time(...)"
                .to_owned(),
        ),
        (
            "main",
            r#""eighty""#,
            "the query is not usable: the query returns a string; a signal must be a number".to_owned(),
        ),
        (
            "main",
            r#"sum(laod{namespace="queries"})"#,
            "the query matched no series: check its metric name and labels, and that the target is scraped".to_owned(),
        ),
        (
            "main",
            r#"shards{namespace="queries"}"#,
            "the query returned 3 series where one is due: wrap it in sum(...) or max(...)".to_owned(),
        ),
    ] {
        stage.edit(json!({"metrics": metrics(server, query)})).await.unwrap();
        let generation = stage.seen().await.unwrap().metadata.generation;
        let policy = stage
            .until(&format!("judged {query}"), |policy| {
                condition(policy, "ScalingActive").is_some_and(|active| active.observed_generation == generation)
            })
            .await
            .unwrap();
        let active = condition(&policy, "ScalingActive").unwrap();
        assert_eq!((active.status.as_str(), active.reason.as_str()), ("False", "FailedGetExternalMetric"));
        let said = active.message.split_once(": ").map(|(_, said)| said).unwrap_or_default();
        if !said.starts_with(&sentence) {
            faults.push(format!("{query}: {}", active.message));
        }
        let ready = condition(&policy, "Ready").unwrap();
        assert_eq!(ready.status, "False");
        assert!(ready.message.ends_with(&active.message), "{}", ready.message);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    operator.evaluations(2).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
    stage.edit(json!({"metrics": metrics("main", &stage.query())})).await.unwrap();
    stage.settled(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());
}

pub(crate) async fn targets(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "targets", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    let operator = stage.operator().await.unwrap();
    for (name, target, sentence) in [
        (
            "absent",
            json!({"name": "absent"}),
            "Deployment targets/absent does not exist: create it, or correct scaleTargetRef",
        ),
        (
            "unscalable",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "web"}),
            "ConfigMap in v1 has no /scale subresource, so it cannot be scaled: correct scaleTargetRef",
        ),
        (
            "unknown",
            json!({"apiVersion": "apps.example.dev/v1", "kind": "Rollout", "name": "web"}),
            "the cluster has no kind Rollout in apps.example.dev/v1: correct scaleTargetRef, or install what brings the kind",
        ),
    ] {
        let policy = json!({"metadata": {"name": name}, "spec": {"scaleTargetRef": target}});
        stage.declare(&policy).await.unwrap();
        let told = |policy: &ScalingPolicy| condition(policy, "AbleToScale").is_some();
        let policy = stage.until_of(name, "told of its target", told).await.unwrap();
        let able = condition(&policy, "AbleToScale").unwrap();
        assert_eq!((able.status.as_str(), able.reason.as_str()), ("False", "FailedGetScale"), "{name}");
        assert_eq!(able.message, sentence);
        assert_eq!(condition(&policy, "Ready").unwrap().message, sentence);
    }
    operator.evaluations(6).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
}

pub(crate) async fn scale_forbidden(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "scale-forbidden", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    let user = "without-scale-patch";
    let rights = Right::all_but(operator_rights().unwrap(), "patch", "deployments/scale");
    bed.grant(user, &rights).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let options = OperatorOptions { user: user.to_owned(), ..stage.options() };
    let operator = stage.operator_with(options).await.unwrap();
    let message = stage.until_condition("AbleToScale", "False", "FailedUpdateScale").await.unwrap();
    assert_eq!(
        message,
        "the operator may not patch deployments/scale in namespace scale-forbidden: grant it the verb patch on \
         deployments/scale in API group apps"
    );
    stage.until_condition("Ready", "False", "FailedUpdateScale").await.unwrap();
    operator.evaluations(3).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
    let events = stage.events().await.unwrap();
    let failures: Vec<_> =
        events.iter().filter(|event| event.starts_with("FailedRescale: New size: 8; ")).collect();
    assert_eq!(failures.len(), 1, "told once: {events:#?}");

    bed.grant(user, &operator_rights().unwrap()).await.unwrap();
    stage.settled(8).await.unwrap();
    stage.until_condition("Ready", "True", "Ready").await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());
}

pub(crate) async fn watch_forbidden(bed: Arc<Bed>) {
    let stage = Stage::set(&bed, "watch-forbidden", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    stage.declare(&json!({})).await.unwrap();
    let user = "without-pod-watch";
    bed.grant(user, &Right::all_but(operator_rights().unwrap(), "watch", "pods")).await.unwrap();
    let options = OperatorOptions { user: user.to_owned(), ..stage.options() };
    let operator = Operator::start(&bed, options).await.unwrap();
    let error = operator.ended().await.expect("it does not start").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the operator may not watch pods in namespace watch-forbidden: grant it the verb watch on pods"
    );
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
}

pub(crate) async fn certificate(bed: Arc<Bed>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let prometheus = Prometheus::start_with(PrometheusOptions {
        targets: vec![Target::new("service", bed.exporter().address())],
        tls: Some((leaf.pem(), key.serialize_pem())),
        ..PrometheusOptions::default()
    })
    .await
    .unwrap();
    let stage = Stage::set(&bed, "certificate", Workload::of(4)).await.unwrap();
    stage.load(80.0).await.unwrap();
    prometheus.wait_for(&stage.query(), |values| values == ["80"]).await.unwrap();
    stage.declare(&json!({})).await.unwrap();

    let mut options = OperatorOptions::new("certificate", &prometheus.url());
    let operator = stage.operator_with(options.clone()).await.unwrap();
    let message = stage.until_condition("ScalingActive", "False", "FailedGetExternalMetric").await.unwrap();
    let address = prometheus.url().replace("https://", "");
    assert_eq!(
        message,
        format!(
            "rps is Missing: Prometheus server \"main\" ({address}): no trusted connection: no trusted authority signed \
             its certificate; put the authority's certificate into tls.caFile"
        )
    );
    operator.evaluations(6).await.unwrap();
    assert_eq!(stage.course.counts(), [4], "{}", stage.course.record());
    operator.stop().await.unwrap().unwrap();

    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.crt");
    std::fs::write(&ca_file, authority.pem()).unwrap();
    options.servers.prometheus[0].tls = Some(Tls { ca_file: Some(ca_file), ..Tls::default() });
    let _operator = stage.operator_with(options).await.unwrap();
    stage.settled(8).await.unwrap();
    assert_eq!(stage.course.counts(), [4, 8], "{}", stage.course.record());
}
