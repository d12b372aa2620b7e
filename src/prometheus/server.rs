//! One server: slots, deadline, request and answer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, LOCATION};
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use reqwest::{RequestBuilder, Response, Url};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::answer::{Answered, AnsweredRange, Decoded, LONGEST_WORDS, Undecoded};
use super::config::{Auth, ServerConfig};
use super::credentials::{Credentials, Session};
use super::failure::{Failure, FailureKind, presentable};
use super::history::RangeSharing;
use super::plan::Plans;
use super::sharing::Sharing;
use super::statistics::{Counters, ServerStatistics};
use super::transport::{self, Transport};
use crate::signal::Moments;
use crate::time::{Span, Time};

/// The largest body that is read, in bytes.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Questions about the past take at most one in so many slots, so that those about the present never wait for them.
const HISTORY_SHARE: usize = 4;
/// How long a question about the past may wait for one.
const HISTORY_PATIENCE: Duration = Duration::from_mins(2);
/// Identical questions for moments in the same stretch of this length are asked once.
pub(super) const SHARED_FOR: Span = Span::from_seconds(5);

/// From this difference on between the server's clock and ours, an answer carries a warning: it was asked for a moment
/// that is not the server's present, and its samples may look younger than they are.
const CLOCKS_DIFFER_FROM: SignedDuration = SignedDuration::from_secs(30);

/// One server that speaks Prometheus's query API.
pub(super) struct Server {
    pub(super) config: ServerConfig,
    pub(super) plans: Plans,
    pub(super) wire: Arc<Wire>,
    pub(super) ranges: RangeSharing,
    sharing: Sharing<Arc<str>, Arc<Reply>>,
}

/// What the server had to say to one question.
pub(super) struct Reply {
    pub(super) answer: Result<Answered, Failure>,
    /// The moment it was asked for.
    pub(super) at: Time,
}

impl Server {
    pub(super) fn new(config: ServerConfig, transport: Option<Arc<dyn Transport>>) -> Result<Self, String> {
        let slots = usize::try_from(config.max_concurrent_queries).unwrap_or(Semaphore::MAX_PERMITS);
        let wire = Wire {
            url: transport::endpoint_url(&config, "query")?,
            range_url: transport::endpoint_url(&config, "query_range")?,
            credentials: Credentials::new(config.clone()),
            slots: Semaphore::new(slots),
            history_slots: Semaphore::new((slots / HISTORY_SHARE).max(1)),
            counters: Counters::default(),
            transport,
            config: config.clone(),
        };
        Ok(Self {
            config,
            plans: Plans::default(),
            wire: Arc::new(wire),
            ranges: RangeSharing::default(),
            sharing: Sharing::new(),
        })
    }

    /// The answer to `query` at `at`, or at a moment of the same stretch, after `newer_than`, for which somebody else
    /// has asked already.
    pub(super) async fn ask(&self, query: &Arc<str>, at: Time, newer_than: Option<Time>) -> Arc<Reply> {
        let bucket = at.millis().div_euclid(i64::try_from(SHARED_FOR.millis()).unwrap_or(i64::MAX));
        let wire = Arc::clone(&self.wire);
        let question = Arc::clone(query);
        let ask = || {
            let asking = tokio::spawn(async move {
                let answer = wire.ask(&question, Asked::At(at)).await;
                Arc::new(Reply { answer, at })
            });
            async move {
                asking.await.unwrap_or_else(|_| {
                    let failure = Failure::new(
                        FailureKind::Unavailable,
                        "the query was broken off: the operator is stopping",
                    );
                    Arc::new(Reply { answer: Err(failure), at })
                })
            }
            .boxed()
        };
        let (reply, shared) = self.sharing.ask(bucket, Arc::clone(query), at, newer_than, ask).await;
        if shared {
            self.wire.counters.coalesce();
        }
        reply
    }

    pub(super) fn statistics(&self) -> ServerStatistics {
        self.wire.counters.read()
    }
}

