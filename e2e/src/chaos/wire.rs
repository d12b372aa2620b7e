//! One process's way to the API server, with faults: a layer around [`ApiService`] that knows what each request is about.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use tower::{BoxError, Service, ServiceExt as _};

use super::budgets;
use super::dice::{Dice, Draw};
use super::fault::{ApiClass, ApiFault, Moment, On, READ, WATCHED, WriteKind};
use super::ledger::{Ledger, ScaleWrite};
use super::metrics::milliseconds;
use super::oracle;
use super::scenario::Scenario;
use super::stream;
use crate::apiserver::{ApiServer, ApiService, Object, ResourceRequest, Verb, object};

/// How long the operator's client waits for anything to come, as the program sets it.
const READ_TIMEOUT: Duration = Duration::from_secs(90);
/// So many requests in a second are a loop without a pause.
const MOST_REQUESTS: u32 = 500;
/// The longest time after which a delayed write is still carried out.
const LONGEST_DELAY: f64 = 60.0;

/// One process's way to the API server.
pub struct Wire {
    pub(super) server: ApiServer,
    pub(super) scenario: Arc<Scenario>,
    pub(super) ledger: Arc<Ledger>,
    /// Which process it is.
    pub(super) operator: u32,
    /// Which of the two operators it is of.
    keeper: u32,
    pub(super) dice: Dice,
    inner: ApiService,
    /// The process is dead: nothing leaves it, nothing reaches it.
    dead: AtomicBool,
    /// Told when the process is to die.
    death: Notify,
    /// Writes by kind, over all processes of the run.
    written: Arc<Mutex<[u32; 5]>>,
    /// Requests in the present second.
    pace: Mutex<(u64, u32)>,
}

