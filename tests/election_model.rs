//! Every course that two candidates can take, in small: requests and answers late or lost, processes that stand still,
//! a record deleted by hand. A unit of time is a millisecond.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_in_result,
    clippy::panic_in_result_fn,
    reason = "a test may fail loudly"
)]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use plimsoll::election::{Candidate, Outcome, Record, Step, Terms, Versioned};
use plimsoll::time::{Span, Time};

const CANDIDATES: usize = 2;
const WALL: Time = Time::from_seconds(1_790_000_000);

/// What the world may do, and for how long it is watched.
#[derive(Clone, Copy)]
struct World {
    terms: Terms,
    /// How long after its begin a write of the cluster may land.
    write_lands_within: u64,
    /// So many requests or answers may be lost.
    losses: u32,
    /// Somebody may delete the record, once.
    deletion: bool,
    until: u64,
}

#[derive(Clone, Hash)]
struct State {
    now: u64,
    /// The record on the server, and how often it was written.
    record: Option<Versioned>,
    versions: u32,
    deletions: u32,
    losses: u32,
    processes: [Process; CANDIDATES],
    /// The term of the newest write of the cluster that landed.
    landed: u32,
}

#[derive(Clone, Hash)]
struct Process {
    candidate: Candidate,
    request: Option<Request>,
    /// The term that it leads in: the version of the record that made it leader.
    term: u32,
    led: bool,
    /// A write of the cluster under way: its term, and when it began. One of each process is enough: a violation is a
    /// pair.
    write: Option<(u32, u64)>,
    wrote: bool,
}

/// A request about the record.
#[derive(Clone, Hash)]
enum Request {
    Read(Option<Versioned>),
    Writing { record: Record, version: Option<String>, began: u64 },
    Written { record: Record, outcome: Outcome, began: u64 },
}

#[derive(Debug, PartialEq)]
struct Violation {
    trace: Vec<String>,
}

impl State {
    fn new(terms: Terms) -> Self {
        let process = |name: &str| Process {
            candidate: Candidate::new(name.to_owned(), terms),
            request: None,
            term: 0,
            led: false,
            write: None,
            wrote: false,
        };
        let mut leader = process("a");
        // One of the two leads first, and which does not matter.
        leader.candidate.read(None, Span::ZERO);
        let Step::Write { record, .. } = leader.candidate.next(Span::ZERO, WALL) else {
            panic!("it is free")
        };
        let outcome = Outcome::Landed("1".to_owned());
        leader.candidate.written(record.clone(), outcome, Span::ZERO, Span::ZERO);
        let record = Some(Versioned { record, version: "1".to_owned() });
        let mut state = Self {
            now: 0,
            record,
            versions: 1,
            deletions: 0,
            losses: 0,
            processes: [leader, process("b")],
            landed: 0,
        };
        state.note_leader(0);
        state
    }

    fn at(&self) -> Span {
        Span::from_millis(self.now)
    }

    /// Everything that can happen next.
    fn successors(&self, world: &World) -> Vec<(String, Self)> {
        let mut next = Vec::new();
        if self.processes.iter().all(|process| process.wrote && process.write.is_none()) {
            return next;
        }
        for id in 0..CANDIDATES {
            self.steps_of(id, world, &mut next);
        }
        // A process that never saw the record cannot know that there was one.
        let known = self.processes.iter().all(|process| process.candidate.holder().is_some());
        if world.deletion && self.deletions == 0 && self.record.is_some() && known {
            let mut state = self.clone();
            state.record = None;
            state.deletions = 1;
            next.push(("the record is deleted".to_owned(), state));
        }
        // Time passes, but not beyond what is due at the latest. A process that does nothing meanwhile stands still.
        let overdue = |process: &Process| {
            process.write.is_some_and(|(_, began)| self.now >= began + world.write_lands_within)
        };
        if self.now < world.until && !self.processes.iter().any(overdue) {
            let mut state = self.clone();
            state.now += 1;
            next.push((format!("{} ms", state.now), state));
        }
        next
    }

