//! A Prometheus that answers from the scenario, through the operator's own requests and decoder, with faults.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http_body::Frame;
use http_body_util::StreamBody;
use plimsoll::prometheus::{Broken, FailureKind, Transport};
use serde_json::json;
use tokio::time::sleep;

use super::ahead::{BAD_EVENTS, asks_for_bad_events};
use super::budgets::Budget;
use super::dice::{Dice, Draw};
use super::fault::{MetricClass, MetricFault};
use super::ledger::{Answered, Form, Ledger};
use super::oracle::World;
use super::scenario::{BASE, Scenario, TARGET};
use crate::apiserver::ApiServer;

/// How often targets are scraped.
const SCRAPE: Duration = Duration::from_secs(5);
/// How far back an instant query looks for a sample.
const LOOK_BACK: Duration = Duration::from_secs(300);
/// The range of rates.
const RANGE: Duration = Duration::from_secs(60);
/// How long the operator waits for an answer, in seconds.
pub const TIMEOUT_SECONDS: u32 = 5;

/// The metrics of a world.
pub struct Metrics {
    server: ApiServer,
    scenario: Arc<Scenario>,
    ledger: Arc<Ledger>,
    dice: Dice,
}

/// What one process asks the metrics through.
pub struct Questions {
    metrics: Arc<Metrics>,
    operator: u32,
}

impl Metrics {
    /// The metrics of `scenario`.
    pub fn new(server: &ApiServer, scenario: Arc<Scenario>, ledger: Arc<Ledger>) -> Self {
        let dice = Dice::seeded(scenario.seed).of("metrics at work");
        Self { server: server.clone(), scenario, ledger, dice }
    }

    /// The world that is measured.
    fn world(&self) -> World<'_> {
        World { server: &self.server, scenario: &self.scenario, ledger: &self.ledger, metrics: self }
    }

    /// The way in which one process asks.
    pub fn asked_by(self: &Arc<Self>, operator: u32) -> Questions {
        Questions { metrics: Arc::clone(self), operator }
    }

    /// The newest sample that a question for the moment `at` sees, in milliseconds of the run.
    fn newest(&self, workload: usize, at: i64) -> Option<i64> {
        let now = milliseconds(self.ledger.now());
        let step = milliseconds(SCRAPE);
        let newest = at.min(now).div_euclid(step) * step;
        let oldest = at - milliseconds(LOOK_BACK);
        std::iter::successors(Some(newest), |moment| Some(moment - step))
            .take_while(|moment| *moment > oldest)
            .find(|moment| self.is_scraped(workload, *moment))
    }

    fn is_scraped(&self, workload: usize, moment: i64) -> bool {
        let fails = |fault: &MetricFault| {
            fault.class == MetricClass::Unscraped
                && fault.workload == workload
                && (milliseconds(fault.from)..milliseconds(fault.to)).contains(&moment)
        };
        !self.scenario.metrics.iter().any(fails)
    }

    /// What a Prometheus without faults answers for the moment `at`, in milliseconds of the run.
    pub fn value(&self, workload: usize, at: i64) -> Option<f64> {
        let plan = self.scenario.workloads.get(workload)?;
        let newest = self.newest(workload, at)?;
        let sample =
            |moment: i64| TARGET * plan.demand.at(Duration::from_millis(u64::try_from(moment).unwrap_or(0)));
        if plan.gauge {
            return Some(sample(newest));
        }
        let step = milliseconds(SCRAPE);
        let within: Vec<f64> = std::iter::successors(Some(newest), |moment| Some(moment - step))
            .take_while(|moment| *moment > at - milliseconds(RANGE))
            .filter(|moment| self.is_scraped(workload, *moment))
            .map(sample)
            .collect();
        let count = plimsoll::number::count_of(within.len());
        (count >= 2).then(|| within.iter().sum::<f64>() / f64::from(count))
    }

    /// The age of the newest sample, in seconds.
    fn age(&self, workload: usize, at: i64) -> Option<f64> {
        let newest = self.newest(workload, at)?;
        Some(Duration::from_millis(u64::try_from(at - newest).unwrap_or(0)).as_secs_f64())
    }

    /// The fault that a question meets now.
    fn fault(&self, workload: usize, form: Form) -> Option<MetricClass> {
        let now = self.ledger.now();
        let dice = self.dice.of(&format!("{form:?}")).nth(u64::try_from(now.as_millis()).unwrap_or(0));
        let faults = self.scenario.metrics.iter().enumerate();
        faults
            .filter(|(_, fault)| fault.workload == workload && fault.from <= now && now < fault.to)
            .filter(|(_, fault)| match fault.class {
                MetricClass::Unscraped => false,
                MetricClass::NoAge => form != Form::Value,
                MetricClass::Zero
                | MetricClass::Negative
                | MetricClass::Huge
                | MetricClass::Partial
                | MetricClass::Empty
                | MetricClass::NotANumber => form == Form::Value,
                _ => true,
            })
            .find(|(index, fault)| dice.nth(u64::try_from(*index).unwrap_or(0)).falls(fault.probability))
            .map(|(_, fault)| fault.class)
    }
}