impl Wire {
    /// A way for process `operator`, whose bearer token is `token`. `written` counts the writes of the whole run.
    pub fn new(
        server: &ApiServer,
        scenario: &Arc<Scenario>,
        ledger: &Arc<Ledger>,
        operator: u32,
        token: &str,
        written: &Arc<Mutex<[u32; 5]>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            server: server.clone(),
            scenario: Arc::clone(scenario),
            ledger: Arc::clone(ledger),
            operator,
            keeper: operator % 2,
            dice: Dice::seeded(scenario.seed).of("wire").nth(operator.into()),
            inner: server.service().bearing(token),
            dead: AtomicBool::new(false),
            death: Notify::new(),
            written: Arc::clone(written),
            pace: Mutex::default(),
        })
    }

    /// A client that goes this way.
    pub fn client(self: &Arc<Self>) -> kube::Client {
        kube::Client::new(Way(Arc::clone(self)), "default")
    }

    /// Cuts the process off for good.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::Relaxed);
        self.death.notify_one();
    }

    /// Waits until the process is to die.
    pub async fn death(&self) {
        self.death.notified().await;
    }

    /// Which of two operators it is of.
    pub(super) const fn keeper(&self) -> u32 {
        self.keeper
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Until when the process reaches nobody, if that is so now.
    pub(super) fn partitioned(&self) -> Option<Duration> {
        let now = self.ledger.now();
        let parts = |fault: &&ApiFault| {
            parts_of(&self.scenario, fault, self.keeper) && fault.from <= now && now < fault.to
        };
        self.scenario.api.iter().find(parts).map(|fault| fault.to)
    }

    async fn handle(
        self: Arc<Self>,
        request: Request<kube::client::Body>,
    ) -> Result<Response<Body>, BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| io::Error::other(error.to_string()))?.to_bytes();
        let request = Request::from_parts(head, body);
        let asked = ResourceRequest::parse(request.method(), request.uri());
        // What the operator's own client would do with a connection that says nothing.
        match tokio::time::timeout(READ_TIMEOUT, Arc::clone(&self).meet(request, asked)).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    async fn meet(
        self: Arc<Self>,
        request: Request<Bytes>,
        asked: Option<ResourceRequest>,
    ) -> Result<Response<Body>, BoxError> {
        if self.is_dead() || self.is_hammering() {
            return pending().await;
        }
        let Some(asked) = asked else { return self.forward(request).await };
        if let Some(until) = self.partitioned() {
            self.ledger.count(ApiClass::Partition.name());
            if write_kind(&asked) == Some(WriteKind::Grant) {
                oracle::budget::note_unanswered(&self, &asked.name, request.body());
            }
            for kind in WATCHED.into_iter().chain([READ, "get", "leases"]) {
                self.ledger.disturb(kind);
            }
            sleep(until.saturating_sub(self.ledger.now()) + Duration::from_millis(10)).await;
            return Err(io::Error::from(io::ErrorKind::ConnectionReset).into());
        }
        let kind = write_kind(&asked);
        let crash = kind.and_then(|kind| self.crash(kind));
        if crash == Some(false) {
            self.kill();
            return pending().await;
        }
        let fault = self.fault(&asked);
        if let Some((_, fault)) = fault {
            self.ledger.count(fault.class.name());
            self.ledger.say(format!(
                "fault {} on {} {}",
                fault.class.name(),
                asked.verb.name(),
                resource(&asked)
            ));
            if asked.verb == Verb::Get {
                self.ledger.disturb("get");
            }
            if kind == Some(WriteKind::Lease) {
                self.ledger.disturb("leases");
            }
            if matches!(asked.verb, Verb::List | Verb::Watch) {
                WATCHED
                    .into_iter()
                    .chain([READ])
                    .filter(|kind| *kind == asked.resource)
                    .for_each(|kind| self.ledger.disturb(kind));
            }
        }
        // What is looked at before anything else is limited to one.
        let listens = asked.verb == Verb::List
            && asked.resource == "scalingpolicies"
            && asked.parameter("limit") != "1"
            && fault.is_none();
        if listens {
            self.ledger.state().listening.entry(self.operator).or_insert_with(|| self.ledger.now());
        }
        let answer = match fault {
            Some((dice, fault)) => Arc::clone(&self).spoil(request, &asked, fault.class, dice).await,
            None => self.carry_out(request, &asked, self.ledger.now()).await,
        };
        if crash == Some(true) {
            self.kill();
            return pending().await;
        }
        answer
    }

    /// Whether the process asks without end. What it asks is answered no more then, so that time can pass.
    fn is_hammering(&self) -> bool {
        let second = self.ledger.now().as_secs();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = if pace.0 == second { (second, pace.1 + 1) } else { (second, 1) };
        if pace.1 == MOST_REQUESTS {
            self.ledger
                .violation(format!("process {} sent {MOST_REQUESTS} requests in a second", self.operator));
        }
        pace.1 >= MOST_REQUESTS
    }

    /// Whether the process dies at this write, and whether after it.
    fn crash(&self, kind: WriteKind) -> Option<bool> {
        let count = {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            let slot = written.get_mut(slot(kind))?;
            *slot += 1;
            *slot
        };
        if self.ledger.now() >= self.scenario.calm {
            return None;
        }
        let crash = self.scenario.crashes.iter().find_map(|crash| match crash.when {
            Moment::Write { kind: at, nth, after } if at == kind && nth == count && !crash.gentle => {
                Some(after)
            }
            _ => None,
        })?;
        self.ledger.count(kind.crash(crash));
        self.ledger.say(format!(
            "CRASH of process {} {} its {kind:?}",
            self.operator,
            if crash { "after" } else { "before" }
        ));
        Some(crash)
    }

    /// The fault that a request meets now.
    fn fault(&self, asked: &ResourceRequest) -> Option<(Dice, ApiFault)> {
        let now = self.ledger.now();
        let dice = self.dice.of(&resource(asked)).nth(u64::try_from(now.as_millis()).unwrap_or(0));
        let faults = self.scenario.api.iter().enumerate();
        faults
            .filter(|(_, fault)| fault.from <= now && now < fault.to && concerns(fault.on, asked))
            .filter(|(_, fault)| fault.class != ApiClass::Partition)
            .map(|(index, fault)| (dice.nth(u64::try_from(index).unwrap_or(0)), *fault))
            .find(|(dice, fault)| dice.falls(fault.probability))
    }

    async fn spoil(
        self: Arc<Self>,
        mut request: Request<Bytes>,
        asked: &ResourceRequest,
        class: ApiClass,
        dice: Dice,
    ) -> Result<Response<Body>, BoxError> {
        let mut random = dice.of("details").random();
        let sent = self.ledger.now();
        let unclear = matches!(
            class,
            ApiClass::Delay
                | ApiClass::LoseAnswer
                | ApiClass::LoseRequest
                | ApiClass::ServerError
                | ApiClass::Refuse
        );
        if unclear && write_kind(asked) == Some(WriteKind::Grant) {
            oracle::budget::note_unanswered(&self, &asked.name, request.body());
        }
        match class {
            ApiClass::Conflict => Ok(refusal(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version",
            )),
            ApiClass::Throttle => {
                let mut response = refusal(
                    429,
                    "TooManyRequests",
                    "the server has received too many requests and has asked us to try again later",
                );
                let seconds = random.between(1, 10).to_string();
                if let Ok(value) = HeaderValue::from_str(&seconds) {
                    response.headers_mut().insert(http::header::RETRY_AFTER, value);
                }
                Ok(response)
            }
            ApiClass::ServerError => {
                let code = random.one(&[500, 502, 503, 504], 500);
                // Proxies before the API server answer in their own words.
                if code == 502 {
                    let mut response = Response::new(Body::from("<html><body>Bad Gateway</body></html>"));
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                    return Ok(response);
                }
                Ok(refusal(code, "InternalError", "etcdserver: request timed out"))
            }
            ApiClass::Refuse | ApiClass::Partition => {
                Err(io::Error::from(io::ErrorKind::ConnectionRefused).into())
            }
            ApiClass::LoseRequest => pending().await,
            ApiClass::LoseAnswer => {
                let _ = self.carry_out(request, asked, sent).await;
                pending().await
            }
            ApiClass::Delay => {
                let longest =
                    if self.scenario.budgets.is_empty() { LONGEST_DELAY } else { budgets::LONGEST_DELAY };
                let delay = Duration::from_secs_f64(random.level(0.5, longest));
                let late = Arc::clone(&self);
                let asked = asked.clone();
                // It is on its way, whatever becomes of the client.
                let carried = tokio::spawn(async move {
                    sleep(delay).await;
                    late.ledger.say(format!(
                        "a delayed {} of {} arrives",
                        asked.verb.name(),
                        resource(&asked)
                    ));
                    late.carry_out(request, &asked, sent).await
                });
                carried.await.unwrap_or_else(|error| Err(error.into()))
            }
            ApiClass::Slow => {
                let answer = self.carry_out(request, asked, sent).await;
                sleep(Duration::from_secs_f64(random.level(0.2, 4.8))).await;
                answer
            }
            // By these, growth and grants are proven: a list that names no version is the newest, by the API's contract.
            ApiClass::StaleList
                if asked.resource == READ
                    || !asked.parameter("labelSelector").is_empty()
                    || !asked.parameter("fieldSelector").is_empty() =>
            {
                self.forward(request).await
            }
            ApiClass::StaleList => {
                let past = self.server.revision().saturating_sub(random.below(60));
                rewrite(
                    &mut request,
                    &[("resourceVersion", &past.to_string()), ("resourceVersionMatch", "Exact")],
                );
                self.forward(request).await
            }
            ApiClass::ExpiredPage if !asked.parameter("continue").is_empty() => Ok(refusal(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result",
            )),
            ApiClass::ExpiredPage => {
                rewrite(&mut request, &[("limit", "2")]);
                self.forward(request).await
            }
            ApiClass::Gone if asked.verb == Verb::Watch && random.chance(0.5) => {
                Ok(refusal(410, "Expired", "too old resource version"))
            }
            ApiClass::Drop | ApiClass::Silence | ApiClass::Lag | ApiClass::Gone | ApiClass::Replay => {
                let response = self.forward(request).await?;
                if asked.verb != Verb::Watch {
                    return Ok(response);
                }
                Ok(stream::spoil(response, class, random))
            }
        }
    }

    /// Lets a request through, and judges what it did.
    async fn carry_out(
        &self,
        request: Request<Bytes>,
        asked: &ResourceRequest,
        sent: Duration,
    ) -> Result<Response<Body>, BoxError> {
        let Some(kind) = write_kind(asked) else {
            let response = self.forward(request).await?;
            return Ok(if asked.verb == Verb::Watch { stream::pass(self, response) } else { response });
        };
        let workload = asked.name.strip_prefix('w').and_then(|index| index.parse::<usize>().ok());
        let before = (kind == WriteKind::Scale).then(|| self.target(asked)).flatten();
        let dry = asked.parameter("dryRun") == "All";
        let response = self.forward(request).await?;
        let code = response.status().as_u16();
        if kind != WriteKind::Lease && response.status().is_success() && !dry {
            let now = self.ledger.now();
            self.ledger.state().accepted.push((now, resource(asked)));
            if kind != WriteKind::Event {
                oracle::lease::judge(self, sent);
            }
        }
        if kind == WriteKind::Lease && response.status().is_success() {
            oracle::lease::note(self);
        }
        if kind == WriteKind::Grant && response.status().is_success() {
            oracle::budget::note(self, &asked.name);
        }
        if let (Some(before), Some(index)) = (before, workload) {
            let from = object::count(&before.value, &["spec", "replicas"]);
            let after = self.target(asked);
            let to = after.as_ref().map_or(0, |after| object::count(&after.value, &["spec", "replicas"]));
            if response.status().is_success() {
                let landed = self.ledger.now();
                let clock = milliseconds(sent) + self.ledger.state().clock_error(sent);
                let term = self.ledger.state().holders.len();
                let write = ScaleWrite { operator: self.operator, term, sent, landed, clock, from, to };
                self.ledger.say(format!("process {} scales {} {from} → {to}", self.operator, asked.name));
                oracle::write::judge(self, index, &before.value, &write);
                self.ledger
                    .state()
                    .writes
                    .get_mut(index)
                    .into_iter()
                    .for_each(|writes| writes.push(write.clone()));
            } else {
                self.ledger.say(format!(
                    "process {} may not scale {} from {from}: {code}",
                    self.operator, asked.name
                ));
            }
        }
        Ok(response)
    }

    fn target(&self, asked: &ResourceRequest) -> Option<Object> {
        self.server.collection("apps", "v1", &asked.resource).ok()?.stored(&asked.namespace, &asked.name)
    }

    async fn forward(&self, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
        let request = request.map(http_body_util::Full::new);
        self.inner.clone().oneshot(request).await.map_err(|never| match never {})
    }
}

