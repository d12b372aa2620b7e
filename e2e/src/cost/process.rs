//! What a process has used, as Linux tells it.

use std::fs;
use std::io;
use std::time::Duration;

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time of all its threads.
    pub processor: Duration,
    /// Memory in RAM now, in KiB.
    pub resident_kib: u64,
    /// The most memory in RAM so far, in KiB.
    pub peak_kib: u64,
}

impl Usage {
    /// What the process `id` has used so far.
    pub fn of(id: u32) -> io::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let kib = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default()
        };
        // Nanoseconds on a processor, of every thread.
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let line = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            nanoseconds +=
                line.split(' ').next().and_then(|time| time.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(Self {
            processor: Duration::from_nanos(nanoseconds),
            resident_kib: kib("VmRSS:"),
            peak_kib: kib("VmHWM:"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_time_and_memory() {
        let id = std::process::id();
        let before = Usage::of(id).unwrap();
        let work: Vec<u64> = (0..4_000_000).collect();
        let after = Usage::of(id).unwrap();
        assert!(after.processor > before.processor && after.peak_kib > before.resident_kib, "{}", work.len());
    }
}
