//! Why a query was not answered, in words for the person on call.

/// Why a query was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    /// Names the server, what happened, and what to do.
    pub(super) sentence: String,
}

/// The kinds of failure that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// No answer within the deadline, be it for want of a slot, a connection or an answer; or the server itself gave
    /// the query up.
    Timeout,
    /// No connection: refused, unknown host, or broken off.
    Unreachable,
    /// No trusted connection: a certificate or the TLS versions do not fit.
    Tls,
    /// A file with a credential or certificate cannot be used.
    Credentials,
    /// HTTP 401 or 403.
    Unauthorized,
    /// A redirect, which is never followed.
    Redirected,
    /// The answer is not one of Prometheus's.
    NotPrometheus,
    /// The answer is larger than is read.
    TooLarge,
    /// The server could not read or evaluate the query.
    QueryRefused,
    /// The server says that it cannot answer now.
    Unavailable,
    /// The answer's type is none that a signal can be made of.
    UnsupportedResult,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::Unreachable,
        Self::Tls,
        Self::Credentials,
        Self::Unauthorized,
        Self::Redirected,
        Self::NotPrometheus,
        Self::TooLarge,
        Self::QueryRefused,
        Self::Unavailable,
        Self::UnsupportedResult,
    ];

    /// A word for it that suits a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Credentials => "credentials",
            Self::Unauthorized => "unauthorized",
            Self::Redirected => "redirected",
            Self::NotPrometheus => "not_prometheus",
            Self::TooLarge => "too_large",
            Self::QueryRefused => "query_refused",
            Self::Unavailable => "unavailable",
            Self::UnsupportedResult => "unsupported_result",
        }
    }
}

impl Failure {
    pub(super) fn new(kind: FailureKind, sentence: impl Into<String>) -> Self {
        Self { kind, sentence: sentence.into() }
    }
}

/// Words of a server, made fit to be shown: on one line, without control characters, at most `longest` characters.
pub(super) fn presentable(words: &str, longest: usize) -> String {
    let mut shown = String::new();
    let mut signs = words.trim().chars().map(|sign| if sign.is_control() { ' ' } else { sign });
    shown.extend(signs.by_ref().take(longest));
    if signs.next().is_some() {
        shown.push('…');
    }
    shown
}
