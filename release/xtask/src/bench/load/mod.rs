//! Messages per second, latency and peak memory of the broker beside Debian's mosquitto, on loopback in one run.
//!
//! Both get the same from the same generator, in turns, so that what else the machine does meets both alike.

mod brokers;
mod connection;
mod group;
mod sample;

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use espbroker_mqtt::QoS;
use serde::{Deserialize, Serialize};

pub(super) use self::{brokers::Broker, connection::Connection};
use self::{
    group::{Group, Outcome},
    sample::{Percentiles, median},
};
use super::table::{Table, grouped, grouped_or_dash};
use crate::process::{self, Failure, root, scratch};

const SUBSCRIBERS: [usize; 4] = [1, 4, 16, 64];
const PAYLOADS: [usize; 2] = [16, 1024];
const QUALITIES: [QoS; 2] = [QoS::AtMostOnce, QoS::AtLeastOnce];

/// Most messages under way to the slowest subscriber: few enough that neither broker may drop one.
const WINDOW: u64 = 32;
/// Of messages while latency is measured: 250 in a second.
const INTERVAL: Duration = Duration::from_millis(4);

const CAPTION: &str = "\
One publisher, loopback, both brokers and the generator (one thread) on the same machine, in turns; figures tell these
two apart and nothing about a chip. `msg/s`: messages delivered in a second, over all subscribers, with at most 32
under way to the slowest of them (median of the turns); `ratio` is ours to mosquitto's. `CPU ns/msg`: the broker
process's own processor time for each of those deliveries, mosquitto / ours, which other programs on the machine
disturb least. `latency`: microseconds from when a message was due until a subscriber had it, at 250 messages a
second, 50th, 95th and 99th percentile over all copies. `peak KB`: most memory of the whole process (VmHWM), code
included, mosquitto / ours; `own KB`: most that our broker held by its own account, Broker::memory(). `lost` must be
0 for the row to count. A QoS like 1>0 was not granted as asked.";

/// One combination, for both brokers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    subscribers: usize,
    payload: usize,
    qos: u8,
    mosquitto: Side,
    ours: Side,
}

/// Figures of one broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Side {
    granted_qos: u8,
    deliveries_per_second: u64,
    /// Processor time of the broker for one delivery.
    nanoseconds: Option<u64>,
    latency: Percentiles,
    /// Bytes of the process.
    peak_process: u64,
    /// Bytes by the broker's own account.
    peak_own: Option<u64>,
    lost: u64,
    duplicates: u64,
    unacknowledged: u64,
}

/// How long each broker is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    /// For a report: two minutes and a half in all.
    Full,
    /// To see that it works: some seconds in all.
    Quick,
}

impl Effort {
    /// How often it is a broker's turn in a row of the table, and how long for each of throughput and latency.
    const fn turns(self) -> (u32, Duration) {
        match self {
            Self::Full => (4, Duration::from_millis(500)),
            Self::Quick => (2, Duration::from_millis(80)),
        }
    }
}

