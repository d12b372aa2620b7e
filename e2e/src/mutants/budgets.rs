//! The ten rules of connection budgets (`docs/design/connection-budgets.md`). Each is broken in the code that is the
//! protocol; the model that walks through it (`tests/budget_model.rs`), or a test of that code, must notice.

use super::Mutant;

/// Each rule, by its number there.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        rule: "rule 1: a grant is used once it is persisted",
        file: "src/budget/account.rs",
        text: "map_or(persisted, |sent| persisted.min(connections(sent, workload)))",
        instead: "map_or(persisted, |sent| connections(sent, workload))",
    },
    Mutant {
        rule: "rule 1: what was sent is charged until it is clear",
        file: "src/budget/account.rs",
        text: "map_or(persisted, |sent| persisted.max(connections(sent, workload)))",
        instead: "map_or(persisted, |_| persisted)",
    },
    Mutant {
        rule: "rule 2: what is to be lowered is not used any more",
        file: "src/budget/account.rs",
        text: "map_or(persisted, |sent| persisted.min(connections(sent, workload)))",
        instead: "map_or(persisted, |_| persisted)",
    },
    Mutant {
        rule: "rule 2: nothing is lowered below growth under way",
        file: "src/budget/plan.rs",
        text: "let least = self.growing(party, budget).max(target);",
        instead: "let least = target;",
    },
    Mutant {
        rule: "rule 3: what pods hold is charged, whatever is granted",
        file: "src/budget/ledger.rs",
        text: "granted.max(self.held(workload, budget, now))",
        instead: "granted",
    },
    Mutant {
        rule: "rule 3: connections linger",
        file: "src/budget/ledger.rs",
        text: "held.map_or(0, |held| held.most(now, self.linger(budget)))",
        instead: "held.map_or(0, |held| held.most(now, Span::ZERO))",
    },
    Mutant {
        rule: "rule 4: growth begins under the grant",
        file: "src/budget/ledger.rs",
        text: "if reach > granted || excess > 0 {",
        instead: "if excess > 0 {",
    },
    Mutant {
        rule: "rule 4: growth is entered before it is sent",
        file: "src/budget/ledger.rs",
        text: "entry.growth = Some(Growth { to, over: None });",
        instead: "let _ = (entry, Growth { to, over: None });",
    },
    Mutant {
        rule: "rule 4: growth of unclear outcome counts until it can no longer land",
        file: "src/budget/ledger.rs",
        text: "Outcome::Unknown(over) => Some(Growth { over: Some(over), ..growth }),",
        instead: "Outcome::Unknown(_) => None,",
    },
    Mutant {
        rule: "rule 4: while more is charged than there is nothing grows",
        file: "src/budget/ledger.rs",
        text: "charged.saturating_sub(account.limit.for_growth)",
        instead: "charged.saturating_sub(u32::MAX).min(account.limit.for_growth)",
    },
    Mutant {
        rule: "rule 5: raises rest on proof",
        file: "src/budget/plan.rs",
        text: "if now < account.settled || account.unproven { 0 }",
        instead: "if now < account.settled { 0 }",
    },
    Mutant {
        rule: "rule 6: a new leader gives nothing before all has landed",
        file: "src/budget/plan.rs",
        text: "if now < account.settled || account.unproven { 0 }",
        instead: "if account.unproven { 0 }",
    },
    Mutant {
        rule: "rule 6: what a predecessor sent may yet grow a workload to its grant",
        file: "src/budget/ledger.rs",
        text: "account.filter(|account| now < account.settled)",
        instead: "account.filter(|account| now < account.settled && now > account.settled)",
    },
    Mutant {
        rule: "rule 7: floors first",
        file: "src/budget/fill.rs",
        text: "glass.pour(claims, |claim| claim.guaranteed);",
        instead: "glass.pour(claims, |_| 0);",
    },
    Mutant {
        rule: "rule 7: the share that is least per weight is filled next",
        file: "src/budget/fill.rs",
        text: "Reverse((level(claim, *base, next), position, next))",
        instead: "Reverse((level(claim, *base, next).min(0), position, next))",
    },
    Mutant {
        rule: "rule 7: a replica in all budgets of a policy or in none",
        file: "src/budget/fill.rs",
        text: "if !lacking.is_empty() {",
        instead: "if lacking.len() == claim.draws.len() {",
    },
    Mutant {
        rule: "rule 7: what minReplicas hold is nobody else's",
        file: "src/budget/fill.rs",
        text: "glass.keep(claims);",
        instead: "let _ = (claims, Glass::keep);",
    },
    Mutant {
        rule: "rule 8: a floor is asked back at once",
        file: "src/budget/plan.rs",
        text: "let urgent = too_much || owed.contains(&true);",
        instead: "let urgent = too_much;",
    },
    Mutant {
        rule: "rule 8: what was lent is kept for the lease",
        file: "src/budget/plan.rs",
        text: "let leased = now.since(grant.since) < account.lending.lease;",
        instead: "let leased = now < grant.since;",
    },
    Mutant {
        rule: "rule 8: while nobody waits nothing moves",
        file: "src/budget/plan.rs",
        text: "(urgent || (!owed.is_empty() && !leased))",
        instead: "(urgent || !leased)",
    },
    Mutant {
        rule: "rule 9: a limit that falls stops growth at once",
        file: "src/budget/limit.rs",
        text: "map_or(0, |(limit, _)| given(limit, peak))",
        instead: "map_or(0, |(limit, _)| given(limit.max(self.confirmed.unwrap_or(0)), peak))",
    },
    Mutant {
        rule: "rule 9: a collapse removes nothing before a second reading",
        file: "src/budget/limit.rs",
        text: "if now.since(*since) >= CONFIRMS_AFTER {",
        instead: "if now >= *since {",
    },
    Mutant {
        rule: "rule 9: what is only supposed removes no pod",
        file: "src/budget/limit.rs",
        text: "self.confirmed.zip(others_read)",
        instead: "supposed.zip(others_read)",
    },
    Mutant {
        rule: "rule 9: a reading that is missing is never more than the last one",
        file: "src/budget/limit.rs",
        text: "let careful = careful(last, assumed);",
        instead: "let careful = careful(assumed, assumed);",
    },
    Mutant {
        rule: "rule 9: others fall when they have been lower for a minute",
        file: "src/budget/limit.rs",
        text: "*at + OTHERS_LINGER > now && *value > others",
        instead: "*at + OTHERS_LINGER < *at && *value > others",
    },
    Mutant {
        rule: "rule 10: no ceiling that falls goes below minReplicas",
        file: "src/control/settle.rs",
        text: "let target = soft.replicas.max(self.least());",
        instead: "let target = soft.replicas.max(1);",
    },
    Mutant {
        rule: "rule 10: no ceiling that cuts goes below minReplicas",
        file: "src/control/settle.rs",
        text: "let replicas = hard.replicas.max(self.least()).min(self.spec());",
        instead: "let replicas = hard.replicas.max(1).min(self.spec());",
    },
];
