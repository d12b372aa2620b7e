//! An API server for tests: answers as told, and remembers what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub method: String,
    /// Path and query.
    pub path: String,
    pub content_type: String,
    pub body: Value,
}

/// What is answered.
pub(crate) enum Answer {
    Json(u16, Value),
    Never,
    /// Well, and then nothing for so long, as of a quiet watch.
    Silence(Duration),
}

/// Everything asked so far.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    /// The requests whose path contains `part`.
    pub(crate) fn about(&self, part: &str) -> Vec<Asked> {
        self.all().into_iter().filter(|asked| asked.path.contains(part)).collect()
    }
}

/// A client of a server that answers as `answer` says.
pub(crate) fn server(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Client, Log) {
    let (log, answer) = (Log::default(), Arc::new(answer));
    let asked = log.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await.unwrap();
            let header =
                parts.headers.get(http::header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
            let asked = Asked {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                content_type: header.unwrap_or_default(),
                body: if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() },
            };
            let answer = answer(&asked);
            log.0.lock().unwrap().push(asked);
            match answer {
                Answer::Json(code, body) => {
                    let body = axum::body::Body::from(serde_json::to_vec(&body).unwrap());
                    Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
                }
                Answer::Silence(lasts) => {
                    let silence = futures::stream::once(async move {
                        tokio::time::sleep(lasts).await;
                        Ok::<_, Infallible>(String::new())
                    });
                    Ok(Response::new(axum::body::Body::from_stream(silence)))
                }
                Answer::Never => std::future::pending().await,
            }
        }
    });
    (Client::new(service, "default"), asked)
}

/// A refusal as Kubernetes words it.
pub(crate) fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message});
    Answer::Json(code, body)
}

/// A `/scale` as Kubernetes answers it.
pub(crate) fn scale(replicas: u32, resource_version: &str, selector: &str) -> Answer {
    let body = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": "web", "namespace": "shop", "uid": "target", "resourceVersion": resource_version},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": selector}
    });
    Answer::Json(200, body)
}