/// The service that a client speaks to.
#[derive(Clone)]
struct Way(Arc<Wire>);

impl Service<Request<kube::client::Body>> for Way {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        Box::pin(Arc::clone(&self.0).handle(request))
    }
}

/// Whether a fault is a partition of this operator: of two, one.
pub(super) fn parts_of(scenario: &Scenario, fault: &ApiFault, keeper: u32) -> bool {
    let of = u32::from(fault.from.as_millis() % 2 == 1);
    fault.class == ApiClass::Partition && fault.probability > 0.5 && (!scenario.pair || of == keeper)
}

const fn slot(kind: WriteKind) -> usize {
    match kind {
        WriteKind::Scale => 0,
        WriteKind::Status => 1,
        WriteKind::Event => 2,
        WriteKind::Lease => 3,
        WriteKind::Grant => 4,
    }
}

fn write_kind(asked: &ResourceRequest) -> Option<WriteKind> {
    match (asked.resource.as_str(), asked.subresource.as_str()) {
        _ if !asked.verb.writes() => None,
        (_, "scale") => Some(WriteKind::Scale),
        ("scalingpolicies", "status") => Some(WriteKind::Status),
        ("events", _) => Some(WriteKind::Event),
        ("leases", _) => Some(WriteKind::Lease),
        ("connectionbudgets", "status") => Some(WriteKind::Grant),
        _ => None,
    }
}