/// What is answered.
struct Reply {
    after: Duration,
    response: Result<reqwest::Response, Broken>,
}

impl Transport for Questions {
    fn carry(&self, request: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, Broken>> {
        let reply = self.reply(&request);
        Box::pin(async move {
            sleep(reply.after).await;
            reply.response
        })
    }

    fn now(&self) -> jiff::Timestamp {
        let ledger = &self.metrics.ledger;
        let now = ledger.now();
        let shown = BASE + milliseconds(now) + ledger.state().clock_error(now);
        jiff::Timestamp::from_millisecond(shown).unwrap_or_default()
    }
}

impl Questions {
    fn reply(&self, request: &reqwest::Request) -> Reply {
        let at_once = |response| Reply { after: Duration::from_millis(3), response: Ok(response) };
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let form_text = String::from_utf8_lossy(body);
        if request.url().path().ends_with("/query_range") {
            return self.range(&form_text);
        }
        let Some((query, at)) = read(&form_text) else {
            return at_once(page(400, "text/plain", "a form with query and time is due"));
        };
        if let Some(budget) = budget_of(&query) {
            return self.limit(budget, form_of(&query), at);
        }
        let Some(workload) = workload_of(&query) else {
            return at_once(page(400, "text/plain", "no such workload"));
        };
        let metrics = &self.metrics;
        let form = form_of(&query);
        let bad_events = asks_for_bad_events(&query);
        let truth = match form {
            Form::Value if bad_events => Some(BAD_EVENTS),
            Form::Value => metrics.value(workload, at),
            Form::Age => metrics.age(workload, at),
            Form::Coverage => Some(1000.0),
        };
        let fault = metrics.fault(workload, form);
        if let Some(class) = fault {
            metrics.ledger.count(class.name());
        }
        if fault.is_none() && form == Form::Age && truth.is_none_or(|age| age > 30.0) {
            metrics.ledger.count(MetricClass::Unscraped.name());
        }
        let now = metrics.ledger.now();
        let dice = metrics.dice.of("reply").nth(u64::try_from(now.as_millis()).unwrap_or(0));
        let slow = Duration::from_secs_f64(dice.random().level(0.5, 9.0));
        let in_time = slow < Duration::from_secs(u64::from(TIMEOUT_SECONDS));
        // A clock that is off by so much is warned of, which makes every value suspect.
        let clock_off = metrics.ledger.state().clock_error(now).unsigned_abs() >= 29_000;
        let good = match fault {
            None => truth,
            Some(MetricClass::Slow) if in_time => truth,
            // Where no pod serves, that nothing is served may be true, and is believed.
            Some(MetricClass::Zero) if !metrics.world().serves(workload) => Some(0.0),
            Some(_) => None,
        };
        let replicas = metrics.world().asked(workload);
        let is_beside = bad_events || query.contains("rival");
        metrics.ledger.state().answers.get_mut(workload).into_iter().filter(|_| !is_beside).for_each(
            |answers| {
                answers.push(Answered {
                    operator: self.operator,
                    asked: now,
                    form,
                    good: good.filter(|_| !clock_off),
                    replicas,
                });
            },
        );
        self.answer(fault, truth, at, slow, dice)
    }

    /// What a database gives.
    fn limit(&self, budget: usize, form: Form, at: i64) -> Reply {
        let (metrics, now) = (&self.metrics, self.metrics.ledger.now());
        let plan = metrics.scenario.budgets.get(budget);
        let truth = plan.map(|plan| match form {
            Form::Value => f64::from(plan.level(now)),
            Form::Age | Form::Coverage => 1.0,
        });
        let dice = metrics.dice.of("limit").nth(u64::try_from(now.as_millis()).unwrap_or(0));
        let faults = plan.map(|plan| plan.faults.as_slice()).unwrap_or_default();
        let fault = faults.iter().find(|(from, to, class, probability)| {
            let meets = form == Form::Value || !matches!(class, MetricClass::Zero | MetricClass::Partial);
            *from <= now && now < *to && meets && dice.falls(*probability)
        });
        let fault = fault.map(|(_, _, class, _)| *class);
        if let Some(class) = fault {
            metrics.ledger.count(class.name());
        }
        let slow = Duration::from_secs_f64(dice.random().level(0.5, 9.0));
        self.answer(fault, truth, at, slow, dice)
    }

