//! The faults that a scenario is made of.

use std::time::Duration;

/// Which requests to the API server a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// Writes of a count.
    Scale,
    /// Writes of a status.
    Status,
    /// Events.
    Event,
    /// Writes of a budget's grants.
    Grant,
    /// Writes of the lease.
    Lease,
    /// Reads of a count.
    Get,
    /// Lists of all kinds.
    Lists,
    /// Lists and watches of one kind, by its plural.
    Watch(&'static str),
    /// Everything of one client.
    Everything,
}

/// The kinds that the operator watches.
pub const WATCHED: [&str; 6] =
    ["deployments", "statefulsets", "replicasets", "pods", "horizontalpodautoscalers", "scalingpolicies"];
/// What the operator reads again and again.
pub const READ: &str = "connectionbudgets";

impl On {
    /// Each as likely as its place in this list is often.
    pub const ALL: [Self; 16] = [
        Self::Scale,
        Self::Scale,
        Self::Scale,
        Self::Status,
        Self::Event,
        Self::Get,
        Self::Lists,
        Self::Lists,
        Self::Watch("deployments"),
        Self::Watch("deployments"),
        Self::Watch("pods"),
        Self::Watch("pods"),
        Self::Watch("replicasets"),
        Self::Watch("horizontalpodautoscalers"),
        Self::Watch("scalingpolicies"),
        Self::Everything,
    ];

    /// The faults that such requests can meet.
    pub const fn classes(self) -> &'static [ApiClass] {
        match self {
            Self::Scale | Self::Status | Self::Event | Self::Grant | Self::Lease => &[
                ApiClass::Conflict,
                ApiClass::Throttle,
                ApiClass::ServerError,
                ApiClass::Refuse,
                ApiClass::LoseRequest,
                ApiClass::LoseAnswer,
                ApiClass::LoseAnswer,
                ApiClass::Delay,
                ApiClass::Delay,
                ApiClass::Slow,
            ],
            Self::Get => &[
                ApiClass::Throttle,
                ApiClass::ServerError,
                ApiClass::Refuse,
                ApiClass::LoseRequest,
                ApiClass::Slow,
            ],
            Self::Lists => &[
                ApiClass::Throttle,
                ApiClass::ServerError,
                ApiClass::Refuse,
                ApiClass::LoseRequest,
                ApiClass::Slow,
                ApiClass::StaleList,
                ApiClass::ExpiredPage,
            ],
            Self::Watch(_) => &[
                ApiClass::Drop,
                ApiClass::Silence,
                ApiClass::Silence,
                ApiClass::Lag,
                ApiClass::Gone,
                ApiClass::Replay,
                ApiClass::Refuse,
                ApiClass::ServerError,
            ],
            Self::Everything => &[ApiClass::Partition],
        }
    }

    /// Whether it is about long-lived streams.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Watch(_) | Self::Everything)
    }
}

/// What happens to a request or to its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiClass {
    /// 409, although nothing changed.
    Conflict,
    /// 429 with Retry-After.
    Throttle,
    /// 500, 502, 503 or 504.
    ServerError,
    /// No connection.
    Refuse,
    /// It never arrives.
    LoseRequest,
    /// It is carried out, and the answer never arrives.
    LoseAnswer,
    /// It is carried out after the client has given up.
    Delay,
    /// It is carried out, and the answer takes its time.
    Slow,
    /// A list of the past.
    StaleList,
    /// A list in small pages, whose next page has expired.
    ExpiredPage,
    /// A watch that breaks off.
    Drop,
    /// A watch that says nothing any more.
    Silence,
    /// A watch that says everything late.
    Lag,
    /// 410.
    Gone,
    /// A watch that says things twice.
    Replay,
    /// The client reaches nobody.
    Partition,
}

impl ApiClass {
    /// Every class.
    pub const ALL: [Self; 16] = [
        Self::Conflict,
        Self::Throttle,
        Self::ServerError,
        Self::Refuse,
        Self::LoseRequest,
        Self::LoseAnswer,
        Self::Delay,
        Self::Slow,
        Self::StaleList,
        Self::ExpiredPage,
        Self::Drop,
        Self::Silence,
        Self::Lag,
        Self::Gone,
        Self::Replay,
        Self::Partition,
    ];

    /// What the summary calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "api: conflict",
            Self::Throttle => "api: throttled",
            Self::ServerError => "api: server error",
            Self::Refuse => "api: connection refused",
            Self::LoseRequest => "api: time-out, not landed",
            Self::LoseAnswer => "api: time-out, landed",
            Self::Delay => "api: write delayed",
            Self::Slow => "api: slow answer",
            Self::StaleList => "api: stale list",
            Self::ExpiredPage => "api: list continue expired",
            Self::Drop => "api: watch dropped",
            Self::Silence => "api: watch silent",
            Self::Lag => "api: watch late",
            Self::Gone => "api: watch expired",
            Self::Replay => "api: watch replayed",
            Self::Partition => "api: partition",
        }
    }
}

