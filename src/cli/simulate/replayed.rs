//! A policy beside the object that it was made from, on the same load.

use clap::Parser;

use super::super::files::policy_of;
use super::{Simulate, run_all};
use crate::control::Policy;
use crate::simulate::{PolicyScaler, Scaler, map};

/// Stands for the policy's file in the options: it is written by no one yet.
const NO_FILE: &str = "migrated";

/// How both are replayed.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, allow_negative_numbers = true)]
pub(in super::super) struct Replayed {
    #[command(flatten)]
    simulate: Simulate,
}

impl Replayed {
    /// From options of `plimsoll simulate` with their values.
    pub(in super::super) fn parse<'a>(
        options: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let words = options.map(|(name, value)| format!("{name}={value}"));
        Self::try_parse_from(std::iter::once(NO_FILE.to_owned()).chain(words)).map_err(|error| {
            let told = error.to_string();
            told.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    /// The figures of a policy and of what it was made from, both as YAML; the second one acts by HPA's rules.
    pub(in super::super) fn beside(&self, policy: &str, as_it_was: &str) -> Result<String, String> {
        let simulate = &self.simulate;
        let (object, compiled) = policy_of(policy)?;
        let mut prepared = simulate.prepare_for(object, compiled)?;
        let (_, before) = policy_of(as_it_was)?;
        let before = Policy { seed: simulate.seed, ..before };
        let other = map(&before, &simulate.signal, &prepared.settings.sensor)?;
        prepared.scalers.push(("as it was".to_owned(), Scaler::Policy(Box::new(PolicyScaler::hpa(&other)))));
        let runs = run_all(&prepared);
        if simulate.draws() {
            let report = simulate.to_report(&prepared, &runs);
            simulate.write(|| report.html(), || report.svg())?;
        }
        Ok(simulate.told(&prepared, &runs))
    }
}
