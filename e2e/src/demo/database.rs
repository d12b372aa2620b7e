//! The simulated database: so many connections and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A client that was refused tries again after this.
const RETRY: Duration = Duration::from_secs(1);

/// A database with a limit on connections.
#[derive(Debug)]
pub struct Database {
    max_connections: u32,
    reserved: u32,
    others: u32,
    pools: BTreeMap<String, Pool>,
    peak: u32,
    peak_wanted: u32,
    refused: u64,
}

/// What one client holds.
#[derive(Clone, Copy, Debug)]
struct Pool {
    held: u32,
    size: u32,
    next_try: Duration,
}

/// A client that wants `size` connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub name: String,
    /// Connections it wants.
    pub size: u32,
}

impl Database {
    /// A database that gives `max_connections`, `reserved` of them to administrators alone, and of which `others` are
    /// held by others all day.
    pub const fn new(max_connections: u32, reserved: u32, others: u32) -> Self {
        Self {
            max_connections,
            reserved,
            others,
            pools: BTreeMap::new(),
            peak: 0,
            peak_wanted: 0,
            refused: 0,
        }
    }

    /// Takes connections back from clients that are gone, and lets the present ones open what they lack.
    pub fn serve(&mut self, clients: &[Client], now: Duration) {
        let present: BTreeSet<&str> = clients.iter().map(|client| client.name.as_str()).collect();
        self.pools.retain(|name, _| present.contains(name.as_str()));
        let mut free = self.limit().saturating_sub(self.used());
        for client in clients {
            let pool = self.pools.entry(client.name.clone()).or_insert(Pool {
                held: 0,
                size: client.size,
                next_try: Duration::ZERO,
            });
            let lacking = pool.size.saturating_sub(pool.held);
            if lacking == 0 || now < pool.next_try {
                continue;
            }
            let granted = lacking.min(free);
            free -= granted;
            pool.held += granted;
            pool.next_try = now + RETRY;
            self.refused += u64::from(lacking - granted);
        }
        self.peak = self.peak.max(self.used());
        let wanted = self.pools.values().fold(self.others, |sum, pool| sum.saturating_add(pool.size));
        self.peak_wanted = self.peak_wanted.max(wanted);
    }

    /// The share of its pool that a client holds, 0 to 1.
    pub fn share(&self, name: &str) -> f64 {
        self.pools.get(name).map_or(0.0, |pool| f64::from(pool.held) / f64::from(pool.size.max(1)))
    }

    /// What everybody but administrators can have.
    pub const fn limit(&self) -> u32 {
        self.max_connections.saturating_sub(self.reserved)
    }

    /// What others hold.
    pub const fn others(&self) -> u32 {
        self.others
    }

    /// Connections open now.
    pub fn used(&self) -> u32 {
        self.pools.values().fold(self.others, |sum, pool| sum.saturating_add(pool.held))
    }

    /// The most connections that were open at once.
    pub const fn peak(&self) -> u32 {
        self.peak
    }

    /// The most connections that were wanted at once.
    pub const fn peak_wanted(&self) -> u32 {
        self.peak_wanted
    }

    /// Attempts refused so far.
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(count: u32) -> Vec<Client> {
        (0..count).map(|number| Client { name: format!("pod-{number}"), size: 10 }).collect()
    }

    #[test]
    fn what_exceeds_the_limit_is_refused_and_counted_and_tried_again_a_second_later() {
        let mut database = Database::new(300, 20, 40);
        database.serve(&clients(24), Duration::ZERO);
        assert_eq!((database.used(), database.limit(), database.refused()), (280, 280, 0));
        database.serve(&clients(26), Duration::ZERO);
        assert_eq!((database.used(), database.refused(), database.peak_wanted()), (280, 20, 300));
        database.serve(&clients(26), Duration::from_millis(900));
        assert_eq!(database.refused(), 20);
        database.serve(&clients(26), Duration::from_millis(1100));
        assert_eq!(database.refused(), 40);
        database.serve(&clients(25), Duration::from_millis(2200));
        assert_eq!(
            (database.share("pod-0"), database.share("pod-24"), database.share("gone")),
            (1.0, 0.0, 0.0)
        );
        database.serve(&clients(1), Duration::from_millis(3300));
        assert_eq!((database.used(), database.peak()), (50, 280));
    }
}
