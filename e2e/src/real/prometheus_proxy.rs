//! A proxy in front of a real Prometheus that passes its answers on, or lies.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::loopback::LoopbackServer;

/// The largest request and the largest answer that are passed on, in bytes.
const BODY_LIMIT: usize = 64 << 20;
/// The most samples of one series in an answer, as in Prometheus.
const MAX_SAMPLES: u32 = 11_000;

/// What a query is answered with in place of Prometheus' answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Lie {
    /// Nothing until another lie or the truth is told.
    Hang,
    /// A result without series.
    NoSeries,
    /// One series with this value, as it stands in the answer: `NaN`, `-500`, `1e18`, or no number at all.
    Value(String),
    /// That many series with different labels.
    Series(u32),
    /// The true answer with a warning.
    Warning(String),
    /// This HTTP status with a page that is not Prometheus'.
    Status(u16),
    /// The true answer, later.
    Late(Duration),
    /// A redirect to this URL.
    Redirect(String),
    /// This body with status 200.
    Body(String),
    /// A body with status 200 that never ends.
    EndlessBody,
    /// The start of an answer, and then a closed connection.
    Cut,
}

/// A query as it reached the proxy.
#[derive(Clone, Debug)]
pub struct Query {
    /// `GET` or `POST`.
    pub method: Method,
    /// The path, such as `/api/v1/query`.
    pub path: String,
    /// The parameters of the URL and of the form, in order.
    pub parameters: Vec<(String, String)>,
    /// The headers; credentials are not printed.
    pub headers: HeaderMap,
}

impl Query {
    /// The first parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A running proxy; its clones are handles of the same one.
#[derive(Clone)]
pub struct PrometheusProxy {
    shared: Arc<Shared>,
    server: Arc<LoopbackServer>,
}

struct Shared {
    upstream: String,
    lies: watch::Sender<Lies>,
    queries: Mutex<Vec<Query>>,
}

#[derive(Clone, Debug, Default)]
struct Lies {
    /// About queries that contain a text; the newest that fits is told.
    about: Vec<(String, Lie)>,
    /// About all other queries.
    otherwise: Option<Lie>,
}

impl Lies {
    fn about(&self, query: &str) -> Option<&Lie> {
        let fitting = self.about.iter().rev().find(|(text, _)| query.contains(text));
        fitting.map(|(_, lie)| lie).or(self.otherwise.as_ref())
    }
}

impl PrometheusProxy {
    /// Starts a proxy that tells the truth of the Prometheus at `upstream`, a URL without a slash at the end.
    pub fn start(upstream: &str) -> io::Result<Self> {
        let client = super::loopback_client()?;
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            lies: watch::Sender::default(),
            queries: Mutex::default(),
        });
        let state = Arc::clone(&shared);
        let server = LoopbackServer::start(move || {
            let proxy = Proxy { shared: Arc::clone(&state), client: client.clone() };
            Router::new().fallback(answer).with_state(proxy)
        })?;
        Ok(Self { shared, server: Arc::new(server) })
    }

    /// Where it listens, also while it refuses.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Tells the truth again and accepts connections.
    pub fn tell_the_truth(&self) -> io::Result<()> {
        self.shared.lies.send_replace(Lies::default());
        self.server.resume()
    }

    /// Tells this lie about every query from now on, those that hang included.
    pub fn lie(&self, lie: Lie) {
        self.shared.lies.send_modify(|lies| lies.otherwise = Some(lie));
    }

    /// Tells this lie about queries that contain `text`, whatever is told about others.
    pub fn lie_about(&self, text: &str, lie: Lie) {
        self.shared.lies.send_modify(|lies| lies.about.push((text.to_owned(), lie)));
    }

    /// Closes all connections and refuses new ones until [`tell_the_truth`](Self::tell_the_truth).
    pub fn refuse(&self) {
        self.server.stop();
    }

    /// The queries that have reached it so far.
    pub fn queries(&self) -> Vec<Query> {
        self.shared.lock_queries().clone()
    }

    /// Forgets the queries so far.
    pub fn forget_queries(&self) {
        self.shared.lock_queries().clear();
    }
}

impl fmt::Debug for PrometheusProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusProxy")
            .field("address", &self.address())
            .field("lies", &*self.shared.lies.borrow())
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock_queries(&self) -> std::sync::MutexGuard<'_, Vec<Query>> {
        self.queries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
struct Proxy {
    shared: Arc<Shared>,
    client: reqwest::Client,
}

async fn answer(State(proxy): State<Proxy>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path_and_query = head.uri.path_and_query().map_or("/", |uri| uri.as_str()).to_owned();
    let query = Query {
        parameters: parameters(head.uri.query(), &body),
        path: head.uri.path().to_owned(),
        headers: without_secrets(head.headers.clone()),
        method: head.method.clone(),
    };
    proxy.shared.lock_queries().push(query.clone());

    let text = query.parameter("query").unwrap_or_default();
    let mut lies = proxy.shared.lies.subscribe();
    let told = lies.wait_for(|lies| lies.about(text) != Some(&Lie::Hang)).await;
    let lie = told.ok().and_then(|lies| lies.about(text).cloned());
    let truth = proxy.forward(head.method, &path_and_query, head.headers, body);
    match lie {
        None | Some(Lie::Hang) => truth.await.into_response(),
        Some(Lie::Late(delay)) => {
            sleep(delay).await;
            truth.await.into_response()
        }
        Some(Lie::Warning(warning)) => truth.await.with_warning(&warning).into_response(),
        Some(Lie::NoSeries) => success(&query, &[]),
        Some(Lie::Value(value)) => success(&query, &[(json!({}), value)]),
        Some(Lie::Series(count)) => {
            let series: Vec<_> =
                (1..=count).map(|each| (json!({"pod": format!("pod-{each}")}), each.to_string())).collect();
            success(&query, &series)
        }
        Some(Lie::Status(status)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, "text/html")], "<html>not Prometheus</html>").into_response()
        }
        Some(Lie::Redirect(url)) => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]).into_response()
        }
        Some(Lie::Body(body)) => json_response(body),
        Some(Lie::EndlessBody) => json_response(Body::from_stream(stream::repeat_with(|| {
            Ok::<_, io::Error>(Bytes::from_static(&[b' '; 16 << 10]))
        }))),
        Some(Lie::Cut) => json_response(Body::from_stream(cut_answer())),
    }
}

