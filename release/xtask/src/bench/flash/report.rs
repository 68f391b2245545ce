//! The figures, how they are printed, and whether they are good enough.

use std::fmt::{self, Display};

use serde::Serialize;

use super::{Bound, Case, tools::Measured};
use crate::{
    bench::table::{Table, grouped},
    process::Failure,
};

/// Share of a run's time by which the device may fall behind before the run says little about a chip.
const LATE: f64 = 0.02;

const CAPTION: &str = "\
Seconds from the start of the process until the tool says that the device's digest fits; median of the runs. espbroker
resets the chip through DTR and RTS (RFC 2217); esptool finds it in its loader (pseudo-terminal, which is its faster way
and has no such lines), uses its own stub and --compress, and for the same image --skip-flashed, for changed sectors
--diff-with and the image before; espbroker needs no file for either. `bound`: the most that espbroker may take, in
seconds or as a share of esptool's time. `ratio`: espbroker's time to esptool's. `bytes`: on the line, to the chip.
`wire`: what those take at their rates; `flash`: how long the flash chip was busy; `limit`: the greater of both, below
which nobody gets, as they can overlap at best; the last column is espbroker's time to its limit. Serial line, boot ROM,
flash and the CPU's instructions run at the speed of a chip; `chip` is how much of the real time the virtual one kept up
with (espbroker / esptool).";

/// Everything measured.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: u32,
    pub(super) espbroker: String,
    pub(super) esptool: String,
    pub(super) seed: u64,
    /// Of the image.
    pub(super) bytes: usize,
    /// What zlib makes of it at level 9.
    pub(super) packed: usize,
    /// Sectors in which it differs from the one before.
    pub(super) changed: usize,
    pub(super) rows: Vec<Row>,
}

/// One case at one rate.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    case: Case,
    baud: u32,
    espbroker: Side,
    esptool: Side,
    ratio: f64,
    bound: Option<Bound>,
    holds: bool,
    /// Mean of the machine's load average over the runs.
    load: Option<f64>,
}

/// A tool's runs.
#[derive(Debug, Serialize)]
pub(super) struct Side {
    /// The run in the middle.
    median: Measured,
    /// The greater of wire and flash time of that run.
    limit: f64,
    seconds: Vec<f64>,
    /// The smallest share of the real time that the chip kept up with.
    kept_up: f64,
}

impl Side {
    /// # Errors
    ///
    /// When there was no run.
    pub(super) fn new(mut runs: Vec<Measured>) -> Result<Self, Failure> {
        let seconds = runs.iter().map(|run| run.seconds).collect();
        let kept_up = runs.iter().map(kept_up).fold(1.0, f64::min);
        runs.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        let median = *runs.get((runs.len().max(1) - 1) / 2).ok_or("nothing was measured")?;
        let limit = median.device.wire_to_device.max(median.device.flash_busy);
        Ok(Self { median, limit, seconds, kept_up })
    }
}

fn kept_up(run: &Measured) -> f64 {
    run.device.time / (run.device.time + run.device.behind)
}

impl Row {
    pub(super) fn new(
        case: Case,
        baud: u32,
        espbroker: Side,
        esptool: Side,
        loads: &[f64],
    ) -> Result<Self, Failure> {
        let (ours, theirs) = (espbroker.median.seconds, esptool.median.seconds);
        let ratio = ours / theirs;
        let bound = case.bound(baud);
        let holds = match bound {
            Some(Bound::OfEsptool(share)) => ratio <= share,
            Some(Bound::Seconds(seconds)) => ours <= seconds,
            None => true,
        };
        let count = u32::try_from(loads.len())?;
        let load = (count > 0).then(|| loads.iter().sum::<f64>() / f64::from(count));
        Ok(Self { case, baud, espbroker, esptool, ratio, bound, holds, load })
    }

    /// What is wrong with it, in one line.
    fn miss(&self) -> Option<String> {
        let found = match self.bound? {
            _ if self.holds => return None,
            Bound::OfEsptool(share) => format!("{:.3} of esptool's time, more than {share:.2}", self.ratio),
            Bound::Seconds(seconds) => {
                format!("{:.2} s, more than {seconds:.1} s", self.espbroker.median.seconds)
            }
        };
        Some(format!("{} at {} baud: {found}", self.case.words(), self.baud))
    }
}

impl Report {
    /// # Errors
    ///
    /// When a bound is missed; every miss is in it.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let misses: Vec<String> = self.rows.iter().filter_map(Row::miss).collect();
        if misses.is_empty() { Ok(()) } else { Err(misses.join("\n       ").into()) }
    }
}

