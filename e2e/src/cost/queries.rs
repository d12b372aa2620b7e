//! Answers to the operator's queries, as quick as can be: what is measured is the operator.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use super::{carried, noisy};
use crate::real::loopback::LoopbackServer;

/// A Prometheus of which nothing is asked but a value and its age.
pub(super) struct Queries {
    server: LoopbackServer,
    state: Arc<Asked>,
}

#[derive(Default)]
struct Asked {
    values: AtomicU64,
    ages: AtomicU64,
    /// Demand in percent of what the pods carry.
    percent: AtomicU64,
    /// Pods of each workload.
    pods: usize,
}

impl Queries {
    pub(super) fn start(pods: usize) -> io::Result<Self> {
        let state = Arc::new(Asked { percent: AtomicU64::new(100), pods, ..Asked::default() });
        let shared = state.clone();
        let routes = move || {
            let route = Router::new().route("/api/v1/query", post(answer));
            route.route("/api/v1/query_range", post(nothing)).with_state(shared.clone())
        };
        Ok(Self { server: LoopbackServer::start(routes)?, state })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub(super) fn demand(&self, percent: u64) {
        self.state.percent.store(percent, Ordering::Relaxed);
    }

    /// Queries for values and for ages so far.
    pub(super) fn asked(&self) -> (u64, u64) {
        (self.state.values.load(Ordering::Relaxed), self.state.ages.load(Ordering::Relaxed))
    }
}

async fn answer(State(state): State<Arc<Asked>>, form: String) -> Response {
    let value = if form.contains("timestamp") {
        state.ages.fetch_add(1, Ordering::Relaxed);
        4.0
    } else {
        let seed = state.values.fetch_add(1, Ordering::Relaxed);
        let percent = f64::from(u32::try_from(state.percent.load(Ordering::Relaxed)).unwrap_or(u32::MAX));
        noisy(carried(state.pods) * percent / 100.0, seed)
    };
    vector(&format!(r#"{{"metric":{{}},"value":[1790000000,"{value}"]}}"#))
}

/// There is no history.
async fn nothing() -> Response {
    let body = r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#;
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn vector(series: &str) -> Response {
    let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#);
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
