//! What several tests of the double share.

#![allow(dead_code, reason = "each test uses its own part")]

pub(crate) mod cluster;
pub(crate) mod real;
pub(crate) mod requests;

use serde_json::Value;

/// Sends a raw request and returns code, warnings and body; JSON where the body is JSON.
pub(crate) async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> (u16, Vec<String>, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, content_type)
        .header(http::header::USER_AGENT, "tester/1")
        .body(kube::client::Body::from(body.as_bytes().to_vec()))
        .unwrap();
    let deadline = std::time::Duration::from_secs(30);
    let response =
        tokio::time::timeout(deadline, client.send(request)).await.expect("an answer in time").unwrap();
    let code = response.status().as_u16();
    let warnings = response.headers().get_all(http::header::WARNING).iter();
    let warnings = warnings.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    let text = response.into_body().collect_bytes().await.unwrap();
    let text = String::from_utf8_lossy(&text).into_owned();
    (code, warnings, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