    /// The past, at each step of a range.
    fn range(&self, text: &str) -> Reply {
        let at_once = |response| Reply { after: Duration::from_millis(5), response: Ok(response) };
        let metrics = &self.metrics;
        let asked = range_of(text)
            .and_then(|(query, from, to, step)| Some((workload_of(&query)?, query, from, to, step)));
        let Some((workload, query, from, to, step)) = asked else {
            return at_once(page(400, "text/plain", "a form with query, start, end and step is due"));
        };
        let form = form_of(&query);
        metrics.ledger.count("metrics: history asked");
        if let Some(class) = metrics.fault(workload, form) {
            metrics.ledger.count(class.name());
            let now = u64::try_from(metrics.ledger.now().as_millis()).unwrap_or(0);
            return self.answer(
                Some(class),
                metrics.value(workload, to),
                to,
                Duration::from_secs(2),
                metrics.dice.nth(now),
            );
        }
        let moments = std::iter::successors(Some(from), |at| Some(at + step)).take_while(|at| *at <= to);
        let values: Vec<_> = moments
            .filter_map(|at| {
                let value = match form {
                    Form::Value => metrics.value(workload, at)?,
                    Form::Age => metrics.age(workload, at)?,
                    Form::Coverage => 1000.0,
                };
                Some(json!([seconds(at), value.to_string()]))
            })
            .collect();
        // A forecast's past has gaps between its steps in which anything may have been asked for.
        let is_whole = step < milliseconds(LOOK_BACK);
        if form == Form::Value && is_whole && !query.contains("rival") && values.len() > 1 {
            let since = Duration::from_millis(u64::try_from(from).unwrap_or(0));
            let mut state = metrics.ledger.state();
            state
                .histories
                .get_mut(workload)
                .into_iter()
                .for_each(|known| known.push((self.operator, since)));
        }
        let result = json!([{"metric": {}, "values": values}]);
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
        at_once(self.dated(page(200, "application/json", &body.to_string())))
    }

    fn answer(
        &self,
        fault: Option<MetricClass>,
        truth: Option<f64>,
        at: i64,
        slow: Duration,
        dice: Dice,
    ) -> Reply {
        let quick = Duration::from_millis(3);
        let seconds =
            Duration::from_millis(u64::try_from(at.saturating_add(BASE)).unwrap_or(0)).as_secs_f64();
        let sample = |value: &str| json!({"metric": {}, "value": [seconds, value]});
        let vector = |result: serde_json::Value| json!({"status": "success", "data": {"resultType": "vector", "result": result}});
        let ok = |body: serde_json::Value| Ok(self.dated(page(200, "application/json", &body.to_string())));
        let number = |value: f64| vector(json!([sample(&value.to_string())]));
        let honest = || truth.map_or_else(|| vector(json!([])), number);
        let Some(fault) = fault else { return Reply { after: quick, response: ok(honest()) } };
        let (after, response) = match fault {
            MetricClass::Refuse => {
                let words =
                    "it refused the connection; is the server running, and the port right?".to_owned();
                (quick, Err(Broken { kind: FailureKind::Unreachable, words }))
            }
            MetricClass::Hang => (Duration::from_secs(3600), ok(honest())),
            MetricClass::Slow => (slow, ok(honest())),
            MetricClass::Empty | MetricClass::NoAge | MetricClass::Unscraped => {
                (quick, ok(vector(json!([]))))
            }
            MetricClass::Partial => {
                let mut body = number(truth.unwrap_or(0.0) / 2.0);
                json_patch::merge(&mut body, &json!({"warnings": ["some stores did not answer"]}));
                (quick, ok(body))
            }
            MetricClass::NotANumber => (quick, ok(vector(json!([sample("NaN")])))),
            MetricClass::Infinite => {
                let sign = if dice.of("sign").falls(0.5) { "+Inf" } else { "-Inf" };
                (quick, ok(vector(json!([sample(sign)]))))
            }
            MetricClass::Negative => (quick, ok(number(-5.0))),
            MetricClass::Huge => (quick, ok(number(1e300))),
            MetricClass::Zero => (quick, ok(number(0.0))),
            MetricClass::Several => (quick, ok(vector(json!([sample("1"), sample("2")])))),
            MetricClass::WrongType => {
                let bodies = [
                    json!({"status": "success", "data": {"resultType": "vector", "result": {"value": 3}}}),
                    json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [seconds, 3]}]}}),
                    json!({"status": "success", "data": {"resultType": "string", "result": [seconds, "3"]}}),
                    json!({"status": "success", "data": {"resultType": "matrix", "result": []}}),
                    json!({"status": 200, "data": []}),
                    json!([1, 2, 3]),
                ];
                (quick, ok(dice.of("type").random().one(&bodies, json!(null))))
            }
            MetricClass::ErrorEnvelope => {
                let body = json!({"status": "error", "errorType": "timeout", "error": "query timed out in expression evaluation"});
                (quick, Ok(self.dated(page(503, "application/json", &body.to_string()))))
            }
            MetricClass::Html => (quick, Ok(page(200, "text/html", "<!doctype html><title>Sign in</title>"))),
            MetricClass::Endless => (quick, Ok(endless())),
            MetricClass::BrokenOff => (quick, Ok(broken_off())),
            MetricClass::Redirect => {
                let mut response = http::Response::new(reqwest::Body::from(""));
                *response.status_mut() = http::StatusCode::FOUND;
                response.headers_mut().insert(
                    http::header::LOCATION,
                    http::HeaderValue::from_static("http://169.254.169.254/latest/meta-data"),
                );
                (quick, Ok(response.into()))
            }
        };
        Reply { after, response }
    }

    /// With the time of the server's own clock, which is right.
    fn dated(&self, response: reqwest::Response) -> reqwest::Response {
        let milliseconds = BASE.saturating_add(milliseconds(self.metrics.ledger.now()));
        let date = jiff::Timestamp::from_millisecond(milliseconds)
            .ok()
            .and_then(|now| jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&now).ok())
            .and_then(|date| http::HeaderValue::from_str(&date).ok());
        let mut response: http::Response<reqwest::Body> = response.into();
        if let Some(date) = date {
            response.headers_mut().insert(http::header::DATE, date);
        }
        response.into()
    }
}

