//! Load made from a sentence: steps, ramps, days, spikes, noise.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use super::chance::Chance;
use super::load::{Load, MOST_REQUESTS, moment_of, steps};
use crate::number::from_count;
use crate::time::Span;

/// What a sentence may say, for whoever wrote one that cannot be read.
pub const GRAMMAR: &str = "\
step:from=100,to=400,at=10m,length=1h
ramp:from=100,to=400,at=10m,over=20m,length=1h
sine:low=50,high=400,period=24h,length=24h
spike:base=100,peak=500,at=10m,for=2m,length=1h
constant:rate=100,length=1h
each with noise=10% where wanted";

/// Makes the load that a sentence such as `step:from=100,to=400,at=10m,length=1h` describes; the same seed gives the
/// same noise.
pub fn generate(sentence: &str, seed: u64) -> Result<Load, String> {
    let (kind, rest) = sentence.split_once(':').unwrap_or((sentence, ""));
    let mut terms = Terms::read(kind, rest)?;
    let shape = match kind {
        "constant" => Shape::Step { from: terms.rate("rate")?, to: 0.0, at: f64::INFINITY },
        "step" => {
            Shape::Step { from: terms.rate("from")?, to: terms.rate("to")?, at: terms.seconds("at", 600.0)? }
        }
        "ramp" => Shape::Ramp {
            from: terms.rate("from")?,
            to: terms.rate("to")?,
            at: terms.seconds("at", 600.0)?,
            over: terms.seconds("over", 1200.0)?,
        },
        "sine" => Shape::Sine {
            low: terms.rate("low")?,
            high: terms.rate("high")?,
            period: terms.seconds("period", 86_400.0)?,
        },
        "spike" => Shape::Spike {
            base: terms.rate("base")?,
            peak: terms.rate("peak")?,
            at: terms.seconds("at", 600.0)?,
            length: terms.seconds("for", 120.0)?,
        },
        _ => return Err(format!("there is no load {kind:?}: write one of\n{GRAMMAR}")),
    };
    let length = terms.seconds("length", if kind == "sine" { 86_400.0 } else { 3600.0 })?;
    let noise = terms.share("noise")?;
    terms.nothing_left()?;
    let (each, longest) = (Span::from_seconds(if length > 7200.0 { 15 } else { 1 }), 366.0 * 86_400.0);
    if !(1.0..=longest).contains(&length) {
        return Err(format!("load {sentence:?}: length must be between 1s and 366d"));
    }
    let span = Span::from_seconds(crate::number::ceil_count(length).into());
    let mut chance = Chance::new(seed);
    Ok(Load::of(
        each,
        (0..steps(span, each)).map(|step| {
            let factor = if noise > 0.0 { 1.0 + noise * chance.normal() } else { 1.0 };
            (shape.at(moment_of(step, each)) * factor).max(0.0)
        }),
    ))
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Step { from: f64, to: f64, at: f64 },
    Ramp { from: f64, to: f64, at: f64, over: f64 },
    Sine { low: f64, high: f64, period: f64 },
    Spike { base: f64, peak: f64, at: f64, length: f64 },
}

impl Shape {
    fn at(self, seconds: f64) -> f64 {
        match self {
            Self::Step { from, to, at } => {
                if seconds < at {
                    from
                } else {
                    to
                }
            }
            Self::Ramp { from, to, at, over } => {
                from + (to - from) * ((seconds - at) / over.max(1.0)).clamp(0.0, 1.0)
            }
            // A day begins at its lowest.
            Self::Sine { low, high, period } => {
                low + (high - low) * 0.5 * (1.0 - (TAU * seconds / period.max(1.0)).cos())
            }
            Self::Spike { base, peak, at, length } => {
                if (at..at + length).contains(&seconds) {
                    peak
                } else {
                    base
                }
            }
        }
    }
}

struct Terms<'a> {
    kind: &'a str,
    given: BTreeMap<&'a str, &'a str>,
}

