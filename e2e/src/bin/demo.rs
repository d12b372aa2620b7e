//! `make demo`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use e2e::demo::screen::Screen;
use e2e::demo::{self, Ending, Options, POLICY, story};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A day at a shop in two minutes: Plimsoll scales a simulated service on an API server of its own, on this machine
/// alone. Exits with 0 only if the database's connection budget was never exceeded, the load was carried up to the
/// ceiling, and the count was held while the metric was gone.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Arguments {
    /// How long the day is, for example 30s or 2m; 25s at least
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    duration: Duration,
    /// Another policy than examples/demo/policy.yaml
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// One line for each change instead of the live view
    #[arg(long)]
    plain: bool,
    /// The test bed's own query endpoint, even where Prometheus is installed
    #[arg(long)]
    without_prometheus: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match perform(&arguments) {
        Ok(Ending::Held) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Ok(Ending::Stopped) => ExitCode::from(130),
        Err(error) => {
            eprintln!("the demo could not run: {error}");
            ExitCode::from(2)
        }
    }
}

fn perform(arguments: &Arguments) -> Result<Ending, Box<dyn std::error::Error>> {
    let policy = match &arguments.policy {
        Some(path) => fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
        None => POLICY.to_owned(),
    };
    let directory = tempfile::Builder::new().prefix("plimsoll-").rand_bytes(4).tempdir()?;
    let log = File::create(directory.path().join("log"))?;
    tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::new(log)).init();
    let options = Options {
        duration: arguments.duration,
        policy,
        plain: arguments.plain || !Screen::is_possible(),
        without_prometheus: arguments.without_prometheus,
        directory: directory.path().to_owned(),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(async {
        let stop = CancellationToken::new();
        stop_on_signals(&stop)?;
        demo::run(options, stop).await.map_err(Box::<dyn std::error::Error>::from)
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    if ended.is_err()
        && let Ok(log) = fs::read_to_string(directory.path().join("log"))
    {
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(20)).for_each(|line| eprintln!("{line}"));
    }
    ended
}

fn stop_on_signals(stop: &CancellationToken) -> std::io::Result<()> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let (mut signals, stop) = (signal(kind)?, stop.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stop.cancel();
        });
    }
    Ok(())
}

/// A duration as people write it; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<u64>().ok().map(Duration::from_secs);
    let spelled = || text.parse::<jiff::SignedDuration>().ok().and_then(|spelled| spelled.try_into().ok());
    let wanted: Duration =
        seconds.or_else(spelled).ok_or_else(|| "write seconds, or a time such as 30s or 2m".to_owned())?;
    if (story::SHORTEST..=story::LONGEST).contains(&wanted) {
        Ok(wanted)
    } else {
        Err("in less than 25s not everything can be seen, and more than 30m is not worth it".to_owned())
    }
}
