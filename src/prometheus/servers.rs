//! The servers by name, and one evaluation of one signal.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::Answered;
use super::config::{Config, ConfigError, ServerConfig};
use super::failure::Failure;
use super::plan::{self, AgePlan, Plan};
use super::server::Server;
use super::statistics::Statistics;
use super::transport::Transport;
use crate::number::floor_count;
use crate::signal::{Age, Answer, Reading};
use crate::time::{Span, Time};

/// The Prometheus servers that policies may name.
pub struct Servers {
    by_name: BTreeMap<String, Server>,
}

/// What is asked for one signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// The PromQL that yields the value: one series or a scalar.
    pub query: String,
    /// PromQL that yields the age in seconds, in place of what `query`'s own selectors tell.
    pub freshness_query: Option<String>,
    /// How old a sample may be to count for coverage.
    pub max_age: Span,
    /// Whether to ask how many pods stand behind the value.
    pub coverage: bool,
    /// Whether to ask for the age. If not, the age measured last is given as [`Age::Earlier`]; if there is none, it is
    /// asked for all the same.
    pub ask_age: bool,
    /// The moment of the policy's evaluation before this one. No answer asked for then or earlier is given again: a
    /// second evaluation that confirms a leap must have looked a second time.
    pub newer_than: Option<Time>,
}

impl Servers {
    /// Makes the servers of a configuration. Nothing is dialled and no file is read until the first evaluation, so one
    /// broken server does not keep the others from working.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        Self::make(config, None)
    }

    /// The same, with `transport` in place of connections.
    pub fn through(config: Config, transport: &Arc<dyn Transport>) -> Result<Self, ConfigError> {
        Self::make(config, Some(transport))
    }

    fn make(config: Config, transport: Option<&Arc<dyn Transport>>) -> Result<Self, ConfigError> {
        config.check()?;
        let mut by_name = BTreeMap::new();
        for (index, server) in config.prometheus.into_iter().enumerate() {
            let name = server.name.clone();
            let made = Server::new(server, transport.cloned()).map_err(|fault| ConfigError::Server {
                index,
                name: name.clone(),
                fault,
            })?;
            by_name.insert(name, made);
        }
        Ok(Self { by_name })
    }

    /// Asks `server` for one signal of a policy in `namespace`, as of `at`. Takes no longer than the server's timeout;
    /// whatever goes wrong is in the reading, in words for the person on call. Beside the server's own warnings there
    /// may be one that coverage could not be had (`covered_pods` is then None) and one that the clocks differ.
    ///
    /// Identical queries for moments within the same five seconds are asked once, unless the one who asks has had that
    /// answer already.
    pub async fn evaluate(&self, server: &str, namespace: &str, request: &Evaluation, at: Time) -> Reading {
        let planned = self.usable_server(server, namespace).and_then(|server| {
            let plan = server.plans.plan(request, matcher(&server.config, namespace))?;
            Ok((server, plan))
        });
        match planned {
            Ok((server, plan)) => read(server, &plan, request, at).await,
            Err(sentence) => Reading {
                answer: Answer::Failed(sentence),
                warnings: Vec::new(),
                age: Age::Unknown("the query was not asked".into()),
                covered_pods: None,
            },
        }
    }

    /// Whether a policy in `namespace` may ask `query` of `server`; asks no server. The error is a sentence for the
    /// policy's author.
    pub fn check(&self, server: &str, namespace: &str, query: &str) -> Result<(), String> {
        let server = self.usable_server(server, namespace)?;
        plan::check(query, matcher(&server.config, namespace))
    }

    /// What has been counted since the start.
    pub fn statistics(&self) -> Statistics {
        let servers = self.by_name.iter().map(|(name, server)| (name.clone(), server.statistics()));
        Statistics { servers: servers.collect() }
    }

    pub(super) fn usable_server(&self, name: &str, namespace: &str) -> Result<&Server, String> {
        let server = self.by_name.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            match known.as_slice() {
                [] => {
                    format!("there is no Prometheus server {name:?}; the operator's configuration names none")
                }
                known => format!(
                    "there is no Prometheus server {name:?} in the operator's configuration; it has {}",
                    known.join(", ")
                ),
            }
        })?;
        let allowed = server.config.allowed_namespaces.as_ref();
        if allowed.is_none_or(|allowed| allowed.iter().any(|other| other == namespace)) {
            Ok(server)
        } else {
            Err(format!(
                "policies in namespace {namespace:?} may not use Prometheus server {name:?}; whoever runs the operator can add \
                 the namespace to allowedNamespaces"
            ))
        }
    }
}

