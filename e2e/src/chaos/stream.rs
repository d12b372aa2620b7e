//! What becomes of a watch on its way: it breaks off, falls silent, comes late, or says things twice.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt as _;
use http::Response;
use tokio::time::{Instant, sleep};

use super::dice::Draw;
use super::fault::ApiClass;
use super::wire::{Wire, parts_of};
use crate::random::Random;

/// A watch without a fault of its own: only a partition silences it, and the death of its process.
pub(super) fn pass(wire: &Wire, response: Response<Body>) -> Response<Body> {
    let partitions = wire.scenario.api.iter().filter(|fault| parts_of(&wire.scenario, fault, wire.keeper()));
    let partitions: Vec<_> = partitions.map(|fault| (fault.from, fault.to)).collect();
    if partitions.is_empty() {
        return response;
    }
    let ledger = Arc::clone(&wire.ledger);
    response.map(|body| {
        let lines = body.into_data_stream().then(move |line| {
            let now = ledger.now();
            let until = partitions.iter().find(|(from, to)| *from <= now && now < *to).map(|(_, to)| *to);
            async move {
                if let Some(until) = until {
                    sleep(until.saturating_sub(now)).await;
                }
                line
            }
        });
        Body::from_stream(lines)
    })
}

struct Spoilt {
    lines: BodyDataStream,
    class: ApiClass,
    random: Random,
    /// Lines that still come through.
    left: u32,
    lag: Duration,
    /// When the last line came through.
    last: Option<Instant>,
    told: VecDeque<Bytes>,
    again: VecDeque<Bytes>,
    ended: bool,
}

/// A watch with a fault.
pub(super) fn spoil(response: Response<Body>, class: ApiClass, mut random: Random) -> Response<Body> {
    let spoilt = |body: Body| {
        let left = random.between(0, 12);
        let lag = Duration::from_secs_f64(random.level(0.5, 20.0));
        let state = Spoilt {
            lines: body.into_data_stream(),
            class,
            random,
            left,
            lag,
            last: None,
            told: VecDeque::new(),
            again: VecDeque::new(),
            ended: false,
        };
        Body::from_stream(futures::stream::unfold(state, |mut state| async move {
            let line = state.next().await?;
            Some((line, state))
        }))
    };
    response.map(spoilt)
}

impl Spoilt {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.ended {
            return None;
        }
        if let Some(line) = self.again.pop_front() {
            return Some(Ok(line));
        }
        if self.left == 0 {
            match self.class {
                ApiClass::Silence => return pending().await,
                ApiClass::Drop => {
                    self.ended = true;
                    let breaks = self.random.chance(0.5);
                    return breaks.then(|| Err(io::Error::from(io::ErrorKind::UnexpectedEof)));
                }
                ApiClass::Gone => {
                    self.ended = true;
                    let status = "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
                                  \"status\":\"Failure\",\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n";
                    return Some(Ok(Bytes::from_static(status.as_bytes())));
                }
                ApiClass::Replay => {
                    self.again = std::mem::take(&mut self.told);
                    self.left = self.random.between(1, 12);
                    if let Some(line) = self.again.pop_front() {
                        return Some(Ok(line));
                    }
                }
                _ => {}
            }
        }
        let line = self.lines.next().await?;
        self.left = self.left.saturating_sub(1);
        // What came meanwhile comes at once: a line is late, and not slow.
        if self.class == ApiClass::Lag && self.last.is_none_or(|last| last.elapsed() >= self.lag) {
            sleep(self.lag).await;
        }
        self.last = Some(Instant::now());
        let line = line.map_err(|error| io::Error::other(error.to_string()));
        if let Ok(line) = &line {
            self.told.push_back(line.clone());
            if self.told.len() > 6 {
                self.told.pop_front();
            }
        }
        Some(line)
    }
}
