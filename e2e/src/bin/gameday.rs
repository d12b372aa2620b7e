//! Plays a failure mode of the runbook, or lists them.

use std::process::ExitCode;

use clap::Parser;
use e2e::gameday::{ALL, Gameday};

#[derive(Parser)]
#[command(about = "Plays a failure mode of the runbook in virtual time, or lists them")]
struct Arguments {
    /// Which one; all are listed without
    scenario: Option<String>,
}

fn main() -> ExitCode {
    let Some(name) = Arguments::parse().scenario.filter(|name| !name.is_empty()) else {
        println!("make gameday SCENARIO=NAME, where NAME is one of\n");
        for day in ALL {
            println!("  {:24} {}", day.name, day.story);
        }
        return ExitCode::SUCCESS;
    };
    let Some(day) = Gameday::named(&name) else {
        let names: Vec<_> = ALL.iter().map(|day| day.name).collect();
        eprintln!("gameday: there is no scenario {name:?}; write one of {}", names.join(", "));
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("gameday: no runtime can be started: {error}");
            return ExitCode::from(2);
        }
    };
    println!("{}: {}.\ndocs/runbook/{}.md says what to do.\n", day.name, day.story, day.name);
    match runtime.block_on(day.play(|line| println!("{line}"))) {
        Ok(outcome) => {
            println!("\nWhat Plimsoll shows of it:");
            for (sign, seen) in &outcome.signs {
                println!("  {}  {sign}", if *seen { "seen    " } else { "NOT SEEN" });
            }
            for fault in &outcome.broken {
                println!("  BROKEN    {fault}");
            }
            if outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("gameday: {error}");
            ExitCode::from(2)
        }
    }
}
