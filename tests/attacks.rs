//! What somebody who may write a policy, or who runs what a policy points at, could try in order to reach what is not theirs.
//!
//! | What is tried | Why it fails | Held by |
//! |---|---|---|
//! | a policy names a URL instead of a server (metadata services, loopback, the API server) | a policy can only pick a name of the operator's configuration; nothing is dialled | here |
//! | a policy brings a URL, credentials or headers of its own | there is no such field, and unknown fields are refused | here |
//! | a policy uses a server that is for other namespaces | `allowedNamespaces` | here, `prometheus_sharing` |
//! | a policy scales a workload of another namespace | there is no such field, and no path of one in a name or version | here, `src/cluster/scale.rs` |
//! | a query reads series of another tenant (32 escapes: `or`, `__name__`, subqueries, comments, quotes, …) | the matcher is put on every selector of the parsed tree | `src/prometheus/promql/tests`, fuzz target `promql` |
//! | a namespace's name ends the matcher's string | it is written as a literal of the tree | here, fuzz target `promql` |
//! | a server redirects, to take the credentials elsewhere | redirects are not followed | `prometheus_adversary` |
//! | a name's address changes between look-ups (DNS rebinding) | credentials go to the configured entry alone; with https the certificate must bear its name | `prometheus_credentials` |
//! | a server echoes its credentials in an error | they are not shown | `prometheus_credentials` |
//! | a configuration hides credentials in a URL, or another scheme | refused | here |
//! | a header value starts a second header | refused | here |
//! | a server answers for ever, or with a compressed bomb | bodies and times are bounded, nothing is unpacked | `prometheus_adversary` |
//! | an annotation or an answer without end fills status and logs | what is kept of each is bounded | `src/cluster/overrides.rs`, fuzz targets `overrides`, `answer` |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

mod prometheus_support;

use plimsoll::api::ScalingPolicySpec;
use plimsoll::prometheus::promql::Query;
use plimsoll::prometheus::{Config, ServerConfig};
use plimsoll::signal::Answer;
use prometheus_support::{Act, NOON, Rogue, config, evaluation, servers, values};

#[tokio::test]
async fn a_policy_cannot_name_where_to_dial() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let others = ServerConfig {
        name: "others".into(),
        allowed_namespaces: Some(vec!["pay".into()]),
        ..config(&rogue.url())
    };
    let servers = servers([config(&rogue.url()), others]);
    let address = rogue.url();
    for server in [
        "http://169.254.169.254/latest/meta-data",
        "169.254.169.254",
        "[::ffff:a9fe:a9fe]",
        "http://[::ffff:a9fe:a9fe]:80",
        "http://2852039166",
        "localhost:9090",
        "kubernetes.default.svc",
        "https://kubernetes.default",
        "main@169.254.169.254",
        "http://main@169.254.169.254",
        "//169.254.169.254",
        "file:///etc/passwd",
        "unix:///run/containerd.sock",
        "main/../others",
        "main#",
        "main?",
        "main\0",
        " main",
        "MAIN",
        "",
        "others",
        &address,
    ] {
        let reading = servers.evaluate(server, "shop", &evaluation("up"), NOON).await;
        let Answer::Failed(sentence) = reading.answer else { panic!("{server:?} answered") };
        assert!(
            sentence.contains("there is no Prometheus server") || sentence.contains("may not use"),
            "{server:?}: {sentence}"
        );
    }
    assert_eq!(rogue.requests().len(), 0, "nobody was dialled");
}

#[test]
fn a_policy_cannot_bring_an_address_credentials_or_another_namespace() {
    let metric = |fields: &str| {
        format!(
            "scaleTargetRef: {{name: a}}\nmaxReplicas: 9\nmetrics: [{{name: rps, target: {{type: Value, value: 1}}, {fields}}}]"
        )
    };
    let target = |fields: &str| {
        format!(
            "scaleTargetRef: {{name: a, {fields}}}\nmaxReplicas: 9\nmetrics: [{{name: rps, target: {{type: Value, value: 1}}, \
             prometheus: {{query: up}}}}]"
        )
    };
    let read =
        |text: &str| serde_saphyr::from_str::<ScalingPolicySpec>(text).map_err(|error| error.to_string());
    assert!(read(&metric("prometheus: {query: up}")).is_ok());
    for spec in [
        metric("prometheus: {query: up, url: 'http://169.254.169.254'}"),
        metric("prometheus: {query: up, serverAddress: 'http://169.254.169.254'}"),
        metric("prometheus: {query: up, headers: {Authorization: x}}"),
        metric("prometheus: {query: up, auth: {bearerTokenFile: /etc/shadow}}"),
        metric("prometheus: {query: up, tls: {caFile: /etc/shadow}}"),
        metric("prometheus: {query: up, namespace: victim}"),
        metric("prometheus: {query: up}, secretRef: {name: token}"),
        metric("prometheus: {query: up, server: {url: 'http://169.254.169.254'}}"),
        target("namespace: victim"),
        target("uid: 1234"),
    ] {
        assert!(read(&spec).is_err(), "{spec}");
    }
}

#[test]
fn a_namespaces_name_cannot_end_the_string_that_it_is_written_into() {
    for namespace in ["a\"} or secret{x=\"", "a\\", "a`", "a'", "a\nb", "a#", "", "\u{2028}"] {
        let mut query = Query::parse("sum(up{job=\"x\"}) / sum(up)").unwrap();
        query.inject_matcher("namespace", namespace).unwrap();
        let text = query.verified_text().unwrap();
        assert_eq!(Query::parse(&text).unwrap().selectors().len(), 2, "{namespace:?} made {text}");
        assert!(!text.contains('\n'));
    }
}

#[test]
fn a_configuration_cannot_hide_what_it_dials_or_sends() {
    let with = |fields: &str| Config::from_yaml(&format!("prometheusServers: [{{name: main, {fields}}}]"));
    assert!(with("url: 'http://prometheus:9090'").is_ok());
    for fields in [
        "url: 'http://user:secret@prometheus'",
        "url: 'http://user@prometheus'",
        "url: 'http://prometheus@169.254.169.254'",
        "url: 'file:///etc/passwd'",
        "url: 'gopher://prometheus'",
        "url: 'prometheus:9090'",
        "url: '//prometheus'",
        "url: 'http://'",
        "url: 'http://prometheus?query=x'",
        "url: 'http://prometheus#x'",
        "url: 'http://[::ffff:a9fe:a9fe'",
        "url: 'http://prometheus', headers: {X-A: \"a\\r\\nAuthorization: b\"}",
        "url: 'http://prometheus', headers: {\"X-A: b\\r\\nX-B\": a}",
        "url: 'http://prometheus', headers: {authorization: a}",
        "url: 'http://prometheus', headers: {HOST: victim}",
        "url: 'http://prometheus', headers: {Content-Length: '0'}",
        "url: 'http://prometheus', namespaceLabel: 'a=\"b\", c'",
    ] {
        assert!(with(fields).is_err(), "{fields}");
    }
}