/// The query of a form and the moment that it asks for, in milliseconds of the run.
fn read(form: &str) -> Option<(String, i64)> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{form}")).ok()?;
    let field =
        |name: &str| url.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned());
    let (seconds, fraction) = field("time")?.split_once('.').map(|(s, f)| (s.to_owned(), f.to_owned()))?;
    let at = seconds.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(fraction.parse::<i64>().ok()?)?;
    Some((field("query")?, at.checked_sub(BASE)?))
}

/// Query, first and last moment and step of a range, in milliseconds of the run.
fn range_of(form: &str) -> Option<(String, i64, i64, i64)> {
    let url = reqwest::Url::parse(&format!("http://localhost/?{form}")).ok()?;
    let field =
        |name: &str| url.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned());
    let milliseconds = |text: &str| {
        let text = text.trim_end_matches('s');
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let fraction = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
        whole.parse::<i64>().ok()?.checked_mul(1000)?.checked_add(fraction)
    };
    let step = milliseconds(&field("step")?)?.max(1);
    Some((
        field("query")?,
        milliseconds(&field("start")?)? - BASE,
        milliseconds(&field("end")?)? - BASE,
        step,
    ))
}

/// A moment of the run as Prometheus writes it.
fn seconds(at: i64) -> f64 {
    Duration::from_millis(u64::try_from(at.saturating_add(BASE)).unwrap_or(0)).as_secs_f64()
}

fn workload_of(query: &str) -> Option<usize> {
    let (_, rest) = query.split_once("app=\"w")?;
    rest.split_once('"')?.0.parse().ok()
}

fn budget_of(query: &str) -> Option<usize> {
    let (_, rest) = query.split_once("budget=\"")?;
    Budget::index(rest.split_once('"')?.0)
}

fn form_of(query: &str) -> Form {
    if query.contains("count by") {
        Form::Coverage
    } else if query.contains("timestamp(") {
        Form::Age
    } else {
        Form::Value
    }
}

fn page(code: u16, kind: &'static str, text: &str) -> reqwest::Response {
    let mut response = http::Response::new(reqwest::Body::from(text.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::OK);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response.into()
}

/// A gigabyte and more of JSON that never ends.
fn endless() -> reqwest::Response {
    let chunk = Bytes::from(vec![b' '; 64 * 1024]);
    let start = futures::stream::iter([Bytes::from_static(b"{\"status\":\"success\",")]);
    let chunks =
        start.chain(futures::stream::repeat(chunk)).map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)));
    http::Response::new(reqwest::Body::wrap(StreamBody::new(chunks))).into()
}

fn broken_off() -> reqwest::Response {
    let chunks = [
        Ok(Frame::data(Bytes::from_static(b"{\"status\":\"success\",\"data\":{\"resultType\":\"vec"))),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ];
    http::Response::new(reqwest::Body::wrap(StreamBody::new(futures::stream::iter(chunks)))).into()
}

/// A moment of the run in milliseconds.
pub fn milliseconds(moment: Duration) -> i64 {
    i64::try_from(moment.as_millis()).unwrap_or(i64::MAX)
}
