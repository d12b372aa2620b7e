//! Reason codes: what a step, a condition or an event found. Users see and match them, so they are never renamed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a step, a condition or an event found. Where HPA has a code for it, it is HPA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    // AbleToScale, as HPA says it.
    /// The count can be read and written.
    SucceededGetScale,
    /// The count cannot be read.
    FailedGetScale,
    /// The count could not be written.
    FailedUpdateScale,
    /// The count was written.
    SucceededRescale,
    /// The newest recommendation is followed.
    ReadyForNewScale,
    /// Recent recommendations were lower, so growth waits.
    ScaleUpStabilized,
    /// Recent recommendations were higher, so shrinking waits.
    ScaleDownStabilized,

    // ScalingActive, as HPA says it, and beyond.
    /// Every signal that is needed is fit to use.
    ValidMetricFound,
    /// Replicas is 0: scaling is switched off by whoever set it.
    ScalingDisabled,
    /// A signal is not fit to use.
    FailedGetExternalMetric,
    /// Some signals are fit to use; they may add pods, nothing is removed.
    SomeMetricsUnfit,
    /// No pod of the workload is Ready.
    NoReadyPods,
    /// The policy contradicts itself or cannot be understood.
    InvalidPolicy,

    // ScalingLimited, as HPA says it, and beyond.
    /// No limit holds the count.
    DesiredWithinRange,
    /// `maxReplicas` holds the count.
    TooManyReplicas,
    /// `minReplicas` holds the count.
    TooFewReplicas,
    /// The scale-up rate holds the count.
    ScaleUpLimit,
    /// The scale-down rate holds the count.
    ScaleDownLimit,
    /// Database connections hold the count.
    ConnectionBudget,
    /// The scalability ceiling holds the count.
    ScalabilityCeiling,

    // ScalabilityFitted.
    /// A scalability ceiling has been earned.
    CeilingEarned,
    /// Too few windows with constant size and enough load.
    TooFewWindows,
    /// A new revision has to earn its ceiling.
    NewRevision,
    /// Too few distinct sizes.
    TooFewSizes,
    /// The sizes are too close to each other.
    RangeTooNarrow,
    /// The fitted peak lies beyond what was seen.
    NeverNearPeak,
    /// There is no peak in what was seen.
    NoPeakYet,
    /// The peak can be at sizes too far apart.
    IntervalTooWide,
    /// The law does not describe what was measured.
    PoorFit,
    /// The workload was only seen beyond its peak.
    OnlyBeyondPeak,
    /// Throughput grows better than linearly.
    Superlinear,
    /// Throughput does not grow at all.
    NoGrowth,
    /// What was seen is too old.
    WindowsExpired,
    /// No coefficients fit.
    NotFitted,
    /// The queries of the fit cannot be answered.
    WindowsUnreadable,

    // Guards, and where the bottleneck is.
    /// A guard is active and holds the count.
    GuardActive,
    /// A guard has held the count for as long as it may: the count moves step by step.
    GuardExpired,
    /// A guard takes pods away, step by step.
    GuardStepDown,
    /// A guard's value is not fit to use.
    GuardUnfit,
    /// No guard holds the count.
    NoGuardActive,
    /// The bottleneck lies behind the workload.
    BottleneckBehind,
    /// Nothing tells of a bottleneck behind the workload.
    NoBottleneckBehind,
    /// Where the bottleneck is cannot be told.
    BottleneckUnknown,

    // Expiries and disturbances.
    /// Pods are not Ready long after they should have been.
    PodsNotReady,
    /// Pods that were asked for do not appear.
    PodsMissing,
    /// A rollout makes no progress, so nothing waits for it any more.
    RolloutStalled,
    /// Somebody else sets the count again and again, so the larger count is kept.
    ReplicasOverwritten,
    /// An annotation could not be read.
    UnreadableAnnotation,

    // Signals.
    /// The number is fit to use.
    Fresh,
    /// The newest sample is too old.
    Stale,
    /// The query matched nothing.
    NoSeries,
    /// The query was not answered.
    QueryFailed,
    /// The query returned several series where one is due.
    SeveralSeries,
    /// Not a number.
    NotANumber,
    /// An infinite number.
    Infinite,
    /// A negative number.
    Negative,
    /// More replicas than can exist.
    Absurd,
    /// An exact zero while pods serve.
    SuddenZero,
    /// A rise that a second evaluation must confirm.
    UnconfirmedRise,
    /// A fall that a second evaluation must confirm.
    DemandCollapsed,
    /// The server warned that the answer may be incomplete.
    PartialAnswer,
    /// Too few pods stand behind the value.
    LowCoverage,
    /// The age of the data is not known.
    AgeUnknown,
    /// No series, and the policy says that this is health.
    AbsentIsHealthy,

    // Steps.
    /// This signal asks for the most.
    LargestNeed,
    /// No leading signal is fit to use.
    NoFreshSignal,
    /// Need differs too little from the count.
    WithinTolerance,
    /// Need exceeds the count.
    AboveTarget,
    /// Need falls short of the count.
    BelowTarget,
    /// A safety net is above its target and adds pods.
    NetAboveTarget,
    /// A safety net has added what it may.
    NetExhausted,
    /// A safety net waits for pods that are starting.
    NetWaiting,
    /// A safety net is silent while a guard is active.
    NetSilent,
    /// The last step of a safety net did not help.
    NetIneffective,
    /// A scale-in would push a signal back over its scale-out edge.
    AnticipatedFlapping,
    /// The step changed nothing.
    Unchanged,
    /// Not every signal is fit to use, so nothing is removed.
    SignalsUnfit,
    /// The serving pods are above a target, so nothing is removed.
    ServingAboveTarget,
    /// Pods are still starting or warming up, so nothing is removed.
    PodsStarting,
    /// A rollout is under way, so nothing is removed.
    RolloutInProgress,
    /// A scale-in waits for an age measured at the evaluation itself.
    AgeUnconfirmed,
    /// A scale-in waits for what the metrics server knows of the time before a restart.
    HistoryPending,
    /// The time before a restart is not known, so a scale-in waits for a whole window.
    HistoryUnknown,
    /// A person paused this direction.
    Paused,
    /// `selectPolicy: Disabled` stops this direction.
    PolicyDisabled,
    /// Extra replicas of the headroom.
    HeadroomReplicas,
    /// A schedule keeps the count.
    Schedule,
    /// Replicas are kept for the loss of zones.
    ZoneLoss,
    /// A forecast keeps the count.
    Forecast,
    /// Forecasts of the last day were better than what anybody could say.
    ForecastAccurate,
    /// Too few forecasts could be compared with what came.
    ForecastUnproven,
    /// Forecasts of the last day were hardly better than the last value or the mean of a day.
    ForecastNoBetterThanNaive,
    /// Forecasts of the last day were off by too much of the load.
    ForecastTooFarOff,
    /// Load passed what was forecast far too often.
    ForecastMissedTooOften,
    /// The past that a forecast is made from is still being read.
    ForecastPending,
    /// The past that a forecast is made from could not be read.
    ForecastHistoryUnreadable,
    /// Too little of the past is known for a forecast.
    ForecastHistoryTooShort,
    /// Too much of the past is missing for a forecast.
    ForecastHistoryGaps,
    /// Nothing in the past comes again.
    NoSeasonFound,
    /// No model fits the past.
    ForecastNotFitted,
    /// The headroom in force carries what load does while pods start.
    HeadroomCovers,
    /// The headroom declared is less than what load does while pods start.
    HeadroomTooSmall,
    /// The error budget is spent no faster than it may be.
    BudgetHealthy,
    /// The error budget is spent faster than it may be, too little to act on.
    BudgetSpending,
    /// The error budget burns.
    BudgetBurning,
    /// The burn rate of the error budget is not fit to use.
    BurnRateUnfit,
    /// Load rises faster than pods start, whatever headroom there is.
    LoadOutrunsPods,
    /// The fallback acts.
    Fallback,
    /// No room for more pods warming up at once.
    WarmUpLimit,
    /// The count is above a ceiling and is walked down.
    CeilingFell,
    /// The count is above a hard ceiling and is cut.
    HardCeiling,
    /// A ceiling is above the count by pods that still hold connections.
    GrowthLimited,
    /// A ceiling lies below `minReplicas`, which is kept.
    BudgetInfeasible,
    /// All ceilings hold what `minReplicas` asks for.
    BudgetFeasible,
    /// Budgets cannot be shared at all, so nothing is drawn on the one that is named.
    SharingOff,
    /// The audit of the workload found nothing grave.
    AuditPassed,
    /// The audit of the workload found what loses requests or capacity.
    AuditFindings,
    /// An emergency cap acts.
    EmergencyMax,
    /// The count is frozen.
    Frozen,
    /// Dry run: nothing is written.
    DryRun,
    /// Another autoscaler acts on the workload.
    RivalAutoscaler,
    /// The count changes direction too often.
    TooManyReversals,
    /// The count does not change direction too often.
    Steady,
    /// Everything is in order.
    Ready,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
