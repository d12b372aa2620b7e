//! What forecasts ask for at one moment.

use serde::{Deserialize, Serialize};

use super::decision::{Condition, ConditionStatus, ConditionType, Decision};
use super::floor::Floor;
use super::moment;
use super::policy::{Compat, Policy, Signal};
use super::reason::Reason;
use super::scalability::significant;
use crate::api::ForecastMode;
use crate::forecast::{ForecastRules, Outlook, Standing, Unforeseen, UnforeseenKind, Verdict};
use crate::number::ceil_count_forgiving;
use crate::time::{Span, Time};

/// What forecasts are asked for, and what they may do.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecasting {
    /// It may raise the floor.
    pub acts: bool,
    /// The metric that it is about; none for each that tells of load.
    pub metric: Option<String>,
    /// How it is made.
    pub rules: ForecastRules,
    /// The floor is there so much earlier than pods take to start.
    pub buffer: Span,
}

impl Forecasting {
    /// Whether a forecast is made of a signal.
    pub fn is_about(&self, signal: &Signal) -> bool {
        signal.tells_load() && self.metric.as_ref().is_none_or(|metric| *metric == signal.name)
    }
}

/// What is known of what one metric will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Foreseen {
    /// Name of the metric.
    pub metric: String,
    /// The newest forecast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlook: Option<Outlook>,
    /// Why there is none, or no newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Unforeseen>,
}

impl Foreseen {
    /// What is known after another fit: where it failed, the forecast before goes on, and why there is no newer one is told.
    pub fn after(before: Option<Self>, metric: &str, fitted: Result<Outlook, Unforeseen>) -> Self {
        let (outlook, fault) = match fitted {
            Ok(outlook) => (Some(outlook), None),
            Err(fault) => (before.and_then(|before| before.outlook), Some(fault)),
        };
        Self { metric: metric.to_owned(), outlook, fault }
    }
}

/// What becomes of a forecast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForecastPhase {
    /// It may raise the floor.
    Acting,
    /// It might, and is only shown.
    Shown,
    /// It is not good enough.
    Stopped,
    /// Too little of it could be compared with what came.
    Unproven,
    /// There is none.
    Missing,
}

/// A forecast at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastReport {
    /// Name of the metric.
    pub metric: String,
    /// What becomes of it.
    pub phase: ForecastPhase,
    /// What was found.
    pub reason: Reason,
    /// The floor that it asks for now, whether or not it may; none where nothing is forecast for the coming lead time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// The moment within the coming lead time that asks for the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// How the forecast came about, and what it is worth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
    /// One sentence.
    pub message: String,
}

/// Each forecast that the policy asks for, in the order of its metrics, as far as pods that are asked for now are late for
/// what it says: `lead` is the time that they take. A lowered target, of which `target_share` is in force, takes more for
/// the same load.
pub(super) fn reports(
    policy: &Policy,
    told: &[Foreseen],
    lead: Span,
    target_share: f64,
    now: Time,
) -> Vec<ForecastReport> {
    let Some(rules) = policy.forecast.as_ref().filter(|_| policy.compat == Compat::None) else {
        return Vec::new();
    };
    let signals = policy.signals.iter().filter(|signal| rules.is_about(signal));
    signals
        .map(|signal| {
            let foreseen = told.iter().find(|foreseen| foreseen.metric == signal.name);
            report(rules, &signal.name, foreseen, lead + rules.buffer, target_share, now)
        })
        .collect()
}