/// A stretch in which requests may meet a fault.
#[derive(Clone, Copy, Debug)]
pub struct ApiFault {
    /// From when.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// Which requests.
    pub on: On,
    /// What happens to them.
    pub class: ApiClass,
    /// To what share of them.
    pub probability: f64,
}

/// What is wrong with metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricClass {
    /// No connection.
    Refuse,
    /// No answer.
    Hang,
    /// An answer just in time, or just too late.
    Slow,
    /// No series.
    Empty,
    /// A value with a warning, and half of the truth.
    Partial,
    /// NaN.
    NotANumber,
    /// +Inf or -Inf.
    Infinite,
    /// Below zero.
    Negative,
    /// 1e300.
    Huge,
    /// Zero.
    Zero,
    /// Two series.
    Several,
    /// JSON of other types.
    WrongType,
    /// Prometheus says that it failed.
    ErrorEnvelope,
    /// A login page.
    Html,
    /// A body without an end.
    Endless,
    /// A body that breaks off.
    BrokenOff,
    /// A redirect.
    Redirect,
    /// Nothing is scraped.
    Unscraped,
    /// Age and coverage cannot be asked.
    NoAge,
}

impl MetricClass {
    /// Every class.
    pub const ALL: [Self; 19] = [
        Self::Refuse,
        Self::Hang,
        Self::Slow,
        Self::Empty,
        Self::Partial,
        Self::NotANumber,
        Self::Infinite,
        Self::Negative,
        Self::Huge,
        Self::Zero,
        Self::Several,
        Self::WrongType,
        Self::ErrorEnvelope,
        Self::Html,
        Self::Endless,
        Self::BrokenOff,
        Self::Redirect,
        Self::Unscraped,
        Self::NoAge,
    ];

    /// What the summary calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "metrics: refused",
            Self::Hang => "metrics: hung",
            Self::Slow => "metrics: slow",
            Self::Empty => "metrics: empty",
            Self::Partial => "metrics: partial",
            Self::NotANumber => "metrics: NaN",
            Self::Infinite => "metrics: infinite",
            Self::Negative => "metrics: negative",
            Self::Huge => "metrics: huge",
            Self::Zero => "metrics: zero",
            Self::Several => "metrics: several series",
            Self::WrongType => "metrics: wrong types",
            Self::ErrorEnvelope => "metrics: error",
            Self::Html => "metrics: HTML",
            Self::Endless => "metrics: endless body",
            Self::BrokenOff => "metrics: broken off",
            Self::Redirect => "metrics: redirect",
            Self::Unscraped => "metrics: stale samples",
            Self::NoAge => "metrics: no age",
        }
    }
}

/// A stretch in which questions about a workload may be answered wrongly.
#[derive(Clone, Copy, Debug)]
pub struct MetricFault {
    /// From when.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// Which workload's.
    pub workload: usize,
    /// How.
    pub class: MetricClass,
    /// What share of them.
    pub probability: f64,
}

/// The operator's process ends.
#[derive(Clone, Copy, Debug)]
pub struct Crash {
    /// When.
    pub when: Moment,
    /// How long until another one starts.
    pub down: Duration,
    /// It is asked to stop, and does so in its own way.
    pub gentle: bool,
}

/// When a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// At a time.
    At(Duration),
    /// Right before, or right after, a write.
    Write {
        /// Of this kind.
        kind: WriteKind,
        /// Counted from 1, over the whole run.
        nth: u32,
        /// After it, and not before.
        after: bool,
    },
}

/// What the operator writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    /// A count.
    Scale,
    /// A status.
    Status,
    /// An event.
    Event,
    /// A lease.
    Lease,
    /// A budget's grants.
    Grant,
}

impl WriteKind {
    /// What the summary calls a crash at such a write.
    pub const fn crash(self, after: bool) -> &'static str {
        match (self, after) {
            (Self::Scale, false) => "operator: crash before a count",
            (Self::Scale, true) => "operator: crash after a count",
            (Self::Status, false) => "operator: crash before a status",
            (Self::Status, true) => "operator: crash after a status",
            (Self::Event, false) => "operator: crash before an event",
            (Self::Event, true) => "operator: crash after an event",
            (Self::Lease, false) => "operator: crash before a lease",
            (Self::Lease, true) => "operator: crash after a lease",
            (Self::Grant, false) => "operator: crash before grants",
            (Self::Grant, true) => "operator: crash after grants",
        }
    }
}
