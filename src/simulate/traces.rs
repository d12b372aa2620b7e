//! Load curves of real services that come with the program; `traces/README.md` has their origins and terms.

use std::io::Read;

use flate2::read::GzDecoder;

use super::load::Load;

/// A load curve that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its name.
    pub name: &'static str,
    /// What it looks like.
    pub shape: &'static str,
    table: &'static [u8],
}

/// All of them.
pub const TRACES: [Trace; 9] = [
    Trace {
        name: "nasa",
        shape: "four weeks of a web server: days, weeks, noise, a launch on day 13",
        table: include_bytes!("traces/nasa_http_jul95_1min.csv.gz"),
    },
    Trace {
        name: "smooth",
        shape: "two weeks of smooth days",
        table: include_bytes!("traces/azurefn2019_diurnal_smooth_2aec78_1min.csv.gz"),
    },
    Trace {
        name: "business",
        shape: "two weeks of business hours, with steps",
        table: include_bytes!("traces/azurefn2019_business_hours_9c61f9_1min.csv.gz"),
    },
    Trace {
        name: "sparse",
        shape: "two weeks of sparse bursts, 84 % zeros",
        table: include_bytes!("traces/azurefn2019_sparse_bursty_83c586_1min.csv.gz"),
    },
    Trace {
        name: "wikipedia",
        shape: "two weeks, very smooth",
        table: include_bytes!("traces/wikipedia_interp1min_2011w14-15.csv.gz"),
    },
    Trace {
        name: "elb",
        shape: "two weeks of a load balancer, spiky",
        table: include_bytes!("traces/nab_elb_8c0756_5min.csv.gz"),
    },
    Trace {
        name: "diurnal-hour",
        shape: "a day compressed to an hour",
        table: include_bytes!("traces/autothrottle_diurnal_1s.csv.gz"),
    },
    Trace {
        name: "bursty-hour",
        shape: "an hour of bursts",
        table: include_bytes!("traces/autothrottle_bursty_1s.csv.gz"),
    },
    Trace {
        name: "llm",
        shape: "an hour of LLM inference: bursts, 73 % zeros",
        table: include_bytes!("traces/azurellm2023_code_1s.csv.gz"),
    },
];

impl Trace {
    /// The trace of a name.
    pub fn named(name: &str) -> Result<Self, String> {
        TRACES.into_iter().find(|trace| trace.name == name).ok_or_else(|| {
            let names: Vec<_> = TRACES.iter().map(|trace| trace.name).collect();
            format!("there is no trace {name:?}: write one of {}", names.join(", "))
        })
    }

    /// Unpacks it.
    pub fn load(&self) -> Result<Load, String> {
        let mut text = String::new();
        GzDecoder::new(self.table)
            .read_to_string(&mut text)
            .map_err(|error| format!("trace {} cannot be unpacked: {error}", self.name))?;
        Load::parse(&text).map_err(|error| format!("trace {}: {error}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trace_is_whole() {
        // Days and peak over mean, as traces/README.md has them.
        let expected = [27.6, 14.0, 14.0, 14.0, 14.0, 14.0, 1.0 / 24.0, 1.0 / 24.0, 57.0 / 1440.0];
        let ratios = [8.5, 2.4, 5.1, 38.0, 1.4, 10.6, 1.5, 2.4, 26.0];
        for ((trace, days), ratio) in TRACES.iter().zip(expected).zip(ratios) {
            let load = trace.load().unwrap();
            let found = (load.span().seconds() / 86_400.0, load.peak() / load.mean());
            assert!((found.0 / days - 1.0).abs() < 0.05, "{}: {found:?}", trace.name);
            assert!((found.1 / ratio - 1.0).abs() < 0.05, "{}: {found:?}", trace.name);
        }
        assert!(Trace::named("mars").unwrap_err().contains("nasa, smooth"));
    }
}
