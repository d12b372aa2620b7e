//! One request to the API server: with a deadline, and an error that says what to do.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::time::Duration;

use http::Request;

use super::authority::Authority;
use crate::control::TargetFaultKind;

/// How long one request may take.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// A write that the API server has not carried out within its own part of [`DEADLINE`] it gives up: what its client has
/// given up must not land later.
pub(super) fn bounded_in_time(mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
    let uri = request.uri().to_string();
    let separator = if uri.contains('?') { '&' } else { '?' };
    if let Ok(bounded) = format!("{uri}{separator}timeout={}s", DEADLINE.as_secs()).parse() {
        *request.uri_mut() = bounded;
    }
    request
}

/// What a request is about, for messages and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// The verb as roles spell it: get, list, watch, patch, create.
    pub verb: &'static str,
    /// The resource as roles spell it: `deployments/scale`.
    pub resource: &'a str,
    /// The API group as roles spell it; empty for the core group.
    pub group: &'a str,
    /// The namespace; none for all of them.
    pub namespace: Option<&'a str>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What kind of failure.
    pub kind: ApiErrorKind,
    /// One sentence: what failed and what to do.
    pub message: String,
}

/// Kinds of failures; also a metric label, so there are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ApiErrorKind {
    /// The object changed since it was seen.
    Conflict,
    /// There is no such object or kind.
    NotFound,
    /// What was asked for is too long ago.
    Expired,
    /// The operator's role lacks a verb.
    Forbidden,
    /// The operator is not known to the API server.
    Unauthorized,
    /// The API server or an admission webhook refused the content.
    Refused,
    /// The kind cannot be scaled.
    NotScalable,
    /// The API server asks to come back later.
    Throttled,
    /// No answer within [`DEADLINE`]. The request may have been carried out all the same.
    Timeout,
    /// The API server could not be reached, or failed.
    Unavailable,
    /// Nothing was asked, since another process may lead.
    NotLeading,
}

impl ApiErrorKind {
    /// As a metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Expired => "expired",
            Self::Forbidden => "forbidden",
            Self::Unauthorized => "unauthorized",
            Self::Refused => "refused",
            Self::NotScalable => "not_scalable",
            Self::Throttled => "throttled",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::NotLeading => "not_leading",
        }
    }

    /// Whether the same request may succeed in a moment.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Conflict | Self::Expired | Self::Throttled | Self::Timeout | Self::Unavailable)
    }

    /// Whether the request may have been carried out, or be so yet.
    pub const fn may_have_been_carried_out(self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable)
    }

    /// What it means for a scale target.
    pub const fn target_fault(self) -> TargetFaultKind {
        match self {
            Self::NotFound => TargetFaultKind::NotFound,
            Self::NotScalable => TargetFaultKind::NotScalable,
            Self::Forbidden | Self::Unauthorized => TargetFaultKind::Forbidden,
            Self::Conflict
            | Self::Expired
            | Self::Refused
            | Self::Throttled
            | Self::Timeout
            | Self::Unavailable
            | Self::NotLeading => TargetFaultKind::Unavailable,
        }
    }
}

impl Call<'_> {
    /// Awaits the answer to this call, for at most [`DEADLINE`].
    pub async fn answer<T>(self, request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        self.answer_within(DEADLINE, request).await
    }

    /// Awaits the answer to this write, for at most [`DEADLINE`], if `authority` lets it begin.
    pub async fn written<T>(
        self,
        authority: &Authority,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        authority.check()?;
        self.answer(request).await
    }

    /// Awaits the answer to this call, for at most `deadline`.
    pub async fn answer_within<T>(
        self,
        deadline: Duration,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ApiError> {
        match tokio::time::timeout(deadline, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.explain(&error)),
            Err(_) => Err(ApiError {
                kind: ApiErrorKind::Timeout,
                message: format!("the API server did not answer {self} within {} s", deadline.as_secs()),
            }),
        }
    }

    /// A failure of this call in words.
    pub fn explain(self, error: &kube::Error) -> ApiError {
        let kind = kind(error);
        let message = match kind {
            ApiErrorKind::Forbidden => format!(
                "the operator may not {self}: grant it the verb {} on {}{}",
                self.verb,
                self.resource,
                if self.group.is_empty() { String::new() } else { format!(" in API group {}", self.group) }
            ),
            ApiErrorKind::Unauthorized => {
                format!(
                    "the API server does not accept the operator's credentials ({self}): {}",
                    words(error)
                )
            }
            _ => {
                let words = words(error);
                let remedy = if words.contains("invalid peer certificate") {
                    "; its certificate must be signed by the certificate-authority that the kubeconfig names"
                } else {
                    ""
                };
                format!("{self} failed: {words}{remedy}")
            }
        };
        ApiError { kind, message }
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        self.namespace.map_or(Ok(()), |namespace| write!(f, " in namespace {namespace}"))
    }
}