impl<'a> Terms<'a> {
    fn read(kind: &'a str, rest: &'a str) -> Result<Self, String> {
        let mut given = BTreeMap::new();
        for term in rest.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let (name, value) = term
                .split_once('=')
                .ok_or_else(|| format!("load {kind}: {term:?} is not NAME=VALUE: write one of\n{GRAMMAR}"))?;
            if given.insert(name.trim(), value.trim()).is_some() {
                return Err(format!("load {kind}: {} is given twice", name.trim()));
            }
        }
        Ok(Self { kind, given })
    }

    fn rate(&mut self, name: &str) -> Result<f64, String> {
        let kind = self.kind;
        let text = self.given.remove(name).ok_or_else(|| {
            format!("load {kind} needs {name}=, in requests per second: write one of\n{GRAMMAR}")
        })?;
        text.parse::<f64>().ok().filter(|rate| (0.0..=MOST_REQUESTS).contains(rate)).ok_or_else(|| {
            format!("load {kind}: {name}={text} is not a rate: write requests per second, 0 or more")
        })
    }

    fn seconds(&mut self, name: &str, default: f64) -> Result<f64, String> {
        let kind = self.kind;
        self.given.remove(name).map_or(Ok(default), |text| {
            parse_span(text).map(Span::seconds).map_err(|fault| format!("load {kind}: {name}: {fault}"))
        })
    }

    fn share(&mut self, name: &str) -> Result<f64, String> {
        let kind = self.kind;
        let Some(text) = self.given.remove(name) else { return Ok(0.0) };
        let share = match text.strip_suffix('%') {
            Some(percent) => percent.parse::<f64>().ok().map(|percent| percent / 100.0),
            None => text.parse::<f64>().ok(),
        };
        share
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| format!("load {kind}: {name}={text} is not a share: write for example {name}=10%"))
    }

    fn nothing_left(&self) -> Result<(), String> {
        match self.given.keys().next() {
            None => Ok(()),
            Some(name) => Err(format!("load {} knows no {name}: write one of\n{GRAMMAR}", self.kind)),
        }
    }
}

/// Reads a span as people write it: `90`, `90s`, `15m`, `1h`, `7d`, `1h30m`, `250ms`.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let fault = || format!("{text:?} is not a time: write for example 45s, 15m, 1h30m or 2d");
    let mut rest = text.trim();
    let mut seconds = 0.0;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit() && next != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|next: char| !next.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: f64 = number.parse().map_err(|_| fault())?;
        seconds += number
            * match unit {
                "ms" => 0.001,
                "" | "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(fault()),
            };
        rest = after;
    }
    if seconds > from_count(u32::MAX >> 1) {
        return Err(fault());
    }
    let whole = crate::number::floor_count(seconds);
    let milliseconds = crate::number::floor_count(((seconds - from_count(whole)) * 1000.0).round());
    Ok(Span::from_millis(u64::from(whole) * 1000 + u64::from(milliseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sentence_of_the_grammar_makes_its_load() {
        for sentence in GRAMMAR.lines().filter(|line| line.contains(':')) {
            let load = generate(sentence, 1).unwrap();
            assert!(load.peak() >= 100.0, "{sentence}");
            assert_eq!(load, generate(sentence, 2).unwrap(), "without noise the seed does not matter");
        }
        let ramp = generate("ramp:from=100,to=400,at=10m,over=20m,length=1h", 1).unwrap();
        let mut cursor = ramp.cursor();
        for (minute, rate) in [(0, 100.0), (10, 100.0), (20, 250.0), (30, 400.0), (59, 400.0)] {
            assert!((cursor.at(Span::from_seconds(60 * minute)) - rate).abs() < 1e-9, "{minute}");
        }
        let noisy = |seed| generate("constant:rate=100,length=10m,noise=10%", seed).unwrap();
        assert_eq!(noisy(3), noisy(3));
        assert_ne!(noisy(3), noisy(4));
        assert!((noisy(3).mean() - 100.0).abs() < 2.0);
    }

    #[test]
    fn a_sentence_that_cannot_be_read_is_refused_with_what_to_write() {
        for (sentence, words) in [
            ("saw:from=1", "there is no load \"saw\": write one of"),
            ("step:from=1", "load step needs to="),
            ("step:from=1,to=x", "to=x is not a rate"),
            ("step:from=1,to=-5", "to=-5 is not a rate"),
            ("step:from=1,to=2,at=soon", "at: \"soon\" is not a time"),
            ("step:from=1,to=2,width=3", "load step knows no width"),
            ("step:from=1,from=2,to=2", "from is given twice"),
            ("step:from", "is not NAME=VALUE"),
            ("step:from=1,to=2,length=400d", "between 1s and 366d"),
            ("step:from=1,to=2,noise=110%", "noise=110% is not a share"),
        ] {
            let fault = generate(sentence, 1).unwrap_err();
            assert!(fault.contains(words), "{sentence}: {fault}");
        }
    }

    #[test]
    fn spans_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("1.5s", 1500),
            ("15m", 900_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("250ms", 250),
            ("0", 0),
        ] {
            assert_eq!(parse_span(text), Ok(Span::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "h", "5 parsecs", "1y", "-5s", "99999999d"] {
            assert!(parse_span(text).unwrap_err().contains("is not a time"), "{text}");
        }
    }
}