    fn steps_of(&self, id: usize, world: &World, next: &mut Vec<(String, Self)>) {
        let process = &self.processes[id];
        let name = ["a", "b"][id];
        let mut put = |what: &str, change: &dyn Fn(&mut Self)| {
            let mut state = self.clone();
            change(&mut state);
            state.note_leader(id);
            next.push((format!("{name} {what}"), state));
        };
        let lossy = self.losses < world.losses;
        match &process.request {
            None => match process.candidate.next(self.at(), WALL) {
                Step::Wait(_) => {}
                // What is read is read when it is asked for; the answer may take its time.
                Step::Read => put("asks", &|state| {
                    state.processes[id].request = Some(Request::Read(state.record.clone()));
                }),
                Step::Write { record, version } => put("asks to write", &|state| {
                    let (record, version, began) = (record.clone(), version.clone(), state.now);
                    state.processes[id].candidate.writing();
                    state.processes[id].request = Some(Request::Writing { record, version, began });
                }),
            },
            Some(Request::Read(found)) => {
                put("reads", &|state| {
                    let now = state.at();
                    state.processes[id].request = None;
                    state.processes[id].candidate.read(found.clone(), now);
                });
                if lossy {
                    put("is not answered", &|state| {
                        let now = state.at();
                        state.losses += 1;
                        state.processes[id].request = None;
                        state.processes[id].candidate.not_read(now);
                    });
                }
            }
            Some(Request::Writing { record, version, began }) => {
                put("has written", &|state| {
                    let outcome = state.serve(record, version.as_deref());
                    let (record, began) = (record.clone(), *began);
                    state.processes[id].request = Some(Request::Written { record, outcome, began });
                });
                if lossy {
                    put("wrote in vain", &|state| {
                        state.losses += 1;
                        state.told(id, record, Outcome::Unknown, *began);
                    });
                }
            }
            Some(Request::Written { record, outcome, began }) => {
                put("hears of its write", &|state| state.told(id, record, outcome.clone(), *began));
                if lossy {
                    put("never hears of its write", &|state| {
                        state.losses += 1;
                        state.told(id, record, Outcome::Unknown, *began);
                    });
                }
            }
        }
        if !process.wrote && process.candidate.may_write_until().is_some_and(|until| self.at() < until) {
            put("begins a write", &|state| {
                let process = &mut state.processes[id];
                process.write = Some((process.term, state.now));
                process.wrote = true;
            });
        }
        if let Some((term, began)) = process.write {
            assert!(self.now <= began + world.write_lands_within);
            put(&format!("'s write of term {term} lands"), &|state| {
                state.processes[id].write = None;
                // Kept for the check; an older term after a newer one is the violation.
                state.landed = if term < state.landed { u32::MAX } else { term };
            });
        }
    }

    /// What the API server does with a write.
    fn serve(&mut self, record: &Record, version: Option<&str>) -> Outcome {
        if self.record.as_ref().map(|found| found.version.as_str()) != version {
            return Outcome::Refused;
        }
        self.versions += 1;
        let version = self.versions.to_string();
        self.record = Some(Versioned { record: record.clone(), version: version.clone() });
        Outcome::Landed(version)
    }

    fn told(&mut self, id: usize, record: &Record, outcome: Outcome, began: u64) {
        let now = self.at();
        self.processes[id].request = None;
        self.processes[id].candidate.written(record.clone(), outcome, Span::from_millis(began), now);
    }

    /// A process that begins to lead begins a term.
    fn note_leader(&mut self, id: usize) {
        let now = self.at();
        let versions = self.versions;
        let process = &mut self.processes[id];
        let leads = process.candidate.leads(now);
        if leads && !process.led {
            process.term = versions;
        }
        process.led = leads;
    }
}

