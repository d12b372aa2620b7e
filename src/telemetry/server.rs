//! The operator's own endpoints: `/healthz`, `/readyz`, `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Health, Metrics};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers until `stop`.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    if let Err(error) =
        axum::serve(listener, routes(health, metrics)).with_graceful_shutdown(stop.cancelled_owned()).await
    {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

fn routes(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/healthz", get(|State(of): State<Endpoints>| async move { verdict(of.health.dead()) }))
        .route("/readyz", get(|State(of): State<Endpoints>| async move { verdict(of.health.unready()) }))
        .route("/metrics", get(|State(of): State<Endpoints>| async move { exposition(&of.metrics) }))
        .with_state(Endpoints { health, metrics })
}

#[derive(Clone)]
struct Endpoints {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

fn verdict(fault: Option<String>) -> (StatusCode, String) {
    fault.map_or_else(
        || (StatusCode::OK, "ok\n".to_owned()),
        |fault| (StatusCode::SERVICE_UNAVAILABLE, fault + "\n"),
    )
}

fn exposition(metrics: &Metrics) -> Response {
    match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn get(health: &Arc<Health>, path: &str) -> (StatusCode, String, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = routes(health.clone(), Arc::new(Metrics::new())).oneshot(request).await.unwrap();
        let content_type =
            response.headers().get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap()).to_owned();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_starting_operator_is_alive_and_not_ready() {
        let health = Arc::new(Health::default());
        health.tick();
        assert_eq!(get(&health, "/healthz").await.0, StatusCode::OK);
        let (status, _, body) = get(&health, "/readyz").await;
        assert_eq!((status, body.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "starting\n"));
        assert_eq!(get(&health, "/other").await.0, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics_text() {
        let (status, content_type, body) = get(&Arc::new(Health::default()), "/metrics").await;
        assert_eq!((status, content_type.as_str()), (StatusCode::OK, OPEN_METRICS));
        assert!(body.ends_with("# EOF\n"));
    }
}
