//! What the dashboard knows of the mesh: for each service its health, its newest sample, and the
//! samples of the last minutes. Pure rules: how two readings of counters become rates, and how much
//! history is kept.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use lightning_mesh::clock::Timestamp;

#[cfg(test)]
mod tests;

/// Whether a service can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers and serves.
    Serving,
    /// It answers and says that it does not serve.
    NotServing,
    /// It does not answer; the text says why.
    Unreachable(String),
}

/// The counters of a service at one moment, as the service itself reports them.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// The version of its program.
    pub(crate) version: String,
    /// When it started; another start means that its counters began anew.
    pub(crate) started_at: Option<Timestamp>,
    /// Whether it takes calls.
    pub(crate) serving: bool,
    /// All calls answered.
    pub(crate) requests: i64,
    /// Calls that failed by its own fault.
    pub(crate) errors: i64,
    /// Calls under way.
    pub(crate) in_flight: i64,
    /// Resident memory of its process, in bytes.
    pub(crate) resident_memory: i64,
    /// The latency of its busiest method: the 50th, 95th and 99th of 100 calls.
    pub(crate) latency: [Duration; 3],
    /// Figures of its own trade.
    pub(crate) figures: BTreeMap<String, f64>,
}

/// The golden figures of one service over one interval.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    /// The end of the interval.
    pub(crate) taken_at: Timestamp,
    /// Whether the service could be reached.
    pub(crate) reachable: bool,
    /// Calls a second.
    pub(crate) request_rate: f64,
    /// Failed calls a second.
    pub(crate) error_rate: f64,
    /// The reading that ended the interval; empty when the service could not be reached.
    pub(crate) reading: Reading,
}

/// One service and its history.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The word of the service.
    pub(crate) id: String,
    /// Whether it can be reached.
    pub(crate) health: Health,
    samples: VecDeque<Sample>,
    capacity: usize,
}

impl Service {
    /// A service of which nothing is known yet; keeps `capacity` samples.
    pub(crate) fn new(id: &str, capacity: usize) -> Self {
        let health = Health::Unreachable("not asked yet".to_owned());
        Self { id: id.to_owned(), health, samples: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// The newest sample.
    pub(crate) fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// The samples, oldest first.
    pub(crate) fn samples(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// Takes in what the service said, or why it said nothing.
    pub(crate) fn record(&mut self, now: Timestamp, outcome: Result<Reading, String>) {
        let sample = match outcome {
            Ok(reading) => {
                self.health = if reading.serving { Health::Serving } else { Health::NotServing };
                let (request_rate, error_rate) = self.rates(now, &reading);
                Sample { taken_at: now, reachable: true, request_rate, error_rate, reading }
            }
            Err(message) => {
                self.health = Health::Unreachable(message);
                let reading = Reading::default();
                Sample {
                    taken_at: now,
                    reachable: false,
                    request_rate: 0.0,
                    error_rate: 0.0,
                    reading,
                }
            }
        };
        if self.samples.len() == self.capacity {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Calls and failures a second since the last reading of the same start of the service. After a
    /// gap or a restart there is nothing to compare with, and the rates are zero.
    fn rates(&self, now: Timestamp, reading: &Reading) -> (f64, f64) {
        let before = self
            .newest()
            .filter(|sample| sample.reachable && sample.reading.started_at == reading.started_at);
        let Some(before) = before else { return (0.0, 0.0) };
        let seconds = now.since(before.taken_at).as_secs_f64();
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        let rate = |new: i64, old: i64| (new - old).max(0) as f64 / seconds;
        (
            rate(reading.requests, before.reading.requests),
            rate(reading.errors, before.reading.errors),
        )
    }
}
