//! What a what-if assumes.

use std::fmt;
use std::str::FromStr;

use crate::api::Quantity;
use crate::number::MAX_COUNT;

/// One thing that is assumed to be otherwise.
#[derive(Clone, Debug, PartialEq)]
pub enum Assumption {
    /// A metric has this value, in the query's own unit; none: its query finds nothing.
    Metric(String, Option<f64>),
    /// A guard's query has this value; none: it finds nothing.
    Guard(String, Option<f64>),
    /// A ConnectionBudget grants the workload so many connections.
    Budget(String, u32),
    /// The workload is asked for so many replicas, and has so many pods.
    Replicas(u32),
    /// So many of the workload's pods are Ready.
    Ready(u32),
    /// `minReplicas`.
    MinReplicas(u32),
    /// `maxReplicas`.
    MaxReplicas(u32),
}

impl FromStr for Assumption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || {
            format!(
                "{text:?} is not understood: write metrics.NAME=VALUE, guards.NAME=VALUE (a number such as 900 or 300m, or \
                 none), budgets.NAME=CONNECTIONS, replicas=COUNT, ready=COUNT, minReplicas=COUNT or maxReplicas=COUNT"
            )
        };
        let (what, value) = text.split_once('=').ok_or_else(fault)?;
        let (what, value) = (what.trim(), value.trim());
        if let Some(name) = what.strip_prefix("metrics.").filter(|name| !name.is_empty()) {
            return Ok(Self::Metric(name.to_owned(), reading(value)?));
        }
        if let Some(name) = what.strip_prefix("guards.").filter(|name| !name.is_empty()) {
            return Ok(Self::Guard(name.to_owned(), reading(value)?));
        }
        if let Some(name) = what.strip_prefix("budgets.").filter(|name| !name.is_empty()) {
            return Ok(Self::Budget(name.to_owned(), count(what, value)?));
        }
        Ok(match what {
            "replicas" => Self::Replicas(count(what, value)?),
            "ready" => Self::Ready(count(what, value)?),
            "minReplicas" => Self::MinReplicas(count(what, value)?),
            "maxReplicas" => Self::MaxReplicas(count(what, value)?),
            _ => return Err(fault()),
        })
    }
}

fn reading(text: &str) -> Result<Option<f64>, String> {
    if text == "none" {
        return Ok(None);
    }
    let quantity = text.parse::<Quantity>().and_then(|quantity| quantity.value());
    quantity.map(Some).map_err(|error| format!("{error}, or none"))
}

fn count(what: &str, text: &str) -> Result<u32, String> {
    let count = text.parse::<u32>().ok().filter(|count| *count <= MAX_COUNT);
    count.ok_or_else(|| format!("{what}={text}: write a whole number from 0 to {MAX_COUNT}"))
}

impl fmt::Display for Assumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reading = |value: &Option<f64>| {
            value.map_or_else(
                || "finds nothing".to_owned(),
                |value| format!("is {}", crate::control::spelled(value)),
            )
        };
        match self {
            Self::Metric(name, value) => write!(f, "metric {name} {}", reading(value)),
            Self::Guard(name, value) => write!(f, "guard {name} {}", reading(value)),
            Self::Budget(name, connections) => write!(f, "budget {name} grants {connections} connections"),
            Self::Replicas(count) => write!(f, "the workload has {count} replicas"),
            Self::Ready(count) => write!(f, "{count} of its pods are Ready"),
            Self::MinReplicas(count) => write!(f, "minReplicas is {count}"),
            Self::MaxReplicas(count) => write!(f, "maxReplicas is {count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assumptions_are_read_and_said_back() {
        for (text, words) in [
            ("metrics.rps=900", "metric rps is 900"),
            ("metrics.p99=300m", "metric p99 is 300m"),
            ("metrics.rps=none", "metric rps finds nothing"),
            ("guards.db-cpu=0.91", "guard db-cpu is 910m"),
            ("budgets.orders-db=400", "budget orders-db grants 400 connections"),
            ("replicas=12", "the workload has 12 replicas"),
            ("ready=9", "9 of its pods are Ready"),
            ("minReplicas=3", "minReplicas is 3"),
            (" maxReplicas = 40 ", "maxReplicas is 40"),
        ] {
            assert_eq!(text.parse::<Assumption>().unwrap().to_string(), words);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_to_write() {
        for (text, words) in [
            ("rps", "write metrics.NAME=VALUE"),
            ("rps=900", "write metrics.NAME=VALUE"),
            ("metrics.=900", "write metrics.NAME=VALUE"),
            (
                "metrics.rps=many",
                "\"many\" is not a number: write for example 90, \"0.5\", 300m or 2k, or none",
            ),
            ("replicas=-1", "replicas=-1: write a whole number"),
            ("ready=99999999999", "write a whole number"),
            ("budgets.db=1.5", "budgets.db=1.5: write a whole number"),
        ] {
            let fault = text.parse::<Assumption>().unwrap_err();
            assert!(fault.contains(words), "{text}: {fault}");
        }
    }
}