pub(super) fn matcher<'a>(config: &'a ServerConfig, namespace: &'a str) -> Option<(&'a str, &'a str)> {
    config.namespace_label.as_deref().map(|label| (label, namespace))
}

async fn read(server: &Server, plan: &Plan, request: &Evaluation, at: Time) -> Reading {
    let (value, age, coverage) = futures::join!(
        server.ask(&plan.value, at, request.newer_than),
        read_age(server, plan, request, at),
        read_coverage(server, plan.coverage.as_ref(), request, at)
    );
    let (answer, mut warnings) = match &value.answer {
        Ok(answered) => (answered.answer.clone(), answered.warnings.clone()),
        Err(failure) => (Answer::Failed(failure.sentence.clone()), Vec::new()),
    };
    let covered_pods = coverage.unwrap_or_else(|sentence| {
        warnings.push(format!("how many pods stand behind the value is not known: {sentence}"));
        None
    });
    Reading { answer, warnings, age, covered_pods }
}

async fn read_age(server: &Server, plan: &Plan, request: &Evaluation, at: Time) -> Age {
    let query = match &plan.age {
        AgePlan::NotSampled => return Age::NotSampled,
        AgePlan::Derived(query) | AgePlan::Declared(query) => query,
    };
    if let Some((age, measured)) = plan.last_age().filter(|_| !request.ask_age) {
        return Age::Earlier { age, at: measured };
    }
    let reply = server.ask(query, at, request.newer_than).await;
    let age = match &reply.answer {
        Ok(answered) => age_of(answered),
        Err(failure) => Age::Unknown(age_fault(plan, failure)),
    };
    // Somebody may have asked for a slightly earlier moment.
    let age = match age {
        Age::Measured(age) => Age::Measured(age + at.since(reply.at)),
        other => other,
    };
    plan.remember_age(match age {
        Age::Measured(age) => Some((age, at)),
        _ => None,
    });
    age
}

pub(super) fn age_of(answered: &Answered) -> Age {
    match &answered.answer {
        Answer::Value(seconds) if !seconds.is_finite() => Age::Unknown(format!(
            "the age is {seconds}, which is no time; write the freshnessQuery as time() - max(timestamp(...))"
        )),
        // No sample is younger than the moment asked for; -0.1 may be left of a subtraction.
        Answer::Value(seconds) if *seconds < -1.0 => Age::Unknown(format!(
            "the age is {seconds} s, which is negative; write the freshnessQuery as time() - max(timestamp(...))"
        )),
        Answer::Value(seconds) => Age::Measured(span(seconds.max(0.0))),
        Answer::NoSeries => Age::NoSample,
        Answer::ManySeries(count) => Age::Unknown(format!(
            "freshnessQuery returned {count} series where one is due; wrap it in max(...)"
        )),
        Answer::Failed(sentence) => Age::Unknown(sentence.clone()),
    }
}

pub(super) fn age_fault(plan: &Plan, failure: &Failure) -> String {
    let sentence = &failure.sentence;
    // timestamp() drops metric names, so a selector over several metrics cannot be asked for its age.
    match plan.age {
        AgePlan::Derived(_) if sentence.contains("same labelset") => {
            format!(
                "the age cannot be read off this query's selectors; declare a freshnessQuery ({sentence})"
            )
        }
        _ => sentence.clone(),
    }
}

fn span(seconds: f64) -> Span {
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or(std::time::Duration::MAX);
    Span::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

async fn read_coverage(
    server: &Server,
    query: Option<&Arc<str>>,
    request: &Evaluation,
    at: Time,
) -> Result<Option<u32>, String> {
    let Some(query) = query else { return Ok(None) };
    let reply = server.ask(query, at, request.newer_than).await;
    match &reply.answer {
        Ok(Answered { answer: Answer::Value(pods), .. }) => Ok(Some(floor_count(*pods))),
        Ok(Answered { answer: Answer::NoSeries, .. }) => Ok(Some(0)),
        Ok(_) => Err("the question for it returned more than one series".into()),
        Err(failure) => Err(failure.sentence.clone()),
    }
}
