//! How many replicas a load takes: `ceil(peak × surge / what one carries) + headroom`, with what each part is for.

use serde::Serialize;

use crate::api::RolloutOverlap;
use crate::capacity::Zones;
use crate::ceiling::connections::{Assume, RolloutShape, carried_pods, fitting_pool, largest_count};
use crate::control::{CountOrPercent, UpdateStrategy};
use crate::number::{MAX_COUNT, ceil_count_forgiving, from_count};
use crate::time::Span;

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Requests per second at the usual peak; above 0.
    pub peak: f64,
    /// Short bursts over the peak, as a factor of 1 or more.
    pub surge: f64,
    /// Requests per second that one replica carried where it was measured; above 0.
    pub per_replica: f64,
    /// The utilization at which that was measured, in percent, 1 to 100.
    pub measured_at: u32,
    /// The utilization to run at, in percent, 1 to 100.
    pub target_utilization: u32,
    /// Replicas that may fail at the same time.
    pub failures: u32,
    /// Zones that replicas are spread over evenly, and how many of them may be lost.
    pub zones: Option<(u32, u32)>,
    /// Requests per second by which load grows within a second at its steepest, and the time until a replica that is
    /// missing carries load.
    pub growth: Option<(f64, Span)>,
    /// The database behind it.
    pub database: Option<DatabaseQuestion>,
}

/// The database behind a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatabaseQuestion {
    /// Connections that it gives in all.
    pub max_connections: u32,
    /// Held back, and used by others.
    pub reserved: u32,
    /// Connections that one pod opens.
    pub per_pod: u32,
    /// `maxSurge` of the rolling update.
    pub max_surge: CountOrPercent,
    /// `maxUnavailable` of the rolling update.
    pub max_unavailable: CountOrPercent,
    /// Old pods that still hold connections in a rollout.
    pub overlap: RolloutOverlap,
}

/// The answer, with each line of the working.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Replicas at the peak.
    pub replicas: u32,
    /// Of them, those that carry load.
    pub carrying: u32,
    /// The most that the database's connections allow, with a rollout at any moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_ceiling: Option<u32>,
    /// Whether the plan fits under that ceiling.
    pub fits: bool,
    /// Each line of the working, in order.
    pub working: Vec<String>,
    /// The part of a policy that follows.
    pub policy: String,
}

/// Works it out; a sentence says what cannot be.
pub fn plan(question: &Question) -> Result<Plan, String> {
    check(question)?;
    let mut working = Vec::new();
    let (measured, target) = (from_count(question.measured_at), from_count(question.target_utilization));
    let usable = question.per_replica * target / measured;
    working.push(format!(
        "one replica: {} requests per second at {} % → {} at the {} % to run at{}",
        number(question.per_replica),
        question.measured_at,
        number(usable),
        question.target_utilization,
        if question.target_utilization > 80 {
            "; past 80 % the line in front of it grows steeply: 70 to 80 is the rule"
        } else {
            ""
        }
    ));
    let load = question.peak * question.surge;
    let carrying = ceil_count_forgiving(load / usable);
    working.push(format!(
        "load: {} at the peak × {} for bursts = {} requests per second",
        number(question.peak),
        number(question.surge),
        number(load)
    ));
    working.push(format!("carrying it: ⌈{} / {}⌉ = {carrying}", number(load), number(usable)));
    let mut replicas = carrying;
    if let Some((growth, lead)) = question.growth {
        let ahead = ceil_count_forgiving(growth * lead.seconds() / usable);
        replicas = replicas.saturating_add(ahead);
        working.push(format!(
            "cold start: {} requests per second more each second × {lead} until a new replica carries load = {}, ⌈{} / {}⌉ = {ahead} kept warm → {replicas}",
            number(growth),
            number(growth * lead.seconds()),
            number(growth * lead.seconds()),
            number(usable)
        ));
    }
    if question.failures > 0 {
        replicas = replicas.saturating_add(question.failures);
        working.push(format!("{} may fail at once: + {} → {replicas}", question.failures, question.failures));
    }
    if let Some((zones, lost)) = question.zones {
        let zones_lost = Zones { all: zones, lost };
        let spread = replicas.max(zones_lost.fewest(carrying));
        working.push(format!(
            "{lost} of {zones} zones may be lost: {spread} spread evenly leave {} of the {carrying} that carry the load{}",
            zones_lost.left(spread),
            if spread > replicas { format!(" → {spread}") } else { ", enough as it is".to_owned() }
        ));
        replicas = spread;
    }
    if replicas > MAX_COUNT {
        return Err(format!(
            "that takes {replicas} replicas, more than there can be: is what one replica carries right?"
        ));
    }
    working.push(format!("replicas at the peak: {replicas}"));
    let ceiling = question.database.map(|database| budget(database, replicas, &mut working));
    let fits = ceiling.is_none_or(|ceiling| ceiling >= replicas);
    let idle = replicas.saturating_sub(carrying);
    let policy = format!(
        "maxReplicas: {}\nmetrics:\n- name: rps\n  target: {{type: AverageValue, averageValue: \"{}\"}}\nheadroom: {{replicas: {idle}}}\n",
        ceiling.map_or(replicas, |ceiling| ceiling.min(replicas)).max(1),
        number(usable)
    );
    Ok(Plan { replicas, carrying, connection_ceiling: ceiling, fits, working, policy })
}