pub(super) struct Wire {
    config: ServerConfig,
    url: Url,
    range_url: Url,
    /// What carries requests in place of a connection, if anything does.
    transport: Option<Arc<dyn Transport>>,
    credentials: Credentials,
    slots: Semaphore,
    history_slots: Semaphore,
    pub(super) counters: Counters,
}

/// What is asked about.
#[derive(Clone, Copy)]
enum Asked {
    At(Time),
    Over(Moments),
}

/// When a question was begun.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// What the operator's clock showed.
    clock: Timestamp,
}

impl Begun {
    /// What the clock would show now, had nobody set it since.
    fn clock_without_steps(self) -> Timestamp {
        self.clock.saturating_add(self.at.elapsed()).unwrap_or(self.clock)
    }
}

impl Wire {
    /// Asks about the past, after what is asked about the present.
    pub(super) async fn ask_over(&self, query: &str, moments: Moments) -> Result<AnsweredRange, Failure> {
        let Ok(Ok(_slot)) = timeout(HISTORY_PATIENCE, self.history_slots.acquire()).await else {
            let words = format!(
                "no slot for questions about the past came free within {} s; the server is slow, or maxConcurrentQueries too low",
                HISTORY_PATIENCE.as_secs()
            );
            return Err(self.failure(FailureKind::Timeout, &words));
        };
        self.ask(query, Asked::Over(moments)).await
    }

    async fn ask<T: Decoded>(&self, query: &str, asked: Asked) -> Result<T, Failure> {
        let begun = Begun { at: Instant::now(), clock: self.now() };
        self.counters.begin();
        let answer: Result<T, Failure> = self.ask_since(begun, query, asked).await;
        self.counters.end(begun.at.elapsed(), answer.as_ref().err().map(|failure| failure.kind));
        if let Ok(answered) = &answer {
            for info in answered.infos() {
                tracing::debug!(server = self.config.name, info, "Prometheus has a note on a query");
            }
        }
        answer
    }

    async fn ask_since<T: Decoded>(&self, begun: Begun, query: &str, asked: Asked) -> Result<T, Failure> {
        let seconds = self.config.timeout_seconds;
        let deadline = begun.at + self.timeout();
        let late = |words: String| self.failure(FailureKind::Timeout, &words);
        let slot = timeout_at(deadline, self.slots.acquire()).await;
        let waited = begun.at.elapsed();
        // A question with next to no time left would only add to the server's load.
        let too_late = waited > self.timeout().mul_f64(0.95);
        let Some(_slot) = slot.ok().filter(|_| !too_late) else {
            let slots = self.config.max_concurrent_queries;
            return Err(late(format!(
                "none of its {slots} slots for queries came free within {seconds} s (timeoutSeconds); the server is slow, or \
                 maxConcurrentQueries too low"
            )));
        };
        let session = timeout_at(deadline, self.credentials.session())
            .await
            .map_err(|_| late(format!("its credential files could not be read within {seconds} s")))??;
        let answer = timeout_at(deadline, self.exchange(&session, begun, query, asked)).await;
        answer.map_err(|_| {
            let waiting = if waited > self.timeout().mul_f64(0.1) {
                format!(
                    ", of which {:.1} s went by waiting for a slot (maxConcurrentQueries)",
                    waited.as_secs_f64()
                )
            } else {
                String::new()
            };
            late(format!("no answer within {seconds} s (timeoutSeconds){waiting}"))
        })?
    }

