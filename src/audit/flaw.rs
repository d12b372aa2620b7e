//! What rules find: why it matters, and what to write instead.

use super::Level;

/// What a rule found. An operator keeps those of every workload, so they are small: sentences are made where they are
/// shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A container with ports has no readiness probe.
    NoReadinessProbe {
        /// Name of the container.
        container: Box<str>,
    },
    /// Both probes of a container ask the same.
    SameProbes {
        /// Name of the container.
        container: Box<str>,
    },
    /// A readiness probe asks a path that reaches nothing.
    ShallowReadiness {
        /// Name of the container.
        container: Box<str>,
        /// The path that is asked.
        path: Box<str>,
    },
    /// A container with ports has no preStop hook.
    NoPreStop {
        /// Name of the container.
        container: Box<str>,
    },
    /// A preStop hook sleeps for longer than the grace period leaves.
    GraceShorterThanDrain {
        /// Name of the container.
        container: Box<str>,
        /// Seconds that the hook sleeps.
        sleeps: i64,
        /// `terminationGracePeriodSeconds`.
        grace: i64,
    },
    /// Pods were seen to take all of their grace period.
    DrainTakesAllGrace {
        /// The 90th percentile of the time that pods took to go, in seconds.
        drain: u64,
        /// `terminationGracePeriodSeconds`.
        grace: u64,
    },
    /// A short grace period.
    ShortGrace {
        /// `terminationGracePeriodSeconds`.
        grace: i64,
    },
    /// Nothing keeps the pods apart.
    NotSpread,
    /// A container requests nothing.
    NoRequests,
    /// A rollout stops all pods before it starts any.
    Recreate,
    /// A rollout removes capacity before it adds any.
    NoSurge,
    /// A rollout takes away pods that are needed.
    MaxUnavailableDips {
        /// `maxUnavailable`.
        share: Box<str>,
    },
    /// A database cannot carry `minReplicas`.
    BudgetInfeasible {
        /// Name of the ceiling.
        ceiling: Box<str>,
        /// Connections that are left for the workload.
        connections: u32,
        /// Replicas that they carry.
        replicas: u32,
        /// `minReplicas`.
        min: u32,
    },
    /// Pools are too large for `maxReplicas`.
    MaxNotReachable {
        /// Name of the ceiling.
        ceiling: Box<str>,
        /// Replicas that its connections carry.
        replicas: u32,
        /// How a rollout overlaps.
        rollout: Box<str>,
        /// `maxReplicas`.
        max: u32,
        /// The pool with which they would carry as many.
        pool: u32,
    },
}