/// Walks every course; the number of states, or the shortest course to a violation found first.
fn explore(world: World) -> Result<usize, Violation> {
    let hash = |state: &State| {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        hasher.finish()
    };
    let start = State::new(world.terms);
    let mut seen = HashSet::from([hash(&start)]);
    let mut frontier = vec![(start, Vec::<String>::new())];
    let traced = std::env::var_os("TRACE").is_some();
    while let Some((state, trace)) = frontier.pop() {
        assert!(seen.len() < 3_000_000, "too many to look at by {} ms", state.now);
        if state.landed == u32::MAX {
            return Err(Violation { trace });
        }
        for (what, next) in state.successors(&world) {
            if seen.insert(hash(&next)) {
                let mut trace = trace.clone();
                if traced || next.landed == u32::MAX {
                    trace.push(what);
                }
                frontier.push((next, trace));
            }
        }
    }
    Ok(seen.len())
}

/// Walks courses at random, the faults as many and the time as long as they come; the first violation's course.
fn walk(world: World, seed: u64) -> Result<(), Violation> {
    let mut random = seed;
    let mut state = State::new(world.terms);
    let mut trace = Vec::new();
    while state.now < world.until {
        let mut next = state.successors(&world);
        // By turns each of them stands still for a while; what it sent before may land all the same.
        let still = ["a ", "b ", "neither"][usize::try_from((state.now / 30 + seed) % 3).unwrap()];
        next.retain(|(what, _)| !what.starts_with(still) || what.contains("'s write"));
        // The network is slow more often than it is quick.
        if next.len() > 1 && !random.is_multiple_of(8) && next.iter().any(|(what, _)| what.ends_with(" ms")) {
            next.retain(|(what, _)| !what.contains("'s write"));
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chosen = usize::try_from((random >> 33) % u64::try_from(next.len()).unwrap()).unwrap();
        let (what, chosen) = next.swap_remove(chosen);
        trace.push(what);
        state = chosen;
        if state.landed == u32::MAX {
            return Err(Violation { trace });
        }
        // A write that has landed makes room for the next.
        for process in &mut state.processes {
            process.wrote = process.write.is_some();
        }
    }
    Ok(())
}

fn terms() -> Terms {
    let ms = Span::from_millis;
    Terms { lease: ms(4), renew_deadline: ms(3), retry: ms(2), longest_write: ms(2), drift: ms(0) }
}

fn world() -> World {
    World { terms: terms(), write_lands_within: 2, losses: 1, deletion: false, until: 7 }
}

#[test]
fn no_write_of_a_leader_lands_after_the_first_of_its_successor() {
    let states = explore(world()).unwrap();
    println!("{states} states");
    assert!(states > 10_000);
}

#[test]
fn nor_when_the_record_is_deleted_by_hand() {
    let states = explore(World { deletion: true, ..world() }).unwrap();
    println!("{states} states");
}

#[test]
fn nor_in_long_courses_with_every_fault() {
    let ms = Span::from_millis;
    let terms =
        Terms { lease: ms(15), renew_deadline: ms(10), retry: ms(2), longest_write: ms(5), drift: ms(1) };
    let world = World { terms, write_lands_within: 5, losses: u32::MAX, deletion: true, until: 120 };
    for seed in 0..2000 {
        assert_eq!(walk(world, seed), Ok(()), "seed {seed}");
    }
    let careless = World { write_lands_within: 40, ..world };
    assert!(
        (0..2000).any(|seed| walk(careless, seed).is_err()),
        "the walk finds nothing, so it proves nothing"
    );
}

#[test]
fn each_bound_is_needed() {
    let late = Terms { longest_write: Span::ZERO, renew_deadline: Span::from_millis(4), ..terms() };
    for (name, world) in [
        ("writes may begin until the lease ends", World { terms: late, ..world() }),
        ("a write lands later than was reckoned with", World { write_lands_within: 5, ..world() }),
    ] {
        assert!(explore(world).is_err(), "{name}: no course breaks it, so the model proves nothing");
    }
}