    async fn exchange<T: Decoded>(
        &self,
        session: &Session,
        begun: Begun,
        query: &str,
        asked: Asked,
    ) -> Result<T, Failure> {
        let time_left = self.timeout().saturating_sub(begun.at.elapsed());
        let (url, when) = match asked {
            Asked::At(at) => (&self.url, vec![("time", api_time(at))]),
            Asked::Over(moments) => {
                let last = moments.at(moments.count.saturating_sub(1));
                let step = api_time(Time::default() + moments.step);
                (
                    &self.range_url,
                    vec![("start", api_time(moments.first)), ("end", api_time(last)), ("step", step)],
                )
            }
        };
        let mut form = vec![("query", query.to_owned())];
        form.extend(when);
        form.push(("timeout", format!("{}ms", time_left.as_millis().max(1))));
        let request = session
            .client
            .post(url.clone())
            .headers(session.headers.clone())
            .header(ACCEPT, "application/json")
            .header(ACCEPT_ENCODING, "identity")
            .form(&form);
        let response = self.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_redirection() {
            return Err(self.redirected(status, &headers));
        }
        if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            let encoding = presentable(&String::from_utf8_lossy(encoding.as_bytes()), 40);
            let words = format!("it answered compressed ({encoding}), which it was asked not to do");
            return Err(self.failure(FailureKind::NotPrometheus, &words));
        }
        let body = self.read(response).await?;
        self.interpret(begun, url.path(), status, &headers, &body).map_err(|mut failure| {
            failure.sentence = session.redact(&failure.sentence);
            failure
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let Some(transport) = &self.transport else {
            return request.send().await.map_err(|error| self.broken(&error));
        };
        let request = request.build().map_err(|error| self.broken(&error))?;
        transport.carry(request).await.map_err(|broken| self.failure(broken.kind, &broken.words))
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                let words =
                    "its answer is larger than 1 MiB; aggregate in the query, for example with sum(...)";
                return Err(self.failure(FailureKind::TooLarge, words));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn interpret<T: Decoded>(
        &self,
        begun: Begun,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<T, Failure> {
        let decoded = T::decode(body);
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            let said = match &decoded {
                Err(Undecoded::Error { words, .. }) => format!(" ({words})"),
                _ => plain_words(headers, body),
            };
            return Err(self.unauthorized(status, &said));
        }
        match decoded {
            Ok(mut answered) if status.is_success() => {
                // Our clock may have been set since: what was asked for was a moment of the one before.
                let warning = clock_warning(headers, self.now())
                    .or_else(|| clock_warning(headers, begun.clock_without_steps()));
                if let Some(warning) = warning {
                    answered.warn(warning);
                }
                Ok(answered)
            }
            Err(Undecoded::Error { kind, words }) => Err(self.failure(kind, &format!("it {words}"))),
            Ok(_) => Err(self.not_prometheus(path, status, headers, body, "success beside an error status")),
            Err(Undecoded::NotPrometheus(fault)) => {
                Err(self.not_prometheus(path, status, headers, body, &fault))
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.transport.as_ref().map_or_else(Timestamp::now, |transport| transport.now())
    }

    fn unauthorized(&self, status: StatusCode, said: &str) -> Failure {
        let todo = match &self.config.auth {
            Auth::None => "no credentials are configured for it; set auth, or a tenant in headers".to_owned(),
            Auth::BearerTokenFile(path) => {
                format!("check the token in auth.bearerTokenFile {}", path.display())
            }
            Auth::BasicAuth(basic) => {
                format!("check auth.basicAuth.username and the password in {}", basic.password_file.display())
            }
        };
        self.failure(
            FailureKind::Unauthorized,
            &format!("it denies access (HTTP {}){said}; {todo}", status.as_u16()),
        )
    }

    fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Failure {
        let target =
            headers.get(LOCATION).and_then(|target| target.to_str().ok()).map(|target| self.harmless(target));
        let mut words = format!("it redirects (HTTP {})", status.as_u16());
        if let Some(target) = target {
            // Writing into a String cannot fail.
            let _ = write!(words, " to {target}");
        }
        words.push_str(", which is not followed, so that credentials go nowhere else; if that is where the server is, put it into url");
        self.failure(FailureKind::Redirected, &words)
    }

    /// Where a redirect points, without what may be secret in it.
    fn harmless(&self, target: &str) -> String {
        match self.url.join(target) {
            Ok(mut target) => {
                // Both fail only for URLs that cannot hold credentials.
                let _ = target.set_username("");
                let _ = target.set_password(None);
                target.set_query(None);
                target.set_fragment(None);
                presentable(target.as_str(), LONGEST_WORDS)
            }
            Err(_) => "an address that cannot be read".into(),
        }
    }

    fn not_prometheus(
        &self,
        path: &str,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        fault: &str,
    ) -> Failure {
        let code = status.as_u16();
        let said = plain_words(headers, body);
        match status {
            StatusCode::BAD_REQUEST
                if body.starts_with(b"Client sent an HTTP request to an HTTPS server") =>
            {
                self.failure(FailureKind::Tls, "it speaks TLS; begin url with https://")
            }
            StatusCode::NOT_FOUND => self.failure(
                FailureKind::NotPrometheus,
                &format!("it knows no {path} (HTTP 404){said}; does url need another path prefix?"),
            ),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => self.failure(
                FailureKind::Unavailable,
                &format!("it, or a proxy before it, cannot answer now (HTTP {code}){said}"),
            ),
            _ => {
                let kind = content_type(headers).map(|kind| format!(", {kind}")).unwrap_or_default();
                self.failure(
                    FailureKind::NotPrometheus,
                    &format!(
                        "its answer does not look like Prometheus (HTTP {code}{kind}: {fault}){said}; does url lead to Prometheus, \
                         and not to a proxy or a login page?"
                    ),
                )
            }
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Failure {
        let (kind, words) = transport::explain(error, &self.config);
        self.failure(kind, &words)
    }

    fn failure(&self, kind: FailureKind, words: &str) -> Failure {
        let address = transport::address(&self.config);
        Failure::new(kind, format!("Prometheus server {:?} ({address}): {words}", self.config.name))
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.config.timeout_seconds))
    }
}

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(presentable(value.split(';').next()?, 40))
}

fn clock_warning(headers: &HeaderMap, now: Timestamp) -> Option<String> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    let ahead = theirs.duration_since(now);
    let direction = if ahead.is_negative() { "behind" } else { "ahead of" };
    (ahead.abs() >= CLOCKS_DIFFER_FROM).then(|| {
        format!(
            "the server's clock is {} s {direction} the operator's; set both by NTP",
            ahead.abs().as_secs()
        )
    })
}

/// What a server says in plain text beside an error, in brackets.
fn plain_words(headers: &HeaderMap, body: &[u8]) -> String {
    let is_plain = content_type(headers).is_some_and(|kind| kind == "text/plain");
    let words = body.get(..body.len().min(1000)).map(String::from_utf8_lossy).unwrap_or_default();
    let words = presentable(&words, 120);
    if is_plain && !words.is_empty() { format!(" ({words})") } else { String::new() }
}

/// Seconds since the epoch with milliseconds.
fn api_time(at: Time) -> String {
    let milliseconds = at.millis();
    let sign = if milliseconds < 0 { "-" } else { "" };
    let distance = milliseconds.unsigned_abs();
    format!("{sign}{}.{:03}", distance.wrapping_div(1000), distance.wrapping_rem(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_differ_are_warned_of() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let warning = |date: &str| {
            let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
            clock_warning(&headers, now)
        };
        for (date, words) in [
            ("Tue, 14 Nov 2023 22:13:20 GMT", None),
            ("Tue, 14 Nov 2023 22:13:49 GMT", None),
            ("Tue, 14 Nov 2023 22:12:51 GMT", None),
            (
                "Tue, 14 Nov 2023 22:18:20 GMT",
                Some("the server's clock is 300 s ahead of the operator's; set both by NTP"),
            ),
            (
                "Tue, 14 Nov 2023 22:12:50 GMT",
                Some("the server's clock is 30 s behind the operator's; set both by NTP"),
            ),
            ("yesterday", None),
        ] {
            assert_eq!(warning(date).as_deref(), words, "{date}");
        }
        assert_eq!(clock_warning(&HeaderMap::new(), now), None);
    }

    #[test]
    fn moments_are_sent_with_their_milliseconds() {
        for (milliseconds, text) in [
            (1_700_000_000_123, "1700000000.123"),
            (1_700_000_000_007, "1700000000.007"),
            (0, "0.000"),
            (-1_500, "-1.500"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(api_time(Time::from_millis(milliseconds)), text);
        }
    }
}