fn kind(error: &kube::Error) -> ApiErrorKind {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => ApiErrorKind::Unauthorized,
            403 => ApiErrorKind::Forbidden,
            404 => ApiErrorKind::NotFound,
            410 => ApiErrorKind::Expired,
            409 => ApiErrorKind::Conflict,
            429 => ApiErrorKind::Throttled,
            400..=499 => ApiErrorKind::Refused,
            _ => ApiErrorKind::Unavailable,
        },
        kube::Error::Discovery(_) => ApiErrorKind::NotFound,
        kube::Error::BuildRequest(_) => ApiErrorKind::Refused,
        _ => ApiErrorKind::Unavailable,
    }
}

/// An error without its wrappers: what the server said, or the innermost cause with the one around it.
fn words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        let said = if status.message.is_empty() { &status.reason } else { &status.message };
        return format!("{} ({})", bounded(said), status.code);
    }
    let mut causes = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    let last = causes.pop().unwrap_or_default();
    match causes.last() {
        Some(around) if !around.contains(&last) => bounded(&format!("{around}: {last}")),
        Some(_) if error.source().is_some_and(|source| source.to_string() != last) => bounded(&last),
        _ => bounded(&error.to_string()),
    }
}

/// Answers of webhooks and proxies may be pages long.
fn bounded(text: &str) -> String {
    const LONGEST: usize = 512;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    const CALL: Call<'static> =
        Call { verb: "patch", resource: "deployments/scale", group: "apps", namespace: Some("shop") };

    fn status(code: u16, message: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
    }

    #[test]
    fn a_missing_verb_is_named_with_its_resource() {
        let error =
            CALL.explain(&status(403, "deployments.apps \"web\" is forbidden: User \"x\" cannot patch"));
        assert_eq!(error.kind, ApiErrorKind::Forbidden);
        assert_eq!(
            error.message,
            "the operator may not patch deployments/scale in namespace shop: grant it the verb patch on \
             deployments/scale in API group apps"
        );
    }

    #[test]
    fn failures_are_told_apart_by_the_answer() {
        for (code, kind) in [
            (401, ApiErrorKind::Unauthorized),
            (404, ApiErrorKind::NotFound),
            (409, ApiErrorKind::Conflict),
            (422, ApiErrorKind::Refused),
            (429, ApiErrorKind::Throttled),
            (500, ApiErrorKind::Unavailable),
            (503, ApiErrorKind::Unavailable),
        ] {
            assert_eq!(CALL.explain(&status(code, "why")).kind, kind, "{code}");
        }
    }

    #[test]
    fn what_the_server_says_is_passed_on_and_bounded() {
        let error = CALL.explain(&status(422, &"é".repeat(10_000)));
        assert!(error.message.starts_with("patch deployments/scale in namespace shop failed: ééé"));
        assert!(error.message.len() < 1200, "{}", error.message.len());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_ends_at_the_deadline() {
        let started = tokio::time::Instant::now();
        let error = CALL.answer(std::future::pending::<kube::Result<()>>()).await.unwrap_err();
        assert_eq!((error.kind, started.elapsed()), (ApiErrorKind::Timeout, DEADLINE));
    }
}
