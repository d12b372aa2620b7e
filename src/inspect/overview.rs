//! How all policies stand, one line each.

use kube::Client;
use serde::Serialize;

use super::paint::Paint;
use super::{ago, explanation};
use crate::api::ScalingPolicyStatus;
use crate::cluster::{PolicyRecord, list_policies, moment};
use crate::time::Time;

/// Conditions that are worth a word when they hold.
const TROUBLES: [&str; 8] = [
    "BottleneckMoved",
    "BudgetInfeasible",
    "Flapping",
    "Guarded",
    "PodsFailing",
    "ReplicasOverwritten",
    "RolloutStalled",
    "ScalingLimited",
];

/// In which order policies are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// What lacks most first, then what is not Ready.
    #[default]
    Trouble,
    /// By namespace and name.
    Name,
    /// The largest first.
    Replicas,
}

/// How policies stand.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// One entry a policy.
    pub policies: Vec<Standing>,
}

/// How one policy stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Kind and name of its workload.
    pub workload: String,
    /// Replicas asked of the workload.
    pub replicas: Option<u32>,
    /// Replicas that the policy wants.
    pub desired: Option<u32>,
    /// What demand asks for, before any limit.
    pub need: Option<u32>,
    /// The most that all limits allow.
    pub ceiling: Option<u32>,
    /// What holds the count below the need.
    pub limited_by: Option<String>,
    /// Replicas needed beyond that.
    pub unmet: u32,
    /// Each signal's value and target.
    pub targets: Option<String>,
    /// Whether it is Ready; none if nobody has said.
    pub ready: Option<bool>,
    /// Conditions that somebody should know of.
    pub conditions: Vec<String>,
    /// When this was written, RFC 3339.
    pub as_of: Option<String>,
    #[serde(skip)]
    written: Option<Time>,
}

/// Reads how the policies of a namespace, or of the whole cluster, stand. The error is a sentence.
pub async fn overview(client: &Client, namespace: Option<&str>, order: Order) -> Result<Overview, String> {
    let policies = list_policies(client, namespace).await.map_err(|error| error.message)?;
    let mut policies: Vec<_> = policies.iter().map(|(record, status)| standing(record, status)).collect();
    match order {
        Order::Name => {}
        Order::Trouble => {
            policies
                .sort_by_key(|standing| (std::cmp::Reverse(standing.unmet), standing.ready == Some(true)));
        }
        Order::Replicas => policies.sort_by_key(|standing| std::cmp::Reverse(standing.replicas)),
    }
    Ok(Overview { policies })
}

fn standing(record: &PolicyRecord, status: &ScalingPolicyStatus) -> Standing {
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let not_ready = ready.filter(|ready| ready.status != "True").map(|ready| ready.reason.clone());
    let troubles = status
        .conditions
        .iter()
        .filter(|condition| condition.status == "True" && TROUBLES.contains(&condition.type_.as_str()))
        .map(|condition| condition.type_.clone());
    let headroom = status.conditions.iter().find(|condition| condition.type_ == "HeadroomSufficient");
    let too_small =
        headroom.filter(|headroom| headroom.status == "False").map(|headroom| headroom.reason.clone());
    let need = status.metrics.iter().filter_map(|metric| metric.need).max();
    Standing {
        namespace: record.key.namespace.clone(),
        name: record.key.name.clone(),
        workload: explanation::workload(record),
        replicas: status.current_replicas,
        desired: status.desired_replicas,
        need,
        ceiling: status.effective_max_replicas,
        limited_by: status.limited_by.clone(),
        unmet: status.unmet_replicas.unwrap_or(0),
        targets: status.targets.clone(),
        ready: ready.map(|ready| ready.status == "True"),
        conditions: not_ready.into_iter().chain(troubles).chain(too_small).collect(),
        as_of: status.as_of.as_ref().map(|at| at.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        written: status.as_of.as_ref().map(|at| moment(at.0)),
    }
}

const HEADER: [&str; 10] = [
    "NAMESPACE",
    "NAME",
    "WORKLOAD",
    "REPLICAS",
    "NEED",
    "CEILING",
    "LIMITED BY",
    "UNMET",
    "CONDITIONS",
    "AGE",
];
/// The signals come last: they may be long.
const SIGNALS: &str = "SIGNALS";

impl Overview {
    /// As a terminal shows it, at most `width` columns wide.
    pub fn text(&self, now: Time, width: Option<usize>, paint: Paint) -> String {
        if self.policies.is_empty() {
            return "no ScalingPolicy found\n".to_owned();
        }
        let rows: Vec<_> = self.policies.iter().map(|standing| standing.cells(now)).collect();
        let widths: Vec<usize> = HEADER
            .iter()
            .enumerate()
            .map(|(column, title)| {
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.max().unwrap_or(0).max(title.len())
            })
            .collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let width = widths.get(column).copied().unwrap_or(0);
                if (3..6).contains(&column) || column == 7 {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            width.map_or_else(|| line.to_owned(), |width| line.chars().take(width).collect())
        };
        let header: Vec<_> = HEADER.iter().chain([&SIGNALS]).map(ToString::to_string).collect();
        let mut text = format!("{}\n", paint.bold(&line(&header)));
        for (standing, row) in self.policies.iter().zip(&rows) {
            let line = line(row);
            text.push_str(&match standing {
                Standing { ready: Some(false), .. } => paint.bad(&line),
                Standing { unmet: 1.., .. } => paint.warn(&line),
                Standing { conditions, ready: Some(true), .. } if conditions.is_empty() => line,
                Standing { ready: None, .. } => paint.faint(&line),
                Standing { .. } => paint.warn(&line),
            });
            text.push('\n');
        }
        text
    }
}

impl Standing {
    fn cells(&self, now: Time) -> Vec<String> {
        let count = |count: Option<u32>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
        let replicas = match (self.replicas, self.desired) {
            (Some(now), Some(desired)) if now != desired => format!("{now}→{desired}"),
            (now, _) => count(now),
        };
        vec![
            self.namespace.clone(),
            self.name.clone(),
            self.workload.clone(),
            replicas,
            count(self.need),
            count(self.ceiling),
            self.limited_by.clone().unwrap_or_else(|| "–".to_owned()),
            if self.unmet > 0 { self.unmet.to_string() } else { "–".to_owned() },
            match (&self.ready, self.conditions.as_slice()) {
                (None, _) => "not evaluated yet".to_owned(),
                (Some(true), []) => "Ready".to_owned(),
                (_, conditions) => conditions.join(","),
            },
            self.written.map_or_else(|| "–".to_owned(), |at| ago(at, now)),
            self.targets.clone().unwrap_or_default(),
        ]
    }
}
