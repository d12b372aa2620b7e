//! Rules of the whole operator, which seeds of worlds under fire must notice the absence of. Those of the protocol of budgets
//! alone are in `super::budgets`, before a thousand times as many histories.

use super::Mutant;

/// Each rule.
///
/// Those that show only in a course which a thousand seeds seldom take are in `super::scenarios`.
/// Three rules are not among them, since another one stands behind each. After a write whose outcome is not known the
/// workload is read again, and a workload made anew has another uid: were either forgotten, the version that every write
/// names would be refused all the same. And whether the lease still lets a write begin is asked for a process that was
/// stopped; one that runs gives the lead up by itself before that. No process stands still in virtual time alone, so that
/// gate is tested by `tests/election_model.rs`, and by `tests/real_leaders.rs` with processes that are stopped.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        rule: "a count is written only over the version that was seen",
        file: "src/cluster/scale.rs",
        text: "json!({\"metadata\": {\"resourceVersion\": resource_version}, \"spec\": {\"replicas\": replicas}});",
        instead: "json!({\"spec\": {\"replicas\": replicas}}); let _ = resource_version;",
    },
    Mutant {
        rule: "NaN is not a small number",
        file: "src/control/demand.rs",
        text: "Compat::None => memory.quality.judge(signal, reading, &surroundings),",
        instead: "Compat::None => { let answer = match &reading.answer { Answer::Value(value) if value.is_nan() => Answer::Value(0.001), other => other.clone() }; \
                  memory.quality.judge(signal, &Reading { answer, ..reading.clone() }, &surroundings) }",
    },
    Mutant {
        rule: "no series is not a small number",
        file: "src/control/demand.rs",
        text: "Compat::None => memory.quality.judge(signal, reading, &surroundings),",
        instead: "Compat::None => { let answer = match &reading.answer { Answer::NoSeries => Answer::Value(0.001), other => other.clone() }; \
                  memory.quality.judge(signal, &Reading { answer, ..reading.clone() }, &surroundings) }",
    },
    Mutant {
        rule: "a partial answer is not an answer",
        file: "src/signal/quality.rs",
        text: "if signal.warnings == Warnings::Suspect && !reading.warnings.is_empty() {",
        instead: "if signal.warnings == Warnings::Suspect && reading.warnings.len() > 1000 {",
    },
    Mutant {
        rule: "old samples are not data",
        file: "src/signal/quality.rs",
        text: "Age::Measured(age) | Age::Earlier { age, .. } if *age > signal.max_age => too_old(*age),",
        instead: "Age::Measured(age) if *age == Span::from_seconds(123_456) => too_old(*age),",
    },
    Mutant {
        rule: "nothing is removed while a rollout is under way",
        file: "src/control/scale_in.rs",
        text: "(scene.rollout == Rollout::Progressing).then(|| {",
        instead: "(scene.rollout == Rollout::Progressing && policy.max == 0).then(|| {",
    },
    Mutant {
        rule: "nothing is removed that was needed within the window",
        file: "src/control/stabilization.rs",
        text: "let most = memory.scale_down.over(ground.scale_down_window, now).map_or(wanted, |most| most.max(wanted));",
        instead: "let most = wanted;",
    },
    Mutant {
        rule: "rates count the changes made before a restart",
        file: "src/operator/recalled.rs",
        text: "memory.recall_change(change.from, change.to, change.time);",
        instead: "let _ = (&mut memory, change);",
    },
    Mutant {
        rule: "pods that are not Ready hold connections too",
        file: "src/control/limits.rs",
        text: "let beside = pods_beside(&workload.pods, workload.spec_replicas, &shape);",
        instead: "let beside = 0;",
    },
    Mutant {
        rule: "beside another autoscaler nothing is written",
        file: "src/operator/evaluation.rs",
        text: "rivals: self.context.index.rivals(record),",
        instead: "rivals: Vec::new(),",
    },
    Mutant {
        rule: "a dry run writes nothing",
        file: "src/control/settle.rs",
        text: "dry_run: policy.mode == Mode::DryRun,",
        instead: "dry_run: false,",
    },
    Mutant {
        rule: "0 that somebody set is left alone",
        file: "src/control/settle.rs",
        text: "(self.spec() == 0).then(|| Ruling {",
        instead: "(self.spec() == 0 && self.policy.max == 0).then(|| Ruling {",
    },
    Mutant {
        rule: "paused is paused",
        file: "src/control/scale_in.rs",
        text: "                .scale_down_paused\n",
        instead: "                .scale_down_paused.then_some(false).unwrap_or_default()\n",
    },
    Mutant {
        rule: "growth ends at the lowest limit",
        file: "src/control/settle.rs",
        text: "let bounded = wanted.min(growth.replicas).max(spec);",
        instead: "let bounded = wanted.max(spec);",
    },
    Mutant {
        rule: "watches that end at once are not begun again at once",
        file: "src/cluster/pace.rs",
        text: "map_or(now, |last| now.max(*last + LEAST))",
        instead: "map_or(now, |last| now.max(*last))",
    },
    Mutant {
        rule: "a clock that is set back holds nothing",
        file: "src/control/memory.rs",
        text: "if now + polling_interval < last {",
        instead: "if now + polling_interval.times(1_000_000_000) < last {",
    },
    Mutant {
        rule: "where the count stays anyway no age is waited for",
        file: "src/control/scale_in.rs",
        text: "(falls && !demand.ages_proven).then(|| {",
        instead: "((falls || policy.max > 0) && !demand.ages_proven).then(|| {",
    },
];