impl Flaw {
    /// Name of the rule.
    pub const fn rule(&self) -> &'static str {
        match self {
            Self::NoReadinessProbe { .. } => "no-readiness-probe",
            Self::SameProbes { .. } => "same-probes",
            Self::ShallowReadiness { .. } => "shallow-readiness",
            Self::NoPreStop { .. } => "no-pre-stop",
            Self::GraceShorterThanDrain { .. } | Self::DrainTakesAllGrace { .. } => {
                "grace-shorter-than-drain"
            }
            Self::ShortGrace { .. } => "short-grace",
            Self::NotSpread => "not-spread",
            Self::NoRequests => "no-requests",
            Self::Recreate => "recreate",
            Self::NoSurge => "no-surge",
            Self::MaxUnavailableDips { .. } => "max-unavailable-dips",
            Self::BudgetInfeasible { .. } => "budget-infeasible",
            Self::MaxNotReachable { .. } => "max-not-reachable",
        }
    }

    /// How much it matters.
    pub const fn level(&self) -> Level {
        match self {
            Self::NoReadinessProbe { .. }
            | Self::GraceShorterThanDrain { .. }
            | Self::BudgetInfeasible { .. } => Level::Error,
            Self::SameProbes { .. }
            | Self::NoPreStop { .. }
            | Self::DrainTakesAllGrace { .. }
            | Self::ShortGrace { .. }
            | Self::NoRequests
            | Self::Recreate
            | Self::NoSurge
            | Self::MaxUnavailableDips { .. } => Level::Warning,
            Self::ShallowReadiness { .. } | Self::NotSpread | Self::MaxNotReachable { .. } => Level::Note,
        }
    }

    /// What stands in the line of a manifest that it is about.
    pub fn anchor(&self) -> String {
        match self {
            Self::NoReadinessProbe { container }
            | Self::SameProbes { container }
            | Self::ShallowReadiness { container, .. }
            | Self::NoPreStop { container } => format!("name: {container}"),
            Self::BudgetInfeasible { ceiling, .. } | Self::MaxNotReachable { ceiling, .. } => {
                format!("name: {ceiling}")
            }
            Self::GraceShorterThanDrain { .. }
            | Self::DrainTakesAllGrace { .. }
            | Self::ShortGrace { .. } => "terminationGracePeriodSeconds".to_owned(),
            Self::NotSpread => "template".to_owned(),
            Self::NoRequests => "containers".to_owned(),
            Self::Recreate => "Recreate".to_owned(),
            Self::NoSurge => "maxSurge".to_owned(),
            Self::MaxUnavailableDips { .. } => "maxUnavailable".to_owned(),
        }
    }

    /// What is so, and why it matters.
    pub fn why(&self) -> String {
        match self {
            Self::NoReadinessProbe { container } => format!(
                "{container} has no readiness probe: it gets requests from the moment its process exists, and an autoscaler \
                 counts it as capacity"
            ),
            Self::SameProbes { container } => format!(
                "{container} is asked the same by both probes: overload fails the readiness and restarts the pod as well, and \
                 the rest gets its load"
            ),
            Self::ShallowReadiness { container, path } => format!(
                "{container} answers {path} whether or not its pool and its cache are there: the first requests after Ready \
                 are slow or fail"
            ),
            Self::NoPreStop { container } => format!(
                "{container} stops the moment it is told to, while load balancers still send to it for some seconds: each \
                 scale-in loses requests"
            ),
            Self::GraceShorterThanDrain { container, sleeps, grace } => format!(
                "{container} waits {sleeps} s before it stops and is killed after {grace} s: requests under way are cut off"
            ),
            Self::DrainTakesAllGrace { drain, grace } => format!(
                "one in ten of the pods that went took {drain} s or more, and all are killed after {grace} s: requests under \
                 way are cut off"
            ),
            Self::ShortGrace { grace } => {
                format!("{grace} s are too few for requests under way and for a pool to close")
            }
            Self::NotSpread => {
                "nothing keeps the pods apart: the loss of one node or zone may take most of them".to_owned()
            }
            Self::NoRequests => {
                "a policy aims at a utilization of these pods, and a container requests nothing: there is \
                                 nothing to be a share of"
                    .to_owned()
            }
            Self::Recreate => "each rollout stops all pods before the first new one starts".to_owned(),
            Self::NoSurge => {
                "maxSurge is 0: a rollout removes capacity before it adds any, at whatever hour it runs"
                    .to_owned()
            }
            Self::MaxUnavailableDips { share } => format!(
                "a rollout may take away {share} of the pods while an autoscaler keeps just as many as the load needs"
            ),
            Self::BudgetInfeasible { ceiling, connections, replicas, min } => format!(
                "{ceiling} gives {connections} connections, which carry {replicas} replicas with a rollout: fewer than \
                 minReplicas {min}"
            ),
            Self::MaxNotReachable { ceiling, replicas, rollout, max, .. } => format!(
                "{ceiling} carries at most {replicas} replicas with a rollout{rollout}: maxReplicas {max} is never reached"
            ),
        }
    }

    /// What to write.
    pub fn instead(&self) -> String {
        match self {
            Self::NoReadinessProbe { .. } => {
                "readinessProbe: {httpGet: {path: /ready, port: …}}, on a path that reaches what the service needs".to_owned()
            }
            Self::SameProbes { .. } => {
                "a liveness probe of its own that only shows that the process is not stuck".to_owned()
            }
            Self::ShallowReadiness { .. } => {
                "a readiness path that takes a connection as a request does".to_owned()
            }
            Self::NoPreStop { .. } => {
                "lifecycle: {preStop: {sleep: {seconds: 10}}}, and finish what is under way on SIGTERM".to_owned()
            }
            Self::GraceShorterThanDrain { sleeps, .. } => format!(
                "terminationGracePeriodSeconds: {} or more: the wait, and the longest request",
                sleeps.saturating_add(30)
            ),
            Self::DrainTakesAllGrace { .. } => {
                "a process that ends on SIGTERM once its requests are done, or a longer terminationGracePeriodSeconds".to_owned()
            }
            Self::ShortGrace { .. } => "terminationGracePeriodSeconds: 30 or more".to_owned(),
            Self::NotSpread => {
                "topologySpreadConstraints over topology.kubernetes.io/zone and kubernetes.io/hostname".to_owned()
            }
            Self::NoRequests => "resources: {requests: {cpu: …}}".to_owned(),
            Self::Recreate => "strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 0}}".to_owned(),
            Self::NoSurge => "maxSurge: 25%, counted into the connection ceiling".to_owned(),
            Self::MaxUnavailableDips { .. } => "maxUnavailable: 0, with maxSurge: 25%".to_owned(),
            Self::BudgetInfeasible { .. } => {
                "a smaller pool in perPod, a pooler, a smaller maxSurge, or more connections".to_owned()
            }
            Self::MaxNotReachable { pool: 0, max, .. } => {
                format!("no pool is small enough for {max} replicas: put a pooler in between, or write a lower maxReplicas")
            }
            Self::MaxNotReachable { pool, .. } => format!("a pool of {pool} a pod would carry maxReplicas"),
        }
    }
}