fn report(
    rules: &Forecasting,
    metric: &str,
    foreseen: Option<&Foreseen>,
    lead: Span,
    target_share: f64,
    now: Time,
) -> ForecastReport {
    let fault = foreseen.and_then(|foreseen| foreseen.fault.as_ref());
    let missing = |reason, message: String| ForecastReport {
        metric: metric.to_owned(),
        phase: ForecastPhase::Missing,
        reason,
        replicas: None,
        at: None,
        standing: None,
        message,
    };
    let Some(outlook) = foreseen.and_then(|foreseen| foreseen.outlook.as_ref()) else {
        return match fault {
            Some(fault) => missing(fault_reason(fault.kind), format!("{metric}: {}", fault.message)),
            None => missing(Reason::ForecastPending, format!("{metric}: its past has not been read yet")),
        };
    };
    let standing = &outlook.standing;
    let phase = match standing.verdict {
        Verdict::Trusted if rules.acts => ForecastPhase::Acting,
        Verdict::Trusted => ForecastPhase::Shown,
        Verdict::Unproven => ForecastPhase::Unproven,
        _ => ForecastPhase::Stopped,
    };
    let most = most_within(outlook, lead, now);
    let Some((at, need)) = most else {
        let why = fault.map_or_else(String::new, |fault| format!(": {}", fault.message));
        let message = format!("{metric}: the forecast of {} has run out{why}", moment(standing.fitted));
        let reason = fault.map_or(Reason::ForecastPending, |fault| fault_reason(fault.kind));
        return ForecastReport { standing: Some(standing.clone()), ..missing(reason, message) };
    };
    let stale = fault.map_or_else(String::new, |fault| format!("; no newer forecast: {}", fault.message));
    ForecastReport {
        metric: metric.to_owned(),
        phase,
        reason: verdict_reason(standing.verdict),
        replicas: Some(ceil_count_forgiving(need / target_share)),
        at: Some(at),
        message: format!("{}{stale}", sentence(metric, phase, standing)),
        standing: Some(standing.clone()),
    }
}

/// The largest upper quantile from now until pods asked for now serve, and at least of the next step that is told.
fn most_within(outlook: &Outlook, lead: Span, now: Time) -> Option<(Time, f64)> {
    let step = outlook.moments.step;
    let until = now + lead + step;
    let told = outlook.moments.iter().zip(&outlook.upper);
    let coming = told.filter(|(at, need)| *at > now && *at <= until && need.is_finite() && **need >= 0.0);
    let most = coming.max_by(|(_, one), (_, other)| one.total_cmp(other));
    most.map(|(at, need)| (at, *need))
}

fn sentence(metric: &str, phase: ForecastPhase, standing: &Standing) -> String {
    let seasons: Vec<_> = standing.seasons.iter().map(Span::to_string).collect();
    let basis = format!("{metric} comes again after {}", seasons.join(" and "));
    let Some(accuracy) = standing.accuracy else {
        return format!("{basis}; too few forecasts could be compared with what came to rely on them");
    };
    let percent = |share: f64| format!("{} %", significant((share * 1000.0).round() / 10.0));
    let off = format!(
        "over the last day forecasts were off by {}, what anybody could say by {}, and {} of the time load passed the {:.0}th \
         percentile",
        percent(accuracy.error),
        percent(accuracy.naive_error),
        percent(accuracy.missed),
        (1.0 - accuracy.allowed) * 100.0
    );
    let then = match phase {
        ForecastPhase::Stopped => ": it raises no floor until it is better",
        ForecastPhase::Shown => ": it is only shown, since mode is ForecastOnly",
        _ => "",
    };
    format!("{basis}; {off}{then}")
}

fn verdict_reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Trusted => Reason::ForecastAccurate,
        Verdict::Unproven => Reason::ForecastUnproven,
        Verdict::NoBetterThanNaive => Reason::ForecastNoBetterThanNaive,
        Verdict::TooFarOff => Reason::ForecastTooFarOff,
        Verdict::MissedTooOften => Reason::ForecastMissedTooOften,
    }
}

