//! The operator's processes: started, stopped, crashed, started again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use plimsoll::operator::{Clock, ClockError, Election, Options, run};
use plimsoll::prometheus::{Config, Servers, Transport};
use plimsoll::time::Time;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::fault::Moment;
use super::ledger::Ledger;
use super::metrics::{Metrics, TIMEOUT_SECONDS, milliseconds};
use super::oracle::lease;
use super::scenario::{BASE, Scenario};
use super::wire::Wire;
use crate::apiserver::ApiServer;

/// How long Kubernetes waits before it starts a container again that ended by itself.
const RESTART: Duration = Duration::from_secs(10);
/// How long a process may take to stop when asked to.
const STOPPING: Duration = Duration::from_secs(45);

/// Keeps one operator running, through crashes.
pub struct Keeper {
    pub(super) server: ApiServer,
    pub(super) scenario: Arc<Scenario>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: ClockError,
    pub(super) token: &'static str,
    /// Which of the two operators it is.
    pub(super) index: u32,
    /// Writes of all processes, by kind.
    pub(super) written: Arc<Mutex<[u32; 5]>>,
}

impl Keeper {
    /// Keeps the operator running until it is aborted.
    pub async fn keep(self) {
        // Two operators do not start in the same instant, and are told apart by even and odd numbers.
        sleep(Duration::from_millis(u64::from(self.index) * 1500)).await;
        for number in (self.index..).step_by(2) {
            let wire =
                Wire::new(&self.server, &self.scenario, &self.ledger, number, self.token, &self.written);
            self.ledger.say(format!("process {number} starts"));
            lease::note_what_status_tells(&wire);
            let down = self.live(&wire, number).await;
            wire.kill();
            sleep(down).await;
        }
    }

    /// One process's life; returns how long until the next one starts.
    async fn live(&self, wire: &Arc<Wire>, number: u32) -> Duration {
        let transport: Arc<dyn Transport> = Arc::new(self.metrics.asked_by(number));
        let yaml = format!(
            "prometheusServers: [{{name: main, url: 'http://prometheus.test:9090', timeoutSeconds: {TIMEOUT_SECONDS}}}]"
        );
        let servers = Config::from_yaml(&yaml).and_then(|config| Servers::through(config, &transport));
        let servers = match servers {
            Ok(servers) => servers,
            Err(error) => {
                self.ledger.violation(format!("the servers cannot be made: {error}"));
                return Duration::from_secs(3600);
            }
        };
        let now = Time::from_millis(BASE.saturating_add(milliseconds(self.ledger.now())));
        let options = Options {
            clock: Clock::faulty(now, self.clock.clone()),
            instance: lease::identity(number),
            record: self.scenario.record.as_ref().map(|directory| directory.join(lease::identity(number))),
            election: self.scenario.pair.then(|| Election {
                namespace: lease::NAMESPACE.to_owned(),
                name: lease::NAME.to_owned(),
                identity: lease::identity(number),
            }),
            ..Options::new(Arc::new(servers))
        };
        let stop = CancellationToken::new();
        let mut running = tokio::spawn(run(wire.client(), options, stop.clone()));
        let (at, gentle, down) = self.next_crash();
        tokio::select! {
            biased;
            ended = &mut running => {
                match ended {
                    Ok(Ok(())) => self.ledger.violation("the operator stopped although nobody asked it to"),
                    Ok(Err(error)) => self.ledger.violation(format!("the operator ended: {error}")),
                    Err(error) => self.ledger.violation(format!("the operator panicked: {error}")),
                }
                RESTART
            }
            () = wire.death() => {
                running.abort();
                let _ = running.await;
                down
            }
            () = sleep_until(at) => {
                if gentle {
                    self.ledger.count("operator: stopped");
                    self.ledger.say(format!("process {number} is asked to stop"));
                    stop.cancel();
                    if timeout(STOPPING, &mut running).await.is_err() {
                        self.ledger.violation("the operator did not stop in time when asked to");
                    }
                } else {
                    self.ledger.count("operator: crash");
                    self.ledger.say(format!("CRASH of process {number}"));
                    wire.kill();
                    running.abort();
                    let _ = running.await;
                }
                down
            }
        }
    }

    /// Of two operators one crashes.
    fn is_meant(&self, at: Duration) -> bool {
        !self.scenario.pair || u32::from(at.as_millis() % 2 == 1) == self.index
    }

    /// The next crash at a time, if there is one, and how long the process is down after any.
    fn next_crash(&self) -> (Instant, bool, Duration) {
        let now = self.ledger.now();
        let down = self.scenario.crashes.first().map_or(Duration::from_secs(5), |crash| crash.down);
        let next = self.scenario.crashes.iter().filter_map(|crash| match crash.when {
            Moment::At(at) if at > now && self.is_meant(at) => Some((at, crash.gentle, crash.down)),
            _ => None,
        });
        let next = next.min_by_key(|(at, ..)| *at);
        let (at, gentle, down) = next.unwrap_or((Duration::from_hours(24), false, down));
        (self.ledger.started() + at, gentle, down)
    }
}