impl Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = |count| grouped(u64::try_from(count).unwrap_or(u64::MAX));
        let columns = [
            "case",
            "baud",
            "espbroker",
            "bound",
            "esptool",
            "ratio",
            "bytes",
            "wire",
            "flash",
            "limit",
            "time/limit",
            "chip",
            "load",
        ];
        let mut table = Table::new(CAPTION, &columns);
        for row in &self.rows {
            let ours = &row.espbroker;
            let bound = match row.bound {
                Some(Bound::OfEsptool(share)) => format!("{share:.2} x"),
                Some(Bound::Seconds(seconds)) => format!("{seconds:.1}"),
                None => "-".to_owned(),
            };
            let device = ours.median.device;
            table.row([
                row.case.words().to_owned(),
                row.baud.to_string(),
                format!("{:.2}", ours.median.seconds),
                bound,
                format!("{:.2}", row.esptool.median.seconds),
                format!("{:.2}", row.ratio),
                grouped(device.bytes_to_device),
                format!("{:.2}", device.wire_to_device),
                format!("{:.2}", device.flash_busy),
                format!("{:.2}", ours.limit),
                format!("{:.2}", ours.median.seconds / ours.limit),
                format!("{:.0}/{:.0} %", ours.kept_up * 100.0, row.esptool.kept_up * 100.0),
                row.load.map_or_else(|| "-".to_owned(), |load| format!("{load:.1}")),
            ]);
        }
        let Self { espbroker, esptool, seed, changed, .. } = self;
        writeln!(
            formatter,
            "{espbroker} and {esptool}; an image of {} bytes (seed {seed:#x}), which zlib 9 packs to {}; the one before \
             differs in {changed} sectors.\n",
            bytes(self.bytes),
            bytes(self.packed),
        )?;
        write!(formatter, "{table}")?;
        let runs = self.rows.iter().flat_map(|row| {
            [("espbroker", &row.espbroker), ("esptool", &row.esptool)].map(|(tool, side)| (row, tool, side))
        });
        for (row, tool, side) in runs.filter(|(_, _, side)| side.kept_up < 1.0 - LATE) {
            writeln!(
                formatter,
                "warning: {} at {} baud, {tool}: this machine was too busy for the virtual chip, which ran at {:.0} % of \
                 its speed; its figures are too high",
                row.case.words(),
                row.baud,
                side.kept_up * 100.0
            )?;
        }
        Ok(())
    }
}

/// Processes that want to run, over the last minute; `None` where the system does not say.
pub(super) fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{super::device::Used, *};

    fn side(seconds: &[f64], behind: f64) -> Side {
        let device = Used { time: 10.0, behind, wire_to_device: 1.0, flash_busy: 0.5, ..Used::default() };
        Side::new(seconds.iter().map(|&seconds| Measured { seconds, device }).collect()).unwrap()
    }

    fn report(row: Row) -> Report {
        let rows = vec![row];
        let (espbroker, esptool) = (String::new(), String::new());
        Report { version: 1, espbroker, esptool, seed: 0, bytes: 0, packed: 0, changed: 0, rows }
    }

    #[test]
    fn the_run_in_the_middle_counts() {
        let side = side(&[3.0, 1.0, 2.0], 0.0);
        assert_eq!((side.median.seconds, side.limit), (2.0, 1.0));
        assert!(Side::new(Vec::new()).is_err());
    }

    #[test]
    fn a_share_of_esptools_time_is_held_against_its_bound() {
        let row =
            |ours| Row::new(Case::First, 460_800, side(&[ours], 0.0), side(&[10.0], 0.0), &[1.0]).unwrap();
        assert!(report(row(8.0)).verdict().is_ok());
        let missed = report(row(8.1)).verdict().unwrap_err().to_string();
        assert_eq!(missed, "first flash, blank chip at 460800 baud: 0.810 of esptool's time, more than 0.80");
    }

    #[test]
    fn a_time_is_held_against_its_bound_at_every_rate() {
        let row = |ours| Row::new(Case::Same, 9_600, side(&[ours], 0.0), side(&[1.0], 0.0), &[]).unwrap();
        assert!(report(row(2.0)).verdict().is_ok());
        let missed = report(row(2.5)).verdict().unwrap_err().to_string();
        assert_eq!(missed, "same image again at 9600 baud: 2.50 s, more than 2.0 s");
    }

    #[test]
    fn a_device_that_fell_behind_is_named() {
        let row =
            |behind| Row::new(Case::Same, 115_200, side(&[1.0], behind), side(&[1.0], 0.0), &[]).unwrap();
        assert!(report(row(1.0)).to_string().contains("espbroker: this machine was too busy"));
        assert!(!report(row(0.1)).to_string().contains("too busy"));
    }
}