fn check(question: &Question) -> Result<(), String> {
    let above_0 = |value: f64| (1e-6..=1e12).contains(&value);
    let share = |percent: u32| (1..=100).contains(&percent);
    let faults = [
        (!above_0(question.peak), "the peak must be above 0 requests per second"),
        (!above_0(question.per_replica), "what one replica carries must be above 0 requests per second"),
        (
            !(1.0..=1000.0).contains(&question.surge),
            "the surge is a factor of 1 or more, up to 1000, for example 1.5",
        ),
        (!share(question.measured_at), "a replica is measured at 1 to 100 % utilization"),
        (!share(question.target_utilization), "the utilization to run at is 1 to 100 %"),
        (
            question.zones.is_some_and(|(zones, lost)| zones == 0 || lost >= zones),
            "of the zones at least one must remain: write fewer zones to survive than there are",
        ),
        (
            question.growth.is_some_and(|(growth, _)| !(0.0..=1e12).contains(&growth)),
            "growth is in requests per second, 0 or more",
        ),
        (question.database.is_some_and(|database| database.per_pod == 0), "a pod opens 1 connection or more"),
        (
            question.database.is_some_and(|database| database.reserved >= database.max_connections),
            "what is reserved leaves no connection: raise max_connections or lower it",
        ),
    ];
    faults.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, fault)| Err(fault.to_owned()))
}

fn budget(database: DatabaseQuestion, replicas: u32, working: &mut Vec<String>) -> u32 {
    let gives = database.max_connections.saturating_sub(database.reserved);
    let shape = RolloutShape {
        update: UpdateStrategy::RollingUpdate {
            max_surge: database.max_surge,
            max_unavailable: database.max_unavailable,
        },
        termination_grace: Span::from_seconds(30),
        drain: None,
        start_up: None,
    };
    let pods = carried_pods(gives, database.per_pod);
    let ceiling = largest_count(pods, &shape, database.overlap, Assume::Worst, 0);
    let reachable = shape.reachable(replicas, database.overlap, Assume::Worst);
    working.push(format!(
        "database: {} connections − {} reserved = {gives}; {} a pod → {pods} pods at any moment",
        database.max_connections, database.reserved, database.per_pod
    ));
    working.push(format!(
        "a rollout may bring {replicas} replicas to {reachable} pods; the most replicas that fit are {ceiling}{}",
        if ceiling >= replicas {
            String::new()
        } else {
            let remedy = match fitting_pool(gives, database.overlap, &shape, replicas) {
                0 => "even with one connection a pod they would not fit: put a pooler in between".to_owned(),
                pool => format!("with a pool of {pool} a pod they would fit"),
            };
            format!(", {} too few: {remedy}", replicas - ceiling)
        }
    ));
    ceiling
}

/// A number without decimals that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question {
            peak: 600.0,
            surge: 2.0,
            per_replica: 100.0,
            measured_at: 70,
            target_utilization: 70,
            failures: 2,
            zones: None,
            growth: None,
            database: None,
        }
    }

    #[test]
    fn textbook_examples_come_to_their_answers() {
        // 600 × 2 / 100 + 2; 4000 × 3 / 250 + 3; 1500 × 2.5 / 200 + 2.
        for (peak, surge, per_replica, failures, expected) in
            [(600.0, 2.0, 100.0, 2, 14), (4000.0, 3.0, 250.0, 3, 51), (1500.0, 2.5, 200.0, 2, 21)]
        {
            let found = plan(&Question { peak, surge, per_replica, failures, ..question() }).unwrap();
            assert_eq!(found.replicas, expected, "{:?}", found.working);
        }
    }

    #[test]
    fn each_part_adds_its_line() {
        let found = plan(&Question {
            zones: Some((3, 1)),
            growth: Some((5.0, Span::from_seconds(90))),
            ..question()
        })
        .unwrap();
        // 12 carry, 5 are warm, 2 may fail: 19; of 19 over three zones 12 are left.
        assert_eq!((found.carrying, found.replicas), (12, 19), "{:?}", found.working);
        let found = plan(&Question { failures: 0, zones: Some((3, 1)), ..question() }).unwrap();
        assert_eq!(found.replicas, 18, "{:?}", found.working);
    }

    #[test]
    fn a_database_that_cannot_carry_it_is_named_with_the_pool_that_would_fit() {
        let database = DatabaseQuestion {
            max_connections: 395,
            reserved: 15,
            per_pod: 20,
            max_surge: CountOrPercent::Percent(25),
            max_unavailable: CountOrPercent::Percent(25),
            overlap: RolloutOverlap::Pods(0),
        };
        let found = plan(&Question { failures: 6, database: Some(database), ..question() }).unwrap();
        assert_eq!((found.replicas, found.connection_ceiling, found.fits), (18, Some(15), false));
        assert!(
            found.working.iter().any(|line| line.contains("with a pool of 16 a pod they would fit")),
            "{:?}",
            found.working
        );
        assert!(found.policy.contains("maxReplicas: 15"));

        let small = DatabaseQuestion { max_connections: 30, ..database };
        let found = plan(&Question { failures: 6, database: Some(small), ..question() }).unwrap();
        let told = found.working.join("\n");
        assert!(told.contains("even with one connection a pod they would not fit"), "{told}");
        assert!(!told.contains("a pool of 0"), "{told}");
    }

    #[test]
    fn questions_without_an_answer_are_refused() {
        for (wrong, words) in [
            (Question { peak: 0.0, ..question() }, "peak must be above 0"),
            (Question { per_replica: f64::NAN, ..question() }, "one replica carries"),
            (Question { surge: 0.5, ..question() }, "factor of 1 or more"),
            (Question { target_utilization: 0, ..question() }, "1 to 100 %"),
            (Question { zones: Some((3, 3)), ..question() }, "at least one must remain"),
        ] {
            assert!(plan(&wrong).unwrap_err().contains(words));
        }
    }
}