fn fault_reason(kind: UnforeseenKind) -> Reason {
    match kind {
        UnforeseenKind::Pending => Reason::ForecastPending,
        UnforeseenKind::Unreadable => Reason::ForecastHistoryUnreadable,
        UnforeseenKind::TooShort => Reason::ForecastHistoryTooShort,
        UnforeseenKind::TooManyGaps => Reason::ForecastHistoryGaps,
        UnforeseenKind::NoSeason => Reason::NoSeasonFound,
        UnforeseenKind::NotFitted => Reason::ForecastNotFitted,
    }
}

/// The largest floor that a forecast may set: never more than `maxReplicas`.
pub(super) fn floor(policy: &Policy, reports: &[ForecastReport]) -> Option<Floor> {
    let acting = reports.iter().filter(|report| report.phase == ForecastPhase::Acting);
    let set = acting.filter_map(|report| Some((report.replicas?, report.at?, report)));
    let (asked, at, report) = set.rev().max_by_key(|(asked, ..)| *asked)?;
    let replicas = asked.min(policy.max);
    let capped =
        if replicas < asked { format!(", and maxReplicas is {}", policy.max) } else { String::new() };
    let message = format!(
        "the forecast of {} keeps at least {replicas}: {} takes {asked}{capped}",
        report.metric,
        moment(at)
    );
    Some(Floor { replicas, reason: Reason::Forecast, message })
}

/// Adds what the forecasts are worth to a decision's conditions, by the one that is worth least.
pub(super) fn tell(decision: &mut Decision) {
    let worst = decision.forecasts.iter().max_by_key(|report| match report.phase {
        ForecastPhase::Acting | ForecastPhase::Shown => 0,
        ForecastPhase::Unproven => 1,
        ForecastPhase::Missing => 2,
        ForecastPhase::Stopped => 3,
    });
    let Some(report) = worst else { return };
    let status = match report.phase {
        ForecastPhase::Acting | ForecastPhase::Shown => ConditionStatus::True,
        ForecastPhase::Stopped => ConditionStatus::False,
        ForecastPhase::Unproven | ForecastPhase::Missing => ConditionStatus::Unknown,
    };
    let kind = ConditionType::ForecastAccurate;
    let condition = Condition { kind, status, reason: report.reason, message: report.message.clone() };
    let at = decision.conditions.partition_point(|other| other.kind < kind);
    decision.conditions.insert(at, condition);
}

/// Whether a policy's forecasts may act.
pub(super) fn acts(mode: ForecastMode) -> bool {
    mode == ForecastMode::ForecastAndScale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{Model, Peak};
    use crate::signal::Moments;

    #[test]
    fn a_target_that_an_error_budget_lowers_takes_more_for_the_same_forecast() {
        let spec = serde_json::json!({"scaleTargetRef": {"name": "web"}, "maxReplicas": 90, "forecast": {"mode": "ForecastAndScale"},
            "metrics": [{"name": "rps", "prometheus": {"query": "q"}, "target": {"type": "AverageValue", "averageValue": "100"}}]});
        let policy = Policy::compile(&serde_json::from_value(spec).unwrap()).unwrap();
        let now = Time::from_seconds(1_790_000_000);
        let moments =
            Moments { first: now + Span::from_seconds(60), step: Span::from_seconds(300), count: 1 };
        let outlook = Outlook {
            standing: Standing {
                model: Model::Mstl,
                seasons: vec![Span::from_seconds(86_400)],
                fitted: now,
                observed: Span::from_seconds(864_000),
                peak: Peak { at: now, replicas: 20.0 },
                accuracy: None,
                verdict: Verdict::Trusted,
            },
            moments,
            expected: vec![18.0],
            upper: vec![20.0],
        };
        let told = [Foreseen { metric: "rps".to_owned(), outlook: Some(outlook), fault: None }];
        for (share, replicas) in [(1.0, 20), (0.8, 25)] {
            let reports = reports(&policy, &told, Span::from_seconds(90), share, now);
            assert_eq!(floor(&policy, &reports).map(|floor| floor.replicas), Some(replicas), "{share}");
        }
    }
}