/// The start of an answer, and, once that is sent, an error that closes the connection.
fn cut_answer() -> impl Stream<Item = io::Result<Bytes>> {
    let start = stream::iter([Ok(Bytes::from_static(b"{\"status\":\"success\","))]);
    start.chain(stream::once(async {
        // While the rest is not there, the server sends what it has.
        yield_now().await;
        Err(io::ErrorKind::ConnectionReset.into())
    }))
}

/// What Prometheus answered.
struct Truth {
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
}

impl Proxy {
    async fn forward(&self, method: Method, path_and_query: &str, headers: HeaderMap, body: Bytes) -> Truth {
        let mut request =
            self.client.request(method, format!("{}{path_and_query}", self.shared.upstream)).body(body);
        if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        let read = async {
            let answer = request.send().await?;
            let (status, headers) = (answer.status(), answer.headers().clone());
            let content_type = headers.get(header::CONTENT_TYPE).cloned();
            Ok::<_, reqwest::Error>(Truth { status, content_type, body: answer.bytes().await? })
        };
        read.await.unwrap_or_else(|error| Truth {
            status: StatusCode::BAD_GATEWAY,
            content_type: None,
            body: format!("the proxy cannot reach Prometheus: {error}").into(),
        })
    }
}

impl Truth {
    fn with_warning(mut self, warning: &str) -> Self {
        if let Ok(Value::Object(mut answer)) = serde_json::from_slice(&self.body) {
            answer.insert("warnings".to_owned(), json!([warning]));
            self.body = Value::Object(answer).to_string().into();
        }
        self
    }
}

impl IntoResponse for Truth {
    fn into_response(self) -> Response {
        let content_type = self.content_type.unwrap_or(HeaderValue::from_static("text/plain"));
        (self.status, [(header::CONTENT_TYPE, content_type)], self.body).into_response()
    }
}

/// A successful answer with these series, each of one value at every moment that was asked for.
fn success(query: &Query, series: &[(Value, String)]) -> Response {
    let moments = moments(query);
    let range = query.path.ends_with("query_range");
    let result: Vec<Value> = series
        .iter()
        .map(|(labels, value)| {
            let samples: Vec<Value> = moments.iter().map(|moment| json!([moment, value])).collect();
            if range {
                json!({"metric": labels, "values": samples})
            } else {
                json!({"metric": labels, "value": samples.first()})
            }
        })
        .collect();
    let kind = if range { "matrix" } else { "vector" };
    json_response(json!({"status": "success", "data": {"resultType": kind, "result": result}}).to_string())
}

/// The moments that a query asks for, in seconds since the epoch: one, or those of a range.
fn moments(query: &Query) -> Vec<f64> {
    let number = |name: &str| query.parameter(name).and_then(|text| text.parse::<f64>().ok());
    if let (Some(start), Some(end), Some(step)) = (number("start"), number("end"), number("step")) {
        let moments = (0..MAX_SAMPLES).map(|index| f64::from(index).mul_add(step, start));
        return moments.take_while(|moment| *moment <= end).collect();
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    vec![number("time").unwrap_or(now)]
}

fn json_response(body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.into()).into_response()
}

/// The parameters of the URL and of a form.
fn parameters(url_query: Option<&str>, form: &[u8]) -> Vec<(String, String)> {
    let form = std::str::from_utf8(form).unwrap_or_default();
    [url_query.unwrap_or_default(), form]
        .iter()
        .filter_map(|text| reqwest::Url::parse(&format!("http://127.0.0.1/?{text}")).ok())
        .flat_map(|url| url.query_pairs().into_owned().collect::<Vec<_>>())
        .collect()
}

fn without_secrets(mut headers: HeaderMap) -> HeaderMap {
    if let Some(credentials) = headers.get_mut(header::AUTHORIZATION) {
        credentials.set_sensitive(true);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lie_that_fits_a_query_is_told() {
        let lies = Lies {
            about: vec![("errors".to_owned(), Lie::NoSeries), ("errors".to_owned(), Lie::Cut)],
            otherwise: Some(Lie::Series(2)),
        };
        assert_eq!(lies.about("rate(errors[1m])"), Some(&Lie::Cut));
        assert_eq!(lies.about("up"), Some(&Lie::Series(2)));
    }

    #[test]
    fn parameters_come_from_the_url_and_from_the_form() {
        assert_eq!(
            parameters(Some("time=1"), b"query=a%2Bb+c"),
            [("time".to_owned(), "1".to_owned()), ("query".to_owned(), "a+b c".to_owned())]
        );
    }
}