fn concerns(on: On, asked: &ResourceRequest) -> bool {
    match on {
        On::Scale => write_kind(asked) == Some(WriteKind::Scale),
        On::Status => write_kind(asked) == Some(WriteKind::Status),
        On::Event => write_kind(asked) == Some(WriteKind::Event),
        On::Grant => write_kind(asked) == Some(WriteKind::Grant),
        On::Lease => write_kind(asked) == Some(WriteKind::Lease),
        On::Get => asked.verb == Verb::Get,
        On::Lists => asked.verb == Verb::List,
        On::Watch(kind) => asked.resource == kind && matches!(asked.verb, Verb::Watch | Verb::List),
        On::Everything => true,
    }
}

fn resource(asked: &ResourceRequest) -> String {
    let mut text = asked.resource.clone();
    for part in [&asked.subresource, &asked.name] {
        if !part.is_empty() {
            text.push('/');
            text.push_str(part);
        }
    }
    text
}

/// Sets query parameters of a request.
fn rewrite(request: &mut Request<Bytes>, parameters: &[(&str, &str)]) {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let is_set = |pair: &&str| parameters.iter().any(|(name, _)| pair.split('=').next() == Some(name));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !is_set(pair)).map(str::to_owned);
    let set = parameters.iter().map(|(name, value)| format!("{name}={value}"));
    let query: Vec<String> = kept.chain(set).collect();
    if let Ok(uri) = format!("{}?{}", uri.path(), query.join("&")).parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

fn refusal(code: u16, reason: &str, message: &str) -> Response<Body> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    let mut response = Response::new(Body::from(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