/// Measures in a release build of this program, for neither the generator nor the broker may be slow.
///
/// # Errors
///
/// When a broker is missing or fails.
pub(crate) fn run(effort: Effort) -> Result<Vec<Row>, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(Command::new(cargo).current_dir(root()).args(["build", "--release", "--package", "xtask"]))?;
    let program = scratch().join("release").join(format!("xtask{}", std::env::consts::EXE_SUFFIX));
    let output = Command::new(program)
        .args(["bench", "load"])
        .args((effort == Effort::Quick).then_some("--quick"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("the load generator ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Every combination.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>, Failure> {
    let (turns, turn) = effort.turns();
    let mut rows = Vec::new();
    for subscribers in SUBSCRIBERS {
        for payload in PAYLOADS {
            for qos in QUALITIES {
                eprintln!("load: {subscribers} subscribers, {payload} B, QoS {}", qos.number());
                let mut sides = [Broker::mosquitto()?, Broker::ours()?]
                    .into_iter()
                    .map(|broker| Subject::new(broker, subscribers, payload, qos))
                    .collect::<Result<Vec<_>, _>>()?;
                for _ in 0..turns {
                    for side in &mut sides {
                        side.turn(turn)?;
                    }
                }
                let [mosquitto, ours] =
                    <[Subject; 2]>::try_from(sides).map_err(|_| "two brokers are needed")?;
                let (mosquitto, ours) = (mosquitto.close()?, ours.close()?);
                rows.push(Row { subscribers, payload, qos: qos.number(), mosquitto, ours });
            }
        }
    }
    Ok(rows)
}

/// A broker under load and what was measured so far.
struct Subject {
    broker: Broker,
    group: Group,
    rates: Vec<u64>,
    /// Deliveries, and the broker's processor time for them.
    deliveries: u64,
    nanoseconds: Option<u64>,
    latencies: Vec<u64>,
    lost: u64,
    duplicates: u64,
    unacknowledged: u64,
}

impl Subject {
    fn new(broker: Broker, subscribers: usize, payload: usize, qos: QoS) -> Result<Self, Failure> {
        let group = Group::open(broker.address, subscribers, payload, qos)?;
        let (rates, latencies) = (Vec::new(), Vec::new());
        Ok(Self {
            broker,
            group,
            rates,
            deliveries: 0,
            nanoseconds: Some(0),
            latencies,
            lost: 0,
            duplicates: 0,
            unacknowledged: 0,
        })
    }

    fn turn(&mut self, duration: Duration) -> Result<(), Failure> {
        let before = self.broker.processor_time();
        let fast = self.group.closed_loop(duration, WINDOW)?;
        let used =
            self.broker.processor_time().zip(before).map(|(after, before)| after.saturating_sub(before));
        self.nanoseconds = self.nanoseconds.zip(used).map(|(sum, used)| sum + used);
        self.deliveries += fast.deliveries;
        self.rates.push(rate(&fast));
        let paced = self.group.paced(duration, INTERVAL)?;
        self.lost += fast.lost + paced.lost;
        self.duplicates += fast.duplicates + paced.duplicates;
        self.unacknowledged += fast.unacknowledged + paced.unacknowledged;
        self.latencies.extend(paced.latencies);
        Ok(())
    }

    fn close(mut self) -> Result<Side, Failure> {
        Ok(Side {
            granted_qos: self.group.granted().number(),
            deliveries_per_second: median(self.rates),
            nanoseconds: self.nanoseconds.and_then(|time| time.checked_div(self.deliveries)),
            latency: Percentiles::of(self.latencies),
            peak_process: self.broker.peak_process()?,
            peak_own: self.broker.peak_own()?,
            lost: self.lost,
            duplicates: self.duplicates,
            unacknowledged: self.unacknowledged,
        })
    }
}

/// Deliveries in a second.
fn rate(outcome: &Outcome) -> u64 {
    let microseconds = u64::try_from(outcome.took.as_micros()).unwrap_or(u64::MAX);
    (outcome.deliveries * 1_000_000).checked_div(microseconds).unwrap_or(0)
}

/// The rows as Markdown.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(
        CAPTION,
        &[
            "subscribers, payload, QoS",
            "mosquitto msg/s",
            "ours msg/s",
            "ratio",
            "CPU ns/msg",
            "mosquitto latency",
            "ours latency",
            "peak KB",
            "own KB",
            "lost",
        ],
    );
    for Row { subscribers, payload, qos, mosquitto, ours } in rows {
        let granted = mosquitto.granted_qos.min(ours.granted_qos);
        let qos = if granted == *qos { qos.to_string() } else { format!("{qos}>{granted}") };
        let latency = |side: &Side| {
            let Percentiles { p50, p95, p99 } = side.latency;
            format!("{p50} / {p95} / {p99}")
        };
        table.row([
            format!("{subscribers}, {payload} B, {qos}"),
            grouped(mosquitto.deliveries_per_second),
            grouped(ours.deliveries_per_second),
            ratio(ours.deliveries_per_second, mosquitto.deliveries_per_second),
            both(mosquitto.nanoseconds, ours.nanoseconds),
            latency(mosquitto),
            latency(ours),
            both(Some(mosquitto.peak_process / 1024), Some(ours.peak_process / 1024)),
            grouped_or_dash(ours.peak_own.map(|bytes| bytes.div_ceil(1024))),
            lost(mosquitto, ours),
        ]);
    }
    table
}

/// Mosquitto's figure and ours.
fn both(mosquitto: Option<u64>, ours: Option<u64>) -> String {
    format!("{} / {}", grouped_or_dash(mosquitto), grouped_or_dash(ours))
}

/// With two decimals; a dash if there is nothing to compare with.
fn ratio(ours: u64, theirs: u64) -> String {
    match (ours * 100).checked_div(theirs) {
        Some(hundredths) => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        None => "-".to_owned(),
    }
}

/// Also says of messages that came twice, and of those of QoS 1 that were never acknowledged.
fn lost(mosquitto: &Side, ours: &Side) -> String {
    let of =
        |name: &str, count: u64, what: &str| (count > 0).then(|| format!("{name} {}{what}", grouped(count)));
    let parts = [
        of("mosquitto", mosquitto.lost, ""),
        of("ours", ours.lost, ""),
        of("mosquitto", mosquitto.duplicates, " twice"),
        of("ours", ours.duplicates, " twice"),
        of("mosquitto", mosquitto.unacknowledged, " unacknowledged"),
        of("ours", ours.unacknowledged, " unacknowledged"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { "0".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(lost: u64, duplicates: u64) -> Side {
        Side {
            granted_qos: 0,
            deliveries_per_second: 100,
            nanoseconds: None,
            latency: Percentiles::default(),
            peak_process: 0,
            peak_own: None,
            lost,
            duplicates,
            unacknowledged: 0,
        }
    }

    #[test]
    fn a_row_says_when_messages_were_lost_or_came_twice() {
        assert_eq!(lost(&side(0, 0), &side(0, 0)), "0");
        assert_eq!(lost(&side(1, 0), &side(2000, 3)), "mosquitto 1, ours 2,000, ours 3 twice");
    }

    #[test]
    fn a_ratio_has_two_decimals() {
        assert_eq!([ratio(3, 2), ratio(2, 3), ratio(1, 0)], ["1.50", "0.66", "-"]);
    }

    #[test]
    fn a_rate_is_for_one_second() {
        let outcome = Outcome { deliveries: 50, took: Duration::from_millis(250), ..Outcome::default() };
        assert_eq!(rate(&outcome), 200);
        assert_eq!(rate(&Outcome::default()), 0);
    }

    #[test]
    fn a_row_tells_that_a_qos_was_not_granted() {
        let rows = [Row { subscribers: 4, payload: 16, qos: 1, mosquitto: side(0, 0), ours: side(0, 0) }];
        assert!(table(&rows).to_string().contains("| 4, 16 B, 1>0"));
    }
}
