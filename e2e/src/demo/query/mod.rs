//! A small stand-in for Prometheus where there is none: it scrapes one exporter each second, keeps ten minutes, and
//! answers queries of the few forms that the demo asks, at a moment or over a range.

mod expression;
mod samples;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::real::exporter::number;
use crate::real::loopback::LoopbackServer;
use expression::{Answer, evaluate};
use samples::{Labels, Samples};

/// How often the exporter is scraped, and how long it has to answer.
const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
/// The most points of a range, as in Prometheus.
const MOST_POINTS: usize = 11_000;

type Shared = Arc<Mutex<Samples>>;

/// A stand-in for Prometheus; it ends when this is dropped.
pub struct QueryEndpoint {
    server: LoopbackServer,
    scraping: JoinHandle<()>,
}

impl QueryEndpoint {
    /// Scrapes the exporter at `target` from now on. Must be called within a tokio runtime.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let samples = Shared::default();
        let client = reqwest::Client::builder().no_proxy().timeout(SCRAPE_INTERVAL).build();
        let client = client.map_err(io::Error::other)?;
        let asked = Arc::clone(&samples);
        let server = LoopbackServer::start(move || {
            Router::new()
                .route("/api/v1/query", post(answer))
                .route("/api/v1/query_range", post(answer_range))
                .with_state(Arc::clone(&asked))
        })?;
        let scraping = tokio::spawn(async move {
            let mut ticks = interval(SCRAPE_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let text = scrape(&client, target).await.unwrap_or_default();
                lock(&samples).take(seconds(Timestamp::now()), &text);
            }
        });
        Ok(Self { server, scraping })
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }
}

impl Drop for QueryEndpoint {
    fn drop(&mut self) {
        self.scraping.abort();
    }
}

/// What the exporter says; nothing if it does not answer, which makes every series stale, as in Prometheus.
async fn scrape(client: &reqwest::Client, target: SocketAddr) -> reqwest::Result<String> {
    client.get(format!("http://{target}/metrics")).send().await?.error_for_status()?.text().await
}

async fn answer(State(samples): State<Shared>, form: String) -> Response {
    let Some((query, at)) = read(&form) else {
        return (StatusCode::BAD_REQUEST, "a form with the fields query and time is due").into_response();
    };
    let body = match evaluate(&query, &lock(&samples), at) {
        Ok(Answer::Number(value)) => {
            json!({"status": "success", "data": {"resultType": "scalar", "result": [at, number(value)]}})
        }
        Ok(Answer::Vector(series)) => {
            let result: Vec<_> = series
                .iter()
                .map(|(labels, value)| json!({"metric": labels, "value": [at, number(*value)]}))
                .collect();
            json!({"status": "success", "data": {"resultType": "vector", "result": result}})
        }
        Err(error) => return refuse(&error),
    };
    tell(&body)
}

async fn answer_range(State(samples): State<Shared>, form: String) -> Response {
    let Some((query, moments)) = read_range(&form) else {
        return (StatusCode::BAD_REQUEST, "a form with the fields query, start, end and step is due")
            .into_response();
    };
    if moments.len() > MOST_POINTS {
        return refuse("more than 11,000 points are asked for: a longer step is due");
    }
    let samples = lock(&samples);
    let mut series: BTreeMap<Labels, Vec<Value>> = BTreeMap::new();
    for at in moments {
        let values = match evaluate(&query, &samples, at) {
            Ok(Answer::Number(value)) => vec![(Labels::new(), value)],
            Ok(Answer::Vector(values)) => values,
            Err(error) => return refuse(&error),
        };
        for (labels, value) in values {
            series.entry(labels).or_default().push(json!([at, number(value)]));
        }
    }
    let result: Vec<_> =
        series.into_iter().map(|(labels, values)| json!({"metric": labels, "values": values})).collect();
    tell(&json!({"status": "success", "data": {"resultType": "matrix", "result": result}}))
}

fn tell(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn refuse(error: &str) -> Response {
    let body = json!({"status": "error", "errorType": "bad_data", "error": error});
    (StatusCode::BAD_REQUEST, body.to_string()).into_response()
}

/// The query of a form, and the moments of the range that it asks for; none past the most that are told.
fn read_range(form: &str) -> Option<(String, Vec<f64>)> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{form}")).ok()?;
    let field =
        |name: &str| url.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned());
    let number = |name: &str| field(name)?.parse::<f64>().ok();
    let (start, end, step) = (number("start")?, number("end")?, number("step").filter(|step| *step > 0.0)?);
    let moments = (0_u32..).map(|at| start + step * f64::from(at)).take_while(|at| *at <= end);
    Some((field("query")?, moments.take(MOST_POINTS + 1).collect()))
}

/// The query of a form, and the moment it asks for.
fn read(form: &str) -> Option<(String, f64)> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{form}")).ok()?;
    let field =
        |name: &str| url.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned());
    let at = field("time").map_or_else(|| Some(seconds(Timestamp::now())), |time| time.parse().ok())?;
    Some((field("query")?, at))
}

fn lock(samples: &Shared) -> std::sync::MutexGuard<'_, Samples> {
    samples.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds(moment: Timestamp) -> f64 {
    moment.as_duration().as_secs_f64()
}
