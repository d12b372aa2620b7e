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
    let routes = Router::new()
        .route("/healthz", get(|State(of): State<Endpoints>| async move { verdict(of.health.dead()) }))
        .route("/readyz", get(|State(of): State<Endpoints>| async move { verdict(of.health.unready()) }))
        .route("/metrics", get(|State(of): State<Endpoints>| async move { exposition(&of.metrics) }))
        .with_state(Endpoints { health, metrics });
    if let Err(error) = axum::serve(listener, routes).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(%error, "health and metrics are no longer served");
    }
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
